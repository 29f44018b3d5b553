"""Which records a person should check so that the share of right labels is known within an asked half-width.

The design is stratified: records whose labels are probably right are checked thinly, doubtful ones closely (Neyman 1934,
"optimum allocation"; Cochran 1977, "Sampling Techniques", ch. 5). It is sequential: checks come in looks, and they end at
the first look at which the interval is narrow enough (fixed-width stopping, Chow and Robbins 1965; for shares Frey 2010).
The rule looks at the width alone, never at the value. N records, H strata.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from burnish.measures.certificate_intervals import stratified

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHECKS_A_STRATUM = 40  # fewer than this a stratum, and a division costs more in floors than it saves
# with more of them, moving checks to where errors were seen biases the share (benchmarks/certificate.py)
MOST_STRATA = 8
BANDS = 4  # of confidence in each group of labels: more gain next to nothing (Cochran 1977, 5A.8)
FLOOR = 5  # checks in every stratum, so that its own share can be guessed
THINNEST = 0.5  # of the average sampling rate: what a stratum gets however sure its labels look
FIRST = 0.4  # of the planned checks that come in the first look
FLAWLESS = 1.5  # times the checks that flawless labels need are the most of a first look
STEP = 0.12  # of the checks so far that each further look adds
LEAST_STEP = 6
TEMPER = 0.7  # of the guess that confidence makes; the rest is CAUTION
CAUTION = 0.8  # share right that is guessed where nothing is known: overconfident models are the rule (Guo et al. 2017)


@dataclass(frozen=True)
class Strata:
    """A division of N records. number: (N,) 0..H-1; sizes: (H,); guess: (H,) share right before any check; names: H."""

    number: Ints
    sizes: Ints
    guess: Floats
    names: tuple[str, ...]


def guessed(confidence: ArrayLike) -> Floats:
    """(N,) chance that a label is right, guessed from its confidence 0..1 (nan: unknown) with doubt about the model."""
    said = np.asarray(confidence, dtype=np.float64)
    return np.where(np.isnan(said), CAUTION, TEMPER * np.clip(said, 0.0, 1.0) + (1 - TEMPER) * CAUTION)


def divide(chance: ArrayLike, labels: Sequence[str], patterns: Sequence[str], *, checks: int) -> Strata:
    """Divide records by label, confidence and pattern of votes, into as many strata as `checks` can feed.

    chance: (N,) guessed chance of being right, `guessed`. Labels with the most expected errors stand alone, the rest
    together; each group is cut into bands that hold equal shares of sqrt(p (1 - p)), the rule that makes Neyman's
    variance least (Dalenius and Hodges 1959); inside a band that can be fed twice, records whose votes disagree are set
    apart from the others.
    """
    chance = np.asarray(chance, dtype=np.float64)
    most = min(max(1, checks // CHECKS_A_STRATUM), MOST_STRATA)
    bands = min(BANDS, most)
    names = np.asarray(labels, dtype=object)
    group, group_names = _label_groups(chance, names, most // bands)
    number = np.zeros(len(chance), dtype=np.int64)
    told: list[str] = []
    spread = np.sqrt(np.clip(chance * (1 - chance), 0.0025, None))
    contested = np.array([one == "contested" for one in patterns], dtype=bool)
    room = most - bands * len(group_names)
    for g, name in enumerate(group_names):
        rows = np.flatnonzero(group == g)
        for band, inside in enumerate(_bands(chance[rows], spread[rows], bands)):
            rows_here = rows[inside]
            apart = contested[rows_here]
            smaller = min(int(apart.sum()), int((~apart).sum()))
            parts = (
                [(apart, "contested"), (~apart, "")]
                if room > 0 and smaller * most >= len(chance)
                else [(apart | True, "")]
            )
            room -= len(parts) - 1
            for mask, pattern in parts:
                if mask.any():
                    number[rows_here[mask]] = len(told)
                    told.append(" / ".join(filter(None, (name, f"band {band + 1}", pattern))))
    sizes = np.bincount(number, minlength=len(told))
    guess = np.bincount(number, weights=chance, minlength=len(told)) / sizes
    return Strata(number, sizes, guess, tuple(told))


def _label_groups(chance: Floats, labels: NDArray[np.object_], most: int) -> tuple[Ints, list[str]]:
    """(N,) group of each record and the groups' names: labels with the most expected errors alone, the rest as one."""
    distinct, index = np.unique(labels.astype(str), return_inverse=True)
    if most < 2 or len(distinct) < 2:
        return np.zeros(len(labels), dtype=np.int64), ["any label"]
    wrong = np.bincount(index, weights=1 - chance)
    order = np.argsort(-wrong, kind="stable")
    alone = order if len(order) <= most else order[: most - 1]
    place = np.full(len(distinct), len(alone), dtype=np.int64)
    place[alone] = np.arange(len(alone))
    return place[index], [str(distinct[one]) for one in alone] + (["other labels"] if len(order) > len(alone) else [])


