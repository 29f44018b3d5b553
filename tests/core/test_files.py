"""Reading files of records: what fits becomes a record, what does not is named with file, line and reason."""

from __future__ import annotations

import gzip
import json
import lzma
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.core.errors import DataError
from burnish.core.files import read, read_table, sniff
from burnish.core.records import SCHEMA, Reject
from burnish.core.values import moment

ROWS = [
    {"text": "The battery died after a week.", "label": "negative", "group": "u1", "time": "2024-03-01T12:00:00Z"},
    {"text": "物流很快，包装完好，推荐。", "label": "positive", "group": "u2", "time": "2024-03-02T08:30:00+08:00"},
]


def parts(path: Path, **settings: Any) -> tuple[list[dict[str, Any]], list[Reject]]:
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    for item in read(path, **settings):
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            assert item.schema == SCHEMA
            assert 0 < len(item) <= 8192
            rows += item.to_pylist()
    return rows, rejects


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def formats(folder: Path) -> list[Path]:
    """The same two records, English and Chinese, in every format."""
    plain = jsonl(folder / "a.jsonl", ROWS)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (folder / "c.jsonl.zst").write_bytes(zstd(plain.read_bytes()))
    (folder / "d.jsonl.xz").write_bytes(lzma.compress(plain.read_bytes()))
    head = list(ROWS[0])
    for name, mark in (("e.csv", ","), ("f.tsv", "\t")):
        lines = [mark.join(head), *(mark.join(row.values()) for row in ROWS)]
        (folder / name).write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    (folder / "g.csv.gz").write_bytes(gzip.compress((folder / "e.csv").read_bytes()))
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "h.parquet")
    return sorted(folder.iterdir())


def test_the_same_records_come_out_of_every_format(tmp_path: Path) -> None:
    paths = formats(tmp_path)
    assert len(paths) == 8
    for path in paths:
        rows, rejects = parts(path, source="shop", licence="CC0-1.0")
        assert not rejects, path
        assert [row["text"] for row in rows] == [row["text"] for row in ROWS], path
        assert [row["label"] for row in rows] == ["negative", "positive"]
        assert [row["time"] for row in rows] == [
            datetime(2024, 3, 1, 12, tzinfo=UTC),
            datetime(2024, 3, 2, 0, 30, tzinfo=UTC),
        ]
        assert [row["group"] for row in rows] == ["u1", "u2"]
        assert {(row["source"], row["licence"], row["label_from"]) for row in rows} == {("shop", "CC0-1.0", "given")}
        first = 2 if ".csv" in path.name or ".tsv" in path.name else 1
        assert [row["line"] for row in rows] == [first, first + 1]
    ids = {tuple(row["id"] for row in parts(path)[0]) for path in paths}
    assert len(ids) == 1, "an id depends on what a record says, not on where it stood"


def test_folders_and_globs_are_read_in_sorted_order_as_one_source(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in ("b.jsonl", "a.jsonl", ".hidden/c.jsonl"):
        jsonl(tmp_path / name, [{"text": "same"}])
    for path in (tmp_path, tmp_path / "*.jsonl"):
        rows, _ = parts(path, base=tmp_path)
        assert [row["file"] for row in rows] == ["a.jsonl", "b.jsonl"]
        assert rows[1]["id"] == rows[0]["id"] + "~1"


BAD = {
    '{"text": "cut off"': "broken JSON: Expecting ',' delimiter at column 19",
    '{"text": "a"} {"text": "b"}': "broken JSON: Extra data at column 14",
    '{"text": NaN}': "broken JSON: NaN is not JSON",
    "[" * 20_000: "broken JSON: ",
    '["text"]': "not an object: the line is a list",
    '"text"': "not an object: the line is a string",
    '{"review": "a", "stars": 3}': "missing field: no 'text'; there are: review, stars",
    '{"text": " \\u3000\\t"}': "empty text: nothing but blanks",
    '{"text": 7}': "wrong type: text is a number, not a string",
    '{"text": "a", "label": {"b": 1}}': "wrong type: label is an object, not a string, number or list",
    '{"text": "\\ud83d"}': "not Unicode: an escape stands for half a character",
    '{"text": "abc", "spans": [{"start": 1, "end": 4, "label": "X"}]}': "span: 1..4 ('X') is not inside a text of 3 characters",
    '{"text": "abc", "spans": [{"start": 2, "end": 2, "label": "X"}]}': "span: 2..2",
    '{"text": "abc", "spans": [{"start": true, "end": 2, "label": "X"}]}': "wrong type: spans",
    '{"text": "abc", "relations": [{"head": 0, "tail": 1, "label": "X"}]}': "relation: spans 0 and 1 of a record with 0 spans",
    '{"question": "谁？", "context": "张三来了", "answer": {"text": "李四", "start": 0}}': "answer: '李四' does not stand at 0",
    '{"text": "a", "time": "soon"}': "time: 'soon' is neither",
    '{"text": "a", "time": 1e30}': "time: 1e+30 is neither",
    '{"text": "a", "group": ["b"]}': "wrong type: group is a list",
    '{"messages": [{"role": "user"}]}': "wrong type: messages is a list, not a list of {role, content}",
    '{"messages": []}': "empty text: no message says anything",
    '{"text": "' + "长" * 101 + '"}': "too long: 101 characters, the limit is 100",
}


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:40])
def test_a_bad_row_says_why_and_the_rows_around_it_are_read(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "before"}}\n\n{line}\n{{"text": "after"}}', encoding="utf-8")
    rows, rejects = parts(path, max_chars=100, base=tmp_path)
    assert [(row["text"], row["line"]) for row in rows] == [("before", 1), ("after", 4)]
    assert [(one.file, one.line, one.raw) for one in rejects] == [("a.jsonl", 3, line[:2000])]
    assert rejects[0].reason.startswith(BAD[line]), rejects[0].reason


