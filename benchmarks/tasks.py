"""Every task on real data: prepare the sets, run the example specs, one table with each figure beside its baseline.

    python benchmarks/tasks.py prepare all              writes examples/NAME/data (git-ignored) from ../shared/data
    python benchmarks/tasks.py run conll2003 cluener    one fresh run each, cheapest first; results/tasks.json
    python benchmarks/tasks.py table                    results/tasks.md

prepare: train.jsonl, test.jsonl, validation.jsonl where the set has one, and facts.json: counts, repeats,
contradictions, test rows that the training side holds too, what was dropped or mended. Nothing is deduplicated.
run: the whole pipeline (sources to evaluation) in a process of its own, in a store of its own so that nothing is found
done; seconds, CPU-seconds and peak memory are the operating system's count of that process and its children.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import sets_en
import sets_zh
from sets import Sides, write

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
RESULTS = Path(__file__).parent / "results"
QUESTIONS = ("by_answerable", "apart", "no_answer")  # what is kept of question answering beside its chief figure
READERS: dict[str, Callable[[Path], Sides]] = {**sets_en.READERS, **sets_zh.READERS}


def prepare(names: Iterable[str], shared: Path, out: Path) -> int:
    """Write OUT/NAME/data for each set; 1 when one could not be read."""
    failed = 0
    for name in names:
        try:
            facts = write(out / name / "data", READERS[name](shared))
        except (OSError, ImportError, KeyError, ValueError) as error:
            failed = 1
            print(f"{name}: not prepared, {type(error).__name__}: {error}", file=sys.stderr)
            continue
        print(told(name, facts), flush=True)
    return failed


def told(name: str, facts: dict[str, Any]) -> str:
    """The facts of a set in a few lines."""
    records = ", ".join(f"{side} {count:,}" for side, count in facts["records"].items())
    found = [f"{what} {n:,}" for what, n in {**facts["leaks"], **facts["dropped or mended"]}.items() if n]
    for side in facts["records"]:
        dirt = {what: n for what, n in facts[side].items() if what != "spans"}
        found += [f"{side} {what} {n:,}" for what, n in dirt.items()]
    for what in ("labels only in test", "labels that look alike"):
        found += [f"{what}: {facts[what]}"] if facts.get(what) else []
    return "\n    ".join([f"{name}: {records}", *found, *facts["notes"]])


def run(names: Iterable[str], *, limit: int, backbone: str | None, seed: int | None) -> int:
    """Run each example and keep a row of it; 1 when one failed."""
    failed = 0
    for name in sorted(names, key=_cost):
        row = measured(name, limit=limit, backbone=backbone, seed=seed)
        keep(row)
        failed |= "error" in row
        print(row.get("error") or _figure(row), file=sys.stderr, flush=True)
    return failed


def _cost(name: str) -> float:
    """Bytes to learn from and to answer; a Chinese character is three bytes, and its backbone twice as deep."""
    sizes = [(EXAMPLES / name / "data" / f"{side}.jsonl") for side in ("train", "test")]
    return sum(path.stat().st_size * weight for path, weight in zip(sizes, (5, 1), strict=True) if path.is_file())


def measured(name: str, *, limit: int, backbone: str | None, seed: int | None) -> dict[str, Any]:
    """One fresh run of an example: what it scored, what it cost, or why it failed."""
    options = [*(["--limit", str(limit)] if limit else []), *(["--seed", str(seed)] if seed is not None else [])]
    options += ["--set", f"train.tune.backbone={backbone}"] if backbone else []
    spec = EXAMPLES / name / "burnish.yaml"
    row: dict[str, Any] = {
        "set": name,
        "date": datetime.date.today().isoformat(),
        "limit": limit,
        "backbone": backbone or "auto",
        "seed": seed or 0,
        "command": " ".join(["burnish run", f"examples/{name}/burnish.yaml", *options]),
    }
    with tempfile.TemporaryDirectory(prefix="burnish-tasks-") as store:
        command = [sys.executable, "-m", "burnish.cli", "run", str(spec), *options, "--set", f"store.path={store}"]
        code, cost, story = timed(command)
        row |= cost
        found = sorted(Path(store).glob("*/evaluation/report.json"))
        if code or not found:
            last = [line for line in story.splitlines() if line.strip()][-1:] or ["nothing was said"]
            return row | {"error": f"exit code {code}: {last[0]}"[:500]}
        return row | scored(spec, json.loads(found[0].read_text("utf-8")))


def timed(command: list[str]) -> tuple[int, dict[str, float], str]:
    """Exit code, {seconds, cpu_seconds, peak_mb}, and what was said on stderr."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as story:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=story, env=environment)
        # wait4 counts this process and what it waited for; RUSAGE_CHILDREN would keep the largest of all runs so far
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        story.seek(0)
        said = story.read()
    cost = {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
    }
    return process.returncode, cost, said


def scored(spec: Path, report: dict[str, Any]) -> dict[str, Any]:
    """The chief figure of the task with its interval, and the strongest of the simple baselines by the same figure."""
    from burnish.core.spec import load
    from burnish.core.tasktypes import open_task

    task = open_task(load(spec).task)
    figure = task.figure if task.figure in report else next(key for key in report["intervals"] if key in report)
    judged = [one for one in report.get("baselines", ()) if isinstance(one.get(figure), int | float)]
    best = max(judged, key=lambda one: one[figure], default=None)
    facts = json.loads((spec.parent / "data/facts.json").read_text("utf-8"))
    return {
        "task": task.spec.type,
        "languages": list(task.spec.languages),
        "records": {"train": facts["records"]["train"], "test": report["n"]},
        "figure": figure,
        "value": report[figure],
        "interval": report.get("intervals", {}).get(figure),
        "others": {key: report[key] for key in report.get("intervals", {}) if key != figure and key in report},
        "baseline": {"name": best["name"], "value": best[figure]} if best else None,
        "leaks": {name: one for name, one in (report.get("leaks") or {}).items() if name != "examples"},
        **({"questions": {name: report[name] for name in QUESTIONS if name in report}} if "apart" in report else {}),
    }


