"""The files of a review, beside the spec: NAME.verdicts.jsonl, NAME.draws.jsonl, guidelines; found by a run's name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.core.errors import DataError
from burnish.core.stage import TaskSpec

AUTO = "auto"


def verdicts_of(value: str, name: str, base: Path) -> Path:
    """The file of verdicts that a setting names, "auto" being NAME.verdicts.jsonl beside the spec."""
    return base / (f"{name}.verdicts.jsonl" if value == AUTO else value)


class Verdicts:
    """An annotation: a file of verdicts, known to a step's key by its content; one that is not there yet is none."""

    @staticmethod
    def identify_for(value: str | None, task: TaskSpec) -> str:
        if value is None:
            return "none"
        path = verdicts_of(value, task.run, task.base or Path())
        return hashlib.sha256(path.read_bytes()).hexdigest()[:32] if path.is_file() else "none"


def draws_of(name: str, base: Path) -> dict[str, dict[str, Any]]:
    """What was drawn at random for the certificate: record id -> {"name", "stratum", "weight"}, in the file's order.

    {} where nothing was drawn. DataError names the line that is no draw.
    """
    path = base / f"{name}.draws.jsonl"
    if not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
            if not isinstance(one, Mapping) or not isinstance(one.get("id"), str):
                raise ValueError("it has no id")
            weight = float(one["weight"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"a draw is {{id, stratum, weight}}: {error}",
                where=f"{path}:{number}",
                hint="`burnish certify` writes it",
            ) from error
        found[one["id"]] = {
            "name": one.get("name") or "certificate",
            "stratum": str(one.get("stratum", "")),
            "weight": weight,
        }
    return found
