"""After questions were made: keep those whose answer is found again, and add some that have none."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from annotated_types import Ge

from burnish.construct.making import made, story
from burnish.construct.questions.asking import candidates
from burnish.construct.questions.makers import for_answers
from burnish.core.artifacts import Records
from burnish.core.records import FINDING, Record, SeenCounts, assign_ids, iterate, to_table
from burnish.core.stage import Context, Positive, Share, stage
from burnish.measures.answers import f1
from burnish.text.bm25 import Bm25
from burnish.text.normalise import normalise
from burnish.text.questions import best_sentence, rarity
from burnish.text.sentences import sentences

Ratio = Annotated[float, Ge(0)]
ROUND_TRIP = "round_trip"
MOST_CONTEXTS = 50_000  # that a question's own is looked for among
NEAREST = 5  # contexts of the same document that an unanswerable question is tried on


def _is_made(record: Record) -> bool:
    """A question that a maker wrote, with an answer."""
    return (
        record.keep
        and record.text_b is not None
        and bool((record.answer or {}).get("text"))
        and (record.label_from or "").startswith("construct.")
    )


@stage("construct.round_trip", check=for_answers)
def round_trip(
    records: Records,
    context: Context,
    *,
    model: Path | None = None,
    threshold: Share = 0.5,
    top: Positive = 3,
) -> Records:
    """Set aside made questions whose answer is not found again.

    model: a run folder, or the folder of a model that burnish saved, that answers every question from its context; a
        question is kept when the F1 of what it says with the answer is `threshold` or more (Alberti et al. 2019). Without
        one: its context must be among the first `top` of all contexts for it by BM25, and of the sentences of its context
        the one that shares most with the question must touch the answer.
    threshold: F1 from which an answer counts as found again, 0..1.
    top: rank of its own context from which a question is too general, or lacks what it is about.

    Questions that came with the records and those without an answer pass. Memory: the distinct contexts' words.
    """
    contexts = _contexts(records)
    index = Bm25([*contexts]) if model is None else None
    rare = rarity([*contexts]) if model is None else {}
    reader = None
    if model is not None:
        from burnish.tasks import predictor

        reader = predictor.load(model)
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    facts = dict(records.facts)

    def walk() -> Iterator[pa.Table]:
        with context.progress.bar(ROUND_TRIP, len(records)) as bar:
            for batch in records.batches():
                rows = list(iterate([batch]))
                at = [i for i, one in enumerate(rows) if _is_made(one)]
                if reader is not None:
                    wrong = _read_again([rows[i] for i in at], reader, threshold)
                else:
                    assert index is not None
                    wrong = [_found_again(rows[i], contexts, index, rare, top) for i in at]
                reasons = {i: reason for i, reason in zip(at, wrong, strict=True) if reason}
                counts.update(seen=len(at), made=len(at) - len(reasons), material=len(at))
                refused.update(reason for reason, _ in reasons.values())
                yield _set_aside(batch, reasons)
                bar.advance(len(batch))
        story(facts, counts, refused, by="construct.round_trip", what="kept questions", context=context)

    checked = Records.stream(walk())
    checked.facts = facts
    return checked


def _contexts(records: Records) -> dict[str, int]:
    """Distinct contexts of questions -> their number."""
    found: dict[str, int] = {}
    for batch in records.batches(["text_b", "keep"]):
        for text, keep in zip(batch["text_b"].to_pylist(), batch["keep"].to_pylist(), strict=True):
            if text and keep and len(found) < MOST_CONTEXTS:
                found.setdefault(text, len(found))
    return found


def _read_again(rows: Sequence[Record], reader: Any, threshold: float) -> list[tuple[str, float] | None]:
    answers = reader.predict([{"text": one.text, "text_b": one.text_b} for one in rows]) if rows else []
    found: list[tuple[str, float] | None] = []
    for one, answer in zip(rows, answers, strict=True):
        score = f1(answer["text"], (one.answer or {})["text"]) if answer["text"] else 0.0
        found.append(None if score >= threshold else ("the reader gives another answer", score))
    return found


def _found_again(
    record: Record, contexts: Mapping[str, int], index: Bm25, rare: Mapping[str, float], top: int
) -> tuple[str, float] | None:
    question, text, answer = record.text or "", record.text_b or "", record.answer or {}
    own = contexts.get(text)
    if own is not None and own not in index.top(question, count=top):
        return f"its context is not among the first {top} for it", 0.0
    start, end, share = best_sentence(question, text, rare)
    if end <= answer["start"] or start >= answer["start"] + len(answer["text"]):
        return "another sentence answers it as well", share
    return None


def _set_aside(batch: pa.Table, reasons: Mapping[int, tuple[str, float]]) -> pa.Table:
    if not reasons:
        return batch
    keep, findings = batch["keep"].to_pylist(), batch["findings"].to_pylist()
    for at, (reason, score) in reasons.items():
        keep[at] = False
        findings[at] = [
            *(findings[at] or []),
            {"check": ROUND_TRIP, "score": 1.0 - score, "reason": reason, "action": "set aside"},
        ]
    batch = batch.set_column(batch.schema.get_field_index("keep"), "keep", pa.array(keep))
    return batch.set_column(batch.schema.get_field_index("findings"), "findings", pa.array(findings, pa.list_(FINDING)))


@stage("construct.unanswerable", check=for_answers)
def unanswerable(
    records: Records,
    context: Context,
    *,
    how: list[Literal["near", "swap"]] = ["near", "swap"],  # noqa: B006
    ratio: Ratio = 0.5,
    confidence: Share = 0.8,
) -> Records:
    """Make questions without an answer that look as if they had one.

    how: near puts a question to another section of its document: the one that shares most with it, does not hold the
        answer, and holds something of the kind that is asked for; of a document with one section, to the nearest of the
        others. swap changes a name, date or number of the question for another of its kind that stands elsewhere.
    ratio: such questions to one with an answer, at most, in turn of `how`.
    confidence: how sure it is taken to be in training that there is no answer, 0..1.

    As people wrote them for SQuAD 2.0 (Rajpurkar et al. 2018): plausible, by kind and place. Memory: the distinct contexts and the made questions.
    """
    by = "construct.unanswerable"
    questions = [one for one in records if _is_made(one)]
    contexts = list(dict.fromkeys(one.text_b or "" for one in questions))
    groups: dict[str, list[int]] = defaultdict(list)
    of_context = {text: at for at, text in enumerate(contexts)}
    for one in questions:
        at = of_context[one.text_b or ""]
        if at not in groups[one.group or ""]:
            groups[one.group or ""].append(at)
    index, plain = Bm25(contexts), [normalise(text) for text in contexts]
    kinds = [_kinds(text) for text in contexts]
    draw = np.random.default_rng(context.seed)
    wanted = int(ratio * len(questions))
    counts: Counter[str] = Counter(seen=len(questions))
    refused: Counter[str] = Counter()
    born: list[Record] = []
    children: Counter[str] = Counter()
    for number, at in enumerate(draw.permutation(len(questions)).tolist()):
        if len(born) >= wanted:
            break
        one = questions[at]
        way = how[number % len(how)]
        if way == "near":
            found = _near(one, groups[one.group or ""], index, plain, kinds, contexts)
        else:
            found = _swapped(one, kinds, groups[one.group or ""], of_context, draw)
        if found is None:
            refused["no near text without the answer" if way == "near" else "nothing to change for its like"] += 1
            continue
        question, text, why = found
        meta = {"is_impossible": True, "plausible": way, "asked_of": one.id}
        born.append(
            made(one, by=by, why=why, text=question, text_b=text, answer={"text": "", "start": None},
                 confidence=confidence, meta=meta)
        )  # fmt: skip
        children[one.id or ""] += 1
    counts.update(made=len(born), material=len(children))
    facts = dict(records.facts)
    story(facts, counts, refused, by=by, what="questions without an answer", context=context)

    def walk() -> Iterator[pa.Table]:
        seen = SeenCounts()
        for batch in records.batches():
            yield assign_ids(batch, seen)
        if born:
            yield assign_ids(to_table(born), seen)

    grown = Records.stream(walk())
    grown.facts = facts
    return grown


def _kinds(text: str) -> dict[str, list[str]]:
    """What stands in a text, by kind."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in candidates(text):
        said = text[one.start : one.end]
        if said not in found[one.kind]:
            found[one.kind].append(said)
    return dict(found)


