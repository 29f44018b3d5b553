"""The one training loop: batches in, better weights out, the same to the last bit each time.

What a step does depends on (weights, seed, epoch, number of the batch) and nothing else, so a run that was killed
goes on from its newest checkpoint and ends with the bytes of a run that was not.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from burnish.core.errors import BurnishError
from burnish.core.progress import Progress, peak_mb
from burnish.nn import checkpoints, costs, frozen
from burnish.nn.batches import Batch, Examples, make_batch, padding_rate, training_order
from burnish.nn.devices import device_of, formatted, moved
from burnish.nn.distributed import Group
from burnish.nn.kernels import Installed, Kernels, choose, for_gpu, with_layers
from burnish.nn.muon import Muon
from burnish.nn.objectives import CrossEntropy, Objective, TokenCrossEntropy, balanced_weights, cross_entropy
from burnish.nn.optimise import BETAS, EPS, AdamW
from burnish.nn.predict import outputs_of, pad_token_of, predict_logits, read_lengths
from burnish.nn.recompute import recomputed
from burnish.nn.regularisers.base import Regulariser, Working
from burnish.nn.regularisers.base import check as stand_together
from burnish.nn.stack import ROWS
from burnish.nn.strategies.base import Strategy, combined

CHECKPOINTS = 5  # what a checkpoint holds; another number is another run
Schedule = Literal["linear", "cosine", "constant", "wsd"]
MAX_LENGTH = 256  # where `max_length: auto` stops: attention grows with the square, classification rarely needs more


@dataclass(frozen=True)
class Training:
    """Settings of `fit`; "auto" is decided by `settle` from the data, and the history says what and why."""

    epochs: int | Literal["auto"] = "auto"
    learning_rate: float | Literal["auto"] = "auto"
    schedule: Schedule = "linear"
    warmup: float = 0.1  # share of all steps
    decay: float = 0.2  # share of all steps in which "wsd" falls
    decay_shape: Literal["sqrt", "linear"] = "sqrt"  # how it falls
    optimiser: Literal["adamw", "muon"] = "adamw"
    betas: tuple[float, float] = BETAS  # of AdamW, as eps
    eps: float = EPS
    weight_decay: float = 0.01
    batch_tokens: int | Literal["auto"] = "auto"
    max_length: int | Literal["auto"] = "auto"  # used where texts are encoded; see `auto_max_length`
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    patience: int = 3  # epochs without a better validation score before stopping; 0 never stops early
    class_weights: Literal["none", "balanced"] = "none"
    label_smoothing: float = 0.0
    max_grad_norm: float = 1.0  # 0 does not clip
    dropout: float | None = None  # None keeps the model's own
    accumulate: int | Literal["auto"] = 1  # batches a step, of all processes; auto is one a process
    activation_checkpointing: bool = False  # keep the input of each layer alone, and compute the rest again going back
    device: Literal["auto", "cpu", "cuda"] = "auto"
    steps: int | None = None  # of the optimiser in all; None walks `epochs` to their end
    judge_every: int | None = None  # steps between validations; None after every epoch
    checkpoint_every_s: float = 60.0
    keep_checkpoints: int = 2  # the newest, and the one before it should the newest turn out damaged


@dataclass
class Epoch:
    """One pass, or what lay between two validations: mean training loss, and figures where there is validation data.

    step: of the optimiser, at its end. more: what the judge looked at beside its score, by name.
    """

    loss: float
    validation_loss: float | None = None
    validation_score: float | None = None
    step: int = 0
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Judge:
    """Who says how good the model is after an epoch. figure: the name of the score, higher is better.

    score: model -> (score, validation loss). reads: what it gives the model to read, so that frozen layers can be
    computed beforehand. more: model -> figures that are shown and choose nothing.
    """

    figure: str
    score: Callable[[nn.Module], tuple[float, float]]
    reads: tuple[Examples, ...] = ()
    chooses: bool = True  # the weights with the best score are kept; else the last ones, and nothing is scored
    more: Callable[[nn.Module], dict[str, float]] | None = None


class Watch(Protocol):
    """Who is told how training goes: loss, rate, gradient (norm before clipping), tokens_per_s, padding (share) and
    memory_mb (peak) of a step; validation_loss, the judge's figure and what it looked at beside it of a look."""

    def __call__(self, step: int, figures: Mapping[str, float], *, look: bool = False) -> None: ...


