"""Texts that are the same, or nearly: inside one set, and across two.

Normalised forms are compared (burnish.text.normalise), so case, width and blanks make no difference. Near-duplicates:
sets of character shingles, MinHash sketches with locality-sensitive hashing for candidates (burnish.measures.sketches),
then the true Jaccard similarity of every candidate, so that a pair that is reported is one. Broder 1997; banding as in
Mining of Massive Datasets, ch. 3. Texts that memory does not hold: burnish.measures.duplicates_on_disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from burnish.measures.sketches import BANDS, agreement, band_keys, sketches
from burnish.text.normalise import normalised
from burnish.text.scripts import Texts
from burnish.text.shingles import shingles

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Size = int | Literal["auto"]

# Chance that two texts of Jaccard s become candidates, about 1 - (1 - s^4)^32: 0.87 at s = 0.5, 0.99 at 0.6, 0.9998 at 0.7.
# The usual 14 bands of 8 rows give 0.05, 0.21 and 0.56.
_WINDOW = 8  # in a bucket each text is compared with so many that follow it: linear where boilerplate fills a bucket
_BANDS_A_ROUND = 8  # after so many bands what was found is joined, and not compared again
_CHARACTERS_A_BLOCK = 1 << 18  # of the pairs that are compared at once; the more, the fewer texts are cut twice
_DOUBT = 0.18  # three standard errors of an estimate from 64 bins: a candidate estimated lower than this below the threshold goes


class Sketches(Protocol):
    """(n, BINS) numbers, in memory or on disk."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> NDArray[np.uint32]: ...


class Keys(Protocol):
    """The keys (n,) of each band."""

    def __getitem__(self, band: int, /) -> NDArray[np.uint32]: ...


@dataclass(frozen=True)
class Groups:
    """Groups of n texts, as connected components of pairs.

    label: (n,) the index of the first text of the group; a text that is alone has its own index.
    pairs: (m, 2) the pairs i < j that were compared and link the groups; enough to connect them, not every pair in them.
    similarity: (m,) Jaccard similarity of their shingle sets, 0..1; 1.0 for equal forms.
    """

    label: NDArray[np.int64]
    pairs: NDArray[np.int64]
    similarity: NDArray[np.float64]

    @property
    def repeats(self) -> NDArray[np.bool_]:
        """True for every text but the first of its group: (n,)."""
        return np.not_equal(self.label, np.arange(len(self.label)))


@dataclass(frozen=True)
class Leaks:
    """Texts of a that are in b as well: pairs (m, 2) of indices (in a, in b), similarity (m,), ordered by b then a."""

    pairs: NDArray[np.int64]
    similarity: NDArray[np.float64]


def exact_duplicates(texts: Texts) -> Groups:
    """Group texts whose normalised forms are equal; empty texts are equal to each other."""
    label = _first_equal(normalised(texts))
    later = np.flatnonzero(label != np.arange(len(label)))
    return Groups(label, np.stack([label[later], later], axis=1), np.ones(len(later)))


