"""A few labelled texts teach an encoder which texts belong together; a linear layer then learns the classes.

SetFit (Tunstall et al. 2022) draws pairs of texts and encodes both sides of each, so a text is encoded once a pair. Here
every text of a batch is encoded once and all pairs of the batch are learnt from (as in Khosla et al. 2020): B texts give
B (B - 1) / 2 pairs for B passes, and nothing quadratic is ever listed.

B texts, D hidden, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from burnish.core.errors import BurnishError
from burnish.core.progress import Progress
from burnish.nn.anatomy import body
from burnish.nn.batches import Batch
from burnish.nn.embedding_heads import EncoderEmbedder
from burnish.nn.examples import Examples
from burnish.nn.heads import EncoderClassifier
from burnish.nn.loop import fit
from burnish.nn.predict import predict_logits
from burnish.nn.probe import Probe
from burnish.nn.training import History, Training, settle

STEPS = (40, 400)  # least and most
FEW_TEXTS = 16  # of a class, up to which the squared cosine teaches more than finding partners
FEW_TOKENS = 2048  # of a batch: about a hundred short texts, so that every class meets every other


@dataclass(frozen=True)
class Pairs:
    """outputs (B, D) of length 1, targets (B) classes.

    cosine: the squared distance of each pair's cosine from 1 (same class) or 0, pairs of both kinds weighing the same.
    supervised: cross entropy of finding texts of the same class among all others, cosines divided by `temperature`.
    """

    kind: Literal["cosine", "supervised"]
    temperature: float

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        """(B) float32; a text without a partner of its class learns from the others only (cosine) or not at all."""
        assert batch.targets is not None
        cosine_BB = outputs.float() @ outputs.float().T
        itself_BB = torch.eye(len(outputs), dtype=torch.bool)
        same_BB = (batch.targets[:, None] == batch.targets[None, :]) & ~itself_BB
        other_BB = ~same_BB & ~itself_BB
        if self.kind == "cosine":
            near_B = ((1.0 - cosine_BB) ** 2 * same_BB).sum(1) / same_BB.sum(1).clamp(min=1)
            far_B = (cosine_BB**2 * other_BB).sum(1) / other_BB.sum(1).clamp(min=1)
            return 0.5 * (near_B + far_B)
        log_p_BB = functional.log_softmax((cosine_BB / self.temperature).masked_fill(itself_BB, -torch.inf), 1)
        found_B = -(log_p_BB.masked_fill(~same_BB, 0.0)).sum(1) / same_BB.sum(1).clamp(min=1)
        return found_B


def loss_for(targets: np.ndarray | None) -> Literal["cosine", "supervised"]:
    """The loss that suits so many texts: eight a class of TREC 87.8% by the squared cosine beside 84.8%, of AG News 83.5 beside
    82.1; with about sixty it is no better, and two points worse on titles of ten topics (docs/log.md, "A few labels a class").

    targets: (n) classes or (n, classes) their shares.
    """
    if targets is None or not len(targets):
        return "cosine"
    classes = targets.shape[1] if targets.ndim == 2 else len(np.unique(targets))
    return "cosine" if len(targets) <= FEW_TEXTS * classes else "supervised"


def steps_for(count: int) -> int:
    """Steps of the encoder for `count` texts: each is seen some forty times, in batches of about a hundred."""
    return int(np.clip(40 * count / 100, *STEPS))


def paced(settings: Training, *, steps: int, longest: int) -> Training:
    """The settings of the encoder's steps: batches so large that every class meets every other, nothing is judged."""
    size = max(FEW_TOKENS, longest)
    return replace(settings, steps=steps, batch_tokens=size, patience=0, judge_every=None)


def teach(
    model: nn.Module,
    train: Examples,
    *,
    pairs: Pairs,
    steps: int,
    learning_rate: float | Literal["auto"],
    settings: Training,
    seed: int,
    scratch: Path | None,
    progress: Progress,
) -> History:
    """Both phases, in place. train: one class a text, hard or soft. settings: of the run, for what is not said here."""
    targets = train.targets
    shares = targets is not None and targets.ndim == 2 and np.allclose(targets.sum(1), 1.0, atol=1e-3)
    one_of = targets is not None and (targets.ndim == 1 or (shares and targets.shape[1] == len(_outputs(model))))
    if not isinstance(model, EncoderClassifier) or not one_of or targets is None:
        raise BurnishError(
            "contrastive learns one class a text with a mean-pooled encoder",
            where="train.tune.strategy",
            hint="full, or another strategy",
        )
    hard = targets.argmax(1) if targets.ndim == 2 else targets
    examples = replace(train, targets=hard.astype(np.int64))
    embedder = EncoderEmbedder(body(model))
    embedder.train()
    wanted = replace(paced(settings, steps=steps, longest=int(train.lengths.max())), learning_rate=learning_rate)
    if learning_rate == "auto":
        config: Any = model.config
        auto, _ = settle(
            replace(wanted, epochs=1), train=examples, hidden=config.hidden_size, layers=config.num_hidden_layers
        )
        wanted = replace(wanted, learning_rate=float(auto.learning_rate) / 3)  # the encoder alone moves, on few texts
    history = fit(
        embedder, examples, None, settings=wanted, scratch=scratch, progress=progress, seed=seed, objective=pairs
    )
    history.figure = ""
    settle_head(model, train, seed=seed)
    return history


def _outputs(model: nn.Module) -> tuple[str, ...]:
    return tuple(getattr(model, "labels", ()))


@torch.no_grad()
def settle_head(model: EncoderClassifier, train: Examples, *, seed: int) -> None:
    """Set the last layer to the logistic regression (`nn.probe`) of the classes on what lies below it."""
    head, last = model.head, model.head.out
    before = nn.Identity()
    try:
        head.out = before  # type: ignore[assignment]
        features = predict_logits(model, train)
    finally:
        head.out = last
    assert train.targets is not None
    probe = Probe(last.out_features, seed=seed).fit(features, train.targets, weights=train.weights)
    weight_DC, bias_C = probe.linear()
    last.weight.copy_(torch.from_numpy(weight_DC.T))
    last.bias.copy_(torch.from_numpy(bias_C))
    model.eval()
