"""Verdicts to and from the files of other annotation tools: Label Studio's JSON, Argilla's records as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.core.artifacts import write_json
from burnish.core.errors import DataError
from burnish.review import argilla, label_studio
from burnish.review.session import Refused, Session
from burnish.review.verdicts import Verdict, append, now

TOOLS = ("label_studio", "argilla")
Reader = Callable[[Sequence[Mapping[str, Any]], label_studio.Rows, Any], Any]


def write(session: Session, path: Path, tool: str) -> str:
    """Write the queue's and the decided records for a tool, and beside them the interface to label them with.

    Returns what a person reads. Records of the certificate, of the queue and those with verdicts go along.
    """
    shelf, said = session.shelf, session.file.newest
    wanted = dict.fromkeys([*session.draws, *session.looks, *(one for one in said if one in shelf.rows)])
    rows = {one: shelf.row(shelf.rows[one]) for one in wanted}
    marks = sorted(shelf.marks)
    if tool == "label_studio":
        beside = path.with_suffix(".xml")
        write_json(path, list(label_studio.export(rows, shelf.editors, said)))
        beside.write_text(label_studio.config(shelf.editors, marks), encoding="utf-8")
    else:
        beside = path.with_suffix(".settings.json")
        write_json(path, list(argilla.export(rows, shelf.editors, said)))
        write_json(beside, argilla.settings(shelf.editors, marks))
    return f"{len(rows):,} records with {sum(len(said.get(one, {})) for one in rows):,} verdicts in {path}; the interface in {beside}"


def take(session: Session, path: Path, tool: str) -> str:
    """Take in the verdicts of a tool's export: those that fit their record and are not known already.

    Returns what a person reads. DataError names what the file is instead.
    """
    try:
        given = json.loads(path.read_text("utf-8"))
        if not isinstance(given, list):
            raise ValueError("it is no list")
        shelf = session.shelf
        rows = {one: shelf.row(shelf.rows[one]) for one in _ids(given, tool) if one in shelf.rows}
        read: Reader = label_studio.read if tool == "label_studio" else argilla.read
        found: list[Verdict] = list(read(given, rows, shelf.editors))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"no export of {tool}: {error}", where=str(path), hint="export as JSON") from error
    fresh, refused = [], []
    for one in found:
        known = session.file.newest.get(one.id, {}).get(one.reviewer)
        if known == one or (known is not None and known.at and known.at >= one.at > ""):
            continue
        try:
            fresh.append(session.fitting(one, at=one.at or now()))
        except Refused as error:
            refused.append(f"{one.id}: {error.message}")
    append(session.file.path, fresh)
    session.refresh()
    told = f"{len(fresh):,} verdicts taken, {len(found) - len(fresh) - len(refused):,} known already"
    return told + (f", {len(refused):,} do not fit their record: {'; '.join(refused[:3])}" if refused else "")


def _ids(given: Sequence[Any], tool: str) -> list[str]:
    whole = [one.get("data") or {} if tool == "label_studio" else one for one in given if isinstance(one, Mapping)]
    return [str(one.get("id")) for one in whole]
