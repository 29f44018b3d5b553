"""The extractive oracle: which sentences of a text say what a summary of it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from burnish.construct.making import made, mark_material, story
from burnish.construct.texts.summaries import joined
from burnish.core.artifacts import Records
from burnish.core.records import Record, SeenCounts, assign_ids, iterate, to_table
from burnish.core.stage import Context, Positive, Share, TaskSpec, nearest, stage
from burnish.core.tasktypes import targets_of
from burnish.text.sentences import sentences

BY = "construct.extractive"
COLUMN = {"output": "output", "label": "label", "spans": "spans"}


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: what is made must be a target of the task, and labels must be its labels."""
    if COLUMN[settings["make"]] not in targets_of(task):
        fits = [name for name, column in COLUMN.items() if column in targets_of(task)]
        return [
            ("make", f"{settings['make']} is no target of {task.type}", nearest(settings["make"], fits, "there is"))
        ]
    needed = {"label": 2, "spans": 1, "output": 0}[settings["make"]]
    if len(task.labels) < needed:
        hint = "labels: [summary, other]" if needed == 2 else "labels: [summary]"
        return [("make", f"{settings['make']} needs labels in the task", hint)]
    return []


@stage(BY, check=_problems)
def extractive(
    records: Records,
    context: Context,
    *,
    make: Literal["output", "label", "spans"] = "output",
    max_sentences: Positive = 3,
    min_rouge: Share = 0.2,
) -> Records:
    """Find the sentences of each text that say what its given output says, by greedy ROUGE.

    make: output writes those sentences as the output of a record of their own; label makes a record of every sentence
        (text_b the whole text), labelled with the task's first label where it was chosen and its second where not; spans
        marks the chosen sentences in the text with the task's first label.
    max_sentences: chosen of a text at most.
    min_rouge: a text whose chosen sentences score less ROUGE-1 F1 against its output is refused, 0..1: its summary is
        not in it.

    Takes kept records that came with an output; those stay as they are where outputs are made. Right for Chinese, whose
    characters are its words. Nallapati et al. 2017.
    """
    counts, refused = Counter[str](), Counter[str]()
    facts = dict(records.facts)
    of: Counter[int] = Counter()

    def walk() -> Iterator[pa.Table]:
        seen = SeenCounts()
        with context.progress.bar(BY, len(records)) as bar:
            for batch in records.batches():
                born: list[Record] = []
                children = np.zeros(len(batch), dtype=np.int64)
                for at, record in enumerate(iterate([batch])):
                    bar.advance(1)
                    if not record.keep or not record.output or not record.text:
                        continue
                    counts["seen"] += 1
                    found = _made(record, make, context.task.labels, max_sentences, min_rouge, of)
                    if isinstance(found, str):
                        refused[found] += 1
                    else:
                        born += found
                        children[at] = len(found) if make != "output" else 0
                        counts["material"] += 1
                counts["made"] += len(born)
                yield assign_ids(mark_material(batch, children, BY), seen)
                if born:
                    yield assign_ids(to_table(born), seen)
        facts["made"] = {**facts.get("made", {}), BY: {"sentences_chosen": dict(sorted(of.items()))}}
        story(facts, counts, refused, by=BY, what="records", context=context)

    grown = Records.stream(walk())
    grown.facts = facts
    return grown


def _made(
    record: Record, make: str, labels: tuple[str, ...], most: int, least: float, of: Counter[int]
) -> list[Record] | str:
    """What is made of one record, or why nothing is."""
    from burnish.measures.generation import rouge, rouge_tokens
    from burnish.measures.summaries import oracle

    text = record.text or ""
    places = sentences(text)
    if len(places) < 2:
        return "one sentence alone"
    said = [text[start:end] for start, end in places]
    chosen = oracle([rouge_tokens(one) for one in said], rouge_tokens(record.output or ""), most=most)
    taken = joined([said[at] for at in chosen])
    score = float(rouge([taken], [[record.output or ""]])["rouge1"][0, 2]) if chosen else 0.0
    if not chosen or score < least:
        return "its summary is not in it"
    of[len(chosen)] += 1
    why = f"sentence {', '.join(str(at + 1) for at in chosen)} of {len(said)}, ROUGE-1 {score:.2f} with its output"
    meta = {**record.meta, "rouge1": round(score, 4), "sentences": chosen}
    if make == "output":
        return [made(record, by=BY, why=why, text=text, output=taken, confidence=score, meta=meta)]
    if make == "spans":
        spans = [{"start": places[at][0], "end": places[at][1], "label": labels[0]} for at in chosen]
        return [made(record, by=BY, why=why, text=text, spans=spans, confidence=score, meta=meta)]
    return [
        made(
            record, by=BY, why=why, text=one, text_b=text, label=labels[0 if at in chosen else 1], confidence=score,
            meta={**meta, "sentence": at},
        )
        for at, one in enumerate(said)
    ]  # fmt: skip
