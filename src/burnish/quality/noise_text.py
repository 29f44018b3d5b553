"""Checks of texts as they came in: markup, cut off, boilerplate, signs of machine translation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

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
    r"(?:\.\.\.|…|……)\s*(?:read more|more|continue reading|see more|展开全文|阅读全文|查看更多|全文|更多)?\s*$|\[\+\d+ chars\]\s*$"
    r"|\b(?:read more|continue reading|see more|show more)\W*$|(?:展开全文|阅读全文|查看全文|点击展开)\W*$|(?:\[|\(|（|【)(?:truncated|cut|未完|待续|已截断)(?:\]|\)|）|】)\s*$",
    re.IGNORECASE,
)
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
TRACES = re.compile(
    r"translated (?:by|with|using) (?:google|deepl|bing|microsoft|baidu|youdao)|google translate|machine[- ]translated|automatically translated|original text:|"
    r"(?:由|使用)?(?:谷歌|百度|有道|必应|DeepL|机器|自动)翻译|\(翻译\)|（翻译）|此(?:评论|内容)由.{0,8}翻译|以下是.{0,12}翻译|翻译如下|译文[:：]|here is the translation|the translation is:",
    re.IGNORECASE,
)
_HAN = re.compile(f"[{HAN_CLASS}]")
_SPACED_HAN = re.compile(f"(?<=[{HAN_CLASS}]) +(?=[{HAN_CLASS}])")
_HALF = re.compile(f"(?<=[{HAN_CLASS}])[,;:?!.](?=[{HAN_CLASS}\\s]|$)")
_CALQUE = re.compile(
    "一个|一种|一些|正在|被|它们?|他们|她们|当.{1,15}的?时候?|之一|作为一[个名]|进行|通过.{1,12}来|对于|关于|能够|是.{1,14}的[。，,.]?$|使得|其中|以及|在.{1,12}(?:上|中|里|下)"
)
_ARTICLE = re.compile(r"\b(?:the|a|an)\b", re.IGNORECASE)
MT_LIMIT = 3.5


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

    Four signs: an ellipsis or “read more” (阅读全文) at the end, 0.9; an open bracket or quote with no ending mark, 0.6; no ending mark after a
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

    limit = _limit(size)
    for row, text in enumerate(stripped):
        if not text:
            continue
        if limit and size[row] == limit and not firm[row]:
            say(row, 0.95, f"it has {limit:,} characters, the most here, as too many others do, and no end")
        if not long[row]:
            continue
        if CUT.search(text[-60:]) and not text.endswith(("……", "。。。")):  # six dots end Chinese sentences
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
    for row in np.flatnonzero(first):
        text = material.texts[row]
        counts.update({hash(piece) for piece in _pieces(text)})
        edges.update(_edges(text))
    common_edges = {edge for edge, count in edges.items() if count >= least}
    examples: Counter[str] = Counter()
    score, why = np.zeros(len(material)), {}
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

    Traces (“translated by”, 译文：): score 0.95. Habits, in Chinese: blanks between characters, half-width commas between characters, words
    that stand for English ones (一个, 正在, 被, 它) a character; in English: Chinese characters left over, articles a word. Each habit's rate is
    compared with the other texts here of 15 words or more in its language: modified z-score (Iglewicz and Hoaglin 1993), above for
    Chinese, below for English articles. Flagged where the sum of two habits is above 2 x 3.5; score z / (z + 7). Translationese: Volansky et al. 2015.
    """
    score, why = np.zeros(len(material)), {}
    codes = material.languages.code
    for row, text in enumerate(material.texts):
        if found := TRACES.search(text):
            score[row], why[row] = 0.95, f"it says “{found[0]}”"
    rows = np.flatnonzero(codes == "zh")
    rates = []
    kept = []
    for row in rows.tolist():
        text = material.texts[row]
        size = len(_HAN.findall(text))
        if size >= 15:
            kept.append(row)
            rates.append(
                (
                    len(_SPACED_HAN.findall(text)) / size,
                    len(_HALF.findall(text)) / size,
                    len(_CALQUE.findall(text)) / size,
                )
            )
    _habits(
        kept, rates, ("blanks between characters", "half-width marks", "words that stand for English ones"), score, why
    )
    kept, rates = [], []
    for row in np.flatnonzero(codes == "en").tolist():
        text = material.texts[row]
        size = len(cut(text))
        if size >= 15:
            kept.append(row)
            rates.append((len(_HAN.findall(text)) / size, max(0.0, 0.02 - len(_ARTICLE.findall(text)) / size)))
    _habits(kept, rates, ("Chinese characters left over", "articles missing"), score, why)
    return Found(score, score > 0, lambda row: why[row], lambda row: "review")


def _habits(
    rows: list[int], rates: list[tuple[float, ...]], names: tuple[str, ...], score: Array, why: dict[int, str]
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
