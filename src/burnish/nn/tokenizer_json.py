"""tokenizer.json read as what it is, a vocabulary with numbers: pieces taken out, put in, renumbered.

Wakes neither torch nor transformers.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

SPACE = "▁"  # begins a word in SentencePiece's vocabularies
KINDS = ("BPE", "WordPiece", "Unigram")
BROKEN = "\ufffd"


@dataclass(frozen=True)
class Pieces:
    """The vocabulary of a tokenizer.json. content: the file, parsed; it is never changed."""

    content: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.content["model"]["type"])

    @cached_property
    def of_model(self) -> dict[int, str]:
        """Number -> piece, without what was added to the model."""
        vocabulary = self.content["model"]["vocab"]
        if self.kind == "Unigram":
            return {number: piece for number, (piece, _) in enumerate(vocabulary)}
        return {number: piece for piece, number in sorted(vocabulary.items(), key=lambda one: one[1])}

    @cached_property
    def all(self) -> dict[int, str]:
        """Number -> piece, of the model and of what was added to it."""
        return self.of_model | {one["id"]: one["content"] for one in self.content["added_tokens"]}

    @cached_property
    def special(self) -> frozenset[int]:
        """Numbers of what is no piece of a text: added tokens, and what stands for the unknown."""
        model = self.content["model"]
        unknown = model["unk_id"] if self.kind == "Unigram" else model["vocab"].get(model.get("unk_token"))
        return frozenset(one["id"] for one in self.content["added_tokens"]) | ({unknown} - {None})

    @cached_property
    def mark(self) -> str:
        """Before a piece that goes on in a word (##); nothing where the vocabulary marks beginnings."""
        return self.content["model"].get("continuing_subword_prefix") or ""

    @cached_property
    def _byte_letters(self) -> dict[str, int] | None:
        parts = json.dumps([self.content.get("pre_tokenizer"), self.content.get("decoder")])
        return _gpt2_letters() if '"ByteLevel"' in parts else None

    def is_byte(self, piece: str) -> bool:
        """Whether a piece is one byte: what every text can be written with."""
        if self._byte_letters is not None:
            return piece in self._byte_letters
        return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")

    def said(self, piece: str) -> str:
        """The text of a piece, without marks and blanks. What is no whole character reads as U+FFFD."""
        if self._byte_letters is not None and all(letter in self._byte_letters for letter in piece):
            return bytes(self._byte_letters[letter] for letter in piece).decode("utf-8", "replace").strip()
        return piece.removeprefix(self.mark).replace(SPACE, "").strip()

    def joined(self, pieces: Sequence[str]) -> str:
        """What pieces that stand beside one another are as one."""
        return pieces[0] + "".join(piece.removeprefix(self.mark) for piece in pieces[1:])

    @cached_property
    def merges(self) -> list[tuple[str, str]]:
        """Pairs that BPE joins, in order."""
        pairs = self.content["model"].get("merges", ())
        return [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in pairs]

    def parts(self, kept: Collection[int]) -> set[int]:
        """The kept pieces of BPE and all that they are joined from."""
        numbers = {piece: number for number, piece in self.of_model.items()}
        found, size = set(kept), -1
        while len(found) != size:  # once, where merges come in the order of what they make
            size = len(found)
            for a, b in reversed(self.merges):
                if numbers.get(a + b.removeprefix(self.mark)) in found:
                    found |= {numbers[a], numbers[b]}
        return found

    def renumbered(self, moved: Mapping[int, int]) -> dict[str, Any]:
        """The file with only the pieces of `moved`, old number -> new one: from 0 without gaps, in the old order.

        Scores and the order of merges are not touched, so the cut of a text whose pieces all stay is the one it had.
        """
        made: dict[str, Any] = json.loads(json.dumps(self.content))
        model = made["model"]
        if self.kind == "Unigram":
            model["vocab"] = [one for number, one in enumerate(model["vocab"]) if number in moved]
            model["unk_id"] = None if model["unk_id"] is None else moved[model["unk_id"]]
        else:
            there = {piece: moved[number] for number, piece in self.of_model.items() if number in moved}
            model["vocab"] = there
        if self.kind == "BPE":
            model["merges"] = [[a, b] for a, b in self.merges if {a, b, a + b.removeprefix(self.mark)} <= there.keys()]
        made["added_tokens"] = [one | {"id": moved[one["id"]]} for one in made["added_tokens"] if one["id"] in moved]
        if made.get("padding"):
            made["padding"]["pad_id"] = moved[made["padding"]["pad_id"]]
        _renumber_frame(made.get("post_processor"), moved)
        return made

    def grown(
        self, pieces: Sequence[str], *, scores: Mapping[str, float], merges: Sequence[tuple[str, str]]
    ) -> tuple[dict[str, Any], dict[int, int]]:
        """The file with more pieces behind those of the model, and old number -> new one: added tokens move up.

        scores: of the new pieces, for Unigram; merges: behind the old ones, for BPE.
        """
        first = max(self.of_model) + 1
        moved = {number: number + len(pieces) * (number >= first) for number in self.all}
        made = self.renumbered(moved)
        model = made["model"]
        if self.kind == "Unigram":
            model["vocab"] += [[piece, scores[piece]] for piece in pieces]
        else:
            model["vocab"] |= {piece: first + at for at, piece in enumerate(pieces)}
        if self.kind == "BPE":
            model["merges"] += [[a, b] for a, b in merges]
        return made, moved


def _renumber_frame(processor: dict[str, Any] | None, moved: Mapping[int, int]) -> None:
    """The numbers by which a post-processor names what it puts around a text."""
    if not processor:
        return
    for inner in processor.get("processors", ()):
        _renumber_frame(inner, moved)
    for name in ("sep", "cls"):
        if name in processor:
            processor[name] = [processor[name][0], moved[processor[name][1]]]
    if isinstance(processor.get("special_tokens"), dict):
        for one in processor["special_tokens"].values():
            one["ids"] = [moved[number] for number in one["ids"]]


def _gpt2_letters() -> dict[str, int]:
    """The letter that stands for each byte in byte-level vocabularies -> the byte (Radford et al. 2019, encoder.py)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + at): byte for at, byte in enumerate(others)}
