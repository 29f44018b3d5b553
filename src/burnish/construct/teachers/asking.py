"""Ask a teacher many questions: replies in order, cached by content, within a budget; killed, it goes on where it was."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from burnish.construct.teachers.client import Client, Unanswered, secret
from burnish.construct.teachers.endpoint import OpenAI
from burnish.construct.teachers.family import TEACHERS, teacher_problems
from burnish.construct.teachers.memory import Answer, Memory
from burnish.construct.teachers.purse import Spent
from burnish.construct.teachers.questions import Question, Reply
from burnish.construct.teachers.reading import Partly, without_thoughts
from burnish.construct.teachers.wire import Request
from burnish.core.records import Reject
from burnish.core.stage import Context

__all__ = ["TEACHERS", "Asking", "OpenAI", "Question", "Reply", "ask", "teacher_problems"]  # what a stage needs

CACHE = "teacher.sqlite"
AHEAD = 256  # questions begun before the oldest has its reply: the memory this takes
QUOTED = 1500  # characters of an answer that are shown to the teacher again

COMPLAINT = {
    "en": "That answer cannot be used: {why}. Answer again, only in the form that was asked for.",
    "zh": "这个回答无法使用：{why}。请重新回答，只按要求的格式。",
}


def ask(
    teacher: OpenAI,
    questions: Iterable[Question],
    *,
    context: Context,
    name: str,
    read: Callable[[str, Question], Any],
    total: int | None = None,
    logprobs: bool = False,
) -> Asking:
    """Replies to questions, in their order; questions are drawn a few hundred ahead.

    name: of the stage, for progress and ledger; two in one stage need two names. read: makes a value of an answer's text; ValueError says what is wrong,
    and the teacher is told so and asked once more. total: how many questions there are, for the bar. logprobs: ask how sure
    the teacher is of its words.

    What was answered is in `context.cache` for good: the same messages, settings and sample number are never sent again.
    BurnishError: nobody answers, the key is wrong, there is no such model.
    """
    return Asking(teacher, questions, context, name, read, total, logprobs)


class Asking(Iterator[Reply]):
    """Replies in order. When it is exhausted, `facts` say what it took and `rejects` what came to nothing.

    facts: the same however often it was interrupted. weather: what happened on the wire this time.
    """

    def __init__(
        self,
        teacher: OpenAI,
        questions: Iterable[Question],
        context: Context,
        name: str,
        read: Callable[[str, Question], Any],
        total: int | None,
        logprobs: bool,
    ) -> None:
        self.teacher, self.context, self.name, self._read = teacher, context, name, read
        self._logprobs = logprobs
        context.scratch.mkdir(parents=True, exist_ok=True)
        self._ledger = context.scratch / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}.failures.jsonl"
        self._reasons: Counter[str] = Counter()
        self._count: Counter[str] = Counter()
        self._cost = 0.0
        self.weather: dict[str, Any] = {}
        self._replies = self._walk(iter(questions), total)

    def __next__(self) -> Reply:
        return next(self._replies)

    def close(self) -> None:
        """Stop asking; what is away is given up."""
        self._replies.close()

    @property
    def ledger(self) -> Path:
        """The file of failures: JSON lines with key, why, asked, came, teacher."""
        return self._ledger

    @property
    def facts(self) -> dict[str, Any]:
        count, failures = self._count, self._reasons.total()
        told = [
            f"{self.name}: {self.teacher.model} answered {count['questions'] - failures:,} of {count['questions']:,} questions"
            f" ({count['tokens_in']:,} tokens read, {count['tokens_out']:,} written, cost {self._cost:.4g})"
        ]
        if failures:
            reasons = "; ".join(f"{number:,} {reason}" for reason, number in self._reasons.most_common(5))
            told.append(f"{self.name}: {failures:,} came to nothing: {reasons}")
        return {
            "teacher": self.teacher.model,
            "questions": count["questions"],
            "asked_again": count["again"],
            "used_in_part": count["in_part"],
            "tokens_in": count["tokens_in"],
            "tokens_out": count["tokens_out"],
            "cost": round(self._cost, 9),
            "failures": failures,
            "reasons": dict(self._reasons.most_common()),
            "story": told,
        }

    def rejects(self) -> Iterator[Reject]:
        """The ledger of failures: what was asked, what came, why it was refused. A maker yields them behind its records."""
        if not self._ledger.exists():
            return
        with self._ledger.open(encoding="utf-8") as lines:
            for line in lines:
                one = json.loads(line)
                yield Reject(self.name, None, one["why"], json.dumps(one, ensure_ascii=False))

    def _walk(self, questions: Iterator[Question], total: int | None) -> Generator[Reply, None, None]:
        bar = self.context.progress.bar(f"{self.name}: {self.teacher.model}", total, "questions")
        window: deque[Future[Reply]] = deque()
        ahead = max(AHEAD, 2 * self.teacher.concurrency)
        with _Loop() as loop, self._ledger.open("w", encoding="utf-8") as ledger, bar as shown:
            talk = loop.call(_Talk.open(self)).result()
            try:
                while True:
                    while len(window) < ahead and (question := next(questions, None)) is not None:
                        window.append(loop.call(talk.reply(question)))
                    if not window:
                        break
                    reply = window.popleft().result()
                    self._note(reply, ledger)
                    shown.advance(1, cost=self._cost)
                    yield reply
            finally:
                loop.call(talk.close()).result()
                self.weather = talk.weather()
        self._tell()

    def _note(self, reply: Reply, ledger: Any) -> None:
        self._count.update(questions=1, again=reply.asked - 1, tokens_in=reply.tokens_in, tokens_out=reply.tokens_out)
        self._cost += reply.cost
        if reply.problem:
            self._reasons[reply.problem.split(":")[0]] += 1
        elif reply.lost:
            self._count["in_part"] += 1
        else:
            return
        assert reply.question
        line = {
            "key": reply.key,
            "why": reply.problem or reply.lost,
            "asked": reply.question.messages[-1]["content"],
            "came": reply.text,
            "teacher": self.teacher.model,
        }
        ledger.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace").decode() + "\n")

    def _tell(self) -> None:
        for line in self.facts["story"]:
            self.context.progress.tell(f"  {line}")
        seen = self.weather
        if seen["faults"]:
            faults = ", ".join(f"{number:,} {what}" for what, number in sorted(seen["faults"].items()))
            self.context.progress.tell(f"  {self.name}: on the wire: {faults}; {seen['tried_again']:,} tried again")
        if seen["lost"]:
            self.context.progress.tell(
                f"  {self.name}: {seen['lost']:,} requests may have been paid for without an answer"
            )


class _Loop:
    """An event loop in a thread of its own, so that answers come in while the caller works on the last ones."""

    def __enter__(self) -> _Loop:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="teacher", daemon=True)
        self._thread.start()
        return self

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Talk:
    """What lives in the loop: the client, the cache, and who asks the same at the same time."""

    def __init__(self, asking: Asking) -> None:
        self.asking, self.teacher = asking, asking.teacher
        secret(self.teacher)  # before a file is opened
        self.memory = Memory(asking.context.cache / CACHE, f"{asking.context.key}/{asking.name}")
        self.client = Client(self.teacher, self.memory, asking.context.progress.tell, logprobs=asking._logprobs)
        self._identity = json.dumps(self.teacher.identity(), sort_keys=True)
        self._asking: dict[str, asyncio.Task[Answer]] = {}
        self._replying: set[asyncio.Task[Any]] = set()
        self._counted: set[bytes] = set()  # 16 bytes a question
        self.cached = 0

    @classmethod
    async def open(cls, asking: Asking) -> _Talk:
        talk = cls(asking)
        await talk.client.__aenter__()
        return talk

    async def close(self) -> None:
        """Give up what is away. Only tasks of our own are cancelled: they cancel those of the HTTP client in its own way,
        which must have started (a child of anyio that is cancelled before its first step leaves a coroutine that nobody
        awaited)."""
        ours = [*self._replying, *self._asking.values()]
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)
        await self.client.__aexit__()
        self.memory.close()

    def weather(self) -> dict[str, Any]:
        """What happened on the wire."""
        return {
            **vars(self.client.tally),
            "cached": self.cached,
            "peak": self.client.pace.peak,
            "slowed": self.client.pace.slowed,
        }

    async def reply(self, question: Question) -> Reply:
        """Ask, read, complain once, give up with a reason."""
        if task := asyncio.current_task():
            self._replying.add(task)
            task.add_done_callback(self._replying.discard)
        reply = Reply(question.key, question=question)
        messages = [dict(turn) for turn in question.messages]
        for asked in (1, 2):
            try:
                answer, cached, first = await self._said(messages, question)
            except Spent as error:
                return replace(reply, problem=f"budget: {error} is reached", asked=asked - 1)
            except Unanswered as error:
                return replace(reply, problem=f"no answer: {error}", asked=asked)
            reply = self._with(reply, answer, asked, cached, first)
            if answer.finish in ("content_filter", "refusal"):
                return replace(reply, problem=f"refused: the server holds the answer back ({answer.finish})")
            cut = f"it was cut off after {self.teacher.max_tokens:,} tokens" if answer.finish == "length" else ""
            try:
                if cut and question.schema:  # a list that was mended may lack its end
                    raise ValueError("a shorter answer is wanted")
                return replace(reply, value=self.asking._read(without_thoughts(answer.text), question), problem="")
            except ValueError as error:
                why = "; ".join(part for part in (cut, str(error)) if part)
                if isinstance(error, Partly) and asked == 2:
                    return replace(reply, value=error.value, problem="", lost=f"used in part: {why}")
            reply = replace(reply, problem=f"no usable answer: {why}")
            complaint = COMPLAINT["zh" if question.language == "zh" else "en"].replace("{why}", why[:QUOTED])
            messages += [
                {"role": "assistant", "content": answer.text[:QUOTED]},
                {"role": "user", "content": complaint},
            ]
        return reply

    def _with(self, reply: Reply, answer: Answer, asked: int, cached: bool, first: bool) -> Reply:
        return replace(
            reply,
            text=answer.text,
            confidence=answer.confidence,
            likelihood=answer.likelihood,
            asked=asked,
            cached=cached,
            tokens_in=reply.tokens_in + answer.tokens_in * first,
            tokens_out=reply.tokens_out + answer.tokens_out * first,
            cost=reply.cost + self.client.paid(answer).money * first,
        )

    async def _said(self, messages: list[dict[str, str]], question: Question) -> tuple[Answer, bool, bool]:
        """The answer, whether it was there, and whether this is the first who asks; the same question asked at the same
        time is asked once."""
        key = self._key(messages, question)
        short = bytes.fromhex(key[:32])
        first = short not in self._counted
        self._counted.add(short)
        request = Request(key, messages, question.schema, question.sample)
        known = self.memory.answer(key)
        if known is not None:
            if first and self.memory.use(key, cost := self.client.paid(known)):
                self.client.purse.charge(cost)
            self.cached += 1
            return known, True, first
        if key not in self._asking:
            task = self._asking[key] = asyncio.get_running_loop().create_task(self.client.answer(request))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
            return await task, False, first
        return await asyncio.shield(self._asking[key]), True, first

    def _key(self, messages: list[dict[str, str]], question: Question) -> str:
        """Of the cache: teacher, messages, form, draw."""
        parts = [
            self._identity,
            [[turn["role"], turn["content"]] for turn in messages],
            question.schema,
            question.sample,
        ]
        text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
