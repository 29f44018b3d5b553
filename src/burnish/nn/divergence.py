"""How far two answers of a network to the same batch lie apart: what R-Drop and SMART make small.

B examples, L tokens, C classes, T target tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from burnish.core.errors import BurnishError
from burnish.nn.batches import Batch
from burnish.nn.costs import task_of
from burnish.nn.examples import IGNORED
from burnish.nn.generation_objectives import NextToken, Predicted
from burnish.nn.objectives import (
    BinaryCrossEntropy,
    ContinuationRatio,
    CrossEntropy,
    Several,
    SquaredError,
    SubsetCrossEntropy,
    TokenCrossEntropy,
)
from burnish.nn.span_objectives import Borders

Apart = Callable[[Any, Any, Any, Batch], Tensor]


def divergence(objective: Any, one: Any, two: Any, batch: Batch) -> Tensor:
    """(B) KL(one || two) + KL(two || one) of the probabilities in two outputs; squared differences of numbers.

    Over tokens and over labels it is averaged as the objective averages its loss.
    """
    task = task_of(objective)
    apart: Tensor = APART[type(task)](task, one, two, batch)
    return apart


def check(objective: Any, name: str) -> None:
    """BurnishError where two outputs of this objective cannot be compared; name: of the regulariser that wants to."""
    task = task_of(objective)
    for one in task.objectives.values() if isinstance(task, Several) else [task]:
        if type(one) not in APART:
            raise BurnishError(
                f"{name} compares probabilities, which {type(one).__name__} does not give",
                where="train.tune.regularise",
                hint="leave it out, or take fgm, pgd, freelb, ema or average",
            )


def _both_ways(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL in both directions, over the last axis."""
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


def _choice(objective: Any, one: Tensor, two: Tensor, batch: Batch) -> Tensor:
    return _both_ways(*(functional.log_softmax(side.float(), -1) for side in (one, two)))


def _yes_or_no(objective: Any, one: Tensor, two: Tensor, batch: Batch) -> Tensor:
    one, two = one.float(), two.float()
    return ((torch.sigmoid(one) - torch.sigmoid(two)) * (one - two)).mean(1)


def _numbers(objective: Any, one: Tensor, two: Tensor, batch: Batch) -> Tensor:
    return (one.float() - two.float()).square().mean(1)


def _tokens(objective: Any, one: Tensor, two: Tensor, batch: Batch) -> Tensor:
    assert batch.token_targets_BL is not None
    told_BL = batch.token_targets_BL != IGNORED
    return (_choice(objective, one, two, batch) * told_BL).sum(1) / told_BL.sum(1).clamp(min=1)


def _borders(objective: Any, one: Tensor, two: Tensor, batch: Batch) -> Tensor:
    """Over the tokens where an answer may begin or end."""
    assert batch.token_targets_BL is not None
    open_BL1 = (batch.token_targets_BL != IGNORED).unsqueeze(-1)
    low = torch.finfo(torch.float32).min
    sides = (functional.log_softmax(side.float().masked_fill(~open_BL1, low), 1) for side in (one, two))
    log_p, log_q = (side.masked_fill(~open_BL1, 0.0).transpose(1, 2) for side in sides)
    return _both_ways(log_p, log_q).mean(1)


def _next(objective: Any, one: Predicted, two: Predicted, batch: Batch) -> Tensor:
    log_p, log_q = (functional.log_softmax(side.logits_TV.float(), -1) for side in (one, two))
    scale = len(batch.rows) / max(len(one.targets_T), 1)
    empty = torch.zeros(len(batch.rows), device=log_p.device)
    return empty.index_add(0, one.of_T, _both_ways(log_p, log_q) * scale)


def _several(objective: Several, one: Any, two: Any, batch: Batch) -> Tensor:
    """The sum over the heads that a window has targets for."""
    assert batch.several is not None
    total_B = torch.zeros(len(batch.rows))
    for name, part in batch.several.items():
        told = torch.from_numpy(np.flatnonzero(np.isin(batch.rows, part.rows)))
        apart = divergence(objective.objectives[name], one[name][told], two[name][told], part)
        total_B = total_B.index_add(0, told, apart)
    return total_B


APART: dict[type, Apart] = {
    CrossEntropy: _choice,
    SubsetCrossEntropy: _choice,
    TokenCrossEntropy: _tokens,
    BinaryCrossEntropy: _yes_or_no,
    ContinuationRatio: _yes_or_no,
    SquaredError: _numbers,
    Borders: _borders,
    NextToken: _next,
    Several: _several,
}


def detached(outputs: Any) -> Any:
    """The same outputs, through which no gradient goes back."""
    if isinstance(outputs, Tensor):
        return outputs.detach()
    if isinstance(outputs, Predicted):
        return Predicted(outputs.logits_TV.detach(), outputs.targets_T, outputs.of_T)
    return {name: value.detach() for name, value in outputs.items()}
