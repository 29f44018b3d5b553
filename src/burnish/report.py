"""A run told on one page, in a few lines for the terminal, and all runs of a folder in a table."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from burnish import chapters, construct_chapter, search_chapter
from burnish.certify import newest
from burnish.core.chinese import language_of, named, say, speaking, spoken
from burnish.core.figures import title, word
from burnish.core.pipeline import read_run

FIGURES = ("n", "figure", "accuracy", "macro_f1", "ece")


def write(folder: Path) -> Path:
    """Write `report.html` of a run folder: what came in, what was done with it, what came out, what to do next.

    A part that is not there (yet) is left out, so a run that stopped half way has a page too. UsageError for a folder
    that holds no run.
    """
    path = folder / "report.html"
    half = path.with_name(f".report.html.{os.getpid()}")
    half.write_text(_page(folder), encoding="utf-8")
    os.replace(half, path)
    return path


def _page(folder: Path) -> str:
    """The page, in Chinese where that is the task's first language."""
    run = read_run(folder)
    with speaking(language_of((run.get("task") or {}).get("languages") or ())):
        return _drawn(folder, run)


def _drawn(folder: Path, run: dict[str, Any]) -> str:
    from burnish.core import page as p

    card, evaluation = _json(folder / "model" / "burnish.json"), _json(folder / "evaluation" / "report.json")
    drawn = [
        chapters.came_in(folder, run),
        construct_chapter.labelled(_json(folder / "construct" / "labellers.json"), folder / "construct"),
        chapters.audited(_json(folder / "quality" / "report.json"), folder),
        chapters.certified(newest(folder)),
        chapters.reviewed(_json(folder / "review" / "queue.json")),
        chapters.divided(run, _split_facts(folder)),
        chapters.pretrained(_json(folder / "backbone" / "pretraining.json")),
        chapters.trained(card),
        search_chapter.searched(card),
        chapters.compressed(_json(folder / "deploy" / "report.json")),
        chapters.judged(evaluation, folder),
        p.section(say("What to do next"), p.code("\n".join(_next(folder, run)))),
        chapters.steps(run),
    ]
    tone, sentence, grounds = _verdict(run, evaluation)
    task = run.get("task") or {}
    return p.page(
        run.get("name") or folder.name,
        *(one for one in drawn if one.body),
        verdict=p.verdict(tone, sentence, *grounds),
        subtitle=": ".join(
            filter(None, (_task_name(str(task.get("type", "run"))), ", ".join(task.get("labels", [])[:12])))
        ),
        facts=[
            (say("started"), time.strftime("%Y-%m-%d %H:%M", time.localtime(run["started"]))),
            (say("took"), _duration(sum(step.get("seconds") or 0 for step in run.get("steps", [])))),
            (say("status"), say(run.get("status", "unknown"))),
            *([("burnish", run["burnish"])] if run.get("burnish") else []),
        ],
    )


def _task_name(kind: str) -> str:
    """A type of task as a page names it."""
    said = named("task", kind)
    return said if said != kind else title(kind)


def summary(folder: Path) -> str:
    """A run in a few lines: the verdict, where each result lies, what to type next."""
    run, evaluation = read_run(folder), _json(folder / "evaluation" / "report.json")
    _, sentence, grounds = _verdict(run, evaluation)
    places = [
        ("the whole story", "report.html"), ("evaluation", "evaluation/report.html"), ("data quality", "quality/report.html"), ("data card", "quality/DATA_CARD.md"), ("certificate", "certificate/report.html"),
        ("labelled data", "construct/records.parquet"), ("rows set aside", "quarantine.jsonl"), ("backbone", "backbone"),
        ("model", "model"), ("model card", "model_card.md"),
        ("served model", "deploy"),
    ]  # fmt: skip
    there = [f"  {name:<16} {folder / place}" for name, place in places if (folder / place).exists()]
    return "\n".join([sentence, *(f"  {one}" for one in grounds), "", *there, "", "next:", *(f"  {one}" for one in _next(folder, run))])  # fmt: skip


