"""Which training records pulled an answer where it went: influence on the last layer, in closed form.

Koh and Liang (2017): with record i left out, the parameters of a model at its optimum move by H^-1 g_i / n, where g_i is the
record's gradient and H the Hessian of the training loss, penalty included. For the logistic probe both are known exactly,
so nothing is approximated but the step itself; it is checked against leaving records out (tests/nn/test_influence.py,
benchmarks/influence.py).

n training records, m questions, d dimensions (with one for the bias), k classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from burnish.nn.probe import Probe, one_hot

Array = np.ndarray[Any, np.dtype[Any]]
LEVERAGE = 1e11  # multiplications that the step of the left-out record itself may cost
EXACT = 4000  # parameters up to which the whole Hessian is solved; above, its blocks of one class each


class Influence:
    """A fitted probe and what it was fitted on; ask for `pulls`.

    targets: (n,) class numbers or (n, k) shares. weights: as in `Probe.fit`. exact: whether the whole Hessian is solved;
    with more than EXACT parameters only its blocks on the diagonal are (classes as if they did not compete).
    Memory: parameters squared, at most 128 MB; n x k beside it.
    """

    def __init__(self, probe: Probe, vectors: Array, targets: Array, *, weights: Array | None = None) -> None:
        self.probe = probe
        self.present = probe.present
        self.inputs = self._inputs(vectors)
        shares = one_hot(targets, probe.num_classes)[:, self.present]
        weight = np.ones(len(shares)) if weights is None else np.asarray(weights, dtype=np.float64)
        self.share = weight / weight.sum()
        chances = self._chances(vectors)
        self.slopes = (chances - shares).astype(np.float64)  # (n, k) the gradient of each loss by its logits
        width, classes = self.inputs.shape[1], len(self.present)
        self.exact = width * classes <= EXACT
        self._solve = self._whole(chances) if self.exact else self._blocks(chances)
        if self.exact and len(shares) * classes * (width * classes) ** 2 <= LEVERAGE:
            self.slopes = self._levered(chances)

    def pulls(self, vectors: Array, said: Array, wanted: Array) -> Array:
        """(m, n) how far each training record moved the answers from `wanted` to `said` (both (m,) class numbers).

        In logits: by how much the margin of `said` over `wanted` falls when that record is left out. Above 0: it pulled
        the answer there; below: it held against it. A class that was absent in training has no pull: 0.
        """
        place = np.full(self.probe.num_classes, -1)
        place[self.present] = np.arange(len(self.present))
        asked = self._inputs(vectors)
        towards = np.zeros((len(asked), len(self.present)))
        for classes, sign in ((place[np.asarray(said)], 1.0), (place[np.asarray(wanted)], -1.0)):
            rows = np.flatnonzero(classes >= 0)
            towards[rows, classes[rows]] += sign
        return -self._moved(asked, towards)

    def on_loss(self, vectors: Array, targets: Array) -> Array:
        """(m, n) by how much the log loss of each question rises when a training record is left out: above 0, it helped."""
        shares = one_hot(targets, self.probe.num_classes)[:, self.present]
        return self._moved(self._inputs(vectors), self._chances(vectors) - shares)

    def _moved(self, asked: Array, towards: Array) -> Array:
        """(m, n) first-order change of a quantity with gradient `towards` (m, k) by the logits, each record left out."""
        gradients = asked[:, :, None] * towards[:, None, :]  # (m, d, k)
        solved = self._solve(gradients)
        change: Array = np.einsum("mdk,nd,nk->mn", solved, self.inputs, self.slopes, optimize=True) * self.share
        return change

    def _levered(self, chances: Array) -> Array:
        """(n, k) slopes as Newton's step without the record sees them: the record's own bend is taken out of the Hessian
        (Woodbury: (I - s_i S_i B_i)^-1 with B_i = X_i H^-1 X_i', S_i = diag p_i - p_i p_i'). Large for records that stand
        alone, on few records."""
        count, classes = chances.shape
        eye = np.eye(classes)
        made = np.empty_like(self.slopes)
        for start in range(0, count, 256):
            rows = slice(start, min(start + 256, count))
            x = self.inputs[rows]
            units = (x[:, None, :, None] * eye[None, :, None, :]).reshape(-1, x.shape[1], classes)
            own = np.einsum("nd,nadk->nak", x, self._solve(units).reshape(len(x), classes, x.shape[1], classes))
            p = chances[rows]
            bend = p[:, :, None] * eye - p[:, :, None] * p[:, None, :]
            left = eye - self.share[rows, None, None] * bend @ own
            made[rows] = np.linalg.solve(left, self.slopes[rows][:, :, None])[:, :, 0]
        return made

    def _inputs(self, vectors: Array) -> Array:
        """(n, d) standardised as the probe reads them, with a one for the bias."""
        standard = self.probe.standardised(vectors).astype(np.float64)
        return np.concatenate([standard, np.ones((len(standard), 1))], axis=1)

    def _chances(self, vectors: Array) -> Array:
        logits = self.probe.logits(vectors)[:, self.present].astype(np.float64)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances: Array = raised / raised.sum(axis=1, keepdims=True)
        return chances

    def _penalty(self, width: int) -> Array:
        """l2 on weights; on the bias a trace of it, for logits that all move together change nothing."""
        penalty = np.full(width, self.probe.chosen_l2)
        penalty[-1] = 1e-6
        return penalty

    def _whole(self, chances: Array) -> Any:
        """Solve with sum_i s_i x_i x_i' (x) (diag p_i - p_i p_i') + penalty, parameters in the order (d, k)."""
        from scipy.linalg import cho_factor, cho_solve

        width, classes = self.inputs.shape[1], chances.shape[1]
        hessian = np.zeros((width, classes, width, classes))
        for a in range(classes):
            for b in range(a, classes):
                bend = self.share * (chances[:, a] * ((a == b) - chances[:, b]))
                hessian[:, a, :, b] = hessian[:, b, :, a] = self.inputs.T @ (bend[:, None] * self.inputs)
        flat = hessian.reshape(width * classes, width * classes)
        flat[np.diag_indices_from(flat)] += np.repeat(self._penalty(width), classes)
        factor = cho_factor(flat, lower=True, overwrite_a=True, check_finite=False)

        def solve(gradients: Array) -> Array:
            shape = gradients.shape
            solved: Array = cho_solve(factor, gradients.reshape(shape[0], -1).T).T.reshape(shape)
            return solved

        return solve

    def _blocks(self, chances: Array) -> Any:
        """The same, each class by itself."""
        from scipy.linalg import cho_factor, cho_solve

        penalty = np.diag(self._penalty(self.inputs.shape[1]))

        def solve(gradients: Array) -> Array:
            made = np.empty_like(gradients)
            for at in range(chances.shape[1]):
                if not gradients[:, :, at].any():
                    made[:, :, at] = 0.0
                    continue
                bend = self.share * chances[:, at] * (1 - chances[:, at])
                block = self.inputs.T @ (bend[:, None] * self.inputs) + penalty
                made[:, :, at] = cho_solve(cho_factor(block, lower=True), gradients[:, :, at].T).T
            return made

        return solve


def pulling(
    vectors: Array, targets: Array, asked: Array, said: Array, wanted: Array, *, num_classes: int, seed: int, most: int
) -> tuple[Array, Array]:
    """(rows (m, most) of the training records that pulled hardest from `wanted` to `said`, their pulls (m, most)).

    Fits a probe on vectors (n, d) and targets (n,), as a stand-in for the model whose answers these are.
    """
    probe = Probe(num_classes, seed=seed).fit(vectors, targets)
    pulls = Influence(probe, vectors, targets).pulls(asked, said, wanted)
    rows = np.argsort(-pulls, axis=1, kind="stable")[:, :most]
    return rows, np.take_along_axis(pulls, rows, axis=1)
