"""Chat: a conversation is continued by an assistant.

target   the assistant's turns in `messages`; every one of them is learnt, the last one judges
valid    messages with known roles, somebody asking before an assistant answers
model    SmolLM2 under LoRA for English, else a small decoder from nothing, or any decoder by name
scores   mean ROUGE-L F1 against the last answer, 0..1, and chrF2 of the whole set, 0..100
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.core.records import Record
from burnish.measures import generation as measures
from burnish.nn.examples import Examples, encode
from burnish.tasks import _generation
from burnish.tasks._generation import nearest_answers, said, texts_of
from burnish.tasks.base import Answer, Answers, Input, Piece
from burnish.tasks.editors import Editor

Turns = list[dict[str, str]]


class Task(_generation.Writes):
    """A conversation and its next answer."""

    name = "chat"
    pipeline = "text-generation"
    target = ("messages",)
    reads = ("messages",)
    options: ClassVar[Mapping[str, Any]] = {
        **{name: value for name, value in _generation.OPTIONS.items() if name != "prompt"},
        "system": "",  # a system turn for conversations that have none
    }
    figure = "rougeL"
    architecture = "decoder"
    starts = ("decoder",)
    asks: ClassVar = {
        "en": "Answer the last message of this conversation. Write the answer alone.\n{text}",
        "zh": "回答这段对话的最后一条消息，只写回答。\n{text}",
    }

    # -- records

    @classmethod
    def problems(cls, spec: Any) -> list[tuple[str, str, str]]:
        found = super().problems(spec)
        if not isinstance(spec.options.get("system", ""), str):
            found.append(("system", f"system must be a text, got {spec.options['system']!r}", ""))
        return found

    def problem(self, record: Record) -> str | None:
        from burnish.nn.conversations import problem

        if wrong := problem(record.messages):
            return wrong
        turns = record.messages or []
        if not any(turn["role"] == "user" and turn["content"].strip() for turn in turns):
            return "nobody asks anything in messages"
        if turns[-1]["role"] == "assistant" and not turns[-1]["content"].strip():
            return "the last answer in messages is empty"
        return None

    def labelled(self, table: pa.Table) -> np.ndarray:
        return np.array([bool(answer_in(turns)) for turns in table["messages"].to_pylist()], dtype=bool)

    def wanted(self, table: pa.Table) -> list[str]:
        return [answer_in(turns) or "" for turns in table["messages"].to_pylist()]

    # -- encoding

    def input(self, given: Any) -> Input:
        """A text is one question; messages that end with an assistant's answer are asked for that answer again."""
        from burnish.nn.conversations import problem

        if isinstance(given, Mapping) and given.get("messages") is None and isinstance(given.get("text"), str):
            given = given["text"]
        if isinstance(given, Mapping) and isinstance(given.get("messages"), str):
            given = given["messages"]
        if isinstance(given, str):
            given = {"messages": [{"role": "user", "content": given}] if given.strip() else []}
        if not isinstance(given, Mapping):
            raise ValueError(f"messages or a text is wanted, got {type(given).__name__}")
        turns = given.get("messages")
        if turns is not None and not (isinstance(turns, Sequence) and all(isinstance(one, Mapping) for one in turns)):
            raise ValueError("messages must be a list of {role, content}")
        if wrong := problem(turns):
            raise ValueError(wrong)
        asked = question_in([{"role": one["role"], "content": one["content"]} for one in turns or ()])
        if not any(turn["role"] == "user" and turn["content"].strip() for turn in asked):
            raise ValueError("nobody asks anything in messages")
        return {"messages": asked}

    def inputs(self, table: pa.Table) -> list[Input]:
        return [{"messages": question_in(turns or [])} for turns in table["messages"].to_pylist()]

    def turns(self, given: Input) -> Turns:
        turns: Turns = given["messages"]
        if self.settings["system"] and turns[0]["role"] != "system":
            return [{"role": "system", "content": self.settings["system"]}, *turns]
        return turns

    def spoken(self, given: Input) -> str:
        return next((turn["content"] for turn in reversed(given["messages"]) if turn["role"] == "user"), "")

    def heard(self, text: str) -> Input:
        return {"messages": [{"role": "user", "content": text}]}

    def source(self, given: Input) -> str:
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in self.turns(given))

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        """Every assistant turn of a conversation is a target of a decoder; an encoder-decoder learns the last."""
        from burnish.nn.conversations import encode_conversations

        table = table.filter(pa.array(self.labelled(table)))
        if not tokenizer.chat_template:
            read = self.encode(self.inputs(table), tokenizer, max_length=max_length)
            return replace(read, output=encode(self.wanted(table), tokenizer, max_length=max_length))
        whole = [self.turns({"messages": turns}) for turns in table["messages"].to_pylist()]
        return encode_conversations(whole, tokenizer, max_length=max_length)

    # -- scores

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 20): F1 of ROUGE-L, one for the record, and counts of chrF (18)."""
        texts, wanted = texts_of(answers), [[text] for text in self.wanted(table)]
        longest = measures.rouge(texts, wanted)["rougeL"][:, 2]
        counts = measures.chrf_counts(texts, wanted)
        return np.concatenate([longest[:, None], np.ones((len(table), 1)), counts], axis=1)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        sums = np.asarray(sums, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"rougeL": sums[..., 0] / sums[..., 1], "chrf": measures.chrf(sums[..., 2:])}

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
        train = train.filter(pa.array(self.labelled(train)))
        if not len(train):
            return
        answers = self.wanted(train)
        common = Counter(answers).most_common(1)[0][0]
        yield "the commonest answer", said([common] * len(test)), {"answer": common}
        known, asked = ([last_words(one["messages"]) for one in self.inputs(side)] for side in (train, test))
        yield "answer to the nearest training question", said(nearest_answers(known, answers, asked)), {}

    # -- shown

    def show(self, record: Record) -> str:
        line = " | ".join(f"{turn['role']}: {turn['content']}" for turn in record.messages or ())
        return " ".join(line.split())[:300]

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        shown = "\n".join(f"{turn['role']}: {turn['content']}" for turn in question_in(given.get("messages") or []))
        text = given.get("text")  # a column of the sources, where the file had one beside the messages
        made = [Piece(shown if not text or text in shown else f"{text}\n{shown}")]
        return made + ([Piece("\n→ " + answer["text"])] if answer else [])

    def editors(self) -> tuple[Editor, ...]:
        return (Editor("messages", ("messages",)),)

    def expected(self, row: Mapping[str, Any]) -> Answer | None:
        answer = answer_in(row.get("messages"))
        return {"text": answer} if answer else None


def answer_in(turns: Sequence[Mapping[str, str]] | None) -> str | None:
    """What the assistant says last, where a conversation ends with that and somebody asked before."""
    if not turns or turns[-1]["role"] != "assistant" or not (turns[-1]["content"] or "").strip():
        return None
    return turns[-1]["content"] if any(turn["role"] == "user" for turn in turns[:-1]) else None


def question_in(turns: Sequence[Mapping[str, str]]) -> Turns:
    """A conversation up to what is to be answered."""
    end = len(turns)
    while end and turns[end - 1]["role"] == "assistant":
        end -= 1
    return [dict(turn) for turn in turns[:end]]


def last_words(turns: Sequence[Mapping[str, str]]) -> str:
    """What the user said last."""
    return next((turn["content"] for turn in reversed(turns) if turn["role"] == "user"), "")
