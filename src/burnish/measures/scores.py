"""How good predictions are: classification.

Targets and predictions are class numbers 0..num_classes - 1, shape (n,); probabilities are (n, num_classes) and sum to 1.
A class that nobody has or nobody predicts scores 0 where its formula would divide by zero, as scikit-learn does with
zero_division=0, and never warns. Everything of labels alone comes from the confusion matrix, so that bootstraps are cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def confusion(targets: ArrayLike, predictions: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Count pairs: (num_classes, num_classes), rows are targets, columns predictions."""
    targets, predictions = np.asarray(targets, dtype=np.int64), np.asarray(predictions, dtype=np.int64)
    if targets.shape != predictions.shape or targets.ndim != 1:
        raise ValueError(f"targets {targets.shape} and predictions {predictions.shape} must be of one length")
    for name, values in (("targets", targets), ("predictions", predictions)):
        if len(values) and not (values.min() >= 0 and values.max() < num_classes):
            raise ValueError(f"{name} must lie in 0..{num_classes - 1}, found {values.min()}..{values.max()}")
    return np.bincount(targets * num_classes + predictions, minlength=num_classes**2).reshape(num_classes, num_classes)


def per_class(matrix: NDArray[Any]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return (precision, recall, f1, support), each (..., classes), of confusion matrices (..., classes, classes)."""
    hit = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    support, predicted = matrix.sum(-1).astype(np.float64), matrix.sum(-2).astype(np.float64)
    return _ratio(hit, predicted), _ratio(hit, support), _ratio(2 * hit, predicted + support), support


def accuracy(matrix: NDArray[Any]) -> Floats:
    """Share of right predictions of confusion matrices (..., classes, classes): (...). For one label a record it is micro F1."""
    return _ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1)))


micro_f1 = accuracy


def macro_f1(matrix: NDArray[Any]) -> Floats:
    """Mean F1 over the classes that are a target or a prediction somewhere, as scikit-learn counts them: (...)."""
    _, _, f1, support = per_class(matrix)
    present = (support > 0) | (matrix.sum(-2) > 0)
    return _ratio((f1 * present).sum(-1), present.sum(-1))


def weighted_f1(matrix: NDArray[Any]) -> Floats:
    """F1 weighted by support: (...)."""
    _, _, f1, support = per_class(matrix)
    return _ratio((f1 * support).sum(-1), support.sum(-1))


def matthews(matrix: NDArray[Any]) -> Floats:
    """Matthews correlation for any number of classes, -1..1; 0 where one side has a single class: (...).

    Gorodkin 2004, R_K: (c s - p.t) / sqrt((s^2 - p.p)(s^2 - t.t)).
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    targets, predicted = matrix.sum(-1), matrix.sum(-2)
    right, all_ = np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1))
    spread = (all_**2 - (predicted**2).sum(-1)) * (all_**2 - (targets**2).sum(-1))
    return _ratio(right * all_ - (predicted * targets).sum(-1), np.sqrt(spread))


def top_k_accuracy(targets: ArrayLike, probabilities: ArrayLike, k: int) -> float:
    """Share of records whose target is among the k likeliest classes; of equal probabilities the lower class comes first."""
    targets, probabilities = _checked(targets, probabilities)
    own = probabilities[np.arange(len(targets)), targets][:, None]
    before = np.arange(probabilities.shape[1]) < targets[:, None]
    rank = ((probabilities > own) | ((probabilities == own) & before)).sum(1)
    return float((rank < k).mean())


def log_loss(targets: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean negative log probability of the target, in nats; probabilities are clipped to the smallest positive double step."""
    targets, probabilities = _checked(targets, probabilities)
    own = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.clip(own, np.finfo(np.float64).eps, 1)).mean())


def brier(targets: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared distance of probabilities to the one-hot target, summed over classes, 0..2 (Brier 1950)."""
    targets, probabilities = _checked(targets, probabilities)
    return float((probabilities**2).sum(1).mean() + 1 - 2 * probabilities[np.arange(len(targets)), targets].mean())


def reliability(targets: ArrayLike, probabilities: ArrayLike, *, bins: int = 15) -> dict[str, Floats]:
    """Return per bin of confidence (the top probability): lower, upper, count, confidence and accuracy (NaN if empty).

    Bins are of equal width and closed on the right, (lower, upper], as in Guo et al. 2017.
    """
    targets, probabilities = _checked(targets, probabilities)
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == targets
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, weights=confidence, minlength=bins) / count
        share = np.bincount(place, weights=right, minlength=bins) / count
    return {"lower": edges[:-1], "upper": edges[1:], "count": count, "confidence": mean, "accuracy": share}


