"""A pair of spans marked in its text by tokens: typed entity markers (Zhou & Chen 2021, "typed entity marker (punct)").

    Bill was born in Seattle  ->  <|head|> * person * Bill <|/head|> was born in <|tail|> ^ city ^ Seattle <|/tail|>

Types are written in words, as in the paper's best variant, so the backbone knows what they mean, a type that training
never saw still reads as something, and nothing depends on a fixed list of types. The four markers are tokens of their own
(the paper takes "@" and "#", which occur in texts): a network finds them by their ids, and their embeddings start as
those of "@" and "#" (`marker_heads`).

Nothing here wakes torch or transformers: the server marks with it too. Texts are cut at the borders of spans and each part
is tokenised once, however many pairs a record has; windows are put together from the parts. So every span begins and ends
with a token, and every window holds both spans of its pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.nn.examples import Examples

MARKERS = ("<|head|>", "<|/head|>", "<|tail|>", "<|/tail|>")
AROUND_TYPE = ("*", "^")  # on both sides of a head's and a tail's type
TYPE_TOKENS = 12  # of a type's words at most: the text needs the room
LEAST_LENGTH = 16  # tokens of a window: two special ones, four markers, and something of both spans

Marked = tuple[int, int, str]  # of a span: start, end (exclusive) in characters, the words of its type or ""
Pair = tuple[int, int]  # of spans: head, tail


def add_markers(tokenizer: Any) -> list[int]:
    """The ids of MARKERS in a tokenizer of transformers or of the tokenizers library, which gets them if it has none.

    A tokenizer numbers what is added from the end of its vocabulary, so the same tokenizer always gives the same ids.
    """
    from tokenizers import AddedToken

    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    missing = [marker for marker in MARKERS if backend.token_to_id(marker) is None]
    if missing:
        tokens = [AddedToken(marker, special=True, normalized=False) for marker in missing]
        if backend is tokenizer:
            tokenizer.add_special_tokens(tokens)
        else:
            tokenizer.add_tokens(tokens, special_tokens=True)
    return [int(backend.token_to_id(marker)) for marker in MARKERS]


@dataclass(frozen=True)
class _Text:
    """A tokenised text: tokens with the characters they cover, and the tokens [a, b) of each span."""

    tokens: list[int]
    characters: list[tuple[int, int]]
    spans: list[tuple[int, int]]


def encode_pairs(
    texts: Sequence[str],
    spans: Sequence[Sequence[Marked]],
    pairs: Sequence[Sequence[Pair]],
    tokenizer: Any,
    *,
    max_length: int,
    characters: bool = False,
) -> Examples:
    """One window for every pair of every text, in order; a text without pairs has none.

    tokenizer: gets the markers if it has none. max_length: tokens of a window, special ones, markers and types included.
    Of a longer text a window keeps what is between the two spans and as much around them as fits, on both sides alike.
    Where not even what is between them fits, the middle is left out and both spans keep their neighbourhood: such windows
    are counted in `num_truncated`. characters: keep the characters each token covers (starts, ends, parts).
    """
    if max_length < LEAST_LENGTH:
        raise ValueError(f"a marked pair needs at least {LEAST_LENGTH} tokens, got max_length {max_length}")
    markers = add_markers(tokenizer)
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    backend.no_truncation()
    backend.no_padding()
    begin, finish = _special(backend)
    words = _type_tokens(spans, backend, markers)
    tokens: list[int] = []
    covered: list[tuple[int, int]] = []
    lengths: list[int] = []
    records: list[int] = []
    cut = 0
    for record, text in enumerate(_tokenised(texts, spans, backend, markers)):
        for head, tail in pairs[record]:
            types = [words[kind, spans[record][one][2]] for kind, one in enumerate((head, tail))]
            room = max_length - len(begin) - len(finish) - len(markers) - sum(map(len, types))
            if room < 2:  # the words of the types may not push the spans out
                types, room = [[], []], max_length - len(begin) - len(finish) - len(markers)
            both = (text.spans[head], text.spans[tail])
            kept = _kept(len(text.tokens), both, room)
            cut += _lost(kept, both)
            at = len(tokens)
            tokens += begin
            covered += [(0, 0)] * len(begin)
            for where, inserted in _events(both, markers, types):
                _copy(text, kept, where, tokens, covered)
                tokens += inserted
                covered += [(0, 0)] * len(inserted)
            _copy(text, kept, len(text.tokens), tokens, covered)
            tokens += finish
            covered += [(0, 0)] * len(finish)
            lengths.append(len(tokens) - at)
            records.append(record)
    borders = np.array(covered, np.int32).reshape(len(covered), 2)
    return Examples(
        tokens=np.array(tokens, np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        records=np.array(records, np.int64),
        starts=borders[:, 0] if characters else None,
        ends=borders[:, 1] if characters else None,
        parts=np.where(borders[:, 1] > 0, 0, -1).astype(np.int8) if characters else None,
        num_truncated=cut,
    )


def _special(backend: Any) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text."""
    one = backend.encode("a")
    own = [at for at, special in enumerate(one.special_tokens_mask) if not special]
    first, last = (own[0], own[-1]) if own else (len(one) // 2, len(one) // 2 - 1)
    return one.ids[:first], one.ids[last + 1 :]


def _type_tokens(
    spans: Sequence[Sequence[Marked]], backend: Any, markers: list[int]
) -> dict[tuple[int, str], list[int]]:
    """(0 for a head or 1 for a tail, words of a type) -> its tokens with the signs around them; none for no words."""
    every = {words for row in spans for _, _, words in row}
    made: dict[tuple[int, str], list[int]] = {}
    for kind, sign in enumerate(AROUND_TYPE):
        around = backend.encode(sign, add_special_tokens=False).ids
        for words in every:
            own = [one for one in backend.encode(words, add_special_tokens=False).ids if one not in markers]
            made[kind, words] = [*around, *own[:TYPE_TOKENS], *around] if words.strip() else []
    return made


def _tokenised(
    texts: Sequence[str], spans: Sequence[Sequence[Marked]], backend: Any, markers: list[int]
) -> list[_Text]:
    """Texts cut at the borders of their spans, each part tokenised by itself."""
    borders = [
        sorted({0, len(text), *(at for one in own for at in one[:2])}) for text, own in zip(texts, spans, strict=True)
    ]
    parts: list[str] = []
    begins: list[int] = []  # in characters of its text, blanks at the borders left out
    for text, edges in zip(texts, borders, strict=True):
        for start, end in itertools.pairwise(edges):
            part = text[start:end]
            parts.append(part.strip())
            begins.append(start + len(part) - len(part.lstrip()))
    encodings = iter(zip(backend.encode_batch(parts, add_special_tokens=False), begins, strict=True))
    made = []
    for own, edges in zip(spans, borders, strict=True):
        tokens: list[int] = []
        characters: list[tuple[int, int]] = []
        first = {}  # border -> the first token behind it
        for start in edges[:-1]:
            first[start] = len(tokens)
            encoding, begin = next(encodings)
            for one, (left, right) in zip(encoding.ids, encoding.offsets, strict=True):
                if one not in markers:  # a text that spells a marker out does not mark anything
                    tokens.append(one)
                    characters.append((begin + left, begin + right))
        first[edges[-1]] = len(tokens)
        made.append(_Text(tokens, characters, [(first[start], first[end]) for start, end, _ in own]))
    return made


def _kept(count: int, both: tuple[tuple[int, int], tuple[int, int]], room: int) -> list[tuple[int, int]]:
    """Which of `count` tokens a window of `room` tokens keeps: one run, or two where the spans are too far apart."""
    if count <= room:
        return [(0, count)]
    (a1, b1), (a2, b2) = sorted(both)
    first, last = a1, max(b1, b2)
    if last - first <= room:
        spare = room - (last - first)
        left = min(first, max(spare // 2, spare - (count - last)))
        return [(first - left, min(count, last + spare - left))]
    if b1 > a2:  # one inside the other, or crossing, and together longer than a window
        half = room // 2
        if a2 <= first + half:
            return [(first, first + room)]
        return [(first, first + half), (a2, min(last, a2 + room - half))]
    keep1 = min(b1 - a1, max(room // 2, room - (b2 - a2)))
    keep2 = min(b2 - a2, room - keep1)
    quarter = (room - keep1 - keep2) // 4  # for each side of each span; what lies between them is longer than all four
    left = min(a1, quarter)
    right = min(count - b2, quarter) if keep2 == b2 - a2 else 0
    return [
        (a1 - left, a1 + keep1 + (quarter if keep1 == b1 - a1 else 0)),
        (a2 - quarter, a2 + keep2 + right),
    ]


def _lost(kept: list[tuple[int, int]], both: tuple[tuple[int, int], tuple[int, int]]) -> bool:
    """Whether a window lost a part of its spans or of what lies between them."""
    (a1, b1), (a2, b2) = both
    return len(kept) > 1 or kept[0][0] > min(a1, a2) or kept[0][1] < max(b1, b2)


def _events(
    both: tuple[tuple[int, int], tuple[int, int]], markers: list[int], types: list[list[int]]
) -> list[tuple[int, list[int]]]:
    """(token before which it stands, what is inserted), in order: what closes stands before what opens, outer opens first."""
    events: list[tuple[tuple[int, int, int, int], list[int]]] = []
    for kind, ((a, b), words) in enumerate(zip(both, types, strict=True)):
        opening, closing = markers[2 * kind : 2 * kind + 2]
        events.append(((a, 1, -b, kind), [opening, *words]))
        # a span without tokens (characters the tokenizer drops) closes behind its own opening
        events.append(((b, 0 if b > a else 2, -a, -kind), [closing]))
    return [(key[0], inserted) for key, inserted in sorted(events)]


def _copy(
    text: _Text, kept: list[tuple[int, int]], until: int, tokens: list[int], covered: list[tuple[int, int]]
) -> None:
    """Move what is kept of the text before token `until` over; `kept` shrinks by it."""
    while kept and kept[0][0] < until:
        start, end = kept[0]
        stop = min(end, until)
        tokens += text.tokens[start:stop]
        covered += text.characters[start:stop]
        if stop < end:
            kept[0] = (stop, end)
            return
        del kept[0]
