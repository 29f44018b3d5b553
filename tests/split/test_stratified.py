"""Sides that share nothing: stated as invariants, checked by ways of their own."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.core.artifacts import SIDES, Gold, Records, Split
from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.measures.duplicates import leaks
from burnish.split.components import template
from burnish.split.stratified import stratified
from burnish.testing import check_stage
from burnish.text.normalise import normalise

WORDS = [
    "river",
    "stone",
    "cloud",
    "window",
    "paper",
    "silver",
    "morning",
    "garden",
    "bridge",
    "winter",
    "letter",
    "forest",
    "engine",
    "candle",
    "harbour",
]
HAN = "山水风云花鸟鱼虫春夏秋冬东西南北天地人和"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(TaskSpec(labels=("a", "b"), languages=("en", "zh")), 3, tmp_path, tmp_path, tmp_path, Silent())


def rows(count: int, *, seed: int = 0, labels: str = "ab", weights: list[float] | None = None) -> list[Record]:
    """Unrelated texts, every third in Chinese."""
    random = np.random.default_rng(seed)
    made = []
    for at in range(count):
        text = "".join(random.choice(list(HAN), 24)) if at % 3 == 0 else " ".join(random.choice(WORDS, 12))
        made.append(Record(text=text, id=f"{seed}-{at}", label=str(random.choice(list(labels), p=weights))))
    return made


def split(records: list[Record], context: Context, gold: Gold | None = None, **settings: object) -> Split:
    return stratified(Records.from_rows(records), gold, context, **settings)  # type: ignore[arg-type]


def where(made: Split) -> dict[str | None, str]:
    return {record.id: side for side in SIDES for record in getattr(made, side)}


def test_fits_the_house() -> None:
    gold = Gold.from_rows([Record(text="a text that nothing here resembles at all", id="g", label="positive")])
    assert check_stage("split.stratified", {"group": "none"}, {"Gold": gold}) == 7


def test_shares_hold_in_every_class(context: Context) -> None:
    made = split(rows(2000, labels="abc", weights=[0.7, 0.25, 0.05]), context, test=0.2, validation=0.1)
    for side, share in (("test", 0.2), ("validation", 0.1)):
        for label, count in made.facts["labels"][side].items():
            whole = sum(made.facts["labels"][one][label] for one in SIDES)
            assert abs(count - share * whole) <= 2, (side, label)
    assert made.facts["notes"] == [] and set(made.facts["leaks"].values()) == {0}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["good film", "Good  film", "bad film", "很好", "很 好", "", "order 12 is late by 3 days again", "order 7 is late by 9 days again"])
            | st.text(max_size=20),
            st.sampled_from(["a", "b", None]), st.sampled_from([None, None, "g1", "g2", "g3"]), st.booleans(),
        ),
        min_size=12, max_size=60,
    ),
    st.integers(0, 5),
)  # fmt: skip
def test_no_text_or_group_is_on_two_sides_and_nothing_is_lost(
    context: Context, made_of: list[tuple[str, str | None, str | None, bool]], seed: int
) -> None:
    records = [
        Record(text=text.encode("utf-8", "ignore").decode(), id=str(at), label=label, group=group, keep=keep)
        for at, (text, label, group, keep) in enumerate(made_of)
    ]
    part = [one for one in records if one.keep and one.label]
    try:
        made = split(records, replace(context, seed=seed))
    except BurnishError as error:
        assert re.search("too few|would be empty", str(error))
        return
    side = where(made)
    assert side.keys() == {one.id for one in part}
    assert sum(made.facts["left_out"].values()) == len(records) - len(part)
    for of in (
        lambda one: normalise(one.text or ""),
        lambda one: one.group,
        lambda one: template(normalise(one.text or "")) or None,
    ):
        sides: dict[str, set[str]] = {}
        for one in part:
            if of(one) is not None:
                sides.setdefault(of(one), set()).add(side[one.id])
        assert all(len(found) == 1 for found in sides.values())


def test_near_duplicates_stay_together_in_both_languages(context: Context) -> None:
    base = [replace(one, text=(one.text or "") * 2) for one in rows(300)]
    edited = [replace(one, id=f"{one.id}x", text=f"{one.text}!?") for one in base]
    made = split(base + edited, context, test=0.3, validation=0.2)
    side = where(made)
    assert all(side[one.id] == side[f"{one.id}x"] for one in base)
    texts = {name: [one.text or "" for one in getattr(made, name)] for name in SIDES}
    assert not len(leaks(texts["train"], texts["test"], threshold=0.8).pairs)
    assert made.facts["components"]["of_several"] >= 300


def test_the_template_is_what_stays_when_figures_and_names_go() -> None:
    one = template("your parcel 1234 arrives on 2024-05-06, see https://a.b/c")
    assert one == template("your parcel 9 arrives on 2025-01-01, see www.x.y") != ""
    assert template("订单“红楼梦”将于3天后送达，请注意查收") == template("订单“西游记”将于12天后送达，请注意查收") != ""
    assert template("no slot in this text at all") == "" and template("42") == template("a 42") == ""


def test_a_split_hardly_moves_when_data_is_added(context: Context) -> None:
    before = where(split(rows(1000), context))
    after = where(split(rows(1000) + rows(200, seed=9), context))
    moved = sum(before[name] != after[name] for name in before)
    assert moved < 0.05 * len(before)


def test_same_seed_same_split_whatever_the_order_and_another_seed_another(context: Context) -> None:
    records = rows(300)
    assert where(split(records, context)) == where(split(records[::-1], context))
    assert where(split(records, context)) != where(split(records, replace(context, seed=4)))


def test_newest_records_judge(context: Context) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    records = [replace(one, time=start + timedelta(days=at)) for at, one in enumerate(rows(200))]
    records.append(Record(text="nobody knows when this was", id="undated", label="a"))
    made = split(records, context, time=True)
    order = {name: [one.time for one in getattr(made, name) if one.time] for name in SIDES}
    assert max(order["train"]) < min(order["validation"]) and max(order["validation"]) < min(order["test"])
    assert where(made)["undated"] == "train" and 19 <= len(order["test"]) <= 21
    with pytest.raises(BurnishError, match="no record has one"):
        split(rows(50), context, time=True)


def test_groups_stay_together_by_their_own_field_or_one_of_meta(context: Context) -> None:
    records = [replace(one, group=f"user{at % 40}", meta={"shop": at % 25}) for at, one in enumerate(rows(400))]
    side = where(split(records, context))
    assert all(
        len({side[one.id] for one in records if one.group == name}) == 1 for name in {one.group for one in records}
    )
    alone = [replace(one, group=None) for one in records]
    side = where(split(alone, context, group="meta.shop"))
    assert all(len({side[one.id] for one in alone if one.meta["shop"] == shop}) == 1 for shop in range(25))
    with pytest.raises(BurnishError, match=r"no record has meta\.town(.|\n)*meta has: shop"):
        split(records, context, group="meta.town")
    with pytest.raises(BurnishError, match="no field 'user' to group by"):
        split(records, context, group="user")


def test_gold_never_teaches_unless_it_may(context: Context) -> None:
    records = rows(200)
    gold = Gold.from_rows(
        [replace(records[0], id="g0"), Record(text=(records[1].text or "") + " .", id="g1", label="a")]
    )
    gold.facts = {"train": False}
    made = split(records, context, gold)
    assert not {"0-0", "0-1"} & where(made).keys()
    assert made.facts["left_out"]["like gold"] == 2 and made.facts["leaks"]["gold"] == 0
    gold.facts = {"train": True}
    assert {"0-0", "0-1"} <= where(split(records, context, gold)).keys()


def test_unlabelled_and_set_aside_are_counted(context: Context) -> None:
    records = [replace(one, label=None if at < 10 else one.label, keep=at >= 5) for at, one in enumerate(rows(100))]
    made = split(records, context)
    assert made.facts["left_out"] == {"set aside": 5, "unlabelled": 5} and sum(made.facts["records"].values()) == 90


def test_twenty_records_and_a_class_of_one(context: Context) -> None:
    records = [*rows(19), Record(text="the only one of its kind in here", id="lonely", label="rare")]
    made = split(records, context)
    assert where(made)["lonely"] == "train" and all(made.facts["records"].values())
    assert "test has no record of rare: too few of them, or all belong together" in made.facts["notes"]


def test_too_little_says_what_to_do(context: Context) -> None:
    with pytest.raises(BurnishError, match=r"2 records are too few for 3 sides(.|\n)*hint: add labelled records"):
        split(rows(2), context)
    with pytest.raises(BurnishError, match=r"test would be empty: 60 records form 1 groups(.|\n)*largest of 60"):
        split([replace(one, group="all") for one in rows(60)], context)
    with pytest.raises(BurnishError, match="leave nothing to learn from"):
        split(rows(60), context, test=0.6, validation=0.5)


def test_no_validation_is_a_choice(context: Context) -> None:
    made = split(rows(100), context, validation=0.0)
    assert made.facts["records"]["validation"] == 0 and made.facts["records"]["test"] == 10


def test_sides_are_whole_records_and_can_be_saved(context: Context, tmp_path: Path) -> None:
    records = [replace(one, meta={"stars": 3}, trail=["x"]) for one in rows(60)]
    made = split(records, context)
    (tmp_path / "out").mkdir()
    counts = made.save(tmp_path / "out")
    again = Split.open(tmp_path / "out")
    assert Counter(counts) == Counter(made.facts["records"])
    assert {one.id for one in again.train} == {one.id for one in made.train}
    assert all(one.meta == {"stars": 3} and one.trail == ["x"] for one in again.test)
