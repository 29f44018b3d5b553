"""`burnish certify`: draw the records a person must check, and say what the checks so far prove."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.core.artifacts import Gold, Records, write_json
from burnish.core.errors import UsageError
from burnish.core.pipeline import KEYS_FILE, read_run
from burnish.core.progress import Progress, Silent
from burnish.core.spec import load
from burnish.core.stage import Context
from burnish.core.store import Store

ROOMS = ("review", "quality", "construct")  # the newest of these holds the records that will teach
FOLDER = "certificate"


def certify(
    run: Path,
    *,
    precision: float | None = None,
    width: float = 0.02,
    confidence: float = 0.95,
    verdicts: Path | None = None,
    sample: int | None = None,
    worth: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Draw records to check where some are missing, and certify what is checked; return the numbers.

    run: a run folder. Writes NAME.draws.jsonl beside the spec, RUN/certificate/report.json and report.html, and the run's
    page and model card anew. precision: share of right targets that must hold; `numbers["holds"]` says whether it does.
    sample: this many drawn in all, instead of as many as the width needs. worth: also the curves (an embedding of at most
    4,000 records).
    """
    from burnish import card, data_card, report
    from burnish.core.tasktypes import one_label
    from burnish.review import certificate
    from burnish.review.certificate_page import page
    from burnish.review.files import AUTO

    if not 0 < width < 0.5:
        raise UsageError(f"--width must lie between 0 and 0.5, got {width}", hint="0.02: two points either way")
    if precision is not None and not 0 <= precision <= 1:
        raise UsageError(f"--precision must lie in 0..1, got {precision}", hint="0.95")
    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence must lie in 0.5..1, got {confidence}", hint="0.95")
    records, gold, context = opened(run, progress or Silent())
    said = str(verdicts.resolve()) if verdicts is not None else AUTO
    if verdicts is not None and not verdicts.is_file():
        raise UsageError(f"no file {verdicts}", hint="`burnish review` writes verdicts")
    drawn = certificate.draw(records, context, width=width, confidence=confidence, sample=sample, verdicts=said)
    backbone = "auto" if worth and one_label(context.task) else None
    numbers = certificate.certify(
        records, gold, context, width=width, min_accuracy=precision, verdicts=said, confidence=confidence, backbone=backbone
    )  # fmt: skip
    numbers |= {"draw": drawn, "made_from": made_from(run)}
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    write_json(folder / "report.json", numbers)
    half = folder / f".report.html.{os.getpid()}"
    half.write_text(page(numbers, title=context.name), encoding="utf-8")
    os.replace(half, folder / "report.html")
    data_card.write(run)
    report.write(run)
    card.write(run)
    return numbers


def opened(run: Path, progress: Progress) -> tuple[Records, Gold | None, Context]:
    """The newest records of a run, its gold, and a context to work in. UsageError where it has none."""
    about = read_run(run)
    spec_file = Path(about["spec"])
    if not spec_file.is_file():
        raise UsageError(f"the spec of {run} is gone: {spec_file}", hint="certify needs it: files lie beside it")
    spec = load(spec_file)
    place = next((run / room for room in ROOMS if (run / room / "records.parquet").is_file()), None)
    if place is None:
        raise UsageError(f"{run} has no constructed records yet", hint=f"burnish run {spec_file} --to construct")
    gold_file = run / "gold" / "records.parquet"
    gold = Gold.from_parquet(gold_file) if gold_file.is_file() else None
    store = Store(spec.store_path)
    context = Context(
        spec.task, spec.seed, spec.base, store.scratch(f"certify-{spec.name}"), store.cache, progress, name=spec.name
    )  # fmt: skip
    return Records.from_parquet(place / "records.parquet"), gold, context  # type: ignore[return-value]


def made_from(run: Path) -> dict[str, Any]:
    """The room whose records are certified, and the keys of the steps that made them."""
    room = next((one for one in ROOMS if (run / one / "records.parquet").is_file()), None)
    keys = run / (room or "") / KEYS_FILE
    return {"room": room, "keys": json.loads(keys.read_text("utf-8")) if room and keys.is_file() else []}


def newest(run: Path) -> dict[str, Any]:
    """The certificate of a run, {} without one: what `burnish certify` wrote, else what a step of the spec made.

    `stale` is set where the records were made anew since.
    """
    own = run / FOLDER / "report.json"
    if own.is_file():
        numbers: dict[str, Any] = json.loads(own.read_text("utf-8"))
        return numbers | {"page": f"{FOLDER}/report.html", "stale": numbers.get("made_from") != made_from(run)}
    step = run / "review" / "certificate.json"
    if step.is_file():
        return dict(json.loads(step.read_text("utf-8"))) | {"page": "review/certificate.html", "stale": False}
    return {}


def told(numbers: Mapping[str, Any]) -> str:
    """What a person reads in the terminal."""
    drawn = numbers["draw"]
    lines = [numbers["verdict"], *(f"  {one}" for one in numbers["grounds"]), ""]
    zh = numbers["language"] == "zh"
    if drawn["anew"]:
        lines.append("记录有变化，已重新抽样。" if zh else "The records changed: the sample was drawn anew.")
    count = f"{drawn['new']:,} / {drawn['drawn']:,}"
    lines.append(f"抽样文件 {drawn['file']}：新增 / 共计 {count}" if zh else f"{drawn['file']}: {count} drawn (new / all), in {drawn['strata']} strata")  # fmt: skip
    return "\n".join([*lines, *(f"  {one}" for one in numbers["next"])])
