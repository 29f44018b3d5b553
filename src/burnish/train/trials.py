"""One trial of a search: `train.tune` with the settings of a folder, watched at every look, stopped where it is behind.

A search has one folder with common.json (task, seed, sides) and a folder for each trial:
    job.json       what to do: number, round, settings, what earlier rounds reached at each rung      written by the search
    result.json    what came of it; a trial is done when it is there                                written last, at once
    work/          checkpoints, so that a killed trial goes on; work/model is the network of one that ended
Run as a module this is a worker: it reads folders of trials from stdin, one a line, and says looks and ends on stdout.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.core.artifacts import Gold, Pretrained, Split, write_json
from burnish.core.errors import BurnishError
from burnish.core.progress import Plain, Progress
from burnish.core.stage import Context, TaskSpec

State = str  # "complete", "pruned" or "failed"
Look = Callable[[dict[str, Any]], None]


class Behind(Exception):
    """The trial is not worth going on with."""


def run(folder: Path, *, progress: Progress, look: Look | None = None) -> dict[str, Any]:
    """Do the trial of a folder, unless it is done, and give its result. look: told of every look as it is taken."""
    with _alone(folder):
        done = folder / "result.json"
        if done.is_file():
            return dict(json.loads(done.read_text("utf-8")))
        job = json.loads((folder / "job.json").read_text("utf-8"))
        common = json.loads((folder.parent / "common.json").read_text("utf-8"))
        result = _tried(folder, job, common, progress, look) | {"number": job["number"]}
        if result["state"] != "complete":
            shutil.rmtree(folder / "work", ignore_errors=True)
        write_json(done, result)
        return result


def _tried(
    folder: Path, job: Mapping[str, Any], common: Mapping[str, Any], progress: Progress, look: Look | None
) -> dict[str, Any]:
    from burnish.train.tune import tune

    watch = _Watch(job["earlier"], job["reduction"], job["number"], look)
    context = Context(
        task=_task(common),
        seed=common["seed"],
        base=Path(common["base"]),
        scratch=folder / "work",
        cache=Path(common["cache"]),
        progress=progress,
        key=common["key"],
        looked=watch,
    )
    context.scratch.mkdir(exist_ok=True)
    split = Split.open(folder.parent / "split")
    gold = Gold.open(folder.parent / "gold") if (folder.parent / "gold").is_dir() else None
    assert isinstance(gold, Gold | None)
    pretrained = Pretrained.open(folder.parent / "pretrained") if (folder.parent / "pretrained").is_dir() else None
    began, cpu_began = time.monotonic(), time.process_time()
    result: dict[str, Any]
    try:
        model = tune(split, gold, context, pretrained, **job["settings"])
    except Behind as behind:
        result = {"state": "pruned", "reason": str(behind)}
    except BurnishError as error:
        result = {"state": "failed", "reason": error.message}
    else:
        history = model.info["history"]["tune"]
        watch.resolved = history["resolved"] | {"strategy": model.info["strategy"]}
        watch.replay(history["epochs"])
        write_json(context.scratch / "info.json", model.info)
        _forget_checkpoints(context.scratch, model.folder)
        result = {
            "state": "complete",
            "reasons": history["reasons"],
            "figure": history["figure"],
            "width": _width(model.folder),
        }
    looks = watch.looks
    best = max(looks, key=lambda one: (one["score"], -one["loss"]), default={})
    return result | {
        "score": best.get("score"),
        "loss": best.get("loss"),
        "looks": looks,
        "rungs": watch.rungs(),
        "resolved": watch.resolved,
        "seconds": round(time.monotonic() - began, 3),
        "cpu_seconds": round(time.process_time() - cpu_began, 3),
    }


class _Watch:
    """Asks after every look whether the trial is among the best at its rung (asynchronous successive halving, Li et al. 2020).

    It is compared with trials of earlier rounds alone, whose results stand: so the same trials are stopped whoever runs
    them, in whatever order. The resource is passes over the training side: rungs stand at 1, r, r*r, ... of them.
    """

    def __init__(self, earlier: Sequence[Mapping[str, Any]], reduction: int | None, number: int, look: Look | None):
        import optuna

        self.number, self.say = number, look
        self.looks: list[dict[str, Any]] = []
        self.resolved: dict[str, Any] = {}
        halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=reduction or 2)
        study = _study(optuna.pruners.NopPruner() if reduction is None else halving)
        for one in earlier:
            study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState.COMPLETE, value=one["score"], system_attrs=dict(one["rungs"])
                )
            )
        self.study, self.trial = study, study.ask()

    def __call__(self, history: Any) -> None:
        self.resolved = dict(history.resolved)
        self.replay(
            [{"validation_score": e.validation_score, "validation_loss": e.validation_loss} for e in history.epochs]
        )

    def replay(self, epochs: Sequence[Mapping[str, Any]]) -> None:
        """Take notice of the looks that were not seen yet; a trial that went on from a checkpoint has earlier ones."""
        for at, one in enumerate(epochs):
            if at < len(self.looks) or one["validation_score"] is None:
                continue
            score, loss = float(one["validation_score"]), float(one["validation_loss"])
            self.looks.append({"score": score, "loss": loss})
            if self.say:
                self.say({"number": self.number, "look": at + 1, "score": score, "loss": loss})
            self.trial.report(score, at + 1)
            if self.trial.should_prune():
                raise Behind(
                    f"{score:.4f} after {at + 1} {'epoch' if not at else 'epochs'} is behind the trials before it"
                )

    def rungs(self) -> dict[str, Any]:
        """What this trial reached at each rung: what later ones are compared with."""
        kept: dict[str, Any] = dict(self.study.get_trials(deepcopy=False)[self.trial.number].system_attrs)
        return {name: value for name, value in kept.items() if isinstance(value, float) and math.isfinite(value)}


def _study(pruner: Any) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", pruner=pruner)


def _task(common: Mapping[str, Any]) -> TaskSpec:
    given = common["task"]
    return TaskSpec(
        given["type"],
        tuple(given["labels"]),
        given["descriptions"],
        tuple(given["languages"]),
        given["options"],
        Path(common["base"]),
    )


def _width(folder: Path) -> int:
    """Of the network's hidden states; 0 where its configuration does not say."""
    config = json.loads((folder / "config.json").read_text("utf-8")) if (folder / "config.json").is_file() else {}
    return int(config.get("hidden_size") or config.get("d_model") or 0)


def _forget_checkpoints(scratch: Path, model: Path) -> None:
    """Of a trial that ended only the network is of use, and the note that it is whole."""
    for path in scratch.iterdir():
        if path.is_dir() and path != model:
            shutil.rmtree(path)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process a trial: a worker that outlives its killed search for a moment must end before another goes on."""
    import fcntl

    with (folder / "lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def work(threads: int) -> None:
    """Be a worker: folders of trials on stdin, JSON lines on stdout, until stdin ends; then die at once, at work or not."""
    import torch

    torch.set_num_threads(threads)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    jobs: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            jobs.put(line.rstrip("\n"))
        os._exit(0)

    def say(what: Mapping[str, Any]) -> None:
        out.write(json.dumps(what, ensure_ascii=False) + "\n")
        out.flush()

    threading.Thread(target=listen, daemon=True).start()
    while True:
        folder = Path(jobs.get())
        say({"result": run(folder, progress=Plain(), look=say)})


if __name__ == "__main__":
    work(int(sys.argv[1]))
