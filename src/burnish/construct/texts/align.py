"""Sentence pairs out of documents that translate each other, or out of texts that only speak of the same things."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from burnish.construct.gathering import gathered, grown
from burnish.construct.making import made
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record
from burnish.core.stage import Context, Positive, Share, TaskSpec, stage
from burnish.nn.backbones import Backbone
from burnish.text.language import languages
from burnish.text.scripts import UNSPACED_CLASS
from burnish.text.sentences import sentences

BY = "construct.align"
LONGEST = 4000  # sentences of a document; the table of more would not fit into memory
_UNSPACED = re.compile(f"[{UNSPACED_CLASS}\u3000-\u303f\uff00-\uffef]")
LEAST_FOR_MEAN = 50  # sentences of a language from which their mean is worth taking off


@dataclass(frozen=True)
class Document:
    """One side: the records it stands in, and its sentences."""

    parents: tuple[Record, ...]
    sentences: tuple[str, ...]


def two_languages(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: pairs have two languages."""
    if len(task.languages) == 2 and "output" in _targets(task):
        return []
    return [
        ("use", "alignment is for translation between two languages", "task: {type: translation, languages: [en, zh]}")
    ]


def _targets(task: TaskSpec) -> tuple[str, ...]:
    from burnish.core.tasktypes import targets_of

    return targets_of(task)


@stage(BY, check=two_languages)
def align(
    records: Records,
    context: Context,
    *,
    by: str = "group",
    path: Path | None = None,
    method: Literal["align", "mine", "length"] = "align",
    most: Positive = 2,
    min_score: Share = 0.3,
    margin: float = 1.05,
    backbone: Backbone = Backbone("auto"),
) -> Records:
    """Make sentence pairs out of documents in two languages.

    by: what two documents that belong together share: group, or meta.NAME; records of one value and language are one
        document, in their order. A record with text_b is both sides by itself. Without meaning for `mine`.
    path: a text file that translates all records of the first language together, sentence after sentence, line by line.
    method: align finds runs of sentences in order, by meaning and length; length needs no weights (Gale & Church 1993);
        mine pairs sentences of any order, across all texts, that are each other's nearest (Artetxe & Schwenk 2019).
    most: sentences that may stand on one side of a pair, where the order is kept.
    min_score: a pair less alike beside strangers is not made, 0 (as strangers) to 1; for align.
    margin: a mined pair below this ratio of its cosine to that of its neighbours is not made.
    backbone: whose vectors are compared; it must speak both languages.

    Records come out as text in the first language of the task and output in the second. What is left out is counted: a
    sentence that nothing translates, a pair that is not alike. Memory: all texts without a target, and a table of the
    sentences of the two longest documents.
    """
    first, second = (*context.task.languages, "und", "und")[:2]
    read = gathered(records, context)
    refused: Counter[str] = Counter()
    if method == "mine":
        born = _mined(read, (first, second), context, backbone=backbone, margin=margin, refused=refused)
        return grown(records, born, refused, context, by=BY, what="sentence pairs", seen=len(read))
    pairs = _documents(read, (first, second), by, path, refused)
    chains = _by_length(pairs) if method == "length" else _by_meaning(pairs, context, backbone, most)
    born, kinds = [], Counter[str]()
    for (source, target), beads in zip(pairs, chains, strict=True):
        for bead in beads:
            kinds[bead.kind] += 1
            said = _run(source.sentences, *bead.source), _run(target.sentences, *bead.target)
            if not all(said):
                refused[f"no translation of it ({first if said[0] else second})"] += 1
            elif bead.score < min_score and method == "align":
                refused["not alike"] += 1
            else:
                why = f"{bead.kind}, sentences {bead.source[0] + 1} and {bead.target[0] + 1}, alike by {bead.score:.2f}"
                born.append(_pair(source, target, said, bead.score, why, {"bead": bead.kind}, first))
    told = {"documents": len(pairs), "beads": dict(kinds.most_common()), "method": method}
    return grown(records, born, refused, context, by=BY, what="sentence pairs", seen=len(read), told=told)


