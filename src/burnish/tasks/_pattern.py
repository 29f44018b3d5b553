"""Classification by a language model that fills a pattern: zero-shot, or learnt from a few records.

    task:
      type: classification
      labels: [negative, positive]
      pattern:
        text: "{text} It was {word}."          # a decoder's pattern ends with {word}
        words: {negative: [terrible, bad], positive: [great, good]}
        calibrate: true                        # take off what a pattern without a text prefers
        demonstrations: 0                      # nearest training records shown before each text when it answers

head     the language model itself; a class scores what its words score at the hole (nn.pattern_heads)
the rest is classification of one label
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from burnish.core.errors import BurnishError
from burnish.core.stage import TaskSpec, nearest
from burnish.nn.examples import Examples, encode
from burnish.nn.models import Head
from burnish.tasks import classification
from burnish.tasks._demonstrations import Demonstrations
from burnish.tasks.base import Input

KEYS = ("text", "words", "calibrate", "demonstrations")
MASKS = ("[MASK]", "<mask>")
NEUTRAL = ("N/A", "", "…")  # texts that say nothing (Zhao et al. 2021)
MOST = 32  # demonstrations
BETWEEN = "\n\n"


class Task(classification.Task):
    """One label a text, by what a language model would write."""

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        found = super().problems(spec)
        for option in (*classification.VARIANTS, "image"):
            if spec.options.get(option):
                found.append((option, f"{option} and pattern do not go together", "leave one of them out"))
        given = spec.options["pattern"]
        example = 'pattern: {text: "{text} It was {word}.", words: {positive: great}}'
        if not isinstance(given, Mapping):
            return [*found, ("pattern", f"pattern is a section, got {given!r}", example)]
        for key in given:
            if key not in KEYS:
                found.append(("pattern", f"pattern has no setting {key!r}", nearest(key, KEYS, "it has")))
        text = given.get("text")
        if not isinstance(text, str) or text.count("{text}") != 1 or text.count("{word}") != 1:
            found.append(("pattern", "pattern.text is a text with {text} and {word} in it, once each", example))
        words = given.get("words", {})
        for label, some in words.items() if isinstance(words, Mapping) else [(words, None)]:
            if label not in spec.labels:
                found.append(
                    ("pattern", f"pattern.words: no label {label!r}", nearest(str(label), spec.labels, "labels are"))
                )
            elif not _texts(some):
                found.append(("pattern", f"pattern.words.{label} is a word or a list of words, got {some!r}", ""))
        count = given.get("demonstrations", 0)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST:
            found.append(("pattern", f"pattern.demonstrations is a number from 0 to {MOST}, got {count!r}", ""))
        if not isinstance(given.get("calibrate", True), bool):
            found.append(("pattern", f"pattern.calibrate is true or false, got {given['calibrate']!r}", ""))
        return found

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        given = self.settings["pattern"]
        self.pattern: str = given["text"]
        self.words = {label: _texts(given.get("words", {}).get(label, label)) or [label] for label in self.labels}
        self.shown = int(given.get("demonstrations", 0))
        self.demonstrations: Demonstrations | None = None
        self._head: dict[str, Any] | None = None

    def automatic(self) -> str:
        from burnish.nn.backbones import choose

        return choose(self.spec.languages, kind="decoder")

    # -- encoding

    def tokenizer(self, tokenizer: Any) -> Any:
        """The tokenizer as it is; what its words are to the network is noted for the head."""
        mask = _mask(tokenizer)
        if mask is None and not self.pattern.endswith("{word}"):
            raise BurnishError(
                "a decoder writes what comes next, so its pattern ends with {word}",
                where="task.pattern.text",
                hint=f"for example {self.pattern.split('{word}')[0] + '{word}'!r}, or a masked backbone",
            )
        words = [[self._token(tokenizer, word, mask) for word in self.words[label]] for label in self.labels]
        seen: dict[int, str] = {}
        for label, tokens in zip(self.labels, words, strict=True):
            for token in set(tokens):
                if token in seen:
                    raise BurnishError(
                        f"words of {seen[token]} and {label} begin with the same piece, {tokenizer.decode([token])!r}",
                        where="task.pattern.words",
                        hint="choose words that differ in how they begin",
                    )
                seen[token] = label
        texts = NEUTRAL if self.settings["pattern"].get("calibrate", True) else ()
        neutral = [tokenizer(self._filled(text, None, mask))["input_ids"] for text in texts]
        number = None if mask is None else int(tokenizer.convert_tokens_to_ids(mask))
        self._head = {"words": words, "neutral": neutral, "mask_token": number}
        return tokenizer

    def _token(self, tokenizer: Any, word: str, mask: str | None) -> int:
        """The first piece of a word where it stands in the pattern."""
        before = self.pattern.split("{word}")[0].replace("{text}", "x").replace("{text_b}", "x")
        if mask is not None:
            spaced = before.endswith(" ")
            tokens = tokenizer((" " if spaced else "") + word, add_special_tokens=False)["input_ids"]
        else:
            kept = before.rstrip(" ")
            first = tokenizer(kept, add_special_tokens=False)["input_ids"]
            whole = tokenizer(kept + before[len(kept) :] + word, add_special_tokens=False)["input_ids"]
            tokens = whole[len(first) :] if whole[: len(first)] == first else []
        if not tokens or tokens[0] == tokenizer.unk_token_id:
            raise BurnishError(
                f"the tokenizer does not know the word {word!r}",
                where="task.pattern.words",
                hint="choose another word for this label",
            )
        return int(tokens[0])

    def _filled(self, text: str, second: str | None, mask: str | None) -> str:
        """The pattern with a text; the hole is the mask, or the end for a decoder."""
        before, after = self.pattern.split("{word}")
        made = before.rstrip(" ") if mask is None else before + mask + after
        return made.replace("{text}", text).replace("{text_b}", second or "")

    def encode(self, inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Examples:
        """Texts in the pattern, behind the demonstrations that fit; a text that is too long loses its end, never the hole."""
        mask = _mask(tokenizer)
        prompts = [self._fitting(one, tokenizer, mask, max_length) for one in inputs]
        return encode(prompts, tokenizer, max_length=max_length)

    def _fitting(self, given: Input, tokenizer: Any, mask: str | None, max_length: int) -> str:
        text, second = given.get("text") or "", given.get("text_b")
        prompt = self._filled(text, second, mask)
        while text and (over := _length(tokenizer, prompt) - max_length) > 0:
            text = text[: min(len(text) - 1, int(len(text) * (1 - over / _length(tokenizer, text + " "))))]
            prompt = self._filled(text, second, mask)
        room = max_length - _length(tokenizer, prompt)
        shown: list[str] = []
        known = self.demonstrations
        if known is None or not self.shown:
            return prompt
        for row in reversed(known.nearest(text, count=self.shown)):
            one = self.pattern.replace("{word}", self.words[known.answers[row]][0])
            one = one.replace("{text}", known.texts[row]).replace("{text_b}", known.seconds[row] or "") + BETWEEN
            room -= _length(tokenizer, one)
            if room < 0:
                break
            shown.insert(0, one)
        return "".join(shown) + prompt

    # -- what stands beside the model

    def collect(self, train: pa.Table, validation: pa.Table | None = None, *, base: Path | None = None) -> None:
        if self.shown:
            rows = train.filter(pa.array(self.labelled(train)))
            inputs = self.inputs(rows)
            texts, seconds = ([one.get(name) for one in inputs] for name in ("text", "text_b"))
            self.demonstrations = Demonstrations([text or "" for text in texts], seconds, rows["label"].to_pylist())

    def furnish(self, folder: Path, engine: Any) -> None:
        if self.demonstrations is not None:
            self.demonstrations.save(folder)

    def opened(self, folder: Path) -> None:
        self.demonstrations = Demonstrations.open(folder)

    # -- head

    def head(self) -> Head:
        assert self._head is not None, "the head knows the words once the task has seen the tokenizer"
        return Head("pattern", tuple(self.labels), self._head)


def _texts(value: Any) -> list[str]:
    """A word or a list of words, [] for anything else."""
    some = value if isinstance(value, list | tuple) else [value]
    return [str(one) for one in some] if all(isinstance(one, str) and one.strip() for one in some) else []


def _mask(tokenizer: Any) -> str | None:
    """The mask of a tokenizer, of transformers or of the tokenizers library; None where it has none."""
    if hasattr(tokenizer, "mask_token"):
        return str(tokenizer.mask_token) if tokenizer.mask_token is not None else None
    return next((mask for mask in MASKS if tokenizer.token_to_id(mask) is not None), None)


def _length(tokenizer: Any, text: str) -> int:
    made = tokenizer.encode(text)
    return len(getattr(made, "ids", made))