def test_bytes_that_are_not_utf8_are_told_with_their_offset(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('\ufeff{"text": "好"}\n'.encode() + b'{"text": "\xc4\xe3"}\n' + b'{"text": "ok"}\n')
    rows, [reject] = parts(path)
    assert [row["text"] for row in rows] == ["好", "ok"]
    offset = len('\ufeff{"text": "好"}\n{"text": "'.encode())
    assert reject.line == 2
    assert reject.reason.startswith(f"not UTF-8: byte 0xc4 at offset {offset} of the file")
    assert reject.raw == '{"text": "\udcc4\udce3"}'


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_read_when_declared(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('text,label\n"很好,非常好",好\n不好,差\n'.encode(encoding))
    rows, rejects = parts(path, encoding=encoding)
    assert not rejects
    assert [(row["text"], row["label"]) for row in rows] == [("很好,非常好", "好"), ("不好", "差")]


def test_a_utf16_mark_is_believed_and_an_unknown_encoding_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("第一\n第二\n".encode("utf-16"))
    assert [row["text"] for row in parts(path)[0]] == ["第一", "第二"]
    with pytest.raises(DataError, match="no encoding 'utf-9'"):
        list(read(path, encoding="utf-9"))


def test_csv_quotes_newlines_and_rows_of_another_width(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"a, ""b""\nc",x\nplain "quoted" word,y\n1,2,3\n\n"open,z\nlast,w\n', encoding="utf-8")
    rows, rejects = parts(path)
    assert [(row["text"], row["label"], row["line"]) for row in rows] == [
        ('a, "b"\nc', "x", 2),
        ('plain "quoted" word', "y", 4),
        ("last", "w", 8),
    ]
    assert [(one.line, one.reason) for one in rejects] == [
        (5, "columns: 3 where the header has 2"),
        (7, "quote: a field opens with a quote here that does not close"),
    ]


def test_a_tab_separated_text_may_begin_with_a_quote(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('text\tlabel\n"Go" he said\tx\n"so\ty\n"whole"\tz\n', encoding="utf-8")
    rows, rejects = parts(path)
    assert not rejects
    assert [row["text"] for row in rows] == ["Go he said", '"so', "whole"]


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0")), min_size=2, max_size=2),
        min_size=1,
    )
)
@settings(max_examples=60, deadline=None)
def test_csv_agrees_with_the_csv_module(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    import csv

    path = tmp_path_factory.mktemp("csv") / "a.csv"
    rows = [["t" + first, second] for first, second in rows]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["text", "other"], *rows])
    found, rejects = parts(path)
    assert not rejects
    assert [[row["text"], json.loads(row["meta"])["other"]] for row in found] == rows


def test_fields_map_columns_and_nested_keys_and_the_rest_is_meta(tmp_path: Path) -> None:
    row = {
        "body": {"review": "好", "lang": "zh"},
        "user": {"id": 7, "name": "n"},
        "stars": 5.0,
        "label": "ignored",
        "x": None,
    }
    path = jsonl(tmp_path / "a.jsonl", [row])
    fields = {"text": "body.review", "group": "user.id", "label": "stars", "language": "body.lang"}
    [found], rejects = parts(path, fields=fields)
    assert not rejects
    assert (found["text"], found["group"], found["label"], found["language"]) == ("好", "7", "5", "zh")
    assert json.loads(found["meta"]) == {"user": {"name": "n"}, "label": "ignored"}
    [found], _ = parts(path, fields={"text": "body.review", "label": ""})
    assert found["label"] is None
    with pytest.raises(DataError, match=r"no field 'lable'(.|\n)*did you mean 'label'"):
        read(path, fields={"lable": "stars"})


def test_a_field_that_no_row_has_is_told(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "a"}, {"text": "b"}])
    rows, rejects = parts(path, fields={"time": "posted"})
    assert len(rows) == 2
    assert [one.reason for one in rejects] == [
        "missing field: no row of this source has 'posted', which fields.time asks for"
    ]
    table = tmp_path / "a.csv"
    table.write_text("text,posted_at\na,2024-01-01\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a.csv: there is no column 'posted'(.|\n)*did you mean 'posted_at'"):
        parts(table, fields={"time": "posted"})
    table.write_text("review,stars\na,1\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"no column is named text; there are: review, stars(.|\n)*fields: \{text: review\}"
    ):
        parts(table)
    table.write_text("text,text\na,1\n", encoding="utf-8")
    with pytest.raises(DataError, match="columns that are there twice: 'text'"):
        parts(table)