def _bands(chance: Floats, spread: Floats, bands: int) -> list[NDArray[np.bool_]]:
    """At most `bands` masks (m,) from sure to doubtful, cut where the cumulated spread passes equal shares; ties together."""
    order = np.argsort(-chance, kind="stable")
    summed = np.cumsum(spread[order])
    cut = np.minimum((summed - spread[order] / 2) / summed[-1] * bands, bands - 1).astype(np.int64)
    band = np.empty(len(chance), dtype=np.int64)
    band[order] = cut
    distinct, inverse = np.unique(chance, return_inverse=True)
    first = np.full(len(distinct), bands)
    np.minimum.at(first, inverse, band)
    band = first[inverse]
    return [band == one for one in np.unique(band)]


def allocate(sizes: ArrayLike, rates: ArrayLike, checks: ArrayLike, *, done: ArrayLike | None = None) -> Ints:
    """(..., H) checks of each stratum that sum to `checks` (or to all records): Neyman allocation with floors.

    sizes: (H,); rates: (..., H) shares right as far as known; checks: (...,). Every stratum gets FLOOR and at least
    THINNEST of the average sampling rate, for a stratum that looks flawless may only have been looked at too little. done:
    (..., H) checks already made: no stratum gets less.
    """
    sizes, rates = np.asarray(sizes, dtype=np.int64), np.asarray(rates, dtype=np.float64)
    least = np.broadcast_to(np.minimum(FLOOR, sizes), rates.shape)
    if done is not None:
        least = np.maximum(least, np.asarray(done, dtype=np.int64))
    wanted = np.minimum(np.maximum(np.asarray(checks, dtype=np.int64), least.sum(-1)), sizes.sum())
    want = sizes * np.sqrt(np.clip(rates * (1 - rates), 1e-4, None))
    share = np.maximum(want / want.sum(-1, keepdims=True), THINNEST * sizes / sizes.sum())
    low, high = np.zeros(wanted.shape), float(sizes.sum()) / share.min(-1)
    for _ in range(60):  # the level of share at which what is given, kept between least and all, sums to the checks
        level = (low + high) / 2
        short = np.clip(level[..., None] * share, least, sizes).sum(-1) < wanted
        low, high = np.where(short, level, low), np.where(short, high, level)
    given = np.clip(high[..., None] * share, least, sizes)
    whole = np.floor(given + 1e-9).astype(np.int64)
    rank = np.argsort(np.argsort(whole - given, axis=-1, kind="stable"), axis=-1, kind="stable")
    made: Ints = whole + ((rank < (wanted - whole.sum(-1))[..., None]) & (whole < sizes))
    return made


def half_width(sizes: ArrayLike, rates: ArrayLike, checked: ArrayLike, *, confidence: float = 0.95) -> float:
    """Half the width of the interval that shares of `rates` (H,) would give after checked (H,)."""
    checked = np.asarray(checked, dtype=np.float64)
    _, low, high = stratified(checked * np.asarray(rates), checked, sizes, confidence=confidence)
    return float(high - low) / 2


def needed(
    sizes: ArrayLike, rates: ArrayLike, width: float, *, done: ArrayLike | None = None, confidence: float = 0.95
) -> int:
    """The fewest checks with which the interval is expected to be within +- width, if the rates (H,) are as they seem."""
    sizes = np.asarray(sizes, dtype=np.int64)
    few, many = int(np.minimum(FLOOR, sizes).sum() if done is None else np.sum(done)), int(sizes.sum())
    while few < many:
        middle = (few + many) // 2
        narrow = half_width(sizes, rates, allocate(sizes, rates, middle, done=done), confidence=confidence) <= width
        few, many = (few, middle) if narrow else (middle + 1, many)
    return many


def simple_needed(total: int, rate: float, width: float, *, confidence: float = 0.95) -> int:
    """The checks that simple random sampling needs for the same, with one stratum of `total` records (Wilson's interval)."""
    few, many = 1, total
    while few < many:
        middle = (few + many) // 2
        narrow = half_width([total], [rate], [middle], confidence=confidence) <= width
        few, many = (few, middle) if narrow else (middle + 1, many)
    return many


