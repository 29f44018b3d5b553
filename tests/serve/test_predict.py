"""`burnish predict`: a line for a line, in order, whatever is in the file."""

from __future__ import annotations

import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import models

from burnish import batch
from burnish.batch import predict_file
from burnish.core.errors import DataError


def answered(model: Path, read: Path, **settings: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    out = read.with_name("out.jsonl")
    done = predict_file(model, read, out, **settings)
    assert [one.name for one in read.parent.iterdir() if one.name.startswith(".")] == []
    return [json.loads(line) for line in out.read_text("utf-8").split("\n")[:-1]], done


def test_lines_keep_their_order_over_many_chunks(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "CHUNK_BYTES", (200, 2000))
    draw = random.Random(0)
    rows = [{"id": n, "text": " ".join([draw.choice("abc")] * draw.randint(1, 20))} for n in range(3000)]
    read = tmp_path / "in.jsonl"
    read.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines, done = answered(model, read)
    assert [line["id"] for line in lines] == list(range(3000))
    assert all(line["prediction"]["label"] == row["text"][0] for line, row in zip(lines, rows, strict=True))
    assert (done["lines"], done["not_answered"]) == (3000, 0)


def test_what_cannot_be_answered_keeps_its_place_and_says_why(model: Path, tmp_path: Path) -> None:
    read = tmp_path / "in.jsonl"
    text = '{"text": "a"}\n{"text": " "}\nnot json\n\n[1]\n{"label": "x"}\n{"text": "a\\ud800", "k": 1}\n{"text": 3}\n{"text": "b"}'
    read.write_text(text, encoding="utf-8")
    lines, done = answered(model, read)
    assert [line["prediction"] and line["prediction"]["label"] for line in lines] == ["a", *[None] * 7, "b"]
    says = ["text is empty", "not JSON", "not JSON", "not an object", "no field text", "surrogate", "must be a string"]
    assert all(said in line["error"] for said, line in zip(says, lines[1:8], strict=True))
    assert lines[6]["k"] == 1 and lines[6]["text"] == "a\ud800" and done["not_answered"] == 7


def test_every_kind_of_file_is_read(model: Path, tmp_path: Path) -> None:
    texts = ["a a", "甲\u2028b b b", "c, c"]
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    with gzip.open(tmp_path / "in.jsonl.gz", "wt", encoding="utf-8") as packed:
        packed.write("".join(json.dumps({"review": text}) + "\n" for text in texts))
    with (tmp_path / "in.csv").open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([["text", "text_b"], *([text, ""] for text in texts)])
    pq.write_table(pa.table({"text": texts, "at": pa.array([1, 2, 3], pa.timestamp("s"))}), tmp_path / "in.parquet")
    for name in ("in.txt", "in.csv", "in.parquet"):
        assert [line["prediction"]["label"] for line in answered(model, tmp_path / name)[0]] == ["a", "b", "c"], name
    lines, _ = answered(model, tmp_path / "in.jsonl.gz", text="review")
    assert [line["prediction"]["label"] for line in lines] == ["a", "b", "c"]
    lines, _ = answered(model, tmp_path / "in.txt", text="said")
    assert lines[0]["said"] == "a a"


@pytest.mark.parametrize(
    ("name", "row", "field"),
    [
        ("question_answering", {"question": "when?", "context": "in 1889", "answer": {"text": "1888"}}, "text"),
        ("ranking", {"query": "a", "candidates": ["b", "a"], "label": 1}, "ranking"),
        ("chat", {"messages": [{"role": "user", "content": "hello"}]}, "text"),
        ("tagging", {"text": "Warsaw", "spans": [{"start": 0, "end": 6, "label": "ORG"}]}, "spans"),
    ],
)
def test_every_form_of_input_is_found_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, row: dict[str, Any], field: str
) -> None:
    (fake,) = models(name)
    monkeypatch.setattr(fake, "answers", lambda inputs, chunk: type("Said", (), {"items": [fake.task.answer(one) for one in inputs]}), raising=False)  # fmt: skip
    monkeypatch.setattr("burnish.serve.models.opened", lambda path: fake)
    read = tmp_path / "in.jsonl"
    read.write_text(json.dumps(row) + "\n", encoding="utf-8")
    (line,), _ = answered(tmp_path, read)
    assert field in line["prediction"] and {key: line[key] for key in row} == row


def test_a_file_that_is_not_there_is_told(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        predict_file(model, tmp_path / "none.jsonl", tmp_path / "out.jsonl")
