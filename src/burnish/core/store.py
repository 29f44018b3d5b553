"""Where made things lie, and who made what from what.

STORE/.store/objects/KEY/    an artefact, whole or not there at all (written elsewhere, renamed as the last act)
STORE/.store/scratch/KEY/    what a step keeps for the case that it is killed; gone when the step is done
STORE/.store/cache/          what can be made again (embeddings)
STORE/.store/ledger.sqlite   steps, what they took, runs: the rows behind `why` and `lineage`
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.core.artifacts import KINDS, Artifact
from burnish.core.errors import BurnishError
from burnish.core.spec import expand


class Store:
    """The content-addressed artefacts of a folder of runs, and their ledger."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inner = root / ".store"

    def folder(self, key: str) -> Path:
        return self.inner / "objects" / key

    def has(self, key: str) -> bool:
        return self.folder(key).is_dir()

    def open(self, kind: str, key: str) -> Artifact:
        return KINDS[kind].open(self.folder(key))

    @property
    def cache(self) -> Path:
        return self._made("cache")

    def scratch(self, key: str) -> Path:
        return self._made("scratch", key)

    def _made(self, *parts: str) -> Path:
        path = self.inner.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def lock(self, key: str, waiting: Any = None) -> Iterator[None]:
        """One maker a key. Held by the process, so a killed one never leaves it locked. waiting: called if it must wait."""
        path = self._made("locks") / key
        with path.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def put(self, key: str, artifact: Artifact, *, replace: bool = False) -> dict[str, Any]:
        """Save an artefact under its key, whole or not at all; return its counts."""
        half = self._made("tmp") / f"{key}.{uuid.uuid4().hex[:8]}"
        half.mkdir()
        try:
            counts = artifact.save(half)
            (half / "counts.json").write_text(json.dumps(counts, ensure_ascii=False, default=str), encoding="utf-8")
            _sync(half)
            target = self.folder(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            if replace and target.exists():
                os.replace(target, half.with_suffix(".old"))
            if not target.exists():
                os.replace(half, target)  # the last act: a key that exists is whole
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise _full(self.root) from error
            raise
        finally:
            shutil.rmtree(half, ignore_errors=True)
            shutil.rmtree(half.with_suffix(".old"), ignore_errors=True)
        return counts

    def sweep(self, key: str) -> None:
        """Remove what killed makers of this key left half-written. Call it under the key's lock."""
        for left in self.inner.glob(f"tmp/{key}.*"):
            shutil.rmtree(left, ignore_errors=True)

    def counts(self, key: str) -> dict[str, Any]:
        path = self.folder(key) / "counts.json"
        return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}

    @functools.cached_property
    def ledger(self) -> Ledger:
        with self.lock("ledger"):  # two first runs at once would both make the tables
            return Ledger(f"sqlite:///{self.inner / 'ledger.sqlite'}")

    def digest(self, path: Path) -> str:
        """Content digest of a file, a folder, a glob or a run folder; files that did not change are not read again."""
        if (path / "run.json").is_file():
            steps = json.loads((path / "run.json").read_text("utf-8"))["steps"]
            return _hash([step["key"] for step in steps])
        files = expand(path)
        if path.is_dir() or len(files) != 1:
            base = Path(os.path.commonpath([one.parent for one in files])) if files else path
            return _hash([[str(one.relative_to(base)), self._file_digest(one)] for one in files])
        return self._file_digest(files[0])

    def _file_digest(self, path: Path) -> str:
        stat = path.stat()
        stamp = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
        known = self.ledger.file_digest(*stamp)
        if known:
            return known
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        self.ledger.remember_file(*stamp, digest)
        return digest


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _full(root: Path) -> BurnishError:
    free = shutil.disk_usage(root).free // 2**20
    return BurnishError(
        f"the disk is full ({free:,} MiB free)",
        where=str(root),
        hint="nothing half-written was kept; make room, then run the same command again: it goes on from here",
    )


