"""What `nn.loop.fit` learns and judges by where it is told neither: one class a text."""

from __future__ import annotations

import functools

import torch
from torch import nn

from burnish.nn.examples import Examples
from burnish.nn.objectives import CrossEntropy, balanced_weights, cross_entropy
from burnish.nn.predict import predict_logits
from burnish.nn.training import Judge, Training


def objective_of(model: nn.Module, train: Examples, settings: Training) -> CrossEntropy:
    """The objective of one class a text, weighed and smoothed as the settings say."""
    if settings.class_weights == "none":
        return CrossEntropy(label_smoothing=settings.label_smoothing)
    targets = train.targets
    assert targets is not None
    labels = getattr(model, "labels", None) or getattr(getattr(model, "config", None), "id2label", {})
    num_classes = targets.shape[1] if targets.ndim == 2 else max(len(labels), int(targets.max()) + 1)
    return CrossEntropy(balanced_weights(targets, num_classes=num_classes), settings.label_smoothing)


def judge_of(validation: Examples) -> Judge:
    """The accuracy on these examples."""
    return Judge("accuracy", functools.partial(_accuracy, examples=validation), (validation,))


def _accuracy(model: nn.Module, examples: Examples) -> tuple[float, float]:
    loss, accuracy = score(model, examples)
    return accuracy, loss


def score(model: nn.Module, examples: Examples) -> tuple[float, float]:
    """(mean cross entropy, accuracy) on examples with targets; soft targets count as their most likely class."""
    assert examples.targets is not None
    logits_NC = predict_logits(model, examples)
    loss_N = cross_entropy(torch.from_numpy(logits_NC), torch.from_numpy(examples.targets))
    hard_N = examples.targets.argmax(1) if examples.targets.ndim == 2 else examples.targets
    return float(loss_N.double().mean()), float((logits_NC.argmax(1) == hard_N).mean())
