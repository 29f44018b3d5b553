"""A review in progress: the records, the queues, the verdicts; what the page asks, answered without a web server.

Every decision is on disk before it is answered. Verdicts that other people or processes write meanwhile are taken in at the
next question.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.core.chinese import named_in, said_in
from burnish.review.agreement import agreement
from burnish.review.fits import misfit
from burnish.review.say import reasons
from burnish.review.shelf import Shelf
from burnish.review.targets import blank, changed, in_words, record_of, shown
from burnish.review.verdicts import OPINIONS, Verdict, VerdictFile, canonical, now, settle

STATES = ("open", "decided", "disputed", "skipped")
MAX_PAGE = 200
LEASE_S = 180.0  # how long a record that one reviewer opened is not offered to another
PACE_OF = 20  # of the last decisions


class Refused(Exception):
    """A request that cannot be answered: an HTTP status and a sentence for a person."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Ask:
    """What a list is asked for. queue: review, certificate, disputed, mine or all; state: open, done or any."""

    queue: str = "review"
    reviewer: str = ""
    state: str = "any"
    label: str | None = None
    labeller: str | None = None
    slice: tuple[str, str] | None = None
    suspect: bool = False
    search: str = ""
    cursor: int = 0
    limit: int = 50


class Session:
    """looks: the queue of `review.queue`, [{"id", "why", ...}]. draws: of the certificate, by id. shared: share of records
    that every reviewer looks at, 0..1; others are asked of one."""

    def __init__(
        self,
        shelf: Shelf,
        verdicts: Path,
        *,
        name: str = "run",
        looks: Sequence[Mapping[str, Any]] = (),
        draws: Mapping[str, Mapping[str, Any]] | None = None,
        guidelines: str = "",
        shared: float = 0.1,
    ) -> None:
        self.shelf, self.name, self.guidelines, self.shared = shelf, name, guidelines, shared
        self.file = VerdictFile(verdicts)
        rows = shelf.rows
        self.looks = {one["id"]: one for one in looks if one["id"] in rows}
        self.draws = {one: draw for one, draw in (draws or {}).items() if one in rows}
        self.orders = {
            "review": np.array([rows[one] for one in self.looks], dtype=np.int64),
            "certificate": np.array([rows[one] for one in self.draws], dtype=np.int64),
            "all": np.arange(len(shelf)),
        }
        self.state = np.zeros(len(shelf), dtype=np.int8)
        self.seen: dict[str, NDArray[np.bool_]] = {}
        self._taken = np.zeros(len(shelf), dtype=bool)  # somebody gave an opinion, and one is enough
        self._leases: dict[int, tuple[str, float]] = {}
        for one in list(self.file.newest):
            self._note(one)

    # -- state

    def refresh(self) -> None:
        """Take in what others wrote."""
        before = self.file.lines
        fresh = self.file.refresh()
        if self.file.lines < before:  # another file stands in its place
            self.state[:] = 0
            self._taken[:] = False
            self.seen = {}
            touched = set(self.file.newest)
        else:
            touched = {one.id for one in fresh}
        for one in touched:
            self._note(one)

    def _note(self, one: str) -> None:
        row = self.shelf.rows.get(one)
        if row is None:
            return
        by = self.file.newest.get(one, {})
        self.state[row] = STATES.index(settle(by).state)
        self._taken[row] = any(v.verdict in OPINIONS for v in by.values()) and not self.is_shared(one)
        for name in {*self.seen, *by}:
            mine = self.seen.setdefault(name, np.zeros(len(self.shelf), dtype=bool))
            mine[row] = name in by

    def _open(self, reviewer: str, queue: str) -> NDArray[np.bool_]:
        """(n,) which records this reviewer is still asked about."""
        mine = self.seen.get(reviewer)
        waiting: NDArray[np.bool_] = ~self._taken if mine is None else ~(self._taken | mine)
        if queue == "disputed":
            return np.ones(len(self.shelf), dtype=bool)  # one leaves this queue when it is settled
        end = time.monotonic()
        for row, (who, until) in list(self._leases.items()):
            if until < end:
                del self._leases[row]
            elif who != reviewer and not self.is_shared(self.shelf.ids[row]):
                waiting[row] = False
        return waiting

    def is_shared(self, one: str) -> bool:
        """Whether every reviewer looks at a record; the same answer everywhere and always."""
        return int.from_bytes(hashlib.sha256(one.encode()).digest()[:4], "big") < self.shared * 2**32

    # -- questions

    def about(self) -> dict[str, Any]:
        """What a page needs once: the task's editors, the queues, what can be filtered by."""
        shelf = self.shelf
        editors = []
        for one in shelf.editors:
            labels = tuple(dict.fromkeys((*one.labels, *sorted(shelf.marks)))) if one.open else one.labels
            editors.append(replace(one, labels=labels).plain())
        return {
            "name": self.name,
            "task": shelf.task.spec.type,
            "languages": list(shelf.task.spec.languages),
            "editors": editors,
            "records": len(shelf),
            "queues": {name: len(order) for name, order in self.orders.items()},
            "labels": _sizes(shelf.labels),
            "labellers": _sizes(shelf.labellers),
            "slices": {name: _sizes(one) for name, one in shelf.slices.items()},
            "suspects": len(shelf.suspects),
            "guidelines": self.guidelines,
            "reviewers": sorted({name for by in self.file.newest.values() for name in by}),
            "file": self.file.path.name,
        }

    def page(self, ask: Ask) -> dict[str, Any]:
        """A page of records: items from `cursor` on, where the next page begins, and how many there are in all."""
        self.refresh()
        if ask.queue == "disputed":
            order = np.flatnonzero(self.state == STATES.index("disputed"))
        elif ask.queue == "mine":
            order = np.flatnonzero(self.seen.get(ask.reviewer, np.zeros(len(self.shelf), dtype=bool)))
        elif ask.queue in self.orders:
            order = self.orders[ask.queue]
        else:
            raise Refused(404, f"there is no queue {ask.queue!r}")
        wanted = self._wanted(ask)
        matching = np.flatnonzero(wanted[order])
        total = len(matching)
        page = matching[matching >= ask.cursor][: min(max(ask.limit, 1), MAX_PAGE)]
        left = len(page) and matching[-1] > page[-1]
        return {
            "total": total,
            "items": [self._item(int(row), ask.reviewer) for row in order[page]],
            "next": int(page[-1]) + 1 if left else None,
        }

    def _wanted(self, ask: Ask) -> NDArray[np.bool_]:
        shelf = self.shelf
        wanted = np.ones(len(shelf), dtype=bool)
        named = [(shelf.labels, ask.label), (shelf.labellers, ask.labeller)]
        if ask.slice is not None:
            if ask.slice[0] not in shelf.slices:
                raise Refused(422, f"records are not sliced by {ask.slice[0]!r}")
            named.append((shelf.slices[ask.slice[0]], ask.slice[1]))
        for places, name in named:
            if name is not None:
                wanted &= _mask(len(shelf), places.get(name, np.zeros(0, dtype=np.int64)))
        if ask.suspect:
            wanted &= _mask(len(shelf), shelf.suspects)
        if ask.search.strip():
            wanted &= shelf.search(ask.search.strip())
        if ask.state == "open":
            wanted &= self._open(ask.reviewer, ask.queue)
        elif ask.state == "done":
            wanted &= self.seen.get(ask.reviewer, np.zeros(len(shelf), dtype=bool))
        return wanted

    def _item(self, row: int, reviewer: str) -> dict[str, Any]:
        item = self.shelf.item(row)
        mine = self.file.newest.get(item["id"], {}).get(reviewer)
        if mine is not None and mine.decided is not None:
            item["target"] = in_words(mine.decided, self.shelf.row(row), self.shelf.editors)
        return item | {"state": STATES[self.state[row]], "mine": mine.verdict if mine else None}

    def record(self, one: str, reviewer: str, *, language: str = "en", adjudicate: bool = False) -> dict[str, Any]:
        """Everything about one record. What others decided is told to who decided too, or who adjudicates."""
        self.refresh()
        row = self._row(one)
        whole = self.shelf.row(row)
        editors = self.shelf.editors
        by = self.file.newest.get(one, {})
        mine = by.get(reviewer)
        target = shown(whole, editors)
        self._leases[row] = (reviewer, time.monotonic() + LEASE_S)
        others = [_opinion(name, v, whole, editors) for name, v in by.items() if name != reviewer]
        settled = settle(by)
        return {
            "id": one,
            "row": row,
            "input": self.shelf.read(whole),
            "target": target,
            "votes": [_vote(vote, whole, editors) for vote in whole["votes"] or ()],
            "findings": [_finding(one, language) for one in whole["findings"] or ()],
            "trail": [said_in(language, line) for line in whole["trail"] or ()],
            "probs": _probs(whole, editors),
            "why": reasons(self.looks.get(one, {}).get("why", ()), language),
            "facts": _facts(whole),
            "keep": whole["keep"] is not False,
            "state": settled.state,
            "mine": _opinion(reviewer, mine, whole, editors) if mine else None,
            "others": others if mine is not None or adjudicate else [],
            "waiting": len(others),
            "draw": self.draws.get(one),
        }

    def decide(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Take a verdict: check it, put it on disk, say what came of it."""
        try:
            verdict = Verdict.of({**given, "was": None, "draw": None, "at": now()})
        except ValueError as error:
            raise Refused(422, str(error)) from None
        self.refresh()
        row = self._row(verdict.id)
        whole, editors = self.shelf.row(row), self.shelf.editors
        was = shown(whole, editors)
        if verdict.verdict == "undo" and verdict.reviewer not in self.file.newest.get(verdict.id, {}):
            raise Refused(409, "there is nothing to take back")
        if verdict.verdict == "accept" and verdict.target is None:
            verdict = replace(verdict, target=was)
        if verdict.verdict in ("accept", "change"):
            verdict = replace(verdict, target=self._checked(verdict.target or {}, whole))
            same = canonical(verdict.target) == canonical(was)
            verdict = replace(verdict, verdict="accept" if same else "change")
        else:
            verdict = replace(verdict, target=None)
        self.file.add(replace(verdict, was=was, draw=self.draws.get(verdict.id)))  # type: ignore[arg-type]
        self._note(verdict.id)
        self.refresh()
        self._leases.pop(row, None)
        return {"item": self._item(row, verdict.reviewer), "progress": self.progress(verdict.reviewer)}

    def fitting(self, verdict: Verdict, *, at: str) -> Verdict:
        """A verdict made elsewhere, checked as one of the page is. Refused says what does not fit."""
        row = self.shelf.row(self._row(verdict.id))
        if verdict.verdict in ("accept", "change"):
            self._checked(verdict.decided or {}, row)
        return replace(verdict, at=at)

    def _checked(self, target: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
        """The target fields of a request, in shape and valid for the task; 422 says what is wrong."""
        from burnish.tasks.editors import put, reach

        editors = self.shelf.editors
        made: dict[str, Any] = {}
        for editor in editors:
            value = reach(target, editor.path)
            wrong = misfit(value, editor, row)
            if wrong:
                raise Refused(422, f"{'.'.join(editor.path)}: {wrong}")
            put(made, editor.path, value)
        if blank(made, editors):
            raise Refused(422, "the target is empty: choose one, or skip the record")
        whole = changed(dict(row), made, editors)
        try:
            problem = self.shelf.task.problem(record_of(whole))
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise Refused(422, f"the target does not fit the task: {error}") from None
        if problem:
            raise Refused(422, problem)
        return made

    def _row(self, one: str) -> int:
        if one not in self.shelf.rows:
            raise Refused(404, f"there is no record {one!r}")
        return self.shelf.rows[one]

    def progress(self, reviewer: str) -> dict[str, Any]:
        """How far this reviewer is in each queue, at what pace, and how many records are disputed."""
        mine = self.seen.get(reviewer, np.zeros(len(self.shelf), dtype=bool))
        queues = {}
        for name, order in self.orders.items():
            done = mine[order] | (self.state[order] == STATES.index("decided"))
            queues[name] = {"done": int(done.sum()), "of": len(order)}
        own = [by[reviewer] for by in self.file.newest.values() if reviewer in by]
        own = sorted(own, key=lambda one: one.at)[-PACE_OF:]
        each = median([one.seconds for one in own if one.seconds > 0] or [0.0])
        return {
            "queues": queues,
            "mine": int(mine.sum()),
            "seconds_each": round(each, 2),
            "disputed": int((self.state == STATES.index("disputed")).sum()),
            "unreadable": len(self.file.unreadable),
        }

    def agreement(self) -> dict[str, Any]:
        """Agreement of all reviewers so far, and what each of them did."""
        self.refresh()
        said = []
        spans = any(editor.kind == "spans" for editor in self.shelf.editors)
        for one, by in self.file.newest.items():
            row = self.shelf.rows.get(one)
            if row is not None and len(by) > 1:
                said.append((by, len(self.shelf.row(row)["text"] or "") if spans else None))
        counts: dict[str, Counter[str]] = {}
        for by in self.file.newest.values():
            for name, verdict in by.items():
                counts.setdefault(name, Counter())[verdict.verdict] += 1
        return agreement(said, self.shelf.editors) | {"each": {name: dict(one) for name, one in sorted(counts.items())}}


def _sizes(places: Mapping[str, NDArray[np.int64]], most: int = 200) -> list[dict[str, Any]]:
    return [{"name": name, "records": len(rows)} for name, rows in list(places.items())[:most]]


def _mask(count: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    made = np.zeros(count, dtype=bool)
    made[rows] = True
    return made


def _opinion(name: str, verdict: Verdict, row: Mapping[str, Any], editors: Sequence[Any]) -> dict[str, Any]:
    target = verdict.decided
    return {
        "reviewer": name,
        "verdict": verdict.verdict,
        "target": target,
        "words": in_words(target, row, editors) if target is not None else verdict.verdict,
        "at": verdict.at,
        "adjudicates": verdict.adjudicates,
    }


def _vote(vote: Mapping[str, Any], row: Mapping[str, Any], editors: Sequence[Any]) -> dict[str, Any]:
    """A vote with the words it marks."""
    over = next((one.over for one in editors if one.kind in ("spans", "relations", "answer")), "text")
    text = row.get(over) or ""
    made = {key: value for key, value in vote.items() if value is not None}
    if vote.get("start") is not None and vote.get("end") is not None:
        made["quote"] = text[vote["start"] : vote["end"]]
    if vote.get("tail_start") is not None and vote.get("tail_end") is not None:
        made["tail"] = text[vote["tail_start"] : vote["tail_end"]]
    return made


def _finding(one: Mapping[str, Any], language: str) -> dict[str, Any]:
    """A finding, its check and its reason in the language of the page."""
    check, reason = one["check"] or "", one["reason"] or ""
    return {**one, "named": named_in(language, "check", check), "reason": said_in(language, reason)}


def _probs(row: Mapping[str, Any], editors: Sequence[Any]) -> dict[str, float]:
    """The belief in each label, where the record keeps one."""
    labels = editors[0].labels
    probs = row.get("probs") or ()
    return (
        {label: round(float(p), 4) for label, p in zip(labels, probs, strict=True)} if len(probs) == len(labels) else {}
    )


def _facts(row: Mapping[str, Any]) -> list[list[str]]:
    """Where a record comes from, as name and value."""
    where = row.get("file") and (row["file"] if row.get("line") is None else f"{row['file']}:{row['line']}")
    named = {
        "label_from": row.get("label_from"),
        "confidence": row.get("confidence"),
        "source": row.get("source"),
        "file": where,
    }
    named |= {name: row.get(name) for name in ("language", "time", "group", "licence")}
    named |= {f"meta.{key}": value for key, value in list((row.get("meta") or {}).items())[:20]}
    return [[name, _plain(value)] for name, value in named.items() if value not in (None, "")]


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)[:300]
