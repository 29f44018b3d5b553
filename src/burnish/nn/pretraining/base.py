"""What a network learns from text alone; a spec names one of these, or one and a judgement of sentences beside it.

Files of this folder declare them as parts (`core.parts`) and wake torch only inside functions; what they compute is in
nn.pretraining_objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from burnish.core.parts import Family

pretraining = Family("pre-training objective", "burnish.nn.pretraining")


@dataclass(frozen=True)
class Pretraining:
    """kind: the architecture that can learn it. pairs: of sentences that it judges, "next", "order", or "" for none.
    rate: peak learning rate from random weights. betas, eps: of AdamW."""

    name: ClassVar[str] = ""
    kind: ClassVar[str] = "encoder"
    pairs: ClassVar[str] = ""
    rate: ClassVar[float] = 1e-3
    betas: ClassVar[tuple[float, float]] = (0.9, 0.98)
    eps: ClassVar[float] = 1e-6

    @property
    def sentinels(self) -> int:
        """Special tokens <extra_id_N> that the tokenizer must have."""
        return 0

    def objective(self, tokenizer: Any, *, judges: str = "") -> Any:
        """The objective of the loop (`nn.objectives.Objective`). judges: pairs of the part that stands beside it."""
        raise NotImplementedError


AUTO = {"encoder": "masked", "decoder": "causal", "encoder-decoder": "spans"}


def chosen(value: Any, kind: str) -> tuple[Pretraining, Pretraining | None]:
    """(what is learnt of tokens, what is judged of sentences) that a setting means for an architecture; () by its kind."""
    parts = pretraining.open(value)
    tokens = [one for one in parts if not one.pairs] or pretraining.open(AUTO[kind])
    judged = [one for one in parts if one.pairs]
    return tokens[0], judged[0] if judged else None


def check(parts: Sequence[Pretraining], kind: str) -> str:
    """What is wrong with objectives together for an architecture, or ""."""
    for one in parts:
        if one.kind != kind:
            return f"{one.name} is for kind: {one.kind}, not for kind: {kind}"
    tokens, judged = ([one for one in parts if bool(one.pairs) is wanted] for wanted in (False, True))
    several = next((group for group in (tokens, judged) if len(group) > 1), None)
    return f"{' and '.join(one.name for one in several)} cannot be learnt at once; name one of them" if several else ""
