"""The probe: a multinomial logistic regression on frozen vectors, trained in seconds on a CPU.

It gives few-shot labels, suspects among the labels, the order of review and the measured effect of a change to the data.
Loss: sum(w * cross_entropy) / sum(w) + l2 / 2 * |W|^2 on centred, standardised vectors, bias free of the penalty;
solved by L-BFGS (Byrd, Lu, Nocedal, Zhu 1995) in float32 products. l2 = 1 / (C n) in scikit-learn's terms.

n records, d dimensions, k classes. The same input gives the same output on the same machine and thread count.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

L2_GRID = (1.0, 0.1, 0.01, 1e-3, 1e-4)  # strongest first: each fit starts from the one before
L2_FALLBACK = 0.1  # where there is too little to choose by: a strong prior on few records
INNER_ROWS = 4000  # the choice of l2 and temperature needs no more; its cost stays flat
INNER_FOLDS = 3
FLOOR = 1e-7  # no probability is quite 0: its logarithm is taken downstairs
LOG_FLOOR = float(np.log(FLOOR))


class Probe:
    """A linear classifier on vectors; `fit` it, then ask for `probabilities`.

    l2: the penalty, or "auto" (the best cross-validated log loss among L2_GRID).
    calibrate: divide logits by the temperature (Guo et al. 2017) that fits best out of sample inside the training data.
    """

    def __init__(
        self, num_classes: int, *, seed: int, l2: float | Literal["auto"] = "auto", calibrate: bool = False
    ) -> None:
        self.num_classes, self.seed, self.l2, self.calibrate = num_classes, seed, l2, calibrate
        self.temperature = 1.0
        self.chosen_l2 = L2_FALLBACK
        nothing: Array = np.zeros(0, dtype=np.float32)
        self._mean = self._scale = self._weight = self._bias = nothing
        self._present: Array = np.zeros(0, dtype=np.int64)

    def fit(self, vectors: Array, targets: Array, *, weights: Array | None = None) -> Probe:
        """Learn from vectors (n, d) and targets (n,) class numbers or (n, k) rows that sum to 1; weights (n,) >= 0."""
        soft = one_hot(targets, self.num_classes)
        if len(soft) != len(vectors) or not len(soft):
            raise ValueError(f"{len(vectors)} vectors and {len(soft)} targets")
        weight = np.ones(len(soft), dtype=np.float32) if weights is None else np.asarray(weights, dtype=np.float32)
        vectors = np.asarray(vectors, dtype=np.float32)
        self.chosen_l2 = L2_FALLBACK if self.l2 == "auto" else float(self.l2)
        if self.l2 == "auto" or self.calibrate:
            self.chosen_l2, self.temperature = self._choose(vectors, soft, weight)
        self._train(vectors, soft, weight, self.chosen_l2)
        return self

    def logits(self, vectors: Array) -> Array:
        """(n, d) -> (n, k) before temperature; a class that was absent in training lies below all others."""
        if not len(self._present):
            raise ValueError("fit the probe before asking it")
        seen = self.standardised(vectors) @ self._weight + self._bias
        whole = np.full((len(seen), self.num_classes), -np.log(1 / FLOOR), dtype=np.float32)
        if len(seen):
            whole += seen.min(axis=1, keepdims=True)
        whole[:, self._present] = seen
        return whole

    def probabilities(self, vectors: Array) -> Array:
        """(n, d) -> (n, k) float32, rows sum to 1, none is quite 0."""
        return _softmax(self.logits(vectors) / self.temperature)

    @property
    def present(self) -> Array:
        """The classes that training held, in order."""
        return self._present

    def standardised(self, vectors: Array) -> Array:
        """(n, d) as its weights read them: centred, every dimension of deviation 1 in training."""
        standard: Array = (np.asarray(vectors, dtype=np.float32) - self._mean) / self._scale
        return standard

    def linear(self) -> tuple[Array, Array]:
        """weight (d, k) and bias (k) of the same logits on vectors as they are; a class absent in training has weight 0
        and a bias below all that was seen in training, by LOG_FLOOR."""
        weight = np.zeros((len(self._mean), self.num_classes), dtype=np.float32)
        weight[:, self._present] = self._weight / self._scale[:, None]
        bias = np.full(self.num_classes, float(self._bias.min()) + LOG_FLOOR, dtype=np.float32)
        bias[self._present] = self._bias - (self._mean / self._scale) @ self._weight
        return weight, bias

    def _train(self, vectors: Array, soft: Array, weight: Array, l2: float, start: Array | None = None) -> Array:
        """Solve for one l2; returns the parameters, for the next fit to start from."""
        share = weight / max(float(weight.sum()), 1e-12)
        self._mean = share @ vectors
        spread = np.sqrt(np.maximum(share @ np.square(vectors - self._mean), 0))
        self._scale = np.where(spread > 1e-6, spread, 1).astype(np.float32)
        self._present = np.flatnonzero(share @ soft > 0)
        standard = (vectors - self._mean) / self._scale
        wanted = np.ascontiguousarray(soft[:, self._present])
        solved = _solve(standard, wanted, share, l2, start)
        parameters = solved.reshape(-1, len(self._present)).astype(np.float32)
        self._weight, self._bias = parameters[:-1], parameters[-1]
        return solved

    def _choose(self, vectors: Array, soft: Array, weight: Array) -> tuple[float, float]:
        """(l2, temperature) by cross-validated log loss on at most INNER_ROWS records."""
        rows = _stratified_sample(soft.argmax(axis=1), INNER_ROWS, self.seed)
        vectors, soft, weight = vectors[rows], soft[rows], weight[rows]
        fold = assign_folds(soft.argmax(axis=1), folds=INNER_FOLDS, groups=None, seed=self.seed)
        if min(np.bincount(fold, minlength=INNER_FOLDS)) == 0 or len(np.unique(soft.argmax(axis=1))) < 2:
            return self.chosen_l2, 1.0
        grid = L2_GRID if self.l2 == "auto" else (self.chosen_l2,)
        best: tuple[float, float, float] | None = None
        starts: list[Array | None] = [None] * INNER_FOLDS
        for l2 in grid:
            held = np.empty_like(soft)
            for number in range(INNER_FOLDS):
                inside = fold != number
                inner = Probe(self.num_classes, seed=self.seed, l2=l2)
                starts[number] = inner._train(vectors[inside], soft[inside], weight[inside], l2, starts[number])
                held[~inside] = inner.logits(vectors[~inside])
            temperature = fit_temperature(held, soft, weight) if self.calibrate else 1.0
            loss = _log_loss(held / temperature, soft, weight)
            if best is not None and loss > best[0]:
                break  # log loss has one valley in l2: weaker ones are worse still
            best = (loss, l2, temperature)
        assert best is not None
        return best[1], best[2]


def out_of_sample(
    vectors: Array,
    targets: Array,
    *,
    num_classes: int,
    folds: int = 5,
    groups: Array | None = None,
    seed: int,
    weights: Array | None = None,
    l2: float | Literal["auto"] = "auto",
    calibrate: bool = False,
) -> Array:
    """Probabilities (n, k) for every record from a probe that has not seen it (nor anything of its group).

    targets: (n,) class numbers or (n, k) soft. groups: (n,) any values; equal ones stay in one fold.
    A class with fewer members than folds is absent from none but the folds it is held out of: with a single member
    its own probability is near 0 there, so do not judge its label by it (`judgeable` says which can be).
    """
    soft = one_hot(targets, num_classes)
    vectors = np.asarray(vectors, dtype=np.float32)
    if len(soft) < 2:
        raise ValueError(f"cross-validation needs at least 2 records, got {len(soft)}")
    fold = assign_folds(soft.argmax(axis=1), folds=min(folds, len(soft)), groups=groups, seed=seed)
    held = np.empty((len(soft), num_classes), dtype=np.float32)
    for number in np.unique(fold):
        outside = fold == number
        if outside.all():
            raise ValueError("all records are one group: nothing is left to learn from")
        part = None if weights is None else weights[~outside]
        probe = Probe(num_classes, seed=seed, l2=l2, calibrate=calibrate)
        held[outside] = probe.fit(vectors[~outside], soft[~outside], weights=part).probabilities(vectors[outside])
    return held


def judgeable(classes: Array, *, num_classes: int, folds: int = 5) -> Array:
    """Which records (n,) have a class with at least `folds` members, so that every fold could learn it."""
    counts = np.bincount(classes, minlength=num_classes)
    enough: Array = counts[classes] >= folds
    return enough


def assign_folds(classes: Array, *, folds: int, groups: Array | None, seed: int) -> Array:
    """A fold 0..folds-1 for every record (n,): classes spread evenly, groups kept whole.

    Groups of several go first, largest first, each to the fold that has least of what it holds; then single records are
    dealt class by class to the fold that has the fewest of that class.
    """
    random = np.random.default_rng(seed)
    num_classes = int(classes.max()) + 1
    have = np.zeros((folds, num_classes))
    fold = np.full(len(classes), -1, dtype=np.int64)
    if groups is not None:
        _, number, size = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
        order = np.argsort(number, kind="stable")
        members = np.split(order, np.cumsum(size)[:-1])
        several = [one for one in np.flatnonzero(size > 1)]
        random.shuffle(several)
        for one in sorted(several, key=lambda one: -size[one]):
            adds = np.bincount(classes[members[one]], minlength=num_classes)
            chosen = int(np.argmin(have @ adds + 1e-6 * have.sum(axis=1)))
            have[chosen] += adds
            fold[members[one]] = chosen
    for label in range(num_classes):
        single = np.flatnonzero((classes == label) & (fold < 0))
        random.shuffle(single)
        # fill the folds to one level of this class; ties go to the fold with least in all
        room = np.argsort(have[:, label] * 1e9 + have.sum(axis=1), kind="stable")
        for row, chosen in zip(single, _deal(have[:, label], room, len(single)), strict=True):
            fold[row] = chosen
            have[chosen, label] += 1
    return fold


def _deal(have: Array, room: Array, count: int) -> list[int]:
    """The fold of each of `count` records in turn: always the one with fewest so far, ties in the order of `room`."""
    import heapq

    heap = [(have[fold], rank, int(fold)) for rank, fold in enumerate(room)]
    heapq.heapify(heap)
    dealt = []
    for _ in range(count):
        level, rank, fold = heap[0]
        dealt.append(fold)
        heapq.heapreplace(heap, (level + 1, rank, fold))
    return dealt


def fit_temperature(logits: Array, targets: Array, weights: Array | None = None) -> float:
    """The temperature 0.05..20 that divides logits (n, k) to the least log loss against targets (n, k) or (n,)."""
    from scipy.optimize import minimize_scalar

    soft = one_hot(targets, logits.shape[1])
    weight = np.ones(len(soft)) if weights is None else weights
    found = minimize_scalar(
        lambda log_t: _log_loss(logits / np.exp(log_t), soft, weight),
        bounds=(np.log(0.05), np.log(20)),
        method="bounded",
    )
    return float(np.exp(found.x))


def one_hot(targets: Array, num_classes: int) -> Array:
    """(n,) class numbers or (n, k) shares -> (n, k) float32."""
    targets = np.asarray(targets)
    if targets.ndim == 2:
        if targets.shape[1] != num_classes:
            raise ValueError(f"targets have {targets.shape[1]} columns, not {num_classes}")
        return np.asarray(targets, dtype=np.float32)
    if len(targets) and not 0 <= targets.min() <= targets.max() < num_classes:
        raise ValueError(f"targets run from {targets.min()} to {targets.max()}, outside 0..{num_classes - 1}")
    soft = np.zeros((len(targets), num_classes), dtype=np.float32)
    soft[np.arange(len(targets)), targets] = 1
    return soft


def _solve(standard: Array, wanted: Array, share: Array, l2: float, start: Array | None) -> Array:
    """Parameters ((d + 1) * k,): weights row by row, then the bias. start: from where; the log of the shares if None."""
    from scipy.optimize import minimize

    width, classes = standard.shape[1], wanted.shape[1]
    if start is None or len(start) != (width + 1) * classes:
        start = np.zeros((width + 1) * classes)
        start[-classes:] = np.log(share @ wanted)

    def objective(flat: Array) -> tuple[float, Array]:
        parameters = flat.reshape(width + 1, classes).astype(np.float32)
        weight, bias = parameters[:-1], parameters[-1]
        logits = standard @ weight
        logits += bias
        top = logits.max(axis=1, keepdims=True)
        logits -= top
        inner = np.einsum("nk,nk->n", wanted, logits)  # log of the numerator, weighed by the target
        np.exp(logits, out=logits)
        total = logits.sum(axis=1, keepdims=True)
        loss = float(share @ (np.log(total[:, 0]) - inner).astype(np.float64))
        logits /= total
        logits -= wanted
        logits *= share[:, None]
        gradient = np.empty((width + 1, classes))
        gradient[:-1] = standard.T @ logits + l2 * weight
        gradient[-1] = logits.sum(axis=0)
        return loss + l2 / 2 * float(np.square(weight, dtype=np.float64).sum()), gradient.ravel()

    # float32 products leave about 1e-7 of noise in the loss: asking for less never ends
    options = {"maxiter": 300, "maxcor": 10, "ftol": 2e-7, "gtol": 1e-5}
    with _blas().limit(limits=1):
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    solved: Array = found.x
    return solved


@functools.cache
def _blas() -> Any:
    """The BLAS libraries that numpy and scipy brought. One thread: products this small cost 14 times more in two,
    which wait for each other, and one thread gives the same bits on every number of cores."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    made = np.maximum(shifted / shifted.sum(axis=1, keepdims=True), FLOOR)
    normal: Array = (made / made.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal


def _log_loss(logits: Array, soft: Array, weight: Array) -> float:
    """Mean cross-entropy in nats."""
    chances = np.log(_softmax(logits).astype(np.float64))
    return float(-(weight @ (soft * chances).sum(axis=1)) / max(float(weight.sum()), 1e-12))


def _stratified_sample(classes: Array, most: int, seed: int) -> Array:
    """At most about `most` row numbers, every class in its share (at least INNER_FOLDS of each), in order."""
    if len(classes) <= most:
        return np.arange(len(classes))
    random = np.random.default_rng(seed)
    taken = []
    for label in np.unique(classes):
        rows = np.flatnonzero(classes == label)
        count = min(len(rows), max(INNER_FOLDS, round(len(rows) * most / len(classes))))
        taken.append(random.choice(rows, count, replace=False))
    return np.sort(np.concatenate(taken))
