"""Smaller and faster models, and what they cost, measured on the user's own validation data before anyone is served.

    onnx   the same numbers in ONNX Runtime: must agree with PyTorch up to rounding
    int8   weights in eight bits: a third of the time, half the memory, and labels that differ on texts the model is
           unsure of (CLINC150: 1% of labels in domain, 11% out of domain, accuracy 92.87 -> 92.60)

Nobody else ships this gate: an export that is not as good as it promised is refused, and the PyTorch model serves.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.compress import written
from burnish.compress.written import Written
from burnish.core.errors import BurnishError
from burnish.core.tasktypes import open_task
from burnish.nn.runtime import CARD, OnnxRuntimeEngine, read_card, sealed
from burnish.tasks.base import Answers, Input, Task
from burnish.tasks.predictor import Predictor, task_spec, writes


@dataclass(frozen=True)
class Comparison:
    """A deployed model beside the one it was made from, on the same records.

    num_texts: validation records. agreement: how far the answers are the same (`Task.agreement`), 0..1.
    max_difference: largest |difference| of a probability, 0..1; None where answers have none. figure: the task's chief
    one, before and after, and drop, in percent (100 times what the task counts in points); None without targets.
    bytes_before, bytes_after: weights on disk. speedup: records per second, after / before, on this machine.
    Of answers that are written: searches, the share of equal ones by how they were searched for, of which agreement is
    the least; logit_difference, the largest under teacher forcing. Else {} and None.
    accepted: may it be served; reasons: why not, one sentence each.
    """

    format: str
    num_texts: int
    agreement: float
    max_difference: float | None
    figure: str
    before: float | None
    after: float | None
    drop: float | None
    bytes_before: int
    bytes_after: int
    speedup: float
    searches: dict[str, float]
    logit_difference: float | None
    accepted: bool
    reasons: tuple[str, ...]


def onnx(
    model_folder: Path,
    records: pa.Table,
    deploy_folder: Path,
    *,
    max_drop: float = 0.1,
    min_agreement: float = 0.999,
    base: Path | None = None,
) -> Comparison:
    """Export a model to ONNX in single precision and compare it with PyTorch.

    model_folder: save_pretrained layout and burnish.json. records: validation records; those with a target measure the
    drop. deploy_folder: where model.onnx (of a model that writes decoder.onnx and, where an encoder reads, encoder.onnx),
    the tokenizer, burnish.json and report.json go; it appears whole or not at all, refused exports too (burnish.json
    says whether it was `accepted`, and bytes and hash of every file).
    max_drop: of the task's chief figure, in points. min_agreement: share of answers that must stay, 0..1.
    base: the spec's folder, from which records name their images.
    """
    return _deploy(model_folder, records, deploy_folder, max_drop, min_agreement, base, eight_bits=False)


def int8(
    model_folder: Path,
    records: pa.Table,
    deploy_folder: Path,
    *,
    max_drop: float = 0.5,
    min_agreement: float = 0.95,
    base: Path | None = None,
) -> Comparison:
    """Export a model to ONNX with weights in eight bits, one scale a channel, and compare it with PyTorch.

    Settings as in `onnx`. A figure that rises is no drop. Activations share one scale a batch, so that a score
    moves a little with the texts computed beside it: agreement is measured in batches as the server makes them.
    A model that writes has one scale for 32 weights, and for 32 numbers of a token: its batch changes nothing.
    """
    return _deploy(model_folder, records, deploy_folder, max_drop, min_agreement, base, eight_bits=True)


def _deploy(
    model_folder: Path,
    records: pa.Table,
    deploy_folder: Path,
    max_drop: float,
    min_agreement: float,
    base: Path | None,
    *,
    eight_bits: bool,
) -> Comparison:
    model_folder, deploy_folder = Path(model_folder), Path(deploy_folder)
    if not len(records):
        raise BurnishError(
            "no validation texts: what an export costs cannot be measured",
            where=str(model_folder),
            hint="give split a validation share above 0",
        )
    card = read_card(model_folder)
    deploy_folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=deploy_folder.parent, prefix=f".{deploy_folder.name}-") as half:
        made = Path(half) / "made"
        if writes(card):
            records = written.some(records)
        task = open_task(replace(task_spec(card["task"]), base=base))
        task.opened(model_folder)
        judged = Judged(model_folder, records, task.inputs(records))
        measured = (_of_texts if writes(card) else _of_numbers)(judged, made, card, eight_bits)
        comparison = compare(
            **vars(measured),
            max_drop=max_drop,
            min_agreement=min_agreement,
            format=card["precision"],
            bytes_before=sum(file.stat().st_size for file in model_folder.rglob("*.safetensors")),
            bytes_after=sum(file.stat().st_size for file in made.glob("*.onnx*")),
        )
        card["accepted"] = comparison.accepted
        _write_json(made / "report.json", asdict(comparison))
        card["files"] = sealed(made)
        _write_json(made / CARD, card)
        if deploy_folder.exists():
            shutil.rmtree(deploy_folder)
        made.rename(deploy_folder)
    return comparison


@dataclass(frozen=True)
class Judged:
    """A model, the records that judge its export, and what it reads of them."""

    folder: Path
    records: pa.Table
    inputs: list[Input]


@dataclass(frozen=True)
class Measured:
    """Answers of both models to the same records, and how much faster the second gave them. said: of models that write."""

    before: Answers
    after: Answers
    task: Task
    records: pa.Table
    speedup: float
    said: Written | None = None


def _of_numbers(judged: Judged, made: Path, card: dict[str, Any], eight_bits: bool) -> Measured:
    """Export a network under a head into `made`, its card with it, and let both answer."""
    # these wake torch and transformers
    from burnish.nn import quantise
    from burnish.nn.engine import TorchEngine
    from burnish.nn.export import export_onnx

    engine = TorchEngine(judged.folder)
    path = export_onnx(engine.module, engine.tokenizer, made, max_length=engine.max_length)
    if eight_bits:
        quantise.int8(path, path)
    if sight := getattr(engine.module, "sight", None):
        card["sight"] = asdict(sight)
    _name(card, made, engine.tokenizer, eight_bits)
    ours = Predictor(judged.folder, card, engine)
    ours.task.furnish(made, OnnxRuntimeEngine(made))
    began = time.perf_counter()
    before = ours.answers(judged.inputs)
    middle = time.perf_counter()
    after = Predictor(made, card, OnnxRuntimeEngine(made)).answers(judged.inputs)
    end = time.perf_counter()
    return Measured(before, after, ours.task, judged.records, (middle - began) / max(end - middle, 1e-9))


def _of_texts(judged: Judged, made: Path, card: dict[str, Any], eight_bits: bool) -> Measured:
    """Export a network that writes into `made`, its card with it, and let both write."""
    from burnish.nn.generators import GeneratorEngine

    engine = GeneratorEngine(judged.folder)
    written.bundle(engine, made, eight_bits=eight_bits)
    _name(card, made, engine.tokenizer, eight_bits)
    ours = Predictor(judged.folder, card, engine)
    ours.task.furnish(made, engine)
    found = written.compare(ours, Predictor(made, card, GeneratorEngine(made)), judged.inputs)
    return Measured(found.before, found.after, ours.task, judged.records, found.speedup, found)


def _name(card: dict[str, Any], made: Path, tokenizer: Any, eight_bits: bool) -> None:
    """Say in the card what the network in `made` is now."""
    card |= {"format": "onnx", "precision": "int8" if eight_bits else "fp32"}
    if tokenizer.pad_token_id is not None:
        card["pad_token_id"] = tokenizer.pad_token_id
    _write_json(made / CARD, card)


def compare(
    before: Answers,
    after: Answers,
    *,
    task: Task,
    records: pa.Table,
    max_drop: float,
    min_agreement: float,
    format: str,
    bytes_before: int,
    bytes_after: int,
    speedup: float,
    said: Written | None = None,
) -> Comparison:
    """Judge the answers of an export by those of the model it came from, on the same records."""
    shares = dict(said.searches) if said else {"": float(task.agreement(before, after).mean())}
    difference = was = now = drop = None
    reasons = []
    if before.probabilities is not None and after.probabilities is not None:
        difference = float(np.abs(before.probabilities - after.probabilities).max())
        if not np.isfinite(after.probabilities).all():
            reasons.append("some outputs are not finite numbers")
    judges = np.flatnonzero(task.labelled(records))
    if len(judges):
        truth = records.take(pa.array(judges))
        was, now = (
            task.points * float(np.nan_to_num(task.figures(task.tally(truth, one.take(judges)).sum(0))[task.figure]))
            for one in (before, after)
        )
        drop = was - now
        if drop > max_drop:
            unit = "%" if task.points == 100 else ""
            reasons.append(
                f"{task.figure.replace('_', ' ')} falls from {was:.2f}{unit} to {now:.2f}{unit}, by {drop:.2f} points; "
                f"max_drop allows {max_drop:g}"
            )
    for search, share in shares.items():
        if share < min_agreement:
            by = f" ({search})" if search else ""
            reasons.append(f"{share:.2%} of answers stay{by}; min_agreement asks for {min_agreement:.2%}")
    if said and reasons:
        logits = f"logits differ by up to {said.logit_difference:.2g}"
        reasons.append(f"{said.changed}; {logits}" if said.changed else logits)
    return Comparison(
        format=format,
        num_texts=len(before),
        agreement=min(shares.values()),
        max_difference=difference,
        figure=task.figure,
        before=was,
        after=now,
        drop=drop,
        bytes_before=bytes_before,
        bytes_after=bytes_after,
        speedup=speedup,
        searches=shares if said else {},
        logit_difference=said.logit_difference if said else None,
        accepted=not reasons,
        reasons=tuple(reasons),
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
