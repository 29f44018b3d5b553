"""Conversations as OpenAI's and trl's fine-tuning take them: messages, or a prompt and its completion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from burnish.core.artifacts import Records
from burnish.core.records import Record, Reject
from burnish.core.rows import MAX_CHARS
from burnish.formats.base import FORMATS, Format, Look, Parsed, Told, Unfit, about, about_of, used, write_objects
from burnish.formats.json_items import objects
from burnish.formats.turns import answer_of, plain_turns, tell, turns_of

ROLES = {one: one for one in ("system", "user", "assistant", "tool")} | {"developer": "system", "function": "tool"}


class Rows(Format):
    """A format of JSON objects: subclasses say how a row becomes a record and back. always_turns: it holds turns alone; speaks: texts become
    questions and answers at all."""

    always_turns: ClassVar[bool] = False
    speaks: ClassVar[bool] = True

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        """Record fields of a row. ValueError says what is wrong."""
        raise NotImplementedError

    def maker(self, columns: frozenset[str]) -> Callable[[Record], tuple[list[dict[str, Any]], set[str]]]:
        """How a record becomes rows (mostly one), and the fields that they hold; Unfit where it does not.

        columns: the fields that any of the records has.
        """
        raise NotImplementedError

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        for item in objects(path, shown=shown, max_chars=max_chars):
            if isinstance(item, Reject):
                yield item
                continue
            line, row, raw = item
            try:
                yield line, self.record(row), raw
            except ValueError as error:
                yield Reject(shown, line, str(error), raw[:2000])

    def write(self, records: Records, out: Path, told: Told) -> None:
        columns = used(records)
        make = self.maker(columns)

        def rows() -> Iterator[dict[str, Any]]:
            for record in records:
                try:
                    made, held = make(record)
                except Unfit as error:
                    told.leave(record, str(error))
                    continue
                told.wrote(record, held)
                if self.speaks:
                    tell(record, told, turns=self.always_turns or "messages" in columns)
                yield from made

        write_objects(rows(), out, told)


@FORMATS.part("openai")
@dataclass(frozen=True)
class OpenAI(Rows):
    """Lines of {"messages": [{role, content}]}: OpenAI's fine-tuning, trl's SFT. What a turn holds beyond that (name,
    weight, tool_calls) is kept in meta.turns and written back."""

    suffix: ClassVar[str] = ".jsonl"
    always_turns: ClassVar[bool] = True

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        turns, more = plain_turns(row.get("messages"), roles=ROLES)
        made = about_of(row, ("messages",))
        if more:
            made["meta"] = made.get("meta", {}) | {"turns": more}
        return made | {"messages": turns}

    def maker(self, columns: frozenset[str]) -> Callable[[Record], tuple[list[dict[str, Any]], set[str]]]:
        def make(record: Record) -> tuple[list[dict[str, Any]], set[str]]:
            turns, held = turns_of(record)
            more = record.meta.get("turns") or {}
            said = [{**one, **more.get(str(at), {})} for at, one in enumerate(turns)]
            own = about(record, columns, but=("turns",))
            return [{"messages": said} | own], held | own.keys()

        return make

    @classmethod
    def fits(cls, look: Look) -> str:
        ours = "label", "spans", "text", "output"
        if look.every("messages") and not any(key in row for row in look.rows for key in ours):
            return "its rows have messages"
        return ""


@FORMATS.part("prompt_completion")
@dataclass(frozen=True)
class PromptCompletion(Rows):
    """Lines of {"prompt", "completion"}: two texts, or two lists of messages where the records are conversations."""

    suffix: ClassVar[str] = ".jsonl"

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        made = about_of(row, ("prompt", "completion"))
        asked, said = row.get("prompt"), row.get("completion")
        if isinstance(asked, str) and isinstance(said, str):
            return made | {"text": asked, "output": said or None}
        if isinstance(asked, list) and isinstance(said, list):
            return made | {"messages": plain_turns([*asked, *said], roles=ROLES)[0]}
        raise ValueError("wrong type: prompt and completion are neither two texts nor two lists of messages")

    def maker(self, columns: frozenset[str]) -> Callable[[Record], tuple[list[dict[str, Any]], set[str]]]:
        def make(record: Record) -> tuple[list[dict[str, Any]], set[str]]:
            asked, said, held = question_and_answer(record, talk="messages" in columns)
            own = about(record, columns)
            return [{"prompt": asked, "completion": said} | own], held | own.keys()

        return make

    @classmethod
    def fits(cls, look: Look) -> str:
        if look.every("prompt", "completion") and not look.every("label"):
            return "its rows have prompt and completion"
        return ""


def question_and_answer(record: Record, *, talk: bool) -> tuple[Any, Any, set[str]]:
    """What is asked and what is answered, as lists of messages when talk, else as texts; and the fields they hold."""
    if talk:
        turns, held = turns_of(record)
        if len(turns) < 2 or turns[-1]["role"] != "assistant":
            raise Unfit("no answer: the conversation does not end with one")
        return turns[:-1], turns[-1:], held
    said, by = answer_of(record)
    if said is None:
        raise Unfit("no answer: there is no output, answer, label or value")
    second = f"\n{record.text_b}" if record.text_b else ""
    return (record.text or "") + second, said, {"text", "text_b"} | by
