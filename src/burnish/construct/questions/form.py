"""Answers out of a context: readers and teachers vote spans, or that there is none; spans that overlap support each other.

majority   the span that most labellers name to the character
weighted   the same, votes weighed by how well each labeller answers
consensus  the span that agrees most with all that was said: the greatest weighed sum of its F1 with every vote (minimum
           Bayes risk, Kumar & Byrne 2004; F1 as SQuAD and CMRC count it)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.construct.forms import Form, Said
from burnish.construct.labels.evidence import MIN_GOLD
from burnish.construct.labels.label_models import DEFAULT_ACCURACY
from burnish.construct.labels.one_label import joined, nobody_voted
from burnish.construct.making import was_made
from burnish.construct.votes_column import votes_of_rows
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.stage import Context, TaskSpec
from burnish.measures.answers import answer_scores, f1

TARGET = ("answer", "confidence", "label_from")
METHODS = ("majority", "weighted", "consensus")
PRIOR = 4.0  # answers that what is claimed of a labeller, or common to all, counts for
Vote = dict[str, Any]


class Answers(Form):
    """One answer that stands in the context, or none."""

    name, methods, about = "answer", METHODS, "an answer out of a context"

    def said(self, answer: Mapping[str, Any], record: Mapping[str, Any], task: TaskSpec) -> list[Said]:
        text, context = answer.get("text"), record.get("text_b") or ""
        if text is None:
            return []
        sure = answer.get("score")
        confidence = 1.0 if sure is None else float(sure)
        if not text.strip():
            return [Said(text="", confidence=confidence)]
        start = answer.get("start")
        if start is None or context[start : start + len(text)] != text:
            start = context.find(text)
        if start < 0:
            raise ValueError(f"the answer {text[:60]!r} does not stand in the context")
        return [Said(text=text, start=start, end=start + len(text), confidence=confidence)]

    def returned(self, value: Any) -> Mapping[str, Any]:
        text, sure = value if isinstance(value, tuple) and len(value) == 2 else (value, 1.0)
        if not isinstance(text, str) or not isinstance(sure, int | float) or not 0 <= sure <= 1:
            raise ValueError(
                'return the answer as it stands in the context ("" for none), or (answer, confidence), or None'
            )
        return {"text": text, "score": float(sure)}

    def aggregate(
        self,
        records: Records,
        votes: Sequence[Votes],
        gold: Gold | None,
        context: Context,
        *,
        method: str,
        min_confidence: float,
    ) -> Records:
        labellers, table = joined(votes)
        by_row: dict[int, list[Vote]] = {}
        for vote in table.to_pylist():
            by_row.setdefault(vote["row"], []).append(vote)
        covered = np.array([row for row in by_row if row >= 0])
        nobody_voted(covered >= 0)
        truth = _gold(gold, context.task)
        skill = _skill(by_row, truth, labellers)
        judged = [_judge(name, by_row, truth, labellers) for name in METHODS]
        used, why = _choose(method, judged)
        made = Records.stream(_written(records, table, by_row, used, skill, min_confidence))
        made.facts = {
            "method": used,
            "why": why,
            "records": len(records),
            "coverage": len(covered) / max(len(records), 1),
            "gold": len(truth),
            "methods": judged,
            "best_single": _best_single(by_row, truth, labellers),
            "labellers": [_worth(one, by_row, truth, skill[one.name], len(records)) for one in labellers],
        }
        made.facts["story"] = _story(made.facts)
        return made


FORM = Answers()


def _gold(gold: Gold | None, task: TaskSpec) -> dict[int, list[str]]:
    """Row of a gold record -> the answers that are right, [] where there is none."""
    from burnish.tasks.question_answering import gold_answers

    found = {}
    for at, row in enumerate(gold.table(["answer", "meta"]).to_pylist() if gold is not None else ()):
        answers = gold_answers(row)
        if answers is not None:
            found[-1 - at] = [one["text"] for one in answers]
    return found


def _score(said: str, right: Sequence[str]) -> float:
    return float(answer_scores([said], [list(right)])[0, 1])


def _skill(
    by_row: Mapping[int, list[Vote]], truth: Mapping[int, list[str]], labellers: Sequence[Labeller]
) -> dict[str, float]:
    """How well each labeller answers: mean F1 on gold, drawn to what is claimed; without gold, mean F1 with the others."""
    scores: dict[str, list[float]] = {one.name: [] for one in labellers}
    for row, votes in by_row.items():
        for vote in votes:
            if truth:
                if row in truth:
                    scores[vote["labeller"]].append(_score(vote["text"], truth[row]))
            else:
                others = [f1(vote["text"], one["text"]) for one in votes if one["labeller"] != vote["labeller"]]
                scores[vote["labeller"]] += [float(np.mean(others))] if others else []
    everything = [one for many in scores.values() for one in many]
    common = (sum(everything) + PRIOR * DEFAULT_ACCURACY) / (len(everything) + PRIOR)
    centre = {one.name: one.trust if one.trust is not None else common for one in labellers}
    return {name: (sum(many) + PRIOR * centre[name]) / (len(many) + PRIOR) for name, many in scores.items()}


def _decided(votes: Sequence[Vote], method: str, skill: Mapping[str, float]) -> tuple[Vote, float]:
    """The vote that stands for all, and the share of the weight that is for it, 0..1."""
    weight = [
        1.0 if method == "majority" else skill[vote["labeller"]] * max(vote["confidence"], 1e-3) for vote in votes
    ]
    same = np.array([[_same(one, other, method) for other in votes] for one in votes])
    support = same @ np.array(weight)
    best = int(support.argmax())
    return votes[best], float(support[best] / sum(weight))


def _same(one: Vote, other: Vote, method: str) -> float:
    if method == "consensus":
        return f1(one["text"], other["text"]) if one["text"] and other["text"] else float(one["text"] == other["text"])
    return float((one["text"], one["start"]) == (other["text"], other["start"]))


def _judge(
    method: str, by_row: Mapping[int, list[Vote]], truth: Mapping[int, list[str]], labellers: Sequence[Labeller]
) -> dict[str, Any]:
    """Mean F1 of a method on the gold records that votes cover, labellers weighed by the other gold records."""
    scores = []
    for row in (row for row in truth if row in by_row):
        skill = _skill(by_row, {one: right for one, right in truth.items() if one != row}, labellers)
        scores.append(_score(_decided(by_row[row], method, skill)[0]["text"], truth[row]))
    mean = float(np.mean(scores)) if scores else None
    return {"method": method, "gold": len(scores), "accuracy": mean, "f1": mean, "refused": None}


def _choose(method: str, judged: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    if method != "auto":
        return method, "the spec says so"
    if judged[0]["gold"] < MIN_GOLD:
        return (
            "consensus",
            f"{judged[0]['gold']} gold records with votes say too little; answers that overlap support each other",
        )
    best = max(judged, key=lambda one: (one["f1"], one["method"] == "consensus"))
    return str(
        best["method"]
    ), f"on {best['gold']} gold records, each judged without itself, its F1 is {best['f1']:.1%}"


def _best_single(
    by_row: Mapping[int, list[Vote]], truth: Mapping[int, list[str]], labellers: Sequence[Labeller]
) -> dict[str, Any] | None:
    """The labeller with the best F1 over the gold records that anybody votes on; silence counts as 0."""
    rows = [row for row in truth if row in by_row]
    if not rows:
        return None
    means = {}
    for one in labellers:
        said = {row: vote["text"] for row in rows for vote in by_row[row] if vote["labeller"] == one.name}
        means[one.name] = float(np.mean([_score(said[row], truth[row]) if row in said else 0.0 for row in rows]))
    best = max(means, key=lambda name: means[name])
    return {"name": best, "accuracy": means[best], "f1": means[best]}


def _worth(
    one: Labeller, by_row: Mapping[int, list[Vote]], truth: Mapping[int, list[str]], skill: float, count: int
) -> dict[str, Any]:
    cast = [(row, vote) for row, votes in by_row.items() for vote in votes if vote["labeller"] == one.name]
    here = [row for row, _ in cast if row >= 0]
    return {
        "name": one.name, "kind": one.kind, "says": list(one.says), "about": one.about, "votes": len(here),
        "coverage": len(set(here)) / max(count, 1), "accuracy": skill, "gold_votes": sum(row in truth for row, _ in cast),
        "claimed": one.trust,
    }  # fmt: skip


def _story(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{len(facts['labellers'])} labellers answer {facts['coverage']:.1%} of {facts['records']:,} questions",
        f"aggregation: {facts['method']}, because {facts['why']}",
    ]
    if single := facts["best_single"]:
        said = ", ".join(f"{one['method']} {one['f1']:.1%}" for one in facts["methods"] if one["f1"] is not None)
        lines.append(f"F1 on gold: {said}; best single labeller ({single['name']}) {single['f1']:.1%}")
    return lines


def _written(
    records: Records,
    table: pa.Table,
    by_row: Mapping[int, list[Vote]],
    method: str,
    skill: Mapping[str, float],
    least: float,
) -> Iterator[pa.Table]:
    for at, batch, cast in votes_of_rows(records, table):
        new: dict[str, list[Any]] = {name: batch[name].to_pylist() for name in (*TARGET, "trail")}
        for i in range(len(batch)):
            best, sure = _decided(by_row[at + i], method, skill) if at + i in by_row else (None, 0.0)
            if best is not None and sure >= least:
                new["answer"][i] = {"text": best["text"], "start": best["start"]}
                new["confidence"][i], new["label_from"][i] = sure, f"aggregate:{method}"
                said = best["text"][:60] or "no answer"
                new["trail"][i] = [*(new["trail"][i] or []), f"aggregate:{method}: {said} {sure:.2f}"]
            elif not was_made(new["label_from"][i]):
                for name in TARGET:
                    new[name][i] = None
        for name, values in new.items():
            place = batch.schema.get_field_index(name)
            batch = batch.set_column(place, name, pa.array(values, batch.schema.field(name).type))
        yield batch.set_column(batch.schema.get_field_index("votes"), "votes", cast)