def _near(
    one: Record,
    same: Sequence[int],
    index: Bm25,
    plain: Sequence[str],
    kinds: Sequence[Mapping[str, list[str]]],
    contexts: Sequence[str],
) -> tuple[str, str, str] | None:
    answer = normalise((one.answer or {})["text"])
    scores = index.scores(one.text or "")
    others = [at for at in same if contexts[at] != one.text_b]
    pool = others or [
        int(at) for at in np.argsort(-scores, kind="stable")[: NEAREST + 1] if contexts[int(at)] != one.text_b
    ]
    kind = (one.meta or {}).get("kind")
    for at in sorted(pool, key=lambda at: -scores[at])[:NEAREST]:
        holds = kind in ("definition", "heading", "faq", None) or bool(kinds[at].get(kind))
        if scores[at] > 0 and answer not in plain[at] and holds:
            return one.text or "", contexts[at], "put to a near section that does not hold the answer"
    return None


def _swapped(
    one: Record,
    kinds: Sequence[Mapping[str, list[str]]],
    same: Sequence[int],
    of_context: Mapping[str, int],
    draw: np.random.Generator,
) -> tuple[str, str, str] | None:
    question, text = one.text or "", one.text_b or ""
    parts = [part for part in candidates(question) if question[part.start : part.end] in text]
    for at in draw.permutation(len(parts)).tolist():
        part = parts[at]
        was = question[part.start : part.end]
        own = kinds[of_context[text]].get(part.kind, [])
        elsewhere = [said for group in same for said in kinds[group].get(part.kind, [])]
        can = [said for said in dict.fromkeys([*elsewhere, *own]) if said != was and not _alike(said, was)]
        can = [said for said in can if said not in _sentence_of(one)]
        if can:
            new = can[int(draw.integers(len(can)))]
            changed = question[: part.start] + new + question[part.end :]
            return changed, text, f"{part.kind} {was!r} changed for {new!r}"
    return None


def _alike(one: str, other: str) -> bool:
    a, b = normalise(one), normalise(other)
    return a in b or b in a or re.sub(r"\D", "", a) == re.sub(r"\D", "", b) != ""


def _sentence_of(one: Record) -> str:
    """The sentence that holds the answer."""
    text, start = one.text_b or "", (one.answer or {})["start"]
    return next((text[a:b] for a, b in sentences(text) if a <= start < b), "")
