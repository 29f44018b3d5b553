"""Asking a teacher: once for each content, within the budget, as fast as it likes, and with nothing lost in silence."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from upstream import answering, completion

from burnish.construct.teachers import TEACHERS, Asking, OpenAI, Question, Reply, ask, teacher_problems
from burnish.construct.teachers.asking import CACHE
from burnish.construct.teachers.memory import Memory, Sum
from burnish.construct.teachers.pace import Pace, asked_wait
from burnish.construct.teachers.sureness import sureness
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.stage import Context, Setting

SECRET = "sk-never-to-be-seen-4711"


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, message: str) -> None:
        self.lines.append(message)


def questions(*texts: str) -> list[Question]:
    return [Question(str(number), [{"role": "user", "content": text}]) for number, text in enumerate(texts)]


def asked(
    context: Context, url: str, texts: Iterable[str], *, read: Any = None, **settings: Any
) -> tuple[list[Reply], Asking]:
    teacher = OpenAI(url, "m", **{"timeout": 5.0, "retries": 3, **settings})
    replies = ask(teacher, questions(*texts), context=context, name="t", read=read or (lambda text, question: text))
    return list(replies), replies


def echo(body: dict[str, Any], number: int) -> str:
    return body["messages"][-1]["content"].upper()


def test_replies_come_in_order_and_many_are_away_at_once(context: Context) -> None:
    with answering(echo) as server:
        server.free, server.crowd = 7, 4  # by then 8 may be away
        replies, asking = asked(context, server.url, [f"q{i}" for i in range(60)], concurrency=8)
    assert [reply.value for reply in replies] == [f"Q{i}" for i in range(60)]
    assert [reply.key for reply in replies] == [str(i) for i in range(60)]
    assert 4 <= server.most_away <= 8
    assert asking.facts["tokens_in"] == 600 and asking.facts["tokens_out"] == 120


def test_nothing_is_asked_twice(context: Context) -> None:
    with answering(echo) as server:
        asked(context, server.url, ["a", "b", "a", "a"])
        again, asking = asked(context, server.url, ["b", "a", "c"])
    assert sorted(body["messages"][0]["content"] for body in server.asked) == ["a", "b", "c"]
    assert [reply.cached for reply in again] == [True, True, False]
    assert asking.weather["sent"] == 1


def test_the_same_asked_at_the_same_time_is_asked_and_counted_once(context: Context) -> None:
    with answering(echo) as server:
        server.delay_s = 0.05
        replies, asking = asked(context, server.url, ["warm", *["a"] * 20], concurrency=8)
    assert len(server.asked) == 2
    assert asking.facts["tokens_in"] == 20
    assert {reply.value for reply in replies[1:]} == {"A"}


@pytest.mark.parametrize(
    "change", [{"model": "n"}, {"temperature": 0.5}, {"max_tokens": 9}, {"seed": 3}, {"top_p": 0.5}]
)
def test_what_changes_an_answer_is_asked_anew_and_pace_is_not(context: Context, change: dict[str, Any]) -> None:
    with answering(echo) as server:
        teacher = OpenAI(server.url, "m")
        for one in (teacher, replace(teacher, concurrency=2, timeout=9.0, retries=0), replace(teacher, **change)):
            list(ask(one, questions("a"), context=context, name="t", read=lambda text, _: text))
    assert len(server.asked) == 2


def test_half_a_character_is_the_same_now_and_from_the_cache(context: Context) -> None:
    with answering(lambda body, number: "ok \ud83d") as server:
        [fresh], _ = asked(context, server.url, ["a"])
        [kept], _ = asked(context, server.url, ["a"])
    assert fresh.value == kept.value == "ok ?" and len(server.asked) == 1


def test_samples_are_asked_apart_with_seeds_of_their_own(context: Context) -> None:
    with answering(lambda body, number: str(body["seed"])) as server:
        teacher = OpenAI(server.url, "m", temperature=1.0, seed=5)
        said = [Question("k", [{"role": "user", "content": "a"}], sample=sample) for sample in range(3)]
        values = [reply.value for reply in ask(teacher, said, context=context, name="t", read=lambda text, _: text)]
    assert values == ["5", "6", "7"]


def test_an_answer_that_cannot_be_used_is_asked_for_once_more_with_what_was_wrong(context: Context) -> None:
    def answer(body: dict[str, Any], number: int) -> str:
        return "yes" if len(body["messages"]) > 1 else "perhaps"

    def read(text: str, question: Question) -> str:
        if text != "yes":
            raise ValueError("yes or no is wanted")
        return text

    with answering(answer) as server:
        [reply], asking = asked(context, server.url, ["is it?"], read=read)
    assert (reply.value, reply.asked, reply.problem) == ("yes", 2, "")
    _, told, complaint = server.asked[1]["messages"]
    assert told == {"role": "assistant", "content": "perhaps"}
    assert "yes or no is wanted" in complaint["content"]
    assert asking.facts["asked_again"] == 1 and asking.facts["tokens_in"] == 20


def test_what_comes_to_nothing_is_in_the_ledger(context: Context, tmp_path: Path) -> None:
    def read(text: str, question: Question) -> str:
        if "bad" in text:
            raise ValueError("it is bad")
        return text

    with answering(lambda body, number: body["messages"][0]["content"]) as server:
        replies, asking = asked(context, server.url, ["good", "bad 汉字"], read=read)
    assert [bool(reply.problem) for reply in replies] == [False, True]
    assert replies[1].value is None and asking.facts["failures"] == 1
    assert asking.facts["reasons"] == {"no usable answer": 1}
    [line] = [json.loads(line) for line in asking.ledger.read_text("utf-8").splitlines()]
    assert line == {
        "key": "1",
        "why": "no usable answer: it is bad",
        "asked": "bad 汉字",
        "came": "bad 汉字",
        "teacher": "m",
    }
    made = Records.stream(asking.rejects())
    made.save(tmp_path)
    [aside] = (tmp_path / "quarantine.jsonl").read_text("utf-8").splitlines()
    assert "it is bad" in aside and "汉字" in aside


def test_a_cut_answer_of_a_given_form_is_not_taken_for_whole(context: Context) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        whole = json.loads(completion('{"spans": [1, 2'))
        whole["choices"][0]["finish_reason"] = "length"
        return 200, whole, {}

    with answering(answer) as server:
        teacher = OpenAI(server.url, "m", max_tokens=7)
        one = Question("k", [{"role": "user", "content": "a"}], schema={"type": "object"})
        [reply] = ask(teacher, [one], context=context, name="t", read=lambda text, _: text)
    assert reply.problem.startswith("no usable answer: it was cut off after 7 tokens")


# -- budget


def test_no_answer_is_paid_beyond_the_budget_even_with_many_away(context: Context) -> None:
    with answering(echo) as server:
        server.delay_s = 0.005
        prices = {"price_in": 1e6, "price_out": 1e6}  # a unit of money for a token: 12 for an answer
        replies, asking = asked(
            context, server.url, [f"q{i}" for i in range(200)], max_cost=1200.0, max_tokens=2, concurrency=16, **prices
        )
    paid = 12 * len(server.asked)
    worst = 256 + 16 + 2 + 2 + 2
    assert 1200 - worst <= paid <= 1200
    assert asking.facts["cost"] == paid
    answered = [not reply.problem for reply in replies]
    assert answered == sorted(answered, reverse=True)  # the first ones, in the order of the questions
    assert replies[-1].problem == "budget: max_cost 1200 is reached"
    assert asking.facts["reasons"] == {"budget": 200 - len(server.asked)}


def test_the_budget_is_of_all_answers_so_that_a_second_run_ends_where_the_first_did(context: Context) -> None:
    texts = [f"q{i}" for i in range(50)]
    with answering(echo) as server:
        first, _ = asked(context, server.url, texts, max_requests=20)
        second, _ = asked(context, server.url, texts, max_requests=20)
        assert len(server.asked) == 20
        more, _ = asked(context, server.url, texts, max_requests=30)
        assert len(server.asked) == 30
    assert [reply.value for reply in first] == [reply.value for reply in second]
    assert sum(not reply.problem for reply in more) == 30


def test_tokens_are_a_budget_too(context: Context) -> None:
    with answering(echo) as server:
        replies, _ = asked(context, server.url, [f"q{i}" for i in range(100)], max_total_tokens=900, max_tokens=2)
    assert 900 - 300 < 12 * len(server.asked) <= 900
    assert replies[-1].problem == "budget: max_total_tokens 900 is reached"


def test_a_request_that_may_have_been_paid_counts(context: Context) -> None:
    """The answer to each first try is broken on its way: it was written, so it may have cost its worst case."""

    def answer(body: dict[str, Any], number: int) -> Any:
        return echo(body, number) if number > 1 else (200, b"<html>", {})

    with answering(answer) as server:
        replies, asking = asked(context, server.url, ["a", "b", "c"], max_requests=3, concurrency=1)
        problems = [reply.problem for reply in replies]
        assert sorted(problems) == ["", "", "budget: max_requests 3 is reached"]
        assert asking.weather["lost"] == 1
        again, _ = asked(context, server.url, ["a", "b", "c"], max_requests=3, concurrency=1)
        assert [reply.problem for reply in again] == problems
        assert len(server.asked) == 3


def test_what_was_away_when_a_run_was_killed_counts(context: Context) -> None:
    """As SIGKILL leaves it: sent, and nobody knows what became of it."""
    memory = Memory(context.cache / CACHE, "/t")
    memory.sending("a" * 64, Sum(2, 500, 0.0))
    memory.close()
    with answering(echo) as server:
        replies, _ = asked(context, server.url, ["a", "b", "c"], max_requests=4)
        assert sum(not reply.problem for reply in replies) == len(server.asked) == 2


# -- pace and faults


def test_too_many_without_a_word_how_long_is_backed_off_from(context: Context) -> None:
    times: list[float] = []

    def answer(body: dict[str, Any], number: int) -> Any:
        times.append(time.monotonic())
        return (429, {}, {}) if time.monotonic() - times[0] < 1.0 else "ok"

    with answering(answer) as server:
        [reply], _ = asked(context, server.url, ["a"], retries=0)
    assert reply.value == "ok" and len(times) < 30  # full jitter: a handful of tries, not one a round trip


def test_too_many_requests_slow_it_down_and_none_is_lost(context: Context) -> None:
    refused = 0

    def answer(body: dict[str, Any], number: int) -> Any:
        nonlocal refused
        if server.away > 4:
            refused += 1
            return 429, {"error": {"message": "slow down"}}, {"retry_after": "0.02"}
        return echo(body, number)

    with answering(answer) as server:
        server.delay_s, server.free, server.crowd = 0.005, 15, 5  # by then 16 may be away, of which it takes 4
        replies, asking = asked(context, server.url, [f"q{i}" for i in range(150)], concurrency=32, retries=0)
    assert not [reply for reply in replies if reply.problem]
    assert 0 < refused < 100  # it learns: asking 32 at once all the time would be refused far more often
    assert asking.weather["slowed"] > 0 and asking.weather["too_fast"] == refused


def test_retry_after_is_obeyed(context: Context) -> None:
    times: list[float] = []

    def answer(body: dict[str, Any], number: int) -> Any:
        times.append(time.monotonic())
        return (429, {}, {"retry_after": "0.4"}) if number == 1 else "ok"

    with answering(answer) as server:
        asked(context, server.url, ["a", "b"])
    assert times[1] - times[0] >= 0.4


def test_a_used_up_limit_is_waited_out(context: Context) -> None:
    times: list[float] = []

    def answer(body: dict[str, Any], number: int) -> Any:
        times.append(time.monotonic())
        spent = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "300ms"}
        return 200, completion("ok"), spent if number == 1 else {}

    with answering(answer) as server:
        asked(context, server.url, ["a", "b"])
    assert times[1] - times[0] >= 0.3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"}, 0.0),
        ({"retry-after": "99999"}, 3600.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({}, 0.0),
    ],
)
def test_hints_of_servers(headers: dict[str, str], seconds: float) -> None:
    assert asked_wait(headers) == pytest.approx(seconds)


def test_the_pace_doubles_then_is_cut_once_a_round_trip_and_grows_by_one() -> None:
    async def story() -> list[float]:
        pace, seen = Pace(64), []
        for _ in range(3):  # 1, 2, 4, 8
            for entered in [await pace.enter() for _ in range(int(pace.limit))]:
                pace.leave(entered, well=True, too_fast=False)
            seen.append(pace.limit)
        away = [await pace.enter() for _ in range(8)]
        for entered in away:  # all were sent before the first of them was refused: one cut, not eight
            pace.leave(entered, well=False, too_fast=True)
        seen.append(pace.limit)
        for entered in [await pace.enter() for _ in range(5)]:
            pace.leave(entered, well=True, too_fast=False)
        return [*seen, pace.limit]

    doubled, cut, grown = (found := asyncio.run(story()))[:3], found[3], found[4]
    assert doubled == [2.0, 4.0, 8.0]
    assert cut == pytest.approx(5.6)
    assert 6.3 < grown < 6.6


def test_one_question_that_no_server_can_answer_holds_nobody_up(context: Context) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        return (500, {"error": {"message": "boom"}}, {}) if "poison" in str(body) else echo(body, number)

    with answering(answer) as server:
        replies, asking = asked(context, server.url, ["a", "poison", *[f"q{i}" for i in range(10)]], retries=1)
    assert replies[1].problem == "no answer: no answer after 2 tries, at last 500: boom"
    assert sum(bool(reply.problem) for reply in replies) == 1
    assert asking.facts["reasons"] == {"no answer": 1}


def test_a_server_that_is_gone_ends_the_run_and_what_was_answered_is_kept(context: Context) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        return echo(body, number) if number <= 3 else (503, {}, {})

    texts = [f"q{i}" for i in range(8)]
    with answering(answer) as server:
        with pytest.raises(BurnishError, match=r"does not answer: 2 tries, at last 503.*(\n.*)*run again"):
            asked(context, server.url, texts, retries=1, concurrency=1)
        server.answer = echo
        before = len(server.asked)
        replies, _ = asked(context, server.url, texts, retries=1)
        assert [reply.value for reply in replies] == [text.upper() for text in texts]
        assert len(server.asked) - before == 5


def test_nobody_listens(context: Context) -> None:
    with pytest.raises(BurnishError, match="no connection"):
        asked(context, "http://127.0.0.1:9/v1", ["a"], retries=0)


def test_a_filtered_answer_is_not_asked_for_again(context: Context) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        whole = json.loads(completion(""))
        whole["choices"][0]["finish_reason"] = "content_filter"
        return 200, whole, {}

    with answering(answer) as server:
        [reply], _ = asked(context, server.url, ["a"])
    assert reply.problem.startswith("refused:") and len(server.asked) == 1


# -- what a server cannot do


def test_a_server_without_structured_output_is_asked_without_and_that_is_said(context: Context) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        if "response_format" in body:
            return 400, {"error": {"message": "response_format is not supported here"}}, {}
        return "{}"

    told = Told()
    one = [Question(str(i), [{"role": "user", "content": str(i)}], schema={"type": "object"}) for i in range(5)]
    with answering(answer) as server:
        replies = list(
            ask(
                OpenAI(server.url, "m"),
                one,
                context=replace(context, progress=told),
                name="t",
                read=lambda text, _: text,
            )
        )
    assert not [reply for reply in replies if reply.problem]
    assert len(server.asked) == 6  # one to find out
    assert [line for line in told.lines if "refuses response_format" in line and "asked without" in line]


def test_structured_output_is_asked_for_where_the_server_can(context: Context) -> None:
    with answering(lambda body, number: "{}") as server:
        one = Question("k", [{"role": "user", "content": "a"}], schema={"type": "object"})
        list(ask(OpenAI(server.url, "m"), [one], context=context, name="t", read=lambda text, _: text))
    form = server.asked[0]["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["schema"] == {"type": "object"}


def test_a_question_too_long_is_refused_alone_and_nothing_is_unlearned(context: Context) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        long = len(body["messages"][0]["content"]) > 100
        return (400, {"error": {"message": "too many tokens in the context"}}, {}) if long else "{}"

    one = [
        Question(str(i), [{"role": "user", "content": "x" * length}], schema={"type": "object"})
        for i, length in enumerate((500, 5, 6))
    ]
    with answering(answer) as server:
        replies = list(ask(OpenAI(server.url, "m"), one, context=context, name="t", read=lambda text, _: text))
    assert [bool(reply.problem) for reply in replies] == [True, False, False]
    assert all("response_format" in body for body in server.asked if len(body["messages"][0]["content"]) < 100)


def test_how_sure_the_teacher_is(context: Context) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        assert body["logprobs"] is True
        whole = json.loads(completion("a b"))
        whole["choices"][0]["logprobs"] = {
            "content": [{"token": "a", "logprob": math.log(0.5)}, {"token": " b", "logprob": math.log(0.8)}]
        }
        return 200, whole, {}

    with answering(answer) as server:
        found = ask(
            OpenAI(server.url, "m"), questions("q"), context=context, name="t", read=lambda text, _: text, logprobs=True
        )
        [reply] = found
        [again] = ask(
            OpenAI(server.url, "m"), questions("q"), context=context, name="t", read=lambda text, _: text, logprobs=True
        )
    for one in (reply, again):
        assert one.likelihood == pytest.approx(0.4) and one.confidence == pytest.approx(math.sqrt(0.4))


def test_only_the_value_counts_and_a_label_is_weighed_against_labels() -> None:
    """As llama.cpp sends it: a fence that it cut away, and braces that the model would not have written by itself."""

    def token(said: str, probability: float, **others: float) -> dict[str, Any]:
        top = [{"token": other, "logprob": math.log(one)} for other, one in {said: probability, **others}.items()]
        return {"token": said, "logprob": math.log(probability), "top_logprobs": top}

    tokens = [token("```", 0.01), token('{"', 0.001), token("label", 0.2), token('": "', 0.9)]
    tokens += [token("pos", 0.18, neg=0.06, The=0.7), token("itive", 0.99), token('"}', 0.3), token("```", 0.1)]
    schema = {"properties": {"label": {"enum": ["positive", "negative", "unknown"]}}}
    likelihood, confidence = sureness('{"label": "positive"}', tokens, schema) or (0.0, 0.0)
    assert likelihood == pytest.approx(0.75 * 0.99)
    assert confidence == pytest.approx(math.sqrt(0.18 * 0.99))
    assert sureness('{"label": "positive"}', tokens, None) == pytest.approx((0.18 * 0.99, confidence))
    assert sureness("something else", tokens, schema) is None


# -- keys


def test_a_key_is_sent_and_stands_nowhere(context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEACHER_KEY", SECRET)
    with answering(echo) as server:
        asked(context, server.url, ["a"], api_key_env="TEACHER_KEY")
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    for path in (path for folder in (context.cache, context.scratch) for path in folder.rglob("*") if path.is_file()):
        assert SECRET.encode() not in path.read_bytes()


@pytest.mark.parametrize("status", [401, 403, 400, 404, 500])
def test_a_server_that_says_the_key_again_does_not_make_us_say_it(
    context: Context, monkeypatch: pytest.MonkeyPatch, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEACHER_KEY", SECRET)
    with answering(lambda body, number: (status, {"error": {"message": f"bad key {SECRET}"}}, {})) as server:
        try:
            replies, asking = asked(context, server.url, ["a"], api_key_env="TEACHER_KEY", retries=0)
            said = replies[0].problem + asking.ledger.read_text("utf-8")
        except BurnishError as error:
            said = str(error)
    assert "bad key …" in said and SECRET not in said
    assert SECRET not in "".join(capfd.readouterr())


def test_a_key_that_is_not_set_is_named(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    with pytest.raises(BurnishError, match="the environment variable TEACHER_KEY is not set"):
        asked(context, "http://127.0.0.1:9/v1", ["a"], api_key_env="TEACHER_KEY")


def test_a_setting_that_holds_a_key_is_refused_without_repeating_it() -> None:
    found = teacher_problems(
        {"base_url": f"https://user:{SECRET}@x.org/v1?key={SECRET}", "model": "m", "api_key_env": SECRET}
    )
    assert len(found) == 2 and SECRET not in str(found)
    assert SECRET not in TEACHERS.shown({"base_url": SECRET, "model": "m", "api_key": SECRET, "api_key_env": SECRET})


def test_a_wrong_setting_is_told_without_what_may_be_a_key() -> None:
    setting = Setting("teacher", Annotated[Any, TEACHERS], None, "")
    for wrong in ({"base_url": "http://x/v1", "model": "m", "api_key": SECRET}, SECRET):
        value, message = setting.check(wrong)
        assert value is None and "value error" in message and SECRET not in message


# -- the setting


def test_who_stops_early_is_not_held_up_and_keeps_what_was_answered(context: Context) -> None:
    with answering(echo) as server:
        server.delay_s = 0.02
        teacher = OpenAI(server.url, "m", concurrency=4)
        replies = ask(
            teacher, questions(*[f"q{i}" for i in range(500)]), context=context, name="t", read=lambda text, _: text
        )
        first = [next(replies).value for _ in range(3)]
        began = time.monotonic()
        replies.close()
        assert time.monotonic() - began < 5 and first == ["Q0", "Q1", "Q2"]
        assert len(server.asked) < 100
        again, _ = asked(context, server.url, ["q0", "q1", "q2"])
    assert all(reply.cached for reply in again)


def test_a_teacher_is_written_with_or_without_its_kind_and_may_be_none() -> None:
    short = {"base_url": "http://localhost:1/v1", "model": "m"}
    assert TEACHERS.one(short) == TEACHERS.one({"use": "openai", **short}) == OpenAI("http://localhost:1/v1", "m")
    assert TEACHERS.one(None) is None and TEACHERS.plain(None) is None
    assert TEACHERS.identity({**short, "timeout": 3.0}, None) == TEACHERS.identity(short, None)  # type: ignore[arg-type]
    assert TEACHERS.identity({**short, "model": "n"}, None) != TEACHERS.identity(short, None)  # type: ignore[arg-type]


def test_money_needs_prices_except_at_home() -> None:
    away = {"base_url": "https://example.org/v1", "model": "m", "max_cost": 1.0}
    [(key, message, hint)] = teacher_problems(away)
    assert (key, "price_in" in hint) == ("teacher", True) and "max_cost" in message
    assert not teacher_problems({**away, "price_in": 0.0, "price_out": 0.0})
    assert not teacher_problems({**away, "base_url": "http://127.0.0.1:8000/v1"})
    assert teacher_problems(None, needed_for="construct.x")[0][1] == "construct.x needs a teacher"


def test_who_stops_listening_leaves_nothing_half_started(context: Context) -> None:
    """Requests are given up at every moment of their life, also while a connection is about to be made."""
    with answering(echo) as server:
        server.delay_s = 0.002
        for wait_s in range(24):
            context = replace(context, key=str(wait_s))
            texts = [f"{wait_s} q{i}" for i in range(40)]
            teacher = OpenAI(server.url, "m", timeout=5.0, retries=3, concurrency=40)
            replies = iter(ask(teacher, questions(*texts), context=context, name="t", read=lambda text, _: text))
            next(replies)
            time.sleep(wait_s / 10_000)
            replies.close()  # type: ignore[attr-defined]
    gc.collect()  # what was left half started would be told here
