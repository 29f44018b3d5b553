"""A knowledge base of triples, small enough for millions of them: hashes of names, not names.

A triple takes 10 bytes and each of its names about 16, whatever they read; a name that is none of the knowledge base is
taken for one with a chance of (number of names) / 2^64. Names compare normalised: case, width, accents of writing form,
blanks between Chinese characters, punctuation and the middle dots of foreign names do not count; "the" in front and 's
behind do not either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from burnish.core.errors import DataError
from burnish.text.normalise import normalised
from burnish.text.words import words

BLOCK_BYTES = 16 << 20
UNKNOWN = -1  # a relation that the task does not have: the pair is related all the same
MOST_WORDS = 12  # of a name that is looked for in texts
_MIX = np.uint64(0x9E3779B97F4A7C15)


def name_keys(names: Sequence[str] | Any) -> np.ndarray:
    """(n,) uint64 of names, 0 for those of which nothing is left. Equal for names that compare equal, in this process."""
    import polars as pl

    plain = pl.Series(values=normalised(names), dtype=pl.String)
    plain = plain.str.replace(r"(?:'|’)s$", "").str.replace_all(r"[^\p{L}\p{M}\p{N}]+", " ").str.strip_chars(" ")
    plain = plain.str.replace(r"^the ", "")
    frame = plain.alias("name").to_frame()
    han = pl.col("name").str.contains(r"\p{Han}")
    closed = frame.select(pl.when(han).then(pl.col("name").str.replace_all(" ", "")).otherwise(pl.col("name")))
    series = closed.to_series()
    keys: np.ndarray = series.hash(seed=7).to_numpy().copy()
    keys[(series.str.len_bytes() == 0).to_numpy()] = 0
    return keys


def pair_keys(heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """(n,) uint64 of ordered pairs of name keys."""
    with np.errstate(over="ignore"):
        mixed = (heads * _MIX) ^ ((tails >> np.uint64(29)) | (tails << np.uint64(35)))
        found: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return found


class Triples:
    """What is related to what. relations: names of those that count, in the order of the task's labels."""

    def __init__(
        self,
        path: Path,
        *,
        relations: Sequence[str],
        mapping: Mapping[str, str],
        symmetric: Sequence[str] = (),
        aliases: Path | None = None,
    ) -> None:
        self.relations = list(relations)
        self.ignored: Counter[str] = Counter()
        self.broken = self.count = 0
        place = {label: at for at, label in enumerate(self.relations)}
        of = {said: place[label] for said, label in mapping.items()} or place
        both_ways = np.array([label in symmetric for label in [*self.relations, ""]])
        pairs, kinds, names, heads, longest = [], [], [], [], 1
        for table in _blocks(path, 3, self):
            head, tail = name_keys(_polars(table[0])), name_keys(_polars(table[2]))
            kind = self._kinds(table[1], of)
            there = (head != 0) & (tail != 0)
            self.broken += int((~there).sum())
            head, tail, kind = head[there], tail[there], kind[there]
            self.count += len(kind)
            back = both_ways[kind]
            pairs += [pair_keys(head, tail), pair_keys(tail[back], head[back])]
            kinds += [kind, kind[back]]
            names.append(np.unique(np.concatenate([head, tail])))
            ours = kind != UNKNOWN
            heads.append(np.unique(np.concatenate([head[ours], tail[back]])))
            longest = max(longest, _longest(table[0]), _longest(table[2]))
        if not self.count:
            raise DataError(
                "no triple in it", where=str(path), hint="head TAB relation TAB tail, one a line, without a header"
            )
        self._aliases(aliases, names)
        self.names = _merged(names)
        self.heads = _merged(heads)
        self.longest = min(max(longest, self._alias_longest), MOST_WORDS)
        whole, kind = np.concatenate(pairs), np.concatenate(kinds)
        order = np.lexsort((kind, whole))
        whole, kind = whole[order], kind[order]
        fresh = np.ones(len(whole), dtype=bool)
        fresh[1:] = (whole[1:] != whole[:-1]) | (kind[1:] != kind[:-1])
        self.pairs, self.kinds = whole[fresh], kind[fresh].astype(np.int16)

    def _kinds(self, column: pa.ChunkedArray, of: Mapping[str, int]) -> np.ndarray:
        coded = column.combine_chunks().dictionary_encode()
        said = coded.dictionary.to_pylist()
        places = np.array([of.get(one, UNKNOWN) for one in said] or [UNKNOWN], dtype=np.int64)
        codes = coded.indices.to_numpy(zero_copy_only=False)
        for at, times in enumerate(np.bincount(codes, minlength=len(said)).tolist()):
            if said[at] not in of:
                self.ignored[said[at]] += times
        found: np.ndarray = places[codes]
        return found

    def _aliases(self, path: Path | None, names: list[np.ndarray]) -> None:
        """alias key -> key of the entity's name, sorted by alias; a name may be an alias of several entities."""
        of, to, self._alias_longest = [], [], 1
        for table in _blocks(path, 2, self) if path else ():
            entity, alias = name_keys(_polars(table[0])), name_keys(_polars(table[1]))
            there = (entity != 0) & (alias != 0)
            of.append(alias[there])
            to.append(entity[there])
            self._alias_longest = max(self._alias_longest, _longest(table[1]))
        self.alias = np.concatenate(of) if of else np.empty(0, dtype=np.uint64)
        self.entity = np.concatenate(to) if to else np.empty(0, dtype=np.uint64)
        order = np.argsort(self.alias, kind="stable")
        self.alias, self.entity = self.alias[order], self.entity[order]
        if len(self.alias):
            names.append(self.alias)

    def known(self, keys: np.ndarray) -> np.ndarray:
        """(n,) bool: names or aliases of the knowledge base."""
        return _within(keys, self.names)

    def entities(self, keys: np.ndarray) -> list[list[int]]:
        """The entities that each name may mean: itself, and those it is an alias of."""
        first, last = np.searchsorted(self.alias, keys, "left"), np.searchsorted(self.alias, keys, "right")
        return [
            [int(key), *(one for one in self.entity[a:b].tolist() if one != key)] if key else []
            for key, a, b in zip(keys.tolist(), first.tolist(), last.tolist(), strict=True)
        ]

    def between(self, heads: Sequence[int], tails: Sequence[int]) -> set[int]:
        """Relations that any of the heads has to any of the tails; UNKNOWN stands for those the task does not have."""
        one = np.repeat(np.array(heads, dtype=np.uint64), len(tails))
        other = np.tile(np.array(tails, dtype=np.uint64), len(heads))
        keys = pair_keys(one, other)
        first, last = np.searchsorted(self.pairs, keys, "left"), np.searchsorted(self.pairs, keys, "right")
        return {int(kind) for a, b in zip(first, last, strict=True) for kind in self.kinds[a:b]}

    def has_facts(self, entities: Sequence[int]) -> bool:
        """Whether any of the entities is the head of a triple whose relation the task has."""
        return bool(_within(np.array(entities, dtype=np.uint64), self.heads).any())


