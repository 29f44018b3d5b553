"""Checks of texts as they came in: markup, cut off, boilerplate, signs of machine translation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from burnish.quality.checks import Array, Found, Material, check
from burnish.text.scripts import HAN_CLASS
from burnish.text.words import words as cut

MARKUP = re.compile(
    r"</?[a-zA-Z][a-zA-Z0-9]{0,15}(?:\s[^<>]{0,300})?/?>|<!--.{0,500}?-->|&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,5});"
    r"|\[/?(?:b|i|u|url|img|quote|color|size|code)(?:=[^\]]{0,200})?\]|\{\{[^{}]{1,200}\}\}|\[\[[^\[\]]{1,200}\]\]"
    r"|!?\[[^\[\]]{0,200}\]\(https?://[^()\s]{1,300}\)|\\[nrt](?![a-z])|\\u[0-9a-fA-F]{4}|@[a-z-]+\{[^{}]{0,300}\}"
    r"|<doc\s[^>]{0,300}>|(?:^|\n)```|\$\{[\w.]{1,60}\}|%[A-Z_]{3,40}%|<\?(?:php|xml)\b"
)
ENDS = ".!?。！？…\"”’'」』）)】]>》~～;；:：*♪、，,"
STRONG_ENDS = ".!?。！？…\"”’'」』）)】]~～"
CUT = re.compile(
    r"(?:\.\.\.|…)\s*(?:read more|more|continue reading|see more|展开全文|阅读全文|查看更多|全文|更多)\s*$|\[\+\d+ chars\]\s*$"
    r"|\b(?:read more|continue reading|see more|show more)\W*$|(?:展开全文|阅读全文|查看全文|点击展开)\W*$|(?:\[|\(|（|【)(?:truncated|cut|未完|待续|已截断)(?:\]|\)|）|】)\s*$",
    re.IGNORECASE,
)
ELLIPSIS = re.compile(r"[^.…。\s](?:\.\.\.|…)$")
USUAL_END = 0.8  # share of texts with an ending mark from which a text without one looks cut off
LONG_ENOUGH = 40  # characters
DANGLING = re.compile(
    r"\b(?:the|a|an|of|to|and|or|in|for|with|that|which|is|are|was|were|by|at|from|as|but|if|because|their|its|his|her|my|your)\s*$",
    re.IGNORECASE,
)
DANGLING_HAN = re.compile(r"[的和与或在把被对从向让使而但因虽如将为以][，、]?$")
SPIKE = 5.0  # times as many texts at the largest length as at the lengths just below
LEAST_REPEATED = 5  # records a line must be in to be boilerplate
SHARE_REPEATED = 0.005
LEAST_LINE, LEAST_LINE_HAN = 20, 8
PIECE = re.compile(r"[^\n。！？!?]+(?:[。！？!?]+|\n|$)|[^\n.]+\.(?=\s|$)")
FLAG_BOILERPLATE = 0.3
PREFIX = 24
TRACES = re.compile(  # at the beginning or end of a text: elsewhere it may be about translation
    r"^\W{0,3}(?:translated (?:by|with|using|from)|machine[- ]translated|automatically translated|here is the translation|the translation is"
    r"|translation:|以下是.{0,12}翻译|翻译如下|译文[:：]|翻译[:：])|(?:translated (?:by|with|using) (?:google|deepl|bing|microsoft|baidu|youdao)"
    r"(?: translate)?|machine[- ]translated|(?:由|经|使用|通过)(?:谷歌|百度|有道|必应|DeepL|机器|自动|Google).{0,4}翻译)\W{0,3}$",
    re.IGNORECASE,
)
_HAN = re.compile(f"[{HAN_CLASS}]")
_ARTICLE = re.compile(r"\b(?:the|a|an)\b", re.IGNORECASE)
MT_LIMIT = 3.5  # modified z-score, Iglewicz and Hoaglin 1993
MT_EVIDENCE = 3.0  # natural logarithm: 20 times as likely translated as written
# Habits of Chinese that a machine made of English: times in 100 characters of translated (STS-B) and of written texts
# (benchmarks/checks.py translated).
HABITS = tuple(
    (re.compile(pattern), translated / 100, written / 100)
    for pattern, translated, written in (
        ("一[个名位种只条张辆座群]", 1.4, 0.4), ("正在", 0.3, 0.02), ("被", 0.5, 0.1), ("在[^，。]{1,12}[上中里下]", 1.1, 0.3),
        ("[吧吗呢啊呀啦嘛哦么]", 0.1, 0.9), ("[就都也还才]", 0.4, 2.2),
    )
)  # fmt: skip


@check("markup", dimension="noise", auto="report")
def markup(material: Material) -> Found:
    """Texts with the marks of a page or a format in them: tags, entities, wiki and forum marks, escapes, placeholders.

    Score: 0.5 + half the share of the characters that are marks; one entity or tag is enough to be flagged. Code and formulas are marks
    too: where the texts are about them, leave the check out.
    """
    score, why = np.zeros(len(material)), {}
    kinds: Counter[str] = Counter()
    for row, text in enumerate(material.texts):
        if not any(mark in text for mark in "<&[{\\@`$%"):
            continue
        found = [one[0] for one in MARKUP.finditer(text)]
        if found:
            size = sum(map(len, found))
            score[row] = 0.5 + size / len(text) / 2
            why[row] = f"{len(found)} marks such as “{found[0].strip()[:40]}”, {size / len(text):.0%} of its characters"
            kinds[re.sub(r"[\s=].*", "", found[0].strip(), flags=re.DOTALL)[:20]] += 1
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", {"kinds": dict(kinds.most_common(20))})


@check("truncation", dimension="noise", auto="report")
def truncation(material: Material) -> Found:
    """Texts that were cut off before their end.

    Four signs: “read more” (阅读全文) at the end, or one ellipsis at about the length where a third of the texts with one end, 0.9; an open bracket or quote with no ending mark, 0.6; no ending mark after a
    word that never ends a sentence (the, of, 的), 0.8, where 80% of the longer texts in its language end with a mark; and the largest length
    that at least five times as many texts share as the ten lengths below it have on average, 0.95 (a limit cut them). Score: the highest.
    """
    texts, codes = material.texts, material.languages.code
    stripped = [text.rstrip() for text in texts]
    size = np.array([len(text) for text in texts], dtype=np.int64)
    long = size >= LONG_ENOUGH
    ended = np.array([text[-1:] in ENDS for text in stripped], dtype=bool)
    firm = np.array([text[-1:] in STRONG_ENDS for text in stripped], dtype=bool)
    usual = {
        code: float(firm[long & (codes == code)].mean())
        for code in np.unique(codes)
        if (long & (codes == code)).sum() >= 20
    }
    score, why = np.zeros(len(material)), {}

    def say(row: int, worth: float, reason: str) -> None:
        if worth > score[row]:
            score[row], why[row] = worth, reason

    limit, snippets = _limit(size), _snippets(stripped, size)
    for row, text in enumerate(stripped):
        if not text:
            continue
        if limit and size[row] == limit and not firm[row]:
            say(row, 0.95, f"it has {limit:,} characters, the most here, as too many others do, and no end")
        if not long[row]:
            continue
        if CUT.search(text[-60:]) or row in snippets:
            say(row, 0.9, f"it ends in “{text[-12:]}”")
        if ended[row]:
            continue
        if usual.get(codes[row], 0.0) >= USUAL_END:
            if DANGLING.search(text[-16:]) or DANGLING_HAN.search(text[-3:]):
                say(row, 0.8, f"it stops after “{text[-10:]}”, where no sentence ends")
            elif _open(text):
                say(row, 0.6, f"a bracket or quote is open at its end, “{text[-10:]}”")
    share = {str(code): round(value, 4) for code, value in usual.items()}
    return Found(
        score, score > 0, lambda row: why[row], lambda row: "review", {"end_with_a_mark": share, "limit": limit}
    )


def _limit(size: Array) -> int:
    """The largest length, where so many texts have it that something must have cut them; 0 for none."""
    if len(size) < 50 or size.max(initial=0) < LONG_ENOUGH:
        return 0
    most = int(size.max())
    there, below = int((size == most).sum()), int(((size < most) & (size >= most - 10)).sum()) / 10
    return most if there >= max(5, SPIKE * max(below, 1.0)) else 0


def _snippets(stripped: list[str], size: Array) -> set[int]:
    """Rows that end in one ellipsis at about one length, as previews do; an ellipsis alone is a way of writing."""
    rows = np.array(
        [row for row, text in enumerate(stripped) if size[row] >= LONG_ENOUGH and ELLIPSIS.search(text[-6:])],
        dtype=np.int64,
    )
    if len(rows) < 5:
        return set()
    ordered = np.sort(size[rows])
    within = np.searchsorted(ordered, ordered + 8, "right") - np.arange(len(ordered))
    best = int(within.argmax())
    if within[best] < max(5, 0.3 * len(rows)):
        return set()
    low = int(ordered[best])
    return {int(row) for row in rows if low <= size[row] <= low + 8}


def _open(text: str) -> bool:
    tail = text[-200:]
    return any(
        tail.rfind(first) > tail.rfind(last) for first, last in ("()", "（）", "【】", "《》", "“”", "「」", "[]")
    )


@check("boilerplate", dimension="noise", auto="report")
def boilerplate(material: Material) -> Found:
    """Texts that are largely lines, sentences or beginnings which many other records have too.

    A piece (line or sentence of 20 characters, Chinese 8) in 0.5% of the records, 5 or more, is boilerplate; so is a beginning or end of 24
    characters (Chinese 10). Copies of a whole text count once. Score: share of the text's characters in such pieces; flagged from 0.3.
    The idea is line-wise deduplication (CCNet, Wenzek et al. 2020; C4, Raffel et al. 2020).
    """
    first = material.same.label == np.arange(len(material))
    least = max(LEAST_REPEATED, int(SHARE_REPEATED * first.sum()))
    counts: Counter[int] = Counter()
    edges: Counter[tuple[int, str]] = Counter()
    for row in np.flatnonzero(first).tolist():
        text = material.texts[row]
        counts.update({hash(piece) for piece in _pieces(text)})
        edges.update(_edges(text))
    common_edges = {edge for edge, count in edges.items() if count >= least}
    examples: Counter[str] = Counter()
    score: Array = np.zeros(len(material))
    why: dict[int, str] = {}
    for row, text in enumerate(material.texts):
        found = [piece for piece in _pieces(text) if counts[hash(piece)] >= least]
        size = sum(map(len, found))
        for edge in _edges(text):
            if edge in common_edges and not any(edge[1].strip() in piece for piece in found):
                size += len(edge[1])
                found.append(edge[1])
        if found:
            examples.update(found)
            share = min(1.0, size / max(len(text.strip()), 1))
            if share >= FLAG_BOILERPLATE:
                score[row] = share
                longest = max(found, key=len)
                why[row] = f"{share:.0%} of it stands in other records too: “{longest[:40]}”"
    facts = {
        "pieces": [{"text": piece[:120], "records": count} for piece, count in examples.most_common(20)],
        "least": least,
    }
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", facts)


def _pieces(text: str) -> Iterator[str]:
    for found in PIECE.findall(text):
        piece = found.strip()
        if len(piece) >= LEAST_LINE or (len(piece) >= LEAST_LINE_HAN and len(_HAN.findall(piece)) >= LEAST_LINE_HAN):
            yield piece


def _edges(text: str) -> list[tuple[int, str]]:
    """Beginning and end, cut where a word ends; of texts twice as long."""
    body = text.strip()
    size = PREFIX if body.isascii() or not _HAN.search(body[:PREFIX]) else 10
    return [(0, body[:size]), (1, body[-size:])] if len(body) >= 2 * size else []


@check("machine_translated", dimension="noise", auto="report")
def translated(material: Material) -> Found:
    """Texts that a machine may have translated: traces that say so, and habits of such texts. A hint, not a proof.

    Traces (“translated by”, 译文：): score 0.95. Habits of Chinese made from English (一个, 正在, 被, 在…上; no 吧, 呢, 就, 都): each
    counts by its log-likelihood ratio of two Poisson rates, x log(t / w) - n (t - w) of x in n characters; flagged where
    they add up to 3 (20 times as likely translated), score 1 - 3 / (2 sum). Of English:
    Chinese characters left over and missing articles, modified z-score of their rates (Iglewicz and Hoaglin 1993) above
    2 x 3.5 together, score z / (z + 7). Translationese is known to be told so (Volansky, Ordan and Wintner 2015).
    """
    score, why = np.zeros(len(material)), {}
    codes = material.languages.code
    for row, text in enumerate(material.texts):
        if found := TRACES.search(text):
            score[row], why[row] = 0.95, f"it says “{found[0]}”"
        elif codes[row] == "zh" and (evidence := translated_evidence(text)) >= MT_EVIDENCE:
            score[row] = 1 - MT_EVIDENCE / evidence / 2
            shown = [
                found[0] for pattern, often, seldom in HABITS if often > seldom and (found := pattern.search(text))
            ]
            why[row] = f"{', '.join(shown)}: {np.exp(min(evidence, 12)):,.0f} times as likely in translated texts"
    rows, rates = [], []
    for row in np.flatnonzero(codes == "en").tolist():
        text = material.texts[row]
        size = len(cut(text))
        if size >= 15:
            rows.append(row)
            rates.append((len(_HAN.findall(text)) / size, max(0.0, 0.02 - len(_ARTICLE.findall(text)) / size)))
    _habits(rows, rates, ("Chinese characters left over", "articles missing"), score, why)
    return Found(score, score > 0, lambda row: why[row], lambda row: "review")


def translated_evidence(text: str) -> float:
    """Natural logarithm of how much likelier a Chinese text is a translation from English than written; 0 below 12 characters."""
    size = len(_HAN.findall(text))
    if size < 12:
        return 0.0
    return float(
        sum(
            len(pattern.findall(text)) * np.log(often / seldom) - size * (often - seldom)
            for pattern, often, seldom in HABITS
        )
    )


def _habits(
    rows: list[int], rates: Sequence[tuple[float, ...]], names: tuple[str, ...], score: Array, why: dict[int, str]
) -> None:
    """Mark the rows whose rates are together far above the others'."""
    if len(rows) < 50:
        return
    values = np.array(rates)
    middle = np.median(values, axis=0)
    spread = np.maximum(np.median(np.abs(values - middle), axis=0), 0.01)
    z = np.maximum(0.6745 * (values - middle) / spread, 0)
    total = np.minimum(z, 10).sum(1)
    for at in np.flatnonzero((total > 2 * MT_LIMIT) & ((z > 1).sum(1) >= 1)).tolist():
        own = total[at] / (total[at] + 2 * MT_LIMIT)
        if own > score[rows[at]]:
            said = ", ".join(name for name, one in zip(names, z[at], strict=True) if one > 2)
            score[rows[at]], why[rows[at]] = own, f"reads as if translated by a machine: {said}"
