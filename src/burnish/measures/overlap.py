"""Runs of words that two sets of texts share: is a test text inside a training text?

A run is `words` words long in texts of words (13: Brown et al. 2020, GPT-3, appendix C) and `characters` characters long in
Chinese and Japanese, where ten characters are about six words: of a text with a tenth of its characters edited few longer
runs are left (benchmarks/leaks.py). A text shorter than a run is one run as a whole, unless it is
so short that anybody may have written it. Runs are of normalised words without punctuation, and cross no border of a part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burnish.text.normalise import normalised
from burnish.text.scripts import UNSPACED_CLASS
from burnish.text.words import words as cut

LEAST_WORDS, LEAST_CHARACTERS = 8, 10  # of a short text that is looked for as a whole
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2^64
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_UNSPACED = re.compile(f"[{UNSPACED_CLASS}]")


@dataclass(frozen=True)
class Shared:
    """Pairs of texts that share runs, ordered by text, then part: which text (m,) and which part (m,).

    of_part: share of the part's runs that the text has, 0..1; of_text: share of the text's runs that the part has.
    rare: of_part, counting only runs that few texts have.
    """

    text: NDArray[np.int64]
    part: NDArray[np.int64]
    of_part: NDArray[np.float64]
    of_text: NDArray[np.float64]
    rare: NDArray[np.float64]


class Runs:
    """The runs of the parts of a test set, to look texts up in. Memory: about 24 bytes a run."""

    def __init__(self, parts: Sequence[str], *, words: int = 13, characters: int = 10) -> None:
        self._hashes: dict[str, int] = {}
        self.words, self.characters = words, characters
        tokens = [cut(form) for form in normalised(list(parts))]
        self.sizes = np.array([self._size(one) for one in tokens], dtype=np.int64)  # 0: too short to be looked for
        self.grams: dict[int, NDArray[np.uint64]] = {}
        self._starts: dict[int, NDArray[np.int64]] = {}
        self._parts: dict[int, NDArray[np.int64]] = {}
        self.counts = np.zeros(len(tokens), dtype=np.int64)  # distinct runs of each part
        for size in sorted(set(self.sizes.tolist()) - {0}):
            rows = np.flatnonzero(self.sizes == size)
            found, owner = self._windows([tokens[row] for row in rows], size)
            pairs = np.unique(np.stack([found, rows[owner].astype(np.uint64)], axis=1), axis=0)
            self.grams[size], first = np.unique(pairs[:, 0], return_index=True)
            self._starts[size] = np.append(first, len(pairs)).astype(np.int64)
            self._parts[size] = pairs[:, 1].astype(np.int64)
            np.add.at(self.counts, self._parts[size], 1)
        self.met = {size: np.zeros(len(found), dtype=np.int64) for size, found in self.grams.items()}

    def _size(self, tokens: Sequence[str]) -> int:
        """The length of a part's runs."""
        unspaced = 2 * sum(map(_is_unspaced, tokens)) > len(tokens)
        size, least = (self.characters, LEAST_CHARACTERS) if unspaced else (self.words, LEAST_WORDS)
        return min(size, len(tokens)) if len(tokens) >= least else 0

    def count(self, texts: Sequence[Sequence[str]]) -> None:
        """Count in how many of these texts (each a list of parts) every run stands; for `find` to know the common ones."""
        stream = self._stream(texts)
        for size, grams in self.grams.items():
            _, owner, gram = self._hits(stream, size)
            seen = np.unique(owner * np.int64(max(len(grams), 1)) + gram)
            np.add.at(self.met[size], seen % max(len(grams), 1), 1)

    def find(self, texts: Sequence[Sequence[str]], *, common: int = 10) -> Shared:
        """Which parts share runs with which texts. common: a run that more texts have (see `count`) is boilerplate."""
        stream = self._stream(texts)
        rows = []
        for size, grams in self.grams.items():
            place, owner, gram = self._hits(stream, size)
            if not len(place):
                continue
            windows = np.bincount(stream.owners(size), minlength=len(texts))
            begins, ends = self._starts[size][gram], self._starts[size][gram + 1]
            repeat = ends - begins
            inner = np.arange(repeat.sum()) - np.repeat(np.cumsum(repeat) - repeat, repeat)
            part = self._parts[size][np.repeat(begins, repeat) + inner]
            text, at, hit = np.repeat(owner, repeat), np.repeat(place, repeat), np.repeat(gram, repeat)
            few = self.met[size][hit] <= common
            key = text * np.int64(len(self.sizes)) + part
            pairs, index = np.unique(key, return_inverse=True)
            own = np.bincount(_distinct(index, hit, len(grams)), minlength=len(pairs))
            rare = np.bincount(_distinct(index[few], hit[few], len(grams)), minlength=len(pairs))
            covered = np.bincount(_distinct(index, at, int(at.max()) + 1), minlength=len(pairs))
            texts_of, parts_of = pairs // len(self.sizes), pairs % len(self.sizes)
            total = self.counts[parts_of]
            shares = (own / total, covered / np.maximum(windows[texts_of], 1), rare / total)
            rows.append((texts_of, parts_of, *shares))
        if not rows:
            nothing, none = np.empty(0, dtype=np.int64), np.empty(0)
            return Shared(nothing, nothing, none, none, none)
        columns = [np.concatenate(one) for one in zip(*rows, strict=True)]
        order = np.lexsort((columns[1], columns[0]))
        return Shared(*(one[order] for one in columns))

    def _stream(self, texts: Sequence[Sequence[str]]) -> _Stream:
        """Texts as one row of hashed words, with a border behind every part."""
        flat = normalised([part for text in texts for part in text])
        owners = [at for at, text in enumerate(texts) for _ in text]
        tokens = [cut(form) for form in flat]
        lengths = np.array([len(one) + 1 for one in tokens], dtype=np.int64)
        codes = np.zeros(int(lengths.sum()), dtype=np.uint64)
        border = np.zeros(len(codes), dtype=bool)
        border[np.cumsum(lengths) - 1] = True
        codes[~border] = self._codes([token for one in tokens for token in one])
        return _Stream(codes, border, np.repeat(np.array(owners, dtype=np.int64), lengths))

    def _hits(self, stream: _Stream, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Where a run of the test set begins in the stream, in whose text, and which run it is: three of (hits,)."""
        grams = self.grams[size]
        places = stream.places(size)
        hashes = stream.windows(size)[places]
        at = np.minimum(np.searchsorted(grams, hashes), len(grams) - 1)
        same = grams[at] == hashes
        return places[same], stream.owner[places[same]], at[same]

    def _windows(self, tokens: Sequence[Sequence[str]], size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        lengths = np.array([len(one) + 1 for one in tokens], dtype=np.int64)
        codes = np.zeros(int(lengths.sum()), dtype=np.uint64)
        border = np.zeros(len(codes), dtype=bool)
        border[np.cumsum(lengths) - 1] = True
        codes[~border] = self._codes([token for one in tokens for token in one])
        stream = _Stream(codes, border, np.repeat(np.arange(len(tokens)), lengths))
        places = stream.places(size)
        return stream.windows(size)[places], stream.owner[places]

    def _codes(self, tokens: Sequence[str]) -> NDArray[np.uint64]:
        """64 bits of every word."""
        known = self._hashes
        if len(known) > 2_000_000:
            known.clear()
        for token in set(tokens) - known.keys():
            known[token] = int.from_bytes(
                hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
            )
        return np.array([known[token] for token in tokens], dtype=np.uint64)


class _Stream:
    """Hashed words one behind the other. The hash of a window is the sum of word times base^place, moved to place 0."""

    def __init__(self, codes: NDArray[np.uint64], border: NDArray[np.bool_], owner: NDArray[np.int64]) -> None:
        self.owner = owner
        powers = np.full(len(codes), _BASE)
        backs = np.full(len(codes), _INVERSE)
        if len(codes):
            powers[0] = backs[0] = np.uint64(1)
        self._backs = np.cumprod(backs, dtype=np.uint64)
        summed = np.cumsum(codes * np.cumprod(powers, dtype=np.uint64), dtype=np.uint64)
        self._summed = np.concatenate([np.zeros(1, dtype=np.uint64), summed])
        self._borders = np.concatenate([[0], np.cumsum(border)])

    def places(self, size: int) -> NDArray[np.int64]:
        """Where windows of this size begin that hold no border."""
        last = len(self.owner) - size + 1
        if last <= 0:
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(self._borders[size : size + last] == self._borders[:last])

    def owners(self, size: int) -> NDArray[np.int64]:
        return self.owner[self.places(size)]

    def windows(self, size: int) -> NDArray[np.uint64]:
        last = max(len(self.owner) - size + 1, 0)
        made: NDArray[np.uint64] = (self._summed[size : size + last] - self._summed[:last]) * self._backs[:last]
        return made


def _distinct(index: NDArray[np.int64], what: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The pair (index) of every distinct (pair, what)."""
    return np.unique(index * np.int64(max(count, 1)) + what) // max(count, 1)


def _is_unspaced(token: str) -> bool:
    return _UNSPACED.match(token) is not None
