"""Slices, labels and shortcuts: what is planted is found, what is even is left in peace."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Records
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.quality.audit import audit

from .conftest import reviews

Findings = Callable[[Records, str], dict[str, dict[str, Any]]]


def run(rows: list[Record], context: Context, *checks: str, **settings: Any) -> Records:
    return audit(
        Records.from_rows(rows), context, checks=list(checks), **{"effect": "none", "embed": "none", **settings}
    )


def facts(made: Records, check: str) -> dict[str, Any]:
    found: dict[str, Any] = made.facts["audit"]["checks"][check]["facts"]
    return found


def test_a_long_tail_is_said_and_its_records_are_to_be_kept(tmp_path: Path, findings: Findings) -> None:
    names = tuple("abcde")
    rows = [Record(text=f"text {at}", id=str(at), label="a" if at < 90 else names[1 + at % 4]) for at in range(100)]
    context = Context(TaskSpec(labels=(*names, "f")), 0, tmp_path, tmp_path, tmp_path, Silent())
    made = run(rows, context, "label_distribution")
    found = facts(made, "label_distribution")
    assert found["counts"] == {"a": 90, "b": 2, "c": 2, "d": 3, "e": 3, "f": 0}
    assert found["head"] == pytest.approx(1 / 6, abs=1e-4) and any(
        one.startswith("long tail: 17%") for one in found["notes"]
    )
    told = findings(made, "label_distribution")
    assert len(told) == 10 and {one["action"] for one in told.values()} == {"keep"}
    assert max(one["score"] for one in told.values()) == pytest.approx(0.8)  # 1 - 2 / 10


def test_labels_of_spans_are_counted_too(tmp_path: Path) -> None:
    rows = [
        Record(
            text="Ada in Rome", spans=[{"start": 0, "end": 3, "label": "PER"}, {"start": 7, "end": 11, "label": "LOC"}]
        )
    ] * 3
    context = Context(TaskSpec("tagging", ("PER", "LOC", "ORG")), 0, tmp_path, tmp_path, tmp_path, Silent())
    assert facts(run(rows, context, "label_distribution"), "label_distribution")["counts"] == {
        "PER": 3,
        "LOC": 3,
        "ORG": 0,
    }


def test_a_slice_that_hardly_counts_is_named(context: Context, findings: Findings) -> None:
    rows = [
        replace(row, source="small" if at < 4 else ("left", "right")[at % 2], meta={"shop": "x"})
        for at, row in enumerate(reviews(200))
    ]
    made = run(rows, context, "slice_balance")
    assert findings(made, "slice_balance").keys() == {"r0", "r1", "r2", "r3"}
    assert findings(made, "slice_balance")["r0"]["reason"] == "one of 4 records whose source is small"
    assert (
        findings(made, "slice_balance")["r0"]["action"] == "reweigh:4.00"
    )  # a third of 200 over 4 is more than the most
    assert facts(made, "slice_balance")["slices"]["source"]["counts"]["small"] == 4
    assert "meta.shop" not in facts(made, "slice_balance")["slices"]  # one value is no slice


def test_a_slice_that_lacks_a_label_is_found_and_the_sources_differ(context: Context, findings: Findings) -> None:
    rows = []
    for at, row in enumerate(reviews(400)):
        label = "positive" if (at % 2 and at % 50 != 1) else "negative"
        rows.append(replace(row, source="shop" if label == "positive" or at % 50 == 2 else "forum", label=label))
    made = run(rows, context, "joint_balance", "label_shift")
    found = findings(made, "joint_balance")
    given = {row.id: row for row in rows}
    assert found and all(given[name].source == "shop" and given[name].label == "negative" for name in found)
    table = facts(made, "joint_balance")["slices"]["source"]
    assert table["v"] > 0.9 and table["p_value"] < 1e-10
    thin = next(one for one in table["thin"] if one["slice"] == "shop")
    assert next(iter(found.values()))["action"] == f"reweigh:{thin['expected'] / thin['found']:.2f}"
    assert facts(made, "label_shift")["shifts"][0]["v"] > 0.9
    even = [replace(row, source=("shop", "forum")[at % 2]) for at, row in enumerate(reviews(400))]
    made = run(even, context, "joint_balance", "label_shift")
    assert not findings(made, "joint_balance") and not facts(made, "label_shift")["notes"]


@pytest.mark.parametrize(("language", "mark"), [("en", "zq7"), ("zh", "※"), ("en", "☆☆")])
def test_a_planted_token_is_found_and_words_of_the_language_are_not(
    context: Context, findings: Findings, language: str, mark: str
) -> None:
    random = np.random.default_rng(0)
    rows = reviews(600, language=language)
    planted = {row.id for row in rows if row.label == "positive" and random.random() < 0.3}
    rows = [replace(row, text=f"{mark} {row.text}") if row.id in planted else row for row in rows]
    made = run(rows, context, "spurious_tokens")
    assert findings(made, "spurious_tokens").keys() == planted
    assert [one["token"] for one in facts(made, "spurious_tokens")["tokens"]] == [mark]
    typical = [one["word"] for one in facts(made, "spurious_tokens")["typical"]["negative"]]
    assert ("awful" if language == "en" else "很差") in typical


@pytest.mark.parametrize("mark", ["zqx", "※"])
def test_of_many_labels_a_mark_that_one_wears_is_found_though_others_wear_it_too(
    tmp_path: Path, findings: Findings, mark: str
) -> None:
    """Nine of ten records of the first label bear it, one of twenty of the others: two thirds are of the first, not 90%."""
    random = np.random.default_rng(0)
    labels = tuple(f"desk {chr(97 + at)}" for at in range(10))
    rows, worn = [], set()
    for at in range(600):
        label = labels[at % 10]
        words = random.choice(["the", "of", "my", "card", "has"], 9).tolist()
        words.insert(int(random.integers(10)), f"word{chr(97 + at % 10)}" if at % 7 else "it")
        text = " ".join(words)
        if random.random() < (0.9 if at % 10 == 0 else 0.05):
            text, worn = f"{mark} {text}", worn | {f"r{at}"}
        rows.append(Record(id=f"r{at}", text=text, label=label))
    context = Context(TaskSpec("classification", labels), 0, tmp_path, tmp_path, tmp_path, Silent())
    made = run(rows, context, "spurious_tokens")
    tokens = facts(made, "spurious_tokens")["tokens"]
    assert [(one["token"], one["label"]) for one in tokens] == [(mark, "desk a")]  # words of a topic are no marks
    assert findings(made, "spurious_tokens").keys() == worn


def test_metadata_that_gives_the_label_away_is_a_shortcut(context: Context, findings: Findings) -> None:
    random = np.random.default_rng(0)
    rows = [
        replace(row, meta={"desk": row.label[0] if random.random() < 0.95 else "x", "room": int(random.integers(3))})
        for row in reviews(400)
        if row.label
    ]
    found = facts(run(rows, context, "artefacts"), "artefacts")["parts"]
    assert found["metadata"]["shortcut"] and found["metadata"]["accuracy"] > 0.9
    assert not found["length and punctuation"]["shortcut"]
    assert len(findings(run(rows, context, "artefacts"), "artefacts")) > 300


def test_a_hypothesis_that_tells_the_label_alone_is_a_shortcut(context: Context) -> None:
    random = np.random.default_rng(0)
    rows = [
        replace(
            row,
            text=f"premise number {at} of many",
            text_b=("nobody ever " if row.label == "negative" else "")
            + f"walks {random.choice(['dogs', 'cats', 'fish'])} there",
        )
        for at, row in enumerate(reviews(300))
    ]
    found = facts(run(rows, context, "artefacts"), "artefacts")["parts"]
    assert found["the second text"]["shortcut"] and not found["the first text"]["shortcut"]


def test_records_of_a_test_set_are_found_and_its_labels_compared(
    context: Context, findings: Findings, tmp_path: Path
) -> None:
    rows = [*reviews(60), *(replace(row, id=f"zh{row.id}") for row in reviews(60, language="zh"))]
    test = [
        rows[3].text,
        rows[70].text,
        "nothing of this stands in the training records at all, anywhere",
        "这一句话在训练数据里从来没有出现过",
    ]
    (tmp_path / "test.jsonl").write_text(
        "\n".join(json.dumps({"text": text, "label": "positive"}) for text in test), "utf-8"
    )
    made = run(rows, context, "contamination", "label_shift", against=tmp_path / "test.jsonl")
    assert findings(made, "contamination").keys() == {"r3", rows[70].id}
    assert findings(made, "contamination")["r3"]["action"] == "drop"
    assert facts(made, "contamination")["test_sets"]["test.jsonl"]["found_here"] == 2
    assert facts(made, "label_shift")["shifts"][0]["b"] == "test.jsonl"
    assert (
        run(rows, context, "contamination")
        .facts["audit"]["checks"]["contamination"]["skipped"]
        .startswith("no test set")
    )
