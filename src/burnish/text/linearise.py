"""Fields, table rows, triples and conversations as one text that a model reads, and that says what stands where.

    fields         title: A day | body: It rained
    table          city (text) is Oslo ; people (number) is 709037 ; mayor (text) is (empty) ;
    triples        Ada Lovelace (person) | born in | London (city) ; Ada Lovelace (person) | wrote | Notes
    conversation   user: hello | assistant: good day | user: it is broken

In Chinese the marks are full-width: 标题：下雨｜正文：下了一天, 城市（文本）是奥斯陆；, 艾达（人）｜出生于｜伦敦（城市）.
Two different inputs never make the same text: a mark that stands in a value has a backslash before it, in both widths,
for some tokenizers fold one into the other. What is empty is said or left out, as each function says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from burnish.text.lengths import lengths

BARS, STOPS, COLONS, OPEN, CLOSE = "|｜‖", ";；", ":：", "(（", ")）"
_DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:\d{2})?")


@dataclass(frozen=True)
class Style:
    """The marks of a language. words: of types, roles and sections."""

    colon: str
    bar: str
    sections: str
    stop: str
    between: str
    is_: str
    open: str
    close: str
    empty: str
    row: str
    words: Mapping[str, str] = field(default_factory=dict)

    def word(self, name: str) -> str:
        """A word of ours in this language."""
        return self.words.get(name, name)

    def role(self, name: str) -> str:
        """Who speaks; a name that reads like a translated one gets a backslash, so that both stay apart."""
        if name in ROLES:
            return self.word(name)
        own = escaped(name, BARS + COLONS)
        return "\\" + own if name in (self.word(role) for role in ROLES) else own


ROLES = ("user", "assistant", "system", "agent", "customer", "tool")
SECTIONS = ("table", "triples", "conversation")
EN = Style(": ", " | ", " || ", " ;", " ", " is ", " (", ")", "(empty)", "row {n}: ")
ZH = Style(
    "：", "｜", "‖", "；", "", "是", "（", "）", "（空）", "第{n}行：",
    {
        "text": "文本", "number": "数字", "boolean": "真假", "date": "日期", "list": "列表", "object": "对象",
        "user": "用户", "assistant": "助手", "system": "系统", "agent": "客服", "customer": "顾客", "tool": "工具",
        "table": "表格", "triples": "三元组", "conversation": "对话", "true": "真", "false": "假",
    },
)  # fmt: skip


def style_of(languages: Sequence[str]) -> Style:
    """The marks of the first language; all but Chinese have those of English."""
    return ZH if languages and languages[0] == "zh" else EN


def escaped(text: str, marks: str) -> str:
    """The text with a backslash before every backslash and every one of `marks`."""
    return re.sub(rf"[\\{re.escape(marks)}]", r"\\\g<0>", text)


def fields(values: Sequence[tuple[str, str | None]], style: Style = EN) -> str:
    """Named values in their order; one that is None is left out, an empty one keeps its name."""
    reserved = {style.word(name) for name in SECTIONS}
    made = []
    for name, value in values:
        if value is not None:
            own = escaped(name, BARS + COLONS)
            made.append(("\\" + own if name in reserved else own) + style.colon + escaped(value, BARS))
    return style.bar.join(made)


def table(value: Any, style: Style = EN) -> str:
    """A row {column: value}, rows [{column: value}], or {"header": [...], "rows": [[...]]}; order is kept.

    A header names columns, or {"name", "type"}; without a type it is that of the value: text, number, boolean, date,
    list, object. None and "" are the same and are said to be empty. Rows of a list are counted. No rows make "".
    ValueError says what the value is instead.
    """
    if isinstance(value, Mapping) and set(value) == {"header", "rows"}:
        rows = _rows(value["header"], value["rows"])
    elif isinstance(value, Mapping):
        return _cells([(str(name), None, cell) for name, cell in value.items()], style)
    elif isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
        rows = [[(str(name), None, cell) for name, cell in row.items()] for row in value]
    else:
        raise ValueError(f"must be a row, a list of rows, or {{header, rows}}, not {_short(value)}")
    return style.between.join(style.row.format(n=n) + _cells(row, style) for n, row in enumerate(rows, 1))


def _rows(header: Any, rows: Any) -> list[list[tuple[str, str | None, Any]]]:
    if not isinstance(header, list) or not isinstance(rows, list):
        raise ValueError("header and rows must be lists")
    columns: list[tuple[str, str | None]] = []
    for one in header:
        named = one if isinstance(one, Mapping) else {"name": one}
        if not isinstance(named.get("name"), str):
            raise ValueError(f"a column of the header must be a name or {{name, type}}, not {_short(one)}")
        columns.append((named["name"], named.get("type")))
    for n, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(columns):
            raise ValueError(f"row {n} must be a list of {len(columns)} cells, not {_short(row)}")
    return [[(name, kind, cell) for (name, kind), cell in zip(columns, row, strict=True)] for row in rows]


def _cells(row: Sequence[tuple[str, str | None, Any]], style: Style) -> str:
    made = []
    for name, kind, cell in row:
        shown = kind if kind is not None else style.word(_kind(cell))
        made.append(
            escaped(name, BARS + STOPS + COLONS + OPEN)
            + style.open
            + escaped(shown, BARS + STOPS + CLOSE)
            + style.close
            + style.is_
            + _cell(cell, style)
            + style.stop
        )
    return style.between.join(made)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, list):
        return "list"
    return "date" if isinstance(value, str) and _DATE.fullmatch(value) else "text"


def _cell(value: Any, style: Style) -> str:
    if value is None or value == "":
        return style.empty
    if isinstance(value, bool):
        return style.word(str(value).lower())
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    own = escaped(text, BARS + STOPS)
    return "\\" + own if own == style.empty else own


def triples(value: Any, style: Style = EN) -> str:
    """A graph as [subject, relation, object], ... or {"subject", "relation", "object", "subject_type", "object_type"}.

    A subject or object may be {"name", "type"}. A graph is a set: triples are sorted by code point and a repeated one is
    said once, so the same graph always makes the same text. ValueError says what a triple is instead.
    """
    if not isinstance(value, list):
        raise ValueError(f"must be a list of triples, not {_short(value)}")
    found = sorted({_triple(one) for one in value})
    return (style.stop + style.between).join(
        style.bar.join((_node(subject, style), escaped(relation, BARS + STOPS), _node(object_, style)))
        for subject, relation, object_ in found
    )


def _triple(value: Any) -> tuple[tuple[str, str], str, tuple[str, str]]:
    if isinstance(value, list | tuple) and len(value) == 3:
        subject, relation, object_ = value
        kinds = (None, None)
    elif isinstance(value, Mapping) and {"subject", "relation", "object"} <= set(value):
        subject, relation, object_ = value["subject"], value["relation"], value["object"]
        kinds = (value.get("subject_type"), value.get("object_type"))
    else:
        raise ValueError(f"a triple is [subject, relation, object], not {_short(value)}")
    if not isinstance(relation, str):
        raise ValueError(f"a relation must be text, not {_short(relation)}")
    return _named(subject, kinds[0]), relation, _named(object_, kinds[1])


def _named(value: Any, kind: str | None) -> tuple[str, str]:
    """(name, type) of a subject or object; type "" where it has none."""
    if isinstance(value, Mapping):
        value, kind = value.get("name"), value.get("type", kind)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not isinstance(kind, str | None):
        raise ValueError(f"a subject or object must be text or {{name, type}}, not {_short(value)}")
    return str(value), kind or ""


def _node(node: tuple[str, str], style: Style) -> str:
    name, kind = node
    own = escaped(name, BARS + STOPS + OPEN)
    return own + style.open + escaped(kind, BARS + STOPS + CLOSE) + style.close if kind else own


def conversation(turns: Any, style: Style = EN, *, longest: int | None = None) -> str:
    """Turns [{"role", "content"}] in their order.

    longest: estimated tokens to keep (`text.lengths`); the newest turns that fit are kept, the newest always, and "…"
    stands for those that are not. ValueError says what a turn is instead.
    """
    if not isinstance(turns, list) or not all(
        isinstance(one, Mapping) and isinstance(one.get("role"), str) and isinstance(one.get("content"), str)
        for one in turns
    ):
        raise ValueError(f"must be a list of {{role, content}}, not {_short(turns)}")
    said = [style.role(one["role"]) + style.colon + escaped(one["content"], BARS) for one in turns]
    kept = said
    if longest is not None and said:
        left, kept = longest, []
        for text, tokens in zip(reversed(said), reversed(lengths(said).tokens.tolist()), strict=True):
            left -= tokens + 1
            if kept and left < 0:
                break
            kept.insert(0, text)
    return style.bar.join([*(["…"] if len(kept) < len(said) else []), *kept])


@dataclass(frozen=True)
class Plan:
    """The `inputs` of a task section: which places of a record its text is made of, in this order.

    fields: (shown name, path); table, triples, conversation: a path or None. A path is a column of the record, else a
    key of its meta; dots go deeper. longest: estimated tokens of a conversation that are kept.
    """

    fields: tuple[tuple[str, str], ...] = ()
    table: str | None = None
    triples: str | None = None
    conversation: str | None = None
    longest: int = 200
    style: Style = EN

    @classmethod
    def of(cls, given: Mapping[str, Any], languages: Sequence[str]) -> Plan:
        """The plan that a spec writes; `problems` has nothing against it."""
        named = given.get("fields", ())
        pairs = named.items() if isinstance(named, Mapping) else ((path.split(".")[-1], path) for path in named)
        rest = {key: given[key] for key in (*SECTIONS, "longest") if given.get(key) is not None}
        return cls(fields=tuple((str(name), path) for name, path in pairs), style=style_of(languages), **rest)

    @property
    def paths(self) -> tuple[str, ...]:
        """All places that are read."""
        sections = (self.table, self.triples, self.conversation)
        return (*(path for _, path in self.fields), *(path for path in sections if path))

    def text(self, record: Mapping[str, Any]) -> str:
        """What the model reads of a record; "" when nothing is there. ValueError names the field that is wrong."""
        sections = [fields([(name, _plain(record, path)) for name, path in self.fields], self.style)]
        for name in SECTIONS:
            path = getattr(self, name)
            value = at(record, path) if path else None
            if value is None:
                continue
            try:
                if name == "conversation":
                    said = conversation(value, self.style, longest=self.longest)
                else:
                    said = {"table": table, "triples": triples}[name](value, self.style)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            if said:
                sections.append(self.style.word(name) + self.style.colon + said)
        return self.style.sections.join(section for section in sections if section)


def problems(given: Any) -> list[tuple[str, str]]:
    """(message, hint) for what is wrong with the `inputs` of a task section."""
    hint = "inputs: {fields: [title, body], table: row, triples: graph, conversation: messages}"
    known = ("fields", *SECTIONS, "longest")
    if not isinstance(given, Mapping) or not any(given.get(key) for key in known[:-1]):
        return [("inputs names no place to read", hint)]
    found = [(f"inputs has no {key!r}", f"it has {', '.join(known)}") for key in given if key not in known]
    named = given.get("fields", ())
    paths = (
        list(named.values())
        if isinstance(named, Mapping)
        else list(named)
        if isinstance(named, list | tuple)
        else [named]
    )
    if isinstance(named, str) or not all(isinstance(path, str) and path for path in paths):
        found.append(("inputs.fields must be names, or {shown name: name}", "fields: [title, body]"))
    elif not isinstance(named, Mapping) and len({path.split(".")[-1] for path in paths}) < len(paths):
        found.append(("two of inputs.fields end in the same name", "fields: {title: meta.title, first: meta.a.title}"))
    for key in SECTIONS:
        if given.get(key) is not None and not (isinstance(given[key], str) and given[key]):
            found.append((f"inputs.{key} must be the name of one place, got {given[key]!r}", f"{key}: meta.{key}"))
    longest = given.get("longest", 1)
    if isinstance(longest, bool) or not isinstance(longest, int) or longest < 1:
        found.append((f"inputs.longest must be a number of tokens, got {longest!r}", "longest: 200"))
    return found


def at(record: Mapping[str, Any], path: str) -> Any:
    """The value at a place of a record: a column, else a key of meta (a dict, or its JSON); None where there is none."""
    first, *rest = path.split(".")
    meta = record.get("meta")
    meta = json.loads(meta) if isinstance(meta, str) else meta or {}
    value = record.get(first)
    if first == "meta":
        value, flat = meta, record.get(rest[0]) if rest else None
        if (
            rest and rest[0] not in meta and flat is not None
        ):  # a caller's object, whose keys a source would put in meta
            value = {rest[0]: flat}
    elif value is None:
        value = meta.get(first)
    for key in rest:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _plain(record: Mapping[str, Any], path: str) -> str | None:
    value = at(record, path)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    raise ValueError(f"{path}: must be text or a number, not {_short(value)}")


def _short(value: Any) -> str:
    """A wrong value as a message shows it."""
    return json.dumps(value, ensure_ascii=False, default=str)[:80]
