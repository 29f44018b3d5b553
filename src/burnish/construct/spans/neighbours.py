"""Labellers of spans that look at what stands beside a name, and at where a name that was found once stands again."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from annotated_types import Ge, Le

from burnish.construct.forms import checks, votes_on
from burnish.construct.spans.gazetteer import Gazetteer
from burnish.construct.spans.words import Find, Place, each, vote_on_places
from burnish.construct.voting import Ballot, check_label, label_problems, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Positive, Share, TaskSpec, stage
from burnish.text.scripts import HAN_CLASS

Half = Annotated[float, Ge(0.5), Le(1)]

# A run of words with capitals, with the small words that stand inside names.
_WORD = r"[^\W\d_a-zà-öø-ÿ][\w'’&-]*\.?"
_INSIDE = r"(?:of|the|de|du|da|di|del|la|van|von|der|den|bin|al|&)"
_NO_NAME = r"(?!(?:The|A|An|In|On|At|It|He|She|They|This|That|These|Those|But|And|For|From|His|Her|Its|Their|As|By|When|After|Before)\b)"
# Characters that stand between names rather than inside them.
_STOPS = "的了是在和与及或对把被让从向到给为将就也都又很这那其该各每某我你他她它们说称道着过等以于并但而且且之所有没不"
_HAN = f"(?:(?![{_STOPS}])[{HAN_CLASS}A-Za-z0-9·])"


def _cue_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: the label, and at least one cue."""
    found = checks(votes_on("spans"), label_problems)(settings, task)
    if not settings["before"] and not settings["after"]:
        found.append(("before", "no cue word is named", 'before: ["Mr."], after: ["Inc."], or both'))
    return found


