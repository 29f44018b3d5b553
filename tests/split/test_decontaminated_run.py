"""From the spec to the page: a run that names a test set, and what its page and its export say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.cli import main

SPEC = """burnish: 1
name: news
task: {type: classification, labels: [x, y], languages: [en]}
sources: {use: import, path: raw.csv, format: {use: csv, guard: false}}
split:
  - {use: decontaminate, path: exam.jsonl, name: exam}
  - {use: stratified, test: 0.2, validation: 0.2}
"""


def test_the_page_shows_the_pairs_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    hidden = "<b>The ministry said</b> that the new bridge over the river would open in March after two years."
    words = [
        "amber",
        "basil",
        "cedar",
        "delta",
        "ember",
        "fjord",
        "grove",
        "haven",
        "inlet",
        "jetty",
        "knoll",
        "ledge",
        "marsh",
        "night",
        "ocean",
    ]
    lines = ["text,label"]
    for at in range(24):
        lines.append(
            f"{words[at % 15]} {words[at * 7 % 15]} {at * 977} {words[at * 11 % 15]} tells {chr(97 + at)},{'xy'[at % 2]}"
        )
    lines.append(f"{hidden},x")
    (tmp_path / "raw.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "exam.jsonl").write_text(json.dumps({"id": "q7", "text": hidden.upper()}) + "\n", encoding="utf-8")
    (tmp_path / "burnish.yaml").write_text(SPEC, encoding="utf-8")
    assert main(["run", "--to", "split"]) == 0
    told = json.loads((tmp_path / "runs/news/split/decontaminate.json").read_text("utf-8"))["decontaminated"]
    assert [(one["set_aside"], one["by"], one["leaks_after"]) for one in told] == [(1, {"exact": 1}, 0)]
    facts = json.loads((tmp_path / "runs/news/split/stratified.json").read_text("utf-8"))
    assert facts["left_out"]["set aside"] == 1 and not any(facts["leaks"].values())
    page = (tmp_path / "runs/news/report.html").read_text("utf-8")
    assert "No record of exam" in page and "&lt;b&gt;The ministry said" in page and hidden not in page
    capsys.readouterr()
    assert main(["export", "runs/news", "-F", "huggingface", "-o", "out"]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 24
    assert "split.decontaminate" in (tmp_path / "out/README.md").read_text("utf-8")
