"""Self-training of taggers on a tiny encoder: names that no vote reaches are found, votes that are wrong are taken back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from burnish.construct.self_training import self_training
from burnish.construct.spans.training import sure_enough
from burnish.core.artifacts import Gold, Records
from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec

PEOPLE = ["Ann", "Bob", "Cyd", "Dan", "Eve", "Fay", "Gus", "Hal"]
PLACES = ["Rome", "Oslo", "Lima", "Bern", "Riga", "Bonn", "Kiev", "Nice"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh encoder of one narrow layer with a word vocabulary: it learns only what these texts hold."""
    from burnish.nn import architectures, pieces

    folder = tmp_path_factory.mktemp("backbone")
    texts = [f"{who} went to {where} and saw {who} there ." for who in PEOPLE for where in PLACES]
    tokenizer = pieces.learn(texts, kind="wordpiece", vocabulary=300, architecture="encoder")
    config = architectures.config("encoder", "1x64", vocabulary=len(tokenizer), positions=64, tokenizer=tokenizer)
    return architectures.make(folder / "made", config, tokenizer, seed=0)


def context_of(folder: Path, **options: object) -> Context:
    task = TaskSpec("tagging", ("PER", "LOC"), languages=("en",), options=options)
    return Context(task, 0, folder, folder / "scratch", folder / "cache", Silent())


def text_of(who: str, where: str) -> str:
    return f"{who} went to {where} and saw {who} there ."


def spans_of(who: str, where: str) -> list[dict[str, object]]:
    at = len(who) + 9
    return [{"start": 0, "end": len(who), "label": "PER"}, {"start": at, "end": at + len(where), "label": "LOC"}]


def world() -> Records:
    """Every person's name was found but in one text, every place's in all; a fifth of the texts nobody looked at."""
    rows = []
    for n, (who, where) in enumerate([(who, where) for where in PLACES for who in PEOPLE] * 3):
        spans = spans_of(who, where)
        held = spans if n % 8 else spans[1:]
        votes = [{"labeller": "aggregate:weighted", "confidence": 0.8, **one} for one in held]
        row = Record(
            text=text_of(who, where), id=str(n), votes=votes, spans=held, confidence=0.8, label_from="aggregate"
        )
        rows.append(row if n % 5 else Record(text=row.text, id=row.id))
    return Records.from_rows(rows)


def test_spans_that_no_vote_reaches_are_found(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.construct.spans.training.EPOCHS", 25)  # fresh weights learn slowly
    before = world()
    made = self_training(before, None, context_of(tmp_path), rounds=1, precision=0.5, backbone=str(backbone))
    assert made.facts["coverage"] == 1.0 and made.facts["rounds"][0]["gold_entity_f1"] is None
    (tmp_path / "out").mkdir()
    made.save(tmp_path / "out")
    after = Records.open(tmp_path / "out")
    wanted = [
        {(0, len(row.text.split()[0]), "PER"), (len(row.text.split()[0]) + 9, len(row.text.split()[0]) + 9 + 4, "LOC")}
        for row in before
    ]
    said = [{(one["start"], one["end"], one["label"]) for one in spans or ()} for spans in after.column("spans")]
    had = [{(one["start"], one["end"], one["label"]) for one in spans or ()} for spans in before.column("spans")]
    found = sum(len(one & other) for one, other in zip(said, wanted, strict=True))
    assert found > sum(len(one & other) for one, other in zip(had, wanted, strict=True))
    assert made.facts["added"] > 0
    votes = after.column("votes")[0]
    assert {vote["labeller"] for vote in votes} <= {"self_training", "doubt"}
    assert after.column("label_from")[0] == "self_training"
    assert after.column("trail")[0][-1].startswith("self_training:")


def test_gold_judges_the_rounds(backbone: Path, tmp_path: Path) -> None:
    gold = Gold.from_rows(
        [Record(text=text_of(who, "Oslo"), id=f"g{who}", spans=spans_of(who, "Oslo")) for who in PEOPLE]
    )
    made = self_training(world(), gold, context_of(tmp_path), rounds=1, backbone=str(backbone))
    assert 0 <= made.facts["rounds"][0]["gold_entity_f1"] <= 1
    figures = [one["gold_entity_f1"] for one in made.facts["rounds"]]
    assert figures[-1] >= figures[0] - 0.005  # a round after which gold is explained worse is not kept


def test_nothing_to_learn_from_is_said(backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match="no record has a span that votes made"):
        self_training(Records.from_rows([Record(text="x", id="a")]), None, context_of(tmp_path), backbone=str(backbone))


def test_nested_spans_are_not_for_it(backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match="inside one another"):
        self_training(world(), None, context_of(tmp_path, nested=True), backbone=str(backbone))


def test_the_most_believed_are_taken_down_to_the_asked_precision() -> None:
    belief, label = np.array([0.95, 0.9, 0.5, 0.85, 0.6]), np.array([0, 0, 0, 1, 1])
    assert sure_enough(belief, label, 0.9).tolist() == [True, True, False, False, False]
    assert sure_enough(belief, label, 0.7).tolist() == [True, True, True, True, True]
