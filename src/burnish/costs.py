"""What a run would cost before it is run: records, tokens, minutes, memory, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from burnish.core.formats import Format
from burnish.core.pipeline import Planned, plan
from burnish.core.spec import Spec, expand
from burnish.core.store import Store

PLAIN_S_A_RECORD = 5e-5  # a stage that only walks the records: 20,000 a second


@dataclass(frozen=True)
class Cost:
    """One step of a plan. seconds: what it took (kept), or an estimate; basis: where the estimate comes from; memory: bytes
    of its fullest moment, of each process; None where nobody knows."""

    step: str
    key: str
    state: str
    records: int | None
    tokens: int | None
    seconds: float | None
    money: float
    basis: str
    memory: int | None = None


def estimate(spec: Spec, *, to: str | None = None) -> list[Cost]:
    """Price every step. Records come from what is made, else from a look at the files; seconds from what the stage
    took on this store before, else from the stage's own rule for two cores."""
    store = Store(spec.store_path)
    records: int | None = None
    characters = 0.0
    costs: list[Cost] = []
    for planned in plan(spec, to=to):
        seen, mean = _source(planned, spec)
        if planned.made and planned.step.stage.makes == "Records" and "records" in planned.counts:
            records = int(planned.counts["records"])
            characters = mean or characters
        elif seen is not None:
            records, characters = (records or 0) + seen, max(mean, characters)
        tokens = round(records * _tokens(characters, spec)) if records is not None and characters else None
        told = _estimate(planned, spec, records, tokens) if not planned.made else None
        asked = getattr(told, "requests", None)  # of a teacher: it reads and writes other tokens than the records have
        seconds, basis = (
            (planned.seconds, "it took") if planned.made else _seconds(planned, store, records, tokens, told)
        )
        if told is not None and asked is not None and basis != str(told.basis):
            basis = f"{told.basis}; time {basis}"
        costs.append(
            Cost(
                planned.step.address,
                planned.key,
                "kept" if planned.made else "to do",
                records,
                tokens if told is None or asked is None else told.tokens,
                seconds,
                getattr(told, "money", 0.0),
                basis,
                told.bytes if told else None,
            )
        )
    return costs


def _source(planned: Planned, spec: Spec) -> tuple[int | None, float]:
    """Records and mean characters a record of a source's files, estimated from their first megabytes."""
    from burnish.core.files import sniff
    from burnish.formats.conll import look

    path = planned.settings.get("path")
    if planned.step.room != "sources" or not isinstance(path, Path | str):
        return None, 0.0
    if planned.step.use == "import":
        return _imported(spec.base / path, planned.settings)
    count, characters = 0, 0.0
    for file in expand(spec.base / path):
        columns = planned.step.use == "conll"
        seen = (look(file, sure=True) or {}) if columns else sniff(file, format=_format(planned.step.use))
        count += int(seen.get("rows") or 0)
        characters = max(characters, float(seen.get("mean_characters") or 0.0))
    limit = int(planned.settings.get("limit") or 0)
    return min(count, limit) if limit else count, characters


def _imported(path: Path, settings: Mapping[str, Any]) -> tuple[int | None, float]:
    """The same of files of another tool, by the first 2,000 records of the first file."""
    from itertools import islice

    from burnish.core.lines import unpacked_size
    from burnish.core.records import Reject
    from burnish.formats.base import FORMATS

    [part] = FORMATS.open(settings.get("format", "auto"))
    found = part.files(path)
    looked = list(islice(part.read(found[0], shown=found[0].name), 2000))
    rows = [one for one in looked if not isinstance(one, Reject)]
    if not rows:
        return None, 0.0
    texts = [row.get("text") or " ".join(turn["content"] for turn in row.get("messages") or ()) for _, row, _ in rows]
    share = 1.0 if len(looked) < 2000 else unpacked_size(found[0]) / max(sum(len(raw.encode()) for *_, raw in rows), 1)
    whole = sum(map(unpacked_size, found)) / max(unpacked_size(found[0]), 1)
    limit = int(settings.get("limit") or 0)
    count = round(len(rows) * max(share, 1.0) * whole)
    return min(count, limit) if limit else count, round(sum(map(len, texts)) / len(texts), 1)


def _format(use: str) -> Format:
    """The format that a source of files is for."""
    return cast(Format, use) if use in ("jsonl", "csv", "parquet", "text") else "auto"


def _tokens(characters: float, spec: Spec) -> float:
    """Sub-words of a text: English has about 4.5 characters in one, Chinese about 1.4 (measured on the two backbones)."""
    return characters / (1.4 if spec.task.languages == ("zh",) else 2.5 if "zh" in spec.task.languages else 4.5)


def _estimate(planned: Planned, spec: Spec, records: int | None, tokens: int | None) -> Any:
    """What the stage itself says it needs, by its settings and this machine."""
    stage = planned.step.stage
    if stage.estimate is None or records is None:
        return None
    return stage.estimate(records, tokens or records * 30, planned.settings, spec.task)


def _seconds(
    planned: Planned, store: Store, records: int | None, tokens: int | None, told: Any
) -> tuple[float | None, str]:
    stage = planned.step.stage
    rate = store.ledger.rate(stage.room, stage.name)
    if rate is not None and records:
        return rate * records, "as before here"
    if told is not None:
        return float(told.seconds), str(told.basis)
    if stage.cost and records is not None:
        return float(stage.cost(records, tokens or records * 30, planned.settings)), "rule of the stage, 2 cores"
    if stage.cost is None and records is not None:
        return 0.1 + records * PLAIN_S_A_RECORD, "rule of thumb"
    return None, "not known before it has run once"


def table(costs: list[Cost]) -> str:
    """The plan as people read it."""
    lines = [f"{'step':<28} {'state':<6} {'records':>9} {'tokens':>11} {'time':>9} {'memory':>9} {'money':>9}  from"]
    lines += [
        f"{c.step:<28} {c.state:<6} {_count(c.records):>9} {_count(c.tokens):>11} {_time(c.seconds):>9} {_size(c.memory):>9}"
        f" {_money(c.money):>9}  {c.basis}"
        for c in costs
    ]
    todo = [c for c in costs if c.state == "to do"]
    known = sum(c.seconds or 0.0 for c in todo)
    unknown = sum(c.seconds is None for c in todo)
    lines.append(
        f"\n{len(costs) - len(todo)} kept, {len(todo)} to do: about {_time(known)}"
        + (f" and {unknown} without an estimate" if unknown else "")
        + (f", {_money(money)} of money" if (money := sum(c.money for c in todo)) else ", no money")
    )
    return "\n".join(lines)


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _size(value: int | None) -> str:
    return "" if value is None else f"{value / 1e9:.1f} GB"


def _money(value: float) -> str:
    return "" if not value else f"{value:.2f}" if value >= 0.01 else f"{value:.2g}"


def _time(seconds: Any) -> str:
    if seconds is None:
        return "?"
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
