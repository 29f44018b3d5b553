"""Words counted: texts as rows of numbers, counted block by block and put together with little memory.

The words of a block wait on disk, for most of them are in one text alone and go. Which stay is found part by part of their
hashes, so that no table of all words is ever in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.quality.traits import Array, Block
from burnish.text.lines import Lines
from burnish.text.words import terms

PARTS = 16  # of the hashes; one at a time is looked at
_SEEN = np.dtype([("hash", np.uint64), ("texts", np.int32), ("place", np.int64)])


@dataclass(frozen=True)
class Bag:
    """Words counted: counts (n, v) as a sparse matrix of rows, and the v words as Arrow. Words of one text alone are left out.

    Words and pairs of words in English, characters and pairs in Chinese (burnish.text.words.terms)."""

    counts: Any
    words: Sequence[str]


@dataclass(frozen=True)
class Counted:
    """The words of some texts: each once (w,), in the order they come; of text i the words at[starts[i]:starts[i + 1]] and how often."""

    words: pa.Array
    at: Array
    often: Array
    starts: Array


def count_words(texts: Iterable[str], words: Sequence[str] | None = None) -> Bag:
    """Count the terms of texts. words: count these alone, in this order, instead of all that two texts have."""
    made = counted(texts, words)
    return _whole(made) if words is None else Bag(_matrix(made.often, made.at, made.starts, len(words)), words)


def counted(texts: Iterable[str], words: Sequence[str] | None = None) -> Counted:
    """The same of texts as they are, words of one text too."""
    index: dict[str, int] = {word: at for at, word in enumerate(words or ())}
    at, often, starts = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int32)], [0]
    for text in texts:
        if words is None:
            own = [index.setdefault(term, len(index)) for term in terms(text)]
        else:
            own = [index[term] for term in terms(text) if term in index]
        kinds, counts = np.unique(np.array(own, dtype=np.int32), return_counts=True)
        at.append(kinds)
        often.append(counts.astype(np.int32))
        starts.append(starts[-1] + len(kinds))
    places = np.array(starts, dtype=np.int64)
    return Counted(pa.array(list(index), pa.large_string()), np.concatenate(at), np.concatenate(often), places)


def words_of(block: Block) -> Counted:
    """The words of a block."""
    return counted(block.texts)


def gathered(blocks: Iterable[Counted], folder: Path) -> Bag:
    """The bag of all blocks, the same as if they had been one. folder: an empty one, for about six bytes a byte of text.

    Memory: the bag, 8 bytes for each different word of a text, about twice the bytes of the texts; and 4 bytes for each
    different word of a block.
    """
    waiting = iter(blocks)
    first = list(islice(waiting, 2))
    if len(first) < 2:
        return _whole(first[0]) if first else count_words([])
    blocks_of: list[tuple[int, Array]] = []  # words of each block, and where its rows begin among its entries
    total = 0
    schema = pa.schema([("word", pa.large_string())])
    with ExitStack() as files:
        parts = [files.enter_context((folder / f"part{at}").open("wb")) for at in range(PARTS)]
        entries = files.enter_context((folder / "entries").open("wb"))
        words = files.enter_context(pa.ipc.new_file(str(folder / "words"), schema))
        for one in chain(first, waiting):
            _note(one, total, parts)
            entries.write(np.stack([one.at, one.often]).astype(np.int32).tobytes())
            words.write_batch(pa.record_batch([one.words], schema=schema))
            blocks_of.append((len(one.words), one.starts))
            total += len(one.words)
    return _put_together(folder, blocks_of)


def _note(one: Counted, start: int, parts: list[Any]) -> None:
    """Write of each word of a block its hash, the texts it is in, and its place among the words of all blocks."""
    import polars as pl

    seen = np.empty(len(one.words), dtype=_SEEN)
    seen["hash"] = pl.Series(values=one.words).hash(seed=0).to_numpy()
    seen["texts"] = np.bincount(one.at, minlength=len(one.words))
    seen["place"] = start + np.arange(len(one.words))
    part = (seen["hash"] >> np.uint64(60)).astype(np.int64)
    for at, file in enumerate(parts):
        file.write(seen[part == at].tobytes())


def _put_together(folder: Path, blocks: list[tuple[int, Array]]) -> Bag:
    """What stays: words of two texts, in the order they first come."""
    column = np.full(sum(count for count, _ in blocks), -1, dtype=np.int32)  # of each word of each block
    firsts, kept, entries = [], 0, 0
    for at in range(PARTS):
        seen = np.fromfile(folder / f"part{at}", dtype=_SEEN)
        _, first, number = np.unique(seen["hash"], return_index=True, return_inverse=True)
        texts = np.bincount(number, weights=seen["texts"], minlength=len(first))
        known = np.full(len(first), -1, dtype=np.int32)
        known[texts > 1] = kept + np.arange(int((texts > 1).sum()))
        column[seen["place"]] = known[number]
        firsts.append(seen["place"][first[texts > 1]])
        kept, entries = kept + len(firsts[-1]), entries + int(texts[texts > 1].sum())
    place = np.concatenate(firsts)
    order = np.argsort(place)
    rank = np.full(len(order) + 1, -1, dtype=np.int32)  # of column -1 it is -1
    rank[order] = np.arange(len(order))
    return Bag(_entries(folder, rank, column, blocks, entries), _names(folder, place[order]))


def _entries(folder: Path, rank: Array, column: Array, blocks: list[tuple[int, Array]], count: int) -> Any:
    """The matrix, block by block, without the words that go."""
    at, often = np.empty(count, dtype=np.int32), np.empty(count, dtype=np.float32)
    starts = [np.zeros(1, dtype=np.int64)]
    filled = words = 0
    with (folder / "entries").open("rb") as file:
        for own, begins in blocks:
            size = int(begins[-1])
            local, times = np.fromfile(file, dtype=np.int32, count=2 * size).reshape(2, size)
            found = rank[column[words : words + own]][local]
            stays = found >= 0
            end = filled + int(stays.sum())
            at[filled:end], often[filled:end] = found[stays], times[stays]
            starts.append(filled + np.concatenate([[0], np.cumsum(stays)])[begins[1:]])
            filled, words = end, words + own
    made = _matrix(often, at, np.concatenate(starts), len(rank) - 1)
    made.sort_indices()
    return made


def _names(folder: Path, places: Array) -> Lines:
    """The words at these places among those of all blocks."""
    with pa.memory_map(str(folder / "words")) as source:
        read = pa.ipc.open_file(source)
        names: list[pa.Array] = []
        start = 0
        for number in range(read.num_record_batches):
            words = read.get_batch(number)["word"]
            own = places[slice(*np.searchsorted(places, [start, start + len(words)]))] - start
            names.append(words.take(pa.array(own)))  # a copy: the file goes
            start += len(words)
    return Lines(pa.chunked_array(names, pa.large_string()).combine_chunks())


def _whole(one: Counted) -> Bag:
    """The bag of one block."""
    often = np.flatnonzero(np.bincount(one.at, minlength=len(one.words)) > 1)
    matrix = _matrix(one.often, one.at, one.starts, len(one.words))
    return Bag(matrix[:, often].tocsr() if len(often) else matrix[:, :0], Lines(one.words.take(pa.array(often))))


def _matrix(often: Array, at: Array, starts: Array, width: int) -> Any:
    from scipy.sparse import csr_array

    if starts[-1] < 1 << 31:
        starts = starts.astype(np.int32)  # or scipy makes all places twice as wide
    return csr_array((often.astype(np.float32, copy=False), at, starts), shape=(len(starts) - 1, width))
