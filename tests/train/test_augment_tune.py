"""`augment` in train.tune: judged on the validation side, kept where it helps, told on the card and on the page."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tiny_bert

import burnish
from burnish.core.artifacts import Records, Split
from burnish.core.progress import Silent
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec, find
from burnish.report import write
from burnish.testing import sample_context
from burnish.train.augment.base import augmentations
from burnish.train.tune import tune
from burnish.train.worth import REPEATS, named, seconds

TASK = TaskSpec("classification", ("negative", "positive"), {}, ("en", "zh"))
QUICK = {"epochs": 4, "learning_rate": 3e-3, "batch_tokens": 512, "precision": "fp32", "patience": 0}
OTHERS = ["the", "film", "room", "was", "and", "staff", "very", "a", "day", "这", "本", "书"]
# taught with one pair of words, judged on another: only records with the other pair can help
TAUGHT, JUDGED = ("lovely", "awful"), ("bright", "dull")


def said(draw: random.Random, at: int, words: tuple[str, str], name: str) -> Record:
    made = draw.choices(OTHERS, k=draw.randint(4, 9))
    made.insert(draw.randrange(len(made) + 1), words[at % 2])
    made.append(f"n{draw.randrange(10**6)}")
    return Record(text=" ".join(made), id=f"{name}{at}", label=("positive", "negative")[at % 2])


def split_of(train: int = 60, validation: int = 60, words=JUDGED) -> Split:
    draw = random.Random(0)
    sides = [
        to_table(said(draw, at, of, name) for at in range(count))
        for count, of, name in ((train, TAUGHT, "t"), (validation, words, "v"), (20, words, "e"))
    ]
    return Split(*map(Records.from_table, sides))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def context(tmp_path):
    (tmp_path / "helps.tsv").write_text("lovely\tbright\nawful\tdull\n", "utf-8")
    (tmp_path / "harms.tsv").write_text("lovely\tdull\nawful\tbright\n", "utf-8")
    return sample_context(tmp_path, TASK)


def pairs(name: str, **more) -> dict:
    return {"use": "counterfactual", "pairs": f"{name}.tsv", **more}


@pytest.mark.parametrize("trial", ["probe", "tune"])
def test_what_helps_is_kept_and_what_harms_is_not(trial: str, backbone, context) -> None:
    parts = [pairs("helps", trial=trial), pairs("harms", trial=trial)]
    model = tune(split_of(), None, context, backbone=str(backbone), augment=parts, **QUICK)
    helps, harms = model.info["history"]["augment"]
    assert (helps["name"], harms["name"]) == ("counterfactual", "counterfactual#2")
    assert helps["trial"] == trial and helps["figure"] == "accuracy"
    assert (
        helps["kept"]
        and helps["difference"]["low"] > 0
        and min(helps["repeats"]) > 0
        and len(helps["repeats"]) == REPEATS
    )
    assert not harms["kept"] and harms["difference"]["value"] < helps["difference"]["value"]
    assert (helps["made"], helps["parents"], helps["judges"]) == (60, 60, 60)
    assert (harms["made"], harms["tried"], harms["parents"]) == (0, 60, 60)
    assert (
        helps["seconds"] > 0
        and len(helps["examples"]) == 3
        and "bright" in helps["examples"][0][1] + helps["examples"][1][1]
    )
    assert model.info["data"] == {"train": 60, "augmented": 60, "validation": 60, "gold": 0}
    assert model.info["history"]["tune"]["examples"] == 120 * QUICK["epochs"]
    json.dumps(model.info)


def test_what_makes_no_difference_is_not_kept(backbone, context) -> None:
    model = tune(
        split_of(words=TAUGHT), None, context, backbone=str(backbone), augment={"use": "eda", "rate": 0.3}, **QUICK
    )
    (told,) = model.info["history"]["augment"]
    assert not told["kept"] and told["difference"]["low"] <= 0
    assert model.info["data"]["augmented"] == 0 and model.info["history"]["tune"]["examples"] == 60 * QUICK["epochs"]


def test_further_steps_alone_are_worth_nothing(backbone, context) -> None:
    """Two epochs are too few: any copies would teach more. They are compared with copies that were not changed."""
    draw = random.Random(3)
    rows = [
        Record(
            text=" ".join(draw.choices(OTHERS, k=8)) + f" n{draw.randrange(10**6)} {TAUGHT[at % 2]}",
            id=f"r{at}",
            label=("positive", "negative")[at % 2],
        )
        for at in range(100)
    ]
    (context.base / "same.tsv").write_text("staff\troom\nroom\tstaff\n", "utf-8")
    split = Split(*(Records.from_rows(rows[a:b]) for a, b in ((0, 50), (50, 95), (95, 100))))
    parts = {"use": "counterfactual", "pairs": "same.tsv", "trial": "tune"}
    model = tune(
        split, None, context, backbone=str(backbone), augment=parts, **QUICK | {"epochs": 2, "learning_rate": 1e-3}
    )
    (told,) = model.info["history"]["augment"]
    assert not told["kept"] and abs(told["difference"]["value"]) < 0.1


def test_always_asks_nobody_and_a_small_validation_side_cannot_judge(backbone, context) -> None:
    parts = [{"use": "aeda", "keep": "always", "copies": 2, "share": 0.5}, "eda"]
    model = tune(split_of(validation=20), None, context, backbone=str(backbone), augment=parts, **QUICK)
    always, auto = model.info["history"]["augment"]
    assert always["kept"] and "difference" not in always
    assert not auto["kept"] and "20 validation records cannot judge" in auto["why"]
    assert model.info["data"]["augmented"] == always["made"] > 0
    assert not (context.scratch / "augment").exists()


def test_the_sides_that_judge_are_the_same_with_and_without(backbone, context, tmp_path) -> None:
    split = split_of()
    before = [getattr(split, side).table() for side in ("train", "validation", "test")]
    seen: list[pa.Table] = []

    class Watched(Records):
        def table(self, columns=None):
            seen.append(super().table(columns))
            return seen[-1]

    split.validation = Watched(split.validation._walk, 60)
    plain = tune(split, None, context, backbone=str(backbone), **QUICK)
    more = tune(
        split,
        None,
        sample_context(tmp_path / "b", TASK),
        backbone=str(backbone),
        augment={"use": "aeda", "keep": "always"},
        **QUICK,
    )
    assert plain.info["data"]["validation"] == more.info["data"]["validation"] == 60
    assert all(one.equals(before[1]) for one in seen)
    assert [getattr(split, side).table() for side in ("train", "validation", "test")] == before


def test_a_killed_trial_goes_on_behind_what_is_done(backbone, context, monkeypatch) -> None:
    from burnish.train import worth

    split, parts, done = split_of(), pairs("helps", trial="tune"), []
    whole = worth._remembered

    def dies(*args):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(whole(*args))
        return done[-1]

    monkeypatch.setattr(worth, "_remembered", dies)
    with pytest.raises(KeyboardInterrupt):
        tune(split, None, context, backbone=str(backbone), augment=parts, **QUICK)
    monkeypatch.undo()
    assert len(list((context.scratch / "augment").glob("*.npy"))) == 3
    again = tune(split, None, context, backbone=str(backbone), augment=parts, **QUICK)
    shutil.rmtree(context.scratch)
    context.scratch.mkdir()
    fresh = tune(split, None, context, backbone=str(backbone), augment=parts, **QUICK)
    ours, theirs = (one.info["history"]["augment"][0] for one in (again, fresh))
    assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
    assert again.info["history"]["tune"]["losses"] == fresh.info["history"]["tune"]["losses"]


def test_tagging_is_judged_by_tuning(backbone, tmp_path) -> None:
    draw = random.Random(1)
    names = ["film", "room", "staff", "书"]

    def one(at: int, name: str) -> Record:
        words = draw.choices(["the", "was", "and", "very"], k=draw.randint(4, 9))
        words.insert(draw.randrange(len(words)), names[at % 4])
        text = " ".join([*words, f"n{draw.randrange(10**6)}"])
        start = text.index(names[at % 4])
        return Record(
            text=text, id=f"{name}{at}", spans=[{"start": start, "end": start + len(names[at % 4]), "label": "X"}]
        )

    spec = TaskSpec("tagging", ("X",), {}, ("en", "zh"))
    split = Split(
        *(Records.from_rows([one(at, name) for at in range(count)]) for count, name in ((40, "t"), (32, "v"), (4, "e")))
    )
    model = tune(
        split,
        None,
        sample_context(tmp_path, spec),
        backbone=str(backbone),
        augment=["entities"],
        **QUICK | {"epochs": 2},
    )
    (told,) = model.info["history"]["augment"]
    assert told["trial"] == "tune" and told["figure"] == "entity_f1" and np.isfinite(told["difference"]["value"])


def test_a_second_one_of_a_kind_has_a_name_of_its_own() -> None:
    assert list(named(augmentations.open(["eda", "aeda", "eda"]))) == ["eda", "aeda", "eda#2"]


def test_the_plan_says_what_it_costs() -> None:
    stage = find("train", "tune")
    plain = stage.filled({})
    cost = [
        stage.cost(1000, 20_000, {**plain, "augment": one}) for one in ((), [{"use": "eda", "keep": "always"}], ["eda"])
    ]
    assert cost[0] < cost[1] < cost[2]
    parts = augmentations.open(["eda", "aeda"])
    assert seconds(parts, 500, 10.0) == pytest.approx(20.0 + REPEATS * (10.0 + 2 * 20.0))


def test_files_and_models_go_into_the_key_by_content(context) -> None:
    setting = find("train", "tune").settings["augment"]
    task = TaskSpec(**{**vars(TASK), "base": context.base})
    value, wrong = setting.check(pairs("helps"))
    assert not wrong
    before = setting.identity(value, task)
    (context.base / "helps.tsv").write_text("lovely\twarm\n", "utf-8")
    assert setting.identity(value, task) != before
    assert setting.identity("eda", task) is None, "nothing outside the spec"


SPEC = """\
burnish: 1
name: reviews
task: {{type: classification, labels: [negative, positive], languages: [en, zh]}}
sources: [{{use: jsonl, path: raw.jsonl}}]
split: {{use: stratified, test: 0.1, validation: 0.3, templates: false}}
train:
  - use: tune
    backbone: {backbone}
    epochs: 2
    precision: fp32
    augment:
      - {{use: counterfactual, pairs: helps.tsv, copies: 1}}
      - {{use: aeda, keep: always, share: 0.5}}
"""


def test_a_spec_reaches_it_and_the_page_shows_the_worth(backbone, context) -> None:
    draw = random.Random(0)
    rows = [said(draw, at, TAUGHT, "r") for at in range(120)]
    lines = [json.dumps({"text": one.text, "label": one.label}, ensure_ascii=False) for one in rows]
    (context.base / "raw.jsonl").write_text("\n".join(lines), "utf-8")
    (context.base / "burnish.yaml").write_text(SPEC.format(backbone=backbone), "utf-8")
    folder = burnish.run(burnish.load_spec(context.base / "burnish.yaml"), progress=Silent())
    card = json.loads((folder / "model" / "burnish.json").read_text("utf-8"))
    names = [one["name"] for one in card["history"]["augment"]]
    assert (
        names == ["counterfactual", "aeda"] and card["data"]["augmented"] >= card["history"]["augment"][1]["made"] > 0
    )
    write(folder)
    page = (folder / "report.html").read_text("utf-8")
    assert ">Augmentation<" in page
    assert "records made" in page and "keep: always; not judged" in page
