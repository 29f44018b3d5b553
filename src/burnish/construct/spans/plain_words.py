"""Labellers of spans that go by how words are written: what is mostly written small is no name, a run of capitals is one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from burnish.construct.forms import votes_on
from burnish.construct.spans.words import Place, each, vote_on_places
from burnish.construct.voting import Ballot, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.stage import Context, Positive, Share, stage
from burnish.tasks.tagging import NOTHING, SOMETHING

Half = Annotated[float, Ge(0.5), Le(1)]

# A word: an initial with its dot, or letters and digits with what joins them.
_WORD = re.compile(r"(?<!\w)[^\W\d_]\.|\w[\w'’&-]*")
# Where a sentence, a quotation or a line begins, a capital says nothing.
_BEGINS = re.compile(r"(?:^|[.!?:;…\n])[\s\"'“”‘’`«(\[]*$|[\"“‘`«(\[]\s*$")


@stage("construct.common_words", check=votes_on("spans"))
def common_words(
    records: Records,
    votes: list[Votes],
    gold: Gold | None,
    context: Context,
    *,
    share: Half = 0.5,
    least: Positive = 1,
    trust: Share | None = None,
    name: str = "common words",
) -> Votes:
    """Vote that words which the records mostly write small are no name, where labellers above take them for one.

    That is such words at the edge of a name, or all of it, that are written small (Army "of") or begin a sentence ("The"
    German, "Two"): a capital inside a sentence says that a word is meant otherwise.

    share: how much of the time a word must be written small, 0.5..1; capitals at the beginning of a sentence are not counted.
    least: times that a word must have been seen small.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports.

    For scripts with capitals; it says nothing of others. Reads the records twice. Memory: the words that they hold, and the
    places of the votes so far.
    """
    small, large = Counter[str](), Counter[str]()
    for batch in records.batches(["text"]):
        for text in batch["text"].to_pylist():
            for word, begins in _written(text or ""):
                if word == word.lower():
                    small[word] += 1
                elif not begins:
                    large[word.lower()] += 1
    common = {word for word, count in small.items() if count >= least and count > share * (count + large[word])}

    placed: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for one in votes:
        columns = (one.table[column].to_pylist() for column in ("row", "start", "end", "label"))
        for row, start, end, label in zip(*columns, strict=True):
            if start is not None and end is not None and label != NOTHING:
                placed[row].add((start, end))
    ballot = Ballot()
    for rows, batch in walk(records, gold, ["text"]):
        for row, text in zip(rows.tolist(), batch["text"].to_pylist(), strict=True):
            found = {place for name_at in placed.get(row, ()) for place in _common(text or "", *name_at, common)}
            if found:
                start, end = np.array(sorted(found)).T
                ballot.add(np.full(len(found), row), name, NOTHING, start=start, end=end)
    about = f"{len(common):,} words that are mostly written small"
    return ballot.votes([Labeller(name, "common_words", (NOTHING,), about, trust)])


def _common(text: str, start: int, end: int, common: set[str]) -> Iterator[tuple[int, int]]:
    """Words at the edges of text[start:end] that are no name."""
    words = list(_WORD.finditer(text, start, end))
    plain = [word[0].lower() in common and _small_or_begins(text, word) for word in words]
    first = next((at for at, one in enumerate(plain) if not one), len(plain))
    last = len(plain) - next((at for at, one in enumerate(reversed(plain)) if not one), len(plain))
    if first:
        yield words[0].start(), words[first - 1].end()
    if first < last < len(plain):
        yield words[last].start(), words[-1].end()


def _small_or_begins(text: str, word: re.Match[str]) -> bool:
    return word[0] == word[0].lower() or _begins(text, word.start())


def _begins(text: str, at: int) -> bool:
    """Whether a sentence, a quotation or a line begins there."""
    return bool(_BEGINS.search(text, max(at - 20, 0), at))


@stage("construct.capitals", check=votes_on("spans"))
def capitals(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    most: Positive = 8,
    trust: Share | None = None,
    name: str = "capitals",
) -> Votes:
    """Vote that a name of some type stands where words are written with capitals.

    most: longest run, in words; it abstains on longer ones, which are headlines.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports.

    No span is made of such votes alone: where no other labeller names a type they say that there is doubt, and who learns
    from the record is not taught that nothing is there.
    """

    def find(text: str) -> Iterable[Place]:
        for run in _runs(text):
            if len(run) <= most:
                yield run[0].start(), run[-1].end(), SOMETHING, 1.0

    return vote_on_places(
        records, gold, Labeller(name, "capitals", (SOMETHING,), "runs of words with capitals", trust), each(find)
    )


def _written(text: str) -> Iterator[tuple[str, bool]]:
    """Words of scripts with capitals, and whether a sentence begins there."""
    for found in _WORD.finditer(text):
        word = found[0]
        if word.lower() != word.upper():
            yield word, _begins(text, found.start())


def _runs(text: str) -> Iterator[list[re.Match[str]]]:
    """Words with a capital at the beginning that stand side by side."""
    run: list[re.Match[str]] = []
    for found in _WORD.finditer(text):
        capital = found[0][0].isupper()
        if run and not (capital and text[run[-1].end() : found.start()].strip(" ") == ""):
            yield run
            run = []
        if capital:
            run.append(found)
    if run:
        yield run
