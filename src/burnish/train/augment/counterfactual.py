"""Counterfactuals: the same text about somebody else, its label kept; or its opposite, its label turned round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from burnish.core.records import Record
from burnish.core.stage import nearest
from burnish.text.counterparts import OPPOSITES, changes, counterparts, paired
from burnish.text.edits import Edit, Stretch
from burnish.text.words import find_keywords, placed
from burnish.train.augment.base import Augmentation, Ground, Passage, Write, augmentations, digest, lines_of

NEAR = 3  # words before an opposite in which a negation makes the new label doubtful
NEGATIONS = (
    "not",
    "n't",
    "no",
    "never",
    "hardly",
    "without",
    "neither",
    "nor",
    "不",
    "没",
    "没有",
    "别",
    "无",
    "非",
    "未",
    "毫无",
)


@augmentations.part("counterfactual")
@dataclass(frozen=True)
class Counterfactual(Augmentation):
    """Terms swapped for their counterparts, he for she, 爸爸 for 妈妈; the label stays (Zhao et al. 2018, Lu et al. 2020).

    about: which of the terms that come with burnish, English and Chinese: gender, groups (religions, origins), or all.
    pairs: a file of your own in their place, a pair of terms a line with a tab between. The first line that names a term
        says what it becomes; a term paired with itself is left alone, and so is what stands in it (其他 with 其他).
    """

    about: Literal["gender", "groups", "all"] = "gender"
    pairs: str | None = None

    def outside(self, base: Path) -> Mapping[str, str]:
        return {} if self.pairs is None else {"pairs": digest(self.pairs, base)}

    def begin(self, ground: Ground) -> Write:
        if self.pairs is not None:
            known = paired(lines_of(self.pairs, ground.base, least=2))
        else:
            known = counterparts(self.about)
        return lambda passages: [swapped(one, known) for one in passages]


@augmentations.part("invert")
@dataclass(frozen=True)
class Invert(Augmentation):
    """One word replaced by its opposite, and the label by the one that you name (Kaushik, Hovy and Lipton 2020, by rule).

    flip: the label each label becomes, such as {positive: negative, negative: positive}; records with others get no copy.
    pairs: a file of opposites in place of those that come with burnish (English and Chinese words of praise and blame), a
        pair a line with a tab between; "is<TAB>is not" is a pair too.

    Only texts with exactly one such word are inverted, and none with a negation before it.
    """

    flip: Mapping[str, str] | None = None
    pairs: str | None = None

    def problem(self, task: Any) -> str:
        if tuple(task.target) != ("label",):
            return f"invert turns one label round, and the target of {task.spec.type} is {', '.join(task.target)}"
        if not self.flip:
            return f"invert wants to know what labels become: flip: {{{task.labels[0]}: {task.labels[-1]}, ...}}"
        strange = [one for one in (*self.flip, *self.flip.values()) if one not in task.labels]
        return (
            f"invert.flip: no label {strange[0]!r} ({nearest(strange[0], task.labels, 'labels are')})"
            if strange
            else ""
        )

    def outside(self, base: Path) -> Mapping[str, str]:
        return {} if self.pairs is None else {"pairs": digest(self.pairs, base)}

    def begin(self, ground: Ground) -> Write:
        lines = (
            lines_of(OPPOSITES.name, OPPOSITES.parent, least=2)
            if self.pairs is None
            else lines_of(self.pairs, ground.base, least=2)
        )
        known = paired(lines)
        return lambda passages: [[] if _denied(one, known) else swapped(one, known) for one in passages]

    def target(self, made: Record, parent: Record, *, task: Any, num_edits: int) -> Record | None:
        """The label turned round; None where other than one word was replaced, or the label stays what it is."""
        flip, labels = self.flip or {}, list(task.labels)
        if num_edits != 1 or parent.label is None or flip.get(parent.label, parent.label) == parent.label:
            return None
        probs = None
        if parent.probs is not None:
            probs = [0.0] * len(labels)
            for label, belief in zip(labels, parent.probs, strict=True):
                probs[labels.index(flip.get(label, label))] += belief
        return replace(made, label=flip[parent.label], probs=probs)


def swapped(passage: Passage, known: Mapping[str, str]) -> list[Edit]:
    """Every term that may change, replaced by its counterpart with the same capitals."""
    edits = changes(passage.text, known)
    free = set(passage.free([(edit.start, edit.end) for edit in edits]))
    return [edit for edit in edits if (edit.start, edit.end) in free]


def _denied(passage: Passage, known: Mapping[str, str]) -> bool:
    """Whether a negation stands shortly before one of the terms, so that its opposite may say nearly the same."""
    text = passage.text
    terms = find_keywords(text, tuple(known))
    words = placed(text)
    return any(_negation(text[slice(*one)].lower()) for term in terms for one in _before(words, term))


def _before(words: Sequence[Stretch], term: Stretch) -> list[Stretch]:
    return [word for word in words if word[1] <= term[0]][-NEAR:]


def _negation(word: str) -> bool:
    return word in NEGATIONS or word.endswith(("n't", "n’t"))
