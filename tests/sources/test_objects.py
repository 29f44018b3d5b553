"""Objects are read as files are; fsspec's file system in memory and pyarrow's own of this machine stand for the stores."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from burnish.cli import main
from burnish.core.errors import DataError
from burnish.core.objects import ObjectUrl
from burnish.core.progress import Silent
from burnish.core.stage import Context, TaskSpec
from burnish.sources.objects import objects

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(TaskSpec(labels=("a", "b")), 0, tmp_path, tmp_path, tmp_path, Silent())


@pytest.fixture
def bucket():
    """memory://bucket with one object of each kind."""
    memory = fsspec.filesystem("memory")
    rows = [{"text": f"第 {n} 句", "label": "a"} for n in range(3)]
    memory.pipe("/bucket/raw/one.jsonl.gz", gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["from parquet"], "label": ["b"]}), sink)
    memory.pipe("/bucket/raw/two.parquet", sink.getvalue())
    memory.pipe("/bucket/raw/.hidden.jsonl", b"{}")
    yield memory
    memory.rm("/bucket", recursive=True)


def texts(context, url, **settings):
    return [record.text for record in objects(context, url=ObjectUrl(url), **settings)]


def test_a_folder_and_a_glob_of_objects_are_read_in_order(context, bucket):
    assert texts(context, "memory://bucket/raw") == ["第 0 句", "第 1 句", "第 2 句", "from parquet"]
    assert texts(context, "memory://bucket/raw/*.parquet") == ["from parquet"]
    assert texts(context, "memory://bucket/raw/one.jsonl.gz", limit=2) == ["第 0 句", "第 1 句"]


def test_pyarrows_own_file_systems_are_used(context, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "here"}\n', encoding="utf-8")
    assert texts(context, (tmp_path / "a.jsonl").as_uri()) == ["here"]
    assert texts(context, tmp_path.as_uri() + "/*.jsonl") == ["here"]


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_records_are_written_to_a_store_and_come_back(context, bucket, tmp_path, kind, capsys):
    url = "memory://bucket/made" if kind == "memory" else (tmp_path / "made").as_uri()
    rows = [{"text": f"第 {n} 句 & more", "label": "ab"[n % 2]} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for name, how in (("train.jsonl", "jsonl"), ("train.parquet", "parquet")):
        assert main(["export", str(tmp_path / "rows.jsonl"), "--format", how, "-o", f"{url}/{name}"]) == 0
        assert json.loads(capsys.readouterr().out)["files"] == [name]
        assert texts(context, f"{url}/{name}") == [row["text"] for row in rows]


def test_a_store_nobody_may_write_to_says_so(bucket, tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text('{"text": "one"}', encoding="utf-8")
    (tmp_path / "taken").write_text("a file, and no folder", encoding="utf-8")
    url = (tmp_path / "taken").as_uri()
    assert main(["export", str(tmp_path / "rows.jsonl"), "--format", "jsonl", "-o", f"{url}/a/b.jsonl"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_changed_object_changes_the_key(bucket):
    before = ObjectUrl.identify("memory://bucket/raw", ("en",))
    assert before == ObjectUrl.identify("memory://bucket/raw", ("en",))
    bucket.pipe("/bucket/raw/three.jsonl", b'{"text": "new"}')
    assert before != ObjectUrl.identify("memory://bucket/raw", ("en",))


@pytest.mark.parametrize(
    ("url", "said"),
    [("memory://bucket/none", "no such object"), ("raw/a.jsonl", "no URL"), ("nobody://x/y", "nobody knows")],
)
def test_what_cannot_be_found_says_so(context, bucket, url, said):
    with pytest.raises(DataError, match=said):
        texts(context, url)