def test_every_form_of_input_and_target_has_its_place(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "Hello"}]
    rows = [
        {"text_a": "a", "text_b": "b", "label": True},
        {"question": "who?", "context": "Ann came", "answer": {"text": "Ann", "start": 0}},
        {"query": "q", "candidate": "c", "label": 0},
        {"source": "good morning", "target": "早上好"},
        {"messages": talk},
        {
            "text": "Ann met Bo",
            "spans": [{"start": 0, "end": 3, "label": "PER"}, {"start": 8, "end": 10, "label": "PER"}],
        }
        | {"relations": [{"head": 0, "tail": 1, "label": "met"}], "label": ["x", 2]},
    ]
    found, rejects = parts(jsonl(tmp_path / "a.jsonl", rows))
    assert not rejects
    assert [(row["text"], row["text_b"], row["label"]) for row in found[:3]] == [
        ("a", "b", "true"),
        ("who?", "Ann came", None),
        ("q", "c", "0"),
    ]
    assert found[1]["answer"] == {"text": "Ann", "start": 0}
    assert (found[3]["text"], found[3]["output"]) == ("good morning", "早上好")
    assert (found[4]["text"], found[4]["messages"]) == (None, talk)
    assert (found[5]["labels"], found[5]["label"], len(found[5]["spans"])) == (["x", "2"], None, 2)
    assert found[5]["relations"] == [{"head": 0, "tail": 1, "label": "met"}]
    assert not any(row["meta"] for row in found)


def test_label_names_translate_and_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": label} for label in (0, 1.0, "1", -1, 7)])
    rows, [reject] = parts(path, label_names={"0": "negative", "1": "positive", "-1": ""})
    assert [row["label"] for row in rows] == ["negative", "positive", "positive", None]
    assert reject.reason == "no such label: '7' is not in label_names (0, 1, -1)"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2024-03-01", datetime(2024, 3, 1, tzinfo=UTC)),
        ("20240301", datetime(2024, 3, 1, tzinfo=UTC)),
        ("2024/3/1 9:05", datetime(2024, 3, 1, 9, 5, tzinfo=UTC)),
        ("2024年3月1日", datetime(2024, 3, 1, tzinfo=UTC)),
        ("2024年03月01日 21:30:15", datetime(2024, 3, 1, 21, 30, 15, tzinfo=UTC)),
        ("2024-03-01 12:00+08:00", datetime(2024, 3, 1, 4, tzinfo=UTC)),
        ("Fri, 01 Mar 2024 12:00:00 +0000", datetime(2024, 3, 1, 12, tzinfo=UTC)),
        (1709294400, datetime(2024, 3, 1, 12, tzinfo=UTC)),
        (1709294400000, datetime(2024, 3, 1, 12, tzinfo=UTC)),
        ("1709294400", datetime(2024, 3, 1, 12, tzinfo=UTC)),
        ("", None),
    ],
)
def test_times_are_understood(said: Any, meant: datetime | None) -> None:
    assert moment(said) == meant


