"""What training makes small: cross entropy of hard or soft labels.

B examples, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def balanced_weights(targets: np.ndarray, *, num_classes: int) -> np.ndarray:
    """Weight of each class so that all classes count the same: n / (C x count), 0 for a class that never occurs.

    targets: int64 of n, or float32 of (n, C). The mean weight over the examples is 1. (King & Zeng 2001, as sklearn.)
    """
    counts = targets.sum(0) if targets.ndim == 2 else np.bincount(targets, minlength=num_classes).astype(np.float64)
    present = counts > 0
    weights = np.zeros(num_classes)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights.astype(np.float32)


def cross_entropy(
    logits_BC: Tensor,
    targets: Tensor,
    *,
    class_weights_C: Tensor | None = None,
    weights_B: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Loss of each example (B), already weighted; divide the sum by the number of examples.

    targets: int64 (B) or float (B, C) with rows that sum to 1. A class weight scales its part of the target.
    label_smoothing: share of the target spread evenly over the classes, 0..1 (Szegedy et al. 2016).
    """
    log_p_BC = functional.log_softmax(logits_BC.float(), -1)
    num_classes = logits_BC.shape[-1]
    target_BC = targets if targets.ndim == 2 else functional.one_hot(targets, num_classes).float()
    if label_smoothing:
        target_BC = target_BC * (1.0 - label_smoothing) + label_smoothing / num_classes
    if class_weights_C is not None:
        target_BC = target_BC * class_weights_C
    loss_B = -(target_BC * log_p_BC).sum(-1)
    return loss_B if weights_B is None else loss_B * weights_B


def as_targets(targets: np.ndarray, rows: np.ndarray) -> Tensor:
    """The targets at `rows` as a tensor."""
    return torch.from_numpy(np.ascontiguousarray(targets[rows]))
