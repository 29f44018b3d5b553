"""One question to one endpoint: sent, tried again after faults of server and network, understood, or refused with a reason."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from burnish.construct.teachers.endpoint import OpenAI
from burnish.construct.teachers.memory import Answer, Memory, Sum
from burnish.construct.teachers.pace import Pace, asked_wait
from burnish.construct.teachers.purse import Purse
from burnish.construct.teachers.wire import Fault, Request, message_of, read_answer
from burnish.core.errors import BurnishError

BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
PATIENCE_S = 1800.0  # of nothing but "too many requests"
HOPELESS = 20  # questions refused before any was answered: it is not the questions
# settings that a server may not know, and other words by which its refusal may name them
OPTIONAL = ("response_format", "logprobs", "seed", "top_p", "temperature", "max_tokens")
ALSO = {"response_format": ("json_schema", "json schema", "structured output", "guided")}
NO_CREDIT = ("insufficient_quota", "billing", "exceeded your current quota")


class Unanswered(Exception):
    """This question gets no answer; others may."""


@dataclass
class Tally:
    """What happened on the wire this time; it hangs on the weather, so it is told and stands in no artefact."""

    sent: int = 0
    answered: int = 0
    refused: int = 0
    tried_again: int = 0
    too_fast: int = 0
    lost: int = 0  # requests that may have been paid for without an answer
    faults: dict[str, int] = field(default_factory=dict)

    def fault(self, what: str) -> None:
        self.faults[what] = self.faults.get(what, 0) + 1


class Client:
    """Asks one teacher. It belongs to one event loop, within `async with`."""

    def __init__(self, teacher: OpenAI, memory: Memory, tell: Callable[[str], None], *, logprobs: bool = False) -> None:
        self.teacher, self.memory, self.tell = teacher, memory, tell
        self.purse, self.pace, self.tally = Purse(teacher, memory.spent()), Pace(teacher.concurrency), Tally()
        self.dropped: set[str] = set() if logprobs else {"logprobs"}  # what is not sent
        if not teacher.structured:
            self.dropped.add("response_format")
        self._secret = secret(teacher)
        self._jitter = random.Random()  # between clients, not results: it must not be the same twice
        self._answered_at = time.monotonic()

    async def __aenter__(self) -> Client:
        import httpx

        headers = {"authorization": f"Bearer {self._secret}"} if self._secret else {}
        limits = httpx.Limits(
            max_connections=self.teacher.concurrency, max_keepalive_connections=self.teacher.concurrency
        )
        self._http = httpx.AsyncClient(
            headers=headers,
            limits=limits,
            timeout=None,  # the whole request has one clock, below
            trust_env=not self.teacher.local,
        )
        self._url = self.teacher.base_url.rstrip("/") + "/chat/completions"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def answer(self, request: Request) -> Answer:
        """The answer, committed. Unanswered: this question has none. Spent: the budget ends here. BurnishError: nobody
        will have one."""
        worst = request.worst(self.teacher)
        async with self.purse.holding(worst):
            tries, slowed, before, without = 0, 0, -1, frozenset[str]()
            while True:
                got = await self._once(request, without)
                if isinstance(got, Answer):
                    self.purse.charge(self.paid(got))
                    if without - self.dropped:  # guessed right
                        self.dropped |= without
                        self._tell_dropped(without, "")
                    return got
                if got.end:
                    raise got.end
                without |= got.guess
                self.tally.fault(got.said.split(":")[0])
                tries, slowed = tries + got.counts, slowed + (got.too_fast and not got.told)
                before = self.tally.answered if before < 0 else before
                if got.paid:
                    self.tally.lost += 1
                    self.purse.charge(worst)
                if tries > self.teacher.retries:
                    self._give_up(got, tries, before)
                if not got.counts and time.monotonic() - self._answered_at > PATIENCE_S:
                    self._give_up(got, tries, self.tally.answered)
                self.tally.tried_again += 1
                if got.paid:
                    await self.purse.again()
                await self._back_off(max(tries, slowed))

    def paid(self, answer: Answer) -> Sum:
        """What an answer cost."""
        tokens = answer.tokens_in + answer.tokens_out
        money = self.teacher.cost(answer.tokens_in, answer.tokens_out) if answer.cost is None else answer.cost
        return Sum(1, tokens, money)

    async def _back_off(self, tries: int) -> None:
        """Full jitter (Brooker 2015, "Exponential backoff and jitter"); a wait that the server asked for is the pace's."""
        if tries:
            await asyncio.sleep(self._jitter.uniform(0, min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** (tries - 1))))

    def _give_up(self, fault: Fault, tries: int, before: int) -> None:
        if self.tally.answered > before:
            raise Unanswered(f"no answer after {tries} tries, at last {fault.said}")
        raise BurnishError(
            f"{self.teacher.base_url} does not answer: {tries} tries, at last {fault.said}",
            where="teacher",
            hint="is it running, and is base_url right up to /v1? What was answered is kept: run again and it goes on",
        )

    async def _once(self, request: Request, without: frozenset[str]) -> Answer | Fault:
        """One request over the wire. without: settings that it leaves out, to see whether they are to blame."""
        import httpx

        entered = await self.pace.enter()
        worst = request.worst(self.teacher)
        self.memory.sending(request.key, worst)
        self.tally.sent += 1
        got: Answer | Fault = Fault("stopped", paid=True)
        dropped, wait_s = without | self.dropped, 0.0
        try:
            async with asyncio.timeout(self.teacher.timeout):
                response = await self._http.post(
                    self._url,
                    content=json.dumps(request.body(self.teacher, dropped), ensure_ascii=False).encode(
                        "utf-8", "replace"
                    ),
                    headers={"content-type": "application/json", "idempotency-key": request.key},
                )
            wait_s = asked_wait(response.headers)
            got = self._understood(response, request, dropped, without)
            if isinstance(got, Fault) and wait_s:
                got = replace(got, told=True)
        except TimeoutError:
            got = Fault(f"no answer within {self.teacher.timeout:g} s", paid=True, too_fast=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            got = Fault(f"no connection: {self._clean(str(error) or type(error).__name__)}")
        except httpx.HTTPError as error:
            got = Fault(f"connection cut: {self._clean(str(error) or type(error).__name__)}", paid=True)
        finally:
            well, too_fast = isinstance(got, Answer), isinstance(got, Fault) and got.too_fast
            if isinstance(got, Answer):
                self.memory.keep(request.key, got, worst, self.paid(got))
                self.tally.answered += 1
                self._answered_at = time.monotonic()
            elif not got.paid:
                self.memory.refused(request.key, worst)
            self.pace.leave(entered, well=well, too_fast=too_fast, wait_s=wait_s)
        return got

    def _understood(
        self, response: Any, request: Request, dropped: frozenset[str], without: frozenset[str]
    ) -> Answer | Fault:
        """What a response says."""
        status = response.status_code
        try:
            body = response.json()
        except ValueError:
            body = None
        if status == 200 and not (isinstance(body, dict) and body.get("error")):
            return read_answer(body, request, self.teacher)
        if status == 200:  # some gateways wrap the error of the server behind them
            code = body["error"].get("code") if isinstance(body["error"], dict) else None
            status = int(str(code)) if str(code).isdigit() else 502
        said = self._clean(message_of(body, response))
        fault = f"{status}: {said}"
        if status == 429 and any(sign in said.lower() for sign in NO_CREDIT):
            return self._end(fault, "has no credit left", "the account behind the key must be paid")
        if status in (429, 503, 529):
            self.tally.too_fast += 1
            return Fault(fault, too_fast=True, counts=status != 429)
        if status >= 500 or status in (408, 409, 425):
            return Fault(fault)
        if status in (401, 402, 403):
            variable = self.teacher.api_key_env
            hint = (
                f"is the key in ${variable} right?" if variable else "api_key_env: NAME, and the key in that variable"
            )
            return self._end(fault, "refuses us", hint)
        if status == 404 or status < 400:
            hint = "is base_url right up to /v1, and is the model there? GET /v1/models lists them"
            return self._end(fault, f"has no chat with model {self.teacher.model!r}", hint)
        return self._simpler(request, dropped, without, fault)

    def _simpler(self, request: Request, dropped: frozenset[str], without: frozenset[str], fault: str) -> Fault:
        """A refusal may mean a setting that the server does not know: leave it out from now on, and say so."""
        if not self.dropped <= dropped:
            return Fault(fault, counts=False)  # another request found out meanwhile
        said, body = fault.lower(), request.body(self.teacher, dropped)
        named = {
            name for name in OPTIONAL if name in body and any(sign in said for sign in (name, *ALSO.get(name, ())))
        }
        if named:
            self.dropped |= named
            self._tell_dropped(named, fault)
            return Fault(fault, counts=False)
        guess = frozenset(name for name in ("response_format", "logprobs") if name in body)
        if guess and not self.tally.answered:
            return Fault(fault, counts=False, guess=guess)
        self.tally.refused += 1
        if self.tally.refused >= HOPELESS and not self.tally.answered:
            return self._end(fault, "refuses every question", "the prompt may be too long for the model")
        return Fault(fault, end=Unanswered(f"the server refuses the question ({fault})"))

    def _tell_dropped(self, names: Collection[str], fault: str) -> None:
        why = f" ({fault[:160]})" if fault else ""
        self.tell(f"  teacher {self.teacher.model}: the server refuses {', '.join(sorted(names))}{why}: asked without")

    def _end(self, fault: str, what: str, hint: str) -> Fault:
        message = f"{self.teacher.base_url} {what} ({fault})"
        return Fault(fault, end=BurnishError(message, where="teacher", hint=hint))

    def _clean(self, said: str) -> str:
        """Words of a server without our key in them."""
        return said.replace(self._secret, "…") if self._secret else said


def secret(teacher: OpenAI) -> str:
    name = teacher.api_key_env
    if name is None:
        return ""
    found = os.environ.get(name, "").strip()
    if not found:
        hint = f"export {name}=…, or leave api_key_env out where the server asks for none"
        raise BurnishError(f"the environment variable {name} is not set", where="teacher.api_key_env", hint=hint)
    return found
