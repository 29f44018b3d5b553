"""A budget that holds while requests are away: each takes its worst case along and gives the rest back.

Money is asked for in the order of the questions. What does not fit now waits until those before it have settled, and is
refused only when it would not fit even then: so where the budget ends does not hang on who answers first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from burnish.construct.teachers.endpoint import OpenAI
from burnish.construct.teachers.memory import Sum


class Spent(Exception):
    """The budget does not hold what would be asked next."""


@dataclass
class Purse:
    """What may be spent, and what is."""

    teacher: OpenAI
    spent: Sum = field(default_factory=Sum)
    reserved: Sum = field(default_factory=Sum)
    ended: str = ""  # why nothing more is paid

    def __post_init__(self) -> None:
        self._turn = asyncio.Lock()  # first come, first served
        self._settled = asyncio.Event()
        self._stuck = 0  # how many hold, and wait in `again`

    def over(self, would: Sum) -> str:
        """Which limit a sum is over, "" for none."""
        teacher = self.teacher
        if teacher.max_requests is not None and would.requests > teacher.max_requests:
            return f"max_requests {teacher.max_requests:,}"
        if teacher.max_total_tokens is not None and would.tokens > teacher.max_total_tokens:
            return f"max_total_tokens {teacher.max_total_tokens:,}"
        # sums of money have rounding in them: a millionth of a budget is nobody's loss
        if teacher.max_cost is not None and would.money > teacher.max_cost * (1 + 1e-9):
            return f"max_cost {teacher.max_cost:g}"
        return ""

    def charge(self, paid: Sum) -> None:
        """What is spent: an answer, or a request that may have been paid and brought none."""
        self.spent += paid
        self._settled.set()

    @asynccontextmanager
    async def holding(self, worst: Sum) -> AsyncIterator[None]:
        """Hold the worst case of one request; `charge` what it cost inside. Raises Spent where it cannot fit."""
        async with self._turn:
            while not self.ended and (limit := self.over(self.spent + self.reserved + worst)):
                if self.reserved.requests == 0:
                    self.ended = limit
                    break
                self._settled.clear()
                await self._settled.wait()
            if self.ended:
                raise Spent(self.ended)
            self.reserved += worst
        try:
            yield
        finally:
            self.reserved -= worst
            if self.reserved.requests == 0:
                self.reserved = Sum()  # no dust of rounding
            self._settled.set()

    async def again(self) -> None:
        """To be called by one who holds before the next try, when the last may have been paid: what is held must fit once
        more. Waits for others to settle; Spent where all who are left wait like this."""
        self._stuck += 1
        try:
            while limit := self.over(self.spent + self.reserved):
                if self._stuck >= self.reserved.requests:
                    self.ended = limit
                    raise Spent(limit)
                self._settled.clear()
                await self._settled.wait()
        finally:
            self._stuck -= 1
            self._settled.set()