@dataclass
class History:
    """What happened: for the report, and for the tests.

    seconds and cpu_seconds are of the training steps of this process alone; tokens_per_s counts real tokens, not
    padding. resolved: setting -> value; reasons: setting -> why. best_epoch counts from 0; -1 without validation data.
    """

    epochs: list[Epoch] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    resolved: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    kernels: dict[str, Any] = field(default_factory=dict)
    figure: str = "accuracy"  # what validation_score is
    best_epoch: int = -1
    stopped_early: bool = False
    resumed: bool = False
    padding_rate: float = 0.0
    tokens: int = 0
    examples: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0  # of this process's memory, by the end

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"tokens_per_s": self.tokens_per_s}


def auto_max_length(lengths: np.ndarray, *, limit: int) -> tuple[int, str]:
    """The shortest multiple of 8 that holds 99% of the texts whole, at most MAX_LENGTH and the model's own limit."""
    if len(lengths) == 0:
        return min(limit, MAX_LENGTH), "no texts"
    wanted = int(math.ceil(float(np.quantile(lengths, 0.99)) / 8) * 8)
    chosen = max(8, min(wanted, limit, MAX_LENGTH))
    cut = float((lengths > chosen).mean())
    return chosen, f"99% of texts have at most {wanted} tokens; {cut:.1%} lose their end at {chosen}"


