"""Summaries that texts bring along: their title, their first sentences, the headings of their sections, or the sentence
that says most of what the others say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from burnish.construct.making import Refused, grow, made
from burnish.core.artifacts import Records
from burnish.core.records import Record
from burnish.core.stage import Context, Positive, Share, TaskSpec, stage
from burnish.core.tasktypes import targets_of
from burnish.text.normalise import normalise
from burnish.text.sentences import sentences

BY = "construct.summaries"
LONGEST_TITLE = 40  # words of a first line that may be a title
_HEADING = re.compile(r"^(?:#{1,6}\s+(?P<hash>.+?)\s*#*|(?P<under>\S.*)\n(?:=+|-{3,}))\s*$", re.MULTILINE)
_ENDS = re.compile(r"[.!?。！？…;；,，:：]$")

Made = tuple[str, str, str, float]  # text, output, how, confidence
# How far each way is to be believed where nobody checked: a title is written as a summary, a first sentence is not
TRUST = {"title": 0.9, "headings": 0.8, "lead": 0.6, "gap": 0.5}


def writes_outputs(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: what is made here is an output."""
    if "output" in targets_of(task):
        return []
    return [("use", f"it writes outputs, and a target of {task.type} is none", "task: {type: summarization}")]


@stage(BY, check=writes_outputs)
def summaries(
    records: Records,
    context: Context,
    *,
    way: Literal["title", "lead", "headings", "gap"] = "title",
    title: str = "meta.title",
    num_sentences: Positive = 1,
    cut: bool = True,
    min_words: Positive = 40,
    min_compression: float = 3.0,
    min_support: Share = 0.3,
    most_repeats: Positive = 2,
) -> Records:
    """Make summaries out of what texts bring along: titles, leads, headings, principal sentences.

    way: title is the field `title`, else a first line that stands alone; lead the first sentences; headings pairs every
        section of a Markdown text with its heading; gap takes out the sentences that say most of what the others say (PEGASUS).
    title: where a title is: meta.NAME.
    num_sentences: of a lead or a gap.
    cut: take lead and gap out of the text, so that a model must write and cannot copy.
    min_words: a text of fewer words (characters in Chinese) is not summarised.
    min_compression: a text must be so many times longer than its summary.
    min_support: share of the summary's content words that the text must have, 0..1; a title that says something else is none.
    most_repeats: a summary that was made for so many texts already ("News in brief") is refused.

    Confidence says how far the way is to be believed: title 0.9, headings 0.8, lead 0.6, gap 0.5, times the support.
    """
    repeats: Counter[str] = Counter()

    def make(record: Record) -> Iterator[Record | Refused]:
        found = list(_found(record, way, title, num_sentences, cut))
        if not found:
            yield Refused({"title": "no title", "headings": "no heading"}.get(way, "too few sentences"))
        for text, output, how, trust in found:
            why_not, support = _refusal(text, output, min_words, min_compression, min_support)
            if not why_not and repeats[normalise(output)] >= most_repeats:
                why_not = "said of many texts"
            if why_not:
                yield Refused(why_not)
                continue
            repeats[normalise(output)] += 1
            yield made(
                record, by=BY, why=how, text=text, output=output, confidence=round(trust * support, 4),
                meta={**_rest(record, title), "way": way},
            )  # fmt: skip

    return grow(records, make, context, by=BY, what="summaries")


def _rest(record: Record, title: str) -> dict[str, Any]:
    """The parent's meta without the title, which is the output now."""
    return {name: value for name, value in record.meta.items() if title != f"meta.{name}"}


def _found(record: Record, way: str, title: str, count: int, cut: bool) -> Iterator[Made]:
    text = record.text or ""
    if way == "title":
        yield from _titled(text, record.meta.get(title.removeprefix("meta.")))
    elif way == "headings":
        yield from _headed(text)
    else:
        yield from _sentences(text, way, count, cut)


def _titled(text: str, given: Any) -> Iterator[Made]:
    from burnish.measures.generation import rouge_tokens

    if isinstance(given, str) and given.strip():
        body = text.strip().removeprefix(given.strip()).strip()
        yield body, given.strip(), "title from its field", TRUST["title"]
        return
    first, _, body = text.strip().partition("\n")
    first = re.sub(r"^#+\s*", "", first).strip()
    alone = body.startswith("\n") or "\n" in body.strip() or len(body) > 5 * len(first)
    if body.strip() and alone and not _ENDS.search(first) and 0 < len(rouge_tokens(first)) <= LONGEST_TITLE:
        yield body.strip(), first, "title from its first line", TRUST["title"]


def _headed(text: str) -> Iterator[Made]:
    marks = list(_HEADING.finditer(text))
    for at, mark in enumerate(marks):
        end = marks[at + 1].start() if at + 1 < len(marks) else len(text)
        body = text[mark.end() : end].strip()
        if body:
            yield body, (mark["hash"] or mark["under"]).strip(), f"heading of section {at + 1}", TRUST["headings"]


def _sentences(text: str, way: str, count: int, cut: bool) -> Iterator[Made]:
    from burnish.measures.generation import rouge_tokens
    from burnish.measures.summaries import principal

    places = sentences(text)
    if len(places) <= count:
        return
    said = [text[start:end] for start, end in places]
    chosen = list(range(count)) if way == "lead" else principal([rouge_tokens(one) for one in said], count=count)
    output = joined([said[at] for at in chosen])
    rest = joined([one for at, one in enumerate(said) if at not in chosen]) if cut else text
    yield rest, output, f"sentence {', '.join(str(at + 1) for at in chosen)} as {way}", TRUST[way]


def joined(said: list[str]) -> str:
    """Sentences as a text, with a blank after Latin marks alone."""
    text = ""
    for one in said:
        text += one if not text or ord(text[-1]) > 0x2E7F else f" {one}"
    return text


def _refusal(text: str, output: str, min_words: int, min_compression: float, min_support: float) -> tuple[str, float]:
    """Why a pair is no summary, "" when it is one; and the share of its content words that the text has."""
    from burnish.measures.generation import rouge_tokens
    from burnish.measures.summaries import supported

    long, short = len(rouge_tokens(text)), len(rouge_tokens(output))
    if long < min_words:
        return "text too short", 0.0
    if not short:
        return "summary without a word", 0.0
    if long < min_compression * short:
        return "not much shorter than its text", 0.0
    support = supported(text, output)
    return ("about something else" if support < min_support else ""), support