def _within(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(among, keys), max(len(among) - 1, 0))
    found: np.ndarray = (among[at] == keys) & (keys != 0) if len(among) else np.zeros(len(keys), dtype=bool)
    return found


def _merged(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.uint64)


def _longest(column: pa.ChunkedArray) -> int:
    """Words of the longest name of a block; by its longest few in characters."""
    lengths = pa.compute.utf8_length(column).to_numpy()
    some = np.argsort(lengths)[-50:]
    return max((len(words(column[int(i)].as_py())) for i in some), default=1)


def _polars(column: pa.ChunkedArray) -> Any:
    import polars as pl

    return pl.Series(values=pl.from_arrow(column), dtype=pl.String)


def _blocks(path: Path, columns: int, told: Triples) -> Iterator[pa.Table]:
    """Blocks of a tab-separated file, also compressed; lines with fewer columns are counted in `told.broken`."""
    import pyarrow.csv as pc

    def wrong(row: Any) -> str:
        told.broken += 1
        return "skip"

    names = [str(at) for at in range(columns)]
    try:
        with pa.input_stream(str(path), compression="detect") as raw:
            reader = pc.open_csv(
                raw,
                read_options=pc.ReadOptions(column_names=names, block_size=BLOCK_BYTES),
                parse_options=pc.ParseOptions(delimiter="\t", quote_char=False, invalid_row_handler=wrong),
                convert_options=pc.ConvertOptions(
                    column_types={name: pa.string() for name in names}, strings_can_be_null=False
                ),
            )
            for batch in reader:
                yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"cannot be read: {str(error).splitlines()[0]}", where=str(path), hint="UTF-8, tabs between columns"
        ) from error
