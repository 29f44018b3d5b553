"""How many requests are away at once: more while it goes well, fewer when the server says it is too much.

Additive increase and multiplicative decrease (Chiu and Jain 1989), begun as TCP begins: one at first, twice as many every
round trip until the first loss (Jacobson 1988). Hints of the server (Retry-After, x-ratelimit-*) stop everybody for as long
as they say.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 3600.0  # a server that asks for more is taken to have asked for this
KEPT = 0.7  # of the pace after a loss (CUBIC, RFC 9438): half would crawl where single requests fail by chance

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNIT_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Pace:
    """Slots for requests, in the order they are asked for. It belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self.most, self.limit, self.away, self.peak = most, 1.0, 0, 0
        self.slowed = 0  # how often it was cut
        self._starting = True
        self._cut_at = 0.0
        self._closed_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self) -> float:
        """Wait for a slot; returns when it was had (monotonic seconds), which `leave` wants to know."""
        if self._waiting or not self._open():
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            self._wake()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.away -= 1
                    self._wake()
                raise
        else:
            self.away += 1
        self.peak = max(self.peak, self.away)
        return time.monotonic()

    def leave(self, entered: float, *, well: bool, too_fast: bool, wait_s: float = 0.0) -> None:
        """Give a slot back. well: an answer came. too_fast: the server or a clock said that it is too much.
        wait_s: for how long nobody may ask."""
        self.away -= 1
        if too_fast and entered >= self._cut_at:  # those sent before the last cut say nothing new
            self.limit = max(1.0, self.limit * KEPT)
            self._starting, self._cut_at, self.slowed = False, time.monotonic(), self.slowed + 1
        elif well:
            self.limit = min(float(self.most), self.limit + (1.0 if self._starting else 1.0 / self.limit))
        if wait_s > 0:
            self._closed_until = max(self._closed_until, time.monotonic() + min(wait_s, LONGEST_S))
        self._wake()

    def _open(self) -> bool:
        return self.away < int(self.limit) and time.monotonic() >= self._closed_until

    def _wake(self) -> None:
        while self._waiting and self._open():
            turn = self._waiting.popleft()
            if not turn.done():
                self.away += 1
                turn.set_result(None)
        left = self._closed_until - time.monotonic()
        if self._waiting and left > 0:
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(left, self._wake)


def asked_wait(headers: Mapping[str, str]) -> float:
    """Seconds that a response asks its client to wait: Retry-After, else the reset of a limit that is used up; 0 for none."""
    if "retry-after-ms" in headers:
        return min(_seconds(headers["retry-after-ms"] + "ms"), LONGEST_S)
    if "retry-after" in headers:
        return min(_seconds(headers["retry-after"]), LONGEST_S)
    waits = [0.0]
    for kind in ("requests", "tokens"):
        for left, reset in (
            (f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}"),
            (f"anthropic-ratelimit-{kind}-remaining", f"anthropic-ratelimit-{kind}-reset"),
        ):
            if headers.get(left, "").strip() == "0" and reset in headers:
                waits.append(_seconds(headers[reset]))
    if headers.get("x-ratelimit-remaining", "").strip() == "0":
        waits.append(_seconds(headers.get("x-ratelimit-reset", "0")))
    return min(max(waits), LONGEST_S)


def _seconds(said: str) -> float:
    """Seconds of "2", "1.5", "6m0s", "120ms", an HTTP date, an ISO time, or a Unix time; 0 for what is none of these."""
    said = said.strip()
    try:
        number = float(said)
        return max(0.0, number - time.time()) if number > 1e9 else max(0.0, number)
    except ValueError:
        pass
    if (parts := _PART.findall(said)) and "".join(number + unit for number, unit in parts) == said:
        return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            when = parse(said)
        except (ValueError, TypeError):
            continue
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - time.time())
    return 0.0
