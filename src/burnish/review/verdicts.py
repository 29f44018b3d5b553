"""What people decided: a file of JSON lines, one a decision, written and synced before anybody is told that it is.

    {"id": record id, "reviewer": "ann", "at": ISO time, "seconds": 2.4, "verdict": "accept" | "change" | "reject" | "skip" |
     "undo", "target": {column: value} | null, "was": {column: value} | null,
     "draw": null | {"name": "certificate", "stratum": "positive", "weight": 12.5}, "adjudicates": false}

The newest line of a reviewer on a record counts; "undo" takes back what that reviewer said. `draw` stands where the
record was drawn at random (its weight is how many records it speaks for), and is null where it was chosen because a look
was worth it. `adjudicates` marks a decision between reviewers who disagree.

Several people and processes may write one file at once: each line is one locked, synced write. A line torn by a power cut
is closed by the next writer and left out by every reader, who says which line it was.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

Said = Literal["accept", "change", "reject", "skip", "undo"]
SAID: tuple[str, ...] = get_args(Said)
OPINIONS = ("accept", "change", "reject")  # what says something about the target
MAX_NAME = 60  # characters of a reviewer's name


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision. seconds: how long the record was looked at; target: its fields as they should be; was: as shown."""

    id: str
    reviewer: str
    verdict: str
    target: dict[str, Any] | None = None
    was: dict[str, Any] | None = None
    seconds: float = 0.0
    at: str = ""
    draw: dict[str, Any] | None = None
    adjudicates: bool = False

    def line(self) -> str:
        """As it lies in the file, without the line's end."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def of(cls, given: Any) -> Verdict:
        """From a parsed line or a request. ValueError says what is wrong with it."""
        if not isinstance(given, Mapping):
            raise ValueError("a verdict is an object")
        for name in ("id", "reviewer", "verdict"):
            if not isinstance(given.get(name), str) or not given[name].strip():
                raise ValueError(f"{name} must be a text that is not empty, got {given.get(name)!r}")
        if given["verdict"] not in SAID:
            raise ValueError(f"verdict must be one of {', '.join(SAID)}, got {given['verdict']!r}")
        if len(given["reviewer"]) > MAX_NAME:
            raise ValueError(f"reviewer must have at most {MAX_NAME} characters")
        for name in ("target", "was", "draw"):
            if given.get(name) is not None and not isinstance(given[name], Mapping):
                raise ValueError(f"{name} must be an object or null")
        seconds = given.get("seconds") or 0.0
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
            raise ValueError("seconds must be a number")
        if given["verdict"] == "change" and given.get("target") is None:
            raise ValueError("a change needs the target it changes to")
        objects = {
            name: dict(given[name]) if given.get(name) is not None else None for name in ("target", "was", "draw")
        }
        return cls(
            given["id"],
            given["reviewer"].strip(),
            given["verdict"],
            seconds=max(0.0, float(seconds)),
            at=str(given.get("at") or ""),
            adjudicates=given.get("adjudicates") is True,
            **objects,
        )

    @property
    def decided(self) -> dict[str, Any] | None:
        """The target that it stands for: what was shown when that was accepted, None for the others."""
        if self.verdict not in ("accept", "change"):
            return None
        return self.target if self.target is not None else self.was


def now() -> str:
    """The time as verdicts carry it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def append(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Write verdicts behind what is there, and return when they are on the disk."""
    data = "".join(one.line() + "\n" for one in verdicts).encode("utf-8", "backslashreplace")
    fresh = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":  # a writer before us was cut off in its line
            data = b"\n" + data
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if fresh:  # the name itself must last too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@dataclass(frozen=True)
class Unreadable:
    """A line that is no verdict. line: 1-based."""

    line: int
    reason: str


def parse(lines: Iterable[bytes], first: int = 1) -> Iterator[Verdict | Unreadable]:
    """Verdicts of lines, and what could not be read; blank lines are nothing. first: number of the first line."""
    for number, raw in enumerate(lines, first):
        if not raw.strip():
            continue
        try:
            yield Verdict.of(json.loads(raw.decode("utf-8")))
        except (ValueError, RecursionError) as error:
            yield Unreadable(number, str(error).split("\n")[0][:200])


class VerdictFile:
    """A file of verdicts as it stands now: `refresh` reads what was appended since, by whomever.

    newest: record id -> reviewer -> the verdict that counts, the latest reviewer last; who took it back is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.newest: dict[str, dict[str, Verdict]] = {}
        self.unreadable: list[Unreadable] = []
        self.lines = 0
        self._read = 0
        self.refresh()

    def refresh(self) -> list[Verdict]:
        """Read the whole lines that are new; return their verdicts. A last line without its end is left for later."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size < self._read:  # somebody put another file in its place
            self.newest, self.unreadable, self.lines, self._read = {}, [], 0, 0
        if size == self._read:
            return []
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        fresh = []
        for one in parse(whole.split(b"\n"), self.lines + 1):
            if isinstance(one, Unreadable):
                self.unreadable.append(one)
            else:
                self._take(one)
                fresh.append(one)
        self.lines += whole.count(b"\n")
        return fresh

    def add(self, verdict: Verdict) -> Verdict:
        """Put a verdict on the disk and take it in, with whatever others wrote meanwhile."""
        append(self.path, [verdict])
        self.refresh()
        return verdict

    def _take(self, verdict: Verdict) -> None:
        said = self.newest.setdefault(verdict.id, {})
        said.pop(verdict.reviewer, None)
        if verdict.verdict != "undo":
            said[verdict.reviewer] = verdict
        if not said:
            del self.newest[verdict.id]

    def __len__(self) -> int:
        return sum(map(len, self.newest.values()))


def read(path: Path) -> VerdictFile:
    """A file of verdicts, its last line included even without its end, where that is whole."""
    found = VerdictFile(path)
    if path.exists() and path.stat().st_size > found._read:
        with path.open("rb") as file:
            file.seek(found._read)
            for one in parse([file.read()], found.lines + 1):
                if isinstance(one, Verdict):
                    found._take(one)
                else:
                    found.unreadable.append(one)
    return found


@dataclass(frozen=True)
class Settled:
    """What came of a record's verdicts.

    state: open (nobody said a thing), skipped, decided, or disputed (no strict majority, and nobody adjudicated).
    verdict: "accept", "change" or "reject" of a decided one. by: the reviewers who said so.
    """

    state: str
    verdict: str | None = None
    target: dict[str, Any] | None = None
    by: tuple[str, ...] = ()


def settle(said: Mapping[str, Verdict]) -> Settled:
    """One decision out of the newest verdicts of a record's reviewers: who adjudicates, else a strict majority."""
    opinions = [one for one in said.values() if one.verdict in OPINIONS]
    if not opinions:
        return Settled("skipped" if said else "open")
    if judges := [one for one in opinions if one.adjudicates]:
        last = judges[-1]
        return Settled("decided", last.verdict, last.decided, (last.reviewer,))
    sides: dict[str, list[Verdict]] = {}
    for one in opinions:
        sides.setdefault("reject" if one.verdict == "reject" else canonical(one.decided), []).append(one)
    side = max(sides.values(), key=len)
    if len(sides) > 1 and 2 * len(side) <= len(opinions):
        return Settled("disputed")
    last = side[-1]
    return Settled("decided", last.verdict, last.decided, tuple(one.reviewer for one in side))


def canonical(target: Mapping[str, Any] | None) -> str:
    """Text that is the same for targets that say the same: order of spans, labels and relations does not count."""
    if target is None:
        return "null"
    plain = dict(target)
    spans = plain.get("spans") or []
    if isinstance(plain.get("labels"), list):
        plain["labels"] = sorted(set(map(str, plain["labels"])))
    if isinstance(plain.get("relations"), list):
        ends = {at: _span(one) for at, one in enumerate(spans)}
        plain["relations"] = sorted(
            [ends.get(one["head"], one["head"]), ends.get(one["tail"], one["tail"]), one["label"]]
            for one in plain["relations"]
        )
    if "spans" in plain and isinstance(plain["spans"], list):
        plain["spans"] = sorted({tuple(_span(one)) for one in spans})
    if isinstance(plain.get("answer"), Mapping):
        text, start = plain["answer"].get("text") or "", plain["answer"].get("start")
        plain["answer"] = [text, start if text else None]
    for name, value in plain.items():
        if isinstance(value, Mapping):
            plain[name] = json.loads(canonical(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            plain[name] = float(value)
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, default=str)


def _span(one: Mapping[str, Any]) -> list[Any]:
    return [one.get("start"), one.get("end"), one.get("label")]
