"""From the spec to the page: files beside the data, versions, and a part that stands for all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.cli import main

from .conftest import reviews

SPEC = """burnish: 1
name: shop
task: {type: classification, labels: [negative, positive], languages: [en, zh]}
sources: {use: jsonl, path: raw.jsonl, fields: {text: said, label: label, time: at}}
quality:
  - {use: audit, embed: none, against: exams, reference: users.jsonl, version_of: meta.page}
  - curate
  - {use: select, share: 0.5, by: quality, measure: false}
"""


def test_a_spec_names_test_sets_a_population_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    both = [*reviews(80), *reviews(80, language="zh")]
    lines = [
        {"said": row.text, "label": row.label, "at": f"20{15 + at % 8}-03-01T00:00:00Z", "page": f"p{at}"}
        for at, row in enumerate(both)
    ]
    lines.append(
        {
            "said": "The price is nine euros <b>today</b>.",
            "label": "positive",
            "at": "2023-01-01T00:00:00Z",
            "page": "p0",
        }
    )
    Path("raw.jsonl").write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), "utf-8")
    Path("exams").mkdir()
    Path("exams/zh.jsonl").write_text(
        json.dumps({"text": both[100].text, "label": "positive"}, ensure_ascii=False), "utf-8"
    )
    Path("users.jsonl").write_text("\n".join(json.dumps({"text": row.text}) for row in reviews(40, seed=3)), "utf-8")
    Path("burnish.yaml").write_text(SPEC, "utf-8")
    assert main(["run", "--to", "quality"]) == 0
    told = json.loads(Path("runs/shop/quality/report.json").read_text("utf-8"))
    checks = told["checks"]
    assert checks["contamination"]["facts"]["test_sets"]["zh.jsonl"]["found_here"] == 1
    assert checks["superseded"]["facts"] == {"groups": 1, "by": "meta.page"}
    assert checks["target_population"]["facts"]["reference"] == 40
    assert told["set_aside"].keys() >= {"contamination", "superseded", "earlier"}
    assert {one["dimension"] for one in checks.values()} >= {"distribution", "noise", "diversity", "timeliness"}
    page = Path("runs/shop/quality/report.html").read_text("utf-8")
    assert "Superseded" in page and "&lt;b&gt;today" in page and "<b>today" not in page
    capsys.readouterr()
