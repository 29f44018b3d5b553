"""Who the data speaks of: how often, under which labels, with which words; what a text about somebody else would do."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from burnish.measures.bigrams import merged
from burnish.measures.groups import holm, log_odds, rate, weat
from burnish.quality.checks import Array, Found, Material, check
from burnish.quality.traits import Block, field, flat, rows_of
from burnish.text.counterparts import counterparts
from burnish.text.groups import DEFAULT, Mentions, Terms, read_groups
from burnish.text.words import words

LEAST = 20  # records that speak of a group, below which rates and words say too little
RARE = 0.1  # share of the largest group of its axis, below which a group is under-represented
SURE = 0.05  # p-value after Holm's correction
MOST_WORDS = 12
LEAST_OFTEN = 5  # of a word that is told (`log_odds`)
RARE_WORDS = ""  # stands for all others
MOST_TOKENS = 400  # of a text, for the words that go with a group


def spoken(block: Block) -> pa.Array:
    """Which groups each text speaks of, by their places among the groups, and its gendered terms on both sides."""
    number = {key: at for at, key in enumerate(block.asked.groups)}
    finder = Mentions(block.asked.groups)
    known, women, men = _gendered()
    terms = Terms(tuple(known))
    made = []
    for text in block.texts:
        swapped = [term for term in terms.of(text) if known[term] != term]
        own = {"she": sum(term in women for term in swapped), "he": sum(term in men for term in swapped)}
        made.append(own | {"swaps": bool(swapped), "groups": sorted(number[key] for key in finder.of(text))})
    return rows_of(made, groups=pa.list_(pa.int16()), she=pa.int32(), he=pa.int32(), swaps=pa.bool_())


def _gendered() -> tuple[dict[str, str], set[str], set[str]]:
    """Gendered terms with their counterparts, those of women, those of men."""
    of = read_groups(DEFAULT)
    return counterparts("gender"), set(of["gender", "women"]), set(of["gender", "men"])


@check("groups", dimension="ethics", auto="report", reads=[spoken])
def groups(material: Material) -> Found:
    """Groups of people: how many texts speak of each, label rates with intervals, words that go with them, swaps.

    Groups by terms in English and Chinese (gender, age, religion, region, ethnicity, orientation; a file of your own with
    `groups`). A group is under-represented below a tenth of the largest of its axis. Label rates: Wilson's interval, Fisher's
    exact test against the texts of the same axis that do not speak of the group, Holm's correction over all tests. Words:
    z of log-odds with an informative Dirichlet prior (Monroe et al. 2008). Embeddings: WEAT's effect (Caliskan et al. 2017)
    of the two largest groups of an axis towards two labels, where records have labels and vectors. Flagged: records whose
    label goes with a group by more than chance and by 10 points or more, in a group where a swap of terms (he, she) gives a
    text that no record has. Score: the difference of the rates. Remedy: reweigh, or train's augmentation counterfactual.
    """
    wanted, said = material.asked.groups, material.trait(spoken)
    there = dict(zip(wanted, _members(said, len(wanted)), strict=True))
    by_axis: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key in wanted:
        by_axis[key[0]].append(key)
    score, why = np.zeros(len(material)), {}
    rows, notes = [], []
    tests: list[tuple[dict[str, Any], Array, int]] = []
    for axis, keys in by_axis.items():
        anyone = np.any([there[key] for key in keys], axis=0)
        largest = max(int(there[key].sum()) for key in keys)
        for key in keys:
            inside = there[key]
            count = int(inside.sum())
            row: dict[str, Any] = {
                "axis": axis,
                "group": key[1],
                "records": count,
                "share": count / max(len(material), 1),
                "labels": {},
            }
            rows.append(row)
            if largest >= LEAST and count < RARE * largest:
                notes.append(f"{key[1]}: {count} records speak of them, {largest} of the largest group of {axis}")
            if material.one_label and count >= LEAST:
                judged = anyone & (material.labels >= 0)
                for number, label in enumerate(material.names):
                    if (inside & judged).any() and (~inside & judged).any():
                        found = rate(inside[judged], (material.labels == number)[judged])
                        row["labels"][label] = found._asdict()
                        tests.append((row["labels"][label], inside, number))
    for (told, inside, number), p in zip(tests, holm([told["p_value"] for told, _, _ in tests]), strict=True):
        told["p_adjusted"] = p
        gap = told["value"] - told["rest_value"]
        if p < SURE and gap >= 0.1:
            group = next(row["group"] for row in rows if any(one is told for one in row["labels"].values()))
            label = material.names[number]
            notes.append(
                f"{label}: {told['value']:.0%} of the texts about {group}, {told['rest_value']:.0%} of the others on that axis"
            )
            for at in np.flatnonzero(inside & (material.labels == number)):
                if gap > score[at]:
                    score[at], why[int(at)] = (
                        min(1.0, gap),
                        f"speaks of {group}, and {label} goes with them: {told['value']:.0%} against {told['rest_value']:.0%}",
                    )
    facts = {
        "groups": rows, "notes": notes, "words": _words(material, there, by_axis), "association": _association(material, there, by_axis),
        "balance": _balance(said), "terms": "yours" if material.told.groups else "of burnish",
    }  # fmt: skip
    return Found(score, score > 0, lambda row: why[row], lambda row: "reweigh", facts)


def _members(said: pa.ChunkedArray, count: int) -> Array:
    """(count, n) which texts speak of which group."""
    made = np.zeros((count, len(said)), dtype=bool)
    numbers, starts = flat(pc.struct_field(said, "groups"))
    made[numbers, np.repeat(np.arange(len(said)), np.diff(starts))] = True
    return made


def _words(
    material: Material, there: dict[tuple[str, str], Array], by_axis: dict[str, list[tuple[str, str]]]
) -> dict[str, list[list[Any]]]:
    """Group -> its words with their z, against the other groups of its axis."""
    sides: dict[str, tuple[Array, Array]] = {}
    for keys in by_axis.values():
        for key in keys:
            inside, rest = there[key], [there[other] for other in keys if other != key]
            others = np.any(rest, axis=0) & ~inside if rest else ~inside
            if inside.sum() >= LEAST and others.sum() >= LEAST:
                sides[key[1]] = inside, others
    if not sides:
        return {}
    masks = np.array([mask for pair in sides.values() for mask in pair])
    rows = np.flatnonzero(masks.any(axis=0))
    bits = pa.array(np.packbits(masks, axis=0).T.tolist(), pa.list_(pa.uint8()))
    often = usual(material.walked(words_met, rows=rows))
    index: dict[str, int] = {}
    total = np.zeros(len(masks), dtype=np.int64)
    counts = np.zeros((len(often), len(masks)), dtype=np.int32)
    job = functools.partial(words_of_sides, sides=len(masks), often=often)
    for found, own, every in material.walked(job, rows=rows, sides=bits):
        counts[[index.setdefault(word, len(index)) for word in found]] += own
        total += every
    names, made = list(index), {}
    for number, group in enumerate(sides):
        one, two = (
            Counter({names[at]: int(counts[at, side]) for at in np.flatnonzero(counts[:, side])} | {RARE_WORDS: int(total[side] - counts[:, side].sum())})
            for side in (2 * number, 2 * number + 1)
        )  # fmt: skip
        typical = [(word, z) for word, z in log_odds(one, two) if word != RARE_WORDS]
        made[group] = [[word, round(z, 2)] for word, z in typical[:MOST_WORDS] if z > 1.96]
    return made


def words_met(block: Block) -> dict[int, tuple[Array, Array]]:
    """The words of the texts as sorted hashes (w,), and how often each is there."""
    met = Counter(word for text in block.texts for word in _cut(text))
    keys = _hashes(met)
    order = np.argsort(keys)
    return {0: (keys[order], np.array(list(met.values()), dtype=np.int64)[order])}


def usual(parts: Iterable[dict[int, tuple[Array, Array]]]) -> Array:
    """The hashes (w,), sorted, of the words that are there often enough to be told."""
    keys, counts = merged(parts)[0]
    met: Array = keys[counts >= LEAST_OFTEN]
    return met


def words_of_sides(block: Block, *, sides: int, often: Array) -> tuple[list[str], Array, Array]:
    """The words of the texts that are in `often` (w,), how often each is there on each side (w, sides), and all words of each side.

    A text may be on several sides."""
    from scipy.sparse import csr_array

    index: dict[str, int] = {}
    at: list[int] = []
    starts = [0]
    for text in block.texts:
        at += [index.setdefault(word, len(index)) for word in _cut(text)]
        starts.append(len(at))
    held = csr_array((np.ones(len(at), dtype=np.int32), at, starts), shape=(len(block), len(index)))
    on = np.unpackbits(np.array(block.column("sides"), dtype=np.uint8), axis=1, count=sides).astype(np.int32)
    counts = held.T @ on
    stays = np.isin(_hashes(index), often)
    return [word for word, one in zip(index, stays, strict=True) if one], counts[stays], counts.sum(axis=0)


def _cut(text: str) -> list[str]:
    return words(text.lower()[: 8 * MOST_TOKENS], han="bigrams")


def _hashes(found: Iterable[str]) -> Array:
    """(w,) 64 bits of each word, the same on every machine."""
    made = b"".join(hashlib.blake2b(word.encode(), digest_size=8).digest() for word in found)
    return np.frombuffer(made, dtype=np.uint64)


def _association(
    material: Material, there: dict[tuple[str, str], Array], by_axis: dict[str, list[tuple[str, str]]]
) -> list[dict[str, Any]]:
    """WEAT of the two largest groups of each axis towards the two commonest labels; [] without labels or vectors."""
    if not material.one_label or len(material.labelled) < 2 * LEAST or len(material.names) < 2:
        return []
    labelled = material.labelled
    given = material.labels[labelled]
    counts = np.bincount(given, minlength=len(material.names))
    a, b = np.argsort(-counts, kind="stable")[:2]
    found = []
    for axis, keys in by_axis.items():
        one, two = sorted(keys, key=lambda key: (-int(there[key].sum()), key))[:2] if len(keys) > 1 else (None, None)
        if one is None or two is None:
            continue
        x, y = there[one][labelled] & ~there[two][labelled], there[two][labelled] & ~there[one][labelled]
        neutral = ~np.any([there[key] for key in keys], axis=0)[labelled]
        sides = [neutral & (given == number) for number in (a, b)]
        if min(x.sum(), y.sum(), *(side.sum() for side in sides)) < LEAST:
            continue
        vectors = material.vectors
        test = weat(vectors[x], vectors[y], vectors[sides[0]], vectors[sides[1]], seed=material.context.seed, draws=500)
        found.append({"axis": axis, "groups": [one[1], two[1]], "towards": [material.names[a], material.names[b]], "effect": test.effect, "p_value": test.p_value})  # fmt: skip
    return found


def _balance(said: pa.ChunkedArray) -> dict[str, Any]:
    """Gendered terms on both sides, and how many texts have any."""
    she, he, swaps = (int(field(said, name).sum()) for name in ("she", "he", "swaps"))
    return {"she": she, "he": he, "texts": swaps, "share_she": she / (she + he) if she + he else None}
