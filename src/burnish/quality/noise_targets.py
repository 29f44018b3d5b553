"""Checks of targets that are no class labels: entities, relations, answers, and pairs of input and output."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.measures.entity_probe import entity_chances
from burnish.quality.checks import NOT_HERE, Array, Found, Material, check
from burnish.quality.material import measured
from burnish.quality.traits import Block, field, rows_of, told
from burnish.text.language import languages
from burnish.text.lengths import lengths
from burnish.text.normalise import normalise
from burnish.text.words import placed, words

LEAST_MENTIONS = 3  # of a string with one type, from which another type or none is doubted
AGREED = 0.8  # share of its mentions
DOUBTED = 0.02  # probability of the label of a span below which the probe doubts it
CERTAIN = 0.98  # probability of an entity where none is marked
RATIO_LIMIT = 3.5  # modified z-score, Iglewicz and Hoaglin 1993
UNTRANSLATED_WORDS = 0.7


@check("entity_errors", dimension="noise", auto="report")
def entities(material: Material) -> Found:
    """Entities with the wrong type, or not marked: by what is marked elsewhere, and by a probe that has not seen the record.

    Consistency: a string that is marked with one type in 80% of its mentions (3 or more) is doubted where it has another type, and where it
    is not marked (mentions: all places where it stands as whole words). Score: share of the other mentions that differ from it,
    (m - 1) / m of m. Probe: per word, logistic regression on the word, its form and neighbours, 3 folds by record, calibrated; a span is doubted below
    2% (score 1 - p), words without one above 98%. A record's score is its worst place. Reiss et al. 2020 found 5% of CoNLL-2003 so.
    """
    if "spans" not in material.task.target:
        return material.nothing(f"{NOT_HERE}: {material.context.task.type} has no spans")
    table = material._table
    spans = table["spans"].to_pylist()
    rows = [row for row, one in enumerate(spans) if one is not None]
    if not any(spans[row] for row in rows):
        return material.nothing("no record has a span")
    texts = table["text"].to_pylist()
    score: Array = np.zeros(len(material))
    doubt = np.zeros(len(material))  # of the probe, below its thresholds too
    why: dict[int, str] = {}
    count: Counter[str] = Counter()

    def say(row: int, worth: float, kind: str, reason: str) -> None:
        count[kind] += 1
        if worth > score[row]:
            score[row], why[row] = worth, reason

    _inconsistent(rows, texts, spans, say)
    agreement = None
    if len(rows) >= 60:
        agreement = _doubted(material, rows, texts, spans, say, doubt)
    facts = {"judged": len(rows), "kinds": dict(count.most_common()), "agreement_of_words": agreement}
    flagged = score > 0
    return Found(np.clip(np.maximum(score, doubt), 0, 1), flagged, lambda row: why[row], lambda row: "review", facts)


def _inconsistent(rows: list[int], texts: list[str | None], spans: list[Any], say: Any) -> None:
    """Say what is marked otherwise than the same string elsewhere."""
    types: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for one in spans[row]:
            types[_form(texts[row] or "", one)][one["label"]] += 1
    wanted = {form: counts for form, counts in types.items() if counts.total() >= LEAST_MENTIONS and form}
    bare: Counter[str] = Counter()
    where: list[tuple[int, str, int, int]] = []
    starts = _first_words(wanted)
    for row in rows:
        text = texts[row] or ""
        taken = [(one["start"], one["end"]) for one in spans[row]]
        for start, end in _mentions(text, starts):
            if not any(start < last and first < end for first, last in taken):
                form = text[start:end]
                bare[form] += 1
                where.append((row, form, start, end))
    for row in rows:
        for one in spans[row]:
            form = _form(texts[row] or "", one)
            counts = wanted.get(form)
            if not counts:
                continue
            (top, most), total = counts.most_common(1)[0], counts.total()
            if top != one["label"] and most >= AGREED * total and most >= LEAST_MENTIONS:
                say(
                    row,
                    most / total,
                    "type",
                    f"“{form}” is {one['label']} here and {top} in {most} of its {total} marked places",
                )
    for row, form, _, _ in where:
        counts = wanted[form]
        (top, most), total = counts.most_common(1)[0], counts.total() + bare[form]
        if most >= AGREED * total and most >= LEAST_MENTIONS:
            say(
                row,
                most / total,
                "missing",
                f"“{form}” is not marked here; it is {top} in {most} of its {total} places",
            )


def _form(text: str, span: dict[str, Any]) -> str:
    return text[span["start"] : span["end"]]


def _first_words(forms: Any) -> dict[str, set[str]]:
    """First word of each form -> the forms."""
    starts: dict[str, set[str]] = defaultdict(set)
    for form in forms:
        cut = placed(form)
        if cut and cut[0][0] == 0:
            starts[form[: cut[0][1]]].add(form)
    return starts


def _mentions(text: str, starts: dict[str, set[str]]) -> list[tuple[int, int]]:
    """Where the forms stand as whole words, the longest at each place, none over another."""
    cut = placed(text)
    ends = {end for _, end in cut}
    found, free = [], 0
    for start, end in cut:
        if start < free:
            continue
        longest = ""
        for form in starts.get(text[start:end], ()):
            if len(form) > len(longest) and text.startswith(form, start):
                stop = start + len(form)
                if stop in ends or not form[-1].isalnum():
                    longest = form
        if longest:
            free = start + len(longest)
            found.append((start, free))
    return found


def _doubted(
    material: Material, rows: list[int], texts: list[str | None], spans: list[Any], say: Any, doubt: Array
) -> float:
    """Say what the probe does not believe, and raise `doubt` (n,) by all it believes less; returns the share of words on which it agrees."""
    chances, places, given, names = entity_chances(
        [texts[row] or "" for row in rows], [spans[row] for row in rows], seed=material.context.seed,
        groups=material.alike.label[rows],
    )  # fmt: skip
    chances = _calibrated(chances, given)
    agreed = total = 0
    for row, chance, place, own in zip(rows, chances, places, given, strict=True):
        if not len(own):
            continue
        agreed += int((chance.argmax(1) == own).sum())
        total += len(own)
        text = texts[row] or ""
        for one in spans[row]:
            inside = [at for at, (start, end) in enumerate(place) if start >= one["start"] and end <= one["end"]]
            if inside:
                sure = max(float(chance[at, names.index(one["label"])]) for at in inside)
                doubt[row] = max(doubt[row], 1 - sure)
                if sure < DOUBTED:
                    mean = chance[inside].mean(0)
                    other = int(np.argmax(np.where(np.arange(len(names)) == names.index(one["label"]), -1, mean)))
                    better = "no entity" if other == 0 else names[other]
                    kind = "not an entity" if other == 0 else "type"
                    say(
                        row,
                        1 - sure,
                        kind,
                        f"“{text[one['start'] : one['end']]}” as {one['label']} is {sure:.0%} likely; {better} is {mean[other]:.0%}",
                    )
        if (own == 0).any():
            doubt[row] = max(doubt[row], float(chance[own == 0, 1:].max(initial=0)))
        bare = np.flatnonzero((own == 0) & (chance[:, 0] < 1 - CERTAIN))
        for at in bare.tolist():
            best = int(chance[at, 1:].argmax()) + 1
            if chance[at, best] > CERTAIN:
                start, end = place[at]
                say(
                    row,
                    float(chance[at, best]),
                    "missing",
                    f"“{text[start:end]}” is not marked; {names[best]} is {chance[at, best]:.0%} likely",
                )
    return round(agreed / max(total, 1), 4)


def _calibrated(chances: list[Array], given: list[Array]) -> list[Array]:
    """The same chances with the temperature that fits best out of sample (Guo et al. 2017): the probe is too sure of itself."""
    from burnish.nn.probe import fit_temperature

    logits, labels = np.log(np.concatenate(chances)), np.concatenate(given)
    some = slice(None, None, max(1, len(labels) // 50_000))
    logits /= fit_temperature(logits[some], labels[some])
    sure = np.exp(logits - logits.max(axis=1, keepdims=True))
    sure /= sure.sum(axis=1, keepdims=True)
    return np.split(sure, np.cumsum([len(one) for one in given])[:-1])


@check("relation_errors", dimension="noise", auto="report")
def relations(material: Material) -> Found:
    """Relations that contradict the same pair elsewhere, or join kinds of entities that theirs does not join.

    The same two strings in the same order with another relation in 80% of their places (3 or more): score, the share. Kinds of head and tail
    that are 1% or less of the places of a relation with 50 or more, where the turned order is its usual one: 0.9, otherwise 0.6.
    """
    if "relations" not in material.task.target:
        return material.nothing(f"{NOT_HERE}: {material.context.task.type} has no relations")
    texts, spans, given = (material.column(name) for name in ("text", "spans", "relations"))
    pairs: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    kinds: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    triples = []
    for row, found in enumerate(given):
        for one in found or ():
            own = spans[row] or []
            if not all(0 <= one[end] < len(own) for end in ("head", "tail")):
                continue  # broken_fields says so
            head, tail = own[one["head"]], own[one["tail"]]
            words_of = (_form(texts[row] or "", head), _form(texts[row] or "", tail))
            kind = (head["label"], tail["label"])
            pairs[words_of][one["label"]] += 1
            kinds[one["label"]][kind] += 1
            triples.append((row, one["label"], words_of, kind))
    score, why = np.zeros(len(material)), {}
    for row, label, pair, kind in triples:
        (top, most), total = pairs[pair].most_common(1)[0], pairs[pair].total()
        worth, said = 0.0, ""
        if top != label and most >= LEAST_MENTIONS and most >= AGREED * total:
            worth, said = most / total, f"“{pair[0]}” and “{pair[1]}”: {label} here, {top} in {most} of {total} places"
        usual = kinds[label]
        if usual.total() >= 50 and usual[kind] <= 0.01 * usual.total():
            turned = usual.most_common(1)[0][0] == kind[::-1]
            own = 0.9 if turned else 0.6
            if own > worth:
                worth = own
                said = f"{label} joins {kind[0]} and {kind[1]} here, as in {usual[kind]} of {usual.total()} places" + (
                    ": head and tail may be turned" if turned else ""
                )
        if worth > score[row]:
            score[row], why[row] = worth, said
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", {"judged": len(triples)})


def implausible(block: Block) -> pa.Array:
    """What is wrong with the answer of each record, the worst of it."""
    made: list[dict[str, Any] | None] = []
    for question, context, answer in zip(*(block.column(name) for name in ("text", "text_b", "answer")), strict=True):
        asked = answer and answer["text"]
        found = _implausible(question or "", context or "", answer["text"], answer["start"]) if asked else None
        made.append(dict(zip(("worth", "kind", "reason"), found, strict=True)) if found else None)
    return rows_of(made, worth=pa.float64(), kind=pa.string(), reason=pa.string())


@check("answer_errors", dimension="noise", auto="report", reads=[implausible])
def answers(material: Material) -> Found:
    """Answers that do not stand in their context, stand elsewhere in it, or cannot answer the question.

    Score 1: not in the context; 0.9: in it, but not where the start says; 0.8: goes through a word, or has blanks at its ends; 0.7: most of the
    context; 0.7: a question of when, how many or how much (何时, 多少, 几) whose answer has no figure; 0.6: the answer is in the question.
    A question without an answer is none of these.
    """
    if "answer" not in material.task.target:
        return material.nothing(f"{NOT_HERE}: {material.context.task.type} has no answers")
    score, why = np.zeros(len(material)), {}
    kinds: Counter[str] = Counter()
    for row, one in told(material.trait(implausible)):
        score[row], why[row] = one["worth"], one["reason"]
        kinds[one["kind"]] += 1
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", {"kinds": dict(kinds.most_common())})


_FIGURES = set("0123456789０１２３４５６７８９一二两三四五六七八九十百千万亿零半几数")
_TIMES = set("年月日时代期后前世纪春夏秋冬")
_NUMBER_WORDS = frozenset(
    [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "twenty",
        "thirty",
        "forty",
        "fifty",
        "hundred",
        "thousand",
        "million",
        "billion",
        "dozen",
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "half",
        "none",
        "no",
        "several",
        "many",
        "few",
        "once",
        "twice",
        "single",
        "both",
        "couple",
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "spring",
        "summer",
        "autumn",
        "fall",
        "winter",
        "century",
        "early",
        "late",
        "after",
        "before",
        "during",
        "morning",
        "evening",
        "night",
        "today",
        "yesterday",
        "annually",
        "daily",
        "always",
        "never",
    ]
)


def _implausible(question: str, context: str, answer: str, start: int | None) -> tuple[float, str, str] | None:
    """(score, kind, reason) of the worst that is wrong."""
    if context and answer not in context:
        near = normalise(answer) in normalise(context)
        return (
            1.0,
            "not in the context",
            f"“{answer[:40]}” is not in the context" + (", only written otherwise" if near else ""),
        )
    if context and start is not None and start >= 0 and context[start : start + len(answer)] != answer:
        return 0.9, "elsewhere", f"“{answer[:40]}” is at {context.find(answer)}, not at {start}"
    if answer != answer.strip():
        return 0.8, "blanks", f"“{answer[:40]}” has blanks at its ends"
    if context and start is not None and start >= 0:
        inside = [at for at in (start, start + len(answer)) if _cuts(context, at)]
        if inside:
            return 0.8, "through a word", f"“{answer[:40]}” goes through a word of the context"
    if context and len(answer) > 0.6 * len(context) and len(context) > 80:
        return 0.7, "long", f"the answer is {len(answer) / len(context):.0%} of the context"
    asked = normalise(question)
    # "几个部分" asks for the parts; "when X, what ..." asks for something else
    starts = ("when ", "how many ", "how much ", "how old ", "what year ", "in what year ", "in which year ")
    counts = asked.startswith(starts) and not any(
        f" {one} " in asked for one in ("what", "which", "who", "where", "why")
    )
    counts = counts or any(mark in asked for mark in ("多少", "哪一年", "哪年", "几年", "几岁", "几月"))
    told = set(answer) & (_FIGURES | _TIMES) or _NUMBER_WORDS & {word.lower() for word in words(answer)}
    if counts and not told:
        return 0.7, "no figure", f"the question asks for a number or a time; “{answer[:40]}” has none"
    if len(answer) >= 2 and normalise(answer) in asked and not _choice(asked):
        return 0.6, "in the question", f"“{answer[:40]}” stands in the question already"
    return None


def _cuts(text: str, at: int) -> bool:
    return 0 < at < len(text) and all(one.isalpha() and ord(one) < 0x2E80 for one in text[at - 1 : at + 1])


def _choice(question: str) -> bool:
    return " or " in question or "还是" in question or "which" in question or "哪" in question


def compared(block: Block) -> pa.Array:
    """The output of each record against its text: languages, lengths, what is copied, figures that are lost."""
    outputs = block.column("output")
    rows = [at for at, one in enumerate(outputs) if one is not None]
    written = [outputs[at] for at in rows]
    codes = languages(written, among=block.asked.languages).code
    sizes = [lengths(texts).words for texts in ([block.texts[at] for at in rows], written)]
    made: list[dict[str, Any] | None] = [None] * len(block)
    for at, other, code, before, after in zip(rows, written, codes, *sizes, strict=True):
        a, b = normalise(block.texts[at]), normalise(other)
        own, held, lost = words(b), set(words(a)), {one for one in _digits(a) if len(one) > 1} - set(_digits(b))
        if set(b) & set("百千万亿十") or _NUMBER_WORDS & set(own):
            lost = set()
        made[at] = {
            "language": str(code), "input": before, "output": after, "empty": not other.strip(),
            "copy": a == b and any(map(str.isalpha, a)), "words": len(own),
            "shared": float(np.mean([word in held for word in own])) if own else 0.0, "lost": ", ".join(sorted(lost)[:3]),
        }  # fmt: skip
    return rows_of(
        made, language=pa.string(), input=pa.int64(), output=pa.int64(), empty=pa.bool_(), copy=pa.bool_(),
        words=pa.int32(), shared=pa.float64(), lost=pa.string(),
    )  # fmt: skip


@check("pair_errors", dimension="noise", auto="report", reads=[measured, compared])
def pairs(material: Material) -> Found:
    """Outputs that cannot be of their inputs: copied, empty, far too long or short, not translated, about something else.

    Translation, summaries and other written targets. Copy: equal, 1. Untranslated: the output is in
    the language of the input where most are not, or 70% of its words stand in the input, 0.9. Length: modified z-score of log(output / input)
    in words or characters within the pair of languages (Iglewicz and Hoaglin 1993), limit 3.5, score z / (z + 3.5). Unrelated: with vectors of every
    record, the cosine of the two texts lies below the 95th percentile of shuffled pairs and a modified z-score below -3.5, 0.8 (cf. LASER filtering,
    Chaudhary et al. 2019); a backbone must know both languages. A figure of the input of two or more digits that a translation lacks: 0.5.
    """
    if "output" not in material.task.target:
        return material.nothing(f"{NOT_HERE}: {material.context.task.type} has no outputs")
    made = material.trait(compared)
    rows = np.flatnonzero(made.is_valid().to_numpy()).tolist()
    if not rows:
        return material.nothing("no record has an output")
    codes, theirs = material.languages.code[rows], field(made, "language")[rows].astype("<U8")
    turned = codes != theirs
    translates = bool(turned.mean() > 0.5)
    score, why = np.zeros(len(material)), {}
    kinds: Counter[str] = Counter()

    def say(at: int, worth: float, kind: str, reason: str) -> None:
        kinds[kind] += 1
        if worth > score[rows[at]]:
            score[rows[at]], why[rows[at]] = worth, reason

    z, ratio = _ratios(field(made, "input")[rows], field(made, "output")[rows], codes, theirs if translates else codes)
    for at, (_, one) in enumerate(told(made)):
        if one["empty"]:
            say(at, 1.0, "empty", "the output is empty")
            continue
        if one["copy"]:
            say(at, 1.0, "copy", "the output is the input")
        elif translates and not turned[at] and one["words"] >= 3 and codes[at] != "und":
            if one["shared"] >= UNTRANSLATED_WORDS:
                say(
                    at,
                    0.9,
                    "untranslated",
                    f"{one['shared']:.0%} of the output's words stand in the input, both are {codes[at]}",
                )
            else:
                say(
                    at,
                    0.7,
                    "language",
                    f"input and output are both {codes[at]}; {turned.mean():.0%} of the pairs differ",
                )
        if abs(z[at]) > RATIO_LIMIT:
            say(
                at,
                float(abs(z[at]) / (abs(z[at]) + RATIO_LIMIT)),
                "length",
                f"the output is {ratio[at]:.2g} times as long as the input, far from what is usual here",
            )
        if translates and one["lost"]:
            say(at, 0.5, "figures", f"{one['lost']} of the input is not in the output")
    if material.embed == "all":
        for at, cosine, limit in _unrelated(material, rows):
            say(at, 0.8, "unrelated", f"the two texts have a cosine of {cosine:.2f}; shuffled pairs reach {limit:.2f}")
    facts = {
        "judged": len(rows),
        "kinds": dict(kinds.most_common()),
        "median_ratio": round(float(np.median(ratio)), 4),
        "vectors": material.embed == "all",
    }
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", facts)


_FIGURE = re.compile(r"\d+(?:\.\d+)?")


def _digits(text: str) -> list[str]:
    """Figures as written, without commas between thousands and zeros behind the point."""
    return [one.rstrip("0").rstrip(".") if "." in one else one for one in _FIGURE.findall(text.replace(",", ""))]


def _ratios(before: Array, after: Array, codes: Array, theirs: Array) -> tuple[Array, Array]:
    """Modified z-score (m,) of the log of output over input length within each pair of languages of 30 or more, and the ratio."""
    logs = np.log(np.maximum(after, 1).astype(float) / np.maximum(before, 1).astype(float))
    z = np.zeros(len(logs))
    pair = np.array([f"{one}>{other}" for one, other in zip(codes, theirs, strict=True)])
    for one in np.unique(pair):
        own = pair == one
        if own.sum() >= 30:
            middle = np.median(logs[own])
            z[own] = 0.6745 * (logs[own] - middle) / max(float(np.median(np.abs(logs[own] - middle))), 0.15)
    return z, np.exp(logs)


def _unrelated(material: Material, rows: list[int]) -> list[tuple[int, float, float]]:
    """(position, cosine, limit) of the pairs that are no more alike than shuffled ones."""
    from burnish.nn.embeddings import centre

    outputs = material.column("output")
    one, other = material.points[rows], centre(material.embedded([outputs[row] for row in rows]))
    cosine = (one * other).sum(1)
    if len(rows) < 30:
        return []
    shuffled = (one * other[np.roll(np.arange(len(rows)), 7)]).sum(1)
    limit = float(np.quantile(shuffled, 0.95))
    middle = np.median(cosine)
    z = 0.6745 * (cosine - middle) / max(float(np.median(np.abs(cosine - middle))), 0.02)
    return [(at, float(cosine[at]), limit) for at in np.flatnonzero((cosine < limit) & (z < -RATIO_LIMIT)).tolist()]
