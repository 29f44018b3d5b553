"""A search: the same trials whoever runs them, killed or not; weak ones stop; the winner is what tune makes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import searching

from burnish.core.errors import BurnishError, SpecError
from burnish.core.progress import Silent
from burnish.core.stage import TaskSpec
from burnish.nn import kernels
from burnish.train import search as search_module
from burnish.train import spaces, trials
from burnish.train.search import optimism
from burnish.train.tune import tune

ROOT = Path(__file__).parents[2]
TASK = TaskSpec("classification", ("bad", "good"))


@pytest.fixture(scope="module", autouse=True)
def own_home(tmp_path_factory):
    """The processor's figures are measured once for all processes of these tests, and not in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_HOME", str(tmp_path_factory.mktemp("home")))
        kernels._figures.cache_clear()
        yield
    kernels._figures.cache_clear()


@pytest.fixture(scope="module")
def serial(tiny, own_home, tmp_path_factory) -> Any:
    """One worker, nothing killed."""
    return searching.searched(tiny, tmp_path_factory.mktemp("serial"))


def story(told: dict[str, Any]) -> list[dict[str, Any]]:
    """What may not depend on speed."""
    return [
        {key: value for key, value in row.items() if key not in ("seconds", "cpu_seconds")} for row in told["trials"]
    ]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_the_defaults_come_first_and_the_best_on_validation_is_kept(serial) -> None:
    told = serial.info["search"]
    assert len(told["trials"]) == 6 and told["trials"][0]["origin"] == "defaults"
    assert "ELECTRA-small" in told["trials"][1]["origin"]
    ended = [row for row in told["trials"] if row["state"] == "complete"]
    best = max(ended, key=lambda row: (row["score"], -row["loss"], -row["number"]))
    assert told["best"] == best["number"] and best["score"] > told["trials"][0]["score"]
    assert best["score"] == max(best["looks"])
    assert max(told["importance"], key=told["importance"].get) == "learning_rate"
    assert told["optimism"] > 0 and "by luck" in told["why"]


