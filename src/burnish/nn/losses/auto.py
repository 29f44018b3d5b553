"""The loss that the origin of the labels asks for."""

from __future__ import annotations

from burnish.nn.losses.base import AutoLoss, CrossEntropyLoss, Loss
from burnish.nn.losses.noisy import EarlyLearning


def settled(asked: Loss, *, one_label: bool, people: bool, alone: bool) -> tuple[Loss, str]:
    """The loss that a setting opened to, "auto" by what is known of the labels; and why, or "asked for".

    one_label: each record has one of the labels. people: they gave all of them. alone: nothing else (a teacher, a
    regulariser) says how a step teaches. What labellers get wrong they get wrong in their own way, and a network learns
    that way after it has learnt what is right: ELR holds it there. benchmarks/results/weak-tuning.md has the figures.
    """
    if type(asked) is not AutoLoss:
        return asked, "asked for"
    if one_label and alone and not people:
        return EarlyLearning(), "labellers made some of the labels"
    return CrossEntropyLoss(), "people gave the labels" if people else "for this task or beside the other settings"
