"""Behaviour logs become lists: who wanted what, what was passed over, how far down a page people look."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.construct.rankings.behaviour import behaviour
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError, DataError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec, find
from burnish.measures.click_models import em, harvest, regression_em, relevance
from burnish.split.leave_one_out import leave_one_out


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec("ranking", languages=("en", "zh"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


def saved(records: Records, folder: Path) -> tuple[list[Record], dict[str, Any]]:
    folder.mkdir()
    records.save(folder)
    found = Records.open(folder)
    return [one for one in found if one.label_from], found.facts


def lists(found: list[Record]) -> dict[str | None, dict[str | None, float | None]]:
    made: dict[str | None, dict[str | None, float | None]] = {}
    for one in found:
        made.setdefault(one.group, {})[one.text_b] = one.value
    return made


# -- the position-based model


def simulated(theta: np.ndarray, *, pairs: int = 60, pages: int = 20_000, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    draw = np.random.default_rng(seed)
    gamma = draw.uniform(0.1, 0.9, pairs)
    pair = draw.integers(0, pairs, pages)
    position = np.minimum(draw.geometric(0.3 + 0.4 * gamma[pair]) - 1, len(theta) - 1)  # better ones stand higher
    clicked = draw.random(pages) < theta[position] * gamma[pair]
    return position, clicked, pair, gamma


@pytest.mark.parametrize("way", [em, harvest])
def test_propensities_are_found_again(way: Any) -> None:
    theta = np.array([1.0, 0.7, 0.5, 0.3, 0.2])
    position, clicked, pair, gamma = simulated(theta)
    found = way(position, clicked, pair)
    assert np.abs(found.propensity - theta).max() < 0.1
    value = relevance(position, clicked.astype(float), pair, found.propensity)
    rate = np.bincount(pair, weights=clicked) / np.bincount(pair)
    assert np.abs(value - gamma).mean() < 0.06 < np.abs(rate - gamma).mean()


def test_regression_learns_of_pairs_that_are_seen_once() -> None:
    theta = np.array([1.0, 0.5, 0.25])
    draw = np.random.default_rng(1)
    kind = draw.integers(0, 2, 6000)  # of each pair: good or bad, and its features say which
    position, pair = draw.integers(0, 3, 6000), np.arange(6000)
    clicked = draw.random(6000) < theta[position] * np.where(kind == 1, 0.8, 0.1)
    features = np.stack([kind, 1 - kind], axis=1).astype(float)
    found = regression_em(position, clicked, pair, features)
    assert np.abs(found.propensity - theta).max() < 0.12
    assert harvest(position, clicked, pair) is None


def test_relevance_is_clicks_over_looks_and_far_places_are_clipped() -> None:
    position, pair = np.array([0, 1, 1]), np.array([0, 1, 1])
    gain, theta = np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.01])
    looks = np.array([1.0, 0.1])
    mean = 2 / looks.sum()
    assert relevance(position, gain, pair, theta, least=0.05) == pytest.approx((1 + mean) / (looks + 1))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
def test_any_log_gives_probabilities(events: list[tuple[int, bool, int]]) -> None:
    position, clicked, pair = (np.array(one) for one in zip(*events, strict=True))
    found = em(position, clicked, pair, rounds=20)
    for values in (found.propensity, found.relevance):
        assert ((values >= 0) & (values <= 1)).all()


# -- pages


def page(query: str, user: str, *shown: tuple[str, str], list_: str = "1", **more: Any) -> list[Record]:
    return [
        Record(query, text_b=item, group=list_, meta={"user": user, "position": at, "action": action, **more})
        for at, (item, action) in enumerate(shown, start=1)
    ]


def test_what_stood_above_the_click_was_passed_over(context: Context, tmp_path: Path) -> None:
    rows = page("running shoes", "u1", ("red boots", "impression"), ("trail shoes", "click"), ("socks", "impression"))
    rows += page("牛奶", "u2", ("酸奶", "impression"), ("豆浆", "impression"), list_="2")
    rows += page("牛奶", "u3", ("酸奶", "purchase"), ("豆浆", "impression"), list_="3")
    for at, row in enumerate(rows):
        row.id = str(at)
    found, facts = saved(behaviour(Records.from_rows(rows), context), tmp_path / "out")
    assert lists(found) == {"1": {"red boots": 0.0, "trail shoes": 1.0}}
    assert facts["makers"][0]["refused"] == {"nothing was clicked": 1, "a list without an order": 1}
    one = next(record for record in found if record.value)
    assert one.text == "running shoes" and one.meta["user"] == "u1" and one.meta["made_from"] == ["0", "1", "2"]
    every, _ = saved(behaviour(Records.from_rows(rows), context, negatives="shown"), tmp_path / "shown")
    assert lists(every)["1"]["socks"] == 0.0 and lists(every)["3"] == {"酸奶": 1.0, "豆浆": 0.0}


def test_grades_dwell_and_random_negatives(tmp_path: Path) -> None:
    task = TaskSpec("ranking", options={"highest": 3})
    context = Context(task, 0, tmp_path, tmp_path, tmp_path, Silent())
    rows = page("tea", "u", ("mug", "impression"), ("pot", "purchase"), ("cup", "click"), ("jar", "click"), list_="1")
    rows[2].meta["dwell"], rows[3].meta["dwell"] = 2, 60
    rows += page("hat", "u", ("cap", "click"), list_="2")
    found, facts = saved(behaviour(Records.from_rows(rows), context, min_dwell=10, num_random=2), tmp_path / "out")
    made = lists(found)
    assert {item: made["1"][item] for item in ("mug", "pot", "cup", "jar")} == {
        "mug": 0.0,
        "pot": 3.0,
        "cup": 0.0,
        "jar": 1.0,
    }
    assert (
        len(made["2"]) == 3
        and made["2"]["cap"] == 1.0
        and facts["makers"][0]["refused"]["left at once: counts as shown alone"] == 1
    )
    again, _ = saved(behaviour(Records.from_rows(rows), context, min_dwell=10, num_random=2), tmp_path / "again")
    assert lists(again) == made


def test_mined_negatives_leave_alone_what_may_be_wanted(context: Context, tmp_path: Path) -> None:
    rows = page("reset my password", "u", ("how to reset a forgotten password", "click"), list_="1")
    rows += page(
        "other",
        "u",
        ("Reset my password", "click"),
        ("reset a router", "impression"),
        ("billing", "impression"),
        list_="2",
    )
    found, facts = saved(behaviour(Records.from_rows(rows), context, num_mined=2, negatives="none"), tmp_path / "out")
    assert lists(found)["1"] == {"how to reset a forgotten password": 1.0, "reset a router": 0.0}
    assert facts["made"]["construct.behaviour"]["mined_left_alone"] >= 1  # "Reset my password" answers it better


def test_position_bias_lifts_what_was_shown_far_down(context: Context, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    theta, gamma = np.array([1.0, 0.4, 0.15]), {"good": 0.8, "fair": 0.5, "bad": 0.1}
    rows = []
    for at in range(600):
        order = ["bad", "fair", "good"] if draw.random() < 0.85 else list(draw.permutation(["good", "fair", "bad"]))
        shown = [
            (item, "click" if draw.random() < theta[k] * gamma[item] else "impression") for k, item in enumerate(order)
        ]
        rows += page("q", "u", *shown, list_=str(at))
    found, facts = saved(behaviour(Records.from_rows(rows), context, position_bias="auto"), tmp_path / "out")
    told = facts["made"]["construct.behaviour"]["position_bias"]
    assert told["method"] == "harvest" and np.abs(np.array(told["propensity"]) - theta).max() < 0.15
    values = {one.text_b: one.value or 0 for one in found}
    assert values["good"] > values["fair"] > values["bad"]
    clicks = {item: sum(r.text_b == item and r.meta["action"] == "click" for r in rows) for item in gamma}
    assert clicks["fair"] > clicks["good"]  # which counting does not see
    assert all(0 < (one.confidence or 0) <= 1 for one in found) and len({one.group for one in found}) == 1


# -- histories, a log beside the items, leave-one-out


def log_of(folder: Path) -> Path:
    rows = [("u1", item, at) for at, item in enumerate("abcde")] + [
        ("u2", item, 10 - at) for at, item in enumerate("edcb")
    ]
    rows += [("u3", "a", 1), ("u3", "b", 2), ("u4", "zz", 1)]
    path = folder / "log.tsv"
    path.write_text("".join(f"{user}\t{item}\t5\t{1_600_000_000 + at}\n" for user, item, at in rows), "utf-8")
    return path


ITEMS = [Record(f"film {item}", id=item) for item in "abcdefgh"]


def test_histories_ask_what_comes_next(context: Context, tmp_path: Path) -> None:
    made = behaviour(
        Records.from_rows(ITEMS), context, log=log_of(tmp_path), columns=["user", "item", "stars", "time"], query="history",
        history=2, num_random=1, judged=2,
    )  # fmt: skip
    found, facts = saved(made, tmp_path / "out")
    by = lists(found)
    assert set(by) == {"u1@1", "u1@2", "u1@3", "u1@4", "u2@1", "u2@2", "u2@3", "u3@1"}
    assert {one.text for one in found if one.group == "u1@3"} == {"film c; film b"}
    assert next(item for item, value in by["u2@1"].items() if value) == "film c"  # time says the order, not the file
    assert len(by["u1@1"]) == 2 and len(by["u1@4"]) == 3
    assert not {item for item, value in by["u1@4"].items() if not value} & {f"film {one}" for one in "abcde"}
    assert facts["makers"][0]["refused"] == {"an item without a text": 1, "the first of a user: nothing before it": 3}
    records = Records.open(tmp_path / "out")
    split = leave_one_out(records, context)
    sides = {
        name: {one.group for one in side}
        for name, side in zip(("train", "validation", "test"), (split.train, split.validation, split.test), strict=True)
    }
    assert sides == {
        "train": {"u1@1", "u1@2", "u2@1", "u3@1"},
        "validation": {"u1@3", "u2@2"},
        "test": {"u1@4", "u2@3"},
    }
    assert split.facts["users_that_judge"] == 2 and split.facts["lists"]["test"] == 2
    newest, _ = saved(
        behaviour(Records.from_rows(ITEMS), context, log=log_of(tmp_path), columns=["user", "item", "stars", "time"],
                  query="history", num_random=1, per_user=1),
        tmp_path / "newest",
    )  # fmt: skip
    assert set(lists(newest)) == {"u1@4", "u2@3", "u3@1"}


def test_a_log_as_json_with_names_of_its_own(context: Context, tmp_path: Path) -> None:
    rows = [{"sku": "a", "q": "film", "place": 1, "did": "skip"}, {"sku": "b", "q": "film", "place": 2, "did": "saved"}]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    fields = {"item": "sku", "query": "q", "position": "place", "action": "did"}
    with pytest.raises(DataError, match="nobody knows the action 'saved'"):
        behaviour(Records.from_rows(ITEMS), context, log=path, fields=fields)
    found, _ = saved(
        behaviour(Records.from_rows(ITEMS), context, log=path, fields=fields, actions={"saved": 1}), tmp_path / "out"
    )
    assert list(lists(found).values()) == [{"film a": 0.0, "film b": 1.0}]
    with pytest.raises(DataError, match="no column 'sk'"):
        behaviour(Records.from_rows(ITEMS), context, log=path, fields={"item": "sk"})
    with pytest.raises(BurnishError, match="no event is about an item with a text"):
        behaviour(Records.from_rows([Record("x", id="other")]), context, log=path, fields=fields, actions={"saved": 1})


def test_what_cannot_be_is_said_before_the_run() -> None:
    stage = find("construct", "behaviour")
    assert stage.check is not None
    task = TaskSpec("ranking")
    assert stage.check(stage.filled({}), task) == []
    assert stage.check(stage.filled({}), TaskSpec("translation"))[0][0] == "use"
    assert stage.check(stage.filled({"fields": {"itm": "x"}}), task)[0][2] == "did you mean 'item'?"
    assert stage.check(stage.filled({"query": "history", "position_bias": "em"}), task)[0][0] == "position_bias"


def test_leave_one_out_wants_users(context: Context) -> None:
    day = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    rows = [Record("q", text_b="a", value=1.0, group="1", time=day)]
    with pytest.raises(BurnishError, match=r"no record has meta\.user"):
        leave_one_out(Records.from_rows(rows), context)
    with pytest.raises(BurnishError, match="no user has 3 lists"):
        leave_one_out(Records.from_rows([Record("q", text_b="a", value=1.0, meta={"user": "u"})]), context)
