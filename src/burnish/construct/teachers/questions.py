"""What a teacher is asked, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Question:
    """One thing to ask.

    key: whose it is, for the reply and the ledger (a record's id, say); questions of one `ask` may share it.
    messages: [{role, content}]. schema: JSON Schema of the answer, which the server is held to where it can be.
    sample: number of the draw, where the same is asked several times at a temperature above 0.
    language: of the complaint when the answer cannot be used, en or zh.
    about: what `read` needs to know to judge the answer (a record, say); it is not sent and in no key.
    """

    key: str
    messages: Sequence[Mapping[str, str]]
    schema: Mapping[str, Any] | None = None
    sample: int = 0
    language: str = "en"
    about: Any = None


@dataclass(frozen=True)
class Reply:
    """What came of a question. value: what `read` made of the answer, None where there is a problem.

    problem: why there is no value, in words ("" when there is one). lost: what of the answer could not be used, where the
        rest could; it is in the ledger too.
    text: the answer as it came, None where none came.
    likelihood: the probability of what it answered, the last value of its JSON (a label, say), 0..1. confidence: the
        geometric mean over the tokens of all values, 0..1. None where the server does not tell (`sureness`).
    asked: how often the teacher was asked, 1 or 2. cached: whether the (last) answer was there before.
    tokens_in, tokens_out, cost: of all that was asked for this reply.
    """

    key: str
    value: Any = None
    problem: str = ""
    lost: str = ""
    text: str | None = None
    confidence: float | None = None
    likelihood: float | None = None
    asked: int = 1
    cached: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    question: Question | None = None