def test_weak_trials_stop_early(serial) -> None:
    rows = serial.info["search"]["trials"]
    stopped = [row for row in rows if row["state"] == "pruned"]
    assert stopped and all(len(row["looks"]) in (1, 2) for row in stopped)
    assert all(len(row["looks"]) == 4 for row in rows if row["state"] == "complete")
    for row in stopped:  # behind half of what trials of earlier rounds had reached by then
        rung = len(row["looks"]) - 1
        before = sorted(
            [one["looks"][rung] for one in rows if one["round"] < row["round"] and len(one["looks"]) > rung]
        )
        assert row["looks"][rung] < before[-max(1, (len(before) + 1) // 2)], row


def test_the_winner_is_byte_by_byte_what_tune_makes(serial, tiny, tmp_path) -> None:
    told = serial.info["search"]
    values = told["trials"][told["best"]]["values"]
    model = tune(searching.sides(), None, searching.context(tmp_path), **searching.fixed(tiny), **values)
    assert weights(model.folder) == weights(serial.folder)
    assert {key: value for key, value in serial.info.items() if key not in ("search", "history")} == {
        key: value for key, value in model.info.items() if key != "history"
    }


def test_two_workers_and_a_kill_end_the_same(serial, tiny, tmp_path) -> None:
    paths = [str(ROOT / "src"), str(ROOT / "tests" / "nn"), str(ROOT / "tests" / "train")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, searching.__file__, str(tiny), str(tmp_path / "s"), json.dumps({"workers": 2})]
    killed = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    folder, deadline = tmp_path / "s" / "trials", time.monotonic() + 120
    while len(list(folder.glob("*/result.json"))) < 2:
        assert killed.poll() is None and time.monotonic() < deadline, killed.stderr.read()
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stderr.close()
    done = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    assert len(done) < 6
    again = searching.searched(tiny, tmp_path / "s", workers=2)
    assert story(again.info["search"]) == story(serial.info["search"])
    assert weights(again.folder) == weights(serial.folder)
    assert all(path.stat().st_mtime_ns == at for path, at in done.items()), "a trial that had ended was done again"


@pytest.fixture
def here(monkeypatch) -> None:
    """Trials run in this process: what they do is the same, and starting workers takes seconds."""

    class Here:
        may_begin = staticmethod(lambda: True)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def results(self, folders):
            for folder in folders:
                if self.may_begin():
                    yield trials.run(folder, progress=Silent())

    monkeypatch.setattr(search_module, "launcher", lambda *_, **__: Here())


def test_a_small_space_ends_when_all_of_it_is_tried(here, tiny, tmp_path) -> None:
    model = searching.searched(tiny, tmp_path, space={"warmup": [0.1, 0.2]}, trials=8)
    told = model.info["search"]
    assert [row["values"]["warmup"] for row in told["trials"]] == [0.1, 0.2]
    assert told["stopped"] == "all of the space: 2 trials"


def test_a_trial_that_fails_is_told_and_the_others_go_on(here, tiny, tmp_path) -> None:
    model = searching.searched(tiny, tmp_path, space={"learning_rate": [2e-3, 1e30]}, trials=3)
    states = {row["values"]["learning_rate"]: row for row in model.info["search"]["trials"]}
    assert next(iter(states)) == 1e-3  # the defaults, which lie outside of this space
    assert states[1e30]["state"] == "failed" and "loss is" in states[1e30]["reason"]
    assert states[2e-3]["state"] == "complete"


def test_what_fails_with_the_defaults_is_an_error(here, tmp_path) -> None:
    with pytest.raises(BurnishError, match="defaults, failed"):
        searching.searched(tmp_path / "nothing here", tmp_path, trials=2)


def test_a_spec_searches_and_its_page_tells_of_it(here, tiny, tmp_path) -> None:
    import tiny_bert
    import yaml

    from burnish import report
    from burnish.core.pipeline import plan, run
    from burnish.core.spec import load

    texts, targets = tiny_bert.sentences(120)
    rows = [{"text": text, "label": ("bad", "good")[target]} for text, target in zip(texts, targets, strict=True)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    spec = {
        "task": {"type": "classification", "labels": ["bad", "good"], "languages": ["en", "zh"]},
        "sources": [{"use": "jsonl", "path": "rows.jsonl"}],
        "split": {"use": "stratified", "test": 0.2, "validation": 0.2},
        "train": [{"use": "search", "trials": 3, "space": {"warmup": [0.1, 0.2]}, "tune": searching.fixed(tiny)}],
    }
    path = tmp_path / "burnish.yaml"
    path.write_text(yaml.safe_dump(spec), "utf-8")
    folder = run(load(path), to="train")
    card = json.loads((folder / "model" / "burnish.json").read_text("utf-8"))
    assert [row["values"]["warmup"] for row in card["search"]["trials"]] == [0.1, 0.2]
    page = report.write(folder).read_text("utf-8")
    assert "is optimistic" in page and "All 2 trials" in page and page.count("<polyline") >= 2
    (planned,) = [one for one in plan(load(path), to="train") if one.step.room == "train"]
    assert planned.made
    spec["train"][0]["tune"]["backbone"] = str(shutil.copytree(tiny, tmp_path / "other"))  # the same weights
    path.write_text(yaml.safe_dump(spec), "utf-8")
    assert plan(load(path), to="train")[-1].key == planned.key


def test_frozen_trials_go_first_and_their_best_are_tried_again(here, tiny, tmp_path) -> None:
    space = {"learning_rate": searching.SPACE["learning_rate"]}
    told = searching.searched(tiny, tmp_path, space=space, frozen_trials=3, trials=4).info["search"]
    rows = told["trials"]
    frozen = [row for row in rows if row["origin"] == "frozen"]
    assert [row["number"] for row in frozen] == [1, 2, 3] and len(rows) == 7
    ended = [row for row in frozen if row["state"] == "complete"]
    best = max(ended, key=lambda row: (row["score"], -row["loss"]))
    assert rows[4]["origin"] == f"best of the frozen trials ({best['number']})" and rows[4]["values"] == best["values"]
    assert told["best"] not in (1, 2, 3), "a frozen trial is no candidate"
    assert json.loads((tmp_path / "trials" / "0001" / "job.json").read_text())["settings"]["strategy"] == "frozen"


def test_strategies_whose_frozen_part_is_computed_once_come_right_behind_the_defaults(here, tiny, tmp_path) -> None:
    space = {"strategy": ["full", "bitfit", "head"]}
    told = searching.searched(tiny, tmp_path, space=space, trials=5).info["search"]
    assert [row["values"]["strategy"] for row in told["trials"]] == ["full", "head", "bitfit"]
    assert told["trials"][1]["origin"] == "frozen features first"


def test_no_trial_begins_after_the_minutes(here, tiny, tmp_path) -> None:
    told = searching.searched(tiny, tmp_path, minutes=1e-9).info["search"]
    assert len(told["trials"]) == 1 and told["stopped"] == "1e-09 minutes: 1 of 6 trials"
    (tmp_path / "trials" / "clock.json").write_text('{"seconds": 600}')  # as long as it had before it was killed
    assert len(searching.searched(tiny, tmp_path, minutes=5).info["search"]["trials"]) == 1


def test_a_worker_that_dies_is_told(tiny, tmp_path) -> None:
    from burnish.train.launchers import Processes

    (tmp_path / "0003").mkdir()
    (tmp_path / "0003" / "job.json").write_text("{}")  # nothing a trial can read
    with Processes(workers=1, threads=1, logs=tmp_path / "logs", progress=Silent()) as run:
        (result,) = run.results([tmp_path / "0003"])
    assert result["number"] == 3 and result["state"] == "failed" and "common.json" in result["reason"]


def test_a_search_needs_a_validation_side(tiny, tmp_path) -> None:
    from burnish.core.artifacts import Records, Split
    from burnish.train.search import search

    whole = searching.sides()
    split = Split(whole.train, Records.from_table(whole.validation.table().slice(0, 0)), whole.test)
    with pytest.raises(BurnishError, match="no validation side"):
        search(split, None, searching.context(tmp_path), tune=searching.fixed(tiny))


@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="ray is not installed")
@pytest.mark.slow
def test_ray_actors_end_the_same(serial, tiny, tmp_path) -> None:
    settings = json.dumps({"workers": 2, "engine": "ray", "trials": 4})
    paths = [str(ROOT / "src"), str(ROOT / "tests" / "nn"), str(ROOT / "tests" / "train")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, searching.__file__, str(tiny), str(tmp_path / "s"), settings]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert story(json.loads(done.stdout.splitlines()[-1])) == story(serial.info["search"])[:4]


MISTAKES = {
    "learning_rat": ({"learning_rat": [1]}, "did you mean 'learning_rate'"),
    "learning_rate": ({"learning_rate": {"low": 1e-3, "high": 1e-5}}, "is above high"),
    "epochs": ({"epochs": {"low": 0, "high": 3}}, "greater than 0"),
    "warmup": ({"warmup": {"low": 0, "high": 0.2, "log": True}}, "a low above 0"),
    "schedule": ({"schedule": {"low": 1, "high": 2}}, "linear"),
    "patience": ({"patience": {"low": 1, "hihg": 2}}, "no 'hihg'"),
    "strategy": ({"strategy": ["full", "lorra"]}, "no strategy 'lorra'"),
    "strategy.nothing.rank": ({"strategy.nothing.rank": [1]}, "no strategy 'nothing'"),
    "strategy.full.rank": ({"strategy.full.rank": [1]}, "no setting 'rank'"),
    "batch_tokens": ({"batch_tokens": 512}, "neither values nor a range"),
    "weight_decay": ({"weight_decay": []}, "empty"),
    "num_train_epochs": ({"num_train_epochs": [1]}, "calls it 'epochs'"),
}


@pytest.mark.parametrize("key", MISTAKES)
def test_mistakes_in_a_space_name_the_key(key: str) -> None:
    space, said = MISTAKES[key]
    ((where, message, hint),) = spaces.problems(space, None, TASK)
    assert where == "space" and message.startswith(f"{key}: ") and said in f"{message} {hint}"


def test_a_spec_tells_all_mistakes_with_their_line(tmp_path) -> None:
    from burnish.core.spec import load

    text = (
        "task: {type: classification, labels: [bad, good]}\nsources: [{use: jsonl, path: x.jsonl}]\nsplit: stratified\n"
        "train:\n  - use: search\n    tune: {epochs: none, backbon: x}\n    space:\n      epoch: [1]\n"
    )
    (tmp_path / "burnish.yaml").write_text(text, "utf-8")
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "burnish.yaml")
    said = str(caught.value)
    assert "burnish.yaml:6: train.search.tune: epochs: " in said and "'backbon'" in said
    assert "burnish.yaml:7: train.search.space: epoch: " in said and "'epochs'" in said


def test_frozen_trials_beside_a_fixed_strategy_are_a_mistake() -> None:
    said = search_module.wrong_settings("auto", {"strategy": "full"}, 2, TASK)
    assert [key for key, _, _ in said] == ["frozen_trials"]
    assert "layer_wise" in spaces.problems({"layer_decay": [0.9]}, None, TASK)[0][2]


def test_a_setting_fixed_and_searched_is_a_mistake() -> None:
    assert "fixed under tune" in spaces.problems({"epochs": [1, 2]}, {"epochs": 3}, TASK)[0][1]


def test_values_of_parts_reach_tune() -> None:
    settings = spaces.settings_of({"strategy": ["full", {"use": "lora"}], "strategy.lora.rank": 4}, {"epochs": 2})
    assert settings == {"epochs": 2, "strategy": ["full", {"use": "lora", "rank": 4}]}
    space = {"strategy": spaces.Choice(("full", "lora")), "strategy.lora.rank": spaces.Choice((4, 8))}
    assert spaces.asked(space, {"strategy": "full"}) == ["strategy"]
    assert spaces.asked(space, {"strategy": "lora"}) == ["strategy", "strategy.lora.rank"]


def test_the_automatic_space_holds_the_defaults() -> None:
    resolved = {"learning_rate": 3e-4, "epochs": 5, "batch_tokens": 512}
    space = spaces.automatic(resolved, {"strategy": "full"})
    assert set(space) == {"learning_rate", "epochs", "batch_tokens"}
    assert len(spaces.params_of(space, resolved)) == 3


def test_a_trial_is_compared_at_its_rungs_alone() -> None:
    earlier = [{"score": 0.9, "rungs": {"completed_rung_0": 0.6, "completed_rung_1": 0.8}}] * 3
    watch = trials._Watch(earlier, 2, 7, None)
    with pytest.raises(trials.Behind, match="after 2 epochs"):
        watch.replay([{"validation_score": score, "validation_loss": 1.0} for score in (0.7, 0.75, 0.99)])
    assert [look["score"] for look in watch.looks] == [0.7, 0.75]
    trials._Watch(earlier, None, 7, None).replay([{"validation_score": 0.0, "validation_loss": 9.0}] * 4)


def test_optimism_is_what_chance_gives_the_best_of_equal_models() -> None:
    random = np.random.default_rng(0)
    drawn = random.binomial(200, 0.8, (4000, 10)).max(1) / 200 - 0.8
    assert optimism(0.8, 10, 200) == pytest.approx(drawn.mean(), abs=0.003)
    assert optimism(1.0, 10, 50) > 0 and optimism(0.8, 1, 200) is None and optimism(-1.2, 5, 100) is None
