"""How sure a model was of what it answered, from the probabilities of its tokens.

Braces and keys of JSON say nothing about the answer, and a server that holds a model to a form reports what the model would
have written without it. So only tokens of values count, and where the answer is one of a list, its first token is weighed
against the first tokens of the others alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_VALUE = re.compile(r'[:\[,]\s*"((?:[^"\\]|\\.)*)"(?!\s*:)')
TOP = 10  # alternatives that are asked for beside each token


def sureness(
    text: str, tokens: Sequence[Mapping[str, Any]], schema: Mapping[str, Any] | None
) -> tuple[float, float] | None:
    """(of its chief value, of all its values) of an answer, 0..1; None where the tokens are not those of the text.

    tokens: `logprobs.content` of a chat completion. The first figure is the probability of the value that is one of the
    schema's `enum`, else of the last one; the second the geometric mean of the tokens' probabilities.
    """
    said = text.strip()
    begun = "".join(str(one.get("token", "")) for one in tokens).find(said) if said else -1
    if begun < 0:  # servers cut thoughts and fences away; what is left must be found whole
        return None
    spans = [match.span(1) for match in _VALUE.finditer(said)] or [(0, len(said))]
    name, others = _choice(schema)
    named = re.search(rf'"{re.escape(name)}"\s*:\s*"((?:[^"\\]|\\.)*)"', said) if name else None
    answer = named.span(1) if named else spans[-1]
    at, inside, last = -begun, [], []
    for one in tokens:
        start, at = at, at + len(str(one["token"]))
        if any(start < end and begin < at for begin, end in spans):
            inside.append(float(one["logprob"]))
        if start < answer[1] and answer[0] < at:
            last.append(one)
    if not inside or not last:
        return None
    value = said[slice(*answer)]
    whole = _among(last[0], value, others) * math.exp(sum(float(one["logprob"]) for one in last[1:]))
    return min(1.0, whole), min(1.0, math.exp(sum(inside) / len(inside)))


def _choice(schema: Mapping[str, Any] | None) -> tuple[str, list[str]]:
    """The property of a schema that is one of a list, and the list."""
    for name, about in ((schema or {}).get("properties") or {}).items():
        if about.get("enum"):
            return name, [str(one) for one in about["enum"]]
    return "", []


def _among(first: Mapping[str, Any], value: str, others: Sequence[str]) -> float:
    """Probability of the value's first token among first tokens of what else it may be."""
    own = math.exp(float(first["logprob"]))
    rivals = [other for other in others if other != value]
    if not rivals or not first.get("top_logprobs"):
        return own
    against = 0.0
    for one in first.get("top_logprobs") or ():
        begin = str(one["token"]).lstrip(' "')
        if (
            begin
            and one["token"] != first["token"]
            and not value.startswith(begin)
            and any(other.startswith(begin) for other in rivals)
        ):
            against += math.exp(float(one["logprob"]))
    return own / (own + against) if own + against > 0 else 0.0
