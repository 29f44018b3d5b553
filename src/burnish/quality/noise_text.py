"""Checks of texts as they came in: markup, cut off, boilerplate, signs of machine translation."""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from burnish.quality.checks import Array, Found, Material, check
from burnish.quality.material import measured
from burnish.quality.traits import Block, field, flat, rows_of, told
from burnish.text.lines import Lines
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


def marks(block: Block) -> pa.Array:
    """The marks of each text: how many, how many of its characters, the first one."""
    made: list[dict[str, Any] | None] = []
    for text in block.texts:
        found = [one[0] for one in MARKUP.finditer(text)] if any(mark in text for mark in "<&[{\\@`$%") else []
        size = sum(map(len, found))
        made.append({"count": len(found), "share": size / len(text), "first": found[0].strip()} if found else None)
    return rows_of(made, count=pa.int32(), share=pa.float64(), first=pa.string())


@check("markup", dimension="noise", auto="report", reads=[marks])
def markup(material: Material) -> Found:
    """Texts with the marks of a page or a format in them: tags, entities, wiki and forum marks, escapes, placeholders.

    Score: 0.5 + half the share of the characters that are marks; one entity or tag is enough to be flagged. Code and formulas are marks
    too: where the texts are about them, leave the check out.
    """
    score, why = np.zeros(len(material)), {}
    kinds: Counter[str] = Counter()
    for row, one in told(material.trait(marks)):
        score[row] = 0.5 + one["share"] / 2
        why[row] = f"{one['count']} marks such as “{one['first'][:40]}”, {one['share']:.0%} of its characters"
        kinds[re.sub(r"[\s=].*", "", one["first"], flags=re.DOTALL)[:20]] += 1
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", {"kinds": dict(kinds.most_common(20))})


def endings(block: Block) -> pa.Array:
    """How each text ends, blanks behind it left out: with a mark, cut, open; its last characters."""
    stripped = [text.rstrip() for text in block.texts]
    columns = {
        "size": pa.array(map(len, stripped), pa.int32()),
        "ended": pa.array([text[-1:] in ENDS for text in stripped], pa.bool_()),
        "firm": pa.array([text[-1:] in STRONG_ENDS for text in stripped], pa.bool_()),
        "cut": pa.array([bool(CUT.search(text[-60:])) for text in stripped], pa.bool_()),
        "ellipsis": pa.array([bool(ELLIPSIS.search(text[-6:])) for text in stripped], pa.bool_()),
        "dangling": pa.array(
            [bool(DANGLING.search(text[-16:]) or DANGLING_HAN.search(text[-3:])) for text in stripped]
        ),
        "open": pa.array(map(_open, stripped), pa.bool_()),
        "tail": pa.array([text[-12:] for text in stripped], pa.string()),
    }
    return pa.StructArray.from_arrays(list(columns.values()), list(columns))


@check("truncation", dimension="noise", auto="report", reads=[measured, endings])
def truncation(material: Material) -> Found:
    """Texts that were cut off before their end.

    Four signs: “read more” (阅读全文) at the end, or one ellipsis at about the length where a third of the texts with one end, 0.9; an open bracket or quote with no ending mark, 0.6; no ending mark after a
    word that never ends a sentence (the, of, 的), 0.8, where 80% of the longer texts in its language end with a mark; and the largest length
    that at least five times as many texts share as the ten lengths below it have on average, 0.95 (a limit cut them). Score: the highest.
    """
    codes, ending = material.languages.code, material.trait(endings)
    size = field(material.trait(measured), "characters").astype(np.int64)
    long = size >= LONG_ENOUGH
    ended, firm, cut_off, dangling, left_open = (
        field(ending, name) for name in ("ended", "firm", "cut", "dangling", "open")
    )
    usual = {
        code: float(firm[long & (codes == code)].mean())
        for code in np.unique(codes)
        if (long & (codes == code)).sum() >= 20
    }
    score, why = np.zeros(len(material)), {}

    def say(row: int, worth: float, reason: str) -> None:
        if worth > score[row]:
            score[row], why[row] = worth, reason

    limit, tail = _limit(size), Lines(pc.struct_field(ending, "tail"))
    snippets = _snippets(np.flatnonzero(long & field(ending, "ellipsis")), size)
    doubted = np.flatnonzero((field(ending, "size") > 0) & ((limit > 0) & (size == limit) & ~firm | long & (cut_off | field(ending, "ellipsis") | ~ended)))  # fmt: skip
    for row in doubted.tolist():
        if limit and size[row] == limit and not firm[row]:
            say(row, 0.95, f"it has {limit:,} characters, the most here, as too many others do, and no end")
        if not long[row]:
            continue
        if cut_off[row] or row in snippets:
            say(row, 0.9, f"it ends in “{tail[row]}”")
        if ended[row]:
            continue
        if usual.get(codes[row], 0.0) >= USUAL_END:
            if dangling[row]:
                say(row, 0.8, f"it stops after “{tail[row][-10:]}”, where no sentence ends")
            elif left_open[row]:
                say(row, 0.6, f"a bracket or quote is open at its end, “{tail[row][-10:]}”")
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


