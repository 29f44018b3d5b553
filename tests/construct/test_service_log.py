"""The example of the docs from its log to its records, through the command line, in both languages."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import yaml
from taught import backbone
from typer.testing import CliRunner

from burnish.cli import app
from burnish.core.artifacts import Records
from burnish.core.stage import TaskSpec
from burnish.measures.conversations import problem
from burnish.tasks.chat import Task

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_log_becomes_conversations_a_faq_and_pairs(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["prepare.py", "--language", language, "--count", "80", "--out", str(tmp_path / "data")]
    )
    made = runpy.run_path(str(EXAMPLES / "service" / "prepare.py"), run_name="__main__")
    wordings = [one for group in made["TOPICS"][language] for one in group[0]]
    name = "service" if language == "en" else "service-zh"
    spec = yaml.safe_load((EXAMPLES / name / "burnish.yaml").read_text("utf-8"))
    for step in spec["construct"][1:]:
        step |= {"backbone": str(backbone(tmp_path / "bert", wordings)), "alike": 0.6}
    (tmp_path / "burnish.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), "utf-8")
    done = CliRunner().invoke(app, ["run", str(tmp_path / "burnish.yaml"), "--to", "split"])
    assert done.exit_code == 0, done.output
    folder = tmp_path / "runs" / name
    rows = list(Records.from_parquet(folder / "construct" / "records.parquet"))
    kept = [one for one in rows if one.keep]
    by = {
        stage: [one for one in kept if one.label_from == f"construct.{stage}"]
        for stage in ("dialogue", "faq", "preferences")
    }
    assert len(kept) == sum(map(len, by.values())) and all(by.values())
    assert all(problem(one.messages) is None and Task(TaskSpec("chat")).problem(one) is None for one in kept)
    whole = "\n".join(str(one.row()) for one in rows)
    leaked = [one for one in (*made["NAMES"][language], *made["ADDRESSES"][language], "@example.com") if one in whole]
    assert not leaked, "nothing personal is left anywhere, in the log neither"
    good, poor = ([group[at] for group in made["TOPICS"][language]] for at in (1, 2))
    assert all(any(one in pair.messages[-1]["content"] for one in good) for pair in by["preferences"])
    assert all(any(one in pair.meta["rejected"] for one in poor) for pair in by["preferences"])
    assert sum(any(one in pair.messages[-1]["content"] for one in good) for pair in by["faq"]) >= 0.8 * len(by["faq"])