def test_text_files_by_line_paragraph_and_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("第一行\n第二行\n\n\n  third\nfourth\n", encoding="utf-8")
    found = {
        unit: [(r["text"], r["line"]) for r in parts(path, unit=unit)[0]] for unit in ("line", "paragraph", "file")
    }
    assert found["line"] == [("第一行", 1), ("第二行", 2), ("third", 5), ("fourth", 6)]
    assert found["paragraph"] == [("第一行\n第二行", 1), ("third\nfourth", 5)]
    assert found["file"] == [("第一行\n第二行\n\n\n  third\nfourth", 1)]
    _, [reject] = parts(path, unit="file", max_chars=10)
    assert reject.reason.startswith("too long: about")


def test_a_file_cut_short_gives_what_it_holds_and_says_so(tmp_path: Path) -> None:
    lines = b"".join(b'{"text": "row %d %s"}\n' % (i, bytes(str(hash(i) ** 3), "ascii")) for i in range(50_000))
    for name, packed in (
        ("a.jsonl.gz", gzip.compress(lines)),
        ("a.jsonl.zst", zstd(lines)),
        ("a.jsonl.xz", lzma.compress(lines)),
    ):
        (tmp_path / name).write_bytes(packed[: len(packed) // 2])
        _, rejects = parts(tmp_path / name)
        assert any(one.reason.startswith("broken file: ") for one in rejects), name
        (tmp_path / name).write_bytes(b"this is not compressed at all")
        rows, [reject] = parts(tmp_path / name)
        assert not rows
        assert reject.reason.startswith("broken file: "), name
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    assert parts(tmp_path / "a.parquet")[1][0].reason.startswith("broken file: ")


def test_gzip_members_one_after_another_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a"}\n') + gzip.compress(b'{"text": "b"}\n'))
    assert [row["text"] for row in parts(path)[0]] == ["a", "b"]


def test_limit_counts_records(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": f"t{i}"} for i in range(20_000)])
    assert len(parts(path, limit=3)[0]) == 3
    assert len(parts(path, limit=10_000)[0]) == 10_000
    assert len(parts(path, limit=0)[0]) == 20_000


def test_what_is_not_there_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file(.|\n)*hint: suffixes that are read: .jsonl"):
        read(tmp_path / "none.jsonl")
    (tmp_path / "a.data").write_text("x")
    with pytest.raises(DataError, match=r"suffix '.data'(.|\n)*say format"):
        read(tmp_path / "a.data")
    with pytest.raises(DataError, match="holds no file of records"):
        read(tmp_path)


def test_a_small_file_read_whole_lists_its_mistakes(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "gold.jsonl", [*ROWS, {"text": ""}, {"label": "x"}])
    with pytest.raises(DataError) as raised:
        read_table(path, base=tmp_path)
    assert "2 rows cannot be used" in str(raised.value)
    assert "gold.jsonl:3: empty text" in str(raised.value)
    assert "gold.jsonl:4: missing field: no 'text'; there are: label" in str(raised.value)
    assert len(read_table(jsonl(path, ROWS))) == 2


WILD = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.text(max_size=20).map(lambda t: json.dumps({"text": t, "label": t[:1]}).encode()),
        st.dictionaries(
            st.sampled_from(["text", "label", "spans", "time", "meta", "messages", "id", "answer", "relations", "x.y"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["start", "end", "label", "role"]), inner)
                ),
                max_leaves=6,
            ),
        ).map(lambda row: json.dumps(row).encode()),
    ),
    max_size=12,
)


@given(WILD, st.sampled_from(["a.jsonl", "a.jsonl.gz", "a.txt", "a.tsv", "a.csv"]))
@settings(max_examples=250, deadline=None)
def test_wild_bytes_never_raise_and_every_row_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], name: str
) -> None:
    path = tmp_path_factory.mktemp("wild") / name
    head = {".tsv": b"text\tlabel\n", ".csv": b"text,label\n"}.get(path.suffix, b"")
    data = head + b"\n".join(lines)
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return  # a byte order mark changes what the rest means
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    rows, rejects = parts(path)
    raw = b"\n".join(lines).split(b"\n")
    blank = (
        [line for line in raw if not line.strip(b" \t\r")]
        if path.suffix != ".txt"
        else [line for line in raw if not line.decode("utf-8", "replace").strip()]
    )
    if path.suffix == ".csv":
        assert len(rows) + len(rejects) <= len(raw)  # a quoted field may hold newlines
    elif path.suffix != ".tsv":
        assert len(rows) + len(rejects) == len(raw) - len(blank)
    assert len({row["id"] for row in rows}) == len(rows) or any("~" in row["id"] for row in rows)