def _snippets(rows: Array, size: Array) -> set[int]:
    """Of the rows that end in one ellipsis those of about one length, as previews are; an ellipsis alone is a way of writing."""
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


def cut_in_pieces(block: Block) -> pa.Array:
    """Hashes of the lines and sentences of each text, and of its beginning and end."""
    made = [
        {"pieces": sorted({_hash(piece) for piece in _pieces(text)}), "edges": [_hash(f"{at}{edge}") for at, edge in _edges(text)]}
        for text in block.texts
    ]  # fmt: skip
    return rows_of(made, pieces=pa.list_(pa.uint64()), edges=pa.list_(pa.uint64()))


@check("boilerplate", dimension="noise", auto="report", reads=[measured, cut_in_pieces])
def boilerplate(material: Material) -> Found:
    """Texts that are largely lines, sentences or beginnings which many other records have too.

    A piece (line or sentence of 20 characters, Chinese 8) in 0.5% of the records, 5 or more, is boilerplate; so is a beginning or end of 24
    characters (Chinese 10). Copies of a whole text count once. Score: share of the text's characters in such pieces; flagged from 0.3.
    The idea is line-wise deduplication (CCNet, Wenzek et al. 2020; C4, Raffel et al. 2020).
    """
    first = material.same.label == np.arange(len(material))
    least = max(LEAST_REPEATED, int(SHARE_REPEATED * first.sum()))
    pieces = material.trait(cut_in_pieces)
    common, has = [], np.zeros(len(material), dtype=bool)
    for name in ("pieces", "edges"):
        values, starts = flat(pc.struct_field(pieces, name))
        owner = np.repeat(np.arange(len(material)), np.diff(starts))
        kinds, counts = np.unique(values[first[owner]], return_counts=True)
        common.append(frozenset(kinds[counts >= least].tolist()))
        has[owner[np.isin(values, kinds[counts >= least])]] = True
    examples: Counter[str] = Counter()
    score: Array = np.zeros(len(material))
    why: dict[int, str] = {}
    rows = iter(np.flatnonzero(has).tolist())
    again = functools.partial(_repeated, pieces=common[0], edges=common[1])
    for shares, seen in material.walked(again, rows=np.flatnonzero(has)) if has.any() else ():
        examples.update(seen)
        for share, longest in shares:
            row = next(rows)  # they go on with the next block
            if share >= FLAG_BOILERPLATE:
                score[row] = share
                why[row] = f"{share:.0%} of it stands in other records too: “{longest}”"
    facts = {
        "pieces": [{"text": piece[:120], "records": count} for piece, count in examples.most_common(20)],
        "least": least,
    }
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", facts)


def _repeated(
    block: Block, *, pieces: frozenset[int], edges: frozenset[int]
) -> tuple[list[tuple[float, str]], Counter[str]]:
    """Of each text the share that is in common pieces and the longest of them; how often each was met."""
    shares, seen = [], Counter[str]()
    for text in block.texts:
        found = [piece for piece in _pieces(text) if _hash(piece) in pieces]
        size = sum(map(len, found))
        for at, edge in _edges(text):
            if _hash(f"{at}{edge}") in edges and not any(edge.strip() in piece for piece in found):
                size += len(edge)
                found.append(edge)
        seen.update(found)
        shares.append((min(1.0, size / max(len(text.strip()), 1)), max(found, key=len, default="")[:40]))
    return shares, seen