def settled(right: ArrayLike, checked: ArrayLike, guess: ArrayLike) -> Floats:
    """(..., H) shares right as far as known: the guess (H,) recalibrated on what was seen.

    Recalibrated as Platt (1999) does, a + b logit(guess), with b pulled to 1 and a to 0: a model that is too sure of
    itself, or knows nothing, is so everywhere. That moves checks by two numbers learnt from all strata. Moving them by
    the errors of each stratum alone leaves those that were lucky unchecked and the share too high: coverage fell to 88%
    where it should be 95% (benchmarks/certificate.py, 8 strata of labels whose confidence says nothing, 183 checks).
    """
    right, checked = np.asarray(right, dtype=np.float64), np.asarray(checked, dtype=np.float64)
    guess = np.clip(np.asarray(guess, dtype=np.float64), 0.01, 0.99)
    middle = math.log(float(guess.mean()) / (1 - float(guess.mean())))
    slope = np.log(guess / (1 - guess)) - middle
    a, b = np.full(checked.shape[:-1], middle), np.ones(checked.shape[:-1])
    for _ in range(12):  # Newton on two numbers; the ridge keeps it inside
        rate = _sigmoid(a[..., None] + b[..., None] * slope)
        rest, bend = right - checked * rate, checked * rate * (1 - rate)
        by_a, by_b = rest.sum(-1) - 0.25 * (a - middle), (rest * slope).sum(-1) - 4.0 * (b - 1)
        aa, ab, bb = bend.sum(-1) + 0.25, (bend * slope).sum(-1), (bend * slope**2).sum(-1) + 4.0
        whole = aa * bb - ab**2
        a = a + np.clip((bb * by_a - ab * by_b) / whole, -1.5, 1.5)
        b = b + np.clip((aa * by_b - ab * by_a) / whole, -1.5, 1.5)
    return _sigmoid(a[..., None] + b[..., None] * slope)


def _sigmoid(logit: Floats) -> Floats:
    made: Floats = 1 / (1 + np.exp(-np.clip(logit, -8, 8)))
    return made


def first_look(sizes: ArrayLike, guess: ArrayLike, width: float, *, confidence: float = 0.95) -> Ints:
    """(H,) checks of the first look: FIRST of what is expected to be needed, or what nearly flawless labels need."""
    sizes = np.asarray(sizes, dtype=np.int64)
    planned = needed(sizes, guess, width, confidence=confidence)
    least = simple_needed(int(sizes.sum()), 1.0, width, confidence=confidence)
    return allocate(sizes, guess, math.ceil(min(FIRST * planned, FLAWLESS * least)))


def next_look(sizes: ArrayLike, right: ArrayLike, checked: ArrayLike, guess: ArrayLike) -> Ints:
    """(..., H) checks in all after the next look: STEP more than there are (..., H)."""
    checked = np.asarray(checked, dtype=np.int64)
    done = checked.sum(-1)
    step = np.maximum(LEAST_STEP, np.ceil(STEP * done)).astype(np.int64)
    return allocate(sizes, settled(right, checked, guess), done + step, done=checked)


def order(ids: Sequence[str], *, seed: int) -> Floats:
    """(N,) a permanent random number 0..1 of each id: the checked records of a stratum are those with the lowest.

    So a sample that grows keeps what it had, and a set of records that changes keeps most of its sample (Ohlsson 1995).
    """
    made = [int.from_bytes(hashlib.blake2b(f"{seed}:{one}".encode(), digest_size=8).digest(), "big") for one in ids]
    return np.array(made, dtype=np.float64) / 2.0**64


def merged(checked: ArrayLike, sizes: ArrayLike, guess: ArrayLike, *, least: int = 2) -> tuple[Ints, Ints, Floats]:
    """(new number of each stratum (H,), sizes, guess) with strata of fewer than `least` checks joined to their nearest.

    checked: (H,). Nearest by guess. For checks that stopped early, or records that nobody could decide. One stratum may keep fewer.
    """
    sizes, guess = np.asarray(sizes, dtype=np.int64), np.asarray(guess, dtype=np.float64)
    into = np.arange(len(sizes))
    weight, middle = sizes.astype(np.float64), guess.astype(np.float64).copy()
    count = np.array(checked, dtype=np.int64)
    wanted = np.minimum(least, sizes)
    while True:
        alive = np.unique(into)
        thin = [one for one in alive if count[one] < wanted[one]]
        if not thin or len(alive) == 1:
            break
        one = min(thin, key=lambda at: count[at])
        others = alive[alive != one]
        other = int(others[np.argmin(np.abs(middle[others] - middle[one]))])
        middle[other] = (middle[other] * weight[other] + middle[one] * weight[one]) / (weight[other] + weight[one])
        weight[other] += weight[one]
        count[other] += count[one]
        wanted[other] = least
        into[into == one] = other
    alive, place = np.unique(into, return_inverse=True)
    return place, weight[alive].astype(np.int64), middle[alive]
