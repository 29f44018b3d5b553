"""The queue for people: who is worth a look and why, and what came of the looks that were taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import SCHEMA
from burnish.core.stage import Context, Count, TaskSpec, stage
from burnish.core.tasktypes import open_task
from burnish.nn.backbones import Backbone
from burnish.review import agreement, worth
from burnish.review.files import AUTO, Verdicts, verdicts_of
from burnish.review.signals import Signals, measure
from burnish.review.targets import blank, changed, in_words, open_row, record_of, shown, votes
from burnish.review.verdicts import OPINIONS, Settled, VerdictFile, canonical, read, settle
from burnish.tasks.editors import Editor


class Likeness:
    """An annotation: a backbone or none, known to the key by what its weights are."""

    @staticmethod
    def identify_for(value: str | None, task: TaskSpec) -> str | None:
        return None if value is None else Backbone.identify(value, task.languages)


CHECK = "review"  # the name of what people found, among the findings of a record
CHANGED = ("id", "keep", "findings", "trail", "votes", "label_from", "confidence", "probs")


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    given = settings["guidelines"]
    if given is None or (Path(task.base or ".") / given).is_file():
        return []
    return [("guidelines", f"no file {given}", "a Markdown file beside the spec")]


@stage("review.queue", check=_problems)
def queue(
    records: Records,
    context: Context,
    *,
    budget: Count = 200,
    verdicts: Annotated[str | None, Verdicts()] = AUTO,
    slices: Sequence[str] = ("label", "source", "language"),
    backbone: Annotated[str | None, Likeness()] = None,
    guidelines: str | None = None,
) -> Records:
    """Put the records whose look is worth most in a queue for people, and carry out what people decided.

    budget: places in the queue.
    verdicts: file of what people decided (`burnish review` writes it); auto is NAME.verdicts.jsonl beside the spec, null
    takes none; one that is not there yet decides nothing.
    slices: columns, or meta.NAME, by which the share of wrong records is followed: where people found much, more is shown.
    backbone: measure by its embeddings how alike two texts are (auto, or a name); null: by hashed character sequences.
    guidelines: Markdown file with the rules that people label by, shown beside every record.

    A decided record gets the target that people gave it (`label_from` "review", a vote of each reviewer, a line of trail);
    a rejected one is set aside (keep: false, finding `review`); one that reviewers do not agree on keeps its target, gets a
    finding and stands first in the queue. A record that curation had set aside for its label comes back with the decision.
    Memory: five numbers and an id a record, and vectors of ten times the budget.
    """
    task = open_task(context.task)
    editors = task.editors()
    path = None if verdicts is None else verdicts_of(verdicts, context.name, context.base)
    given = read(path) if path is not None else None
    said = given.newest if given else {}
    signals = measure(records, task, editors, slices)
    place = {one: row for row, one in enumerate(signals.ids)}
    settled = {one: settle(by) for one, by in said.items() if one in place}
    decided = {place[one]: way.verdict != "accept" for one, way in settled.items() if way.state == "decided"}
    looked = np.zeros(len(signals), dtype=bool)
    looked[[place[one] for one in settled]] = True
    first = [place[one] for one, way in settled.items() if way.state == "disputed"]
    looks, model, table = worth.order(
        signals, decided, looked, budget=budget, vectors=_vectors(records, backbone, context), first=first
    )
    made = Records.stream(applied(records, task, editors, settled, said))
    made.facts = {
        "queue": [look.plain() for look in looks],
        "valued_by": {"by": model.about, "decisions": model.decisions},
        "signals": _counts(signals),
        "slices": table,
        "progress": _progress(settled, said, given, len(said) - len(settled)),
        "agreement": agreement.agreement(_seen_by_several(records, said, place, editors), editors),
        "guidelines": guidelines,
        "file": path.name if path else None,
    }  # fmt: skip
    for line in story(made.facts):
        context.progress.tell(f"  {line}")
    return made


def _vectors(records: Records, backbone: str | None, context: Context) -> Any:
    """rows -> vectors of what those records read."""

    def of(rows: np.ndarray) -> np.ndarray:
        texts = texts_at(records, rows)
        if backbone is None:
            return worth.hashed(texts)
        from burnish.nn.backbones import resolve
        from burnish.nn.embeddings import centre, embed

        folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
        made: np.ndarray = centre(embed(texts, folder, cache=context.cache, progress=context.progress))
        return made

    return of


def _seen_by_several(
    records: Records, said: Mapping[str, Mapping[str, Any]], place: Mapping[str, int], editors: Sequence[Editor]
) -> list[tuple[Mapping[str, Any], int | None]]:
    """Verdicts of records that more than one reviewer looked at, with the length of the text where spans are marked."""
    several = [one for one, by in said.items() if one in place and len(by) > 1]
    if not any(editor.kind == "spans" for editor in editors):
        return [(said[one], None) for one in several]
    texts = texts_at(records, np.array([place[one] for one in several], dtype=np.int64))
    return [(said[one], len(text)) for one, text in zip(several, texts, strict=True)]


def texts_at(records: Records, rows: np.ndarray) -> list[str]:
    """All that a record says, of records at `rows` in that order; one walk over the input columns."""
    found: dict[int, str] = {}
    wanted = np.unique(rows)
    at = 0
    for batch in records.batches(["text", "text_b", "messages"]):
        here = wanted[(wanted >= at) & (wanted < at + len(batch))]
        for row, one in zip(
            here.tolist(), batch.take(pa.array(here - at)).to_pylist() if len(here) else (), strict=True
        ):
            turns = " ".join(turn["content"] or "" for turn in one["messages"] or ())
            found[row] = " ".join(filter(None, (one["text"], one["text_b"], turns)))
        at += len(batch)
    return [found[row] for row in rows.tolist()]


def applied(
    records: Records,
    task: Any,
    editors: Sequence[Editor],
    settled: Mapping[str, Settled],
    said: Mapping[str, Mapping[str, Any]],
) -> Iterator[pa.Table]:
    """The records with what people decided carried out, batch by batch; others are passed on as they are."""
    columns = list(dict.fromkeys([*CHANGED, *task.target, *(one.path[0] for one in editors), *_cleared(editors)]))
    for batch in records.batches():
        rows = [at for at, one in enumerate(batch["id"].to_pylist()) if one in settled]
        if not rows:
            yield batch
            continue
        whole = batch.take(pa.array(rows)).to_pylist()
        new = {
            at: decide(row, task, editors, settled[row["id"]], said[row["id"]])
            for at, row in zip(rows, whole, strict=True)
        }
        for name in columns:
            values = batch[name].to_pylist()
            for at, row in new.items():
                values[at] = row[name]
            place = batch.schema.get_field_index(name)
            batch = batch.set_column(place, name, pa.array(values, SCHEMA.field(name).type))
        yield batch


def _cleared(editors: Sequence[Editor]) -> list[str]:
    return [path[0] for editor in editors for path in editor.clears]


def decide(
    row: Mapping[str, Any], task: Any, editors: Sequence[Editor], way: Settled, said: Mapping[str, Any]
) -> dict[str, Any]:
    """One row with what came of its verdicts: target, votes of the reviewers, trail, findings."""
    opened = open_row(row)
    was = shown(opened, editors)
    made = dict(opened)
    trail = list(row["trail"] or ())
    findings = [one for one in row["findings"] or () if one["check"] != CHECK]
    ballots = list(row["votes"] or ())
    for reviewer, verdict in said.items():
        if verdict.decided is not None:
            ballots += votes(f"review:{reviewer}", verdict.decided, editors)
    who = ", ".join(way.by)
    if way.state == "disputed":
        sides = "; ".join(_opinion(name, one, opened, editors) for name, one in said.items() if one.verdict in OPINIONS)
        findings.append(_finding(0.5, f"reviewers do not agree: {sides}", "review"))
    elif way.verdict == "reject":
        made["keep"] = False
        findings.append(_finding(1.0, f"rejected by {who}", "drop"))
        trail.append(f"review: rejected by {who}")
    elif way.state == "decided" and not blank(way.target, editors):
        target = changed(opened, way.target or {}, editors)
        problem = task.problem(record_of(target))
        if problem:
            findings.append(_finding(0.5, f"the decision of {who} does not hold any more: {problem}", "review"))
        else:
            made = target
            made |= {"label_from": "review", "confidence": 1.0, "probs": None}
            same = canonical(was) == canonical(way.target)
            change = "" if same else f", was {in_words(was, opened, editors)}"
            trail.append(f"review: {in_words(way.target, made, editors)} by {who}{change}")
            if row["keep"] is False and not any((one["action"] or "") == "drop" for one in findings):
                made["keep"] = True
                trail.append("review: back among the records that are kept")
    import json

    made |= {"trail": trail, "findings": findings or None, "votes": ballots or None}
    made["meta"] = json.dumps(made["meta"], ensure_ascii=False, sort_keys=True) if made["meta"] else None
    return made


def _opinion(name: str, verdict: Any, row: Mapping[str, Any], editors: Sequence[Editor]) -> str:
    return f"{name}: {'reject' if verdict.verdict == 'reject' else in_words(verdict.decided, row, editors)}"


def _finding(score: float, reason: str, action: str) -> dict[str, Any]:
    return {"check": CHECK, "score": score, "reason": reason, "action": action}


def _counts(signals: Signals) -> dict[str, Any]:
    return {
        "records": len(signals),
        "disagreement": int((signals.disagreement > 0).sum()),
        "uncertainty": int((signals.uncertainty > 0.5).sum()),
        "suspicion": int((signals.suspicion > 0).sum()),
        "unlabelled": int((~signals.targeted).sum()),
    }


def _progress(
    settled: Mapping[str, Settled], said: Mapping[str, Mapping[str, Any]], given: VerdictFile | None, lost: int
) -> dict[str, Any]:
    """How many records are decided and how, and what each reviewer did."""
    states = Counter(one.state for one in settled.values())
    ways = Counter(one.verdict for one in settled.values() if one.verdict)
    reviewers: dict[str, dict[str, Any]] = {}
    for by in said.values():
        for name, one in by.items():
            own = reviewers.setdefault(
                name, {"verdicts": 0, "seconds": 0.0, **dict.fromkeys(("accept", "change", "reject", "skip"), 0)}
            )
            own["verdicts"] += 1
            own["seconds"] += one.seconds
            own[one.verdict] += 1
    return {
        "looked": len(settled), **{one: states[one] for one in ("decided", "disputed", "skipped")},
        **{one: ways[one] for one in ("accept", "change", "reject")}, "reviewers": reviewers, "without_record": lost,
        "unreadable": [vars(one) for one in (given.unreadable if given else [])],
    }  # fmt: skip


def story(facts: Mapping[str, Any]) -> list[str]:
    """What a person reads in the terminal."""
    done, asked = facts["progress"], facts["queue"]
    lines = [f"{len(asked)} records wait for a look"]
    if done["looked"]:
        lines.append(
            f"{done['decided']} decided: {done['accept']} accepted, {done['change']} changed, {done['reject']} rejected; "
            f"{done['disputed']} disputed, {done['skipped']} skipped"
        )
    elif facts["file"]:
        lines.append(f"no verdicts yet: `burnish review` opens the page and writes {facts['file']}")
    if done["without_record"]:
        lines.append(f"{done['without_record']} decided records are not among these records any more")
    lines += [
        f"{facts['file']}:{one['line']} is no verdict, left out: {one['reason']}" for one in done["unreadable"][:5]
    ]
    return lines


def queue_settings(step: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of the queue in a filled spec, with defaults where the spec has none."""
    from burnish.core.stage import find

    filled = find("review", "queue").filled({key: value for key, value in (step or {}).items() if key != "use"})
    if not isinstance(filled["slices"], list | tuple):
        raise BurnishError(f"slices must be a list, got {filled['slices']!r}", where="review.queue.slices")
    return filled
