"""AdamW for parameters, and for single rows of embedding tables; what both remember can be saved and read back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import torch
from torch import Tensor

from burnish.nn.kernels import Installed

BETAS, EPS = (0.9, 0.999), 1e-8


def layer_depths(names: list[str]) -> dict[str, int]:
    """How many steps below the top each parameter lies: 0 for the head, 1 for the last layer, most for embeddings."""
    found = {name: re.search(r"\.(?:layer|layers|h|block)\.(\d+)\.", f".{name}.") for name in names}
    numbers = [int(match.group(1)) for match in found.values() if match]
    top = max(numbers, default=-1) + 1
    return {
        name: top - int(match.group(1)) if (match := found[name]) else (top + 1 if "embeddings." in name else 0)
        for name in names
    }


@dataclass
class AdamW:
    """Decoupled weight decay (Loshchilov & Hutter 2019) over fp32 masters, with gradients in any format.

    Matrices decay, biases, norms and tables do not. Tables move lazily: a row's moments change only in the steps that
    touch it (as in torch's SparseAdam), so a step costs what the batch holds and not what the vocabulary holds.
    """

    installed: Installed
    weight_decay: float
    layer_decay: float
    head_factor: float = 1.0
    steps: int = 0
    row_moments: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [*self.installed.masters, *self.installed.tables]
        depths = layer_depths(names)
        self.factors = {
            name: self.layer_decay ** depths[name] * (self.head_factor if depths[name] == 0 else 1.0) for name in names
        }
        self.order = list(self.installed.masters)
        groups: dict[tuple[float, bool], list[str]] = {}
        for name in self.order:
            groups.setdefault((self.factors[name], self.installed.masters[name].ndim > 1), []).append(name)
        self.torch = torch.optim.AdamW(
            [
                {
                    "params": [self.installed.masters[name] for name in members],
                    "lr": torch.tensor(0.0),
                    "factor": factor,
                    "weight_decay": self.weight_decay if decays else 0.0,
                }
                for (factor, decays), members in groups.items()
            ],
            betas=BETAS,
            eps=EPS,
            fused=True,
        )
        for name, table in self.installed.tables.items():
            self.row_moments[name] = (torch.zeros_like(table), torch.zeros_like(table))

    def step(self, *, learning_rate: float, max_grad_norm: float) -> float:
        """Move everything that has a gradient, forget the gradients, and return their norm before clipping."""
        self.steps += 1
        rows = {name: _merged(table.touched) for name, table in self.installed.rows.items() if table.touched}
        grads = {name: p.grad for name, p in self.installed.working.items() if p.grad is not None}
        norm = self._norm([*grads.values(), *(grad for _, grad in rows.values())])
        clip = min(1.0, max_grad_norm / (norm + 1e-6)) if max_grad_norm > 0 else 1.0
        for name, grad in grads.items():
            master = self.installed.masters[name]
            grad = grad.float()
            master.grad = grad.mul_(clip) if clip < 1.0 else grad
            self.installed.working[name].grad = None
        for group in self.torch.param_groups:
            group["lr"].fill_(learning_rate * group["factor"])
        self.torch.step()
        for name in grads:
            self.installed.masters[name].grad = None
        for name, (rows_U, grad_UD) in rows.items():
            self._move_rows(name, rows_U, grad_UD.mul_(clip), learning_rate * self.factors[name])
            self.installed.rows[name].touched.clear()
        self.installed.refresh()
        return norm

    @staticmethod
    def _norm(grads: list[Tensor]) -> float:
        norms = [torch.linalg.vector_norm(grad, dtype=torch.float32) for grad in grads]
        return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0

    def _move_rows(self, name: str, rows_U: Tensor, grad_UD: Tensor, learning_rate: float) -> None:
        m, v = self.row_moments[name]
        table = self.installed.tables[name]
        m_UD = m[rows_U].lerp_(grad_UD, 1 - BETAS[0])
        v_UD = v[rows_U].mul_(BETAS[1]).addcmul_(grad_UD, grad_UD, value=1 - BETAS[1])
        m[rows_U], v[rows_U] = m_UD, v_UD
        right_m, right_v = 1 - BETAS[0] ** self.steps, 1 - BETAS[1] ** self.steps
        step_UD = m_UD / (v_UD.div_(right_v).sqrt_().add_(EPS))
        table[rows_U] = table[rows_U].sub_(step_UD, alpha=learning_rate / right_m)

    def state(self) -> dict[str, Tensor]:
        """Everything remembered, by name; tensors are shared, not copied."""
        out = {}
        for name in self.order:
            for key, value in self.torch.state.get(self.installed.masters[name], {}).items():
                out[f"{key}:{name}"] = value
        for name, (m, v) in self.row_moments.items():
            out[f"rows_m:{name}"], out[f"rows_v:{name}"] = m, v
        return out

    def restore(self, state: dict[str, Tensor], *, steps: int) -> None:
        """Take up what `state()` gave."""
        self.steps = steps
        for key, value in state.items():
            kind, name = key.split(":", 1)
            if kind == "rows_m":
                self.row_moments[name][0].copy_(value)
            elif kind == "rows_v":
                self.row_moments[name][1].copy_(value)
            else:
                self.torch.state[self.installed.masters[name]][kind] = value.clone()


def _merged(touched: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """(rows, fp32 gradients) of one step; a table read twice in a step has its gradients added up."""
    parts = [(rows, leaf.grad.float()) for rows, leaf in touched if leaf.grad is not None]
    if len(parts) == 1:
        return parts[0]
    rows_U, inverse = torch.unique(torch.cat([rows for rows, _ in parts]), return_inverse=True)
    grads = torch.cat([grad for _, grad in parts])
    return rows_U, torch.zeros(len(rows_U), grads.shape[1]).index_add_(0, inverse, grads)
