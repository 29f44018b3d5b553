"""A student that learns from how sure a teacher is, beside the labels (Hinton, Vinyals & Dean 2015).

    loss = (1 - weight) task loss + weight T^2 KL(teacher^(1/T) || student^(1/T))

where p^(1/T) is p raised to 1/T and normalised. N examples, C classes, B of a batch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from burnish.nn.batches import Batch


@dataclass(frozen=True)
class Distilled:
    """An objective with a teacher beside it. probabilities: (N, C) of the teacher for the training examples, by row."""

    objective: Any
    probabilities: np.ndarray = field(repr=False)
    weight: float
    temperature: float
    digest: str = ""

    def __post_init__(self) -> None:
        content = np.ascontiguousarray(self.probabilities, np.float32).tobytes()
        object.__setattr__(self, "digest", hashlib.sha256(content).hexdigest())  # `repr` stands in the run's checksum

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        """(B) float32."""
        teacher_BC = torch.from_numpy(np.asarray(self.probabilities[batch.rows], np.float32)).clamp(min=1e-7).log()
        teacher_BC = functional.log_softmax(teacher_BC / self.temperature, -1)
        student_BC = functional.log_softmax(outputs.float() / self.temperature, -1)
        apart_B = (teacher_BC.exp() * (teacher_BC - student_BC)).sum(-1) * self.temperature**2
        own_B: Tensor = self.objective.loss(outputs, batch, model)
        return (1.0 - self.weight) * own_B + self.weight * apart_B
