"""doccano's JSON Lines: labels of a text, spans, texts written for it, entities with relations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from burnish.core.records import Record, Reject
from burnish.core.rows import MAX_CHARS
from burnish.formats.base import FORMATS, Look, Parsed, Unfit, about, about_of
from burnish.formats.json_items import objects
from burnish.formats.messages import Rows

Kind = Literal["auto", "label", "labels", "spans", "output", "relations"]
LOOKED_AT = 2000


@FORMATS.part("doccano")
@dataclass(frozen=True)
class Doccano(Rows):
    """Lines as doccano imports and exports them. A list of names under "label" may be classes or a written text: say kind.

    kind: what the labels are: "label" (one class), "labels", "spans", "output" (sequence to sequence), "relations"; "auto"
    tells by the first 2,000 rows and takes names for classes.
    """

    kind: Kind = "auto"

    suffix: ClassVar[str] = ".jsonl"
    speaks: ClassVar[bool] = False

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        if self.kind == "auto":
            first = itertools.islice(objects(path, shown=shown, max_chars=max_chars), LOOKED_AT)
            kind = _kind([one[1] for one in first if not isinstance(one, Reject)])
            yield from replace(self, kind=kind).read(path, shown=shown, max_chars=max_chars)
            return
        yield from super().read(path, shown=shown, max_chars=max_chars)

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = about_of(row, ("text", "data", "label", "labels", "entities", "relations", "Comments"))
        text = row.get("text", row.get("data"))
        given = row.get("label", row.get("labels"))
        made["text"] = text
        if row.get("Comments"):
            made["meta"] = made.get("meta", {}) | {"Comments": row["Comments"]}
        if self.kind == "relations":
            return made | _graph(row)
        if given is None:
            return made
        if self.kind == "spans" and isinstance(given, list):
            return made | {"spans": [_span(one) for one in given if given]}
        names = given if isinstance(given, list) else [given]
        if not all(isinstance(one, str) for one in names):
            raise ValueError("wrong type: label is not a list of names")
        if self.kind == "labels":
            return made | {"labels": names}
        if len(names) > 1:
            raise ValueError(f"label: {len(names)} where one is wanted; say kind: labels")
        return made | ({"label" if self.kind == "label" else "output": names[0]} if names else {})

    def maker(self, columns: frozenset[str]) -> Callable[[Record], tuple[list[dict[str, Any]], set[str]]]:
        there: list[Kind] = [one for one in ("relations", "spans", "labels", "label", "output") if one in columns]
        kind = self.kind if self.kind != "auto" else there[0] if there else "label"

        def make(record: Record) -> tuple[list[dict[str, Any]], set[str]]:
            if not record.text:
                raise Unfit("no text: doccano shows texts")
            own = about(record, columns)
            row, held = _row(record, kind)
            return [{"id": own.pop("id"), "text": record.text} | row | own], held | {"id", "text"} | own.keys()

        return make

    @classmethod
    def fits(cls, look: Look) -> str:
        if look.every("entities") and all(_entities(row["entities"]) for row in look.rows):
            return "its rows have entities with start_offset"
        for key in ("label", "labels"):
            lists = [row.get(key) for row in look.rows]
            if look.every("text", key) and all(isinstance(one, list) for one in lists):
                spans = [one for given in lists if isinstance(given, list) for one in given]
                if spans and all(_triple(one) for one in spans):
                    return f"{key} of its rows holds [start, end, name]"
                if look.every("id", "Comments") or (look.suffix == ".jsonl" and key == "label" and spans):
                    return "label of its rows is a list"
        return ""


def _row(record: Record, kind: str) -> tuple[dict[str, Any], set[str]]:
    if kind == "relations":
        spans = record.spans or []
        entities = [
            {"id": at, "label": one["label"], "start_offset": one["start"], "end_offset": one["end"]}
            for at, one in enumerate(spans)
        ]
        relations = [
            {"id": at, "from_id": one["head"], "to_id": one["tail"], "type": one["label"]}
            for at, one in enumerate(record.relations or ())
        ]
        return {"entities": entities, "relations": relations}, {"spans", "relations"}
    if getattr(record, kind) is None and not (kind == "labels" and record.label):
        return {}, {kind}
    if kind == "spans":
        return {"label": [[one["start"], one["end"], one["label"]] for one in record.spans or ()]}, {"spans"}
    if kind == "labels":
        return {"label": record.labels or ([record.label] if record.label else [])}, {"labels", "label"}
    return {"label": [getattr(record, kind)]}, {kind}


def _triple(one: Any) -> bool:
    if isinstance(one, dict):
        return {"start_offset", "end_offset", "label"} <= one.keys()
    return isinstance(one, list) and len(one) == 3 and isinstance(one[0], int) and isinstance(one[1], int)


def _entities(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(one, dict) and "start_offset" in one for one in given)


def _kind(rows: list[dict[str, Any]]) -> Kind:
    if any("entities" in row for row in rows):
        return "relations"
    lists = [given for row in rows if isinstance(given := row.get("label", row.get("labels")), list)]
    if any(_triple(one) for given in lists for one in given):
        return "spans"
    return "labels" if any(len(given) > 1 for given in lists) else "label"


def _span(one: Any) -> dict[str, Any]:
    if not _triple(one):
        raise ValueError("wrong type: a span is not [start, end, name]")
    if isinstance(one, dict):
        return {"start": one["start_offset"], "end": one["end_offset"], "label": one["label"]}
    return {"start": one[0], "end": one[1], "label": one[2]}


def _graph(row: dict[str, Any]) -> dict[str, Any]:
    entities = row.get("entities") or []
    if not _entities(entities):
        raise ValueError("wrong type: entities is not a list of {id, label, start_offset, end_offset}")
    place = {one.get("id"): at for at, one in enumerate(entities)}
    relations = []
    for one in row.get("relations") or ():
        if not isinstance(one, dict) or one.get("from_id") not in place or one.get("to_id") not in place:
            raise ValueError("relation: it names an entity that is not there")
        relations.append({"head": place[one["from_id"]], "tail": place[one["to_id"]], "label": one.get("type")})
    return {"spans": [_span(one) for one in entities], "relations": relations}
