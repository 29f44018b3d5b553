"""Clean and deduplicate through the file and the command, on one process and on two."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from burnish.cli import app
from burnish.core.artifacts import Records

SPEC = """\
burnish: 1
name: corpus
task: {type: classification, labels: [a, b], languages: [en, zh]}
sources: {use: jsonl, path: raw.jsonl}
quality:
  - {use: clean, min_words: 3}
  - {use: deduplicate, threshold: 0.6}
"""
TEXTS = [
    "The council said on Monday that it had agreed to build a new bridge over the river in the spring.",
    "市议会星期一表示，已经同意在河上修建一座新桥，工程将于明年春天开始。",
    "The council said on Monday that it had agreed to build a new bridge over the river in the autumn.",
    "!!!",
]


@pytest.mark.slow
def test_a_run_says_what_went_and_why_on_any_engine(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    (tmp_path / "burnish.yaml").write_text(SPEC, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = {}
    for store, processes in (("one", 1), ("two", 2)):
        settings = ["--set", f"store.path={store}", "--set", f"engine.processes={processes}"]
        done = CliRunner().invoke(app, ["run", "--to", "quality", *settings])
        assert done.exit_code == 0, done.output
        path = tmp_path / store / "corpus" / "quality"
        found[store] = (path / "records.parquet").read_bytes()
        records = list(Records.from_parquet(path / "records.parquet"))
        assert [record.keep for record in records] == [True, True, False, False]
        assert records[2].findings[0]["check"] == "deduplicate" and records[0].id in records[2].findings[0]["reason"]
        assert records[3].findings[0]["check"] == "clean.words"
        assert json.loads((path / "clean.json").read_text("utf-8"))["clean"]["set_aside"] == {"words": 1}
    assert found["one"] == found["two"]
