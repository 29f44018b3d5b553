"""The one training loop: batches in, better weights out, the same to the last bit each time.

What a step does depends on (weights, seed, epoch, number of the batch) and nothing else, so a run that was killed
goes on from its newest checkpoint and ends with the bytes of a run that was not.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.core.errors import BurnishError
from burnish.core.progress import Progress, peak_mb
from burnish.nn import checkpoints, costs, frozen, one_class, resume
from burnish.nn.batches import Examples, make_batch, padding_rate, training_order
from burnish.nn.devices import device_of, moved
from burnish.nn.distributed import Group
from burnish.nn.kernels import Installed, Kernels, choose, for_gpu, with_layers
from burnish.nn.lessons import Lessons
from burnish.nn.objectives import Objective
from burnish.nn.predict import pad_token_of, read_lengths
from burnish.nn.recompute import recomputed
from burnish.nn.regularisers.base import Regulariser
from burnish.nn.regularisers.base import check as stand_together
from burnish.nn.strategies.base import Strategy, combined
from burnish.nn.training import Epoch, History, Judge, Training, Watch, aims, rate_at, settle


def fit(
    model: nn.Module,
    train: Examples,
    validation: Examples | None,
    *,
    settings: Training,
    scratch: Path | None,
    progress: Progress,
    seed: int,
    objective: Objective | None = None,
    judge: Judge | None = None,
    strategies: Sequence[Strategy] = (),
    regularisers: Sequence[Regulariser] = (),
    group: Group | None = None,
    watch: Watch | None = None,
    looked: Callable[[History], None] | None = None,
) -> History:
    """Fine-tune `model` in place on `train`; it ends with its best weights by validation, in evaluation mode.

    model: gives outputs from input_ids, attention_mask, token_type_ids. objective: what training makes small; None is
    the cross entropy of one class a text. judge: says how good an epoch was; None is the accuracy on `validation`.
    Best: highest score of the judge, then lowest validation loss; without validation data the last weights. scratch: a
    folder for checkpoints; when it holds one of this very run (same data, settings, seed, first weights), training goes on
    from there. strategies: already placed (`Strategy.place`). group: the processes that train together (`nn.distributed`),
    each in this very call; None is this one alone. watch: is told the figures of every step and look, in the first process.
    looked: is given the history after every look; what it raises ends the run (a search that stops a trial). Raises
    BurnishError when the loss stops being a number.
    """
    group = group or Group()
    _refuse(settings, train, objective, regularisers, group)
    decide = _rules(model, train, objective, strategies)
    settled, reasons = decide(settings)
    objective = objective or one_class.objective_of(model, train, settled)
    if judge is None and validation is not None and len(validation):
        judge = one_class.judge_of(validation)
    print_of_run = resume.print_of(model, train, validation, settled, seed, [objective, *strategies, *regularisers])
    group.check(objective, strategies, regularisers)
    found = group.read(resume.newest(scratch, print_of_run, group.size, progress) if group.writes else None)
    if settings.accumulate == "auto":
        accumulate = found[1]["accumulate"] if found else group.size
        settled, reasons = decide(replace(settings, accumulate=accumulate))
    if int(settled.accumulate) < group.size:
        progress.tell(f"  warning: accumulate {settled.accumulate} is fewer batches a step than {group.size} processes")
    device = device_of(settled.device)
    hooked = any(one.modules for one in strategies) or any(one.modules for one in regularisers)
    kernels = group.kernels(_kernels(model, settled, device, found, hooked=hooked))
    for line in kernels.why:
        progress.tell(f"  {line}")
    second = copy.deepcopy(model).train() if any(one.second for one in regularisers) else None
    rates = [rate for one in regularisers if (rate := one.dropout_rate()) is not None]
    restore_dropout = set_dropout([model, second], rates[-1] if rates else settled.dropout)
    group.place(model.train(), device)
    if second is not None:
        group.place(second, device)
    try:
        with contextlib.ExitStack() as around:
            network, operators = around.enter_context(group.installed(model, kernels, seed=seed))
            around.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
            if settled.epochs and any(one.caches for one in strategies) and not (found and found[1]["done"]):
                if why := _uncached(kernels, regularisers, hooked=hooked):
                    progress.tell(f"  frozen layers are computed in every step: {why}")
                else:
                    examples = [train, *(judge.reads if judge else ())]
                    bottom = frozen.known(model, operators, kernels, examples, scratch=scratch, progress=progress)
                    reasons["frozen"] = around.enter_context(bottom)
            around.enter_context(recomputed(network, operators, settled.activation_checkpointing))
            run = Run(
                network,
                objective,
                settled,
                operators=operators,
                kernels=kernels,
                group=group,
                device=device,
                train=train,
                judge=judge,
                seed=seed,
                scratch=scratch,
                progress=progress,
                print_of_run=print_of_run,
                strategies=strategies,
                second=second,
                looked=looked,
                watch=watch if group.writes else None,
            )
            run.optimiser.scale(combined(strategies, model))
            run.begin(regularisers)
            run.tell(reasons)
            if found:
                run.restore(group.tensors(found[0], operators), found[1])
            run.go()
    finally:
        restore_dropout()
        model.to("cpu")  # what follows, calibration and saving, is small
    model.eval()
    return run.history


def _refuse(
    settings: Training,
    train: Examples,
    objective: Objective | None,
    regularisers: Sequence[Regulariser],
    group: Group,
) -> None:
    """Raise ValueError or BurnishError for what cannot be learnt."""
    if objective is None and train.targets is None:
        raise ValueError("training examples need targets")
    if len(train) == 0:
        raise BurnishError("there are no training examples", hint="look at the split: its training side is empty")
    if problem := stand_together(regularisers):
        raise BurnishError(problem, where="train.tune.regularise")
    if group.parts and settings.optimiser == "muon":
        raise BurnishError(
            "muon turns whole matrices, and here each process holds a part of them",
            where="train.tune.optimiser",
            hint="engine.parallel: ddp, or adamw",
        )


def _rules(
    model: nn.Module, train: Examples, objective: Objective | None, strategies: Sequence[Strategy]
) -> Callable[[Training], tuple[Training, dict[str, str]]]:
    """`settle` for this network, these examples, and what is to be learnt."""
    hidden, layers = _size(model)
    start = next((one.start for one in strategies if one.start), getattr(model, "start", "pretrained"))
    aim = aims(objective, start=start)
    return functools.partial(
        settle,
        train=train,
        hidden=hidden,
        layers=layers,
        start=start,
        beside=int(getattr(model, "image_tokens", 0)),
        tags=aim["tags"],
        places=aim["places"],
    )


def _size(model: nn.Module) -> tuple[int, int]:
    """Width and layers, as its configuration says; MiniLM's where it has none."""
    config = getattr(model, "config", None)
    return int(getattr(config, "hidden_size", 384)), int(getattr(config, "num_hidden_layers", 6))


