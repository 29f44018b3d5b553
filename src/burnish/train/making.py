"""Records made out of the training side by augmentations: texts edited, targets moved with them, provenance written.

What may change of a record follows from its columns, whatever the task: the texts a model reads, never what it is to
write. Spans stand in `text`, an answer in `text_b`; both are found again to the character, or the record is not made.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from burnish.core.progress import Progress
from burnish.core.records import Record, iterate, to_table
from burnish.text.edits import Edit, Stretch, applied, moved, sound
from burnish.text.inputs import said
from burnish.text.normalise import normalise
from burnish.train.augment.base import Augmentation, Ground, Passage

LEAK = 0.8  # Jaccard similarity to a judging record from which a made one is left out, as the split draws the line
SHOWN = 3  # made records that the model's card shows beside what they were made of
Place = str | int  # a column, or the number of a turn in `messages`


@dataclass
class Made:
    """What one augmentation made. unchanged: the parent of each, as it was, for a fair comparison. parents: records that
    have a copy. dropped: reason -> count. examples: (before, after)."""

    table: pa.Table
    unchanged: pa.Table
    parents: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, str]] = field(default_factory=list)


def columns_of(task: Any) -> tuple[str, ...]:
    """Record columns whose texts may change: those that the model reads, where its targets can follow them.

    A task that keeps records together (a query with its candidates) has the text changed that they share, in all of
    them alike. A target with places that lies in meta cannot be moved: then nothing may change.
    """
    hidden = getattr(task, "fields", {})  # of a task of several: those whose target is in meta
    if any(set(task.parts[name].target) & {"spans", "relations", "answer"} for name in hidden):
        return ()
    read = [name for name in ("text", "text_b", "messages") if name in task.reads]
    if task.plan is not None:  # the text is made of fields; those that are columns of text may change
        read = [
            name for name in ("text", "text_b") if name in task.plan.paths or (name in task.reads and name != "text")
        ]
    together = [name for name in read if name in task.together]
    return tuple(together or read)


def columns_for(part: Augmentation, task: Any) -> tuple[str, ...]:
    """The columns that this augmentation may change: what is said anew holds no place that could be found again."""
    found = columns_of(task)
    if not part.rewrites:
        return found
    placed = {"text"} if {"spans", "relations"} & set(task.target) else set()
    placed |= {"text_b"} if "answer" in task.target else set()
    # what holds its main text's places is not helped by a second text said anew beside it
    return () if task.reads[0] in placed else tuple(name for name in found if name not in placed)


def problem(part: Augmentation, task: Any) -> str:
    """Why an augmentation cannot be used for a task, or ""."""
    kind = task.spec.type
    if not columns_of(task):
        return f"nothing of the texts of this {kind} may change: its targets would not be found again"
    if missing := [name for name in part.needs if name not in (*task.target, *task.reads)]:
        return f"{part.name} needs {', '.join(missing)}, and the target of {kind} is {', '.join(task.target)}"
    if not columns_for(part, task):
        return f"{part.name} says whole texts anew, and the spans of {kind} could not be found again in them"
    return part.problem(task)


def made(
    part: Augmentation,
    name: str,
    table: pa.Table,
    task: Any,
    *,
    judging: Sequence[pa.Table],
    base: Path,
    seed: int,
    progress: Progress,
) -> Made:
    """Copies of the labelled training records in `table`, changed by one augmentation.

    name: of the augmentation in this run, for ids and dice. judging: the validation and test side, only read to leave
    out what is like them. The same arguments give the same records. Memory: all records of the table.
    """
    writer = Writer(part, name, task, seed)
    records = list(iterate([table]))
    everything = [one for record in records for one in writer.passages(record, copy=0).values()]
    write = part.begin(Ground(task, everything, base, seed, progress))
    chosen = [record for record in records if writer.chosen(record)]
    known = {_form(record) for record in records}
    groups = writer.groups(records)
    found, out = [], Made(table.slice(0, 0), table.slice(0, 0))
    for copy in range(part.copies):
        every = [writer.passages(record, copy=copy) for record in chosen]
        edits = iter(write([passage for own in every for passage in own.values()]))
        for record, own in zip(chosen, every, strict=True):
            changed = {place: _safe(next(edits), passage, part) for place, passage in own.items()}
            one = writer.record(record, own, changed, copy=copy, group=groups[writer.unit(record)])
            if one is None or (wrong := task.problem(one)):
                nothing = not any(changed.values())
                out.dropped[
                    "nothing to change" if nothing else "its target would not be known" if one is None else wrong
                ] += 1
            elif (form := _form(one)) in known:
                out.dropped["there already"] += 1
            else:
                known.add(form)
                found.append((record, one))
    kept = _not_judging([one for _, one in found], judging)
    out.dropped["like a record that judges"] += len(found) - len(kept)
    found = [found[at] for at in kept]
    out.dropped = +out.dropped
    out.parents = len({record.id for record, _ in found})
    step = max(1, len(found) // SHOWN)
    out.examples = [(_shown(before), _shown(after)) for before, after in found[::step][:SHOWN]]
    out.table = to_table(one for _, one in found)
    out.unchanged = to_table(replace(record, id=one.id, group=one.group) for record, one in found)
    return out


@dataclass(frozen=True)
class Writer:
    """Records to passages and back, for one augmentation and task. name: of the augmentation in this run."""

    part: Augmentation
    name: str
    task: Any
    seed: int

    def unit(self, record: Record) -> tuple[Any, ...]:
        """What is chosen and grouped as one: a record, or all that share a query."""
        shared = [name for name in columns_for(self.part, self.task) if name in self.task.together]
        return (record.group, *(getattr(record, name) for name in shared)) if shared else (record.id,)

    def chosen(self, record: Record) -> bool:
        """Whether it gets copies: by a hash, so that other records hardly change who is chosen."""
        return self._dice("share", *self.unit(record)).random() < self.part.share

    def groups(self, records: Iterable[Record]) -> dict[tuple[Any, ...], str | None]:
        """Unit -> the group of what is made of it: the parents' own, else the first parent's id."""
        made: dict[tuple[Any, ...], str | None] = {}
        for record in records:
            made.setdefault(self.unit(record), record.group if record.group is not None else record.id)
        return made

    def passages(self, record: Record, *, copy: int) -> dict[Place, Passage]:
        """The texts of a record that may change, by column or by number of the turn."""
        texts: dict[Place, str] = {}
        for name in columns_for(self.part, self.task):
            if name == "messages":
                texts |= {
                    at: turn["content"] for at, turn in enumerate(record.messages or ()) if turn["role"] == "user"
                }
            elif getattr(record, name):
                texts[name] = getattr(record, name)
        made = {}
        for place, text in texts.items():
            spans = (
                tuple((one["start"], one["end"], one.get("label")) for one in record.spans or ())
                if place == "text"
                else ()
            )
            kept = [] if self.part.touches else [(start, end) for start, end, _ in spans]
            if place == "text_b" and (answer := self._answer(record)):
                kept.append(answer)
            made[place] = Passage(text, tuple(sorted(kept)), spans, self._dice(str(copy), str(place), text))
        return made

    def record(
        self,
        parent: Record,
        passages: dict[Place, Passage],
        edits: dict[Place, list[Edit]],
        *,
        copy: int,
        group: str | None,
    ) -> Record | None:
        """The record that the edits make of its parent; None where nothing changes, or its target would not be known."""
        if not any(edits.values()):
            return None
        texts = {place: applied(passages[place].text, own) for place, own in edits.items()}
        if not all(text.strip() for text in texts.values()):
            return None
        changed: dict[str, Any] = {place: text for place, text in texts.items() if isinstance(place, str)}
        if parent.messages is not None:
            turns = enumerate(parent.messages)
            changed["messages"] = [{**turn, "content": texts.get(at, turn["content"])} for at, turn in turns]
        if parent.spans:
            changed["spans"] = [
                _span(one, edits.get("text", ()), texts.get("text", parent.text or "")) for one in parent.spans
            ]
            if None in changed["spans"]:
                return None
        meta = {**parent.meta, "augmented": self.name, "parent": parent.id}
        if answer := self._answer(parent):
            start, end = moved(*answer, edits.get("text_b", ()))
            changed["answer"] = {"text": texts.get("text_b", parent.text_b or "")[start:end], "start": start}
        if "answer" in self.task.target:
            meta.pop("answers", None)  # other answers stand elsewhere in the context; training reads the first alone
        one = replace(
            parent, **changed, id=f"{parent.id}+{self.name}.{copy}", group=group, meta=meta, votes=[], findings=[],
            trail=[*parent.trail, f"train.augment: {self.name}, copy {copy}, made of {parent.id}"],
        )  # fmt: skip
        return self.part.target(one, parent, task=self.task, num_edits=sum(map(len, edits.values())))

    def _answer(self, record: Record) -> Stretch | None:
        """Where the answer that is taught stands in text_b; None where there is none."""
        if "answer" not in self.task.target:
            return None
        from burnish.tasks.question_answering import gold_answers, placed

        golds = gold_answers({"answer": record.answer, "meta": record.meta})
        return placed(golds[0], record.text_b or "") if golds else None

    def _dice(self, *what: Any) -> random.Random:
        said = "\x1f".join([str(self.seed), self.name, *map(str, what)])
        return random.Random(int.from_bytes(hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()[:8], "big"))


def _safe(edits: Sequence[Edit], passage: Passage, part: Augmentation) -> list[Edit]:
    """The edits that can be made together without losing a place."""
    if part.rewrites:
        return [one for one in edits if one.text != passage.text]
    borders = [(start, end) for start, end, _ in passage.spans]
    return [
        one for one in sound(edits, kept=passage.kept, spans=borders) if passage.text[one.start : one.end] != one.text
    ]


def _span(span: dict[str, Any], edits: Sequence[Edit], text: str) -> dict[str, Any] | None:
    """A span where it stands now; None where nothing of it is left."""
    start, end = moved(span["start"], span["end"], edits)
    return {**span, "start": start, "end": end} if text[start:end].strip() else None


def _form(record: Record) -> tuple[Any, ...]:
    """What two records that say the same share, targets left out."""
    turns = tuple((turn["role"], normalise(turn["content"])) for turn in record.messages or ())
    return normalise(record.text or ""), normalise(record.text_b or ""), turns


def _not_judging(records: Sequence[Record], judging: Sequence[pa.Table]) -> list[int]:
    """Those of the records that equal or resemble none of the judging sides."""
    from burnish.measures.duplicates import leaks

    texts = said(to_table(records), system=False)
    like: set[int] = set()
    for table in judging:
        if len(table) and texts:
            like |= set(leaks(said(table, system=False), texts, threshold=LEAK).pairs[:, 1].tolist())
    return [at for at in range(len(records)) if at not in like]


def _shown(record: Record) -> str:
    turns = [turn["content"] for turn in record.messages or () if turn["role"] == "user"]
    return " / ".join(one for one in (record.text, record.text_b, *turns) if one)[:300]