def runs_table(store: Path, *, as_json: bool = False) -> Any:
    """The runs below a folder, newest first: name, status, when, how long, headline figures. A list for JSON, else text."""
    rows = []
    for path in store.glob("*/run.json"):
        run, numbers = read_run(path.parent), _json(path.parent / "evaluation" / "report.json")
        ledger = _json(path.parent / "quality" / "report.json").get("ledger")
        rows.append(
            {
                "name": path.parent.name, "status": run.get("status"), "started": run["started"],
                "seconds": run.get("seconds"), **{name: numbers[name] for name in FIGURES if name in numbers},
                **({"score": numbers[numbers["figure"]]} if "figure" in numbers else {}),
                **({"data": ledger["version"], "ledger": ledger} if ledger else {}),
            }
        )  # fmt: skip
    rows.sort(key=lambda row: -row["started"])
    if as_json:
        return rows
    if not rows:
        return f"no runs in {store}"
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'run':<{width}}  {'status':<8} {'started':<16} {'took':>8}  {'n':>7}  {'data':<12}  figure"]
    for row in rows:
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["started"]))
        figures = f"  {word(row['figure'])} {row['score']:.3f}" if "score" in row else ""
        lines.append(
            f"{row['name']:<{width}}  {row['status'] or '':<8} {began} {_duration(row['seconds'] or 0):>8}  {row.get('n', ''):>7}  {row.get('data', ''):<12}{figures}"
        )
    return "\n".join(line.rstrip() for line in lines)


def _verdict(run: dict[str, Any], evaluation: dict[str, Any]) -> tuple[Any, str, list[str]]:
    """tone, one sentence, its grounds. A run that stopped says so before any figure."""
    if run.get("status") in ("failed", "refused"):
        step = next((one for one in run["steps"] if one["status"] in ("failed", "refused")), None)
        where = f" at {step['room']}.{step['use']}" if step else ""
        stopped = "A gate refused the model" if run["status"] == "refused" else "The run stopped"
        return "bad", say(f"{stopped}{where}."), [run["error"]] if run.get("error") else []
    if "verdict" in evaluation:
        told = evaluation.get("said", {}).get(spoken(), evaluation)
        return evaluation.get("tone", "look"), told["verdict"], list(told.get("grounds", []))
    made = [one for one in run.get("steps", []) if one["status"] in ("made", "kept")]
    if not made:
        return "look", say("Nothing is made yet."), []
    return "look", say(f"Made up to {made[-1]['room']}; nothing is judged yet."), []


def _next(folder: Path, run: dict[str, Any]) -> list[str]:
    """Commands that make sense now, each with what it does."""
    spec = os.path.relpath(run.get("spec") or "burnish.yaml")
    at = min(str(folder), os.path.relpath(folder), key=len)
    if run.get("status") in ("failed", "refused", "running"):
        return [f"burnish run {spec}              # goes on where this one stopped", f"burnish why {spec}              # what would be made, and why"]  # fmt: skip
    if (folder / "backbone" / "pretraining.json").exists() and not (folder / "model" / "burnish.json").exists():
        return [f"train: [{{use: tune, backbone: {folder}}}]   # in a spec with a task and a split: starts from this"]
    if not (folder / "model" / "burnish.json").exists():
        return [f"burnish run {spec}              # walks on to the end"]
    told = {
        f"burnish serve {at}": "an HTTP service on 127.0.0.1:8080",
        f"burnish predict {at} -i in.jsonl -o out.jsonl": "answers for the lines of a file",
        f"burnish lineage {at}": "what the model was made from; with a record's id, its story",
        f"burnish why {spec}": "what a change of the spec would make again",
    }
    width = max(map(len, told))
    return [f"{command:<{width}}  # {say(what)}" for command, what in told.items()]


def _split_facts(folder: Path) -> dict[str, Any]:
    """The facts of the split, under the name of its stage, and of the decontamination before it."""
    cleaned = _json(folder / "split" / "decontaminate.json").get("decontaminated")
    files = sorted((folder / "split").glob("*.json")) if (folder / "split").is_dir() else []
    drawn = [file for file in files if file.name != "decontaminate.json"]
    return (_json(drawn[-1]) if drawn else {}) | ({"decontaminated": cleaned} if cleaned else {})


def _json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing when it is not there."""
    if not path.is_file():
        return {}
    held = json.loads(path.read_text("utf-8"))
    return held if isinstance(held, dict) else {"labellers": held}


def _duration(seconds: float) -> str:
    if seconds < 90:
        return say(f"{seconds:.0f} s")
    return say(f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h")
