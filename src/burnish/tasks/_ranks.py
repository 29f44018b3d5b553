"""How good an order is, one query at a time; everything adds up over queries.

nDCG with gain 2^relevance - 1 and discount log2(rank + 1) (Järvelin & Kekäläinen 2002; Burges 2005); hit rate, reciprocal
rank and recall among the first k; average precision over the whole order.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

NAMES = ("ndcg@10", "hr@10", "mrr@10", "recall@1", "recall@10", "map")


def order_of(scores: Sequence[float] | np.ndarray, keys: Sequence[str]) -> np.ndarray:
    """Positions, best score first; equal scores in the order of a checksum of their keys, which knows nothing of relevance.

    So a model that gives all the same score is worth what chance is worth, in whatever order the records came.
    """
    lots = [zlib.crc32(key.encode("utf-8", "surrogatepass")) for key in keys]
    return np.lexsort((np.array(lots, dtype=np.int64), -np.asarray(scores, dtype=float)))


def scores_of_order(ranked: Sequence[float], relevant: Sequence[float], *, k: int = 10) -> np.ndarray:
    """The figures (NAMES) of one order, 0..1.

    ranked: the relevance of what was put first, second, ... (it may end early). relevant: all that is relevant to the
    query, each its relevance, found or not; at least one above 0.
    """
    gains = np.asarray(ranked, dtype=float)
    ideal = np.sort(np.asarray(relevant, dtype=float))[::-1]
    hits = gains > 0
    total = int((ideal > 0).sum())
    first = int(np.argmax(hits)) + 1 if hits.any() else 0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return np.array(
        [
            _dcg(gains[:k]) / _dcg(ideal[:k]),
            float(hits[:k].any()),
            1.0 / first if 0 < first <= k else 0.0,
            hits[:1].sum() / total,
            hits[:k].sum() / total,
            float((precision * hits).sum()) / total,
        ]
    )


def _dcg(gains: np.ndarray) -> float:
    return float(((2.0**gains - 1.0) / np.log2(np.arange(2, len(gains) + 2))).sum())
