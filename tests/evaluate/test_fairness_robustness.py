"""evaluate.fairness and evaluate.robustness: what they measure, what they cannot, and that a gate can refuse on it."""

import json

import numpy as np
import pytest

from burnish.core.artifacts import Records, Report, Split
from burnish.core.errors import BurnishError, GateError
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.core.tasktypes import open_task
from burnish.evaluate.fairness import fairness
from burnish.evaluate.gate import gate
from burnish.evaluate.robustness import robustness

GOOD = ("good", "lovely", "喜欢")


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A model that is sure of "good", is lost in capitals, and calls every text about a woman bad one time in two."""
    from types import SimpleNamespace

    from burnish.core.artifacts import Model

    task = open_task(TaskSpec("classification", ("bad", "good")))

    def chance(text):
        words = text.split()
        good = any(one in text for one in GOOD) and "not good" not in text
        if good and ("she" in words or "她" in text) and len(text) % 2:
            good = False
        return [0.1, 0.9] if good else [0.9, 0.1]

    def load(folder):
        return SimpleNamespace(
            labels=["bad", "good"],
            answers=lambda inputs, *, progress=None: task.answers(np.array([chance(one["text"]) for one in inputs])),
        )

    monkeypatch.setattr("burnish.tasks.predictor.load", load)
    info = {"format": "torch", "labels": ["bad", "good"]}
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "burnish.json").write_text(json.dumps(info))
    return [Model(tmp_path / "model", info)]


@pytest.fixture
def sides():
    draw = np.random.default_rng(0)

    def rows(count, name):
        made = []
        for at in range(count):
            who, good = ("she", "he")[at % 2], bool(draw.integers(2))
            what = "good" if good else "dull"
            made.append(Record(text=f"{who} said it is {what}{'!' * (at % 3)} {'x' * int(draw.integers(4))}", id=f"{name}{at}", label="good" if good else "bad", meta={"who": who}, group="rare" if at < 5 else "most"))  # fmt: skip
        return made

    return Split(*(Records.from_rows(rows(count, name)) for count, name in ((80, "t"), (20, "v"), (200, "e"))))


@pytest.fixture
def room(tmp_path, context):
    return Context(
        TaskSpec("classification", ("bad", "good"), {}, ("en", "zh")),
        3,
        tmp_path,
        tmp_path / "scratch",
        tmp_path / "cache",
        context.progress,
    )


def test_groups_are_compared_by_fairlearns_numbers_and_a_gate_refuses(reader, sides, room):
    metrics = pytest.importorskip("fairlearn.metrics")
    made = fairness(reader, sides, None, room, by="meta.who", draws=200)
    (by,) = made.numbers["by"]
    table = sides.test.table()
    wanted = np.array([one == "good" for one in table["label"].to_pylist()]).astype(int)
    answers = reader_says(table["text"].to_pylist())
    who = [json.loads(one)["who"] for one in table["meta"].to_pylist()]
    for name, one in by["labels"]["good"]["figures"].items():
        assert one["value"] == pytest.approx(getattr(metrics, name)(wanted, answers, sensitive_features=who)), name
    assert by["worst_group"]["name"] == "she" and by["gap"] > 0.1 and made.numbers["tone"] == "look"
    odds = by["labels"]["good"]["figures"]["equalized_odds_difference"]
    assert odds["value"] > odds["by_chance"]
    swaps = made.numbers["swaps"]
    assert (
        swaps["n"] == 200
        and 0.1 < swaps["flip_rate"] < 0.5
        and swaps["interval"][0] < swaps["flip_rate"] < swaps["interval"][1]
    )
    assert "<h1>Fairness" in made.page or "Fairness" in made.page
    assert gate([made], flip_rate=0.6, worst_group=0.5).numbers["headline"] == {"held": 2}
    with pytest.raises(GateError, match=r"equalized_odds_difference is .* it must be at most 0.100"):
        gate([made], equalized_odds_difference=0.1)


def reader_says(texts):
    return np.array([int("good" in text and not ("she" in text.split() and len(text) % 2)) for text in texts])


def test_people_that_texts_speak_of_and_groups_that_are_too_small(reader, sides, room):
    made = fairness(reader, sides, None, room, by=["mentions:gender", "group"], draws=50, swap="none")
    one, two = made.numbers["by"]
    assert one["worst_group"]["name"] == "women" and made.numbers["swaps"] is None
    assert two["skipped"].startswith("1 group") and two["left_out"] == ["rare"]
    with pytest.raises(BurnishError, match=r"no test record has meta\.whom") as caught:
        fairness(reader, sides, None, room, by="meta.whom")
    assert "meta.who" in caught.value.hint


def test_variants_stand_beside_the_clean_records_with_paired_intervals(reader, sides, room, tmp_path):
    tests = tmp_path / "tests.jsonl"
    lines = [
        {"text": "he said it is good", "label": "good", "capability": "praise"},
        {"text": "he said it is not good", "label": "good", "capability": "denial"},
    ]
    tests.write_text("\n".join(map(json.dumps, lines)))
    made = robustness(reader, sides, None, room, opposite={"good": "bad", "bad": "good"}, tests=tests, draws=200)
    rows = {one["name"]: one for one in made.numbers["variants"]}
    assert {"typos", "case", "end_mark", "width", "counterfactual"} <= rows.keys() and "homophones" in made.numbers[
        "skipped"
    ]
    case = rows["case"]
    assert (
        case["difference"]["accuracy"]["interval"][1] < 0
        and case["changed"]["accuracy"] < 0.7 < case["clean"]["accuracy"]
    )
    assert rows["end_mark"]["answers_that_stay"] > 0.5 and case["examples"][0]["after"].isupper()
    negation = made.numbers["negation"]
    assert negation["failed"] < 0.6 and negation["n"] > 50
    told = {one["capability"]: one["failed"] for one in made.numbers["tests"]}
    assert told == {"praise": 0.0, "denial": 1.0}
    assert made.numbers["gates"]["robustness_drop"]["value"] >= 0.2 and "Written otherwise" in made.page
    with pytest.raises(GateError, match="robustness_drop"):
        gate([made], robustness_drop=0.05)
    with pytest.raises(BurnishError, match="no evaluation measured flip_rate"):
        gate([Report({}), made], flip_rate=0.1)


def test_a_wrong_variant_or_label_is_named(reader, sides, room):
    with pytest.raises(BurnishError, match="no variant 'typo'"):
        robustness(reader, sides, None, room, variants=["typo"])
    with pytest.raises(BurnishError, match="no label 'god'"):
        robustness(reader, sides, None, room, opposite={"god": "bad"})


def test_they_can_be_found():
    from burnish.core.stage import find

    for name in ("fairness", "robustness"):
        assert find("evaluate", name).makes == "Report" and all(
            one.about for one in find("evaluate", name).settings.values()
        )
