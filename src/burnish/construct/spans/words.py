"""Where words, patterns and dictionaries stand in a text: the labellers of `words` when the task is tagging."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from burnish.construct.spans.gazetteer import Case, Gazetteer, majority_label
from burnish.construct.voting import Ballot, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError

# a place with what is said of it: start, end, label, confidence
Place = tuple[int, int, str, float]
Find = Callable[[str], Iterable[Place]]
FindAll = Callable[[Sequence[str]], Iterable[list[Place]]]


def each(find: Find) -> FindAll:
    """The places of many texts, one after the other."""
    return lambda texts: (list(find(text)) for text in texts)


def vote_on_places(records: Records, gold: Gold | None, labeller: Labeller, find: FindAll) -> Votes:
    """Votes of one labeller on the places that `find` names in each text. Streams."""
    ballot = Ballot()
    for rows, batch in walk(records, gold, ["text"]):
        texts = [text or "" for text in batch["text"].to_pylist()]
        found = [(row, *place) for row, places in zip(rows.tolist(), find(texts), strict=True) for place in places]
        if found:
            row, start, end, label, sure = zip(*found, strict=True)
            ballot.add(
                np.array(row), labeller.name, list(label), np.array(sure), start=np.array(start), end=np.array(end)
            )
    return ballot.votes([labeller])


def case_of(case: bool | str) -> Case:
    """The policy a setting asks for: names are found as they are written unless capitals are said not to count."""
    if case == "auto":
        return "smart"
    return "exact" if case else "ignore"


def of_words(words: Sequence[str], label: str, *, case: bool | str) -> Find:
    """Places of words and phrases, the longest of those that overlap. A star at the end goes on to the end of the word."""
    begun = [word.endswith("*") for word in words]
    whole = Gazetteer([word for word, star in zip(words, begun, strict=True) if not star], case=case_of(case))
    stems = [re.escape(word.removesuffix("*")) for word, star in zip(words, begun, strict=True) if star]
    flags = 0 if case is True else re.IGNORECASE
    open_ended = re.compile(rf"(?<!\w)(?:{'|'.join(stems)})\w*" if stems else r"(?!)", flags)

    def find(text: str) -> Iterable[Place]:
        for hits in whole.find(text):
            yield hits[0].start, hits[0].end, label, 1.0
        for found in open_ended.finditer(text):
            yield found.start(), found.end(), label, 1.0

    return find


def of_terms(terms: Sequence[tuple[str, str, float]], *, case: bool | str, margin: float) -> Find:
    """Places of terms with labels and weights. A name with several labels votes for the heaviest, unless that leads too little."""
    gazetteer = Gazetteer((term for term, _, _ in terms), case=case_of(case))

    def find(text: str) -> Iterable[Place]:
        for hits in gazetteer.find(text):
            said = majority_label([terms[h.term][1] for h in hits], [terms[h.term][2] for h in hits], margin=margin)
            if said is not None:
                yield hits[0].start, hits[0].end, *said

    return find


_OPEN, _CLOSE, _GROUP = "\ufdd0", "\ufdd1", "\ufdd2"  # no characters, by Unicode's own word: they stand in no text
_MARKS = str.maketrans(dict.fromkeys((_OPEN, _CLOSE, _GROUP), "\ufffd"))
_MARKED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}([^{_GROUP}]*){_GROUP}")


def of_pattern(compiled: str, label: str, *, group: int | str) -> FindAll:
    """Places where a pattern of Rust's syntax matches, or where the words of a group stand first in the match.

    The engine, whose time is linear, marks the matches in the texts, and the marks are counted out again.
    """
    import polars as pl

    marked = f"{_OPEN}$0{_CLOSE}${{{group}}}{_GROUP}"

    def find(texts: Sequence[str]) -> Iterable[list[Place]]:
        series = pl.Series([text.translate(_MARKS) for text in texts], dtype=pl.String)
        for text in series.str.replace_all(compiled, marked).to_list():
            yield list(_unmarked(text, label))

    return find


def _unmarked(text: str, label: str) -> Iterable[Place]:
    added = 0  # characters before the match that are not of the text
    for found in _MARKED.finditer(text):
        start = found.start() - added
        inner = found[1].find(found[2])
        if found[2] and inner >= 0:
            yield start + inner, start + inner + len(found[2]), label, 1.0
        added += len(found[0]) - len(found[1])


def check_group(compiled: str, group: int | str, where: str) -> None:
    """Refuse a group that the pattern does not have."""
    import polars as pl

    known = [field.name for field in pl.Series([""]).str.extract_groups(compiled).dtype.fields]  # type: ignore[attr-defined]
    if group != 0 and str(group) not in known and not (isinstance(group, int) and group <= len(known)):
        raise BurnishError(
            f"the pattern has no group {group!r}", where=where, hint=f"it has {', '.join(known) or 'none'}; 0 is all"
        )
