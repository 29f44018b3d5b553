"""Preference data: pairs for DPO, single verdicts for KTO, as trl takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from burnish.core.records import Record
from burnish.formats.base import FORMATS, Look, Unfit, about, about_of
from burnish.formats.messages import ROLES, Rows, question_and_answer
from burnish.formats.turns import REJECTED, common_prompt, pair_of, plain_turns, turn


@FORMATS.part("dpo")
@dataclass(frozen=True)
class Dpo(Rows):
    """Lines of {"prompt", "chosen", "rejected"}: texts, or lists of messages where the records are conversations. Pairs
    without a prompt are cut where they begin to differ; OpenAI's preferred_output is read too."""

    suffix: ClassVar[str] = ".jsonl"

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        made = about_of(row, ("prompt", "chosen", "rejected", "input", "preferred_output", "non_preferred_output"))
        asked, better, worse = row.get("prompt"), row.get("chosen"), row.get("rejected")
        if "preferred_output" in row:
            inner = row.get("input")
            asked = inner.get("messages") if isinstance(inner, dict) else None
            better, worse = row["preferred_output"], row.get("non_preferred_output")
        if asked is None and better is not None and type(better) is type(worse):
            asked, better, worse = common_prompt(better, worse)
        if isinstance(asked, str) and isinstance(better, str) and isinstance(worse, str):
            return made | {"text": asked, "output": better, "meta": made.get("meta", {}) | {REJECTED: worse}}
        if isinstance(asked, str) and isinstance(better, list):
            asked = [turn("user", asked)]
        if not (isinstance(asked, list) and isinstance(better, list) and isinstance(worse, list)):
            raise ValueError("wrong type: prompt, chosen and rejected are neither texts nor lists of messages")
        before = plain_turns(asked, roles=ROLES)[0]
        pair = [plain_turns(one, roles=ROLES)[0] for one in (better, worse)]
        if any(len(one) != 1 or one[0]["role"] != "assistant" for one in pair):
            raise ValueError("turns: chosen and rejected are not one answer each")
        return made | {
            "messages": [*before, *pair[0]],
            "meta": made.get("meta", {}) | {REJECTED: pair[1][0]["content"]},
        }

    def maker(self, columns: frozenset[str]) -> Callable[[Record], tuple[list[dict[str, Any]], set[str]]]:
        talk = "messages" in columns

        def make(record: Record) -> tuple[list[dict[str, Any]], set[str]]:
            before, better, worse, held = pair_of(record)
            own = about(record, columns, but=(REJECTED,))
            if talk:
                row: dict[str, Any] = {
                    "prompt": before,
                    "chosen": [turn("assistant", better)],
                    "rejected": [turn("assistant", worse)],
                }
            else:
                row = {"prompt": before[0]["content"], "chosen": better, "rejected": worse}
            return [row | own], held | own.keys()

        return make

    @classmethod
    def fits(cls, look: Look) -> str:
        if look.every("chosen", "rejected") and not look.every("instruction") and not look.every("conversations"):
            return "its rows have chosen and rejected"
        return "its rows have preferred_output" if look.every("preferred_output") else ""


@FORMATS.part("kto")
@dataclass(frozen=True)
class Kto(Rows):
    """Lines of {"prompt", "completion", "label"}, label true for a wanted answer: the record's label is "true" or "false". A
    record with meta.rejected becomes two lines, the second one's id with ~rejected behind it."""

    suffix: ClassVar[str] = ".jsonl"

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        made = about_of(row, ("prompt", "completion", "label"))
        asked, said, label = row.get("prompt"), row.get("completion"), row.get("label")
        if not isinstance(label, bool):
            raise ValueError("wrong type: label is neither true nor false")
        made["label"] = str(label).lower()
        if isinstance(asked, str) and isinstance(said, str):
            return made | {"text": asked, "output": said or None}
        if isinstance(asked, list) and isinstance(said, list):
            return made | {"messages": plain_turns([*asked, *said], roles=ROLES)[0]}
        raise ValueError("wrong type: prompt and completion are neither two texts nor two lists of messages")

    def maker(self, columns: frozenset[str]) -> Callable[[Record], tuple[list[dict[str, Any]], set[str]]]:
        talk = "messages" in columns

        def make(record: Record) -> tuple[list[dict[str, Any]], set[str]]:
            own = about(record, columns, but=(REJECTED,))
            if REJECTED in record.meta:
                before, better, worse, held = pair_of(record)
                asked: Any = before if talk else before[0]["content"]
                said: list[Any] = [[turn("assistant", one)] if talk else one for one in (better, worse)]
                second = own | {"id": f"{record.id}~rejected"}
                first = {"prompt": asked, "completion": said[0], "label": True} | own
                return [first, {"prompt": asked, "completion": said[1], "label": False} | second], held | own.keys()
            if record.label not in ("true", "false") or (record.output is None and record.messages is None):
                raise Unfit("no verdict: the label is neither true nor false on an output, and there is no pair")
            asked, answer, held = question_and_answer(record, talk=talk)
            row = {"prompt": asked, "completion": answer, "label": record.label == "true"}
            return [row | own], held | {"label"} | own.keys()

        return make

    @classmethod
    def fits(cls, look: Look) -> str:
        if look.every("prompt", "completion", "label") and all(isinstance(row["label"], bool) for row in look.rows):
            return "its rows have prompt, completion and a label that is true or false"
        return ""
