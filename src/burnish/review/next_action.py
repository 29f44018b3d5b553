"""What to do next, with the gain to expect: write a rule, label some more, or stop."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from burnish.nn.continuing import softmax
from burnish.nn.probe import Probe
from burnish.text.words import terms

LABELS = 40  # records of a proposal to label
WORTH = 0.005  # gain, as a share, below which nothing is worth doing: half a point
SPLITS = 10  # times that words are chosen on one half and measured on the other
LEAST_WRONG = 4  # wrong ones of a label before words are looked for in them
SHOWN_WORDS = 5
LOW_COVERAGE = 0.5  # of the mean share covered, below which a label is told to be short of rules
CANDIDATES = 5 * LABELS  # most doubtful records that diversity chooses from


def next_action(found: Any, numbers: Mapping[str, Any], *, seed: int) -> dict[str, Any]:
    """{"actions": candidates, the best first, "action": the first}; each with kind, gain (share, low, high) and said.

    found: `gold_curves.Pool`; numbers: of its curves. Gains of labelling are gains in test accuracy by the slope of the
    curve "gold last" a doubling; gains of a rule are gains in label accuracy, of words chosen on one half of the checked
    records and measured on the other.
    """
    actions = [one for one in (_rule(found, seed), _label(found, numbers, seed)) if one is not None]
    actions.sort(key=lambda one: -one["gain"]["value"])
    best = actions[0] if actions and actions[0]["gain"]["value"] >= WORTH else None
    stop = {"kind": "stop", "gain": {"value": 0.0}, "said": STOP}
    return {"actions": [*actions, stop], "action": best or stop}


STOP = {
    "en": "Stop: neither more checked records nor a rule promises half a point.",
    "zh": "可以停止：再检查记录或再写规则，预计都不足半个百分点。",
}


def _label(found: Any, numbers: Mapping[str, Any], seed: int) -> dict[str, Any] | None:
    """Label LABELS more: which, and by how much the curve still rises."""
    slope, there = numbers["slope"], max(numbers["checked"], 1)
    doublings = math.log2((there + LABELS) / there)
    gain = {name: max(0.0, slope[name] * doublings) for name in ("value", "low", "high")}
    k = len(found.labels)
    probe = Probe(k, seed=seed).fit(
        np.vstack([found.weak, found.vectors]), np.vstack([found.soft, np.eye(k)[found.truth]])
    )
    chances = np.sort(softmax(probe.logits(found.weak).astype(np.float64)), axis=1)
    doubtful = np.argsort(chances[:, -1] - chances[:, -2], kind="stable")[:CANDIDATES]
    ids = [found.weak_ids[one] for one in doubtful[_spread(found.weak[doubtful], min(LABELS, len(doubtful)))]]
    said = {
        "en": f"Label these {len(ids)}: about {100 * gain['value']:+.1f} points of test accuracy ({100 * gain['low']:.1f} to {100 * gain['high']:.1f}).",
        "zh": f"标注这 {len(ids)} 条：测试准确率预计 {100 * gain['value']:+.1f} 个百分点（{100 * gain['low']:.1f} 至 {100 * gain['high']:.1f}）。",
    }
    return {"kind": "label", "gain": gain, "ids": ids, "said": said} if ids else None


def _spread(vectors: np.ndarray, count: int) -> list[int]:
    """Positions far from each other: the first, then always the one farthest from all before (Gonzalez 1985)."""
    chosen = [0]
    nearest = vectors @ vectors[0]
    while len(chosen) < count:
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return chosen


def _rule(found: Any, seed: int) -> dict[str, Any] | None:
    """Write a rule for the label whose records are most often labelled otherwise, with the words that are frequent there."""
    rows = [at for at, given in enumerate(found.given) if given is not None]
    bags = [set(terms(found.texts[at])) for at in rows]
    true = np.array([found.labels[found.truth[at]] for at in rows], dtype=object)
    given = np.array([found.given[at] for at in rows], dtype=object)
    weight = found.weight[rows]
    random = np.random.default_rng(seed)
    gains = []
    for _ in range(SPLITS if len(rows) else 0):
        half = random.random(len(rows)) < 0.5
        for inside in (half, ~half):
            chosen = best_words(bags, true, given, weight, inside)
            gains.append(gain_of(chosen[0], chosen[1], bags, true, given, weight, ~inside) if chosen else 0.0)
    whole = best_words(bags, true, given, weight, np.ones(len(rows), dtype=bool)) if len(rows) else None
    low = _least_covered(found)
    if whole is None and low is None:
        return None
    gain = float(np.mean(gains)) if whole and gains else 0.0
    spread = float(np.std(gains)) if whole and gains else 0.0
    label, words = whole if whole else (low[0], low[2]) if low else ("", [])
    about = {"en": [], "zh": []}  # type: dict[str, list[str]]
    if whole:
        about["en"].append(f"frequent in what is wrong: {', '.join(words)}")
        about["zh"].append(f"错误记录中常见：{'、'.join(words)}")
    if low and (not whole or low[0] == label):
        about["en"].append(f"only {low[1]:.0%} of the records that seem to be it have a label")
        about["zh"].append(f"看来属于它的记录只有 {low[1]:.0%} 有标注")
        if not whole and words:
            about["en"].append(f"frequent among the others: {', '.join(words)}")
            about["zh"].append(f"其余记录中常见：{'、'.join(words)}")
    said = {
        "en": f"Write a rule for {label} ({'; '.join(about['en'])}): about {100 * gain:+.1f} points of label accuracy.",
        "zh": f"为 {label} 写一条规则（{'；'.join(about['zh'])}）：标注准确率预计 {100 * gain:+.1f} 个百分点。",
    }
    held = {"value": max(gain, 0.0), "low": gain - 2 * spread, "high": gain + 2 * spread}
    return {"kind": "rule", "label": label, "words": words, "gain": held, "said": said}


def best_words(
    bags: Sequence[set[str]], true: np.ndarray, given: np.ndarray, weight: np.ndarray, inside: np.ndarray
) -> tuple[str, list[str]] | None:
    """The label and its words whose rule would mend most of the records `inside` (n,) bool, where it gains anything.

    A word is taken for a label as long as records that it mends outweigh those that it would spoil.
    """
    wrong = inside & (true != given)
    best: tuple[float, str, list[str]] | None = None
    for label in dict.fromkeys(true[wrong].tolist()):
        missed = np.flatnonzero(wrong & (true == label))
        if len(missed) < LEAST_WRONG:
            continue
        counts = Counter(word for at in missed.tolist() for word in bags[at])
        chosen: list[str] = []
        reached = 0.0
        for word, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:60]:
            gain = gain_of(label, [*chosen, word], bags, true, given, weight, inside)
            if counts[word] > 1 and gain > reached + 1e-9:
                chosen, reached = [*chosen, word], gain
            if len(chosen) == SHOWN_WORDS:
                break
        if chosen and (best is None or reached > best[0]):
            best = (reached, label, chosen)
    return None if best is None else (best[1], best[2])


def gain_of(
    label: str, words: Sequence[str], bags: Sequence[set[str]], true: np.ndarray, given: np.ndarray, weight: np.ndarray,
    inside: np.ndarray,
) -> float:  # fmt: skip
    """What the label accuracy of records `inside` gains when all that hold one of the words get the label; -1..1."""
    hit = inside & np.array([bool(bag.intersection(words)) for bag in bags], dtype=bool) & (given != label)
    change = (true == label).astype(float) - (true == given)
    return float((weight * change)[hit].sum() / max(weight[inside].sum(), 1e-12))


def _least_covered(found: Any) -> tuple[str, float, list[str]] | None:
    """(label, covered share of the records that seem to be it, words frequent among the uncovered) of a neglected label."""
    if len(found.rest) < LABELS or found.covered >= 0.99:
        return None
    k = len(found.labels)
    probe = Probe(k, seed=0).fit(
        np.vstack([found.weak, found.vectors]), np.vstack([found.soft, np.eye(k)[found.truth]])
    )
    seems = probe.logits(found.rest).argmax(1)
    open_ = np.bincount(seems, minlength=k) / len(seems) * (1 - found.covered)
    done = found.soft.mean(0) * found.covered
    share = done / np.maximum(open_ + done, 1e-12)
    enough = (open_ + done) > 0.01
    if not enough.any():
        return None
    label = int(np.argmin(np.where(enough, share, 2.0)))
    if share[label] > LOW_COVERAGE * found.covered:
        return None
    mine = [set(terms(found.rest_texts[at])) for at in np.flatnonzero(seems == label)]
    others = [set(terms(found.rest_texts[at])) for at in np.flatnonzero(seems != label)]
    here, there = Counter(word for bag in mine for word in bag), Counter(word for bag in others for word in bag)
    odds = {
        word: (count + 0.5) / (len(mine) + 1) / ((there[word] + 0.5) / (len(others) + 1))
        for word, count in here.items()
        if count >= max(3, len(mine) // 50)
    }
    words = sorted(odds, key=lambda word: (-odds[word] * math.sqrt(here[word]), word))[:SHOWN_WORDS]
    return found.labels[label], float(share[label]), words
