"""Export as a stage: the model that will be served, judged on the validation side before anyone is served by it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import pyarrow as pa
from annotated_types import Ge

from burnish.core.artifacts import Model, Split
from burnish.core.stage import Context, Share, stage
from burnish.core.tasktypes import open_task

Points = Annotated[float, Ge(0)]
TEXTS_PER_S = 150.0  # exported and compared, both engines, on two cores


def _cost(records: int, tokens: int, settings: Mapping[str, Any]) -> float:
    return 15.0 + 0.1 * records / TEXTS_PER_S


@stage("compress.onnx", cost=_cost)
def onnx(
    model: Model, split: Split, context: Context, *, max_drop: Points = 0.1, min_agreement: Share = 0.999
) -> Model:
    """Export to ONNX in single precision, and refuse the export where it differs from PyTorch.

    max_drop: what the task's chief figure may lose on the validation side, in percentage points.
    min_agreement: share of the answers that must stay as PyTorch gives them, 0..1.
    """
    from burnish.compress.onnx import onnx as export

    return _deployed(export, model, split, context, max_drop, min_agreement)


@stage("compress.int8", cost=_cost)
def int8(model: Model, split: Split, context: Context, *, max_drop: Points = 0.5, min_agreement: Share = 0.95) -> Model:
    """Export to ONNX with weights in eight bits, one scale a channel, and refuse it where it costs too much.

    max_drop: what the task's chief figure may lose on the validation side, in percentage points; a rise is no drop.
    min_agreement: share of the answers that must stay as PyTorch gives them, 0..1.
    """
    from burnish.compress.onnx import int8 as export

    return _deployed(export, model, split, context, max_drop, min_agreement)


def _deployed(
    export: Callable[..., Any], model: Model, split: Split, context: Context, max_drop: float, min_agreement: float
) -> Model:
    """Compare on the validation side, or on the training side where there is none: both engines see the same texts."""
    side = split.validation if len(split.validation) else split.train
    table = side.table()
    table = table.filter(pa.array(open_task(context.task).labelled(table)))
    out = context.scratch / "deploy"
    shutil.rmtree(out, ignore_errors=True)
    compared = export(model.folder, table, out, max_drop=max_drop, min_agreement=min_agreement, base=context.task.base)
    for reason in compared.reasons:
        context.progress.tell(f"  refused: {reason}; PyTorch serves instead")
    made = Model.open(out)
    made.info["version"] = context.key[:12]
    return made
