"""Answers that were paid for, by content: nothing is asked twice, and a kill at any moment loses none of them.

One SQLite file in WAL mode beside the other caches. An answer is committed before anybody sees it. What may have been paid
without an answer having come (a cut connection, a kill while the request was away) is written down before it is sent, and
counts against the budget when the same is asked again.
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
  tokens_out integer not null, cost real, logprob real, logprob_tokens integer, at real not null
) without rowid;
create table if not exists away (key text primary key, times integer not null) without rowid;
"""


@dataclass(frozen=True)
class Answer:
    """What a server said. cost: as it reported it, None where it does not. logprob: sum over logprob_tokens tokens."""

    text: str
    finish: str
    model: str | None
    tokens_in: int
    tokens_out: int
    cost: float | None = None
    logprob: float | None = None
    logprob_tokens: int = 0


class Memory:
    """The cache. It belongs to one thread; other processes may use the same file at the same time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        # a commit outlives the process; only a power cut may take the last ones back
        self._db.execute("pragma synchronous = normal")
        self._db.executescript(_TABLES)

    def answer(self, key: str) -> Answer | None:
        row = self._db.execute(
            "select text, finish, model, tokens_in, tokens_out, cost, logprob, logprob_tokens from answers where key = ?",
            (key,),
        ).fetchone()
        return Answer(*row) if row else None

    def lost(self, key: str) -> int:
        """How often this was sent without anybody knowing whether it was paid."""
        row = self._db.execute("select times from away where key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    def sending(self, key: str) -> None:
        """To be called before a request leaves: until it is settled it counts as lost."""
        self._db.execute(
            "insert into away values (?, 1) on conflict (key) do update set times = times + 1",
            (key,),
        )

    def refused(self, key: str) -> None:
        """The server said no: that request cost nothing."""
        self._db.execute("update away set times = times - 1 where key = ?", (key,))
        self._db.execute("delete from away where key = ? and times < 1", (key,))

    def keep(self, key: str, answer: Answer) -> None:
        """Commit an answer; the request that brought it is lost no longer."""
        self._db.execute("begin immediate")
        try:
            self._db.execute(
                "insert or replace into answers values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (key, *_row(answer), time.time()),
            )
            self.refused(key)
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise

    def close(self) -> None:
        self._db.close()


def _row(answer: Answer) -> Sequence[object]:
    return (
        answer.text.encode("utf-8", "replace").decode("utf-8"),  # a lone surrogate has no place in a database
        answer.finish,
        answer.model,
        answer.tokens_in,
        answer.tokens_out,
        answer.cost,
        answer.logprob,
        answer.logprob_tokens,
    )
