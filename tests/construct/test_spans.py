"""Votes on spans: spans in are spans out, who mentions nothing abstains, and the ways to join votes do what they say."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.construct.aggregate import aggregate
from burnish.construct.forms import form_of
from burnish.construct.labellers.functions import functions
from burnish.construct.labellers.known import existing
from burnish.construct.spans import models
from burnish.construct.spans.votes import Mentions, candidates_of, units_of
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec

LABELS = ("PER", "LOC")
Place = tuple[int, int, str]


def context_of(folder: Path, **options: Any) -> Context:
    task = TaskSpec("tagging", LABELS, languages=("en", "zh"), options=options)
    return Context(task, 0, folder, folder / "scratch", folder / "cache", Silent())


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return context_of(tmp_path)


def spans(*places: Place) -> list[dict[str, Any]]:
    return [{"start": start, "end": end, "label": label} for start, end, label in places]


def votes_by(name: str, *rows: tuple[int, int, int, str], trust: float | None = None, kind: str = "rules") -> Votes:
    """Votes of one labeller: (row, start, end, label)."""
    said = [
        {"row": row, "labeller": name, "label": label, "confidence": 1.0, "start": start, "end": end}
        for row, start, end, label in rows
    ]
    return Votes([Labeller(name, kind, LABELS, trust=trust)], Votes.tabled(said))


def made_of(
    records: Records, votes: Sequence[Votes], context: Context, gold: Gold | None = None, **more: Any
) -> Records:
    folder = context.base / f"made{len(list(context.base.glob('made*')))}"
    folder.mkdir()
    aggregate(records, list(votes), gold, context, **more).save(folder)
    return Records.open(folder)


def places_of(records: Records) -> list[list[Place] | None]:
    return [
        None if row is None else [(one["start"], one["end"], one["label"]) for one in row]
        for row in records.column("spans")
    ]


# -- the form


def test_an_answer_is_votes_with_places(context: Context) -> None:
    form = form_of(context.task)
    answer = {"spans": [{"start": 0, "end": 2, "label": "LOC", "score": 0.5}]}
    (said,) = form.said(answer, {"text": "北京的"}, context.task)
    assert (said.label, said.start, said.end, said.confidence) == ("LOC", 0, 2, 0.5)
    assert form.said({"spans": []}, {"text": "x"}, context.task) == []


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ({"start": 0, "end": 2, "label": "LOCATION"}, "not a label of the task"),
        ({"start": 1, "end": 1, "label": "LOC"}, "not inside a text of 3 characters"),
        ({"start": 0, "end": 4, "label": "LOC"}, "not inside"),
        ({"start": None, "end": 2, "label": "LOC"}, "not inside"),
    ],
)
def test_an_answer_that_cannot_be_says_why(context: Context, span: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        form_of(context.task).said({"spans": [span]}, {"text": "北京的"}, context.task)


def test_functions_return_places(context: Context, tmp_path: Path) -> None:
    rules = tmp_path / "rules.py"
    rules.write_text(
        "def cities(record):\n    at = record.text.find('北京')\n    return [(at, at + 2, 'LOC')] if at >= 0 else None\n\n\n"
        "def first(record):\n    return (0, 1, 'PER', 0.2)\n"
    )
    records = Records.from_rows([Record(text="我在北京😀"), Record(text="hello")])
    votes = functions(records, None, context, path=rules)
    assert [(one["row"], one["start"], one["end"], one["label"]) for one in votes.table.to_pylist()] == [
        (0, 2, 4, "LOC"), (0, 0, 1, "PER"), (1, 0, 1, "PER"),
    ]  # fmt: skip


# -- spans in are spans out

TEXT = st.text(
    st.one_of(st.sampled_from("北京大学在 aé\u0301bZ.,，。😀👨\u200d👩𠀀"), st.characters(codec="utf-8")),
    min_size=1,
    max_size=30,
)


@st.composite
def texts_with_spans(draw: st.DrawFn) -> tuple[str, list[Place]]:
    text = draw(TEXT)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=8)))
    pairs = [pair for pair in itertools.pairwise(cuts) if draw(st.booleans())]
    # a span of blanks alone is none that a reader would mark
    return text, [(a, b, draw(st.sampled_from(LABELS))) for a, b in pairs if text[a:b].strip()]


@settings(max_examples=150, deadline=None)
@given(st.lists(texts_with_spans(), min_size=1, max_size=4), st.sampled_from(["majority", "weighted"]))
def test_spans_of_one_labeller_come_out_as_they_went_in(given: list[tuple[str, list[Place]]], method: str) -> None:
    rows = [(row, *place) for row, (_, places) in enumerate(given) for place in places]
    mentions = _mentions(rows, len(given))
    problem = _problem([text for text, _ in given], mentions)
    found = models.METHODS[method](problem)(problem)
    for row, (_, places) in enumerate(given):
        assert found.spans(row) == {(start, end, LABELS.index(label)) for start, end, label in places}


@settings(max_examples=150, deadline=None)
@given(st.lists(texts_with_spans(), min_size=1, max_size=4))
def test_units_hold_every_span_to_the_character(given: list[tuple[str, list[Place]]]) -> None:
    rows = [(row, *place) for row, (_, places) in enumerate(given) for place in places]
    mentions = _mentions(rows, len(given))
    units = units_of([text for text, _ in given], mentions)
    first, last = units.touched(mentions.row, mentions.start, mentions.end)
    assert (units.starts[first] == mentions.start).all() and (units.ends[last] == mentions.end).all()
    for row in range(len(given)):
        here = slice(units.offsets[row], units.offsets[row + 1])
        assert (units.starts[here][1:] >= units.ends[here][:-1]).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(texts_with_spans(), min_size=3, max_size=6))
def test_the_hmm_too_gives_back_what_two_labellers_agree_on(given: list[tuple[str, list[Place]]]) -> None:
    rows = [(row, *place) for row, (_, places) in enumerate(given) for place in places]
    mentions = _mentions(rows + rows, len(given), labeller=[0] * len(rows) + [1] * len(rows))
    problem = _problem([text for text, _ in given], mentions)
    found = models.hmm(problem)(problem)
    for row, (_, places) in enumerate(given):
        assert found.spans(row) == {(start, end, LABELS.index(label)) for start, end, label in places}


def _mentions(rows: list[tuple[int, int, int, str]], num_rows: int, labeller: list[int] | None = None) -> Mentions:
    order = sorted(range(len(rows)), key=lambda at: rows[at][0])
    columns = [np.array([rows[at][field] for at in order], np.int64) for field in range(3)]
    label = np.array([LABELS.index(rows[at][3]) for at in order], np.int64)
    who = np.array([(labeller or [0] * len(rows))[at] for at in order], np.int64)
    return Mentions(
        *columns, label, who, np.ones(len(rows)), num_rows, max(labeller or [0], default=0) + 1, len(LABELS)
    )


def _problem(texts: list[str], mentions: Mentions, **more: Any) -> models.Problem:
    nothing = np.full(mentions.num_labellers, np.nan)
    made = {"truth": {}, "claimed": nothing, "silence": np.zeros(mentions.num_labellers), **more}
    return models.Problem(mentions, candidates_of(mentions, nested=False), units_of(texts, mentions), **made)


# -- who mentions nothing abstains


def test_silence_is_no_vote_that_there_is_nothing(context: Context) -> None:
    records = Records.from_rows([Record(text="Ann lives in Rome", id="a"), Record(text="nothing here", id="b")])
    votes = [votes_by("one", (0, 0, 3, "PER")), *(votes_by(f"silent {at}") for at in range(6))]
    made = made_of(records, votes, context, method="majority")
    assert places_of(made) == [[(0, 3, "PER")], None]
    assert any("stay without spans" in line for line in made.facts["story"])


def test_gold_says_what_silence_of_all_means(context: Context) -> None:
    records = Records.from_rows([Record(text="Ann", id="a"), Record(text="so it is", id="b")])
    gold = Gold.from_rows([Record(text=f"so it is {at}", id=f"g{at}", spans=[]) for at in range(12)])
    made = made_of(records, [votes_by("one", (0, 0, 3, "PER"))], context, gold)
    assert places_of(made) == [[(0, 3, "PER")], []]
    assert made.column("confidence")[1] == pytest.approx(12.5 / 13)


def test_two_against_one(context: Context) -> None:
    records = Records.from_rows([Record(text="Paris Hilton came", id="a")])
    votes = [votes_by("a", (0, 0, 12, "PER")), votes_by("b", (0, 0, 12, "PER")), votes_by("c", (0, 0, 5, "LOC"))]
    made = made_of(records, votes, context, method="majority")
    assert places_of(made) == [[(0, 12, "PER")]]
    said = {vote["labeller"]: vote for vote in made.column("votes")[0] if vote["labeller"] not in "abc"}
    # three labellers of 0.75: odds 9, 3 and 1 for there being none
    assert said["aggregate:majority"]["confidence"] == pytest.approx(9 / 13, abs=1e-3)
    assert said["doubt"]["confidence"] == pytest.approx(3 / 13, abs=1e-3)


def test_a_labeller_that_gold_proves_wrong_is_outvoted_by_one_it_proves_right(context: Context) -> None:
    texts = [f"Lima {at} Ann" for at in range(20)]
    records = Records.from_rows([Record(text="Oslo 1 Bob", id="r")])
    gold = Gold.from_rows([Record(text=text, id=f"g{at}", spans=spans((0, 4, "LOC"))) for at, text in enumerate(texts)])
    good = votes_by("good", (0, 0, 4, "LOC"), *((-1 - at, 0, 4, "LOC") for at in range(20)))
    bad = [votes_by(name, (0, 0, 4, "PER"), *((-1 - at, 0, 4, "PER") for at in range(20))) for name in ("x", "y", "z")]
    made = made_of(records, [good, *bad], context, gold)
    assert places_of(made) == [[(0, 4, "LOC")]]
    assert {row["name"]: row["accuracy"] for row in made.facts["labellers"]} == {
        "good": 1.0,
        "x": 0.0,
        "y": 0.0,
        "z": 0.0,
    }
    assert made.facts["best_single"]["name"] == "good"
    with pytest.raises(BurnishError, match="majority gives up 1 of 2 labels"):
        made_of(records, [good, *bad], context, gold, method="majority")


def test_flat_spans_never_overlap_and_nested_ones_may(tmp_path: Path) -> None:
    records = Records.from_rows([Record(text="University of Rome", id="a")])
    votes = [votes_by("a", (0, 0, 18, "PER")), votes_by("b", (0, 14, 18, "LOC"))]
    flat = made_of(records, votes, context_of(tmp_path), method="majority")
    assert places_of(flat) == [[(0, 18, "PER")]]
    (tmp_path / "nested").mkdir()
    nested = made_of(records, votes, context_of(tmp_path / "nested", nested=True))
    assert places_of(nested) == [[(0, 18, "PER"), (14, 18, "LOC")]]


def test_the_hmm_is_not_for_nested_spans(tmp_path: Path) -> None:
    records = Records.from_rows([Record(text="Rome", id="a")])
    with pytest.raises(BurnishError, match="tags every character once"):
        made_of(records, [votes_by("a", (0, 0, 4, "LOC"))], context_of(tmp_path, nested=True), method="hmm")


def test_a_vote_on_the_whole_record_is_refused(context: Context) -> None:
    records = Records.from_rows([Record(text="Rome", id="a")])
    whole = Votes.from_rows([Labeller("w", "rules")], [(0, "w", "LOC", 1.0)])
    with pytest.raises(BurnishError, match="votes on whole records"):
        made_of(records, [whole], context)


def test_min_confidence_leaves_spans_out_as_doubts(context: Context) -> None:
    records = Records.from_rows([Record(text="Ann in Rome", id="a")])
    votes = [votes_by("a", (0, 0, 3, "PER"), (0, 7, 11, "LOC")), votes_by("b", (0, 0, 3, "PER"))]
    made = made_of(records, votes, context, method="majority", min_confidence=0.8)
    assert places_of(made) == [[(0, 3, "PER")]]
    assert [vote["start"] for vote in made.column("votes")[0] if vote["labeller"] == "doubt"] == [7]


def test_targets_that_came_with_records_vote(context: Context) -> None:
    records = Records.from_rows(
        [Record(text="Ann in Rome", id="a", spans=spans((0, 3, "PER"))), Record(text="x", id="b")]
    )
    made = made_of(records, [existing(records, None, context, trust=0.9)], context)
    assert places_of(made) == [[(0, 3, "PER")], None]


# -- the hidden chain


def test_forward_backward_is_the_sum_over_all_paths() -> None:
    draw = np.random.default_rng(0)
    size, length = 3, 4
    evidence = np.log(draw.random((length, size)) + 0.05)
    first = np.array([0.6, 0.4, 0.0])
    moves = np.array([[0.7, 0.3, 0.0], [0.2, 0.2, 0.6], [0.3, 0.3, 0.4]])
    posterior, moved, begun = models.forward_backward(evidence, np.array([0, length]), first, moves)
    total, wanted, steps, starts = 0.0, np.zeros((length, size)), np.zeros((size, size)), np.zeros(size)
    for path in itertools.product(range(size), repeat=length):
        chance = first[path[0]] * np.exp(evidence[np.arange(length), path].sum())
        chance *= np.prod([moves[a, b] for a, b in itertools.pairwise(path)])
        total += chance
        starts[path[0]] += chance
        for at, tag in enumerate(path):
            wanted[at, tag] += chance
        for a, b in itertools.pairwise(path):
            steps[a, b] += chance
    assert np.allclose(posterior, wanted / total)
    assert np.allclose(moved, steps / total)
    assert np.allclose(begun, starts / total)


def test_chains_of_different_length_do_not_mix() -> None:
    draw = np.random.default_rng(1)
    evidence, first = np.log(draw.random((7, 3)) + 0.05), np.array([0.6, 0.4, 0.0])
    moves = np.array([[0.7, 0.3, 0.0], [0.2, 0.2, 0.6], [0.3, 0.3, 0.4]])
    together, moved, _ = models.forward_backward(evidence, np.array([0, 2, 2, 7]), first, moves)
    one, some, _ = models.forward_backward(evidence[:2], np.array([0, 2]), first, moves)
    other, more, _ = models.forward_backward(evidence[2:], np.array([0, 5]), first, moves)
    assert np.allclose(together, np.concatenate([one, other])) and np.allclose(moved, some + more)


def test_the_chain_learns_whose_labels_are_confused() -> None:
    """A labeller that says LOC of people beside two that do not: what it says alone is read as PER."""
    texts = [f"{name} went" for name in ["Ann", "Bob", "Cyd", "Dan", "Eve", "Fay"] * 10]
    rows, who = [], []
    for row in range(60):
        rows.append((row, 0, 3, "LOC"))
        who.append(0)
        if row < 50:
            rows += [(row, 0, 3, "PER")] * 2
            who += [1, 2]
    problem = _problem(texts, _mentions(rows, 60, labeller=who))
    found = models.hmm(problem)(problem)
    assert found.spans(0) == {(0, 3, 0)}
    assert found.spans(59) == {(0, 3, 0)}
    assert models.majority(problem)(problem).spans(59) == {(0, 3, 1)}


def test_the_hmm_does_not_fill_the_text_with_names() -> None:
    texts = [f"Ann saw {at} red cars in the long street today" for at in range(40)]
    mentions = _mentions([(row, 0, 3, "PER") for row in range(0, 40, 2)], 40)
    problem = _problem(texts, mentions)
    found = models.hmm(problem)(problem)
    assert found.chosen.sum() == 20


def test_worth_is_half_of_the_f1_that_can_be_had() -> None:
    belief = np.array([0.9] * 10 + [0.3] * 10)
    best = max(2 * belief[:count].sum() / (count + belief.sum()) for count in range(1, 21))
    assert models.worth_of(belief, 1.0) == pytest.approx(best / 2)


def test_what_collapses_is_refused(context: Context) -> None:
    from burnish.construct.spans.evidence import collapsed

    rows = [(row, 0, 3, "PER") for row in range(30)] + [(row, 7, 11, "LOC") for row in range(30)]
    problem = _problem(["Ann in Rome"] * 30, _mentions(rows, 30))
    assert collapsed(np.array([30, 30]), problem) == ""
    assert "gives up 1 of 2 labels" in collapsed(np.array([30, 0]), problem)
    assert "says 4 spans where votes name 60" in collapsed(np.array([2, 2]), problem)