def settle(
    settings: Training,
    *,
    train: Examples,
    hidden: int,
    layers: int,
    start: str = "pretrained",
    beside: int = 0,
    tags: bool = False,
) -> tuple[Training, dict[str, str]]:
    """Decide every "auto" but max_length and precision; returns the settings and a reason for each decision.

    The evidence is thin where it says so (docs/log.md, "Training on a CPU"). epochs: 20 at 20 examples, 15 at 50, 5 at
    1,000, 2 at 20,000 and more. batch_tokens: about 60 steps, for a step costs the optimiser's pass over all weights
    however small its batch; 38 steps lost 3 points on SST-2 with one
    seed of two. A multiple of the rows `stack` rounds up to. learning_rate: 6 layers of 384 want 3e-4 (TREC, SST-2); 12 layers of 384 fell to chance
    at 3e-4 in one of six runs on 100 Chinese reviews; with a target for every token they are steadier (CLUENER, 1,500
    records: entity F1 55 at 1e-4, 61 at 2e-4 and at 3e-4), and twice the steps help (CoNLL-2003, 1,500 sentences).
    start: "nothing" for random weights, which want ten times the rate and some thousand steps; "adapters" for what a
    strategy put in (`Strategy.start`): ten times the rate of all weights is best for LoRA from 1B to 70B weights
    (Schulman 2025, "LoRA Without Regret"), with at most 2e-3, and 5e-4 for networks 512 wide and more, where it
    was tried here; "head" for a head alone on kept features, whose passes cost little: 12 of them over
    1,000 texts (10 at 1e-3 to 15 at 3e-3 are best on TREC and SST-2, and 30 lose two points of SST-2). beside: tokens that the network reads beside those of each text, of an image.
    tags: one class a token, from pretrained weights: twice the steps, and five thirds of the rate of a small encoder (1,500
    sentences of CoNLL-2003 in three passes: entity F1 0.754 before, 0.849 so).
    """
    count, tokens = len(train), int(train.offsets[-1]) + beside * len(train)
    by_token = (start == "pretrained" or tags) and (train.token_targets is not None or train.several is not None)
    reasons: dict[str, str] = {}
    chosen: dict[str, Any] = {}
    if settings.epochs == "auto":
        wanted = 400 / count**0.36 if start == "nothing" else 60 / count**0.35
        least, most = (10, 100) if start == "nothing" else (3, 20) if by_token else (2, 20)
        if start == "head":
            wanted, least, most = 150 / count**0.36, 4, 40
        epochs = int(np.clip(round(wanted), least, most))
        chosen["epochs"], reasons["epochs"] = epochs, f"{count:,} examples"
    epochs = chosen.get("epochs", settings.epochs)
    if settings.batch_tokens == "auto":
        longest = int(train.lengths.max()) + beside
        fit = tokens * epochs / (1500 if start == "nothing" else 120 if tags else 60)
        size = int(np.clip(round(fit / ROWS) * ROWS, 256, 1024 if by_token else 2048))
        each = -(-size // int(settings.accumulate)) if settings.accumulate != "auto" else size
        chosen["batch_tokens"] = max(each, longest)
        reasons["batch_tokens"] = f"about {tokens * epochs / size:,.0f} steps of the {tokens * epochs:,} tokens"
        if each < size:
            reasons["batch_tokens"] += f", each of {settings.accumulate} batches"
    if settings.learning_rate == "auto":
        small = 5e-4 if tags else 3e-4
        rate = small if hidden <= 512 and layers <= 6 else 1e-4 if hidden < 1024 else 3e-5
        if by_token and layers > 6 and hidden <= 512:
            rate = 2e-4
        if start in ("nothing", "head"):
            rate = 2e-3 if hidden <= 128 or start == "head" else 1e-3
        elif start == "adapters":
            rate = min(10 * rate, 2e-3 if hidden <= 512 else 5e-4)
        chosen["learning_rate"] = rate
        reasons["learning_rate"] = f"{layers} layers, {hidden} wide, from {start}{', tags' * tags}"
    return replace(settings, **chosen), reasons


def rate_at(progress: float, *, settings: Training) -> float:
    """The learning rate after `progress` (0..1) of all steps: linear warm-up, then what the schedule says.

    linear, cosine: fall to 0. constant: stays. wsd: stays, and falls to 0 in the last `decay` of all steps, by
    1 - sqrt(share of them) or in a line (warm-up-stable-decay: Hu et al. 2024; sqrt: Haegele et al. 2024).
    """
    peak = float(settings.learning_rate)
    if progress < settings.warmup:
        return peak * progress / settings.warmup
    if settings.schedule == "constant":
        return peak
    if settings.schedule == "wsd":
        fallen = 1.0 - (1.0 - progress) / max(settings.decay, 1e-9)
        if fallen <= 0.0:
            return peak
        return peak * (1.0 - (math.sqrt(fallen) if settings.decay_shape == "sqrt" else fallen))
    left = (1.0 - progress) / max(1.0 - settings.warmup, 1e-9)
    return peak * (left if settings.schedule == "linear" else 0.5 * (1.0 - math.cos(math.pi * left)))


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
    Best: highest score of the judge, then lowest validation loss; without validation data the last weights. scratch: a folder for checkpoints; when it holds one of
    this very run (same data, settings, seed, first weights), training goes on from there. strategies: already placed
    (`Strategy.place`). group: the processes that train together (`nn.distributed`), each in this very call; None is this
    one alone. watch: is told the figures of every step and look, in the first process. looked: is given the history after
    every look; what it raises ends the run (a search that stops a trial). Raises BurnishError when the loss stops being a
    number.
    """
    group = group or Group()
    if objective is None and train.targets is None:
        raise ValueError("training examples need targets")
    if len(train) == 0:
        raise BurnishError("there are no training examples", hint="look at the split: its training side is empty")
    if problem := stand_together(regularisers):
        raise BurnishError(problem, where="train.tune.regularise")
    config = getattr(model, "config", None)
    hidden = int(getattr(config, "hidden_size", 384))
    layers = int(getattr(config, "num_hidden_layers", 6))
    start = next((one.start for one in strategies if one.start), getattr(model, "start", "pretrained"))
    beside = int(getattr(model, "image_tokens", 0))
    tags = start != "nothing" and isinstance(objective, TokenCrossEntropy)
    decide = functools.partial(settle, train=train, hidden=hidden, layers=layers, start=start, beside=beside, tags=tags)
    settled, reasons = decide(settings)
    objective = objective or _classes(model, train, settled)
    hooked = any(one.modules for one in strategies) or any(one.modules for one in regularisers)
    if judge is None and validation is not None and len(validation):
        judge = Judge("accuracy", functools.partial(_accuracy, examples=validation), (validation,))
    print_of_run = _print(model, train, validation, settled, seed, [objective, *strategies, *regularisers])
    group.check(objective, strategies, regularisers)
    if group.parts and settled.optimiser == "muon":
        raise BurnishError(
            "muon turns whole matrices, and here each process holds a part of them",
            where="train.tune.optimiser",
            hint="engine.parallel: ddp, or adamw",
        )
    found = group.read(_resume_point(scratch, print_of_run, group.size, progress) if group.writes else None)
    if settings.accumulate == "auto":
        accumulate = found[1]["accumulate"] if found else group.size
        settled, reasons = decide(replace(settings, accumulate=accumulate))
    if int(settled.accumulate) < group.size:
        progress.tell(f"  warning: accumulate {settled.accumulate} is fewer batches a step than {group.size} processes")
    device = device_of(settled.device)
    if found:
        kernels = Kernels(**{**found[1]["kernels"], "why": tuple(found[1]["kernels"]["why"])})
    elif device.type == "cuda":
        kernels = for_gpu(precision=settled.precision)
    else:
        heads = int(getattr(config, "num_attention_heads", hidden // 32))
        kernels = choose(precision=settled.precision, hidden=hidden, head=hidden // heads)
        if hooked:
            kernels = replace(
                kernels, why=(*kernels.why, "layers as modules: a strategy or regulariser looks into them")
            )
        else:
            kernels = with_layers(kernels, model)
    kernels = group.kernels(kernels)
    for line in kernels.why:
        progress.tell(f"  {line}")
    second = copy.deepcopy(model).train() if any(one.second for one in regularisers) else None
    rates = [rate for one in regularisers if (rate := one.dropout_rate()) is not None]
    restore_dropout = set_dropout([model, second], rates[-1] if rates else settled.dropout)
    group.place(model.train(), device)
    if second is not None:
        group.place(second, device)
    gpus = [device] if device.type == "cuda" else []
    try:
        with contextlib.ExitStack() as around:
            network, operators = around.enter_context(group.installed(model, kernels, seed=seed))
            around.enter_context(torch.random.fork_rng(devices=gpus))
            if any(one.caches for one in strategies) and not (found and found[1]["done"]):
                if hooked or any(one.perturbs for one in regularisers):
                    progress.tell(
                        "  frozen layers are computed in every step: a strategy or regulariser looks or reaches into them"
                    )
                elif kernels.modules == "stock":
                    progress.tell("  frozen layers are computed in every step: the network runs on its own modules")
                else:
                    examples = [train, *(judge.reads if judge else ())]
                    bottom = frozen.known(model, operators, kernels, examples, scratch=scratch, progress=progress)
                    reasons["frozen"] = around.enter_context(bottom)
            around.enter_context(recomputed(network, operators, settled.activation_checkpointing))
            run = Run(
                network, train, settled, operators, seed, scratch, progress, print_of_run, kernels, objective, judge
            )
            run.group, run.device = group, device
            run.optimiser.squares = group.squares
            run.strategies, run.second = tuple(strategies), second
            run.looked = looked
            run.optimiser.scale(combined(strategies, model))
            run.watch = watch if group.writes else None
            run.helpers = [working for one in strategies if (working := one.begin(run)) is not None]
            run.helpers += [one.begin(run) for one in regularisers]
            run.history.reasons = reasons
            run.history.resolved = {key: getattr(settled, key) for key in ("epochs", "learning_rate", "batch_tokens")}
            run.history.resolved["precision"] = kernels.number_format
            run.history.kernels = kernels.to_json()
            run.history.resolved["accumulate"] = settled.accumulate
            if found:
                run.restore(group.tensors(found[0], operators), found[1])
            run.go()
    finally:
        restore_dropout()
        model.to("cpu")  # what follows, calibration and saving, is small
    model.eval()
    return run.history


class Run:
    """The state of one `fit`: what a checkpoint holds, and the walk over epochs and batches.

    What regularisers may use: model, second (a copy of it, of before the run, where one of them asks for it), objective,
    judge, train, settings, seed, weights (fp32, by name), optimiser, operators, kernels, history, progress, best and
    best_score, `total_steps`, `step_seed`, `forward`, `losses`, `loss`, `backward`, `again`, `counting`, `forgetting`.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Examples,
        settings: Training,
        operators: Installed,
        seed: int,
        scratch: Path | None,
        progress: Progress,
        print_of_run: str,
        kernels: Kernels,
        objective: Objective,
        judge: Judge | None,
    ) -> None:
        self.model, self.train, self.settings = model, train, settings
        self.objective, self.judge = objective, judge
        self.operators, self.seed, self.scratch, self.progress = operators, seed, scratch, progress
        self.print_of_run, self.kernels = print_of_run, kernels
        moves = Muon if settings.optimiser == "muon" else AdamW
        self.optimiser = moves(operators, weight_decay=settings.weight_decay, betas=settings.betas, eps=settings.eps)
        self.history = History(figure=judge.figure if judge else "")
        self.group, self.device = Group(), torch.device("cpu")
        self.strategies: tuple[Strategy, ...] = ()
        self.looked: Callable[[History], None] | None = None
        self.helpers: list[Working] = []
        self.watch: Watch | None = None
        self.second: nn.Module | None = None
        self.step_seed = 0
        self.total_steps = 0  # about: batches differ a little from epoch to epoch
        self.epoch, self.position = 0, 0
        self.epoch_loss, self.epoch_count = 0.0, 0  # since the last look
        self.epoch_share = 0.0  # of the whole run that lay behind when this epoch began
        self.gradient = 0.0  # norm of the last step's, before clipping
        self._scale = 1.0
        self.best: dict[str, Tensor] = {}
        self.best_score: tuple[float, float] | None = None
        self.done = False
        self.saved_at = time.monotonic()

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.operators.masters | self.operators.tables

    def go(self) -> None:
        """Walk the epochs that are left, and end with the best weights."""
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
                self.step_seed = _step_seed(self.seed, self.epoch, self.position + at)
                self.again()
                self._scale = len(batch.rows) / count if counts else 0.0
                loss = self._taught()(moved(batch, self.device))
                if counts:
                    losses[at], tokens = loss, tokens + batch.num_tokens
        except BurnishError as error:
            self.group.failed(error)
        losses, tokens = self.group.agreed(losses, tokens)
        self.group.sum_gradients(self.operators)
        self.history.tokens += tokens
        self.position += len(step)
        rate = rate_at(share, settings=self.settings)
        self.gradient = self.optimiser.step(learning_rate=rate, max_grad_norm=self.settings.max_grad_norm)
        self.history.rates.append(rate)
        for helper in self.helpers:
            helper.moved(rate=rate)
        return sum(loss * (len(rows) / count) for loss, rows in zip(losses, step, strict=True))

    def _taught(self) -> Callable[[Batch], float]:
        """How one batch teaches: plainly, inside every regulariser, the first one outermost."""
        learn: Callable[[Batch], float] = self._plain
        for helper in reversed(self.helpers):
            learn = functools.partial(helper.learn, inner=learn)
        return learn

    def _plain(self, batch: Batch) -> float:
        loss = self.loss(batch)
        self.backward(loss)
        return float(loss.detach())

    def again(self) -> None:
        """Draw from here on what was drawn from the batch's beginning on: a second forward has the same dropout masks.

        Without it, it has others.
        """
        self.operators.pool.begin(self.step_seed)
        torch.manual_seed(self.step_seed)  # for what draws outside the pool; the loop runs inside fork_rng

    def forward(self, batch: Batch, model: nn.Module | None = None) -> Any:
        """What the model gives for a batch; decoders compute no more logits than the loss asks for."""
        run, model = getattr(self.objective, "forward", None), model or self.model
        return run(model, batch) if run else outputs_of(model, batch)

    def losses(self, batch: Batch, outputs: Any = None, model: nn.Module | None = None) -> Tensor:
        """(B) losses of a batch, before examples are weighed; outputs: of `forward`, where it has run already."""
        outputs = self.forward(batch, model) if outputs is None else outputs
        return self.objective.loss(outputs, batch, model or self.model)

    def loss(self, batch: Batch, outputs: Any = None) -> Tensor:
        """Mean loss of a batch, its examples weighed; outputs: of `forward`, where it has run already."""
        with self.formatted():
            return self.group.within(self._loss, batch, outputs)

    def _loss(self, batch: Batch, outputs: Any) -> Tensor:
        return self.mean(self.losses(batch, outputs), batch)

    def mean(self, values_B: Tensor, batch: Batch) -> Tensor:
        """The mean of something of each example, weighed as its loss is."""
        if batch.weights is not None:
            values_B = values_B * batch.weights
        return values_B.mean()

    @contextlib.contextmanager
    def counting(self, share: float) -> Iterator[None]:
        """Inside, gradients count this share of what they count outside."""
        before = self._scale
        self._scale = before * share
        try:
            yield
        finally:
            self._scale = before

    @contextlib.contextmanager
    def forgetting(self) -> Iterator[None]:
        """Inside, gradients reach what the caller watches, and leave those of the weights as they were."""
        working, rows = self.operators.working.values(), self.operators.rows.values()
        grads, touched = [weight.grad for weight in working], [list(table.touched) for table in rows]
        for weight in working:
            weight.grad = None
        try:
            yield
        finally:
            for weight, grad in zip(working, grads, strict=True):
                weight.grad = grad
            for table, before in zip(rows, touched, strict=True):
                table.touched[:] = before

    def formatted(self) -> contextlib.AbstractContextManager[Any]:
        """The number format of the products, where modules do not have it by themselves."""
        return formatted(self.device, self.kernels.autocast)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a mean loss to those of this step."""
        value = float(loss.detach())
        if not math.isfinite(value):
            raise BurnishError(
                f"the training loss is {value} in step {self.optimiser.steps + 1}",
                hint=f"lower train.tune.learning_rate (now {self.settings.learning_rate}), or set precision: fp32",
            )
        if loss.requires_grad:  # 0 where another process counts this batch
            torch.autograd.backward(loss * self._scale if self._scale != 1.0 else loss)

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
            self.scratch, name=f"checkpoint-{self.optimiser.steps:09d}-{self.epoch:05d}", tensors=tensors, state=state
        )
        if self.group.writes:
            checkpoints.prune(self.scratch, "checkpoint-", keep=self.settings.keep_checkpoints)
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


def _accuracy(model: nn.Module, examples: Examples) -> tuple[float, float]:
    loss, accuracy = score(model, examples)
    return accuracy, loss


def _classes(model: nn.Module, train: Examples, settings: Training) -> CrossEntropy:
    """The objective of one class a text, weighed and smoothed as the settings say."""
    if settings.class_weights == "none":
        return CrossEntropy(label_smoothing=settings.label_smoothing)
    targets = train.targets
    assert targets is not None
    labels = getattr(model, "labels", None) or getattr(getattr(model, "config", None), "id2label", {})
    num_classes = targets.shape[1] if targets.ndim == 2 else max(len(labels), int(targets.max()) + 1)
    return CrossEntropy(balanced_weights(targets, num_classes=num_classes), settings.label_smoothing)


def score(model: nn.Module, examples: Examples) -> tuple[float, float]:
    """(mean cross entropy, accuracy) on examples with targets; soft targets count as their most likely class."""
    assert examples.targets is not None
    logits_NC = predict_logits(model, examples)
    loss_N = cross_entropy(torch.from_numpy(logits_NC), torch.from_numpy(examples.targets))
    hard_N = examples.targets.argmax(1) if examples.targets.ndim == 2 else examples.targets
    return float(loss_N.double().mean()), float((logits_NC.argmax(1) == hard_N).mean())


def _resume_point(
    scratch: Path | None, print_of_run: str, processes: int, progress: Progress
) -> tuple[Path, dict[str, Any]] | None:
    """Folder and state of the newest sound checkpoint of this very run; of as many threads, unless the number of
    processes is another, for then the bits are others anyway."""
    for name in checkpoints.names(scratch, "checkpoint-") if scratch is not None and scratch.is_dir() else []:
        assert scratch is not None
        state = checkpoints.state_of(scratch / name)
        if isinstance(state, str):
            progress.tell(f"  checkpoint not used: {state}")
        elif state["print"] != print_of_run or (
            state["processes"] == processes and state["threads"] != torch.get_num_threads()
        ):
            progress.tell(f"  {name} belongs to other data, settings or versions: not used")
        else:
            return scratch / name, state
    return None


def _print(
    model: nn.Module,
    train: Examples,
    validation: Examples | None,
    settings: Training,
    seed: int,
    parts: Sequence[Any],
) -> str:
    """A checksum of all that decides how a run ends. parts: objective, strategies, regularisers."""
    total = hashlib.sha256()
    decisive = {
        key: value for key, value in asdict(settings).items() if key not in ("checkpoint_every_s", "keep_checkpoints")
    }
    facts = [
        CHECKPOINTS,
        decisive,
        seed,
        train.digest(),
        validation.digest() if validation else None,
        torch.__version__,
        [repr(part) for part in parts],
    ]
    total.update(json.dumps(facts, sort_keys=True).encode())
    for name, value in model.state_dict().items():
        total.update(name.encode())
        total.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return total.hexdigest()


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