def _kernels(
    model: nn.Module,
    settings: Training,
    device: torch.device,
    found: tuple[Path, dict[str, Any]] | None,
    *,
    hooked: bool,
) -> Kernels:
    """What computes the network: what did before the checkpoint `found`, else what suits the device."""
    if found:
        return Kernels(**{**found[1]["kernels"], "why": tuple(found[1]["kernels"]["why"])})
    if device.type == "cuda":
        return for_gpu(precision=settings.precision)
    hidden, _ = _size(model)
    heads = int(getattr(getattr(model, "config", None), "num_attention_heads", hidden // 32))
    kernels = choose(precision=settings.precision, hidden=hidden, head=hidden // heads)
    if not hooked:
        return with_layers(kernels, model)
    return replace(kernels, why=(*kernels.why, "layers as modules: a strategy or regulariser looks into them"))


def _uncached(kernels: Kernels, regularisers: Sequence[Regulariser], *, hooked: bool) -> str:
    """Why frozen layers cannot be computed once for all steps; "" where they can."""
    if hooked or any(one.perturbs for one in regularisers):
        return "a strategy or regulariser looks or reaches into them"
    return "the network runs on its own modules" if kernels.modules == "stock" else ""


class Run(Lessons):
    """The state of one `fit`: what a checkpoint holds, and the walk over epochs and batches.

    What regularisers may use: model, second (a copy of it, of before the run, where one of them asks for it), objective,
    judge, train, settings, seed, weights (fp32, by name), optimiser, operators, kernels, history, progress, best and
    best_score, `total_steps`, and the parts of a lesson: `step_seed`, `forward`, `losses`, `loss`, `backward`, `again`,
    `counting`, `forgetting`.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        settings: Training,
        *,
        operators: Installed,
        kernels: Kernels,
        group: Group,
        device: torch.device,
        train: Examples,
        judge: Judge | None,
        seed: int,
        scratch: Path | None,
        progress: Progress,
        print_of_run: str,
        strategies: Sequence[Strategy],
        second: nn.Module | None,
        looked: Callable[[History], None] | None,
        watch: Watch | None,
    ) -> None:
        super().__init__(model, objective, settings, operators=operators, kernels=kernels, group=group, device=device)
        self.train, self.judge, self.seed, self.second = train, judge, seed, second
        self.scratch, self.progress, self.print_of_run = scratch, progress, print_of_run
        self.strategies, self.looked, self.watch = tuple(strategies), looked, watch
        self.memories = costs.memories(objective)
        self.history = History(figure=judge.figure if judge else "")
        self.total_steps = 0  # about: batches differ a little from epoch to epoch
        self.epoch, self.position = 0, 0
        self.epoch_loss, self.epoch_count = 0.0, 0  # since the last look
        self.epoch_share = 0.0  # of the whole run that lay behind when this epoch began
        self.gradient = 0.0  # norm of the last step's, before clipping
        self.best: dict[str, Tensor] = {}
        self.best_score: tuple[float, float] | None = None
        self.done = False
        self.saved_at = time.monotonic()

    def begin(self, regularisers: Sequence[Regulariser]) -> None:
        """Let strategies and regularisers take part."""
        self.helpers = [working for one in self.strategies if (working := one.begin(self)) is not None]
        self.helpers += [one.begin(self) for one in regularisers]

    def tell(self, reasons: dict[str, str]) -> None:
        """Put into the history what was decided, and why."""
        self.history.reasons = reasons
        self.history.resolved = {
            key: getattr(self.settings, key) for key in ("epochs", "learning_rate", "batch_tokens")
        }
        self.history.resolved["precision"] = self.kernels.number_format
        self.history.resolved["accumulate"] = self.settings.accumulate
        self.history.kernels = self.kernels.to_json()

    def go(self) -> None:
        """Walk the epochs that are left, and end with the best weights."""
        self.done |= self.settings.epochs == 0
        while not self.done:
            self._one_epoch()
            if not self.done:
                self.epoch, self.position = self.epoch + 1, 0
                if self.settings.steps is None:
                    self.done = self.epoch >= int(self.settings.epochs) or self.history.stopped_early
            self._save(force=self.done)
        for name, value in self.best.items():
            self.weights[name].copy_(value)
        for helper in self.helpers:
            helper.finish()
        self.history.peak_mb = peak_mb()

    def _one_epoch(self) -> None:
        if self.position == 0:
            self.epoch_share = self._share(0.0)
        self._open(share=self.epoch_share)
        lengths = read_lengths(self.model, self.train)
        order = training_order(
            lengths,
            batch_tokens=int(self.settings.batch_tokens),
            seed=self.seed,
            epoch=self.epoch,
            groups=self.train.groups,
        )
        self.history.padding_rate = padding_rate(lengths, order)
        every = int(self.settings.accumulate)
        self.total_steps = self.settings.steps or math.ceil(len(order) / every) * int(self.settings.epochs)
        left = order[self.position :]
        what = (
            f"epoch {self.epoch + 1}/{self.settings.epochs}" if not self.settings.steps else f"epoch {self.epoch + 1}"
        )
        # where the steps are counted, all that are left stand on the bar, or the time left would be of this epoch alone
        total = self.settings.steps - self.optimiser.steps if self.settings.steps else sum(map(len, left))
        with self.progress.bar(what, total, "steps" if self.settings.steps else "examples") as bar:
            for at in range(0, len(left), every):
                step = left[at : at + every]
                count = sum(len(rows) for rows in step)
                began, cpu_began = time.perf_counter(), time.process_time()
                before = self.history.tokens
                loss = self._step(step, count, done=self.position / len(order))
                self.history.seconds += time.perf_counter() - began
                self.history.cpu_seconds += time.process_time() - cpu_began
                self.history.examples += count
                self.history.losses.append(loss)
                figures = self._figures(loss, self.history.tokens - before, time.perf_counter() - began)
                bar.advance(
                    1 if self.settings.steps else count,
                    **{name: figures[name] for name in ("loss", "rate", "tokens_per_s", "memory_mb")},
                )
                if self.watch:
                    self.watch(self.optimiser.steps, figures)
                self.epoch_loss += loss * count
                self.epoch_count += count
                if self.settings.judge_every and self.optimiser.steps % self.settings.judge_every == 0:
                    self._look()
                self.done = bool(self.settings.steps and self.optimiser.steps >= self.settings.steps)
                self.done |= self.history.stopped_early and self.settings.judge_every is not None
                self._save()
                if self.done:
                    break
        if self.epoch_count and (self.done or not self.settings.judge_every):
            self._look()

    def _figures(self, loss: float, tokens: int, seconds: float) -> dict[str, float]:
        """What is shown of the step just made."""
        return {
            "loss": loss,
            "rate": self.history.rates[-1],
            "gradient": self.gradient,
            "tokens_per_s": round(tokens / seconds),
            "padding": self.history.padding_rate,
            "memory_mb": peak_mb(),
        }

    def _open(self, *, share: float) -> None:
        """Let the weights move that the strategies open in this epoch."""
        opened = set(self.weights)
        for one in self.strategies:
            found = one.opens(self.model, share=share)
            opened &= opened if found is None else found
        self.operators.open(opened)

    def _share(self, done: float) -> float:
        """How much of the whole run is behind, 0..1. done: share of this epoch."""
        if self.settings.steps:
            return min(1.0, self.optimiser.steps / self.settings.steps)
        return (self.epoch + done) / int(self.settings.epochs)

    def _step(self, step: list[np.ndarray], count: int, *, done: float) -> float:
        """Forward and backward for the batches of a step, given by their rows, and one move of the weights.

        count: examples of them all; done: share of this epoch, 0..1. Of several processes each computes its share.
        """
        share = self._share(done)
        losses, tokens = [0.0] * len(step), 0
        try:
            for at, counts in self.group.share(len(step)):
                batch = make_batch(self.train, step[at], pad_token=pad_token_of(self.model))
                for memory in self.memories:
                    memory.own = counts
                self.step_seed = _step_seed(self.seed, self.epoch, self.position + at)
                self.again()
                self._scale = len(batch.rows) / count if counts else 0.0
                loss = self.taught()(moved(batch, self.device))
                if counts:
                    losses[at], tokens = loss, tokens + batch.num_tokens
        except BurnishError as error:
            self.group.failed(error)
        losses, tokens = self.group.agreed(losses, tokens)
        self.group.sum_gradients(self.operators)
        self.group.remembered(self.memories)
        self.history.tokens += tokens
        self.position += len(step)
        rate = rate_at(share, settings=self.settings)
        self.gradient = self.optimiser.step(learning_rate=rate, max_grad_norm=self.settings.max_grad_norm)
        self.history.rates.append(rate)
        for helper in self.helpers:
            helper.moved(rate=rate)
        return sum(loss * (len(rows) / count) for loss, rows in zip(losses, step, strict=True))

    def _look(self) -> None:
        """End an epoch, or what stands for one: its mean loss, and how good the weights are now."""
        self.history.epochs.append(Epoch(loss=self.epoch_loss / self.epoch_count, step=self.optimiser.steps))
        self.epoch_loss, self.epoch_count = 0.0, 0
        with contextlib.ExitStack() as stack:
            for helper in self.helpers:
                stack.enter_context(helper.looking())
            self._validate()
        stale = len(self.history.epochs) - 1 - self.history.best_epoch
        self.history.stopped_early = bool(self.best and self.settings.patience and stale >= self.settings.patience)
        if self.looked and self.judge is not None:
            self.looked(self.history)

    def _validate(self) -> None:
        """Score the epoch, and keep its weights when they are the best so far."""
        if self.judge is None:
            return
        epoch = self.history.epochs[-1]
        said = [f"loss {epoch.loss:.3f}"]
        if self.judge.chooses:
            with self.formatted():
                figures = self.group.judged(functools.partial(self.judge.score, self.model))
            epoch.validation_score, epoch.validation_loss = figures
            figure = self.judge.figure.replace("_", " ")
            said += [f"validation loss {epoch.validation_loss:.3f}", f"{figure} {epoch.validation_score:.3f}"]
        if self.judge.more is not None:
            with self.formatted():
                epoch.more = self.group.judged(functools.partial(self.judge.more, self.model))
            said += [f"{name} {value:.3f}" for name, value in epoch.more.items()]
        self.model.train()
        when = f"step {self.optimiser.steps}" if self.settings.judge_every else f"epoch {self.epoch + 1}"
        self.progress.tell(f"  {when}: {', '.join(said)}")
        if self.watch:
            looked = dict(epoch.more)
            if epoch.validation_score is not None and epoch.validation_loss is not None:
                looked["validation_loss"] = epoch.validation_loss
                looked[self.judge.figure.replace(" ", "_")] = epoch.validation_score
            self.watch(self.optimiser.steps, looked, look=True)
        if epoch.validation_score is None or epoch.validation_loss is None:
            return
        found = (epoch.validation_score, -epoch.validation_loss)
        if self.best_score is None or found > self.best_score:
            self.prefer(self.weights, found)
        for helper in self.helpers:
            helper.judged(found)

    def prefer(self, weights: Mapping[str, Tensor], found: tuple[float, float]) -> None:
        """Keep a copy of these weights as the best so far. found: score, and minus the loss on the validation side."""
        self.best_score, self.history.best_epoch = found, len(self.history.epochs) - 1
        self.best = {name: value.clone() for name, value in weights.items()}

    def _save(self, *, force: bool = False) -> None:
        due = force or time.monotonic() - self.saved_at >= self.settings.checkpoint_every_s
        if self.scratch is None or not self.group.saves(due):
            return
        state = {
            "threads": torch.get_num_threads(),
            "processes": self.group.size,
            "accumulate": int(self.settings.accumulate),
            "print": self.print_of_run,
            "kernels": self.kernels.to_json(),
            "epoch": self.epoch,
            "position": self.position,
            "epoch_loss": self.epoch_loss.hex(),
            "epoch_count": self.epoch_count,
            "epoch_share": self.epoch_share,
            "steps": self.optimiser.steps,
            "best_score": self.best_score,
            "done": self.done,
            "history": self.history.to_json(),
        }
        tensors = {"weights": self.weights, "optimiser": self.optimiser.state(), "best": self.best}
        tensors |= {"objective": kept} if (kept := costs.state_of(self.objective)) else {}
        tensors |= {f"regulariser-{at}": kept for at, one in enumerate(self.helpers) if (kept := one.state())}
        self.group.write(
            self.scratch, name=f"{resume.NAME}{self.optimiser.steps:09d}-{self.epoch:05d}", tensors=tensors, state=state
        )
        if self.group.writes:
            checkpoints.prune(self.scratch, resume.NAME, keep=self.settings.keep_checkpoints)
        self.saved_at = time.monotonic()

    def restore(self, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        for name, value in tensors["weights"].items():
            self.weights[name].copy_(value)
        self.operators.refresh()
        self.optimiser.restore(tensors["optimiser"], steps=state["steps"])
        self.best = tensors.get("best", {})
        self.best_score = tuple(state["best_score"]) if state["best_score"] else None
        self.epoch, self.position, self.done = state["epoch"], state["position"], state["done"]
        self.epoch_loss, self.epoch_count = float.fromhex(state["epoch_loss"]), state["epoch_count"]
        self.epoch_share = state["epoch_share"]
        if "objective" in tensors:
            costs.restore(self.objective, tensors["objective"])
        for at, helper in enumerate(self.helpers):
            helper.restore(tensors.get(f"regulariser-{at}", {}))
        saved = {key: value for key, value in state["history"].items() if key != "tokens_per_s"}
        self.history = History(**{**saved, "epochs": [Epoch(**epoch) for epoch in saved["epochs"]], "resumed": True})
        self.progress.tell(f"  going on from step {self.optimiser.steps} (epoch {self.epoch + 1})")


def _step_seed(seed: int, epoch: int, position: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}/{position}".encode()).digest()[:7], "big")


def set_dropout(models: Sequence[nn.Module | None], rate: float | None) -> Callable[[], None]:
    """Set every rate of dropout to `rate`, unless None; returns a function that sets them back.

    Rates are those of dropout modules, and the numbers that attention and activations of some families keep themselves.
    """
    parts = [part for model in models if model is not None for part in model.modules()] if rate is not None else []
    before: list[tuple[Any, str, float]] = []
    for part in parts:
        names = ("p",) if isinstance(part, nn.Dropout) else ("dropout", "attention_dropout", "activation_dropout")
        before += [(part, name, part.__dict__[name]) for name in names if isinstance(part.__dict__.get(name), float)]
    for part, name, _ in before:
        setattr(part, name, float(rate or 0.0))

    def restore() -> None:
        for part, name, value in before:
            setattr(part, name, value)

    return restore
