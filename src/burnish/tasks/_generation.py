"""What translation, summarization and chat share: prompts and targets, a model that writes, answers that are texts.

A decoder reads a conversation and continues it; an encoder-decoder reads the text and writes another. Which of the two a
model is, its tokenizer says: one with a chat template is a decoder's (`tokenizer` makes it so).
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from burnish.core.errors import BurnishError
from burnish.core.progress import Progress
from burnish.core.records import Record
from burnish.core.stage import TaskSpec
from burnish.nn.examples import Examples, encode
from burnish.nn.models import Head
from burnish.tasks import base
from burnish.tasks._demonstrations import Demonstrations
from burnish.tasks.base import Answer, Answers, Input, Piece
from burnish.tasks.editors import Editor

OPTIONS: Mapping[str, Any] = {
    "architecture": "auto",  # encoder-decoder | decoder; auto is the task's own
    "max_new_tokens": 128,
    "beams": 1,
    "temperature": 0.0,  # 0 is greedy
    "prompt": "",  # what a model is asked, with {text}; empty is the task's own for decoders, the bare text for others
    "demonstrations": 0,  # nearest training records that a decoder is shown with their answers before each text
    "hidden": 256,  # width, layers and pieces of a model from nothing
    "layers": 3,  # also of the decoder that is put behind an encoder
    "vocabulary": 8000,
}
MOVED = {"strategy": "train: {use: tune, strategy: lora}", "rank": "train: {use: tune, strategy: {use: lora, rank: 8}}"}
CHOICES = {"architecture": ("auto", "encoder-decoder", "decoder")}
NUMBERS = {
    "max_new_tokens": 1,
    "beams": 1,
    "demonstrations": 0,
    "hidden": 16,
    "layers": 1,
    "vocabulary": 300,
}  # the least


class Writes(base.Task):
    """A task whose answer is a text."""

    target = ("output",)
    reads = ("text",)
    options = OPTIONS
    engine = "generator"
    about: ClassVar[Mapping[str, str]] = {
        "exact_match": "answers equal to the reference",
        "empty": "answers without a word",
        "length_ratio": "words written for each word of the references (characters in Chinese)",
    }
    architecture: ClassVar[str] = "encoder-decoder"
    starts: ClassVar[
        tuple[Literal["encoder", "decoder"], ...]
    ] = ()  # kinds of pretrained models that `backbone: auto` tries, in this order
    asks: ClassVar[Mapping[str, str]]  # language -> what a decoder is asked, with {text}

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._reader: Any = None  # the tokenizer of the last `encode`: what was written is read with it
        self.demonstrations: Demonstrations | None = None

    # -- records

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        found = [
            (name, f"{name} is a setting of train.tune now, not of the task", MOVED[name])
            if name in MOVED and name in spec.options
            else (name, message, hint)
            for name, message, hint in super().problems(spec)
        ]
        given = {name: value for name, value in spec.options.items() if name in cls.options}
        for name, value in given.items():
            if name in CHOICES and value not in CHOICES[name]:
                found.append((name, f"{name} must be {' or '.join(CHOICES[name])}, got {value!r}", ""))
            whole = isinstance(value, int) and not isinstance(value, bool)
            if name in NUMBERS and not (whole and value >= NUMBERS[name]):
                found.append((name, f"{name} must be a whole number from {NUMBERS[name]} up, got {value!r}", ""))
            if name == "hidden" and whole and value % 16:
                found.append((name, f"hidden must be a multiple of 16, got {value}", "for example 128 or 256"))
            if name == "temperature" and not (isinstance(value, int | float) and 0 <= value <= 5):
                found.append((name, f"temperature must be a number from 0 to 5, got {value!r}", "0 is greedy"))
            if name == "prompt" and not (isinstance(value, str) and _fits(value)):
                hint = 'for example prompt: "translate English to German: {text}"'
                found.append((name, f"prompt must be a text with {{text}} in it, got {value!r}", hint))
        return found

    def problem(self, record: Record) -> str | None:
        if not (record.text or "").strip():
            return "empty text"
        if record.output is not None and not record.output.strip():
            return "empty output"
        return None

    def labelled(self, table: pa.Table) -> np.ndarray:
        return np.array([bool((text or "").strip()) for text in table["output"].to_pylist()], dtype=bool)

    def wanted(self, table: pa.Table) -> list[str]:
        """The reference of each labelled record."""
        return [text or "" for text in table["output"].to_pylist()]

    def input(self, given: Any) -> Input:
        if isinstance(given, Mapping) and "text" not in given and "source" in given:
            given = {"text": given["source"]}
        return super().input(given)

    # -- encoding

    def turns(self, given: Input) -> list[dict[str, str]]:
        """The conversation a decoder continues."""
        return [{"role": "user", "content": self._asked(given["text"], decoder=True)}]

    def source(self, given: Input) -> str:
        """The text an encoder reads."""
        return self._asked(given["text"], decoder=False)

    def _asked(self, text: str, *, decoder: bool) -> str:
        own = self.asks.get(self.spec.languages[0], self.asks["en"]) if decoder else "{text}"
        return (self.settings["prompt"] or own).replace("{text}", text)

    def tokenizer(self, tokenizer: Any) -> Any:
        from transformers import AutoConfig

        from burnish.nn.conversations import with_template

        if AutoConfig.from_pretrained(tokenizer.name_or_path).is_encoder_decoder:
            if self.settings["demonstrations"]:
                raise BurnishError(
                    "an encoder-decoder reads one text, so it cannot be shown others first",
                    where="task.demonstrations",
                    hint="leave it out, or name a decoder as backbone",
                )
            tokenizer.chat_template = None
            return tokenizer
        return with_template(tokenizer)

    def encode(self, inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Examples:
        from burnish.nn.conversations import encode_prompts

        self._reader = tokenizer
        if tokenizer.chat_template:
            asked = [[*self._shown(one), *self.turns(one)] for one in inputs]
            return encode_prompts(asked, tokenizer, max_length=max_length)
        return encode([self.source(one) for one in inputs], tokenizer, max_length=max_length)

    def spoken(self, given: Input) -> str:
        """The text of an input by which nearest records are found."""
        return str(given["text"])

    def heard(self, text: str) -> Input:
        """The input with this text."""
        return {"text": text}

    def _shown(self, given: Input) -> list[dict[str, str]]:
        """Nearest training records as turns before the question; those that do not fit fall away, the farthest first."""
        known, count = self.demonstrations, int(self.settings["demonstrations"])
        if known is None or not count:
            return []
        turns: list[dict[str, str]] = []
        for row in known.nearest(self.spoken(given), count=count):
            turns += [turn for turn in self.turns(self.heard(known.texts[row])) if turn["role"] != "system"]
            turns.append({"role": "assistant", "content": known.answers[row]})
        return turns

    # -- what stands beside the model

    def collect(self, train: pa.Table, validation: pa.Table | None = None, *, base: Path | None = None) -> None:
        if self.settings["demonstrations"]:
            rows = train.filter(pa.array(self.labelled(train)))
            texts = [self.spoken(one) for one in self.inputs(rows)]
            self.demonstrations = Demonstrations(texts, [None] * len(texts), self.wanted(rows))

    def furnish(self, folder: Path, engine: Any) -> None:
        if self.demonstrations is not None:
            self.demonstrations.save(folder)

    def opened(self, folder: Path) -> None:
        self.demonstrations = Demonstrations.open(folder)

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        from burnish.nn.conversations import encode_conversations

        table = table.filter(pa.array(self.labelled(table)))
        inputs, wanted = self.inputs(table), self.wanted(table)
        if tokenizer.chat_template:
            whole = [
                [*self.turns(one), {"role": "assistant", "content": text}]
                for one, text in zip(inputs, wanted, strict=True)
            ]
            return encode_conversations(whole, tokenizer, max_length=max_length)
        read = self.encode(inputs, tokenizer, max_length=max_length)
        return replace(read, output=encode(wanted, tokenizer, max_length=max_length))

    # -- model

    @property
    def shape(self) -> str:
        """encoder-decoder or decoder: what a model from nothing is."""
        chosen = self.settings["architecture"]
        return self.architecture if chosen == "auto" else str(chosen)

    def shape_of(self, backbone: str) -> str:
        """The shape of the model that a backbone of `burnish backbones` becomes; "" where its name does not tell."""
        from burnish.nn import backbones

        name = self.automatic() if backbone == backbones.AUTO else backbone
        if name == backbones.FRESH:
            return self.shape
        kind = next((pin.kind for pin in backbones.known() if pin.name == name), "")
        return "encoder-decoder" if kind == "encoder" else kind

    def automatic(self) -> str:
        """The smallest pretrained model of the kinds that suit the task and speak the languages, else one from nothing."""
        from burnish.nn import backbones

        asked: dict[str, tuple[backbones.Kind, ...]] = {"decoder": ("decoder",), "encoder-decoder": ("encoder",)}
        for kind in asked.get(self.settings["architecture"], self.starts):
            spoken = [set(pin.languages) for pin in backbones.known() if pin.kind == kind]
            if any(set(self.spec.languages) <= known for known in spoken):
                return backbones.choose(self.spec.languages, kind=kind)
        return backbones.FRESH

    def backbone(self, name: str, table: pa.Table, *, folder: Path, seed: int, progress: Progress) -> Path:
        """Pretrained weights; in `folder` those of an encoder with a decoder behind it, or a model from nothing."""
        from burnish.nn import backbones

        name = self.automatic() if name == backbones.AUTO else name
        table = table.filter(pa.array(self.labelled(table)))
        size = {key: self.settings[key] for key in ("hidden", "layers", "vocabulary")}
        if name == backbones.FRESH:
            from burnish.nn.fresh import fresh

            progress.tell(f"  from nothing: {self.shape} of {size['layers']} layers, {size['hidden']} wide")
            return fresh(folder, self._written(table), architecture=self.shape, seed=seed, **size)
        from burnish.nn.warm import only_reads, warm

        found = super().backbone(name, table, folder=folder, seed=seed, progress=progress)
        if not only_reads(found):
            return found
        if self.settings["architecture"] == "decoder":
            raise BurnishError(
                f"{found.name} is an encoder, and task.architecture asks for a decoder",
                where="train.tune.backbone",
                hint="leave architecture out: a decoder is put behind an encoder, which makes an encoder-decoder",
            )
        progress.tell(f"  {found.name} reads; {size['layers']} of its layers behind it learn to write")
        return warm(folder / found.name, found, self._written(table), layers=size["layers"], seed=seed)

    def _written(self, table: pa.Table) -> list[str]:
        """All texts that a model reads or writes in these records."""
        return [*(self.source(one) for one in self.inputs(table)), *self.wanted(table)]

    def head(self) -> Head:
        generation = {
            "max_new_tokens": self.settings["max_new_tokens"],
            "num_beams": self.settings["beams"],
            "temperature": float(self.settings["temperature"]),
        }
        return Head("generator", (), {"generation": generation})

    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        from burnish.nn.generation_objectives import NextToken

        if class_weights is not None:
            raise BurnishError(f"{self.name} has no classes to weigh", hint="train.tune.class_weights: none")
        return NextToken(label_smoothing)

    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        assert self._reader is not None, "what is decoded was encoded by the same task"
        texts = [self._reader.decode(np.asarray(tokens).tolist(), skip_special_tokens=True) for tokens in outputs]
        return said([text.strip() for text in texts])

    # -- scores

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """1 - the sentence's own chief figure, from 0 to 1; 0 for the reference itself."""
        good = self.figures(self.tally(table, answers))[self.figure] * self.points / 100
        same = np.array([a == b for a, b in zip(texts_of(answers), self.wanted(table), strict=True)], dtype=bool)
        lost: np.ndarray = np.where(same, 0.0, np.maximum(1.0 - np.nan_to_num(good), 1e-6))
        return lost

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """How often right to the letter, how often silent, and how long in words (characters of Chinese) beside the references."""
        from burnish.text.words import words

        texts, wanted = texts_of(answers), self.wanted(table)
        ours, theirs = (sum(len(words(text)) for text in some) for some in (texts, wanted))
        return {
            "exact_match": float(np.mean([a.strip() == b.strip() for a, b in zip(texts, wanted, strict=True)])),
            "empty": int(sum(not text for text in texts)),
            "length_ratio": round(ours / max(theirs, 1), 4),
        }

    # -- shown

    def show(self, record: Record) -> str:
        line = f"{record.text or ''} → {record.output or '?'}"
        return " ".join(line.split())[:300]

    def brief(self, answer: Mapping[str, Any] | None) -> str:
        return str((answer or {}).get("text", ""))

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        made = [Piece(given.get("text") or "")]
        return made + ([Piece("\n→ " + answer["text"])] if answer else [])

    def expected(self, row: Mapping[str, Any]) -> Answer | None:
        return {"text": row["output"]} if row.get("output") else None

    def editors(self) -> tuple[Editor, ...]:
        return (Editor("output", ("output",), panes={"text": "source"}),)

    def prompt(self, text: str, *, language: str = "en") -> str:
        return self.asks.get(language, self.asks["en"]).replace("{text}", text)


