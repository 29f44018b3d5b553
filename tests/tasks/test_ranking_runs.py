"""`burnish run` on a small world: two towers with an index, and a cross-encoder, from files to a served model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ranking_data import backbone, pairs_only, world

from burnish.core.records import iterate, to_table
from burnish.core.stage import TaskSpec
from burnish.tasks.predictor import load
from burnish.tasks.ranking import rerank
from burnish.testing import check_task

SPEC = """\
burnish: 1
name: small
task: {{type: ranking, {task}, languages: [en, zh]}}
sources: {{use: jsonl, path: train.jsonl, fields: {{value: value}}}}
split: {{use: stratified, test: 0, validation: 0.15, near_duplicates: 1.0}}
train: {{use: tune, backbone: tiny, epochs: 12, learning_rate: 0.003, batch_tokens: 512, max_length: 32, precision: fp32}}
compress: {{use: onnx}}
evaluate: {{use: report, data: test.jsonl, fields: {{value: value}}, draws: 100, leak_similarity: 1.0}}
"""


def write(path: Path, table: pa.Table) -> None:
    rows = zip(*(table[name].to_pylist() for name in ("text", "text_b", "value", "label", "group")), strict=True)
    lines = [
        {"query": query, "candidate": candidate, "value": float(label or 0) if value is None else value, "group": group}
        for query, candidate, value, label, group in rows
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")


def run(burnish, folder: Path, *, task: str, train: pa.Table, test: pa.Table) -> Path:
    backbone(folder / "tiny")
    write(folder / "train.jsonl", train)
    write(folder / "test.jsonl", test)
    (folder / "burnish.yaml").write_text(SPEC.format(task=task), "utf-8")
    done = burnish("run", "burnish.yaml", cwd=folder, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "small"


def judged(folder: Path) -> dict:
    return json.loads((folder / "evaluation" / "report.json").read_text("utf-8"))


def test_two_towers_from_files_to_answers(burnish, tmp_path):
    task = "model: two-tower, candidates: known"
    done = run(burnish, tmp_path, task=task, train=pairs_only(260, seed=0), test=pairs_only(60, seed=9))
    numbers = judged(done)
    assert numbers["ndcg@10"] > 0.8 and numbers["hr@10"] > 0.8 and numbers["queries_not_in_index"] == 0
    assert [one["name"] for one in numbers["baselines"]] == ["random", "popularity", "bm25"]
    assert numbers["ndcg@10"] > max(one["ndcg@10"] for one in numbers["baselines"]) + 0.2
    for format in ("onnx", "torch"):
        answers = load(done, format=format)
        first, second = answers.predict(["红 car want", {"query": "绿 cup", "candidates": ["lv mug", "lan ship"]}])
        assert "chi auto" in first["text"] and first["score"] > 0.5 and len(first["ranking"]) == 10
        assert second["ranking"][0]["text"] == "lv mug"
        assert rerank(answers, "黑 lamp", ["bai mug", "hei light"])[0]["index"] == 1


def test_a_query_stays_on_one_side_and_a_changed_faq_makes_the_model_again(burnish, tmp_path):
    write(
        tmp_path / "train.jsonl",
        to_table(replace(one, group=None) for one in iterate([world(queries=60, candidates=4, seed=0)])),
    )
    (tmp_path / "faq.jsonl").write_text('{"text": "chi auto"}\n', "utf-8")
    backbone(tmp_path / "tiny")
    spec = SPEC.format(task="model: two-tower, loss: pairwise, candidates: faq.jsonl").splitlines()
    (tmp_path / "burnish.yaml").write_text("\n".join(spec[:-2]) + "\n", "utf-8")
    done = burnish("run", "burnish.yaml", "--to", "split", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sides = [
        set(pq.read_table(tmp_path / "runs" / "small" / "split" / f"{side}.parquet")["text"].to_pylist())
        for side in ("train", "validation")
    ]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    before = json.loads(burnish("plan", "burnish.yaml", "--json", cwd=tmp_path).stdout)
    with (tmp_path / "faq.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "lv mug"}\n')
    after = json.loads(burnish("plan", "burnish.yaml", "--json", cwd=tmp_path).stdout)
    changed = [new["step"] for old, new in zip(before, after, strict=True) if old["key"] != new["key"]]
    assert changed == ["train.tune"]


@pytest.mark.slow
def test_a_cross_encoder_from_files_to_answers(burnish, tmp_path):
    train, test = world(queries=200, candidates=5, seed=0), world(queries=30, candidates=8, seed=1)
    done = run(burnish, tmp_path, task="loss: listwise", train=train, test=test)
    numbers = judged(done)
    assert numbers["ndcg@10"] > 0.7 and numbers["queries_judged"] == 30
    low, high = numbers["intervals"]["ndcg@10"]
    assert low < numbers["ndcg@10"] <= high or high == 1.0
    assert rerank(load(done), "红 car want", ["lv mug", "chi auto", "hei tome"])[0]["text"] == "chi auto"


def test_it_answers_what_every_task_is_asked():
    spec = TaskSpec("ranking", (), {}, ("en", "zh"))
    assert check_task("ranking", spec, world(queries=6, candidates=3, seed=0), exports=False) >= 8
