"""What asking a teacher would cost, before anything is asked: `burnish plan` shows it."""

from __future__ import annotations

from dataclasses import dataclass

from burnish.construct.teachers.endpoint import OpenAI

# A server writes about 40 tokens a second to each of those it serves and reads a hundred times as fast; a guess to begin
# with: once the stage has run here, the time it took then is told instead.
WRITTEN_S, READ_S, LATENCY_S = 1 / 40, 1 / 4000, 0.3


@dataclass(frozen=True)
class Estimate:
    """seconds, money; tokens: read and written; requests; bytes: of memory; basis: in words."""

    seconds: float
    money: float
    tokens: int
    requests: int
    bytes: int | None
    basis: str


def estimate(
    teacher: OpenAI | None, *, requests: int, tokens_in: float, tokens_out: float, local_seconds: float = 0.0
) -> Estimate | None:
    """Of so many requests of so many tokens each, within the teacher's budget; None without a teacher.

    local_seconds: what the stage computes besides.
    """
    if teacher is None:
        return None
    tokens_out = min(tokens_out, teacher.max_tokens)
    wanted = requests
    if teacher.max_requests is not None:
        requests = min(requests, teacher.max_requests)
    each = teacher.cost(round(tokens_in), round(tokens_out))
    ends = []
    if teacher.max_cost is not None and each * requests > teacher.max_cost:
        requests = int(teacher.max_cost / each)
    if teacher.max_total_tokens is not None and requests * (tokens_in + tokens_out) > teacher.max_total_tokens:
        requests = int(teacher.max_total_tokens / (tokens_in + tokens_out))
    if requests < wanted:
        ends.append(f"the budget ends there, {wanted:,} are wanted")
    seconds = requests * (LATENCY_S + tokens_in * READ_S + tokens_out * WRITTEN_S) / teacher.concurrency
    if not teacher.priced:
        ends.append("its price is not known: price_in, price_out")
    said = "; ".join([f"{requests:,} requests to {teacher.model}, cached ones are free", *ends])
    tokens = round(requests * (tokens_in + tokens_out))
    return Estimate(local_seconds + seconds, each * requests, tokens, requests, None, said)
