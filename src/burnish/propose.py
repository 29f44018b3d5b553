"""`burnish propose`: rules that the gold suggests, shown with what they would be worth, written into the spec when accepted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.core.errors import UsageError
from burnish.core.progress import Progress
from burnish.core.tasktypes import one_label

if TYPE_CHECKING:
    from burnish.construct.proposing import Proposal
    from burnish.core.spec import Spec


def proposals(spec: Spec, *, per_label: int, progress: Progress) -> list[Proposal]:
    """Walk sources and gold, then look for rules. UsageError where the spec has no gold or labels are not one a text."""
    from burnish.construct.proposing import propose
    from burnish.core.artifacts import Gold, Records
    from burnish.core.pipeline import run
    from burnish.core.stage import Context

    if not one_label(spec.task):
        raise UsageError(f"rules are proposed for one label a text, not for {spec.task.type}")
    if not any(step.room == "gold" for step in spec.steps):
        raise UsageError(
            "rules are proposed from gold records, and the spec names none", hint="gold: {path: gold.jsonl}"
        )
    folder = run(spec, to="gold", progress=progress)
    cache = folder.parent / ".store" / "cache"
    context = Context(spec.task, spec.seed, spec.base, cache, cache, progress)
    gold = Gold.open(folder / "gold")
    assert isinstance(gold, Gold)
    return propose(Records.open(folder / "sources"), gold, context, per_label=per_label)


def table(found: Sequence[Proposal]) -> str:
    """Numbered, with accuracy, coverage, gold and a text."""
    if not found:
        return "no word is likely enough to be right: label more gold records, or give more raw text"
    lines = []
    for number, one in enumerate(found, start=1):
        lines.append(
            f"{number:>3}  {one.word:<24} → {one.label:<16} right {one.accuracy:.0%} ({one.low:.0%}-{one.high:.0%}), "
            f"{one.coverage:.1%} of the texts, gold {one.gold_right}/{one.gold_tried}"
        )
        lines += [f"       {' '.join(text.split())}" for text in one.texts[:1]]
    return "\n".join(lines)


def chosen(found: Sequence[Proposal], accept: str) -> list[Proposal]:
    """ "all", or numbers and ranges as the table has them: "1,3-5"."""
    if accept.strip() == "all":
        return list(found)
    numbers: list[int] = []
    for part in accept.replace("，", ",").split(","):
        first, _, last = part.strip().partition("-")
        try:
            numbers += range(int(first), int(last or first) + 1)
        except ValueError as error:
            raise UsageError(
                f"--accept {part.strip()!r} is no number of the list", hint="--accept 1,3-5, or all"
            ) from error
    if wrong := [number for number in numbers if not 1 <= number <= len(found)]:
        raise UsageError(f"--accept {wrong[0]}: the list has {len(found)}")
    return [found[number - 1] for number in dict.fromkeys(numbers)]


def steps(found: Sequence[Proposal]) -> list[dict[str, Any]]:
    """As steps of a construct section: the words of a label are one labeller."""
    words: dict[str, list[str]] = {}
    for one in found:
        words.setdefault(one.label, []).append(one.word)
    return [{"use": "keywords", "label": label, "words": many} for label, many in words.items()]


def add(path: Path, made: Sequence[dict[str, Any]]) -> str:
    """Write steps into the construct section of a spec, first of all, every other line as it stands; return the lines.

    Where the section is not a list of lines of its own, nothing is written: UsageError with the lines to paste.
    """
    lines = [f"  - {_flow(step)}" for step in made]
    text = path.read_text("utf-8")
    old = text.splitlines()
    at = next((number for number, line in enumerate(old) if line.startswith("construct:")), None)
    if at is None:
        new = [*old, "construct:", *lines]
    elif old[at].split("#")[0].strip() == "construct:" and all(
        line.lstrip().startswith(("-", "#")) for line in old[at + 1 : at + 2]
    ):
        indent = len(old[at + 1]) - len(old[at + 1].lstrip()) if at + 1 < len(old) else 2
        new = [*old[: at + 1], *(" " * indent + line.strip() for line in lines), *old[at + 1 :]]
    else:
        raise UsageError(
            f"{path}:{at + 1}: the construct section is not a list of lines", hint="paste these:\n" + "\n".join(lines)
        )
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text("\n".join(new) + "\n", encoding="utf-8")
    os.replace(half, path)
    return "\n".join(lines)


def _flow(step: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(step, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False)).strip()
