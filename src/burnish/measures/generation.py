"""How good written texts are beside references: BLEU, chrF and ROUGE, right for Chinese and equal to the field's packages.

BLEU and chrF are those of sacrebleu, 0..100; ROUGE is that of rouge-score without stemming, 0..1 (parity in
tests/measures/test_generation.py). Every record has one reference or several. Counts come first, (n, s), and add up:
a corpus score is that of the sums, so a bootstrap draws rows of counts and reads no text again.

n records, s counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from burnish.text.scripts import UNSPACED_CLASS, blocks, codepoints

Tokenizer = Literal["auto", "13a", "zh"]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

BLEU_ORDER, CHRF_ORDER, CHRF_BETA = 4, 6, 2.0

# -- BLEU


def bleu_counts(said: Sequence[str], references: Sequence[Sequence[str]], *, tokenize: Tokenizer = "auto") -> Counts:
    """Counts of each record (n, 10): words said, words of the closest reference, matching n-grams, n-grams said (1 to 4).

    tokenize: 13a (words and marks, of mteval-v13a), zh (Chinese characters one by one, the rest as 13a; sacrebleu's), or
    auto: zh for records with a Chinese character in a reference. Papineni et al. 2002; Post 2018.
    """
    _check(said, references)
    counts = np.zeros((len(said), 2 + 2 * BLEU_ORDER), dtype=np.int64)
    for start, end in blocks(said, characters=1 << 20):
        golds = references[start:end]
        ways = [_bleu_way(gold, tokenize) for gold in golds]
        told = [way(text.rstrip()).split() for way, text in zip(ways, said[start:end], strict=True)]
        wanted = [way(text.rstrip()).split() for way, gold in zip(ways, golds, strict=True) for text in gold]
        owners = np.repeat(np.arange(end - start), [len(gold) for gold in golds])
        counts[start:end] = _bleu_block(told, wanted, owners)
    return counts


def _bleu_way(references: Sequence[str], tokenize: Tokenizer) -> Any:
    if tokenize == "auto":
        return tokens_zh if any(_HAN.search(one) for one in references) else tokens_13a
    return {"13a": tokens_13a, "zh": tokens_zh}[tokenize]


def _bleu_block(told: list[list[str]], wanted: list[list[str]], owners: Counts) -> Counts:
    n = len(told)
    lengths, sizes = np.array([len(one) for one in told]), np.array([len(one) for one in wanted])
    # of equally close references the shorter one: sort by (record, distance, length) and take the first of each record
    order = np.lexsort((sizes, np.abs(sizes - lengths[owners]), owners))
    closest = sizes[order][np.searchsorted(owners[order], np.arange(n))]
    made = np.zeros((n, 2 + 2 * BLEU_ORDER), dtype=np.int64)
    made[:, 0], made[:, 1] = lengths, closest
    for size, (text, gram, count) in enumerate(_ngrams(*_numbered([*told, *wanted]), BLEU_ORDER), start=1):
        ours = text < n
        kinds = int(gram.max(initial=0)) + 1
        keys, values = text[ours] * kinds + gram[ours], count[ours]
        theirs = owners[text[~ours] - n] * kinds + gram[~ours]
        limits = _most(theirs, count[~ours], keys)  # a word counts as often as the reference that has it most
        made[:, 1 + size] = np.bincount(text[ours], weights=np.minimum(values, limits), minlength=n)
        made[:, 1 + BLEU_ORDER + size] = np.maximum(lengths - size + 1, 0)
    return made


def bleu(sums: NDArray[Any], *, effective_order: bool = False) -> Floats:
    """BLEU, 0..100, of counts (..., 10): (...). Orders without a match are smoothed as in mteval-v13a (sacrebleu's "exp").

    effective_order: leave out the orders for which too few words were said; for single sentences, whose score else is 0.
    """
    sums = np.asarray(sums, dtype=np.float64)
    said, wanted = sums[..., 0], sums[..., 1]
    right, total = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    halvings = np.cumsum((right == 0) & (total > 0), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(right > 0, right / total, 1.0 / (2.0**halvings * total))
        logs = np.where(total > 0, np.log(shares), 0.0 if effective_order else -np.inf)
        orders = np.maximum((total > 0).sum(-1), 1) if effective_order else BLEU_ORDER
        brevity = np.where(said < wanted, np.exp(1 - wanted / said), 1.0)
        score = 100 * brevity * np.exp(logs.sum(-1) / orders)
    made: Floats = np.where(right.any(-1), score, 0.0)
    return made


# What mteval-v13a splits off a word: ASCII symbols; a dot or comma unless a figure is on that side; a dash after a figure.
_SPLITS = (
    (re.compile(r"([ -&(-+/:-@\[-`{-~])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
# What sacrebleu's zh sets apart. It names the planes above U+FFFF by strings that Python reads as U+2000 to U+2A6D: so
# the marks between those stand apart, and rare characters of the upper planes only by their neighbours. Kept for parity.
_ZH = re.compile(
    "([\u2001-\u2a6d\u2e80-\u2fdf\u2ff0-\u303f\u3100-\u312f\u31a0-\u31bf\u31c0-\u31ef\u3200-\u33ff\u3400-\u4db5"
    "\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uffef])"
)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")


def tokens_13a(text: str) -> str:
    """Words and marks with blanks between: mteval-v13a, the tokenisation of WMT."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for name, character in _ENTITIES:
        text = text.replace(name, character)
    return _split(f" {text} ")


def tokens_zh(text: str) -> str:
    """Chinese characters and marks one by one, other words and marks as in 13a, with blanks between."""
    return _split(_ZH.sub(r" \1 ", text.strip()))


def _split(text: str) -> str:
    for pattern, into in _SPLITS:
        text = pattern.sub(into, text)
    return " ".join(text.split())


# -- chrF


def chrf_counts(said: Sequence[str], references: Sequence[Sequence[str]]) -> Counts:
    """Counts of each record (n, 18): character n-grams said, in the reference, and in both, for lengths 1 to 6.

    Blanks are left out; of several references the one with the best score counts, of equal ones the first. Popović 2015.
    """
    _check(said, references)
    counts = np.zeros((len(said), 3 * CHRF_ORDER), dtype=np.int64)
    for start, end in blocks(said, characters=1 << 20):
        golds, n = references[start:end], end - start
        owners = np.repeat(np.arange(n), [len(gold) for gold in golds])
        texts = ["".join(one.split()) for one in (*said[start:end], *(one for gold in golds for one in gold))]
        pairs = np.zeros((len(owners), CHRF_ORDER, 3), dtype=np.int64)
        for at, (text, gram, count) in enumerate(_ngrams(*codepoints(texts), CHRF_ORDER)):
            ours = text < n
            kinds = int(gram.max(initial=0)) + 1
            reference = text[~ours] - n
            theirs = owners[reference] * kinds + gram[~ours]
            limits = _most(text[ours] * kinds + gram[ours], count[ours], theirs)
            pairs[:, at, 0] = np.bincount(text[ours], weights=count[ours], minlength=n)[owners]
            pairs[:, at, 1] = np.bincount(reference, weights=count[~ours], minlength=len(owners))
            pairs[:, at, 2] = np.bincount(reference, weights=np.minimum(count[~ours], limits), minlength=len(owners))
        pairs[..., 0] *= pairs[..., 1] > 0  # lengths that the reference has not are no mistake
        flat = pairs.reshape(len(owners), -1)
        order = np.lexsort((np.arange(len(owners)), -chrf(flat), owners))
        counts[start:end] = flat[order[np.searchsorted(owners[order], np.arange(n))]]
    return counts


def chrf(sums: NDArray[Any]) -> Floats:
    """chrF2, 0..100, of counts (..., 18): (...). The F-score, recall twice as heavy, of mean precision and recall."""
    sums = np.asarray(sums, dtype=np.float64).reshape(*np.shape(sums)[:-1], CHRF_ORDER, 3)
    said, wanted, both = sums[..., 0], sums[..., 1], sums[..., 2]
    there = (said > 0) & (wanted > 0)
    orders = np.maximum(there.sum(-1), 1)
    precision = (np.divide(both, said, out=np.zeros_like(both), where=there)).sum(-1) / orders
    recall = (np.divide(both, wanted, out=np.zeros_like(both), where=there)).sum(-1) / orders
    under = CHRF_BETA**2 * precision + recall
    over = (1 + CHRF_BETA**2) * precision * recall
    made: Floats = 100 * np.divide(over, under, out=np.zeros_like(over), where=under > 0)
    return made


# -- ROUGE

_ROUGE_TOKEN = re.compile(rf"[{UNSPACED_CLASS}]|[^\W_{UNSPACED_CLASS}]+")


def rouge_tokens(text: str) -> list[str]:
    """Chinese and Japanese characters one by one, runs of other letters and figures as words; lower case, no marks.

    In ASCII these are rouge-score's. Of other letters it knows none: "naïve" is two words to it, and a Chinese text has
    no word at all, so that its ROUGE with itself is 0. Here "naïve" is one word and Chinese counts.
    """
    return _ROUGE_TOKEN.findall(text.lower())


def rouge(said: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Floats]:
    """rouge1, rouge2 and rougeL of each record: (n, 3) of precision, recall and F1, 0..1; their means are the figures.

    Of several references the one with the best F1 counts, the first of equal ones. Lin 2004; the whole text is one
    sentence to rougeL (not rougeLsum).
    """
    _check(said, references)
    names = ("rouge1", "rouge2", "rougeL")
    made = {name: np.zeros((len(said), 3)) for name in names}
    for row, (text, golds) in enumerate(zip(said, references, strict=True)):
        told = rouge_tokens(text)
        each = [_rouge_pair(told, rouge_tokens(gold)) for gold in golds]
        for at, name in enumerate(names):
            made[name][row] = max((one[at] for one in each), key=lambda scores: scores[2])
    return made


def _rouge_pair(told: list[str], wanted: list[str]) -> list[tuple[float, float, float]]:
    scores = []
    for size in (1, 2):
        both = _common([told[i : i + size] for i in range(len(told) - size + 1)], wanted, size)
        scores.append(_prf(both, len(told) - size + 1, len(wanted) - size + 1))
    scores.append(_prf(longest_common_subsequence(told, wanted), len(told), len(wanted)))
    return scores


def _common(grams: list[list[str]], wanted: list[str], size: int) -> int:
    ours = Counter(map(tuple, grams))
    theirs = Counter(tuple(wanted[i : i + size]) for i in range(len(wanted) - size + 1))
    return sum((ours & theirs).values())


def _prf(both: int, said: int, wanted: int) -> tuple[float, float, float]:
    if not both:
        return 0.0, 0.0, 0.0
    precision, recall = both / said, both / wanted
    return precision, recall, 2 * precision * recall / (precision + recall)


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the table in one addition of long integers.

    O(len(a) x len(b) / 64). Hyyrö 2004, "Bit-parallel LCS-length computation revisited": a 0 in `row` at bit i says that
    the LCS grows when the i-th token of a is added.
    """
    where: dict[str, int] = {}
    for i, token in enumerate(a):
        where[token] = where.get(token, 0) | 1 << i
    every = (1 << len(a)) - 1
    row = every
    for token in b:
        if matches := where.get(token, 0) & row:
            row = ((row + matches) | (row - matches)) & every
    return len(a) - row.bit_count()


# -- n-grams of many texts at once


def _check(said: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(said) != len(references):
        raise ValueError(f"{len(said)} texts for {len(references)} records")
    for row, gold in enumerate(references):
        if isinstance(gold, str) or not len(gold):
            raise ValueError(f"record {row}: a list of at least one reference is wanted")


def _numbered(texts: list[list[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of all texts as numbers, one text after the other, and where each begins (texts + 1)."""
    numbers: dict[str, int] = {}
    starts = np.cumsum([0, *map(len, texts)])
    flat = (numbers.setdefault(token, len(numbers)) for text in texts for token in text)
    return np.fromiter(flat, np.int64, int(starts[-1])), starts


def _ngrams(codes: NDArray[Any], starts: NDArray[np.int64], order: int) -> Iterator[tuple[Counts, Counts, Counts]]:
    """For each length 1 to `order`: (text, n-gram, count), each n-gram of each text once, sorted by text and n-gram.

    N-grams are numbers that mean the same in all texts. Every length costs two sorts of all positions.
    """
    codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    text_of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    left = starts[1:][text_of] - np.arange(len(codes))  # tokens from here to the end of the text
    numbers, kinds = codes.copy(), int(codes.max(initial=0)) + 1
    for size in range(1, order + 1):
        at = np.flatnonzero(left >= size)
        if size > 1:
            longer = numbers[at] * kinds + codes[at + size - 1]
            numbers[at] = np.unique(longer, return_inverse=True)[1]
        span = int(numbers[at].max(initial=0)) + 1
        keys, counts = np.unique(text_of[at] * span + numbers[at], return_counts=True)
        yield keys // span, keys % span, counts


def _most(keys: Counts, counts: Counts, asked: Counts) -> Counts:
    """The largest count of each asked key, 0 where it is not among the keys."""
    order = np.lexsort((counts, keys))
    keys, counts = keys[order], counts[order]
    at = np.searchsorted(keys, asked, side="right") - 1  # the last of equal keys has the largest count
    found = (at >= 0) & (keys[at] == asked) if len(keys) else np.zeros(len(asked), dtype=bool)
    return np.where(found, counts[at] if len(keys) else 0, 0)
