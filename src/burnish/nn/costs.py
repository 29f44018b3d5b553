"""A loss of `nn.losses` at work in an objective: rows of classes in, what each costs out, with what it remembers.

N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from burnish.nn.batches import Batch
from burnish.nn.examples import IGNORED, Examples
from burnish.nn.losses.base import Loss


@dataclass
class Memory:
    """What a loss remembers: one row of `values` for each text, or for each token (of window i from offsets[i] on).

    It moves once for each batch object: a regulariser that reads the batch twice in a step does not make it older.
    """

    values: Tensor
    offsets: np.ndarray | None = None
    _last: Batch | None = None
    own: bool = True  # whether what is read now is this process's to tell the others
    _moved: list[Tensor] = field(default_factory=list)

    def places(self, batch: Batch) -> Tensor:
        """Rows of `values`: (B) of texts, (B, L) of tokens, where padding points anywhere."""
        rows_B = torch.from_numpy(np.ascontiguousarray(batch.rows))
        if self.offsets is None:
            return rows_B
        begins_B = torch.from_numpy(np.ascontiguousarray(self.offsets[batch.rows]))
        return begins_B[:, None] + torch.arange(batch.ids_BL.shape[1])[None, :]

    def of(self, loss: Loss, places_N: Tensor, p_NC: Tensor, batch: Batch) -> Tensor:
        """(N, C) what is remembered of these rows, after they were read."""
        if batch is not self._last:
            self._last = batch
            self._moved += [places_N] if self.own else []
            self.values[places_N] = loss.remember(self.values[places_N], p_NC.detach().to(self.values))
        return self.values[places_N].to(p_NC)

    def moved(self) -> Tensor:
        """(U) rows of `values` that moved since it was last asked, of those that are this process's own."""
        rows = self._moved or [torch.zeros(0, dtype=torch.long)]
        self._moved = []
        return torch.cat(rows)


@dataclass(frozen=True)
class Cost:
    """A loss in an objective. weights_C: what the loss itself weighs classes by; memory: of a loss that remembers."""

    loss: Loss
    weights_C: np.ndarray | None = field(default=None, repr=False)
    memory: Memory | None = field(default=None, repr=False, compare=False)

    def texts(self, logits_BC: Tensor, targets: Tensor, batch: Batch, *, smoothing: float, learning: bool) -> Tensor:
        """(B) of one class a text; targets: (B) numbers or (B, C) shares."""
        places_B = self.memory.places(batch) if self.memory is not None and learning else None
        return self._of(logits_BC, targets, places_B, batch, smoothing)

    def tokens(self, logits_BLC: Tensor, batch: Batch, *, smoothing: float, learning: bool) -> Tensor:
        """(B, L) of one class a token, 0 where there is none."""
        targets_BL = batch.token_targets_BL
        assert targets_BL is not None
        told_BL = targets_BL != IGNORED
        places_N = self.memory.places(batch)[told_BL] if self.memory is not None and learning else None
        loss_N = self._of(logits_BLC[told_BL], targets_BL[told_BL], places_N, batch, smoothing)
        return torch.zeros(targets_BL.shape).masked_scatter(told_BL, loss_N)

    def labels(self, logits_BC: Tensor, targets_BC: Tensor, batch: Batch) -> Tensor:
        """(B, C) of any number of labels a text: each is a choice between yes and no."""
        scores_BC = logits_BC.float()
        log_p_N2 = torch.stack([functional.logsigmoid(scores_BC), functional.logsigmoid(-scores_BC)], -1).view(-1, 2)
        target_N2 = torch.stack([targets_BC, 1.0 - targets_BC], -1).view(-1, 2)
        loss_BC: Tensor = self.loss.of(log_p_N2, target_N2).view(scores_BC.shape)
        return loss_BC if self.weights_C is None else loss_BC * torch.from_numpy(self.weights_C)

    def _of(
        self, logits_NC: Tensor, targets: Tensor, places_N: Tensor | None, batch: Batch, smoothing: float
    ) -> Tensor:
        log_p_NC = functional.log_softmax(logits_NC.float(), -1)
        classes = logits_NC.shape[-1]
        target_NC = targets if targets.ndim == 2 else functional.one_hot(targets, classes).float()
        if smoothing:
            target_NC = target_NC * (1.0 - smoothing) + smoothing / classes
        remembered = None
        if self.memory is not None and places_N is not None:
            remembered = self.memory.of(self.loss, places_N, log_p_NC.exp(), batch)
        loss_N: Tensor = self.loss.of(log_p_NC, target_NC, remembered)
        if self.weights_C is not None:
            loss_N = loss_N * (target_NC @ torch.from_numpy(self.weights_C))
        return loss_N

    def weighed(self, class_weights: np.ndarray | None) -> Cost:
        """The same with further class weights on top."""
        if class_weights is None:
            return self
        own = class_weights if self.weights_C is None else self.weights_C * class_weights
        return replace(self, weights_C=own.astype(np.float32))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of it."""
        return {} if self.memory is None else {"memory": self.memory.values}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        if self.memory is not None:
            self.memory.values.copy_(state["memory"])


def cost_of(loss: Loss, examples: Examples, *, classes: int, tokens: bool = False) -> Cost:
    """A loss made ready for these training examples; tokens: the classes are of tokens."""
    counts_C = counted(examples, classes=classes, tokens=tokens)
    memory = None
    if loss.remembers:
        rows = int(examples.offsets[-1]) if tokens else len(examples)
        memory = Memory(torch.zeros(rows, classes), np.asarray(examples.offsets[:-1]) if tokens else None)
    return Cost(loss, loss.weights(counts_C), memory)


def counted(examples: Examples, *, classes: int, tokens: bool = False) -> np.ndarray:
    """(C) float64, how many rows have each class; soft targets count by share, windows of weight 0 do not."""
    targets = examples.token_targets if tokens else examples.targets
    assert targets is not None
    if tokens:
        targets = targets[targets != IGNORED]
    elif examples.weights is not None:
        targets = targets[examples.weights > 0]
    if targets.ndim == 2:
        summed: np.ndarray = targets.sum(0, dtype=np.float64)
        return summed
    return np.bincount(targets, minlength=classes).astype(np.float64)


def task_of(objective: Any) -> Any:
    """The objective of the task under what stands around it (`nn.distillation.Distilled`)."""
    inner = getattr(objective, "objective", None)
    return objective if inner is None else task_of(inner)


def memories(objective: Any) -> list[Memory]:
    """What the losses in an objective remember, of all its heads."""
    inner = task_of(objective)
    own = getattr(getattr(inner, "cost", None), "memory", None)
    found = [one for head in getattr(inner, "objectives", {}).values() for one in memories(head)]
    return found + ([own] if own is not None else [])


def state_of(objective: Any) -> dict[str, Tensor]:
    """What a checkpoint must keep of an objective; {} for most."""
    return dict(getattr(task_of(objective), "state", dict)())


def restore(objective: Any, state: Mapping[str, Tensor]) -> None:
    """Give an objective back what `state_of` found."""
    task_of(objective).restore(state)
