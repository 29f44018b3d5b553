"""ShareGPT: conversations of {from, value}, with a system text and tools beside them, as LLaMA-Factory reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from burnish.core.artifacts import Records
from burnish.core.records import Record, Reject
from burnish.core.rows import MAX_CHARS
from burnish.formats.base import FORMATS, Format, Look, Parsed, Told, Unfit, about, about_of, used, write_objects
from burnish.formats.json_items import objects
from burnish.formats.llama_factory import entry_for, write_entry
from burnish.formats.turns import REJECTED, Turns, alternating, pair_of, plain_turns, tell, turn, turns_of

TAGS = {
    "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
    "observation_tag": "observation", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
# who speaks in the wild under other names
ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
    "bing": "assistant", "bard": "assistant", "model": "assistant", "system": "system", "observation": "tool",
    "tool": "tool", "function_response": "tool", "function_call": "assistant",
}  # fmt: skip
SPOKEN = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}
CALLS = "function_calls"  # places of turns that call a tool, in meta


@FORMATS.part("sharegpt")
@dataclass(frozen=True)
class ShareGPT(Format):
    """Conversations of {from, value}; `dataset_info.json` beside the file is read and written.

    preferences: write the conversation up to its answer, and chosen and rejected beside it, from records with meta.rejected
    alone.
    """

    preferences: bool = False

    suffix: ClassVar[str] = ".json"

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        entry = entry_for(path) or {}
        tags = TAGS | entry.get("tags", {})
        columns = {"messages": "conversations", "system": "system", "tools": "tools", "kto_tag": "kto_tag"}
        columns |= {"chosen": "chosen", "rejected": "rejected"} | entry.get("columns", {})
        roles = ROLES | {
            tags["user_tag"]: "user", tags["assistant_tag"]: "assistant", tags["observation_tag"]: "tool",
            tags["function_tag"]: "assistant", tags["system_tag"]: "system",
        }  # fmt: skip
        for item in objects(path, shown=shown, max_chars=max_chars):
            if isinstance(item, Reject):
                yield item
                continue
            line, row, raw = item
            try:
                yield line, self._record(row, columns, tags, roles), raw
            except ValueError as error:
                yield Reject(shown, line, str(error), raw[:2000])

    def _record(
        self, row: dict[str, Any], columns: dict[str, str], tags: dict[str, str], roles: dict[str, str]
    ) -> dict[str, Any]:
        got = {name: row.get(key) for name, key in columns.items()}
        made = about_of(row, columns.values())
        meta: dict[str, Any] = made.get("meta", {})
        asked = got["messages"]
        turns, more = self._turns(asked, tags, roles)
        if isinstance(asked, list) and (
            calls := [at for at, one in enumerate(asked) if one[tags["role_tag"]] == tags["function_tag"]]
        ):
            meta[CALLS] = calls
        if more:
            meta["turns"] = more
        if isinstance(got["system"], str) and got["system"]:
            turns.insert(0, turn("system", got["system"]))
            meta |= {CALLS: [at + 1 for at in meta[CALLS]]} if CALLS in meta else {}
        if got["tools"]:
            meta["tools"] = got["tools"]
        if isinstance(got["kto_tag"], bool):
            made["label"] = str(got["kto_tag"]).lower()
        if got["chosen"] is not None and got["rejected"] is not None:
            better, worse = (self._turns([got[name]], tags, roles)[0] for name in ("chosen", "rejected"))
            turns += better
            meta[REJECTED] = worse[0]["content"]
        return made | {"messages": turns} | ({"meta": meta} if meta else {})

    def _turns(self, said: Any, tags: dict[str, str], roles: dict[str, str]) -> tuple[Turns, dict[str, dict[str, Any]]]:
        return plain_turns(said, role=tags["role_tag"], content=tags["content_tag"], roles=roles)

    def write(self, records: Records, out: Path, told: Told) -> None:
        columns = used(records)
        system = tools = False

        def rows() -> Iterator[dict[str, Any]]:
            nonlocal system, tools
            for record in records:
                try:
                    row, held = self._row(record)
                except Unfit as error:
                    told.leave(record, str(error))
                    continue
                system, tools = system or bool(row["system"]), tools or bool(row["tools"])
                gone = (CALLS, "tools", *((REJECTED,) if self.preferences else ()))
                own = about(record, columns, but=gone)
                told.wrote(record, held | own.keys())
                tell(record, told, turns=True)
                yield row | own

        write_objects(rows(), out, told)
        named = {"messages": "conversations"} | ({"system": "system"} if system else {})
        named |= {"tools": "tools"} if tools else {}
        named |= {"chosen": "chosen", "rejected": "rejected"} if self.preferences else {}
        entry = {"formatting": "sharegpt", "columns": named, "tags": TAGS}
        write_entry(out, entry | ({"ranking": True} if self.preferences else {}), told)

    def _row(self, record: Record) -> tuple[dict[str, Any], set[str]]:
        row: dict[str, Any] = {}
        if self.preferences:
            turns, better, worse, held = pair_of(record)
            row = {"chosen": _said(turn("assistant", better)), "rejected": _said(turn("assistant", worse))}
            turns, answered = [*turns, turn("assistant", better)], True
        else:
            turns, held = turns_of(record)
            answered = False
        system, rest = alternating(turns, whole=True)
        calls = record.meta.get(CALLS) or ()
        first = len(turns) - len(rest)
        said = [_said(one, call=at + first in calls) for at, one in enumerate(rest)]
        tools = record.meta.get("tools")
        return {"conversations": said[:-1] if answered else said, "system": system, "tools": tools or ""} | row, held

    @classmethod
    def fits(cls, look: Look) -> str:
        for key in ("conversations", "conversation"):
            if look.every(key) and all(isinstance(row[key], list) for row in look.rows):
                return f"its rows have {key}, a list of turns"
        return ""


def _said(one: dict[str, str], *, call: bool = False) -> dict[str, str]:
    return {"from": "function_call" if call else SPOKEN[one["role"]], "value": one["content"]}
