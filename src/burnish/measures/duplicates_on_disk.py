"""Near-duplicates of more texts than memory holds: forms, sketches and keys lie on disk, a band at a time is in memory.

What sees one batch (normalising, sketches) and what sees one pair (verification) is spread over processes or a cluster;
what must see all is sorting 8 bytes a text, once for each of 32 bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from burnish.measures.duplicates import Groups, grouped, jaccard, near_pairs
from burnish.measures.sketches import BANDS, BINS, band_keys, sketches
from burnish.text.normalise import normalised
from burnish.text.scripts import Texts

Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
PAIR_CHARACTERS = 1 << 20  # of the texts that are compared in one go
_FORMS = pa.schema([("form", pa.large_string())])


def near_duplicates_on_disk(
    batches: Iterable[Texts], folder: Path, *, threshold: float = 0.6, spread: Spread = map
) -> Groups:
    """Group texts as `near_duplicates` does, without holding them.

    batches: the texts, some thousands at a time. folder: an empty one on a local disk for the normalised texts and 392
    bytes a text; what is written stays until the caller removes it. spread: as `map`, in order.
    Memory: about 60 bytes a text (keys of one band, components), the pairs found, and what is being compared.
    """
    hashes = []
    with (
        pa.OSFile(str(folder / "forms.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, _FORMS) as forms,
        (folder / "sketches").open("wb") as made,
        (folder / "keys").open("wb") as keys,
    ):
        for form, sketch, key, equal in spread(prepared, batches):
            forms.write_batch(pa.record_batch([form], schema=_FORMS))
            made.write(sketch.tobytes())
            keys.write(key.tobytes())
            hashes.append((equal, len(equal)))
    equal = np.concatenate([np.empty(0, dtype=np.uint64), *(one for one, _ in hashes)])
    _, first, inverse = np.unique(equal, return_index=True, return_inverse=True)
    label = first[inverse].astype(np.int64)
    firsts = np.flatnonzero(label == np.arange(len(label)))
    if not len(label):
        return grouped(label, firsts, np.empty((0, 2), dtype=np.int64), np.empty(0))
    sketched = np.memmap(folder / "sketches", dtype=np.uint32, mode="r").reshape(-1, BINS)
    columns = _Keys(np.memmap(folder / "keys", dtype=np.uint32, mode="r"), [count for _, count in hashes], firsts)
    with closing(pa.memory_map(str(folder / "forms.arrow"))) as source:
        read = pa.ipc.open_file(source)
        forms_of = _Forms([read.get_batch(at)["form"] for at in range(read.num_record_batches)])
        compare = partial(_compare, forms=forms_of, firsts=firsts, spread=spread)
        near, similarity = near_pairs(_Rows(sketched, firsts), columns, threshold, compare)
        del forms_of, compare, read
    return grouped(label, firsts, near, similarity)


def prepared(texts: Texts) -> tuple[pa.Array, NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint64]]:
    """What is kept of a batch: forms (n,), sketches (n, BINS), keys (BANDS, n), a hash of each form (n,)."""
    import polars as pl

    forms = normalised(texts)
    sketch = sketches(forms)
    kept = pa.array(forms, pa.large_string())
    return kept, sketch, band_keys(sketch), pl.Series(kept).hash(seed=0).to_numpy()


class _Rows:
    """Sketches of the distinct texts: rows of a map of all."""

    def __init__(self, made: NDArray[np.uint32], rows: NDArray[np.int64]) -> None:
        self.made, self.rows = made, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: NDArray[np.int64]) -> NDArray[np.uint32]:
        return np.asarray(self.made[self.rows[at]])


class _Keys:
    """Keys of one band of the distinct texts, gathered from the batches they were written in."""

    def __init__(self, flat: NDArray[np.uint32], counts: list[int], rows: NDArray[np.int64]) -> None:
        self.flat, self.counts, self.rows = flat, counts, rows

    def __getitem__(self, band: int) -> NDArray[np.uint32]:
        parts, start = [], 0
        for count in self.counts:
            parts.append(self.flat[start + band * count : start + (band + 1) * count])
            start += BANDS * count
        return np.concatenate(parts)[self.rows]


class _Forms:
    """Normalised texts on disk, read by their places; nothing but what is asked for is copied."""

    def __init__(self, chunks: list[pa.Array]) -> None:
        self.chunks = chunks
        self.starts = np.cumsum([0, *map(len, chunks)])

    def take(self, rows: NDArray[np.int64]) -> list[str]:
        chunk = np.searchsorted(self.starts, rows, side="right") - 1
        taken = np.empty(len(rows), dtype=object)
        for one in np.unique(chunk).tolist():
            at = np.flatnonzero(chunk == one)
            taken[at] = self.chunks[one].take(pa.array(rows[at] - self.starts[one])).to_pylist()
        texts: list[str] = taken.tolist()
        return texts


def _compare(
    pairs: NDArray[np.int64], *, forms: _Forms, firsts: NDArray[np.int64], spread: Spread
) -> NDArray[np.float64]:
    """Jaccard similarities of pairs of distinct texts, block by block, in order."""

    def blocks() -> Iterator[tuple[list[str], NDArray[np.int64]]]:
        for start in range(0, len(pairs), 1 << 12):
            rows, places = np.unique(firsts[pairs[start : start + (1 << 12)]], return_inverse=True)
            places = places.reshape(-1, 2)
            texts = forms.take(rows)
            held = np.cumsum(np.array([*map(len, texts)])[places].sum(axis=1))
            marks = np.arange(PAIR_CHARACTERS, held[-1], PAIR_CHARACTERS)
            edges = np.unique([0, *np.searchsorted(held, marks) + 1, len(places)]).tolist()
            for begin, end in pairwise(edges):
                own, at = np.unique(places[begin:end], return_inverse=True)
                yield [texts[place] for place in own.tolist()], at.reshape(-1, 2)

    return np.concatenate([np.empty(0), *spread(_alike, blocks())])


def _alike(block: tuple[list[str], NDArray[np.int64]]) -> NDArray[np.float64]:
    texts, pairs = block
    return jaccard(texts, texts, pairs)