def ece(targets: ArrayLike, probabilities: ArrayLike, *, bins: int = 15) -> float:
    """Expected calibration error: sum over bins of share of records x |accuracy - confidence|, 0..1.

    Naeini et al. 2015; 15 bins of equal width and the top label as in Guo et al. 2017, equation 3.
    """
    table = reliability(targets, probabilities, bins=bins)
    gap = np.nan_to_num(np.abs(table["accuracy"] - table["confidence"]))
    return float((table["count"] * gap).sum() / max(table["count"].sum(), 1))


def threshold_curve(targets: ArrayLike, scores: ArrayLike) -> dict[str, Floats]:
    """Return threshold, precision, recall and f1 of "score >= threshold" for every distinct score, ascending.

    targets: (n,) bool or 0/1; scores: (n,). For a multi-class model call it with one class's column.
    """
    targets, scores = np.asarray(targets, dtype=bool), np.asarray(scores, dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(targets[order])
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))[::-1]  # of equal scores the last counts them all
    hit, kept, positive = hits[last].astype(np.float64), last + 1.0, float(targets.sum())
    precision, recall = hit / kept, _ratio(hit, np.full(len(last), positive))
    return {
        "threshold": scores[order][last],
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * hit, kept + positive),
    }


def coverage_curve(targets: ArrayLike, probabilities: ArrayLike) -> dict[str, Floats]:
    """Return threshold, coverage and accuracy when only predictions at least as confident as the threshold are given."""
    targets, probabilities = _checked(targets, probabilities)
    curve = threshold_curve(probabilities.argmax(1) == targets, probabilities.max(1))
    confidence = np.sort(probabilities.max(1))
    kept = len(confidence) - np.searchsorted(confidence, curve["threshold"], side="left")
    return {
        "threshold": curve["threshold"],
        "coverage": kept / max(len(confidence), 1),
        "accuracy": curve["precision"],
    }


def classification_scores(
    targets: ArrayLike, predictions: ArrayLike, labels: Sequence[str], *, probabilities: ArrayLike | None = None
) -> dict[str, Any]:
    """Return every score as plain numbers, ready for JSON; those of probabilities only if they are given."""
    matrix = confusion(targets, predictions, len(labels))
    columns = zip(labels, *(column.tolist() for column in per_class(matrix)), strict=True)
    scores: dict[str, Any] = {
        "n": int(matrix.sum()),
        "accuracy": float(accuracy(matrix)),
        "macro_f1": float(macro_f1(matrix)),
        "micro_f1": float(micro_f1(matrix)),
        "weighted_f1": float(weighted_f1(matrix)),
        "mcc": float(matthews(matrix)),
        "per_class": {
            label: {"precision": precision, "recall": recall, "f1": f1, "support": int(support)}
            for label, precision, recall, f1, support in columns
        },
        "confusion": matrix.tolist(),
    }
    if probabilities is not None:
        scores |= {
            "log_loss": log_loss(targets, probabilities),
            "brier": brier(targets, probabilities),
            "ece": ece(targets, probabilities),
        }
    return scores


def classification_report(targets: ArrayLike, predictions: ArrayLike, labels: Sequence[str], *, digits: int = 2) -> str:
    """Return precision, recall, F1 and support of each label as text, in scikit-learn's layout to the character."""
    matrix = confusion(targets, predictions, len(labels))
    precision, recall, f1, support = per_class(matrix)
    total = int(support.sum())
    width = max([len(label) for label in labels] + [len("weighted avg"), digits])
    row = f"{{:>{width}s}} " + f" {{:>9.{digits}f}}" * 3 + " {:>9}\n"
    text = (
        f"{'':>{width}s} " + "".join(f" {name:>9}" for name in ("precision", "recall", "f1-score", "support")) + "\n\n"
    )
    for label, *figures, count in zip(labels, precision, recall, f1, support, strict=True):
        text += row.format(label, *figures, int(count))
    text += f"\n{'accuracy':>{width}s} " + " " * 20 + f" {float(accuracy(matrix)):>9.{digits}f} {total:>9}\n"
    text += row.format("macro avg", precision.mean(), recall.mean(), f1.mean(), total)
    # Multiplied before divided, as scikit-learn does: the last digit of a tie depends on it.
    weighted = (_ratio((column * support).sum(), total) for column in (precision, recall, f1))
    text += row.format("weighted avg", *map(float, weighted), total)
    return text


def _ratio(over: Any, under: Any) -> Floats:
    """Divide, 0 where there is nothing to divide by."""
    over, under = np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64)
    divided: Floats = np.divide(over, under, out=np.zeros(np.broadcast(over, under).shape), where=under != 0)
    return divided


def _checked(targets: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    targets, probabilities = np.asarray(targets, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or len(targets) != len(probabilities):
        raise ValueError(f"probabilities must be ({len(targets)}, classes), not {probabilities.shape}")
    if not len(targets):
        raise ValueError("a score needs at least one record")
    return targets, probabilities
