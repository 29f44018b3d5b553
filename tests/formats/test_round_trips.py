"""What is written comes back: every format, on records that it has room for, whatever their texts hold."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.core.artifacts import Records
from burnish.core.records import Record, Reject
from burnish.formats.base import CONTENT, FORMATS, Told
from burnish.formats.guess import read_records

ABOUT = ("id", "time", "group", "language", "licence", "meta")
# every character that a text may hold: surrogates are no characters, and a reader refuses texts of nothing but blanks
wild = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(lambda text: text.strip() != "")
common = st.sampled_from(
    ["It rains.", "今天下雨。", "=1+1", "-3 @you", "'=x", 'a, "b"\n; c', "__label", "Ünïcode 😀 𠀀", '{"a": 1}', "[x]"]
)
texts = wild | common
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp", "Cs")), min_size=1, max_size=8)
times = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(lambda one: one.replace(tzinfo=UTC))
metas = st.dictionaries(names.map("k".__add__), st.integers(0, 9) | texts, max_size=2)


@st.composite
def known(draw: st.DrawFn, **fields: Any) -> dict[str, Any]:
    """What is known about a record, with an id of its own."""
    made = {
        "group": draw(st.none() | names),
        "language": draw(st.sampled_from([None, "en", "zh"])),
        "meta": draw(metas),
    }
    return made | {"licence": draw(st.sampled_from([None, "MIT"])), "time": draw(st.none() | times)} | fields


@st.composite
def with_spans(draw: st.DrawFn, *, overlapping: bool = True, blanks: bool = True) -> dict[str, Any]:
    text = draw(texts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=4)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    if overlapping and len(cuts) > 2:
        pairs.append((cuts[0], cuts[-1]))
    label = draw(names)
    spans = [{"start": one, "end": two, "label": label} for one, two in pairs]
    if not blanks:
        spans = [one for one in spans if text[one["start"] : one["end"]].strip() == text[one["start"] : one["end"]]]
    return {"text": text, "spans": spans}


talks = st.lists(texts, min_size=2, max_size=6).map(
    lambda said: [
        {"role": ("user", "assistant")[at % 2], "content": one} for at, one in enumerate(said[: len(said) // 2 * 2])
    ]
)
systems = st.none() | texts.map(lambda text: {"role": "system", "content": text})


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    system = draw(systems)
    return {"messages": ([system] if system else []) + draw(talks)}


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    context = draw(texts)
    start = draw(st.integers(0, len(context) - 1))
    end = draw(st.integers(start + 1, len(context)))
    nothing = {"text": "", "start": None}
    answer = draw(st.just(nothing) | st.just({"text": context[start:end], "start": start}))
    return {"text": draw(texts), "text_b": context, "answer": answer}


@st.composite
def triples(draw: st.DrawFn) -> dict[str, Any]:
    row = draw(with_spans())
    count = len(row["spans"])
    ends = st.integers(0, count - 1) if count else st.nothing()
    relations = (
        draw(st.lists(st.builds(lambda h, t, n: {"head": h, "tail": t, "label": n}, ends, ends, names), max_size=2))
        if count
        else []
    )
    return row | {"relations": relations}


labelled = st.builds(lambda text, label: {"text": text, "label": label}, texts, names)
several = st.builds(lambda text, labels: {"text": text, "labels": labels}, texts, st.lists(names, max_size=3))
written = st.builds(lambda text, output: {"text": text, "output": output}, texts, texts)
anything = labelled | several | written | with_spans() | triples() | questions() | conversations()


def records_of(rows: list[dict[str, Any]], about: list[dict[str, Any]]) -> list[Record]:
    return [Record(id=f"r{at}", **(row | more)) for at, (row, more) in enumerate(zip(rows, about, strict=False))]


def through(form: Any, records: list[Record]) -> tuple[list[Record], list[Reject], Told]:
    """Write, read back."""
    [part] = FORMATS.open(form)
    told = Told()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"data{part.suffix}"
        part.write(Records.from_rows(records), out, told)
        back: list[Record] = []
        rejects: list[Reject] = []
        for item in read_records(out, part):
            if isinstance(item, Reject):
                rejects.append(item)
            else:
                back += Records.from_table(item)
    return back, rejects, told


def plain(record: Record, fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in fields}


def pairs(rows: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda row, worse: row | {"meta": {"rejected": worse}}, rows, texts)


CONVERSATION = conversations()
HOLDS: list[tuple[Any, st.SearchStrategy[dict[str, Any]]]] = [
    ("jsonl", anything),
    ("parquet", anything),
    ("huggingface", anything),
    ("alpaca", CONVERSATION),
    ({"use": "alpaca", "into": "text"}, written),
    ({"use": "alpaca", "preferences": True}, pairs(CONVERSATION)),
    ("sharegpt", CONVERSATION),
    ({"use": "sharegpt", "preferences": True}, pairs(CONVERSATION)),
    ("openai", CONVERSATION),
    ("prompt_completion", CONVERSATION),
    ("prompt_completion", written),
    ("dpo", pairs(CONVERSATION)),
    ("dpo", pairs(written)),
    ("kto", st.builds(lambda row, said: row | {"label": said}, written, st.sampled_from(["true", "false"]))),
    ("kto", st.builds(lambda row, said: row | {"label": said}, CONVERSATION, st.sampled_from(["true", "false"]))),
    ("squad", questions()),
    ("doccano", labelled),
    ({"use": "doccano", "kind": "labels"}, several),
    ({"use": "doccano", "kind": "spans"}, with_spans()),
    ({"use": "doccano", "kind": "output"}, written),
    ({"use": "doccano", "kind": "relations"}, triples()),
    ("label_studio", labelled),
    ({"use": "label_studio", "choices": "labels"}, several),
    ("label_studio", written),
    ("label_studio", triples().filter(lambda row: row["spans"] and row["relations"])),
]


@pytest.mark.parametrize(
    ("form", "rows"), HOLDS, ids=lambda one: str(one)[:60] if not isinstance(one, st.SearchStrategy) else ""
)
def test_what_a_format_has_room_for_comes_back(form: Any, rows: st.SearchStrategy[dict[str, Any]]) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(rows, min_size=1, max_size=3), st.lists(known(), min_size=3, max_size=3))
    def check(some: list[dict[str, Any]], about: list[dict[str, Any]]) -> None:
        if any("meta" in row for row in some):
            about = [one | {"meta": one["meta"] | row.get("meta", {})} for one, row in zip(about, some, strict=False)]
            some = [{key: value for key, value in row.items() if key != "meta"} for row in some]
        records = records_of(some, about)
        back, rejects, told = through(form, records)
        assert not rejects
        assert not told.lost and not told.left_out
        fields = (*CONTENT, *ABOUT)
        expected = [plain(one, fields) for one in records]
        got = [plain(one, fields) for one in back]
        if form == "squad":  # its title is the group's place
            for one in got:
                one["meta"].pop("title", None)
        assert got == expected

    check()


# Formats with less room: what is kept is the same, and the rest is counted.


@pytest.mark.parametrize("form", ["csv", "tsv"])
@settings(max_examples=40, deadline=None)
@given(rows=st.lists(anything, min_size=1, max_size=3), about=st.lists(known(), min_size=3, max_size=3))
def test_tables_keep_cells_that_a_spreadsheet_would_compute(form: str, rows: Any, about: Any) -> None:
    records = records_of(rows, about)
    back, rejects, told = through(form, records)
    assert not rejects and not told.lost
    assert len(back) + told.left_out.total() == len(records)
    if form == "csv":
        assert not told.left_out
    by_id = {one.id: one for one in records}
    for one in back:
        wanted = plain(by_id[one.id or ""], (*CONTENT, *ABOUT))
        got = plain(one, (*CONTENT, *ABOUT))
        for name in ("text", "text_b", "output", "label", "group"):
            if isinstance(wanted[name], str):
                wanted[name] = wanted[name].replace("\r\n", "\n")
        assert got == wanted


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(with_spans(overlapping=False, blanks=False), min_size=1, max_size=3), about=st.lists(known(), min_size=3, max_size=3),
       scheme=st.sampled_from(["BIO", "IOB1", "BIOES"]))  # fmt: skip
def test_conll_with_comments_comes_back_to_the_character(rows: Any, about: Any, scheme: str) -> None:
    records = records_of(rows, about)
    back, rejects, told = through({"use": "conll", "comments": True, "scheme": scheme}, records)
    assert not rejects and not told.lost
    kept = {one.id: one for one in back}
    left = [one for one in records if one.id not in kept]
    assert len(left) == told.left_out.total()
    for one in records:
        if one.id in kept:
            assert plain(kept[one.id], (*CONTENT, *ABOUT)) == plain(one, (*CONTENT, *ABOUT))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(with_spans(overlapping=False, blanks=False), min_size=1, max_size=3),
    st.sampled_from(["BIO", "IOB1", "BIOES"]),
)
def test_plain_conll_keeps_tokens_and_tags(rows: Any, scheme: str) -> None:
    records = records_of(rows, [{}] * len(rows))
    back, rejects, told = through({"use": "conll", "scheme": scheme}, records)
    assert not rejects
    assert len(back) + told.left_out.total() == len(records)
    for one, two in zip([r for r in records if r.id not in dict(told.out_ids)], back, strict=True):
        marked = [("".join((one.text or "")[s["start"] : s["end"]].split()), s["label"]) for s in one.spans or ()]
        assert [
            ("".join((two.text or "")[s["start"] : s["end"]].split()), s["label"]) for s in two.spans or ()
        ] == marked


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(labelled | several | written | with_spans() | questions(), min_size=1, max_size=3),
    about=st.lists(known(), min_size=3, max_size=3),
)
def test_docbin_keeps_texts_to_the_character(rows: Any, about: Any) -> None:
    pytest.importorskip("spacy")
    records = records_of(rows, about)
    back, rejects, told = through("docbin", records)
    assert not rejects and not told.lost and not told.left_out
    for one, two in zip(records, back, strict=True):
        if one.labels is not None:
            assert sorted(set(one.labels)) == sorted(two.labels or ())
            one.labels = two.labels
        assert plain(two, (*CONTENT, *ABOUT)) == plain(one, (*CONTENT, *ABOUT))


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(labelled, min_size=1, max_size=3))
def test_fasttext_keeps_label_and_text_on_a_line(rows: Any) -> None:
    records = records_of(rows, [{}] * len(rows))
    back, rejects, told = through("fasttext", records)
    assert len(back) + len(rejects) + told.left_out.total() == len(records)
    assert told.lost["id"] == len(records) - told.left_out.total()  # said, for a line has no room for it
    if not told.changed and not told.left_out:
        assert [(one.text, one.label) for one in back] == [(one.text, one.label) for one in records]
