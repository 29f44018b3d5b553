"""Aggregation as a stage: what is chosen, what is refused, what stays unlabelled, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from burnish.construct.aggregate import aggregate
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.records import Record
from burnish.core.stage import Context


def saved(records: Records, folder: Path) -> list[Record]:
    folder.mkdir()
    records.save(folder)
    return list(Records.open(folder))


def votes_of(matrix: np.ndarray, labels: tuple[str, ...], *, first_gold: int) -> Votes:
    """One artefact; rows from `first_gold` on are gold records."""
    rows = [
        (int(i) if i < first_gold else first_gold - 1 - int(i), f"r{j}", labels[matrix[i, j]], 1.0)
        for i, j in zip(*np.nonzero(matrix >= 0), strict=True)
    ]
    return Votes.from_rows([Labeller(f"r{j}", "regex", labels) for j in range(matrix.shape[1])], rows)


def world(num_records: int, num_gold: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One good labeller among four that copy each other's mistakes, so that plain voting loses."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, num_records + num_gold)
    bad = np.where(random.random(len(truth)) < 0.55, truth, 1 - truth)
    good = np.where(random.random(len(truth)) < 0.95, truth, 1 - truth)
    return truth, np.stack([good, bad, bad, bad], 1)


def test_gold_shows_which_labeller_to_trust(context: Context, tmp_path: Path) -> None:
    labels = context.task.labels
    truth, matrix = world(400, 80)
    records = Records.from_rows(Record(text=f"t{i}") for i in range(400))
    gold = Gold.from_rows(Record(text=f"g{i}", label=labels[truth[400 + i]]) for i in range(80))
    made = aggregate(records, [votes_of(matrix, labels, first_gold=400)], gold, context)
    rows = saved(made, tmp_path / "made")
    right = np.mean([row.label == labels[y] for row, y in zip(rows, truth[:400], strict=True)])
    assert right > 0.85
    facts = made.facts
    methods = {one["method"]: one for one in facts["methods"]}
    assert facts["method"] != "majority"
    assert methods[facts["method"]]["accuracy"] > methods["majority"]["accuracy"]
    assert facts["best_single"]["name"] == "r0"
    assert any("gold records were used" in line for line in facts["story"])
    good = facts["labellers"][0]
    assert good["interval"][0] < 0.95 < good["interval"][1] + 0.03
    assert good["coverage"] == 1.0 and good["overlap"] == 1.0


def test_who_nobody_votes_on_stays_unlabelled_and_provenance_is_complete(context: Context, tmp_path: Path) -> None:
    matrix = np.array([[1, 1], [-1, -1], [0, -1]])
    records = Records.from_rows([Record(text="a"), Record(text="b", label="positive"), Record(text="c")])
    rows = saved(
        aggregate(records, [votes_of(matrix, context.task.labels, first_gold=3)], None, context), tmp_path / "made"
    )
    assert [row.label for row in rows] == ["positive", None, "negative"]
    assert rows[1].probs is None and rows[1].confidence is None
    assert "set aside" in rows[1].trail[-1]
    assert [vote["labeller"] for vote in rows[0].votes] == ["r0", "r1"]
    assert rows[0].label_from == "aggregate:weighted"
    assert rows[0].confidence == pytest.approx(max(rows[0].probs or []))
    assert len(rows[0].trail) == 1


def test_a_record_believed_too_little_stays_unlabelled(context: Context, tmp_path: Path) -> None:
    matrix = np.array([[1, 1, 1], [0, 1, -1], [1, 0, 0]])
    records = Records.from_rows(Record(text=str(i)) for i in range(3))
    made = aggregate(records, [votes_of(matrix, context.task.labels, first_gold=3)], None, context, min_confidence=0.8)
    assert [row.label for row in saved(made, tmp_path / "made")] == ["positive", None, None]


def test_a_method_that_collapses_is_refused(context: Context) -> None:
    random = np.random.default_rng(0)
    truth = random.random(1000) < 0.3
    matrix = np.full((1000, 6), -1)
    for j in range(6):
        fires = random.random(1000) < np.where(truth == (j % 2 == 1), 0.3, 0.05)
        matrix[fires, j] = j % 2
    records = Records.from_rows(Record(text=str(i)) for i in range(1000))
    votes = [votes_of(matrix, context.task.labels, first_gold=1000)]
    with pytest.raises(BurnishError, match=r"dawid_skene gives up 1 of 2 labels.*\n  hint: method: auto"):
        aggregate(records, votes, None, context, method="dawid_skene")
    facts = aggregate(records, votes, None, context).facts
    assert facts["method"] != "dawid_skene"
    assert any(line.startswith("refused: dawid_skene") for line in facts["story"])


def test_labellers_of_the_same_name_stay_apart(context: Context, tmp_path: Path) -> None:
    matrix = np.array([[1], [0]])
    votes = [votes_of(matrix, context.task.labels, first_gold=2), votes_of(matrix, context.task.labels, first_gold=2)]
    records = Records.from_rows([Record(text="a"), Record(text="b")])
    rows = saved(aggregate(records, votes, None, context), tmp_path / "made")
    assert [vote["labeller"] for vote in rows[0].votes] == ["r0", "r0#2"]


def test_without_labellers_given_labels_stand(context: Context, tmp_path: Path) -> None:
    records = Records.from_rows([Record(text="a", label="positive"), Record(text="b")])
    rows = saved(aggregate(records, [], None, context), tmp_path / "made")
    assert [(row.label, row.label_from) for row in rows] == [("positive", "given"), (None, None)]


def test_no_label_and_no_labeller_is_an_error_that_names_the_next_step(context: Context, tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match="no record has a label and no labeller is named"):
        saved(aggregate(Records.from_rows([Record(text="a")]), [], None, context), tmp_path / "made")


def test_no_vote_at_all_is_an_error(context: Context) -> None:
    silent = Votes.from_rows([Labeller("r0", "regex")], [])
    with pytest.raises(BurnishError, match="no labeller voted on any record"):
        aggregate(Records.from_rows([Record(text="a")]), [silent], None, context)


def test_gold_with_a_foreign_label_is_an_error(context: Context, gold_of: Callable[..., Gold]) -> None:
    votes = votes_of(np.array([[1]]), context.task.labels, first_gold=1)
    with pytest.raises(BurnishError, match="did you mean 'positive'"):
        aggregate(Records.from_rows([Record(text="a")]), [votes], gold_of([("x", "positiv")]), context)


def test_trust_decides_where_there_is_no_gold(context: Context, tmp_path: Path) -> None:
    sure = Votes.from_rows([replace(Labeller("sure", "existing"), trust=0.98)], [(0, "sure", "positive", 1.0)])
    two = Votes.from_rows(
        [Labeller("a", "regex", trust=0.6), Labeller("b", "regex", trust=0.6)],
        [(0, "a", "negative", 1.0), (0, "b", "negative", 1.0)],
    )
    rows = saved(aggregate(Records.from_rows([Record(text="x")]), [sure, two], None, context), tmp_path / "made")
    assert rows[0].label == "positive"
