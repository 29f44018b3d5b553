"""The strategy that a network and its data ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.nn.losses.base import losses
from burnish.nn.strategies.base import Full, Strategy, strategies
from burnish.nn.strategies.few_shot import Contrastive
from burnish.nn.strategies.freezing import ProbeFirst
from burnish.nn.strategies.low_rank import Lora

LIGHT = 20_000_000  # weights up to which all of a decoder move
FEW = 64  # labelled texts a class up to which pairs teach more than the texts one by one (benchmarks/few_shot.py)
ROOM = 0.8  # of the memory of the machine that weights, gradients and two moments may take


@strategies.part("auto")
@dataclass(frozen=True)
class Auto(Strategy):
    """What suits network, data and machine: lora for a pretrained decoder of more than 20 million weights and for what
    would not fit the memory, contrastive for up to 64 labelled texts a class, probe_first where labellers made labels, else full.
    """


@dataclass(frozen=True)
class Taught:
    """What a strategy is chosen by beside the network. records, labels: of the training side; one_label: each record has
    one of the labels; plain: no other setting says how a step teaches (loss, regularise, augment, distil,
    gold, passes, rate), and people gave the labels; people: they gave all labels."""

    records: int
    labels: int
    one_label: bool
    plain: bool
    people: bool = True


def plain(settings: Mapping[str, Any]) -> bool:
    """Whether no setting of `train.tune` says how a step teaches; passes and a rate speak of single texts."""
    said = any(settings[name] for name in ("regularise", "augment", "distil"))
    smooth = settings["label_smoothing"] not in ("auto", 0)
    passes = (settings["epochs"], settings["learning_rate"]) != ("auto", "auto")
    weighed = settings["class_weights"] != "none"
    return not (said or smooth or passes or weighed) and losses.plain(settings["loss"]) in ("auto", "cross_entropy")


def choose(model: Any, taught: Taught, *, memory: float | None = None) -> tuple[list[Strategy], str]:
    """The strategies for a network as it was built, and why. memory: bytes of the machine; None asks it.

    A large decoder learns by LoRA: 1% of the weights have gradients and moments, and nothing of what it knows is lost. A few
    texts a class teach more by pairs: with 8 of AG News contrastive was right on 83.5% beside 75.5% of full, with 64 on
    87.9% beside 86.4%, with 64 of SST-2 on 77.9% beside 69.5% (benchmarks/results/few-shot.md). More than 64 were tried with
    one seed alone. Wrong labels hurt pairs more: ten intents of Banking77, 600 texts with a fifth of the labels wrong, came to
    87.0% with contrastive, to 97.5% without the doubted ones (benchmarks/results/planted.json, one seed): so not where
    labellers made the labels. There the head starts at a probe: of five sets with constructed labels tuning as ever came to
    81.9%, so and with the loss that suits them (`losses.auto`) to 83.4% (benchmarks/results/weak-tuning.md).
    """
    from burnish.nn.heads import EncoderClassifier

    count = sum(weight.numel() for weight in model.parameters())
    decoder = hasattr(model, "reads_first") and not model.reads_first
    pretrained = getattr(model, "start", "pretrained") == "pretrained"
    kind = "a decoder" if decoder else "an encoder-decoder" if hasattr(model, "reads_first") else "an encoder"
    if decoder and pretrained and count > LIGHT:
        return [Lora()], f"a pretrained decoder of {count / 1e6:,.0f} million weights"
    if pretrained and 16.0 * count > ROOM * (memory or _memory()):
        return [Lora()], f"{kind} of {count / 1e6:,.0f} million weights, which with moments would not fit this machine"
    few = taught.one_label and taught.plain and taught.labels > 1 and taught.records <= FEW * taught.labels
    if few and pretrained and isinstance(model, EncoderClassifier):
        return [Contrastive()], f"{taught.records} texts for {taught.labels} labels, at most {FEW} for each"
    if taught.one_label and not taught.people and pretrained and isinstance(model, EncoderClassifier):
        return [ProbeFirst()], "labellers made some of the labels"
    start = getattr(model, "start", "pretrained")
    begun = "from nothing" if start == "nothing" else start
    return [Full()], f"{kind}, {begun}, of {count / 1e6:,.1f} million weights"


def _memory() -> float:
    """Bytes of the machine's memory; endless where the system does not say."""
    import os

    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return float("inf")


def settled(parts: list[Any], model: Any, taught: Taught) -> tuple[list[Any], str]:
    """The strategies that a setting opened to, "auto" by what `choose` says; and why, or "asked for"."""
    return choose(model, taught) if [type(one) for one in parts] == [Auto] else (parts, "asked for")
