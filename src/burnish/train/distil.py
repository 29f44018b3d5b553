"""What a teacher, a model that burnish saved, makes of the training side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.errors import BurnishError
from burnish.core.progress import Progress

ROWS = 1024


def teachers_view(folder: Path, task: Any, table: pa.Table, *, progress: Progress) -> np.ndarray:
    """(n, C) probabilities of the teacher in a run or model folder, for labelled records, in the order of the task's labels.

    BurnishError where it answers another task or other labels.
    """
    from burnish.tasks import predictor

    where = "train.tune.distil"
    teacher = predictor.load(folder)
    if not getattr(task, "one_label", True) or "label" not in task.target:
        raise BurnishError(
            f"distil is for one label a text, not for {task.name}",
            where=where,
            hint="let the teacher label raw text instead: construct: {use: model, path: ...}",
        )
    if sorted(teacher.labels) != sorted(task.labels):
        raise BurnishError(
            f"the teacher knows {', '.join(teacher.labels)}, the task {', '.join(task.labels)}",
            where=where,
            hint="a teacher has the labels of the task; construct's model maps other ones",
        )
    order = [list(teacher.labels).index(label) for label in task.labels]
    parts = []
    with progress.bar("the teacher answers", len(table)) as bar:
        for start in range(0, len(table), ROWS):
            inputs = task.inputs(table.slice(start, ROWS))
            found = teacher.answers(inputs).probabilities
            assert found is not None, "one label a text comes with probabilities"
            parts.append(np.asarray(found, np.float32)[:, order])
            bar.advance(len(inputs))
    return np.concatenate(parts)
