"""Alpaca: instruction, input, output, system, history (Taori et al. 2023; columns as LLaMA-Factory reads them)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from burnish.core.artifacts import Records
from burnish.core.records import Record, Reject
from burnish.core.rows import MAX_CHARS
from burnish.formats.base import FORMATS, Format, Look, Parsed, Told, Unfit, about, about_of, used, write_objects
from burnish.formats.json_items import objects
from burnish.formats.llama_factory import entry_for, write_entry
from burnish.formats.turns import REJECTED, Turns, alternating, answer_of, pair_of, tell, turn, turns_of

KEYS = ("instruction", "input", "output", "system", "history", "chosen", "rejected", "kto_tag")


@FORMATS.part("alpaca")
@dataclass(frozen=True)
class Alpaca(Format):
    """Instructions with an input and an output; `dataset_info.json` beside the file is read and written.

    into: what a row becomes: "messages" for chat, or "text": the instruction as text, the input as text_b, the output as
    output. A history needs messages.
    preferences: write chosen and rejected in place of output, from records with meta.rejected alone.
    """

    into: Literal["messages", "text"] = "messages"
    preferences: bool = False

    suffix: ClassVar[str] = ".json"

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        columns = {"prompt": "instruction", "query": "input", "response": "output"} | {
            name: name for name in ("system", "history", "chosen", "rejected", "kto_tag")
        }
        columns |= (entry_for(path) or {}).get("columns", {})
        for item in objects(path, shown=shown, max_chars=max_chars):
            if isinstance(item, Reject):
                yield item
                continue
            line, row, raw = item
            try:
                yield line, self._record(row, columns), raw
            except ValueError as error:
                yield Reject(shown, line, str(error), raw[:2000])

    def _record(self, row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
        got = {name: row.get(key) for name, key in columns.items()}
        for name in ("prompt", "query", "response", "system", "chosen", "rejected"):
            if got[name] is not None and not isinstance(got[name], str):
                raise ValueError(f"wrong type: {columns[name]} is not a text")
        made = about_of(row, columns.values())
        answer = got["chosen"] if got["chosen"] is not None else got["response"]
        if got["rejected"] is not None:
            made.setdefault("meta", {})[REJECTED] = got["rejected"]
        if isinstance(got["kto_tag"], bool):
            made["label"] = str(got["kto_tag"]).lower()
        if self.into == "text":
            if got["history"] or got["system"]:
                raise ValueError("turns: a history or a system turn needs into: messages")
            return made | {"text": got["prompt"], "text_b": got["query"] or None, "output": answer or None}
        turns: Turns = [turn("system", got["system"])] if got["system"] else []
        for one in got["history"] or ():
            if not isinstance(one, list) or len(one) != 2 or not all(isinstance(said, str) for said in one):
                raise ValueError("wrong type: history is not a list of pairs of texts")
            turns += [turn("user", one[0]), turn("assistant", one[1])]
        asked = "\n".join(said for said in (got["prompt"], got["query"]) if said)
        if not asked:
            raise ValueError("empty text: there is no instruction")
        turns.append(turn("user", asked))
        return made | {"messages": [*turns, turn("assistant", answer)] if answer else turns}

    def write(self, records: Records, out: Path, told: Told) -> None:
        columns = used(records)

        def rows() -> Iterator[dict[str, Any]]:
            for record in records:
                try:
                    row, held = self._row(record)
                except Unfit as error:
                    told.leave(record, str(error))
                    continue
                own = about(record, columns, but=(REJECTED,) if self.preferences else ())
                told.wrote(record, held | own.keys())
                talk = self.into == "messages"
                tell(record, told, turns=talk, joined=talk or self.preferences)
                yield row | own

        write_objects(rows(), out, told)
        asked = {"prompt": "instruction", "query": "input", "system": "system", "history": "history"}
        answers = {"chosen": "chosen", "rejected": "rejected"} if self.preferences else {"response": "output"}
        write_entry(out, {"columns": asked | answers} | ({"ranking": True} if self.preferences else {}), told)

    def _row(self, record: Record) -> tuple[dict[str, Any], set[str]]:
        if self.preferences:
            before, better, worse, held = pair_of(record)
            asked = self._asked([*before, turn("assistant", better)])
            asked.pop("output")
            return asked | {"chosen": better, "rejected": worse}, held
        if record.messages is None and record.text is not None:
            said, by = answer_of(record)
            row = {"instruction": record.text, "input": record.text_b or "", "output": said or ""}
            return row | {"system": "", "history": []}, {"text", "text_b"} | by
        turns, held = turns_of(record)
        return self._asked(turns), held

    def _asked(self, turns: Turns) -> dict[str, Any]:
        system, rest = alternating(turns, whole=False)
        if any(one["role"] == "tool" for one in rest):
            raise Unfit("turns: Alpaca has no turns of tools")
        said = [one["content"] for one in rest]
        last = said.pop() if len(said) % 2 == 0 else ""
        history = [[said[at], said[at + 1]] for at in range(0, len(said) - 1, 2)]
        return {"instruction": said[-1], "input": "", "output": last, "system": system, "history": history}

    @classmethod
    def fits(cls, look: Look) -> str:
        if look.every("instruction") and (look.every("output") or look.every("chosen")):
            return "its rows have instruction and output"
        return ""