def _pair(
    source: Document,
    target: Document,
    said: tuple[str, str],
    score: float,
    why: str,
    meta: dict[str, Any],
    language: str,
) -> Record:
    parents = list({one.id: one for one in (*source.parents, *target.parents)}.values())
    return made(
        parents, by=BY, why=why, text=said[0], output=said[1], language=language, confidence=score,
        meta={**meta, "score": round(score, 4)},
    )  # fmt: skip


def _run(listed: Sequence[str], start: int, end: int) -> str:
    """Sentences as one text; Chinese ones without a blank between."""
    text = ""
    for one in listed[start:end]:
        blank = text and not (_unspaced(text[-1]) or _unspaced(one[0]))
        text += f" {one}" if blank else one
    return text


def _unspaced(character: str) -> bool:
    return _UNSPACED.match(character) is not None


def cut(text: str) -> list[str]:
    """The sentences of a text; a line break ends one."""
    found = []
    for line in text.splitlines():
        found += [" ".join(line[start:end].split()) for start, end in sentences(line)]
    return found


def language_of(record: Record, among: tuple[str, str]) -> str:
    if record.language:
        return record.language.split("-")[0].lower()
    return str(languages([record.text or ""], among=among).code[0])


def _documents(
    read: Sequence[Record], spoken: tuple[str, str], by: str, path: Path | None, refused: Counter[str]
) -> list[tuple[Document, Document]]:
    """The documents that belong together."""
    if path is not None:
        return _beside_a_file(read, spoken, path)
    sides: dict[str, dict[str, list[Record]]] = {}
    pairs = []
    for record in read:
        if record.text_b:
            both = (Document((record,), tuple(cut(record.text or ""))), Document((record,), tuple(cut(record.text_b))))
            pairs.append(both[::-1] if language_of(record, spoken) == spoken[1] else both)
            continue
        value = _value(record, by)
        if value is None:
            refused[f"no {by}"] += 1
        elif (language := language_of(record, spoken)) not in spoken:
            refused["another language"] += 1
        else:
            sides.setdefault(value, {}).setdefault(language, []).append(record)
    for found in sides.values():
        if len(found) < 2:
            refused["one language alone"] += sum(map(len, found.values()))
            continue
        source, target = (
            Document(tuple(found[one]), tuple(s for record in found[one] for s in cut(record.text or "")))
            for one in spoken
        )
        pairs.append((source, target))
    whole = [pair for pair in pairs if all(0 < len(one.sentences) <= LONGEST for one in pair)]
    refused["empty, or too long to align"] += len(pairs) - len(whole)
    return whole


def _value(record: Record, by: str) -> str | None:
    if by == "group":
        return record.group
    if not by.startswith("meta."):
        raise BurnishError(f"no field {by!r} to pair documents by", where=f"{BY}.by", hint="group, or meta.NAME")
    found = record.meta.get(by.removeprefix("meta."))
    return None if found is None else json.dumps(found, ensure_ascii=False)


