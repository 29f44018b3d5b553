"""A large model as one more labeller: each prompt votes, and how often it is right is estimated as for everybody else."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt

from burnish.construct.forms import Form, Said, form_name, form_of, votes_on
from burnish.construct.teachers import OpenAI, Question, Reply, ask
from burnish.construct.teachers.answers import Kind, kind_of
from burnish.construct.teachers.costing import Estimate, estimate
from burnish.construct.teachers.endpoint import Money, Seconds, Temperature
from burnish.construct.teachers.family import NotInKey
from burnish.construct.teachers.prompts import Prompt, by_content, load_prompt, prompt_problems
from burnish.construct.teachers.reading import Partly
from burnish.construct.voting import Ballot, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes, write_json
from burnish.core.stage import Context, Count, Positive, Share, TaskSpec, stage
from burnish.core.tasktypes import open_task

COLUMNS = ("id", "text", "text_b", "messages", "spans", "language", "keep", "meta")
PLACES = ("text", "text_b", "labels", "question", "context", "spans", "request")
INPUTS = ("text", "question", "request")
SETTINGS = tuple(field.name for field in dataclasses.fields(OpenAI))


def _auto(task: TaskSpec) -> str:
    """The prompt of the task's form."""
    return form_name(task) or "label"


Prompts = Annotated[str | list[str], by_content(_auto)]


def _named(prompt: str | list[str], task: TaskSpec) -> list[str]:
    names = [prompt] if isinstance(prompt, str) else prompt
    return [_auto(task) if name == "auto" else name for name in names]


