"""What the tests of regularisers share: tiny runs, a look into the middle of one, a run that is killed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import tiny_bert
import torch

from burnish.core.progress import Silent
from burnish.nn import heads, loop
from burnish.nn.batches import encode
from burnish.nn.models import Head
from burnish.nn.regularisers.base import Regulariser, Working, regularisers

HEAD = Head("sequence", ("bad", "good"))
SETTINGS = {"epochs": 3, "learning_rate": 3e-3, "batch_tokens": 256, "precision": "fp32"}


@dataclass(frozen=True)
class Inside(Regulariser):
    """Shows the run to `look(run, batch, inner)` in each batch, and teaches plainly after."""

    look: Any = None

    def begin(self, run: Any) -> Working:
        return Looking(run, self.look)


class Looking(Working):
    def __init__(self, run: Any, look: Any) -> None:
        self.run, self.look = run, look

    def learn(self, batch: Any, inner: Any) -> float:
        with self.run.forgetting():
            self.look(self.run, batch, inner)
        self.run.again()
        return inner(batch)


def examples(folder, count, *, seed=0):
    from transformers import AutoTokenizer

    texts, targets = tiny_bert.sentences(count, seed=seed)
    return encode(texts, AutoTokenizer.from_pretrained(folder), max_length=32).with_targets(targets)


def opened(value):
    return regularisers.open(value)


def train(
    folder, data, parts=(), *, model=None, validation=None, scratch=None, seed=0, objective=None, judge=None, **settings
):
    """parts: as a spec writes them, or regularisers."""
    made = [one if isinstance(one, Regulariser) else opened(one)[0] for one in parts]
    model = model or heads.build(folder, HEAD, seed=0)
    history = loop.fit(
        model, data, validation, settings=loop.Training(**{**SETTINGS, **settings}), scratch=scratch,
        progress=Silent(), seed=seed, regularisers=made, objective=objective, judge=judge,
    )  # fmt: skip
    return model, history


def look(folder, data, function, *, precision="fp32", model=None, objective=None, **settings):
    """Call function(run, batch, inner) once, in the first batch of a run."""
    seen: list[Any] = []

    def once(run, batch, inner):
        if not seen:
            seen.append(function(run, batch, inner))

    train(folder, data, [Inside(once)], model=model, objective=objective, precision=precision, epochs=1, **settings)
    return seen[0]


def same(one, two):
    theirs = two.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


class Killed(Exception):
    pass


def killed(saves, run):
    """Call `run` and end it after so many checkpoints."""
    left = [saves]
    save = loop.Run._save

    def counted(self, *, force=False):
        save(self, force=force)
        left[0] -= 1
        if not left[0]:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Run, "_save", counted)
        with pytest.raises(Killed):
            run()
