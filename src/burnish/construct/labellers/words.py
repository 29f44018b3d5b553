"""Labellers that look for words: keywords, a regular expression, a dictionary. English on word boundaries, Chinese anywhere.

A text is brought to a form in which a word boundary is a blank: runs of letters and digits that are not Han or kana
stand between single blanks, so " good " is found as a plain string, and all words at once by Aho-Corasick (polars).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Gt, MinLen

from burnish.construct.forms import checks, form_name, votable, votes_on
from burnish.construct.spans import words as span_words
from burnish.construct.voting import Ballot, check_label, label_problems, texts_of, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError, DataError
from burnish.core.stage import Context, Count, Share, TaskSpec, stage

if TYPE_CHECKING:
    import polars

Words = Annotated[list[str], MinLen(1)]
Score = Annotated[float, Gt(0)]
Case = bool | Literal["auto"]
Flag = Literal["ignore_case", "multiline", "dotall", "verbose"]

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}"
_WORD = rf"[\w--[{_UNSPACED}]]+"
# A negation and what may stand between it and the word it turns round: up to two English words, two characters.
_NEGATED_EN = r" (?:not|no|never|without|hardly|barely|neither|nor|cannot|(?:\w+n|can) ' t|(?:do|does|did|is|was|are|were|wo|ca|could|would|should)nt)(?: \w+){0,2}?"
_NEGATED_ZH = r"(?:不|没有|没|沒有|沒|无|無|未|毫无|并非|别)[\p{Han}]{0,2}?"
# Words that hold a negating character and negate nothing; taken out before looking.
_NO_NEGATION = "特别|特別|区别|分别|个别|级别|别人|别的|非常|不仅|不僅|不但|不只|不过|不過|不得不|无论|無論|不管|无比|差不多|不少|不一会"


WORDS = votes_on("label", "labels", "node", "spans")  # words vote on whole records, or on the places where they stand


def _on_places(context: Context) -> bool:
    return form_name(context.task) == "spans"


@stage("construct.keywords", check=checks(WORDS, label_problems))
def keywords(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    label: str,
    words: Words,
    case: Case = "auto",
    negated: Literal["count", "skip"] = "count",
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Vote for a label where one of the words stands; in tagging, vote for the very place.

    label: the label it votes for.
    words: words or phrases; "recommend*" also finds what begins so. Chinese is found inside other text.
    case: whether capitals must agree; width (Ａ, A) never counts. auto: no, but in tagging words are found as they are
        written, in capitals throughout (London, LONDON) and, without capitals, at the beginning of a sentence.
    negated: what "not great" and 不推荐 are: count as great and 推荐, or skip. Places are voted for either way.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; the label by default.
    """
    check_label(label, context, "construct.keywords: label")
    called = name or f"keywords:{label}"
    labeller = Labeller(called, "keywords", (label,), ", ".join(words[:20]), trust)
    if _on_places(context):
        find = span_words.each(span_words.of_words(words, label, case=case))
        return span_words.vote_on_places(records, gold, labeller, find)
    case = case is True
    patterns = _patterns(words, case=case, where="construct.keywords: words")
    ballot = Ballot()
    for rows, batch in walk(records, gold, ["text", "text_b"]):
        found = _contains(spaced(texts_of(batch), case=case), patterns, skip_negated=negated == "skip")
        ballot.add(rows[found], called, label, 1.0 if trust is None else trust)
    return ballot.votes([labeller])