def _fits(prompt: str) -> bool:
    """Whether a prompt is empty or says where the text goes."""
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(prompt) if name is not None]
    except ValueError:
        return False
    return not prompt or "text" in names


def said(texts: Iterable[str]) -> Answers:
    """Texts as answers."""
    return Answers([{"text": text} for text in texts])


def texts_of(answers: Answers) -> list[str]:
    return [answer["text"] for answer in answers.items]


def nearest_answers(known: Sequence[str], answers: Sequence[str], asked: Sequence[str]) -> list[str]:
    """For each text asked the answer of the known text most like it (TF-IDF of words and their pairs, cosine).

    Memory: the similarities of 256 texts to all known ones at a time.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    from burnish.text.words import terms

    model = TfidfVectorizer(analyzer=terms, sublinear_tf=True, dtype=np.float32, max_features=200_000)
    try:
        features = model.fit_transform(known)
    except ValueError:  # nothing but marks in them
        return [answers[0]] * len(asked)
    found: list[str] = []
    for at in range(0, len(asked), 256):
        likeness = (model.transform(asked[at : at + 256]) @ features.T).toarray()
        found += [answers[row] for row in likeness.argmax(axis=1)]
    return found


def best_of(candidates: Mapping[Any, Answers], score: Callable[[Answers], float]) -> Any:
    """The key of the candidate with the highest score, the first of equal ones."""
    return max(candidates, key=lambda key: score(candidates[key]))
