"""Texts become tokens once: ragged arrays that training, PyTorch and ONNX Runtime all read.

Nothing here wakes torch or transformers, for the server encodes with it too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any

import numpy as np

IGNORED = -100  # the class of a token that has none
CHUNK = 4096  # texts per call of the tokenizer: enough to use its threads, little enough to stream
JOINED = "我们在北京大学学习中国人民的历史。"  # a tokenizer that joins characters joins some of these
HAN = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
PER_TOKEN = ("tokens", "types", "starts", "ends", "parts", "token_targets")
PER_WINDOW = ("targets", "weights", "records", "groups", "images")


@dataclass(frozen=True)
class Examples:
    """W sequences of tokens ("windows") with what they should become. A long record may have several windows.

    tokens: int32 (T), all windows one after the other, special tokens included; types: int8 (T), 0 for the first text
    and 1 for the second of a pair, or None when no text is a pair.
    offsets: int64 (W + 1); window i is tokens[offsets[i]:offsets[i + 1]].
    records: int64 (W), ascending: the record each window is of; None where window i is record i.
    starts, ends: int32 (T), the characters of its text a token covers, end exclusive; parts: int8 (T), 0 and 1 for the
    first and second text, -1 for special tokens. None unless asked for.
    targets: int64 (W) hard labels, float32 (W, C) soft labels or numbers, int64 (W, C) positions; or None.
    token_targets: int64 (T), a class for each token, IGNORED where there is none; or None.
    spans: int64 (M, 4) of window, first token, last token (inclusive), class; or None.
    output: the sequences a decoder should write, one a window, where an encoder reads `tokens`; or None.
    several: for several heads on the same windows, the targets of each: Examples that share all arrays with these but
    targets, token_targets, spans and weights; weight 0 where a window has no target for that head. None for one head.
    groups: int64 (W), windows with one number are learnt in one batch (a query and its candidates); or None.
    weights: float32 (W), what each example counts in the loss, or None for one each.
    images: (W) of `nn.pictures.Picture`, decoded batch by batch; or None.
    num_truncated: texts that were longer than max_length and lost their end (never those cut into windows).
    """

    tokens: np.ndarray
    offsets: np.ndarray
    types: np.ndarray | None = None
    records: np.ndarray | None = None
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None
    parts: np.ndarray | None = None
    targets: np.ndarray | None = None
    token_targets: np.ndarray | None = None
    spans: np.ndarray | None = None
    output: Examples | None = None
    several: Mapping[str, Examples] | None = None
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None
    images: np.ndarray | None = None
    num_truncated: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @property
    def of_records(self) -> np.ndarray:
        """(W) the record of each window."""
        return np.arange(len(self)) if self.records is None else self.records

    def window(self, i: int) -> slice:
        """Where the tokens of window i are."""
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    def with_targets(self, targets: Any, weights: Any = None) -> Examples:
        """The same texts with hard (n) or soft (n, classes) targets and, where given, example weights."""
        targets = np.asarray(targets)
        targets = targets.astype(np.int64) if targets.ndim == 1 else targets.astype(np.float32)
        if len(targets) != len(self):
            raise ValueError(f"{len(targets)} targets for {len(self)} texts")
        if targets.ndim == 1 and len(targets) and targets.min() < 0:
            raise ValueError("hard targets are class numbers from 0 up")
        if targets.ndim == 2 and not np.allclose(targets.sum(1), 1.0, atol=1e-3):
            raise ValueError("every row of soft targets must sum to 1")
        if weights is not None:
            weights = np.asarray(weights, dtype=np.float32)
            if weights.shape != (len(self),) or (weights < 0).any():
                raise ValueError("weights are one number per text, none below 0")
        return replace(self, targets=targets, weights=weights)

    def take(self, rows: Sequence[int] | np.ndarray) -> Examples:
        """The windows at `rows`, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        where = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        made: dict[str, Any] = {name: _at(getattr(self, name), where) for name in PER_TOKEN}
        made |= {name: _at(getattr(self, name), rows) for name in PER_WINDOW}
        if self.spans is not None:
            made["spans"] = spans_of(self.spans, rows, len(self))
        if self.output is not None:
            made["output"] = self.output.take(rows)
        taken = replace(self, offsets=offsets, several=None, **made)
        if self.several is None:
            return taken
        return replace(taken, several={name: one._taken(taken, rows, where) for name, one in self.several.items()})

    def _taken(self, taken: Examples, rows: np.ndarray, where: np.ndarray) -> Examples:
        """The targets of one of several heads on windows that were taken already, without a copy of these."""
        return replace(
            taken,
            targets=_at(self.targets, rows),
            weights=_at(self.weights, rows),
            token_targets=_at(self.token_targets, where),
            spans=None if self.spans is None else spans_of(self.spans, rows, len(self)),
        )

    def digest(self) -> str:
        """A checksum of everything that can change what training does with these examples."""
        total = hashlib.sha256()
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Examples):
                total.update(f"{one.name}:{value.digest()};".encode())
            elif isinstance(value, Mapping):
                for name, part in value.items():
                    total.update(f"{one.name}.{name}:{part.digest()};".encode())
            elif one.name == "images" and value is not None:
                total.update(f"images:{[picture.digest() for picture in value]};".encode())
            elif one.name not in ("num_truncated", "images"):
                total.update(f"{one.name}:{None if value is None else (value.dtype.str, value.shape)};".encode())
                if value is not None:
                    total.update(np.ascontiguousarray(value).tobytes())
        return total.hexdigest()