def _beside_a_file(read: Sequence[Record], spoken: tuple[str, str], path: Path) -> list[tuple[Document, Document]]:
    mine = [record for record in read if language_of(record, spoken) == spoken[0]]
    if not mine:
        raise BurnishError(
            f"no record is in {spoken[0]}", where=f"{BY}.path", hint="task.languages: [source's, target's]"
        )
    try:
        told = cut(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise BurnishError(f"is not UTF-8: {error}", where=str(path), hint="write it as UTF-8") from error
    source = Document(tuple(mine), tuple(s for record in mine for s in cut(record.text or "")))
    if not told or max(len(told), len(source.sentences)) > LONGEST:
        raise BurnishError(
            f"{len(source.sentences):,} and {len(told):,} sentences cannot be aligned as one document",
            where=str(path), hint=f"1 to {LONGEST:,} a side: cut both into chapters, and pair those by meta.NAME",
        )  # fmt: skip
    return [(source, Document((), tuple(told)))]


def _by_length(pairs: Sequence[tuple[Document, Document]]) -> Iterator[list[Any]]:
    from burnish.measures.sentence_alignment import by_length

    ratio = _ratio(pairs)
    for source, target in pairs:
        yield by_length([len(one) for one in source.sentences], [len(one) for one in target.sentences], ratio=ratio)


def _ratio(pairs: Sequence[tuple[Document, Document]]) -> float:
    """Characters of the target for one of the source."""
    totals = [sum(len(one) for pair in pairs for one in pair[side].sentences) for side in (0, 1)]
    return max(totals[1], 1) / max(totals[0], 1)


def _by_meaning(
    pairs: Sequence[tuple[Document, Document]], context: Context, backbone: Backbone, most: int
) -> Iterator[list[Any]]:
    from burnish.measures.sentence_alignment import by_vectors, sample

    ratio = _ratio(pairs)
    vectors = [_vectors([list(pair[side].sentences) for pair in pairs], most, context, backbone) for side in (0, 1)]
    if not pairs:
        return
    first, second = (sample(np.concatenate([one[1] for one in side]), seed=context.seed) for side in vectors)
    with context.progress.bar(BY, len(pairs), "documents") as bar:
        for at, (source, target) in enumerate(pairs):
            lengths = [[len(one) for one in side.sentences] for side in (source, target)]
            yield by_vectors(vectors[0][at], vectors[1][at], *lengths, ratio=ratio, strangers=(first, second))
            bar.advance(1)


def _vectors(
    documents: Sequence[Sequence[str]], most: int, context: Context, backbone: Backbone
) -> list[dict[int, np.ndarray]]:
    """For each document, size -> vectors of its runs of so many sentences, the mean of the language taken off."""
    from burnish.measures.sentence_alignment import runs
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import embed

    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    places = [runs(len(one), most) for one in documents]
    texts = [
        _run(one, *run) for one, of in zip(documents, places, strict=True) for sized in of.values() for run in sized
    ]
    found = embed(texts, folder, cache=context.cache, progress=context.progress).astype(np.float64)
    count = sum(map(len, documents))
    if count >= LEAST_FOR_MEAN:
        found = found - found.mean(0)
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    made_of, at = [], 0
    for of in places:
        own = {}
        for size, sized in of.items():
            own[size] = found[at : at + len(sized)]
            at += len(sized)
        made_of.append(own)
    return made_of


def _mined(
    read: Sequence[Record],
    spoken: tuple[str, str],
    context: Context,
    *,
    backbone: Backbone,
    margin: float,
    refused: Counter[str],
) -> list[Record]:
    """Pairs of sentences, wherever they stand, that are nearest to each other by margin; each sentence once."""
    from burnish.measures.sentence_alignment import mine
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import embed

    held: dict[str, dict[str, Record]] = {one: {} for one in spoken}
    for record in read:
        language = language_of(record, spoken)
        if language not in held:
            refused["another language"] += 1
            continue
        for sentence in cut(record.text or ""):
            held[language].setdefault(sentence, record)
    sides = [list(held[one]) for one in spoken]
    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    source, target = (
        embed(side, folder, cache=context.cache, progress=context.progress).astype(np.float64) for side in sides
    )
    born = []
    for row, column, found in mine(source, target):
        if found < margin:
            refused["margin too small"] += 1
            continue
        said = sides[0][row], sides[1][column]
        parents = Document((held[spoken[0]][said[0]],), ()), Document((held[spoken[1]][said[1]],), ())
        score = float(np.clip(source[row] @ target[column], 0, 1))
        why = f"nearest to each other, margin {found:.3f}"
        born.append(_pair(*parents, said, score, why, {"margin": round(found, 4)}, spoken[0]))
    refused["nearest to no one"] += len(sides[0]) - len(born) - refused["margin too small"]
    return born
