"""Walk the ledger both ways: a record forward to the models it taught, a model back to the data it was made from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.core.errors import UsageError
from burnish.core.pipeline import read_run
from burnish.core.stage import TaskSpec
from burnish.core.store import Store
from burnish.core.tasktypes import open_task


@dataclass
class Story:
    """What is known about a record or an artefact. lines: as a person reads it; facts: the same for programs."""

    lines: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


def lineage(target: str, *, store: Path = Path("runs"), run: Path | None = None) -> Story:
    """The whole story of a record id, of a step key (or its beginning), or of a run folder.

    run: look for the record in this run only; else in the runs of `store`, newest first.
    """
    folder = Path(target)
    if (folder / "run.json").is_file():
        return _of_model(folder)
    root = run.parent if run else store
    if not (root / ".store").is_dir():
        raise UsageError(f"no store in {root}", hint="--store FOLDER, or --run runs/NAME")
    step = _step_of(target, Store(root))
    if step:
        return step
    runs = [run] if run else sorted((p.parent for p in root.glob("*/run.json")), key=lambda p: -read_run(p)["started"])
    for one in runs:
        story = _of_record(target, one)
        if story:
            return story
    raise UsageError(
        f"no record, step or run {target!r} in {root}", hint="ids stand in construct/records.parquet, keys in run.json"
    )


def _of_record(record_id: str, run: Path) -> Story | None:
    """Follow one id through the rooms of a run."""
    found = {
        path.relative_to(run).as_posix(): row
        for path in sorted(run.glob("*/*.parquet"))
        for row in _rows(path, record_id)
    }
    if not found:
        return None
    newest = next(
        found[name] for name in ("quality/records.parquet", "construct/records.parquet", *found) if name in found
    )
    story = Story(facts={"id": record_id, "run": str(run), "record": newest, "found_in": sorted(found)})
    say = story.lines.append
    say(f"record {record_id} in {run}")
    say(f"  text      {_short(newest.get('text'))}")
    if newest.get("text_b"):
        say(f"  text_b    {_short(newest['text_b'])}")
    place = ":".join(str(newest[k]) for k in ("file", "line") if newest.get(k) is not None)
    say(
        f"  from      {newest.get('source')} {place}".rstrip()
        + (f", licence {newest['licence']}" if newest.get("licence") else "")
    )
    for vote in newest.get("votes") or []:
        say(f"  vote      {vote['labeller']}: {vote['label']} ({vote['confidence']:.2f})")
    if newest.get("label") is not None:
        sure = f" ({newest['confidence']:.2f})" if newest.get("confidence") is not None else ""
        say(f"  label     {newest['label']}{sure} by {newest.get('label_from')}")
    elif said := _target(newest, read_run(run)):
        say(f"  target    {said} by {newest.get('label_from')}")
    else:
        say("  label     none: no target came with it, and no labeller was sure enough")
    for finding in newest.get("findings") or []:
        say(f"  finding   {finding['check']} {finding['score']:.2f}: {finding['reason']} -> {finding['action']}")
    for done in newest.get("trail") or []:
        say(f"  done      {done}")
    if newest.get("keep") is False:
        say("  kept      no: set aside, see its findings")
    sides = [Path(name).stem for name in found if name.startswith("split/")]
    story.facts["side"] = sides[0] if sides else None
    say(f"  side      {sides[0] if sides else 'none: neither taught nor judged'}")
    if sides == ["train"]:
        keys = [step["key"] for step in read_run(run)["steps"] if step["room"] in ("train", "compress")]
        story.facts["taught"] = keys
        say(f"  taught    {', '.join(key[:12] for key in keys) or 'no model yet'}")
    for name, row in found.items():
        if name.startswith("evaluation/"):
            sure = f" ({row['score']:.2f})" if row.get("score") is not None else ""
            say(f"  judged    {row.get('model')}: {row.get('prediction')}{sure}, target {row.get('target')}")
    return story


def _target(row: dict[str, Any], about: dict[str, Any]) -> str:
    """What a record's target says, as its task tells it ("nothing": it was looked at, and nothing is there); "" without one."""
    told = dict(about.get("task") or {})
    kind = told.pop("type", "classification")
    labels, meanings, languages = (told.pop(key, ()) for key in ("labels", "descriptions", "languages"))
    task = open_task(TaskSpec(kind, tuple(labels), dict(meanings), tuple(languages) or ("en",), told))
    answer = task.expected(row)
    return "" if answer is None else _short(task.brief(answer)) or "nothing"


def _rows(path: Path, record_id: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    if "id" not in pq.read_schema(path).names:
        return []
    rows: list[dict[str, Any]] = pq.read_table(path, filters=[("id", "==", record_id)]).to_pylist()
    return rows


def _short(text: Any, size: int = 300) -> str:
    said = " ".join(str(text or "").split())
    return said if len(said) <= size else said[: size - 1] + "…"


def _of_model(run: Path) -> Story:
    """From the last model of a run back to its files."""
    about = read_run(run)
    models = [
        step for step in about["steps"] if step["room"] in ("train", "compress") and step["status"] in ("made", "kept")
    ]
    if not models:
        raise UsageError(f"{run} has no model yet", hint=f"burnish run {about['spec']}")
    story = _chain(models[-1]["key"], Store(run.parent))
    story.lines.insert(0, f"model of {run}, back to its files:")
    return story


def _step_of(target: str, store: Store) -> Story | None:
    folders = sorted(store.inner.glob(f"objects/{target}*")) if len(target) >= 6 and target.isalnum() else []
    return _chain(folders[0].name, store) if len(folders) == 1 else None


def _chain(key: str, store: Store) -> Story:
    """The steps behind a key, nearest first, each with the settings and inputs that it was made with; then who uses it."""
    story = Story(facts={"key": key, "steps": []})
    waiting, seen = [(key, 0)], {key}
    while waiting:
        key, depth = waiting.pop(0)
        row = store.ledger.step(key)
        if row is None:
            story.lines.append(f"{'  ' * depth}{key[:12]} (not in the ledger)")
            continue
        story.facts["steps"].append(row)
        counts = ", ".join(f"{k} {v}" for k, v in row["counts"].items() if not isinstance(v, dict | list))
        story.lines.append(f"{'  ' * depth}{key[:12]} {row['room']}.{row['stage']} v{row['version']}  {counts}")
        for name, digest in row["inputs"].items():
            story.lines.append(f"{'  ' * depth}    {name}: {row['settings'].get(name)} ({str(digest)[:12]})")
        taken = [one for take in row["takes"] if take for one in (take if isinstance(take, list) else [take])]
        for one in taken:
            if one not in seen:
                seen.add(one)
                waiting.append((one, depth + 1))
    users = store.ledger.users(story.facts["key"])
    story.facts["used_by"] = users
    for user in users:
        story.lines.append(f"used by {user['key'][:12]} {user['room']}.{user['stage']}")
    return story


def as_json(story: Story) -> str:
    return json.dumps(story.facts, ensure_ascii=False, indent=1, default=str)