def _regex_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: its label, and whether the pattern compiles."""
    found = checks(WORDS, label_problems)(settings, task)
    compiled = _with_flags(settings["pattern"], settings["flags"])
    try:
        check_pattern(compiled, settings["pattern"])
        span_words.check_group(compiled, settings["group"], "construct.regex: group")
    except BurnishError as error:
        found.append(("group" if error.where.endswith("group") else "pattern", error.message, error.hint))
    if settings["group"] and form_name(task) not in (None, "spans"):
        found.append(("group", "a group is a place in the text, for tagging alone", "leave it out"))
    return found


def _with_flags(pattern: str, flags: Sequence[str]) -> str:
    switches = "".join({"ignore_case": "i", "multiline": "m", "dotall": "s", "verbose": "x"}[flag] for flag in flags)
    return f"(?{switches}){pattern}" if switches else pattern


@stage("construct.regex", check=_regex_problems)
def regex(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    label: str,
    pattern: str,
    flags: list[Flag] = ["ignore_case"],  # noqa: B006
    group: Count | str = 0,
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    r"""Vote for a label where a regular expression matches anywhere in the text; in tagging, vote for every match.

    label: the label it votes for.
    pattern: in the syntax of Rust's regex (RE2's: \b, \w, \d, classes, repetition, groups). Its time is linear in the
        text, so no pattern can hang a run; the price is no look-around and no back-reference.
    flags: ignore_case, multiline, dotall, verbose.
    group: in tagging, the group that the place is, by number or name ("Mr\.? (\w+)": 1); 0 is the whole match. Where its
        words stand twice in a match, the first place is taken.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; label and pattern by default.
    """
    import polars as pl

    check_label(label, context, "construct.regex: label")
    compiled = _with_flags(pattern, flags)
    check_pattern(compiled, pattern)
    called = name or f"regex:{label}:{pattern[:40]}"
    labeller = Labeller(called, "regex", (label,), pattern, trust)
    if _on_places(context):
        span_words.check_group(compiled, group, "construct.regex: group")
        return span_words.vote_on_places(records, gold, labeller, span_words.of_pattern(compiled, label, group=group))
    ballot = Ballot()
    for rows, batch in walk(records, gold, ["text", "text_b"]):
        found = pl.Series(texts_of(batch), dtype=pl.String).str.contains(compiled).to_numpy()
        ballot.add(rows[found], called, label, 1.0 if trust is None else trust)
    return ballot.votes([labeller])


def check_pattern(compiled: str, pattern: str) -> None:
    """Refuse a pattern that the engine cannot compile, in its own words."""
    import polars as pl

    try:
        pl.Series([""]).str.contains(compiled)
    except pl.exceptions.ComputeError as error:
        said = str(error).split("\n\nThis error occurred")[0].strip()
        reason = said.splitlines()[-1].removeprefix("error: ")
        around = "look-around" in said or "backreference" in said
        raise BurnishError(
            f"the pattern {pattern!r} cannot be used: {reason}",
            where="construct.regex: pattern",
            hint="write it as a function: {use: functions, path: rules.py}"
            if around
            else "try it at regex101.com, flavour Rust",
        ) from error


@stage("construct.dictionary", check=WORDS)
def dictionary(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    path: Path,
    threshold: Score = 1.0,
    margin: Share = 0.0,
    case: Case = "auto",
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Vote for the label whose terms weigh most; in tagging, vote where a term stands.

    path: TSV or CSV with the columns term, label and (optional, 1.0) weight, in this order or named in the first line.
    threshold: summed weight from which the heaviest label gets the vote.
        In tagging terms that weigh less are left out.
    margin: by which share of all weight it must lead the second label, 0..1; 0: any lead, ties abstain. In tagging of the
        weight of one name that stands under several labels.
    case: whether capitals must agree; auto as in `keywords`.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; the file's name by default.

    A term counts once a text. The confidence of a vote is the label's share of the weight found. In tagging of names that
    overlap the longest is taken; terms end where words end, and stand anywhere in Chinese. Millions of terms are read by
    Aho-Corasick (1975): 5 million take 1.6 GB and read some 9 MB a CPU-second (benchmarks/gazetteer.py).
    """
    import polars as pl

    called = name or f"dictionary:{path.stem}"
    labels = list(votable(context.task))
    terms = read_dictionary(path, context)
    heard = {label for _, label, _ in terms}
    said = tuple(label for label in labels if label in heard)
    labeller = Labeller(called, "dictionary", said, f"{len(terms)} terms of {path.name}", trust)
    if _on_places(context):
        heavy = [one for one in terms if one[2] >= threshold]
        find = span_words.each(span_words.of_terms(heavy, case=case, margin=margin))
        return span_words.vote_on_places(records, gold, labeller, find)
    case = case is True
    table = pl.DataFrame(
        [(mark, labels.index(label), weight) for term, label, weight in terms for mark in _patterns([term], case=case)],
        schema={"term": pl.String, "label": pl.Int64, "weight": pl.Float64},
        orient="row",
    )
    patterns = table["term"].unique(maintain_order=True).to_list()
    ballot = Ballot()
    for rows, batch in walk(records, gold, ["text", "text_b"]):
        found = spaced(texts_of(batch), case=case).str.extract_many(patterns, overlapping=True)
        hits = (
            pl.DataFrame({"row": np.arange(len(rows)), "term": found})
            .explode("term")
            .drop_nulls()
            .unique()
            .join(table, on="term")
        )
        weight = np.zeros((len(rows), len(labels)))
        np.add.at(weight, (hits["row"].to_numpy(), hits["label"].to_numpy()), hits["weight"].to_numpy())
        votes, best, share = _heaviest(weight, threshold, margin)
        ballot.add(rows[votes], called, [labels[y] for y in best[votes]], share[votes])
    return ballot.votes([labeller])