def _hash(piece: str) -> int:
    """64 bits, the same in every process."""
    return int.from_bytes(hashlib.blake2b(piece.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


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


def traces(block: Block) -> pa.Array:
    """What says of a text that it is a translation: words that do, or the evidence of habits in a Chinese one."""
    made: list[dict[str, Any] | None] = []
    for text, code in zip(block.texts, block.languages.code, strict=True):
        own: dict[str, Any] | None = None
        if found := TRACES.search(text):
            own = {"trace": found[0]}
        elif code == "zh" and (evidence := translated_evidence(text)) >= MT_EVIDENCE:
            habits = [one[0] for pattern, often, seldom in HABITS if often > seldom and (one := pattern.search(text))]
            own = {"evidence": evidence, "shown": ", ".join(habits)}
        made.append(own)
    return rows_of(made, trace=pa.string(), evidence=pa.float64(), shown=pa.string())


def articles(block: Block) -> pa.Array:
    """Of each English text its words, articles and Chinese characters; zeros of others."""
    counts = [
        (len(cut(text)), len(_HAN.findall(text)), len(_ARTICLE.findall(text))) if code == "en" else (0, 0, 0)
        for text, code in zip(block.texts, block.languages.code, strict=True)
    ]
    columns = np.array(counts, dtype=np.int32).reshape(-1, 3).T
    return pa.StructArray.from_arrays([pa.array(one) for one in columns], ["words", "han", "articles"])


@check("machine_translated", dimension="noise", auto="report", reads=[traces, articles])
def translated(material: Material) -> Found:
    """Texts that a machine may have translated: traces that say so, and habits of such texts. A hint, not a proof.

    Traces (“translated by”, 译文：): score 0.95. Habits of Chinese made from English (一个, 正在, 被, 在…上; no 吧, 呢, 就, 都): each
    counts by its log-likelihood ratio of two Poisson rates, x log(t / w) - n (t - w) of x in n characters; flagged where
    they add up to 3 (20 times as likely translated), score 1 - 3 / (2 sum). Of English:
    Chinese characters left over and missing articles, modified z-score of their rates (Iglewicz and Hoaglin 1993) above
    2 x 3.5 together, score z / (z + 7). Translationese is known to be told so (Volansky, Ordan and Wintner 2015).
    """
    score, why = np.zeros(len(material)), {}
    for row, one in told(material.trait(traces)):
        if one["trace"] is not None:
            score[row], why[row] = 0.95, f"it says “{one['trace']}”"
        else:
            score[row] = 1 - MT_EVIDENCE / one["evidence"] / 2
            why[row] = f"{one['shown']}: {np.exp(min(one['evidence'], 12)):,.0f} times as likely in translated texts"
    words, han, held = (field(material.trait(articles), name) for name in ("words", "han", "articles"))
    rows = np.flatnonzero(words >= 15)
    rates = np.stack([han[rows] / words[rows], np.maximum(0.0, 0.02 - held[rows] / words[rows])], axis=1)
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


def _habits(rows: Array, values: Array, names: tuple[str, ...], score: Array, why: dict[int, str]) -> None:
    """Mark the rows whose rates are together far above the others'."""
    if len(rows) < 50:
        return
    middle = np.median(values, axis=0)
    spread = np.maximum(np.median(np.abs(values - middle), axis=0), 0.01)
    z = np.maximum(0.6745 * (values - middle) / spread, 0)
    total = np.minimum(z, 10).sum(1)
    for at in np.flatnonzero((total > 2 * MT_LIMIT) & ((z > 1).sum(1) >= 1)).tolist():
        own = total[at] / (total[at] + 2 * MT_LIMIT)
        if own > score[rows[at]]:
            said = ", ".join(name for name, one in zip(names, z[at], strict=True) if one > 2)
            score[rows[at]], why[rows[at]] = own, f"reads as if translated by a machine: {said}"
