"""Answers that were paid for, by content: nothing is asked twice, and a kill at any moment loses none of them.

One SQLite file in WAL mode beside the other caches. An answer is committed before anybody sees it. The worst that a request
may cost is written down before it is sent, and what it did cost with its answer: so a budget holds over cut connections and
kills too.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TABLES = """
create table if not exists answers (
  key text primary key, text text not null, finish text not null, model text, tokens_in integer not null,
  tokens_out integer not null, cost real, likelihood real, confidence real, at real not null
) without rowid;
create table if not exists paid (
  step text, key text, answered integer not null default 0, requests integer not null, tokens integer not null,
  money real not null, primary key (step, key)
) without rowid;
"""
_ADD = """
insert into paid values (:step, :key, :answered, :requests, :tokens, :money) on conflict (step, key) do update set
  answered = max(answered, excluded.answered), requests = requests + excluded.requests,
  tokens = tokens + excluded.tokens, money = money + excluded.money
"""


@dataclass(frozen=True)
class Sum:
    """Requests that may have been paid, tokens read and written, money."""

    requests: int = 0
    tokens: int = 0
    money: float = 0.0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.requests + other.requests, self.tokens + other.tokens, self.money + other.money)

    def __sub__(self, other: Sum) -> Sum:
        return Sum(self.requests - other.requests, self.tokens - other.tokens, self.money - other.money)


@dataclass(frozen=True)
class Answer:
    """What a server said. cost: as it reported it. likelihood, confidence: see `sureness`. None where it does not tell."""

    text: str
    finish: str
    model: str | None
    tokens_in: int
    tokens_out: int
    cost: float | None = None
    likelihood: float | None = None
    confidence: float | None = None


class Memory:
    """The cache, and what a step has paid. It belongs to one thread; other processes may use the same file meanwhile.

    step: whose budget is charged, by the key of what it makes.
    """

    def __init__(self, path: Path, step: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._step = step
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        # a commit outlives the process; only a power cut may take the last ones back
        self._db.execute("pragma synchronous = normal")
        self._db.executescript(_TABLES)

    def answer(self, key: str) -> Answer | None:
        row = self._db.execute(
            "select text, finish, model, tokens_in, tokens_out, cost, likelihood, confidence from answers where key = ?",
            (key,),
        ).fetchone()
        return Answer(*row) if row else None

    def spent(self) -> Sum:
        """What this step has paid so far, in all its attempts, and what it may have paid."""
        found = self._db.execute(
            "select coalesce(sum(requests), 0), coalesce(sum(tokens), 0), coalesce(sum(money), 0.0) from paid where step = ?",
            (self._step,),
        ).fetchone()
        return Sum(*found)

    def sending(self, key: str, worst: Sum) -> None:
        """Before a request leaves: until more is known it has cost its worst."""
        self._add(key, worst)

    def refused(self, key: str, worst: Sum) -> None:
        """The server said no: that request cost nothing."""
        self._add(key, Sum() - worst)

    def keep(self, key: str, answer: Answer, worst: Sum, cost: Sum) -> None:
        """Commit an answer and what it cost instead of the worst."""
        self._db.execute("begin immediate")
        try:
            self._db.execute(
                "insert or replace into answers values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (key, *_row(answer), time.time()),
            )
            self._add(key, cost - worst, answered=1)
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise

    def use(self, key: str, cost: Sum) -> bool:
        """Count an answer that was there against this step; False where it was counted before."""
        row = self._db.execute("select answered from paid where step = ? and key = ?", (self._step, key)).fetchone()
        if row and row[0]:
            return False
        self._add(key, cost, answered=1)
        return True

    def _add(self, key: str, more: Sum, *, answered: int = 0) -> None:
        self._db.execute(_ADD, {"step": self._step, "key": key, "answered": answered, **vars(more)})

    def close(self) -> None:
        self._db.close()


def _row(answer: Answer) -> Sequence[object]:
    return (
        answer.text,
        answer.finish,
        answer.model,
        answer.tokens_in,
        answer.tokens_out,
        answer.cost,
        answer.likelihood,
        answer.confidence,
    )
