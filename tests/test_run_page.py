"""report: the page of a run, its few lines for the terminal, the table of runs; whole, in part, and stopped half way."""

import json
from html.parser import HTMLParser

import pytest

from burnish.core.artifacts import Records, write_json
from burnish.core.errors import UsageError
from burnish.core.records import Record
from burnish.report import runs_table, summary, write

EVALUATION = {
    "n": 4, "figure": "accuracy", "figures": ["accuracy", "macro_f1", "micro_f1"], "details": [], "accuracy": 0.75, "macro_f1": 0.733, "micro_f1": 0.75, "ece": 0.2, "labels": ["好", "bad"], "model": "onnx int8",
    "confusion": [[1, 1], [0, 2]], "intervals": {"accuracy": [0.3, 0.95], "macro_f1": [0.2, 1.0], "ece": [0.1, 0.4]},
    "per_class": {"好": {"f1": 0.667, "support": 2}, "bad": {"f1": 0.8, "support": 2, "f1_interval": [0.4, 1.0]}},
    "calibration": [{"lower": 0.8, "upper": 1.0, "count": 4, "confidence": 0.9, "accuracy": 0.75}],
    "leaks": {"count": 0, "share": 0.0, "similarity": 0.6},
    "judged_by": {"checked": False, "about": "the test side", "notes": ["constructed, not checked"], "kind": "test"},
    "errors": {"nearest_by": "minilm", "items": [{
        "id": "r7", "text": "<b>差</b>", "text_b": None, "target": "好", "prediction": "bad", "score": 0.9, "loss": 2.3,
        "source": "wire", "doubtful": True, "neighbours_that_agree": 1,
        "input": [["<b>差</b>", None]], "expected": [["<b>差</b>", None]], "answered": [["<b>差</b>", None]],
        "neighbours": [{"id": "t1", "text": "很差", "label": "bad", "label_from": "gold", "confidence": 1.0, "similarity": 0.97,
                        "pieces": [["很差", None]]}],
    }]},
    "verdict": "Right on 75.0% of 4 records (30.0% to 95.4%).", "tone": "look", "grounds": ["Judged by the test side."],
}  # fmt: skip
LABELLERS = {
    "method": "weighted", "why": "it is best on gold", "coverage": 0.8, "overlap": 0.3, "gold": 8, "labels": {"好": 5, "bad": 3},
    "methods": [{"method": "weighted", "accuracy": 0.9, "interval": [0.8, 1.0]}, {"method": "majority", "accuracy": 0.8, "interval": [0.7, 0.9]}],
    "best_single": {"name": "keywords:好", "accuracy": 0.6, "interval": [0.5, 0.7]}, "story": ["refused: label_model says one class only"],
    "labellers": [{"name": "keywords:好", "kind": "keywords", "says": ["好"], "votes": 5, "coverage": 0.5, "conflict": 0.1, "accuracy": 0.9, "interval": [0.7, 1.0], "about": "推荐"}],
}  # fmt: skip
HISTORY = {"epochs": [{"loss": 0.9, "validation_loss": 0.7}, {"loss": 0.5, "validation_loss": 0.6}], "losses": [1.0, 0.8, 0.6, 0.4], "best_epoch": 1, "resolved": {"learning_rate": 0.0003}, "reasons": {"learning_rate": "an encoder 384 wide"}, "kernels": {"why": ["bf16: faster here"]}}  # fmt: skip
PARTS = {
    "construct/labellers.json": LABELLERS,
    "quality/report.json": {"verdict": "94% of records are clean.", "checks": {"near_duplicates": {"dimension": "uniqueness", "count": 4, "share": 0.1, "actions": {"drop": 4}, "effect": {"gain": 0.01}}}, "set_aside": {"near_duplicates": 4}},
    "split/stratified.json": {"check": {"shared_groups": 0}},
    "model/burnish.json": {"backbone": "minilm", "parameters": 22_000_000, "history": {"tune": HISTORY, "gold_last": HISTORY}},
    "deploy/report.json": {"agreement": 0.95, "num_texts": 40, "drop": 1.5, "bytes_before": 9e7, "bytes_after": 2e7, "accepted": False, "reasons": ["accuracy falls by 1.50 points"]},
    "evaluation/report.json": EVALUATION,
}  # fmt: skip
TITLES = {
    "construct/labellers.json": "How it was labelled",
    "quality/report.json": "What the audit found",
    "split/stratified.json": "Who teaches and who judges",
    "model/burnish.json": "Training",
    "deploy/report.json": "Compression",
    "evaluation/report.json": "Evaluation",
}