def distinct(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """(rows, inverse): the first of every kind of equal windows, and for each window which of those it is (W).

    A query that stands beside a hundred candidates is read once: outputs of `examples.take(rows)`, taken at `inverse`,
    are those of all windows.
    """
    seen: dict[tuple[Any, ...], int] = {}
    rows: list[int] = []
    inverse = np.empty(len(examples), dtype=np.int64)
    for at in range(len(examples)):
        where = examples.window(at)
        types = b"" if examples.types is None else examples.types[where].tobytes()
        key = (examples.tokens[where].tobytes(), types, None if examples.images is None else examples.images[at])
        inverse[at] = seen.setdefault(key, len(rows))
        if inverse[at] == len(rows):
            rows.append(at)
    return np.array(rows, dtype=np.int64), inverse


def _at(array: np.ndarray | None, where: np.ndarray) -> np.ndarray | None:
    return None if array is None else array[where]


def spans_of(spans: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """The spans of the windows at `rows`, numbered as those now are. A window may be asked for more than once."""
    order = np.argsort(spans[:, 0], kind="stable")
    begins = np.searchsorted(spans[order, 0], np.arange(count + 1))
    picked = [order[begins[row] : begins[row + 1]] for row in rows]
    taken = spans[np.concatenate(picked) if picked else np.zeros(0, np.int64)].copy()
    taken[:, 0] = np.repeat(np.arange(len(rows)), [len(one) for one in picked])
    return taken


def encode(
    texts: Sequence[str],
    tokenizer: Any,
    *,
    pairs: Sequence[str | None] | None = None,
    max_length: int,
    stride: int | None = None,
    cut: str = "longest",
    characters: bool = False,
) -> Examples:
    """Tokenise every text once.

    tokenizer: a fast one of transformers, or a tokenizers.Tokenizer; its truncation is set here.
    pairs: a second text for each, None where a text stands alone. max_length: tokens of a window, special ones included.
    stride: None cuts a longer text (counted in `num_truncated`); else it becomes several windows, each sharing
    `stride` tokens with the one before, and nothing is lost.
    cut: which text of a pair is shortened or cut into windows: longest, first, second.
    characters: keep the characters that each token covers (starts, ends, parts).
    """
    if pairs is not None and len(pairs) != len(texts):
        raise ValueError(f"{len(pairs)} second texts for {len(texts)} first texts")
    backend = set_truncation(tokenizer, max_length=max_length, stride=stride, cut=cut)
    tracked = characters or stride is not None
    run = backend.encode_batch if tracked else backend.encode_batch_fast
    parts: list[Examples] = []
    for start in range(0, len(texts), CHUNK):
        first = texts[start : start + CHUNK]
        given: list[Any] = list(first)
        if pairs is not None:
            second = pairs[start : start + CHUNK]
            given = [a if b is None else (a, b) for a, b in zip(first, second, strict=True)]
        parts.append(_gathered(run(given), start, pairs is not None, stride is not None, characters))
    return joined(parts) if parts else _gathered([], 0, pairs is not None, stride is not None, characters)


def set_truncation(tokenizer: Any, *, max_length: int, stride: int | None = None, cut: str = "longest") -> Any:
    """The tokenizers.Tokenizer inside, set to cut as asked and not to pad."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    strategy = {"longest": "longest_first", "first": "only_first", "second": "only_second"}[cut]
    wanted = {"max_length": max_length, "stride": stride or 0, "strategy": strategy, "direction": "right"}
    if backend.truncation != wanted:
        backend.enable_truncation(**wanted)
    if backend.padding is not None:
        backend.no_padding()
    return backend


def han_apart(tokenizer: Any) -> Any:
    """The tokenizer with every Han character a token of its own, for answers that begin and end between characters.

    A SentencePiece model joins them as it likes (在北京 | 大学), and no span of tokens is then 北京: of the names in
    CLUENER's development set 94% can be said with e5's own tokens, and nearly all with characters apart. Tokenizers that part
    them anyway stay as they are.
    """
    from tokenizers import Regex, pre_tokenizers

    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    words = backend.encode(JOINED, add_special_tokens=False).offsets
    if any(end - start > 1 for start, end in words):
        apart = pre_tokenizers.Split(Regex(HAN), "isolated")
        first = [backend.pre_tokenizer] if backend.pre_tokenizer is not None else []
        backend.pre_tokenizer = pre_tokenizers.Sequence([*first, apart])
    return tokenizer


def _gathered(encodings: Sequence[Any], at: int, paired: bool, windows: bool, characters: bool) -> Examples:
    """Encodings of the tokenizers library, of records from number `at` on, as Examples."""
    records = range(at, at + len(encodings))
    truncated = 0
    if windows:
        records = [at + i for i, one in enumerate(encodings) for _ in range(1 + len(one.overflowing))]  # type: ignore[assignment]
        encodings = [part for one in encodings for part in (one, *one.overflowing)]
    else:
        truncated = sum(bool(one.overflowing) for one in encodings)
    lengths = np.fromiter((len(one) for one in encodings), np.int64, len(encodings))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    total = int(offsets[-1])

    def column(name: str, kind: Any) -> np.ndarray:
        return np.fromiter(chain.from_iterable(getattr(one, name) for one in encodings), kind, total)

    starts = ends = parts = None
    if characters:
        parts = np.fromiter((-1 if p is None else p for one in encodings for p in one.sequence_ids), np.int8, total)
        pairs = np.array([pair for one in encodings for pair in one.offsets], np.int32).reshape(total, 2)
        starts, ends = pairs[:, 0], pairs[:, 1]
    return Examples(
        tokens=column("ids", np.int32),
        offsets=offsets,
        types=column("type_ids", np.int8) if paired else None,
        records=np.asarray(records, np.int64) if windows else None,
        starts=starts,
        ends=ends,
        parts=parts,
        num_truncated=truncated,
    )


def joined(parts: Sequence[Examples]) -> Examples:
    """Examples one after the other; all have the same arrays. `records` are taken as they are."""
    first = parts[0]
    if len(parts) == 1:
        return first

    def together(name: str) -> Any:
        if getattr(first, name) is None:
            return None
        return np.concatenate([getattr(part, name) for part in parts])

    begins = np.cumsum([0, *(len(part.tokens) for part in parts)])
    windows = np.cumsum([0, *(len(part) for part in parts)])
    offsets = [first.offsets[:1], *(part.offsets[1:] + at for part, at in zip(parts, begins, strict=False))]
    spans = None
    if first.spans is not None:
        shifted = [part.spans + np.array([at, 0, 0, 0]) for part, at in zip(parts, windows, strict=False)]
        spans = np.concatenate(shifted)
    several = None
    if first.several is not None:
        several = {name: joined([part.several[name] for part in parts]) for name in first.several}  # type: ignore[index]
    return replace(
        first,
        offsets=np.concatenate(offsets),
        spans=spans,
        several=several,
        output=None if first.output is None else joined([part.output for part in parts if part.output is not None]),
        num_truncated=sum(part.num_truncated for part in parts),
        **{name: together(name) for name in (*PER_TOKEN, *PER_WINDOW)},
    )
