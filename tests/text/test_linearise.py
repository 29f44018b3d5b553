"""What stands where is said, in both languages, and two different inputs never make the same text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.text import linearise
from burnish.text.linearise import EN, ZH, Plan, Style, conversation, fields, table, triples

STYLES = st.sampled_from([EN, ZH])
# all marks of both languages, words that mean something here, and little else: what collides, collides here
WILD = st.lists(
    st.sampled_from(
        [*"\\|｜‖;；:：()（） a是真", "(empty)", "（空）", " is ", "row 1: ", "第1行：", "table", "表格", "…"]
    ),
    max_size=4,
).map("".join)


def split(text: str, mark: str) -> list[str]:
    """At every mark that has no backslash before it; the backslashes stay."""
    parts, at, start = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text.startswith(mark, at):
            parts.append(text[start:at])
            at += len(mark)
            start = at
        else:
            at += 1
    return [*parts, text[start:]]


def plain(text: str) -> str:
    out, at = [], 0
    while at < len(text):
        at += text[at] == "\\"
        out.append(text[at])
        at += 1
    return "".join(out)


def test_fields_have_their_names_in_front():
    assert fields([("title", "A day"), ("body", "It rained")]) == "title: A day | body: It rained"
    assert fields([("标题", "下雨"), ("正文", "下了一天。")], ZH) == "标题：下雨｜正文：下了一天。"
    assert fields([("title", None), ("body", "")]) == "body: "
    assert fields([("a:b", "at 3:15 | on time")]) == r"a\:b: at 3:15 \| on time"


@given(st.lists(st.tuples(WILD, st.none() | WILD), max_size=3), STYLES)
def test_fields_can_be_read_back(values, style):
    text = fields(values, style)
    found = []
    for part in split(text, style.bar) if text else []:
        name, *value = split(part, style.colon)
        found.append((plain(name), plain(style.colon.join(value))))
    assert found == [(name, value) for name, value in values if value is not None]


def test_a_row_says_name_type_and_what_is_empty():
    row = {"city": "Oslo", "people": 709037, "since": "1048-01-01", "capital": True, "mayor": None, "note": ""}
    assert table(row) == (
        "city (text) is Oslo ; people (number) is 709037 ; since (date) is 1048-01-01 ; capital (boolean) is true ; "
        "mayor (text) is (empty) ; note (text) is (empty) ;"
    )
    assert (
        table({"城市": "奥斯陆；首都", "人口": 709037, "市长": None}, ZH)
        == "城市（文本）是奥斯陆\\；首都；人口（数字）是709037；市长（文本）是（空）；"
    )
    assert table({"x": "(empty)"}) == r"x (text) is \(empty) ;"
    assert table({"tags": ["a", "b;c"]}) == r'tags (list) is ["a", "b\;c"] ;'


def test_rows_and_cells_keep_their_order():
    whole = {"header": ["b", {"name": "a", "type": "money"}], "rows": [["1", "2"], [None, "3"]]}
    assert table(whole) == "row 1: b (text) is 1 ; a (money) is 2 ; row 2: b (text) is (empty) ; a (money) is 3 ;"
    assert table([{"b": 1}, {"a": 2}], ZH) == "第1行：b（数字）是1；第2行：a（数字）是2；"
    assert table([]) == table({}) == ""


CELL = st.none() | WILD | st.integers(0, 3) | st.booleans()


def rows_of(text: str, style: Style) -> list[list[tuple[str, str, str | None]]]:
    """(name, type, shown) of every cell of every row, read back."""
    rows: list[list[tuple[str, str, str | None]]] = []
    for cell in split(text, style.stop)[:-1]:
        cell = cell.removeprefix(style.between) if rows else cell
        marked = split(cell, style.colon)
        if len(marked) > 1 and marked[0] == style.row.format(n=len(rows) + 1).removesuffix(style.colon):
            rows.append([])
            cell = cell[len(marked[0]) + len(style.colon) :]
        name, rest = split(cell, style.open)[0], style.open.join(split(cell, style.open)[1:])
        kind, value = split(rest, style.close)[0], style.close.join(split(rest, style.close)[1:])
        value = value.removeprefix(style.is_)
        rows[-1].append((plain(name), plain(kind), None if value == style.empty else plain(value)))
    return rows


@given(st.lists(st.dictionaries(WILD, CELL, min_size=1, max_size=2), min_size=1, max_size=2), STYLES)
def test_tables_can_be_read_back(rows, style):
    found = rows_of(table(rows, style), style)
    assert [[name for name, _, _ in row] for row in found] == [list(row) for row in rows]
    for row, said in zip(rows, found, strict=True):
        for value, (_, kind, shown) in zip(row.values(), said, strict=True):
            if isinstance(value, str):
                assert (kind, shown) == (style.word("text"), value or None)
            elif value is not None:
                kinds = {bool: "boolean", int: "number"}
                assert kind == style.word(kinds[type(value)]) and shown == style.word(str(value).lower())


def test_a_graph_makes_one_text_whatever_its_order():
    graph = [
        {
            "subject": {"name": "Ada", "type": "person"},
            "relation": "born in",
            "object": "London",
            "object_type": "city",
        },
        ["Ada", "wrote", "Notes"],
        ["Ada", "wrote", "Notes"],
    ]
    text = "Ada | wrote | Notes ; Ada (person) | born in | London (city)"
    assert triples(graph) == triples(graph[::-1]) == text
    assert triples([[{"name": "艾达", "type": "人"}, "出生于", "伦敦"]], ZH) == "艾达（人）｜出生于｜伦敦"
    assert triples([["Paris (city)", "r", "x"]]) == r"Paris \(city) | r | x"


NODE = WILD | st.fixed_dictionaries({"name": WILD, "type": WILD})


@given(st.lists(st.tuples(NODE, WILD, NODE).map(list), min_size=1, max_size=2), STYLES)
def test_triples_can_be_read_back(graph, style):
    def node(text):
        name, *kind = split(text, style.open)
        return plain(name), plain(style.open.join(kind).removesuffix(style.close)) if kind else ""

    found = set()
    for one in split(triples(graph, style), style.stop + style.between):
        subject, relation, object_ = split(one, style.bar)
        found.add((node(subject), plain(relation), node(object_)))
    named = [[(one, "") if isinstance(one, str) else (one["name"], one["type"]) for one in (s, o)] for s, _, o in graph]
    assert found == {(s, relation, o) for (s, o), (_, relation, _) in zip(named, graph, strict=True)}


def turns(*said):
    return [{"role": role, "content": content} for role, content in said]


def test_turns_say_who_speaks_and_the_newest_are_kept():
    talk = turns(("user", "hello | you"), ("assistant", "good day " * 20), ("user", "it is broken"))
    assert conversation(talk[::2]) == r"user: hello \| you | user: it is broken"
    assert conversation(talk, longest=10) == "… | user: it is broken"
    assert conversation(talk, longest=55).startswith("… | assistant: good day")
    assert conversation(turns(("user", "长" * 50)), ZH, longest=10) == "用户：" + "长" * 50  # the newest always
    assert (
        conversation(turns(("user", "你好"), ("用户", "我"), ("agent", "您好")), ZH)
        == "用户：你好｜\\用户：我｜客服：您好"
    )


@given(
    *[st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "用户"]) | WILD, "content": WILD}), max_size=2)]
    * 2,
    STYLES,
)
def test_two_conversations_never_look_alike(one, other, style):
    assert (conversation(one, style) == conversation(other, style)) == (one == other)


PLAN = {"fields": {"table": "title", "b": "text"}, "table": "row", "triples": "meta.graph", "conversation": "messages"}


def test_a_plan_reads_columns_and_meta_and_marks_its_sections():
    plan = Plan.of(PLAN, ["en"])
    record = {
        "text": "body",
        "meta": '{"title": "T", "row": {"a": 1}, "graph": [["s", "r", "o"]]}',
        "messages": turns(("user", "hi")),
    }
    text = r"\table: T | b: body || table: a (number) is 1 ; || triples: s | r | o || conversation: user: hi"
    assert plan.text(record) == text
    flat = {
        "text": "body",
        "title": "T",
        "row": {"a": 1},
        "graph": [["s", "r", "o"]],
        "messages": turns(("user", "hi")),
    }
    assert plan.text(flat) == text  # a caller need not know what a source puts into meta
    assert (
        Plan.of(PLAN, ["zh", "en"]).text(record)
        == "table：T｜b：body‖表格：a（数字）是1；‖三元组：s｜r｜o‖对话：用户：hi"
    )
    assert plan.text({"text": None, "meta": None}) == ""


SECTION = st.fixed_dictionaries(
    {
        "text": st.none() | WILD,
        "messages": st.none() | st.lists(st.fixed_dictionaries({"role": WILD, "content": WILD}), min_size=1, max_size=1),
        "meta": st.fixed_dictionaries({}, optional={"title": WILD, "row": st.fixed_dictionaries({"a": WILD}),
                                                    "graph": st.tuples(WILD, WILD, WILD).map(lambda one: [list(one)])}),
    }
)  # fmt: skip


@given(SECTION, SECTION, st.sampled_from(["en", "zh"]))
def test_two_records_never_look_alike(one, other, language):
    plan = Plan.of({**PLAN, "longest": 10_000}, [language])
    assert (plan.text(one) == plan.text(other)) == (one == other)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"title": ["x"]}, r'title: must be text or a number, not \["x"\]'),
        ({"row": 3}, r"row: must be a row, a list of rows, or \{header, rows\}, not 3"),
        ({"row": {"header": ["a"], "rows": [["1", "2"]]}}, r'row: row 1 must be a list of 1 cells, not \["1", "2"\]'),
        ({"graph": [["a", "b"]]}, r'meta\.graph: a triple is \[subject, relation, object\], not \["a", "b"\]'),
        ({"graph": [["a", 3, "b"]]}, r"meta\.graph: a relation must be text, not 3"),
        ({"messages": [{"role": "user"}]}, r"messages: must be a list of \{role, content\}"),
    ],
)
def test_what_cannot_be_read_is_named(record, message):
    with pytest.raises(ValueError, match=message):
        Plan.of(PLAN, ["en"]).text({"meta": None, **record})


def test_every_mistake_of_the_section_is_told():
    told = [
        message
        for message, _ in linearise.problems({"fields": ["a.x", "x"], "tables": "t", "triples": 3, "longest": 0})
    ]
    assert told == [
        "inputs has no 'tables'",
        "two of inputs.fields end in the same name",
        "inputs.triples must be the name of one place, got 3",
        "inputs.longest must be a number of tokens, got 0",
    ]
    assert linearise.problems({}) and linearise.problems("text") and linearise.problems({"fields": "title"})
    assert linearise.problems(PLAN) == []