def equal_keys(keys: NDArray[np.uint64]) -> Groups:
    """Group texts whose keys (n,) are equal: the same as `exact_duplicates` where a key is a hash of the form."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    label = first[inverse].astype(np.int64)
    later = np.flatnonzero(label != np.arange(len(label)))
    return Groups(label, np.stack([label[later], later], axis=1), np.ones(len(later)))


def near_duplicates(texts: Texts, *, threshold: float = 0.6, size: Size = "auto") -> Groups:
    """Group texts that are equal or at least `threshold` similar, directly or through others.

    threshold: Jaccard similarity of shingle sets, in (0, 1]. One changed character changes `size` shingles, so 0.6 finds
    nearly all copies with 5% of their words (Chinese: characters) edited, 0.8 only English ones (benchmarks/duplicates.py:
    recall 1.00 and 0.97 at 0.6, 0.99 and 0.06 at 0.8). Below 0.5 candidates are missed (see BANDS).
    size: characters in a shingle; "auto": 5, and 3 where it begins with a Chinese character or kana.
    A text shorter than a shingle is near only to its equals. Deterministic.
    Memory: the normalised texts and about 600 bytes a text. A CPU-second takes 30 MB and more (benchmarks/quality.py).
    """
    sizes = _checked(threshold, size)
    forms = normalised(texts)
    label = _first_equal(forms)
    firsts = np.flatnonzero(label == np.arange(len(label)))
    distinct = [forms[row] for row in firsts.tolist()]

    def compare(found: NDArray[np.int64]) -> NDArray[np.float64]:
        return jaccard(distinct, distinct, found, sizes)

    made = sketches(distinct, sizes)
    near, similarity = near_pairs(made, band_keys(made), threshold, compare)
    return grouped(label, firsts, near, similarity)


def grouped(
    label: NDArray[np.int64], firsts: NDArray[np.int64], near: NDArray[np.int64], similarity: NDArray[np.float64]
) -> Groups:
    """Groups of n texts from equal ones, label (n,), and from pairs (m, 2) of places in `firsts`, the distinct ones."""
    later = np.flatnonzero(label != np.arange(len(label)))
    pairs = np.concatenate([np.stack([label[later], later], axis=1), firsts[near]])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    similarity = np.concatenate([np.ones(len(later)), similarity])
    return Groups(_components(pairs, len(label)), pairs[order], similarity[order])


def near_duplicates_of_parts(
    parts: Sequence[Texts], *, threshold: float = 0.6, grouping: Callable[[Any], Groups] | None = None
) -> Groups:
    """Group records of several texts each (a question and its context) of which every part is equal or nearly so.

    parts: each (n,). Records that share one long part alone are no copies. Candidates are those whose parts are in the
    same groups; a record joins the first of its candidates, or the one before it, when all parts are that similar.
    grouping: who finds the groups of one part, `near_duplicates` unless said.
    """
    grouping = grouping or partial(near_duplicates, threshold=threshold)
    forms = [normalised(part) for part in parts]
    groups = [grouping(part).label.tolist() for part in parts]
    count = len(forms[0]) if forms else 0
    label = np.arange(count)
    first: dict[tuple[int, ...], int] = {}
    before: dict[tuple[int, ...], int] = {}
    asked: list[tuple[int, int]] = []
    for row, key in enumerate(zip(*groups, strict=True)):
        asked += [(other, row) for other in {first.setdefault(key, row), before.get(key, row)} - {row}]
        before[key] = row
    asked.sort(key=lambda pair: (pair[1], pair[0]))
    pairs = np.array(asked, dtype=np.int64).reshape(-1, 2)
    alike = np.min([np.ones(len(pairs)), *(jaccard(form, form, pairs) for form in forms)], axis=0)
    near = alike >= threshold
    for other, row in pairs[near]:
        label[row] = min(label[row], label[other])
    return Groups(label, pairs[near], alike[near])


def leaks(a_texts: Texts, b_texts: Texts, *, threshold: float = 0.6, size: Size = "auto") -> Leaks:
    """Find the texts of b that are equal or at least `threshold` similar to a text of a: is the test set in the training set?

    Every b that leaks is found with at least one a (its equal, or the candidates of its buckets, at most 8 a bucket).
    """
    sizes = _checked(threshold, size)
    a, b = normalised(a_texts), normalised(b_texts)
    where = {form: index for index, form in reversed(list(enumerate(a)))}
    equal = np.array([(where[form], j) for j, form in enumerate(b) if form in where], dtype=np.int64).reshape(-1, 2)
    found = _unique_pairs(_cross_candidates(band_keys(sketches(a, sizes)), band_keys(sketches(b, sizes))))
    found = found[~np.isin(found[:, 1], equal[:, 1])]
    similarity = jaccard(a, b, found, sizes)
    kept = similarity >= threshold
    pairs = np.concatenate([equal, found[kept]])
    order = np.lexsort((pairs[:, 0], pairs[:, 1]))
    return Leaks(pairs[order], np.concatenate([np.ones(len(equal)), similarity[kept]])[order])


def jaccard(
    a: list[str], b: list[str], pairs: NDArray[np.int64], sizes: tuple[int, int] = (5, 3)
) -> NDArray[np.float64]:
    """Return the Jaccard similarity of the shingle sets of a[i] and b[j] for each pair (i, j): (m, 2) to (m,).

    Two empty texts are 1.0. a and b hold normalised forms. Memory is bounded: pairs are taken block by block.
    """
    texts, pairs = (a, pairs) if a is b else (a + b, pairs + np.array([0, len(a)]))
    similarity = np.zeros(len(pairs))
    weight = np.cumsum([len(texts[i]) for i in pairs.ravel().tolist()])[1::2]
    edges = np.searchsorted(weight, np.arange(0, weight[-1] if len(pairs) else 0, _CHARACTERS_A_BLOCK))
    for start, end in pairwise([*edges.tolist(), len(pairs)]):
        if start < end:
            similarity[start:end] = _jaccard_block(texts, pairs[start:end], sizes)
    return similarity


def _jaccard_block(texts: list[str], pairs: NDArray[np.int64], sizes: tuple[int, int]) -> NDArray[np.float64]:
    rows, places = np.unique(pairs, return_inverse=True)
    sets = _shingle_sets([texts[row] for row in rows.tolist()], sizes)
    places = places.reshape(-1, 2)
    shared = np.diff(sets[places[:, 0]].multiply(sets[places[:, 1]]).indptr)
    union = np.diff(sets.indptr)[places].sum(axis=1) - shared
    return np.where(union > 0, shared / np.maximum(union, 1), 1.0)


def _shingle_sets(texts: list[str], sizes: tuple[int, int]) -> csr_array:
    """Return the set of shingles of each text as the row of a matrix: (n, 2^31 - 1), 31 bits of a hash name a column.

    Columns of a row are in order, each once: then scipy merges two rows, and needs no room for every column.
    """
    from scipy.sparse import csr_array

    hashes, starts = shingles(texts, latin=sizes[0], han=sizes[1])
    keys = np.repeat(np.arange(len(texts), dtype=np.uint64) << np.uint64(32), np.diff(starts))
    keys |= np.minimum(hashes >> np.uint32(1), np.uint32(2**31 - 2))
    keys = _distinct(keys)
    begins = np.searchsorted(keys, np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(32)).astype(np.int32)
    columns = keys.astype(np.uint32).astype(np.int32)
    return csr_array((np.ones(len(keys), dtype=bool), columns, begins), shape=(len(texts), 2**31 - 1))


def near_pairs(
    made: Sketches,
    keys: Keys,
    threshold: float,
    compare: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the verified pairs among distinct texts and their similarities.

    made: (n, BINS) sketches, keys: (BANDS, n) of their bands, in memory or mapped from disk. compare: pairs (m, 2) to their Jaccard similarity (m,).
    A few bands at a time; what is in one component already is not compared again, so boilerplate stays cheap.
    """
    component = np.arange(len(made))
    refused = np.empty(0, dtype=np.int64)
    pairs, similarities = [np.empty((0, 2), dtype=np.int64)], [np.empty(0)]
    farther: list[NDArray[np.int64]] = []

    def ask(packed: NDArray[np.int64]) -> None:
        nonlocal component, refused
        asked = _unpacked(np.setdiff1d(packed, refused, assume_unique=True))
        asked = asked[component[asked[:, 0]] != component[asked[:, 1]]]
        likely = agreement(made, asked) >= threshold - _DOUBT
        similarity = np.zeros(len(asked))
        similarity[likely] = compare(asked[likely])
        kept = similarity >= threshold
        refused = np.concatenate([refused, _packed(asked[~kept])])
        if kept.any():
            pairs.append(asked[kept])
            similarities.append(similarity[kept])
            component = _components(np.concatenate(pairs), len(made))

    # Neighbours in a bucket first: they join what is one group, and the wider window is left with little to compare.
    for first in range(0, BANDS, _BANDS_A_ROUND):
        next_to, wider = [], []
        for band in range(first, first + _BANDS_A_ROUND):
            near, far = _bucket_pairs(keys[band], component)
            next_to.append(near)
            wider.append(far)
        ask(_distinct(np.concatenate(next_to)))
        farther.append(_distinct(np.concatenate(wider)))
    for found in farther:
        ask(found)
    return np.concatenate(pairs), np.concatenate(similarities)