class Ledger:
    """Linked rows about every step ever made: SQLite in WAL mode by default, any SQLAlchemy URL otherwise."""

    def __init__(self, url: str) -> None:
        import sqlalchemy as sql

        self._sql = sql
        self._engine = sql.create_engine(url, connect_args={"timeout": 60} if url.startswith("sqlite") else {})
        if url.startswith("sqlite"):
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        meta = sql.MetaData()
        text, number = sql.Text, sql.Float
        self.steps = sql.Table(
            "steps",
            meta,
            sql.Column("key", text, primary_key=True),
            *(
                sql.Column(name, text)
                for name in (
                    "room",
                    "stage",
                    "settings",
                    "inputs",
                    "takes",
                    "task",
                    "source_digest",
                    "counts",
                    "versions",
                    "machine",
                )
            ),
            sql.Column("version", sql.Integer),
            sql.Column("seed", sql.Integer),
            sql.Column("seconds", number),
            sql.Column("made_at", number),
        )
        self.runs = sql.Table(
            "runs",
            meta,
            sql.Column("id", text, primary_key=True),
            sql.Column("name", text),
            sql.Column("spec", text),
            sql.Column("started", number),
            sql.Column("finished", number),
            sql.Column("status", text),
        )
        self.run_steps = sql.Table(
            "run_steps",
            meta,
            sql.Column("run", text, primary_key=True),
            sql.Column("position", sql.Integer, primary_key=True),
            sql.Column("key", text),
            sql.Column("status", text),
        )
        self.files = sql.Table(
            "files",
            meta,
            sql.Column("path", text, primary_key=True),
            sql.Column("size", sql.BigInteger),
            sql.Column("mtime_ns", sql.BigInteger),
            sql.Column("digest", text),
        )
        meta.create_all(self._engine)

    def _replace(self, table: Any, row: dict[str, Any]) -> None:
        if (
            self._engine.dialect.name == "sqlite"
        ):  # one statement: a read that turns into a write fails beside another writer
            with self._engine.begin() as connection:
                connection.execute(table.insert().prefix_with("OR REPLACE").values(**row))
            return
        where = [column == row[column.name] for column in table.primary_key.columns]
        with self._engine.begin() as connection:
            connection.execute(table.delete().where(*where))
            connection.execute(table.insert().values(**row))

    def record_step(self, row: dict[str, Any]) -> None:
        plain = {
            k: json.dumps(v, ensure_ascii=False, default=str) if isinstance(v, dict | list | tuple) else v
            for k, v in row.items()
        }
        self._replace(self.steps, plain)

    def step(self, key: str) -> dict[str, Any] | None:
        """A step by key, its JSON columns read back."""
        with self._engine.connect() as connection:
            row = connection.execute(self.steps.select().where(self.steps.c.key == key)).mappings().first()
        return _unpack(row) if row else None

    def users(self, key: str) -> list[dict[str, Any]]:
        """Steps that took this key."""
        query = self.steps.select().where(self.steps.c.takes.contains(key))
        with self._engine.connect() as connection:
            return [_unpack(row) for row in connection.execute(query).mappings()]

    def rate(self, room: str, stage: str) -> float | None:
        """Median seconds a record of what this stage took before on this store, None when it never ran."""
        query = self.steps.select().where(self.steps.c.room == room, self.steps.c.stage == stage)
        with self._engine.connect() as connection:
            rows = [_unpack(row) for row in connection.execute(query).mappings()]
        counts = [
            (
                row["seconds"],
                sum(v for k, v in row["counts"].items() if k in ("records", "train") and isinstance(v, int)),
            )
            for row in rows
        ]
        rates = sorted(seconds / count for seconds, count in counts if count)
        return rates[len(rates) // 2] if rates else None

    def begin_run(self, name: str, spec: str) -> str:
        run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
        self._replace(
            self.runs,
            {"id": run, "name": name, "spec": spec, "started": time.time(), "finished": None, "status": "running"},
        )
        return run

    def end_run(self, run: str, status: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                self.runs.update().where(self.runs.c.id == run).values(finished=time.time(), status=status)
            )

    def record_run_step(self, run: str, position: int, key: str, status: str) -> None:
        self._replace(self.run_steps, {"run": run, "position": position, "key": key, "status": status})

    def history(self, name: str | None = None) -> list[dict[str, Any]]:
        """Runs, newest first."""
        query = self.runs.select().order_by(self.runs.c.started.desc())
        with self._engine.connect() as connection:
            return [
                dict(row)
                for row in connection.execute(query.where(self.runs.c.name == name) if name else query).mappings()
            ]

    def last_keys(self, name: str) -> list[str]:
        """The keys of the newest run of that name, in order."""
        for run in self.history(name):
            query = self.run_steps.select().where(self.run_steps.c.run == run["id"]).order_by(self.run_steps.c.position)
            with self._engine.connect() as connection:
                keys = [row.key for row in connection.execute(query)]
            if keys:
                return keys
        return []

    def file_digest(self, path: str, size: int, mtime_ns: int) -> str | None:
        query = self.files.select().where(
            self.files.c.path == path, self.files.c.size == size, self.files.c.mtime_ns == mtime_ns
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return str(row.digest) if row else None

    def remember_file(self, path: str, size: int, mtime_ns: int, digest: str) -> None:
        self._replace(self.files, {"path": path, "size": size, "mtime_ns": mtime_ns, "digest": digest})


def _unpack(row: Any) -> dict[str, Any]:
    packed = ("settings", "inputs", "takes", "task", "counts", "versions")
    return {k: json.loads(v) if k in packed and v is not None else v for k, v in dict(row).items()}