@stage("construct.neighbours", check=_cue_problems)
def neighbours(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    label: str,
    before: list[str] = [],  # noqa: B006
    after: list[str] = [],  # noqa: B006
    include: bool = False,
    most: Positive = 5,
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Vote for what stands beside a cue word: "Mr." Smith, Acme "Inc.", 王小明"先生", 腾讯"公司".

    label: of the name.
    before: cues that stand before the name; without `after` one of them is enough, with it a name stands between the two.
    after: cues that stand behind it.
    include: whether the cue is part of the name (Inc., 公司) or not (Mr., 先生).
    most: longest name, in words, or in characters where the cue is Chinese; it abstains where a longer one would begin.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; label and cues by default.

    Beside an English cue the name is the run of words with capitals; beside a Chinese one the run of characters up to a
    sign or a word that stands between names (的, 在, 和 …).
    """
    check_label(label, context, "construct.neighbours: label")
    if not before and not after:
        raise BurnishError(
            "no cue word is named", where="construct.neighbours", hint='before: ["Mr."], after: ["Inc."], or both'
        )
    cues = ", ".join([*(f"{one} …" for one in before), *(f"… {one}" for one in after)])
    called = name or f"neighbours:{label}:{cues[:40]}"
    find = beside(before, after, label, include=include, most=most)
    return vote_on_places(records, gold, Labeller(called, "neighbours", (label,), cues, trust), each(find))


def beside(before: Sequence[str], after: Sequence[str], label: str, *, include: bool, most: int) -> Find:
    """Places of names beside cues."""
    patterns = [
        re.compile(_pattern(first, last, han, most))
        for han in (False, True)
        if ((first := _cues(before, han)) or not before)
        and ((last := _cues(after, han)) or not after)
        and (first or last)
    ]

    def find(text: str) -> Iterable[Place]:
        for pattern in patterns:
            for found in pattern.finditer(text):
                start, end = found.span("name")
                if include:
                    start = found.start("first") if before else start
                    end = found.end("last") if after else end
                yield start, end, label, 1.0

    return find


def _cues(cues: Sequence[str], han: bool) -> str:
    """Cues of one script as alternatives, the longest first."""
    chosen = [one for one in cues if bool(re.search(f"[{HAN_CLASS}]", one)) == han]
    return "|".join(re.escape(one) for one in sorted(chosen, key=len, reverse=True))


def _pattern(first: str, last: str, han: bool, most: int) -> str:
    if han:
        lead = f"(?P<first>{first})" if first else f"(?<!{_HAN})"
        tail = f"(?P<last>{last})" if last else f"(?!{_HAN})"
        return f"{lead}(?P<name>{_HAN}{{1,{most}}}?){tail}"
    lead = rf"(?<!\w)(?P<first>{first})\s+" if first else r"(?<![\w'’-])(?<!\b[A-Z]\. )"
    tail = rf"(?:,?\s+|(?<=\.))(?P<last>{last})(?![\w])" if last else ""
    return rf"{lead}(?P<name>{_NO_NAME}{_WORD}(?:\s+(?:{_INSIDE}\s+){{0,2}}{_WORD}){{0,{most - 1}}}{'?' if last else ''}){tail}"


@stage("construct.repeated", check=votes_on("spans"))
def repeated(
    records: Records,
    votes: list[Votes],
    gold: Gold | None,
    context: Context,
    *,
    within: Literal["group", "all"] = "group",
    share: Half = 0.6,
    least: Positive = 1,
    trust: Share | None = None,
    name: str = "repeated",
) -> Votes:
    """Vote where a name that the labellers above found elsewhere stands again and none of them sees it.

    within: group (the same document, as `group` of the records says; a record without one is its own) or all.
    share: of the votes on a name that its label must have, 0.5..1, else it abstains.
    least: places where a name must have been found.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports.

    Names of one character are left out. Memory: the names found, and the votes so far.
    """
    table = pa.concat_tables([one.table for one in votes]) if votes else Votes.SCHEMA.empty_table()
    placed: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    columns = (table[column].to_pylist() for column in ("row", "start", "end", "label"))
    for row, start, end, label in zip(*columns, strict=True):
        if start is not None and end is not None and label in context.task.labels:
            placed[row].append((start, end, label))
    known: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for rows, batch in walk(records, gold, ["text", "group"]):
        for row, text, group in _rows(rows, batch, within):
            for start, end, label in placed.get(row, ()):
                surface = (text or "")[start:end]
                if len(surface) > 1:
                    known[group][surface][label] += 1
    ballot, heard, open_group, finder = Ballot(), set[str](), None, None
    for rows, batch in walk(records, gold, ["text", "group"]):
        for row, text, group in _rows(rows, batch, within):
            if finder is None or group != open_group:
                open_group, finder = group, _Known(known.get(group, {}), share, least)
            found = [one for one in finder.find(text or "") if not _taken(one, placed.get(row, ()))]
            if found:
                start, end, label, sure = zip(*found, strict=True)
                heard.update(label)
                at = np.full(len(found), row)
                ballot.add(at, name, list(label), np.array(sure), start=np.array(start), end=np.array(end))
    about = "names found elsewhere in the same " + ("document" if within == "group" else "collection")
    return ballot.votes([Labeller(name, "repeated", tuple(sorted(heard)), about, trust)])


def _rows(rows: np.ndarray, batch: pa.Table, within: str) -> Iterable[tuple[int, str | None, str]]:
    for row, text, group in zip(rows.tolist(), batch["text"].to_pylist(), batch["group"].to_pylist(), strict=True):
        yield row, text, "" if within == "all" else f"{row}" if group is None else f"group {row < 0} {group}"


def _taken(place: Place, votes: Sequence[tuple[int, int, str]]) -> bool:
    """Whether a vote shares characters with it."""
    return any(start < place[1] and place[0] < end for start, end, _ in votes)


class _Known:
    """The names of one document that have a clear label, found again."""

    def __init__(self, names: Mapping[str, Counter[str]], share: float, least: int) -> None:
        self.said: list[tuple[str, float]] = []
        surfaces = []
        for surface, counts in names.items():
            label, count = max(counts.items(), key=lambda one: (one[1], one[0]))
            if counts.total() >= least and count / counts.total() >= share:
                surfaces.append(surface)
                self.said.append((label, count / counts.total()))
        self.gazetteer = Gazetteer(surfaces, case="exact")

    def find(self, text: str) -> Iterable[Place]:
        for hits in self.gazetteer.find(text):
            yield hits[0].start, hits[0].end, *self.said[hits[0].term]