def run_json(**over):
    steps = [
        ("sources", "jsonl", {"records": 9, "quarantined": 2}),
        ("construct", "aggregate", {"records": 9}),
        ("train", "tune", {}),
    ]
    return {
        "burnish": "0.1", "name": "reviews", "spec": "/home/x/burnish.yaml", "started": 1_700_000_000.0, "finished": None, "status": "done", "seconds": 61.0,
        "task": {"type": "classification", "labels": ["好", "bad"]},
        "steps": [{"room": r, "use": u, "key": "k" * 32, "status": "made", "seconds": 2.5, "counts": c} for r, u, c in steps],
    } | over  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A run folder with every part."""
    folder = tmp_path / "runs" / "reviews"
    for name, content in PARTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_json(folder / name, content)
    write_json(folder / "run.json", run_json())
    Records.from_rows([Record(text="很好", id="a", source="wire", language="zh")] * 3).save(folder / "construct")
    rows = [{"file": "raw/a.jsonl", "line": 3, "reason": "broken JSON: line 1", "raw": "{<script>"}, {"file": "b.parquet", "line": None, "reason": "broken file: x", "raw": ""}]  # fmt: skip
    (folder / "quarantine.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return folder


class Balanced(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def told(folder):
    html = write(folder).read_text("utf-8")
    reader = Balanced()
    reader.feed(html)
    assert reader.open == [] and "http" not in html
    return html


def test_tells_every_chapter_of_a_whole_run(run):
    html = told(run)
    assert all(f"<h2>{title}</h2>" in html for title in TITLES.values())
    for said in (
        "broken JSON", "raw/a.jsonl:3", "keywords:好", "refused: label_model says one class only", "weighted (chosen)", "best labeller: keywords:好",
        "Near copies", "an encoder 384 wide", "bf16: faster here", "Weights of epoch 2 were kept.", "Refused: PyTorch serves. accuracy falls",
        "constructed, not checked", "很差", "burnish serve",
    ):  # fmt: skip
        assert said in html, said


def test_says_the_verdict_before_anything_else(run):
    html = told(run)
    assert html.index("Right on 75.0%") < html.index("<section")


def test_hostile_content_is_escaped(run):
    html = told(run)
    assert "<b>差" not in html and "{<script>" not in html and "&lt;b&gt;差" in html


@pytest.mark.parametrize("part", PARTS)
def test_does_without_any_part(run, part):
    (run / part).unlink()
    html = told(run)
    others = {title for name, title in TITLES.items() if name != part}
    assert all(f"<h2>{title}</h2>" in html for title in others)


def test_tells_a_run_of_which_nothing_is_made(tmp_path):
    write_json(tmp_path / "run.json", {"name": "new", "started": 0.0, "status": "running", "steps": []})
    assert "Nothing is made yet." in told(tmp_path)
    assert "burnish run" in summary(tmp_path)


def test_a_run_that_stopped_says_where_and_why_first(run):
    steps = run_json()["steps"]
    steps[1]["status"] = "failed"
    write_json(
        run / "run.json", run_json(status="failed", steps=steps, error="no labeller voted\n  hint: look at the words")
    )
    html = told(run)
    assert "The run stopped at construct.aggregate." in html and "no labeller voted" in html
    assert 'class="verdict bad"' in html and "goes on where this one stopped" in summary(run)


def test_a_refused_gate_is_told_as_one(run):
    steps = run_json()["steps"]
    steps[2]["status"] = "refused"
    write_json(run / "run.json", run_json(status="refused", steps=steps, error="macro_f1 is 0.7"))
    assert summary(run).startswith("A gate refused the model at train.tune.")


def test_the_summary_names_what_is_there_and_what_to_type(run):
    write(run)
    said = summary(run)
    assert said.startswith("Right on 75.0%")
    assert str(run / "report.html") in said and f"burnish serve {run}" in said
    assert "quality/report.html" not in said, "there is no such page in this run"


def test_the_table_of_runs_is_newest_first_and_has_figures(run):
    older = run.parent / "older"
    older.mkdir()
    write_json(older / "run.json", run_json(started=1.0, status="failed"))
    rows = runs_table(run.parent, as_json=True)
    assert [row["name"] for row in rows] == ["reviews", "older"] and rows[0]["accuracy"] == 0.75
    text = runs_table(run.parent).splitlines()
    assert "0.750" in text[1] and text[2].split()[:2] == ["older", "failed"]
    assert "no runs" in runs_table(older)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no run folder"):
        write(tmp_path)


def test_writing_again_replaces_the_page_and_leaves_nothing_behind(run):
    write(run)
    before = sorted(path.name for path in run.iterdir())
    write(run)
    assert sorted(path.name for path in run.iterdir()) == before


def test_the_page_of_a_chinese_run_is_in_chinese(run):
    task = {"type": "classification", "labels": ["好", "差"], "languages": ["zh"]}
    write_json(run / "run.json", run_json(task=task, name="点评"))
    write_json(run / "evaluation" / "report.json", EVALUATION | {"said": {"zh": {"verdict": "4 条记录中答对 75.0%。", "grounds": ["评判依据：划分出的测试集。"]}}})  # fmt: skip
    html = told(run)
    titles = (
        "进来了什么",
        "标签如何得来",
        "审查发现了什么",
        "谁来教，谁来评",
        "训练",
        "压缩",
        "评估",
        "接下来做什么",
        "步骤",
    )
    assert '<html lang="zh">' in html and all(f"<h2>{one}</h2>" in html for one in titles)
    assert html.index("4 条记录中答对 75.0%。") < html.index("<section")
    assert not [title for title in TITLES.values() if f">{title}<" in html]
    assert "Right on 75.0%" in summary(run), "the terminal keeps to English"
