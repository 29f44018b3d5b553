"""What is looked at on the way: the loss of held-out text, and how far a linear probe gets on labelled texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Gold, Records, Split
from burnish.core.errors import BurnishError
from burnish.core.stage import Context
from burnish.text.inputs import said

MOST, LEAST = 600, 40  # labelled records a probe reads, and needs
FOLDS = 5
COLUMNS = ["text", "text_b", "messages", "label", "keep"]


@dataclass(frozen=True)
class Probed:
    """Texts, their classes (n) and where they come from."""

    texts: list[str]
    classes: np.ndarray
    about: str


def probe_of(
    path: Path | None, gold: Gold | None, split: Split | None, records: Records | None, context: Context
) -> Probed | None:
    """Labelled texts for the probe: of the file, else checked ones, else of the training side; None where too few have a
    label. DataError or BurnishError where the file that was asked for has none."""
    from burnish.core.files import read_table

    if path is not None:
        found = _labelled(read_table(path, base=context.base, targets=("label",)), context.seed, path.name)
        if found is None:
            raise BurnishError(
                f"a probe wants {LEAST} texts with a label, of two classes at least",
                where=str(path),
                hint="train.pretrain.probe: a file with text and label",
            )
        return found
    side = split.train if split is not None else records
    for table, about in ((gold, "gold"), (side, "training side")):
        if table is not None and (found := _labelled(table.table(COLUMNS), context.seed, about)) is not None:
            return found
    return None


def _labelled(table: pa.Table, seed: int, about: str) -> Probed | None:
    rows = np.flatnonzero([label is not None and keep for label, keep in _columns(table)])
    if len(rows) < LEAST:
        return None
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST])
    table = table.take(pa.array(rows))
    names, classes = np.unique(np.array(table["label"].to_pylist(), dtype=str), return_inverse=True)
    return Probed(said(table), classes, f"{about}: {len(rows)} texts, {len(names)} classes") if len(names) > 1 else None


def _columns(table: pa.Table) -> list[tuple[Any, Any]]:
    return list(zip(table["label"].to_pylist(), table["keep"].to_pylist(), strict=True))


def judge(objective: Any, validation: Any, probed: Probed | None, tokenizer: Any, length: int, *, seed: int) -> Any:
    """The judge of the loop: held-out loss chooses the weights, the probe is shown; None where there is neither."""
    from burnish.nn.language_models import held_out_loss, vectors_of
    from burnish.nn.training import Judge

    if validation is None and probed is None:
        return None

    def score(model: Any) -> tuple[float, float]:
        loss = held_out_loss(model, objective, validation, seed=seed)
        return -loss, loss

    more = None
    if probed is not None:
        from burnish.nn.examples import encode

        examples = encode(probed.texts, tokenizer, max_length=length)

        def more(model: Any) -> dict[str, float]:
            return {"probe": probe_accuracy(vectors_of(model, examples), probed.classes, seed=seed)}

    return Judge("log likelihood", score, chooses=validation is not None, more=more)


def probe_accuracy(vectors: np.ndarray, classes: np.ndarray, *, seed: int) -> float:
    """Accuracy of a linear probe on texts that it has not seen, 0..1, by five folds."""
    from burnish.nn.probe import out_of_sample

    found = out_of_sample(vectors, classes, num_classes=int(classes.max()) + 1, folds=FOLDS, seed=seed, l2=0.01)
    return float((found.argmax(1) == classes).mean())


def last_loss(history: Any) -> float:
    """The best held-out loss, else the mean training loss of the last tenth."""
    held = [one.validation_loss for one in history.epochs if one.validation_loss is not None]
    tail = history.losses[-max(1, len(history.losses) // 10) :]
    return min(held) if held else float(np.mean(tail))
