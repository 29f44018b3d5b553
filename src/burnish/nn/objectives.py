"""What training makes small.

B examples, L tokens, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from burnish.core.errors import BurnishError
from burnish.nn.batches import Batch
from burnish.nn.costs import Cost, cost_of, restore, state_of
from burnish.nn.examples import IGNORED, Examples
from burnish.nn.losses.base import CrossEntropyLoss, Loss
from burnish.nn.models import Head


class Objective(Protocol):
    """The loss of each example of a batch (B), float32; the loop weighs, averages and differentiates it.

    outputs: what the model gave for the batch; model: for what is learnt outside forward (a CRF's transitions).
    """

    def loss(self, outputs: Any, batch: Batch, model: Any) -> Tensor: ...


@dataclass(frozen=True)
class CrossEntropy:
    """One class a text: targets (B) hard or (B, C) soft, outputs (B, C). class_weights: (C) or None.

    cost: another loss than cross entropy, its weights of classes in it.
    """

    class_weights: np.ndarray | None = None
    label_smoothing: float = 0.0
    cost: Cost | None = None

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        assert batch.targets is not None
        if self.cost is not None:
            learning = model is not None and model.training
            return self.cost.texts(outputs, batch.targets, batch, smoothing=self.label_smoothing, learning=learning)
        weights = None if self.class_weights is None else torch.from_numpy(self.class_weights)
        return cross_entropy(outputs, batch.targets, class_weights_C=weights, label_smoothing=self.label_smoothing)

    def state(self) -> dict[str, Tensor]:
        """What the loss remembers."""
        return {} if self.cost is None else self.cost.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        if self.cost is not None:
            self.cost.restore(state)


@dataclass(frozen=True)
class TokenCrossEntropy:
    """One class a token: token_targets (B, L), outputs (B, L, C); the loss of a text is the mean over its tokens."""

    class_weights: np.ndarray | None = None
    label_smoothing: float = 0.0
    cost: Cost | None = None

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        assert batch.token_targets_BL is not None
        if self.cost is not None:
            learning = model is not None and model.training
            loss_BL = self.cost.tokens(outputs, batch, smoothing=self.label_smoothing, learning=learning)
        else:
            loss_BL = functional.cross_entropy(
                outputs.float().transpose(1, 2),
                batch.token_targets_BL,
                weight=None if self.class_weights is None else torch.from_numpy(self.class_weights),
                ignore_index=IGNORED,
                label_smoothing=self.label_smoothing,
                reduction="none",
            )
        told_BL = batch.token_targets_BL != IGNORED
        return loss_BL.sum(1) / told_BL.sum(1).clamp(min=1)

    def state(self) -> dict[str, Tensor]:
        """What the loss remembers."""
        return {} if self.cost is None else self.cost.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        if self.cost is not None:
            self.cost.restore(state)


@dataclass(frozen=True)
class SquaredError:
    """Numbers: targets and outputs (B, C) float."""

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        assert batch.targets is not None
        return (outputs.float() - batch.targets).square().mean(1)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Any number of classes a text: targets (B, C) each 0..1, outputs (B, C). class_weights: (C) or None."""

    class_weights: np.ndarray | None = None
    label_smoothing: float = 0.0
    cost: Cost | None = None

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        assert batch.targets is not None
        targets_BC = batch.targets * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        if self.cost is not None:
            return self.cost.labels(outputs, targets_BC, batch).mean(1)
        loss_BC = functional.binary_cross_entropy_with_logits(outputs.float(), targets_BC, reduction="none")
        if self.class_weights is not None:
            loss_BC = loss_BC * torch.from_numpy(self.class_weights)
        return loss_BC.mean(1)


@dataclass(frozen=True)
class ContinuationRatio:
    """One class a text out of C in an order: targets (B, C) shares, outputs (B, C - 1).

    Output c is the logit of "above class c, given at least class c", so P(above c) is a product that falls with c
    whatever the weights are: the ranks are consistent, as CORAL's (Cao, Mirjalili & Raschka 2020) are by shared weights,
    and the layer stays a plain one (CORN: Shi, Cao & Raschka 2021). The loss is the cross entropy of the classes.
    """

    class_weights: np.ndarray | None = None

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        assert batch.targets is not None
        targets_BC = batch.targets
        if self.class_weights is not None:
            targets_BC = targets_BC * torch.from_numpy(self.class_weights)
        count = outputs.shape[1]
        above_BC = outputs.float() + torch.arange(count, 0, -1, device=outputs.device).log()
        reached_BC = targets_BC.flip(1).cumsum(1).flip(1)  # how much of the target is in class c or above
        passed, stayed = functional.logsigmoid(above_BC), functional.logsigmoid(-above_BC)
        return -(reached_BC[:, 1:] * passed + targets_BC[:, :-1] * stayed).sum(1)


@dataclass(frozen=True)
class SubsetCrossEntropy:
    """One class a text, of which sometimes only a set is known: targets (B, C) are shares that sum to 1, or 1 for each
    class of a set of several.

    The loss is cross entropy for shares, and for a set the negative log of its probability.
    """

    class_weights: np.ndarray | None = None

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        assert batch.targets is not None
        targets_BC, log_p_BC = batch.targets, functional.log_softmax(outputs.float(), -1)
        several_B = targets_BC.sum(-1) > 1.5
        set_B = -torch.logsumexp(log_p_BC.masked_fill(targets_BC <= 0, -torch.inf), -1)
        loss_B = torch.where(several_B, set_B, -(targets_BC * log_p_BC).sum(-1))
        if self.class_weights is None:
            return loss_B
        weighed_B = (targets_BC * torch.from_numpy(self.class_weights)).sum(1)
        return loss_B * weighed_B / targets_BC.sum(1)


CHOICES = {CrossEntropy: False, TokenCrossEntropy: True}  # objectives of one class out of C; whether it is of tokens


def with_loss(objective: Any, loss: Loss, *, examples: Examples, head: Head) -> Any:
    """The objective with another loss of classes, made ready for what it will learn. examples: the training side.

    Raises BurnishError where the objective does not learn one class a text or token, or, for losses that can
    (`Loss.binary`), any number of labels a text.
    """
    if type(loss) is CrossEntropyLoss:
        return objective
    if isinstance(objective, Several):
        heads, several = head.more["heads"], examples.several or {}
        parts = {
            name: with_loss(one, loss, examples=several[name], head=Head(**heads[name]))
            for name, one in objective.objectives.items()
        }
        return replace(objective, objectives=parts)
    binary = type(objective) is BinaryCrossEntropy
    if binary and not loss.binary:
        raise BurnishError(
            f"the loss {loss.name} is for one class a text or token, not for several labels a text",
            where="train.tune.loss",
            hint="leave it out, or take focal, class_balanced, gce or symmetric",
        )
    if type(objective) not in (*CHOICES, BinaryCrossEntropy):
        raise BurnishError(
            f"the loss {loss.name} is for one class a text or token, not for what this task learns",
            where="train.tune.loss",
            hint="leave it out",
        )
    cost = cost_of(loss, examples, classes=len(head.labels), tokens=CHOICES.get(type(objective), False))
    if binary:  # class weights of labels are the objective's own
        return replace(objective, cost=cost)
    return replace(objective, class_weights=None, cost=cost.weighed(objective.class_weights))


def class_weights(examples: Examples, head: Head) -> Any:
    """`balanced_weights` of the classes that examples teach, of texts or of tokens; None where they teach no classes.

    Of several heads {name: those of the head}.
    """
    if examples.several is not None:
        parts = {name: Head(**head.more["heads"][name]) for name in examples.several}
        return {name: class_weights(part, parts[name]) for name, part in examples.several.items()}
    num_classes, targets = len(head.labels), examples.targets
    if targets is not None and examples.weights is not None:
        targets = targets[examples.weights > 0]
    if examples.token_targets is not None:
        targets = examples.token_targets[examples.token_targets != IGNORED]
        if targets.max(initial=0) >= num_classes:
            return None  # bits, not classes (nn.borders)
    whole = targets is not None and (
        targets.shape[1:] == (num_classes,) or (targets.dtype == np.int64 and targets.ndim == 1)
    )
    return balanced_weights(targets, num_classes=num_classes) if targets is not None and whole else None


@dataclass(frozen=True)
class Several:
    """The sum of the losses of several heads; a window counts for the heads that it has targets for.

    weights: what each head's loss counts, or None where the model learns it: a loss of log variance s counts
    exp(-s) loss + s / 2 (Kendall, Gal & Cipolla 2018, for classification).
    A head with few records weighs little in this sum, as in training on all records at once; `Examples.weights` says
    otherwise where that is wanted.
    """

    objectives: Mapping[str, Objective]
    weights: Mapping[str, float] | None

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch, model: Any) -> Tensor:
        assert batch.several is not None
        # a batch of windows without any target has a loss of 0 that can still be differentiated
        total_B = torch.stack([0.0 * out.flatten(1).sum(1).float() for out in outputs.values()]).sum(0)
        for at, (name, objective) in enumerate(self.objectives.items()):
            part = batch.several.get(name)
            if part is None:
                continue
            told = torch.from_numpy(np.flatnonzero(np.isin(batch.rows, part.rows)))
            loss_b = objective.loss(outputs[name][told], part, model.part(name))
            if self.weights is None:
                spread = model.balance.log_variances()[at]
                loss_b = torch.exp(-spread) * loss_b + spread / 2
            else:
                loss_b = self.weights[name] * loss_b
            if part.weights is not None:
                loss_b = loss_b * part.weights
            total_B = total_B.index_add(0, told, loss_b.float())
        return total_B

    def state(self) -> dict[str, Tensor]:
        """What the losses of the heads remember, by head."""
        kept = {name: state_of(one) for name, one in self.objectives.items()}
        return {f"{name}/{key}": value for name, one in kept.items() for key, value in one.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        for name, one in self.objectives.items():
            if own := {key.rpartition("/")[2]: value for key, value in state.items() if key.rpartition("/")[0] == name}:
                restore(one, own)


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