def _teacher(settings: Mapping[str, Any]) -> OpenAI:
    return OpenAI(**{name: settings[name] for name in SETTINGS})


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`."""
    if found := votes_on()(settings, task):
        return found
    problems = [(key_of(message), message, hint) for message, hint in _teacher(settings).problems()]
    names = _named(settings["prompt"], task)
    for name in names:
        problems += prompt_problems(name, PLACES, needs=INPUTS, task=task)
    called = Counter(Path(name).stem for name in names)
    problems += [
        ("prompt", f"two prompts are called {name!r}", "each votes under its own name")
        for name, times in called.items()
        if times > 1
    ]
    if not names:
        problems.append(("prompt", "a teacher needs a prompt", "prompt: auto"))
    if settings["samples"] > 1 and settings["temperature"] == 0:
        problems.append(
            ("samples", "at temperature 0 every sample is the same", "temperature: 0.7, or several prompts")
        )
    return problems


def key_of(message: str) -> str:
    """The setting that a problem of a teacher is about: it stands at its head."""
    first = message.split()[0]
    return first if first in SETTINGS else "use"


def _estimate(records: int, tokens: int, settings: Mapping[str, Any], task: TaskSpec) -> Estimate | None:
    """For `burnish plan`: every record, every prompt, every sample."""
    column = form_name(task)
    if column is None:
        return None
    kind = kind_of(column, open_task(task), task)
    prompts = [
        load_prompt(name, language=task.languages[0], base=task.base) for name in _named(settings["prompt"], task)
    ]
    each = tokens / max(records, 1)
    fixed = sum(len(text) for prompt in prompts for _, text in prompt.turns) / len(prompts) + len(_lines(task))
    asked = fixed / (1.4 if task.languages[0] == "zh" else 4.0) + 20 + each
    return estimate(
        _teacher(settings),
        requests=records * len(prompts) * settings["samples"],
        tokens_in=asked,
        tokens_out=kind.tokens + kind.tokens_each * each,
    )


@stage("construct.teacher", check=_problems, estimate=_estimate, aliases={"prompts": "prompt"})
def teacher(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    base_url: str,
    model: str,
    prompt: Prompts = "auto",
    samples: Positive = 1,
    api_key_env: Annotated[str | None, NotInKey()] = None,
    max_cost: Money | None = None,
    max_requests: Positive | None = None,
    max_total_tokens: Positive | None = None,
    price_in: Money | None = None,
    price_out: Money | None = None,
    max_tokens: Positive = 512,
    temperature: Temperature = 0.0,
    top_p: Annotated[float, Gt(0)] | None = None,
    seed: Count | None = 0,
    concurrency: Annotated[int, Gt(0), NotInKey()] = 16,
    timeout: Annotated[Seconds, NotInKey()] = 120.0,
    retries: Annotated[int, Ge(0), NotInKey()] = 6,
    structured: bool = True,
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Ask a large model what each record's target is, and let it vote.

    base_url: of an endpoint that speaks OpenAI's chat completions, up to and with /v1.
    model: its name there.
    prompt: a prompt by name, the path of a file of your own, or several; each is a labeller of its own, so that it shows
        which asks best. auto is the one for the kind of target.
    samples: how often each is asked; what most say counts, as sure as they agree. Needs a temperature above 0.
    api_key_env: the environment variable that holds the key. A key itself never stands in a spec.
    max_cost: the most that the answers may cost, in the money of the prices; it stops before it pays more.
    max_requests: the most answers that are paid for.
    max_total_tokens: the most tokens, read and written.
    price_in: money for a million tokens read; a server on this machine costs nothing.
    price_out: money for a million tokens written.
    max_tokens: the most an answer may have.
    temperature: 0 for the likeliest answer, higher for variety.
    top_p: the share of likely words that are drawn from, above 0.
    seed: sent with every question, for servers that can give the same again.
    concurrency: the most requests in flight; fewer when the server says that it is too fast.
    timeout: seconds for one answer.
    retries: how often one question is tried again after a fault of server or network.
    structured: hold the server to the form of the answer where it can do that; it is told when it cannot.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; the model's name by default.

    It votes on the checked records too, so that it is weighed by what it is worth. An answer that cannot be used is asked
    for once more with what was wrong; after that it is in the ledger, NAME.failures.jsonl. Sure of a vote: of one sample
    the probability of its answer, where the server tells; of several how many agree; else 1. With a budget it asks about
    the checked records first and the others in an order drawn by chance, so that what the money buys is a fair sample; then
    it holds the texts of all records in memory.
    """
    asked = OpenAI(
        base_url, model, api_key_env, max_cost, max_requests, max_total_tokens, price_in, price_out, max_tokens,
        temperature, top_p, seed, concurrency, timeout, retries, structured,
    )  # fmt: skip
    form, task = form_of(context.task), open_task(context.task)
    kind = kind_of(form.name, task, context.task)
    called, names = name or f"teacher:{model}", _named(prompt, context.task)
    total = (len(records) + (len(gold) if gold is not None else 0)) * len(names) * samples
    questions = _questions(records, gold, context, names, samples, kind, asked)
    replies = ask(
        asked,
        questions,
        context=context,
        name=called,
        read=lambda text, question: _read(text, question.about[2], kind, form, context.task),
        total=total,
        logprobs=samples == 1,
    )
    ballot = Ballot()
    heard: dict[str, set[str]] = defaultdict(set)
    voted: Counter[str] = Counter()
    for row, number, answers in _gathered(replies, samples):
        labeller = _labeller_name(called, names, number)
        said = agreed(answers, form, context.task)
        heard[labeller].update(one.label for one in said if one.label is not None)
        voted[labeller] += bool(said)
        ballot.cast(row, labeller, said)
    labellers = [
        Labeller(one, "teacher", tuple(sorted(heard[one])), _about(model, file, context, voted[one]), trust)
        for number, file in enumerate(names)
        for one in [_labeller_name(called, names, number)]
    ]
    votes = ballot.votes(labellers)
    slug = "".join(letter if letter.isalnum() else "-" for letter in called)
    write_json(context.scratch / f"{slug}.json", replies.facts)
    votes.files = {f"{slug}.json": context.scratch / f"{slug}.json", f"{slug}.failures.jsonl": replies.ledger}
    return votes


def _read(text: str, record: Mapping[str, Any], kind: Kind, form: Form, spec: TaskSpec) -> Any:
    """The answer in a text, one that the form can count; ValueError in words for the teacher."""
    try:
        answer = kind.read(text, record)
    except Partly as error:
        form.said(error.value, record, spec)
        raise
    if answer is not None:
        form.said(answer, record, spec)
    return answer


def _labeller_name(called: str, names: Sequence[str], number: int) -> str:
    return called if len(names) == 1 else f"{called}/{Path(names[number]).stem}"


def _about(model: str, file: str, context: Context, voted: int) -> str:
    prompt = load_prompt(file, language=context.task.languages[0], base=context.base)
    version = f" version {prompt.version}" if prompt.version else ""
    return f"{model}, prompt {prompt.called}{version}: votes on {voted:,}"


def _rows(
    records: Records, gold: Gold | None, context: Context, asked: OpenAI
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows of records and gold with the number that votes on them carry; with a budget gold first, then in any order."""
    task = open_task(context.task)
    limited = any(limit is not None for limit in (asked.max_cost, asked.max_requests, asked.max_total_tokens))

    def walked() -> Iterator[tuple[int, Mapping[str, Any]]]:
        for rows, batch in walk(records, gold, COLUMNS):
            read = task.read(batch).to_pylist()
            yield from ((row, one) for row, one in zip(rows.tolist(), read, strict=True) if one["keep"] is not False)

    if not limited:
        yield from walked()
        return
    every = list(walked())
    checked = [one for one in every if one[0] < 0]
    others = [one for one in every if one[0] >= 0]
    yield from checked
    yield from (others[at] for at in np.random.default_rng(context.seed).permutation(len(others)))


def _questions(
    records: Records,
    gold: Gold | None,
    context: Context,
    names: Sequence[str],
    samples: int,
    kind: Kind,
    asked: OpenAI,
) -> Iterator[Question]:
    """About every record, with every prompt, as often as it is sampled."""
    task, spec = open_task(context.task), context.task
    load = functools.cache(lambda name, language: load_prompt(name, language=language, base=context.base))
    for row, record in _rows(records, gold, context, asked):
        language = _language(record, spec)
        for number, name in enumerate(names):
            prompt: Prompt = load(name, language)
            messages = prompt.messages(**_values(record, prompt, task, spec, language))
            for sample in range(samples):
                yield Question(
                    str(record["id"] or row),
                    messages,
                    prompt.form(kind.schema),
                    sample,
                    language,
                    about=(row, number, record),
                )


def _language(record: Mapping[str, Any], spec: TaskSpec) -> str:
    """The language that the record is asked about in."""
    if len(spec.languages) == 1:
        return spec.languages[0]
    if record.get("language") in spec.languages:
        return str(record["language"])
    text = record.get("text") or ""
    chinese = any("一" <= letter <= "鿿" for letter in text)
    return "zh" if chinese and "zh" in spec.languages else next(one for one in spec.languages if one != "zh")


def _values(record: Mapping[str, Any], prompt: Prompt, task: Any, spec: TaskSpec, language: str) -> dict[str, object]:
    """What stands for the placeholders."""
    text, second = record.get("text") or "", record.get("text_b")
    alone = second is None or prompt.places & {"text_b", "context"}
    whole = text if alone else f"{text}\n{second}"
    spans = record.get("spans") or ()
    named = dict.fromkeys(f"- {text[one['start'] : one['end']]} ({one['label']})" for one in spans)
    request = task.prompt(whole, language=language) if "request" in prompt.places else ""
    return {
        "text": whole, "text_b": second, "labels": _lines(spec, task), "question": text, "context": second,
        "spans": "\n".join(named) or "-", "request": request,
    }  # fmt: skip


def _lines(spec: TaskSpec, task: Any = None) -> str:
    """The labels with what they mean, one a line."""
    labels = getattr(task, "relations", None) or spec.labels
    about = spec.descriptions
    return "\n".join(f"- {label}: {about[label]}" if label in about else f"- {label}" for label in labels)


def _gathered(replies: Iterator[Reply], samples: int) -> Iterator[tuple[int, int, list[tuple[Any, Reply]]]]:
    """Row, number of the prompt, and the samples that came to something with their rows."""
    waiting: list[tuple[Any, Reply]] = []
    for reply in replies:
        assert reply.question
        waiting.append((reply.question.about[2], reply))
        if reply.question.sample == samples - 1:
            row, number, _ = reply.question.about
            yield row, number, [one for one in waiting if not one[1].problem]
            waiting = []


def agreed(answers: Sequence[tuple[Any, Reply]], form: Form, spec: TaskSpec) -> list[Said]:
    """What several samples say together, as votes: [] abstains.

    A target that is one thing is what most samples say, as sure as their share. Of several (labels, spans, relations) each
    is as sure as the share that names it, and those under a half are left out.
    """
    told = [(form.said(reply.value, row, spec), reply) for row, reply in answers if reply.value is not None]
    if len(answers) == 1 and told:
        said, reply = told[0]
        sure = reply.likelihood if form.name in ("label", "labels") else reply.confidence
        return [_sure(one, 1.0 if sure is None else sure, form) for one in said]
    if not told:
        return []
    counts: dict[tuple[Any, ...], float] = defaultdict(float)
    first: dict[tuple[Any, ...], Said] = {}
    for said, _ in told:
        for one in said:
            what = (one.label, one.start, one.end, one.tail_start, one.tail_end, one.text)
            counts[what] += one.confidence
            first.setdefault(what, one)
    shares = {what: count / len(answers) for what, count in counts.items()}
    if form.name == "labels":
        return [_with(first[what], share) for what, share in shares.items()]
    if form.name in ("spans", "relations"):
        return [_with(first[what], share) for what, share in shares.items() if share >= 0.5]
    best = max(shares, key=lambda what: shares[what])
    return [_with(first[best], shares[best])]


def _sure(one: Said, sure: float, form: Form) -> Said:
    """A vote as sure as its answer. Of several labels 0.5 is no vote at all: an answer moves away from it as it is sure."""
    return _with(one, 0.5 + (one.confidence - 0.5) * sure if form.name == "labels" else one.confidence * sure)


def _with(one: Said, confidence: float) -> Said:
    return Said(one.label, confidence, one.start, one.end, one.tail_start, one.tail_end, one.text)
