"""What a training run is told, what "auto" becomes, and what the run tells of itself: of `nn.loop`, the one loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from torch import nn

from burnish.nn.batches import Examples
from burnish.nn.optimise import BETAS, EPS
from burnish.nn.stack import ROWS

Schedule = Literal["linear", "cosine", "constant", "wsd"]
WRITTEN = (
    5e6  # tokens from which a small encoder-decoder has learnt most of what it will: a quarter of an hour of one core
)
NARROW = 256  # hidden width up to which an encoder counts as narrow
MAX_LENGTH = 256  # where `max_length: auto` stops: attention grows with the square, classification rarely needs more


@dataclass(frozen=True)
class Training:
    """Settings of `fit`; "auto" is decided by `settle` from the data, and the history says what and why."""

    epochs: int | Literal["auto"] = "auto"  # 0 leaves the weights as they are
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


@dataclass(frozen=True)
class Evidence:
    """What decides an "auto": how much there is to learn from, and the network.

    count: windows; tokens: that are read of them all, longest: of one; written: tokens that an encoder-decoder writes, None
    of what writes nothing on its own. hidden, layers: of the network. start: "pretrained"; "nothing" for random weights;
    "behind an encoder": a decoder that has just been put there; of a strategy (`Strategy.start`) "adapters" for what it put
    in, "head" for a head alone on kept features. by_token: a target for every token, from weights that know the language.
    tags, places: see `aims`.
    """

    count: int
    tokens: int
    longest: int
    hidden: int
    layers: int
    written: int | None = None
    start: str = "pretrained"
    by_token: bool = False
    tags: bool = False
    places: bool = False


def aims(objective: Any, *, start: str) -> dict[str, bool]:
    """What of an objective decides. tags: one class a token, from weights that are not random; places: one place in a window
    that a text fills."""
    from burnish.nn.costs import task_of
    from burnish.nn.objectives import TokenCrossEntropy
    from burnish.nn.span_objectives import Borders

    return {
        "tags": start != "nothing" and isinstance(objective, TokenCrossEntropy),
        "places": isinstance(task_of(objective), Borders),
    }


def settle(
    settings: Training,
    *,
    train: Examples,
    hidden: int,
    layers: int,
    start: str = "pretrained",
    beside: int = 0,
    tags: bool = False,
    places: bool = False,
) -> tuple[Training, dict[str, str]]:
    """`decide` for these examples. beside: tokens that the network reads beside those of each text, of an image."""
    evidence = Evidence(
        count=len(train),
        tokens=int(train.offsets[-1]) + beside * len(train),
        longest=int(train.lengths.max()) + beside if len(train) else beside,
        hidden=hidden,
        layers=layers,
        written=int(train.output.offsets[-1]) if train.output is not None else None,
        start=start,
        by_token=(start == "pretrained" or tags) and (train.token_targets is not None or train.several is not None),
        tags=tags,
        places=places,
    )
    return decide(settings, evidence)


def decide(settings: Training, evidence: Evidence) -> tuple[Training, dict[str, str]]:
    """Decide every "auto" but max_length and precision; returns the settings and a reason for each decision.

    The evidence is thin where it says so (docs/log.md, "Training on a CPU").
    """
    reasons: dict[str, str] = {}
    if settings.epochs == "auto":
        settings = replace(settings, epochs=_passes(evidence))
        reasons["epochs"] = f"{evidence.count:,} examples"
    elif settings.epochs == 0:
        reasons["epochs"] = "logistic regression is the result"
    if settings.batch_tokens == "auto":
        total = evidence.tokens * int(settings.epochs)
        size = _a_step(evidence, total)
        each = -(-size // int(settings.accumulate)) if settings.accumulate != "auto" else size
        settings = replace(settings, batch_tokens=max(each, evidence.longest))
        reasons["batch_tokens"] = f"about {total / size:,.0f} steps of the {total:,} tokens"
        if each < size:
            reasons["batch_tokens"] += f", each of {settings.accumulate} batches"
    if settings.learning_rate == "auto":
        settings = replace(settings, learning_rate=_rate(evidence))
        said = f"{evidence.layers} layers, {evidence.hidden} wide, from {evidence.start}"
        reasons["learning_rate"] = said + ", tags" * evidence.tags
    return settings, reasons


def _passes(evidence: Evidence) -> int:
    """Epochs: 20 at 20 examples, 15 at 50, 5 at 1,000, 2 at 20,000 and more.

    More from random weights, and for a head alone, whose passes cost little: 12 of them over 1,000 texts. So do those of narrow
    networks, which know less (`_rate`). A decoder behind an
    encoder must learn where to look: half again the passes of pretrained weights. An encoder-decoder from nothing sees at
    most about WRITTEN tokens, read and written, in five passes or more (benchmarks/results/generation.md).
    """
    count, start = evidence.count, evidence.start
    wanted = 400 / count**0.36 if start == "nothing" else 60 / count**0.35
    if start == "pretrained" and evidence.hidden <= NARROW:
        wanted *= 2.5
    least, most = (10, 100) if start == "nothing" else (3, 20) if evidence.by_token else (2, 20)
    if start == "head":
        wanted, least, most = 150 / count**0.36, 4, 40
    if start == "behind an encoder":
        wanted, least, most = 100 / count**0.36, 4, 20
    if evidence.written is not None and start == "nothing":
        wanted, least = min(wanted, max(5.0, WRITTEN / (evidence.tokens + evidence.written))), 5
    return int(np.clip(round(wanted), least, most))


def _a_step(evidence: Evidence, total: int) -> int:
    """Tokens a step where `total` are learnt from in all: about 60 steps, for a step costs the optimiser's pass over all
    weights however small its batch; 38 steps lost 3 points on SST-2 with one seed of two. A multiple of the rows `stack`
    rounds up to.

    Random weights want some thousand steps, a decoder behind an encoder ten times 60. tags: twice the steps (CoNLL-2003,
    1,500 sentences). places: 120 steps at least, of up to 4,096 tokens, for 1,024 are five windows of SQuAD 2, half of them
    without a place, and at 3e-4 so few teach nothing (docs/log.md, "Refusing is learnt first").
    """
    steps = 120 if evidence.tags or evidence.places else 60
    if evidence.start == "pretrained" and evidence.hidden <= NARROW:
        steps = 200
    if evidence.start == "nothing":
        steps = 1500 if evidence.written is None else 2500
    if evidence.start == "behind an encoder":
        steps = 600
    most = 4096 if evidence.places else 1024 if evidence.by_token else 2048
    return int(np.clip(round(total / steps / ROWS) * ROWS, 256, most))


def _rate(evidence: Evidence) -> float:
    """The peak of the learning rate: 6 layers of 384 want 3e-4 (TREC, SST-2); 12 layers of 384 fell to chance at 3e-4 in one
    of six runs on 100 Chinese reviews; with a target for every token they are steadier (CLUENER, 1,500 records: entity F1 55
    at 1e-4, 61 at 2e-4 and at 3e-4).

    Narrower ones want more as 1 / width (Yang et al. 2022, "Tensor Programs V"; docs/log.md, "Minutes from random weights").

    tags: five thirds of the rate of a small encoder (1,500 sentences of CoNLL-2003 in three passes: entity F1 0.754 before,
    0.849 so). Random weights want ten times the rate. adapters: ten times the rate of all weights is best for LoRA from 1B to
    70B weights (Schulman 2025, "LoRA Without Regret"), with at most 2e-3, and 5e-4 for networks 512 wide and more, where it
    was tried here. head: 10 passes at 1e-3 to 15 at 3e-3 are best on TREC and SST-2, and 30 lose two points of SST-2. A
    decoder behind an encoder: three times the rate (benchmarks/results/generation.md).
    """
    hidden, layers, start = evidence.hidden, evidence.layers, evidence.start
    small = 5e-4 if evidence.tags else 3e-4
    rate = small if hidden <= 512 and layers <= 6 else 1e-4 if hidden < 1024 else 3e-5
    if start == "pretrained" and hidden <= NARROW:
        rate = min(1e-3, rate * 384 / hidden)
    if evidence.by_token and layers > 6 and hidden <= 512:
        rate = 2e-4
    if start in ("nothing", "head"):
        writes = evidence.written is not None
        return 2e-3 if hidden <= 128 or start == "head" else 1.5e-3 if writes and hidden <= 256 else 1e-3
    if start == "behind an encoder":
        return 3e-4
    if start == "adapters":
        return min(10 * rate, 2e-3 if hidden <= 512 else 5e-4)
    return rate


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
