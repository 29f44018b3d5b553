"""What a ranker makes small: of each candidate alone, of pairs of them, of the whole list.

Examples of a ranker have `groups`: the windows of one query and its candidates. `targets` is float32 (W, 2): RELEVANCE,
0..1, or QUERY (-1) where the window is a query of its own (two towers); and TEXT, the number of its text, equal
for equal texts. A cross-encoder has no query windows: each of its windows is a pair.

B windows, C candidates, G queries, D vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from burnish.nn.batches import Batch

RELEVANCE, TEXT = 0, 1
QUERY = -1.0


@dataclass(frozen=True)
class RankingLoss:
    """One loss for cross-encoders (outputs (B, 1), scores) and two towers (outputs (B, D), vectors of length 1).

    kind: pointwise is binary cross entropy of each score (squared error of each cosine); pairwise RankNet (Burges
    2005); listwise the softmax cross entropy within the query (ListNet's top one, Cao 2007), which with two towers and
    in_batch is InfoNCE: the candidates of all other queries are negatives too, unless known to be relevant.
    temperature: scores are divided by it. dimensions: the loss is the mean over vectors cut to each (Kusupati 2022).
    """

    kind: Literal["pointwise", "pairwise", "listwise"]
    temperature: float = 1.0
    towers: bool = False
    in_batch: bool = False
    dimensions: tuple[int, ...] = ()

    def loss(self, outputs: Any, batch: Batch, model: Any) -> Tensor:
        """(B) float32; its mean over the batch is the mean over the queries that have something to learn."""
        assert batch.targets is not None
        relevance_B, text_B = batch.targets[:, RELEVANCE].float(), batch.targets[:, TEXT]
        if not self.towers:
            return self._of_scores(outputs.float().reshape(-1), relevance_B, batch.groups)
        assert batch.groups is not None
        sizes = [size for size in self.dimensions if size <= outputs.shape[1]] or [outputs.shape[1]]
        parts = [self._of_vectors(cut(outputs.float(), size), relevance_B, text_B, batch.groups) for size in sizes]
        return torch.stack(parts).mean(0)

    def _of_scores(self, score_B: Tensor, relevance_B: Tensor, groups_B: Tensor | None) -> Tensor:
        if self.kind == "pointwise" or groups_B is None:
            return functional.binary_cross_entropy_with_logits(score_B, relevance_B, reduction="none")
        within = pairwise if self.kind == "pairwise" else listwise
        return within(score_B / self.temperature, relevance_B, groups_B)

    def _of_vectors(self, vector_BD: Tensor, relevance_B: Tensor, text_B: Tensor, groups_B: Tensor) -> Tensor:
        query_B = relevance_B == QUERY
        if self.kind == "listwise" and self.in_batch:
            return contrastive(vector_BD, relevance_B, text_B, groups_B, temperature=self.temperature)
        # the query of each window, for its cosine with it: every group has exactly one
        numbers, of_row_B = torch.unique(groups_B, return_inverse=True)
        at_G = of_row_B.new_zeros(len(numbers)).index_put((of_row_B[query_B],), query_B.nonzero()[:, 0])
        cosine_B = (vector_BD * vector_BD[at_G[of_row_B]]).sum(1)
        loss_B = torch.zeros_like(cosine_B)
        rows = (~query_B).nonzero()[:, 0]
        if self.kind == "pointwise":
            part = (cosine_B[rows] - relevance_B[rows]) ** 2
        else:
            part = self._of_scores(cosine_B[rows], relevance_B[rows], groups_B[rows])
        return loss_B.index_put((rows,), part * (len(loss_B) / max(len(rows), 1)))


def cut(vector_BD: Tensor, size: int) -> Tensor:
    """The first `size` numbers of each vector, brought back to length 1 (B, size)."""
    return vector_BD if size == vector_BD.shape[1] else functional.normalize(vector_BD[:, :size], dim=-1)


def pairwise(score_B: Tensor, relevance_B: Tensor, groups_B: Tensor) -> Tensor:
    """RankNet: log(1 + exp(worse - better)) over the pairs of one query whose relevance differs; mean over its pairs.

    (B), scaled so that the mean over B is the mean over the queries that have such a pair.
    """
    same_BB = groups_B[:, None] == groups_B[None, :]
    better_BB = (same_BB & (relevance_B[:, None] > relevance_B[None, :])).float()
    pairs_B = (same_BB.float() @ better_BB.sum(1, keepdim=True)).squeeze(1)  # of the whole query, at each of its rows
    loss_BB = functional.softplus(score_B[None, :] - score_B[:, None]) * better_BB
    queries = int(torch.unique(groups_B[pairs_B > 0]).numel())
    return loss_BB.sum(1) / pairs_B.clamp(min=1) * (len(score_B) / max(queries, 1))


def listwise(score_B: Tensor, relevance_B: Tensor, groups_B: Tensor) -> Tensor:
    """Cross entropy of the softmax over a query's candidates against their share of its relevance.

    (B), scaled so that the mean over B is the mean over the queries that have a relevant candidate and another one.
    """
    same_BB = groups_B[:, None] == groups_B[None, :]
    log_sum_B = torch.logsumexp(score_B[None, :].masked_fill(~same_BB, -torch.inf), 1)
    total_B = same_BB.float() @ relevance_B
    useful_B = (total_B > 0) & (same_BB.sum(1) > 1)
    share_B = relevance_B / total_B.clamp(min=1e-9) * useful_B
    queries = int(torch.unique(groups_B[useful_B]).numel())
    return share_B * (log_sum_B - score_B) * (len(score_B) / max(queries, 1))


def contrastive(
    vector_BD: Tensor, relevance_B: Tensor, text_B: Tensor, groups_B: Tensor, *, temperature: float
) -> Tensor:
    """InfoNCE with in-batch negatives (van den Oord 2018; "multiple negatives ranking", Henderson 2017).

    Each relevant candidate stands against all candidates of the batch that are not known to be relevant to its query:
    not its other relevant ones, nor the same text under another query, nor the query's own text, nor what is relevant to
    a query of the same text. (B), at the query windows; the mean over B is the mean over the queries with a positive.
    """
    query_B = relevance_B == QUERY
    at_G, at_C = query_B.nonzero()[:, 0], (~query_B).nonzero()[:, 0]
    score_GC = vector_BD[at_G] @ vector_BD[at_C].T / temperature
    relevance_C, text_C, group_C = relevance_B[at_C], text_B[at_C], groups_B[at_C]
    positive_GC = (groups_B[at_G][:, None] == group_C[None, :]) & (relevance_C > 0)
    same_text_CC = (text_C[:, None] == text_C[None, :]).float()
    query_text_C = text_B[at_G][(group_C[:, None] == groups_B[at_G][None, :]).float().argmax(1)]
    known_GC = (positive_GC.float() @ same_text_CC) > 0
    known_GC |= text_B[at_G][:, None] == text_C[None, :]
    known_GC |= (text_B[at_G][:, None] == query_text_C[None, :]) & (relevance_C > 0)
    others_G = torch.logsumexp(score_GC.masked_fill(known_GC, -1e9), 1)  # next to nothing where there is no negative
    loss_GC = torch.logaddexp(score_GC, others_G[:, None]) - score_GC
    weight_GC = positive_GC * relevance_C
    total_G = weight_GC.sum(1)
    loss_G = (loss_GC * weight_GC).sum(1) / total_G.clamp(min=1e-9)
    scale = len(relevance_B) / max(int((total_G > 0).sum()), 1)
    return torch.zeros_like(relevance_B).index_put((at_G,), loss_G * scale)