def keep(row: dict[str, Any]) -> None:
    """Put a row into results/tasks.json, in place of the one of the same set, backbone, limit and seed."""
    path = RESULTS / "tasks.json"
    rows = json.loads(path.read_text("utf-8")) if path.is_file() else []
    same = ("set", "backbone", "limit", "seed")
    rows = [one for one in rows if any(one[key] != row[key] for key in same)] + [row]
    part = path.with_suffix(".json.part")
    RESULTS.mkdir(parents=True, exist_ok=True)
    part.write_text(json.dumps(sorted(rows, key=_order), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    names = list(READERS)
    at = names.index(row["set"]) if row["set"] in names else len(names)
    return (at, row["limit"], row["backbone"], row["seed"])


HEAD = (
    "| data set | task | language | train / test | figure | value [95%] | strongest simple baseline | gain "
    "| s | CPU-s | MB | command |\n|---|---|---|--:|---|--:|--:|--:|--:|--:|--:|---|\n"
)


def table(rows: list[dict[str, Any]]) -> str:
    """results/tasks.md: one line a run; a run that failed says why."""
    lines = [_line(row) for row in rows]
    return (
        "# Every task on real data\n\n"
        "Made by `python benchmarks/tasks.py prepare all`, `run all`, `table` on two cores. A figure stands beside the\n"
        "strongest of the baselines that cost nothing (commonest answer, TF-IDF, rules), on the same test records.\n"
        "Seconds, CPU-seconds and peak memory are of the whole run, reading to report.\n\n"
        + HEAD
        + "\n".join(lines)
        + "\n"
        + _questions([row for row in rows if "questions" in row])
    )


def _questions(rows: list[dict[str, Any]]) -> str:
    """A second table, of questions with and without an answer; "" where no row keeps them."""
    if not rows:
        return ""
    head = (
        "\nQuestions: F1 of those whose answer is in the context and of those without one, as SQuAD 2 reports them; where: F1\n"
        "of the former if nothing may be refused; whether: area under the ROC curve of the odds that there is none, 0.5 is chance.\n\n"
        "| data set | with an answer | refused | F1 | F1, where | without | F1 | whether |\n|---|--:|--:|--:|--:|--:|--:|--:|\n"
    )
    return head + "\n".join(_question_line(row["set"], **row["questions"]) for row in rows) + "\n"


def _question_line(name: str, by_answerable: Any, apart: Any, no_answer: Any) -> str:
    able, none = (by_answerable.get(kind) for kind in ("answerable", "unanswerable"))
    have = (
        (str(able["n"]), str(no_answer["needless"]), f"{able['f1']:.3f}", f"{apart['where']['f1']:.3f}")
        if able
        else ("",) * 4
    )
    lack = (str(none["n"]), f"{none['f1']:.3f}") if none else ("", "")
    whether = f"{apart['whether']['auc']:.3f}" if "whether" in apart else ""
    return f"| {' | '.join((name, *have, *lack, whether))} |"


def _line(row: dict[str, Any]) -> str:
    cost = f"{row['seconds']:,.0f} | {row['cpu_seconds']:,.0f} | {row['peak_mb']:,.0f} | `{row['command']}` |"
    if "error" in row:
        return f"| {row['set']} | | | | | failed: {row['error'].replace('|', ' ')} | | | {cost}"
    base, gain = "none", ""
    if row["baseline"]:
        base = f"{row['baseline']['value']:.3f} ({row['baseline']['name']})"
        gain = f"{row['value'] - row['baseline']['value']:+.3f}"
    sizes = f"{row['records']['train']:,} / {row['records']['test']:,}"
    return (
        f"| {row['set']} | {row['task']} | {', '.join(row['languages'])} | {sizes} | {row['figure']} "
        f"| {_figure(row)} | {base} | {gain} | {cost}"
    )


def _figure(row: dict[str, Any]) -> str:
    low_high = row.get("interval")
    return f"{row['value']:.3f}" + (f" [{low_high[0]:.3f}, {low_high[1]:.3f}]" if low_high else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare", help="read the real sets and write what the examples learn from")
    one.add_argument("names", nargs="+", metavar="NAME|all", choices=[*READERS, "all"])
    one.add_argument("--shared", type=Path, default=ROOT.parent / "shared/data")
    one.add_argument("--out", type=Path, default=EXAMPLES, help="OUT/NAME/data is written")
    two = commands.add_parser("run", help="run examples and measure them")
    two.add_argument("names", nargs="+", metavar="NAME|all", choices=[*READERS, "all"])
    two.add_argument("--limit", type=int, default=0, help="records to learn from, 0 for all")
    two.add_argument("--backbone", help="instead of the example's own")
    two.add_argument("--seed", type=int)
    commands.add_parser("table", help="write results/tasks.md")
    commands.add_parser("list", help="the sets, in the order of the table")
    args = parser.parse_args()
    names = list(READERS) if "all" in getattr(args, "names", ()) else list(dict.fromkeys(getattr(args, "names", ())))
    if args.command == "prepare":
        return prepare(names, args.shared, args.out)
    if args.command == "run":
        return run(names, limit=args.limit, backbone=args.backbone, seed=args.seed)
    if args.command == "list":
        print("\n".join(READERS))
        return 0
    rows = json.loads((RESULTS / "tasks.json").read_text("utf-8"))
    (RESULTS / "tasks.md").write_text(table(rows), encoding="utf-8")
    print(table(rows), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