@given(st.binary(max_size=300), st.sampled_from(["a.parquet", "a.jsonl.zst", "a.jsonl.xz", "a.jsonl.bz2"]))
@settings(max_examples=60, deadline=None)
def test_files_that_are_not_what_their_name_says_never_raise(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("wild") / name
    path.write_bytes(data)
    rows, _ = parts(path)
    assert not rows or name != "a.parquet"


def test_tables_stay_small_where_texts_are_long(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "x" * 100_000 + str(i)} for i in range(200)])
    sizes = [item.nbytes for item in read(path) if not isinstance(item, Reject)]
    assert sum(sizes) > 20_000_000
    assert max(sizes) < 6_000_000


CHILD = """
import resource, sys
from pathlib import Path
from burnish.core.files import read
from burnish.core.records import Reject
for _ in read(Path(sys.argv[2])):  # all that is imported and allocated once
    pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = rejects = 0
for item in read(Path(sys.argv[1])):
    if isinstance(item, Reject):
        rejects += 1
        print(item.line, item.reason[:9])
    else:
        rows += len(item)
print(rows, rejects, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.parametrize("kind", ["jsonl", "csv", "jsonl.gz", "parquet"])
def test_a_file_ten_times_the_allowed_memory_goes_through(tmp_path: Path, kind: str) -> None:
    """240 MB of text in less than 24 MB more than a small file takes; a line of 40 MB in it is set aside."""
    rows, size, long = 24_000, 10_000, 40_000_000
    filler = "价格公道 good value " * 700
    path, small = tmp_path / f"big.{kind}", tmp_path / f"small.{kind}"
    for target, count in ((path, rows), (small, 600)):
        if kind == "parquet":
            schema = pa.schema([("text", pa.string())])
            with pq.ParquetWriter(target, schema, use_dictionary=False) as writer:
                for start in range(0, count, 400):
                    batch = [f"{i}{filler}"[:size] for i in range(start, min(start + 400, count))]
                    writer.write_table(pa.table({"text": batch}, schema=schema))
            continue
        with (
            gzip.open(target, "wt", 1, encoding="utf-8")
            if kind.endswith("gz")
            else target.open("w", encoding="utf-8") as file
        ):
            if kind == "csv":
                file.write("text\n")
            for i in range(count):
                text = f"{i}{filler}"[:size]
                file.write(f"{text}\n" if kind == "csv" else f'{{"text": "{text}"}}\n')
                if i == 11_000:
                    file.write('{"text": "' + "x" * long + '"}\n')
    assert kind.endswith("gz") or kind == "parquet" or path.stat().st_size > 240_000_000
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(path), str(small)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *told, last = done.stdout.strip().split("\n")
    found, rejects, more_mb = last.split()
    assert int(found) == rows
    assert (int(rejects), len(told)) == ((0, 0) if kind == "parquet" else (1, 1))
    if told:
        assert told[0].endswith("too long:")
    assert float(more_mb) < 24, f"{more_mb} MB more than a small file"


def test_sniff_recognises_usual_columns_in_both_languages(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [
        f"{i},第{i}条评论很好看，推荐大家来买,{'好评' if i % 3 else '差评'},2024-01-{i % 28 + 1:02d},u{i % 7}"
        for i in range(60)
    ]
    path.write_text("编号,评论,情感,时间,用户\n" + "\n".join(rows) + "\n", encoding="utf-8")
    found = sniff(path)
    assert found["fields"] == {"text": "评论", "label": "情感", "time": "时间", "group": "用户", "id": "编号"}
    assert found["labels"] == {"好评": 40, "差评": 20}
    assert (found["rows"], found["exact"], found["format"]) == (60, True, "csv")
    english = [
        {"review_body": f"It broke on day {i}, sadly.", "stars": i % 5, "user_id": i % 9, "posted_at": 1700000000 + i}
        for i in range(60)
    ]
    found = sniff(jsonl(tmp_path / "b.jsonl", english))
    assert found["fields"] == {"text": "review_body", "label": "stars", "group": "user_id", "time": "posted_at"}
    assert found["samples"][0] == "It broke on day 0, sadly."
    assert found["mean_characters"] == pytest.approx(25.8, abs=0.2)


def test_sniff_estimates_the_rows_of_large_files(tmp_path: Path) -> None:
    text = "".join(f'{{"text": "a line of about the same length {i:06d}"}}\n' for i in range(30_000))
    (tmp_path / "a.jsonl").write_text(text)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    for path in (tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"):
        found = sniff(path)
        assert not found["exact"]
        assert found["rows"] == pytest.approx(30_000, rel=0.02), path
