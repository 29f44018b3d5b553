"""Labellers of spans that go by how words are written: what is mostly written small is no name, a run of capitals is one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated

from annotated_types import Ge, Le

from burnish.construct.forms import votes_on
from burnish.construct.spans.words import Place, each, vote_on_places
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
    gold: Gold | None,
    context: Context,
    *,
    share: Half = 0.5,
    least: Positive = 1,
    trust: Share | None = None,
    name: str = "common words",
) -> Votes:
    """Vote that capitals are no name where all words in a row are mostly written small ("The", "Two" where a sentence begins).

    share: how much of the time a word must be written small, 0.5..1; capitals at the beginning of a sentence are not counted.
    least: times that a word must have been seen small.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports.

    For scripts with capitals; it says nothing of others. Reads the records twice. Memory: the words that they hold.
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

    def find(text: str) -> Iterable[Place]:
        for run in _runs(text):
            if all(word[0].lower() in common for word in run):
                yield run[0].start(), run[-1].end(), NOTHING, 1.0

    about = f"{len(common):,} words that are mostly written small"
    return vote_on_places(records, gold, Labeller(name, "common_words", (NOTHING,), about, trust), each(find))


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
            yield word, bool(_BEGINS.search(text, max(found.start() - 20, 0), found.start()))


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
