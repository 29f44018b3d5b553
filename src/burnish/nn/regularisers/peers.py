"""Two networks that choose each other's lessons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.core.errors import BurnishError
from burnish.core.stage import Share
from burnish.nn.regularisers.base import Learn, Regulariser, Working, regularisers


@regularisers.part("co_teaching")
@dataclass(frozen=True)
class CoTeaching(Regulariser):
    """Two networks learn side by side; each learns the examples of a batch that cost the other least (Han et al. 2018).

    A wrong label costs much as long as it is not learnt by heart, and what one network has learnt by heart the other has
    not. They start alike but for the last layer, and have other dropout masks. What is kept is the better of the two by
    validation; without validation data the first. Costs twice the time and memory.

    forget: share of each batch that is left out in the end; what share of the labels is believed to be wrong.
    ramp: share of the run until that is reached, in even steps.
    """

    forget: Share = 0.2
    ramp: Share = 0.3

    teaches = "alone"
    second = True
    doubts = True

    def begin(self, run: Any) -> Working:
        from burnish.nn.costs import state_of

        if state_of(run.objective):
            raise BurnishError(
                "co_teaching has two networks, and this loss remembers what one has said",
                where="train.tune.regularise",
                hint="take one of the two: loss elr, or co_teaching",
            )
        return _Peers(run, self)


class _Peers(Working):
    """peer: the second network, on operators and with an optimiser of its own.

    chosen: which rows of the last batch each network was taught.
    """

    def __init__(self, run: Any, part: CoTeaching) -> None:
        from burnish.nn.kernels import installed
        from burnish.nn.optimise import AdamW

        self.run, self.part, self.peer = run, part, run.second
        _redraw(self.peer, seed=run.seed)
        self._open = installed(self.peer, run.kernels, seed=run.seed + 1)
        self.operators = self._open.__enter__()
        self.optimiser = AdamW(self.operators, weight_decay=run.optimiser.weight_decay)
        self.optimiser.factors = dict(run.optimiser.factors)
        self.chosen: tuple[Any, Any] = (None, None)

    @property
    def weights(self) -> dict[str, Any]:
        return {**self.operators.masters, **self.operators.tables}

    def learn(self, batch: Any, inner: Learn) -> float:
        """The value is the mean loss of what the first network was taught."""
        import torch

        run = self.run
        for name, weight in self.operators.working.items():
            weight.requires_grad_(run.operators.working[name].requires_grad)
        ours_B = run.losses(batch)
        self.operators.pool.begin(run.step_seed + 1)
        torch.manual_seed(run.step_seed + 1)
        theirs_B = run.losses(batch, model=self.peer)
        for_us, for_them = self._easiest(theirs_B), self._easiest(ours_B)
        self.chosen = (batch.rows[for_us.numpy()], batch.rows[for_them.numpy()])
        loss = self._taught(ours_B, for_us, batch)
        run.backward(loss)
        run.backward(self._taught(theirs_B, for_them, batch))
        return float(loss.detach())

    def _easiest(self, loss_B: Any) -> Any:
        """Numbers of the rows that cost least, ascending."""
        part, run = self.part, self.run
        done = run.optimiser.steps / max(run.total_steps, 1)
        left_out = part.forget * (min(1.0, done / part.ramp) if part.ramp else 1.0)
        count = max(1, round(len(loss_B) * (1.0 - left_out)))
        return loss_B.detach().topk(count, largest=False).indices.sort().values

    def _taught(self, loss_B: Any, rows: Any, batch: Any) -> Any:
        """Mean over the chosen rows, weighed."""
        import torch

        picked = loss_B[rows]
        weights = self.run.train.weights
        if weights is not None:
            picked = picked * torch.from_numpy(weights[batch.rows[rows.numpy()]])
        return picked.mean()

    def moved(self, *, rate: float) -> None:
        self.optimiser.step(learning_rate=rate, max_grad_norm=self.run.settings.max_grad_norm)

    def judged(self, found: tuple[float, float]) -> None:
        """Where the second network is the best so far, its weights are what is kept."""
        run = self.run
        score, loss = run.judge.score(self.peer)
        self.peer.train()
        run.progress.tell(f"  the second network: validation loss {loss:.3f}, {score:.3f}")
        if (score, -loss) > run.best_score:
            epoch = run.history.epochs[-1]
            epoch.validation_score, epoch.validation_loss = score, loss
            run.prefer(self.weights, (score, -loss))

    def state(self) -> dict[str, Any]:
        weights = {f"weights:{name}": value for name, value in self.weights.items()}
        return {**weights, **self.optimiser.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, value in self.weights.items():
            value.copy_(state[f"weights:{name}"])
        self.operators.refresh()
        self.optimiser.restore(dict(state), steps=self.run.optimiser.steps)

    def finish(self) -> None:
        self._open.__exit__(None, None, None)


def _redraw(model: Any, *, seed: int) -> None:
    """Draw the head's last layers anew, as wide as they were: matrices with fewer outputs than inputs."""
    import torch

    from burnish.nn.anatomy import head_weights

    generator = torch.Generator().manual_seed(seed + 1)
    last = head_weights(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in last and weight.ndim == 2 and weight.shape[0] < weight.shape[1] and weight.requires_grad:
                weight.normal_(0.0, float(weight.std()), generator=generator)
