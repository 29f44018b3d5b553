"""Several processes learn what one learns: the same loss curve and the same weights, up to the order of addition."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tiny_bert
from processes import together

from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.nn import heads, loop
from burnish.nn.batches import encode
from burnish.nn.distributed import open_group
from burnish.nn.losses.base import losses
from burnish.nn.models import Head
from burnish.nn.objectives import CrossEntropy, with_loss

SETTINGS = {"epochs": 2, "learning_rate": 3e-3, "batch_tokens": 128, "precision": "fp32", "accumulate": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


class Stopped(Exception):
    """A run is ended half way."""


def run(folder, *, parallel="ddp", scratch=None, poison=None, stop_after=None, loss=None, **settings):
    """One process's part of a training run, and what it ends with. poison: the process whose loss is no number;
    stop_after: checkpoints after which the run ends as if killed; loss: of `nn.losses`."""
    from transformers import AutoTokenizer

    texts, targets = tiny_bert.sentences(110)
    data = encode(texts, AutoTokenizer.from_pretrained(folder), max_length=32).with_targets(targets)
    model = heads.build(Path(folder), Head("sequence", ("bad", "good")), seed=0)
    group, objective = open_group(parallel), None
    if loss is not None:
        head = Head("sequence", ("bad", "good"))
        objective = with_loss(CrossEntropy(), losses.open(loss)[0], examples=data, head=head)
    if poison is not None and group.rank == poison:
        data = data.with_targets(targets, weights=np.full(110, np.nan))
    saves = loop.Run._save
    stopping = iter(range(stop_after or 10**9))

    def save(self, *, force=False):
        saves(self, force=force)
        if stop_after and next(stopping, None) is None:
            raise Stopped

    loop.Run._save = save
    try:
        history = loop.fit(
            model, data, data.take(range(30)),
            settings=loop.Training(**{**SETTINGS, **settings}), scratch=Path(scratch) if scratch else None,
            progress=Silent(), seed=0, group=group, objective=objective,
        )  # fmt: skip
    except Stopped:
        return {"stopped": True}
    except BurnishError as error:
        return {"error": error.message}
    finally:
        loop.Run._save = saves
    values = [value.detach().numpy() for value in model.state_dict().values()]
    return {
        "losses": history.losses,
        "epochs": [(one.loss, one.validation_score, one.validation_loss) for one in history.epochs],
        "tokens": history.tokens,
        "resumed": history.resumed,
        "norm": float(sum(np.square(value.astype(np.float64)).sum() for value in values)),
        "digest": hashlib.sha256(b"".join(np.ascontiguousarray(value).tobytes() for value in values)).hexdigest(),
    }


def alike(one: dict, other: dict, *, within: float = 1e-5) -> None:
    assert len(one["losses"]) == len(other["losses"]) > 5
    assert max(abs(a - b) for a, b in zip(one["losses"], other["losses"], strict=True)) < within
    assert one["tokens"] == other["tokens"]
    assert one["norm"] == pytest.approx(other["norm"], rel=1e-5)
    for a, b in zip(one["epochs"], other["epochs"], strict=True):
        assert a == pytest.approx(b, abs=1e-4)


@pytest.fixture(scope="module")
def alone(folder):
    return run(str(folder))


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_copies_learn_what_one_process_learns(folder, alone, tmp_path, processes):
    told = together(processes, run, tmp_path, folder=str(folder))
    assert len({one["digest"] for one in told}) == 1  # all copies end with the same bits
    alike(told[0], alone)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_parts_learn_what_one_process_learns(folder, tmp_path, processes):
    """Without dropout, whose masks torch draws here and the pool of the own operators there."""
    told = together(processes, run, tmp_path, folder=str(folder), parallel="fsdp", dropout=0.0)
    assert len({one["digest"] for one in told}) == 1
    alike(told[0], run(str(folder), dropout=0.0), within=1e-4)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_what_a_loss_remembers_is_the_same_in_every_process_and_when_a_run_goes_on(folder, tmp_path, parallel):
    """Each process reads other texts in another epoch, and in a run that goes on; fsdp reads one batch for nothing."""
    settings = {"folder": str(folder), "dropout": 0.0, "epochs": 4, "loss": {"use": "elr", "strength": 3.0}}
    alone = run(**settings)
    assert abs(alone["losses"][-1] - run(**settings | {"loss": None})["losses"][-1]) > 1e-2  # the memory says something
    kept = {"checkpoint_every_s": 0.0, "scratch": str(tmp_path / "kept"), "parallel": parallel}
    assert together(3, run, tmp_path, stop_after=7, **settings, **kept) == [{"stopped": True}] * 3
    told = together(2, run, tmp_path, **settings, **kept)
    assert told[0]["resumed"] and len({one["digest"] for one in told}) == 1
    alike(told[0], alone, within=1e-4)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_run_goes_on_in_another_number_of_processes(folder, alone, tmp_path, parallel):
    """Two processes, then three, then one; dropout and all."""
    settings = {"folder": str(folder), "parallel": parallel, "checkpoint_every_s": 0.0}
    whole = alone if parallel == "ddp" else together(1, run, tmp_path, **settings)[0]
    kept = {"scratch": str(tmp_path / "kept")}
    assert together(2, run, tmp_path, stop_after=3, **settings, **kept) == [{"stopped": True}] * 2
    assert together(3, run, tmp_path, stop_after=3, **settings, **kept) == [{"stopped": True}] * 3
    told = together(1, run, tmp_path, **settings, **kept)[0]
    assert told["resumed"] and not whole["resumed"]
    alike(told, whole, within=1e-4)


def test_a_checkpoint_of_parts_goes_on_in_one_process_without(folder, tmp_path):
    settings = {"folder": str(folder), "checkpoint_every_s": 0.0, "dropout": 0.0}
    together(2, run, tmp_path, parallel="fsdp", stop_after=4, scratch=str(tmp_path / "kept"), **settings)
    told = run(**settings, scratch=str(tmp_path / "kept"))
    assert told["resumed"]
    alike(told, run(**settings), within=1e-4)


def test_a_damaged_part_is_passed_over(folder, tmp_path):
    settings = {"folder": str(folder), "checkpoint_every_s": 0.0, "parallel": "fsdp", "scratch": str(tmp_path / "kept")}
    together(2, run, tmp_path, stop_after=4, **settings)
    newest = sorted((tmp_path / "kept").glob("checkpoint-*"))[-1]
    part = next((newest / "shards").glob("*.safetensors"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    assert together(2, run, tmp_path, **settings)[0]["resumed"]


def test_an_error_in_one_process_ends_all_with_its_message(folder, tmp_path):
    told = together(3, run, tmp_path, folder=str(folder), poison=1)
    assert {one["error"] for one in told} == {"the training loss is nan in step 1 (process 1 of 3)"}


def test_auto_is_a_batch_a_process_and_the_same_tokens_a_step(folder, tmp_path):
    told = together(2, run, tmp_path, folder=str(folder), accumulate="auto", batch_tokens="auto", epochs=1)
    steps = run(str(folder), accumulate="auto", batch_tokens="auto", epochs=1)
    assert len(told[0]["losses"]) == pytest.approx(len(steps["losses"]), abs=1)


def test_parts_need_processes():
    with pytest.raises(BurnishError, match="needs processes"):
        open_group("fsdp")