def _bucket_pairs(
    keys: NDArray[np.uint32], component: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the packed pairs of texts with equal keys that are in no component together: neighbours, and those farther apart."""
    keyed = np.arange(len(keys), dtype=np.uint64)  # sorted by key, then index, in one number
    keyed |= keys.astype(np.uint64) << np.uint64(32)
    keyed.sort()
    keys, order = (keyed >> np.uint64(32)).astype(np.uint32), (keyed & np.uint64(0xFFFFFFFF)).astype(np.int64)
    at_distance = []
    same = np.flatnonzero(keys[1:] == keys[:-1])
    for distance in range(1, _WINDOW + 1):
        if distance > 1:
            same = same[same + distance < len(keys)]
            same = same[keys[same] == keys[same + distance]]
        one, other = order[same], order[same + distance]
        apart = component[one] != component[other]
        at_distance.append(one[apart] << 32 | other[apart])
    return at_distance[0], np.concatenate(at_distance[1:])


def _cross_candidates(a_keys: NDArray[np.uint32], b_keys: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return pairs (in a, in b) with an equal key in some band, at most _WINDOW of a for each b in each band."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for a_band, b_band in zip(a_keys, b_keys, strict=True):
        order = np.argsort(a_band, kind="stable")
        ordered = a_band[order]
        begin, end = np.searchsorted(ordered, b_band, "left"), np.searchsorted(ordered, b_band, "right")
        for offset in range(_WINDOW):
            b_index = np.flatnonzero(begin + offset < end)
            found.append(np.stack([order[begin[b_index] + offset], b_index], axis=1))
    return np.concatenate(found)


def _unique_pairs(found: NDArray[np.int64]) -> NDArray[np.int64]:
    return _unpacked(_distinct(_packed(found)))


def _distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values in order, each once; sorts in place, in a tenth of the time that numpy.unique hashes in."""
    values.sort()
    new = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return values[new]


def _unpacked(packed: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([packed >> 32, packed & 0xFFFFFFFF], axis=1)


def _packed(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    return (pairs[:, 0] << 32) | pairs[:, 1]


def _first_equal(forms: list[str]) -> NDArray[np.int64]:
    """Return for each form the index of the first that is equal to it."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(form, row) for row, form in enumerate(forms)], dtype=np.int64)


def _components(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return for each of `count` texts the smallest index of its connected component."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    number, component = connected_components(links, directed=False)
    first = np.full(number, count)
    np.minimum.at(first, component, np.arange(count))
    smallest: NDArray[np.int64] = first[component]
    return smallest


def _checked(threshold: float, size: Size) -> tuple[int, int]:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1], not {threshold}")
    if size != "auto" and size < 1:
        raise ValueError(f"size must be 'auto' or at least 1, not {size}")
    return (5, 3) if size == "auto" else (size, size)
