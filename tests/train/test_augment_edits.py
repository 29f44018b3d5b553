"""Edits: whatever is changed, places are found again to the character, in both languages and among emoji."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some

from burnish.core.progress import Silent
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.core.tasktypes import open_task
from burnish.text.edits import Edit, applied, clusters, moved, sound
from burnish.train.augment.base import augmentations
from burnish.train.making import made

SIGNS = [
    "a",
    "Bob",
    " ",
    "good",
    "很好",
    "他",
    "她的",
    "酒店",
    "。",
    ", ",
    "🙂",
    "👨‍👩‍👧",
    "e\u0301",
    "🇨🇳",
    "👍🏽",
    "\n",
    "其他",
    "7",
]
TEXTS = some.lists(some.sampled_from(SIGNS), min_size=1, max_size=25).map("".join).filter(str.strip)


@some.composite
def text_and_places(draw, count: int = 4):
    text = draw(TEXTS)
    place = some.tuples(some.integers(0, len(text) - 1), some.integers(1, 6)).map(
        lambda one: (one[0], min(len(text), sum(one)))
    )
    return text, draw(some.lists(place, max_size=count)), draw(some.lists(place, max_size=count))


@settings(deadline=None, max_examples=150)
@given(
    text_and_places(),
    some.lists(some.sampled_from(["", "x", "更长的", "🙂🙂"]), min_size=4, max_size=4),
    some.booleans(),
)
def test_a_span_holds_what_the_edits_inside_it_make_of_it(given_one, new, insertions) -> None:
    text, spans, places = given_one
    wanted = [
        Edit(start, start if insertions and at % 2 else end, said)
        for at, ((start, end), said) in enumerate(zip(places, new, strict=False))
    ]
    edits = sound(wanted, spans=spans)
    after = applied(text, edits)
    for start, end in spans:
        inner = [
            Edit(a - start, b - start, said)
            for a, b, said in edits
            if start <= a and b <= end and not (a == b and a in (start, end))
        ]
        new_start, new_end = moved(start, end, edits)
        assert after[new_start:new_end] == applied(text[start:end], inner)


@settings(deadline=None, max_examples=150)
@given(text_and_places(), some.lists(some.sampled_from(["", "x", "更长的"]), min_size=4, max_size=4))
def test_what_is_kept_stays_as_it_is(given_one, new) -> None:
    text, kept, places = given_one
    edits = sound([Edit(*place, said) for place, said in zip(places, new, strict=False)], kept=kept)
    after = applied(text, edits)
    assert all(after[slice(*moved(*one, edits))] == text[slice(*one)] for one in kept)


def test_of_edits_that_overlap_the_first_is_made() -> None:
    edits = sound([Edit(2, 4, "x"), Edit(0, 3, "y"), Edit(3, 3, "z"), Edit(3, 3, "w")])
    assert edits == [Edit(0, 3, "y"), Edit(3, 3, "z")]
    assert applied("abcd", edits) == "yzd"


def test_an_insertion_at_a_border_stays_outside() -> None:
    edits = sound([Edit(2, 2, "<"), Edit(4, 4, ">")], kept=[(2, 4)])
    assert applied("abXYcd", edits) == "ab<XY>cd" and moved(2, 4, edits) == (3, 5)


def test_clusters_are_what_a_reader_takes_for_one_sign() -> None:
    signs = ["a", "e\u0301", "👨‍👩‍👧", "🇨🇳", "🇩🇪", "👍🏽", "好", "❤️", "\n"]
    text = "".join(signs)
    assert [text[slice(*one)] for one in clusters(text)] == signs


PARTS = {
    "eda": {"use": "eda", "rate": 0.4},
    "aeda": "aeda",
    "characters": {"use": "characters", "rate": 0.5},
    "characters inside": {"use": "characters", "rate": 0.5, "inside_spans": True},
    "homophones": {"use": "homophones", "rate": 0.6, "shapes": 0.3},
    "counterfactual": {"use": "counterfactual", "about": "all"},
    "entities": {"use": "entities", "rate": 1.0},
}
TAGGING = open_task(TaskSpec("tagging", ("X", "Y"), {}, ("en", "zh")))
QUESTIONS = open_task(TaskSpec("question_answering", (), {}, ("en", "zh")))


def copies(part, table, task, **more):
    (one,) = augmentations.open(part)
    return made(one, "it", table, task, judging=(), base=None, seed=3, progress=Silent(), **more).table.to_pylist()


def signs(text: str) -> list[str]:
    return sorted(
        text[slice(*one)] for one in clusters(text) if not text[slice(*one)].isalpha() and text[slice(*one)].strip()
    )


@settings(deadline=None, max_examples=150)
@given(text_and_places(), some.sampled_from(sorted(PARTS)))
def test_spans_are_found_again_whatever_is_done(given_one, name) -> None:
    text, places, _ = given_one
    spans = [
        {"start": start, "end": end, "label": "XY"[at % 2]}
        for at, (start, end) in enumerate(places)
        if text[start:end].strip()
    ]
    other = "Bob 和 🙂 Ann 在 Rome"
    names = [
        {"start": 0, "end": 3, "label": "X"},
        {"start": 8, "end": 11, "label": "X"},
        {"start": 14, "end": 18, "label": "Y"},
    ]
    table = to_table([Record(text=text, id="a", spans=spans), Record(text=other, id="b", spans=names)])
    part = PARTS[name]
    before = {"a": (text, spans), "b": (other, names)}
    for row in copies(part, table, TAGGING):
        was, wanted = before[row["id"].split("+")[0]]
        assert [one["label"] for one in row["spans"]] == [one["label"] for one in wanted]
        assert TAGGING.problem(Record.from_row(row)) is None
        if name in ("eda", "aeda", "counterfactual", "characters", "homophones"):
            for one, old in zip(row["spans"], wanted, strict=True):
                assert row["text"][one["start"] : one["end"]] == was[old["start"] : old["end"]]
        if name.startswith(("characters", "homophones")):
            assert signs(row["text"]) == signs(was), "an emoji or a figure was changed"


@settings(deadline=None, max_examples=150)
@given(TEXTS, TEXTS, TEXTS, some.sampled_from(["eda", "aeda", "characters", "homophones", "counterfactual"]))
def test_an_answer_is_kept_whole_where_it_stands(before, answer, after, name) -> None:
    context = before + answer + after
    row = Record(
        text="Who 是谁 good?",
        text_b=context,
        id="q",
        answer={"text": answer, "start": len(before)},
        meta={"answers": ["x"]},
    )
    for one in copies(PARTS[name], to_table([row]), QUESTIONS):
        found = one["answer"]
        assert found["text"] == answer.strip()
        assert one["text_b"][found["start"] : found["start"] + len(found["text"])] == found["text"]


def test_entities_take_each_others_place_and_nothing_else_changes() -> None:
    table = to_table(
        [
            Record(text="🙂 Ann lives in New York.", id="a", spans=[{"start": 2, "end": 5, "label": "X"}, {"start": 15, "end": 23, "label": "Y"}]),
            Record(text="张伟在北京工作", id="b", spans=[{"start": 0, "end": 2, "label": "X"}, {"start": 3, "end": 5, "label": "Y"}]),
            Record(text="欧阳娜娜去了乌鲁木齐", id="c", spans=[{"start": 0, "end": 4, "label": "X"}, {"start": 6, "end": 10, "label": "Y"}]),
            Record(text="Bob saw Rome", id="d", spans=[{"start": 0, "end": 3, "label": "X"}, {"start": 8, "end": 12, "label": "Y"}]),
        ]
    )  # fmt: skip
    found = {row["id"][0]: row for row in copies({"use": "entities", "rate": 1.0, "copies": 8}, table, TAGGING)}
    assert found["a"]["text"] in ("🙂 Bob lives in Rome.", "🙂 Bob lives in New York.", "🙂 Ann lives in Rome.")
    chinese = found["b"]
    said = [chinese["text"][one["start"] : one["end"]] for one in chinese["spans"]]
    assert said[0] in ("张伟", "欧阳娜娜") and said[1] in ("北京", "乌鲁木齐")
    assert chinese["text"] == f"{said[0]}在{said[1]}工作" and chinese["text"] != "张伟在北京工作"


def test_relations_keep_their_spans() -> None:
    task = open_task(TaskSpec("relation_extraction", ("met",), {}, ("en",)))
    spans = [{"start": 0, "end": 3, "label": "P"}, {"start": 8, "end": 12, "label": "P"}]
    rows = [
        Record(
            text="Ada met Finn by the old sea", id="a", spans=spans, relations=[{"head": 0, "tail": 1, "label": "met"}]
        ),
        Record(text="Lee met Mary", id="b", spans=spans, relations=[{"head": 1, "tail": 0, "label": "met"}]),
    ]
    for part in ({"use": "entities", "rate": 1.0, "copies": 3}, {"use": "eda", "rate": 0.5, "copies": 3}):
        found = copies(part, to_table(rows), task)
        assert found
        for row in found:
            assert row["relations"] == (rows[0] if row["id"][0] == "a" else rows[1]).relations
            names = {row["text"][one["start"] : one["end"]] for one in row["spans"]}
            assert names <= {"Ada", "Finn", "Lee", "Mary"}
