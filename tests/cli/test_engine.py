"""One file, any engine: the same steps, the same keys, the same model up to the order of addition."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

sys.path.append(str(Path(__file__).parents[1] / "nn"))
import tiny_bert

SPEC = """\
burnish: 1
name: films
task: {{type: classification, labels: [bad, good], languages: [en]}}
sources: {{use: jsonl, path: raw.jsonl}}
split: {{use: stratified, test: 0.1, validation: 0.2}}
train: {{use: tune, backbone: {backbone}, epochs: 2, learning_rate: 0.003, batch_tokens: 128, accumulate: 2,
        precision: fp32}}
"""


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A project whose training takes a second."""
    backbone = tiny_bert.make(tmp_path / "tiny")
    rows = zip(*tiny_bert.sentences(120), strict=True)
    lines = [json.dumps({"text": text, "label": ("bad", "good")[target]}) for text, target in rows]
    (tmp_path / "raw.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "burnish.yaml").write_text(SPEC.format(backbone=backbone), encoding="utf-8")
    return tmp_path


def model(folder: Path, store: str) -> tuple[dict, dict[str, np.ndarray]]:
    found = folder / store / "films" / "model"
    return json.loads((found / "burnish.json").read_text("utf-8")), load_file(found / "model.safetensors")


def keys(folder: Path, store: str) -> list[str]:
    return [step["key"] for step in json.loads((folder / store / "films" / "run.json").read_text("utf-8"))["steps"]]


def alike(folder: Path, one: str, other: str) -> None:
    """Two stores hold the same run: the same keys, and weights that differ by rounding."""
    assert keys(folder, one) == keys(folder, other)
    (card, weights), (also, others) = model(folder, one), model(folder, other)
    assert card["history"]["tune"]["losses"] == pytest.approx(also["history"]["tune"]["losses"], abs=1e-4)
    assert max(np.abs(weights[name] - others[name]).max() for name in weights) < 1e-3


@pytest.mark.slow
def test_auto_chooses_the_same_strategy_however_many_processes_there_are(films: Path, burnish) -> None:
    path = films / "burnish.yaml"
    text = path.read_text("utf-8").replace("epochs: 2, learning_rate: 0.003, batch_tokens: 128, accumulate: 2,", "")
    path.write_text(text, "utf-8")
    for store, more in (("one", ()), ("two", ("--set", "engine.processes=2"))):
        done = burnish("run", "--set", f"store.path={store}", *more, cwd=films)
        assert done.returncode == 0, done.stderr
        assert model(films, store)[0]["strategy"] == "contrastive"
    alike(films, "one", "two")


@pytest.mark.slow
def test_processes_make_what_one_makes_and_nothing_is_made_twice(films: Path, burnish) -> None:
    assert burnish("run", "--set", "store.path=one", cwd=films).returncode == 0
    done = burnish("run", "--set", "store.path=two", "--set", "engine.processes=2", cwd=films)
    assert done.returncode == 0, done.stderr
    alike(films, "one", "two")
    again = burnish("run", "--set", "store.path=two", cwd=films)
    assert "nothing to do" in again.stdout
    assert not list((films / "two").glob(".store/scratch/*"))


@pytest.mark.slow
def test_an_error_in_processes_is_told_once_and_mended_as_ever(films: Path, burnish) -> None:
    wrong = [
        "--set",
        "train.tune.learning_rate=1e30",
        "--set",
        "train.tune.warmup=0",
        "--set",
        "train.tune.max_grad_norm=0",
    ]
    done = burnish("run", *wrong, "--set", "engine.processes=2", cwd=films)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("the training loss is") == 1 and "lower train.tune.learning_rate" in done.stderr


@pytest.mark.slow
def test_inside_torchrun_the_first_leads(films: Path, burnish) -> None:
    assert burnish("run", "--set", "store.path=one", cwd=films).returncode == 0

    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2] / "src")]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29417"]
    done = subprocess.run(
        [*command, "-m", "burnish.cli", "run", "--engine", "torchrun", "--set", "store.path=two"],
        cwd=films, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    alike(films, "one", "two")
    assert done.stdout.count("the whole story") == 1  # one story


@pytest.mark.slow
def test_ray_workers_make_what_one_process_makes(films: Path, burnish) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    assert burnish("run", "--set", "store.path=one", cwd=films).returncode == 0
    engine = ["--engine", "ray", "--set", "engine.address=local", "--set", "engine.workers=2"]
    done = burnish("run", "--set", "store.path=two", *engine, cwd=films)
    assert done.returncode == 0, done.stderr
    alike(films, "one", "two")


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("{use: lokal}", "did you mean 'local'"),
        ("{processes: 0}", "whole number from 1"),
        ("{procesess: 2}", "did you mean 'processes'"),
        ("{use: local, address: auto}", "address of a Ray cluster"),
        ("{processes: 2, workers: 2}", "another name"),
        ("{parallel: dpp}", "auto, ddp, fsdp"),
        ("{use: torchrun, processes: 2}", "torchrun says how many"),
    ],
)
def test_a_wrong_engine_is_said_with_its_line(project: Path, engine: str, said: str) -> None:
    from burnish.core.errors import SpecError
    from burnish.core.spec import load

    spec = project / "burnish.yaml"
    spec.write_text(spec.read_text("utf-8") + f"engine: {engine}\n", encoding="utf-8")
    with pytest.raises(SpecError, match=said) as error:
        load(spec)
    assert "burnish.yaml:9" in str(error.value)


def test_torchrun_outside_torchrun_is_said(project: Path, burnish) -> None:
    done = burnish("run", "--engine", "torchrun", cwd=project)
    assert done.returncode == 2 and "torchrun --nproc-per-node 2" in done.stderr