def _heaviest(weight: np.ndarray, threshold: float, margin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """weight (n, k) -> who votes (n,), for what (n,), with which share (n,)."""
    best = weight.argmax(1)
    ordered = np.sort(weight, axis=1)
    first, second = ordered[:, -1], ordered[:, -2]
    total = np.maximum(np.clip(weight, 0, None).sum(1), 1e-12)
    votes = (first >= threshold) & (first > second) & ((first - second) / total >= margin)
    return votes, best, np.clip(first / total, 0, 1)


def read_dictionary(path: Path, context: Context) -> list[tuple[str, str, float]]:
    """(term, label, weight) of every line; all mistakes of the file in one error."""
    terms, wrong = [], []
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file, delimiter="," if path.suffix.lower() == ".csv" else "\t"))
    named = [cell.strip().lower() for cell in rows[0]] if rows else []
    columns = {"term": 0, "label": 1, "weight": 2}
    if "term" in named and "label" in named:
        columns = {key: named.index(key) for key in columns if key in named}
        rows[0] = []
    for line, row in enumerate(rows, start=1):
        cells = {key: row[at].strip() for key, at in columns.items() if at < len(row)}
        if not any(cells.values()):
            continue
        problem = _row_problem(cells, context)
        if problem:
            wrong.append(f"{path.name}:{line}: {problem}")
        else:
            terms.append((cells["term"], cells["label"], float(cells.get("weight") or 1.0)))
    if wrong or not terms:
        raise DataError(
            "\n  ".join(wrong[:20]) if wrong else "holds no term",
            where="construct.dictionary",
            hint="each line: term, label, weight; separated by tabs (.tsv) or commas (.csv)",
        )
    return terms


def _row_problem(cells: dict[str, str], context: Context) -> str:
    if not cells.get("term") or not cells.get("label"):
        return "a term and its label are needed"
    try:
        check_label(cells["label"], context, "")
        float(cells.get("weight") or 1.0)
    except BurnishError as error:
        return f"{error.message} ({error.hint})"
    except ValueError:
        return f"weight {cells['weight']!r} is not a number"
    return ""


def spaced(texts: list[str], *, case: bool = False) -> polars.Series:
    """Texts in the form words are looked for in: compatible width, one blank around every run that is not Han or kana."""
    import polars as pl

    series = pl.Series(texts, dtype=pl.String).str.normalize("NFKC")
    series = series if case else series.str.to_lowercase()
    apart = (" " + series.str.replace_all("[’‘`]", "'") + " ").str.replace_all(_WORD, " $0 ")
    return apart.str.replace_all(r"\s+", " ")


def _patterns(words: list[str], *, case: bool, where: str = "") -> list[str]:
    """Words as the strings to look for in `spaced` text; a star at the end leaves the end open."""
    made = []
    for word, mark in zip(words, spaced([word.removesuffix("*") for word in words], case=case), strict=True):
        inner = mark.strip()
        if not inner:
            raise BurnishError(f"{word!r} holds nothing to look for", where=where, hint="remove it")
        left = " " if mark.startswith(" ") and _is_word(inner[0]) else ""
        right = " " if _is_word(inner[-1]) and not word.endswith("*") else ""
        made.append(f"{left}{inner}{right}")
    return made


def _is_word(character: str) -> bool:
    """Whether a boundary belongs beside it: a letter or digit of a language that puts blanks between words."""
    code = ord(character)
    unspaced = 0x3040 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or code >= 0x20000
    return (character.isalnum() or character == "_") and not unspaced


def _contains(series: polars.Series, patterns: list[str], *, skip_negated: bool) -> np.ndarray:
    """(n,) bool. Negations are looked at only where something was found."""
    import polars as pl

    found = series.str.contains_any(patterns).to_numpy().copy()
    if skip_negated and found.any():
        at = np.flatnonzero(found)
        either = "|".join(_quoted(one) for one in sorted(patterns, key=len, reverse=True))
        rest = series.gather(pl.Series(at)).str.replace_all(_NO_NEGATION, " ")
        rest = rest.str.replace_all(f"(?:{_NEGATED_EN}|{_NEGATED_ZH})(?:{either})", " ")
        found[at] = rest.str.contains_any(patterns).to_numpy()
    return found


def _quoted(pattern: str) -> str:
    import polars as pl

    return str(pl.Series([pattern]).str.escape_regex()[0])
