"""Questions made of plain texts: a reader tuned on them, beside the best simple baseline and full supervision.

    python benchmarks/tasks.py prepare squad2 cmrc2018
    python benchmarks/construct_qa.py squad2 cmrc2018 --contexts 250 --questions 600 --test 400

Of the training side only the contexts are read, as plain texts grouped by document; no question or answer of it. Makers:
clozes and definitions by rules, the lexical round trip, and (squad2, whose test has such) questions without an answer.
The test questions are people's, on other documents. Full supervision is the same backbone with the same settings on as
many questions that people asked about the same contexts. F1 and exact match on a sample of the test side, one seed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

import burnish
from burnish.core.progress import Plain

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "construct-qa"
LANGUAGE = {"squad2": "en", "cmrc2018": "zh"}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def makers(name: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"use": "cloze_questions", "most": 4},
        {"use": "definition_questions"},
        {"use": "round_trip"},
    ]
    return [*made, {"use": "unanswerable", "ratio": 0.7}] if name == "squad2" else made


def spec(name: str, folder: Path, source: str, construct: list[dict[str, Any]] | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "burnish": 1,
        "name": f"{name}-{Path(source).stem}",
        "task": {"type": "question_answering", "languages": [LANGUAGE[name]]},
        "sources": {"use": "jsonl", "path": source},
        "split": {"use": "stratified", "test": 0, "validation": 0.1},
        "train": [{"use": "tune"}],
        "evaluate": [{"use": "report", "data": "test.jsonl"}],
        "store": {"path": str(folder / "runs")},
    }
    return {**made, **({"construct": construct} if construct else {})}


def run(made: dict[str, Any], folder: Path, to: str | None = None) -> Path:
    path = folder / "burnish.yaml"
    path.write_text(yaml.safe_dump(made, allow_unicode=True), "utf-8")
    return burnish.run(burnish.load_spec(path), to=to, progress=Plain(every_s=60))


def scored(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / "evaluation/report.json").read_text("utf-8"))
    best = max(report["baselines"], key=lambda one: one["f1"])
    return {
        "f1": report["f1"], "exact_match": report["exact_match"], "interval": report["intervals"]["f1"], "n": report["n"],
        "by_answerable": report["by_answerable"], "baselines": {one["name"]: one["f1"] for one in report["baselines"]},
        "best baseline": best["name"], "apart": report.get("apart", {}),
    }  # fmt: skip


def measure(name: str, contexts: int, questions: int, test: int, keep: Any) -> None:
    import pyarrow.parquet as pq

    draw = random.Random(0)
    data = ROOT / "examples" / name / "data"
    rows = read(data / "train.jsonl")
    by_context: dict[str, str] = {row["text_b"]: row["group"] for row in rows}
    chosen = dict(draw.sample(sorted(by_context.items()), min(contexts, len(by_context))))
    found: dict[str, Any] = {"contexts": len(chosen)}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder / "texts.jsonl", [{"text": text, "group": group} for text, group in chosen.items()])
        write(folder / "test.jsonl", draw.sample(read(data / "test.jsonl"), test))
        began = time.perf_counter()
        made = run(spec(name, folder, "texts.jsonl", makers(name)), folder, "construct")
        kept = [row for row in pq.read_table(made / "construct/records.parquet").to_pylist() if row["keep"]]
        found["questions made"], found["seconds to make"] = len(kept), round(time.perf_counter() - began, 1)
        kept = draw.sample(kept, min(questions, len(kept)))
        write(folder / "made.jsonl", [{key: row[key] for key in ("text", "text_b", "answer", "group")} for row in kept])
        asked = [row for row in rows if row["text_b"] in chosen]
        asked = draw.sample(asked, min(questions, len(asked)))
        write(
            folder / "asked.jsonl", [{key: row[key] for key in ("text", "text_b", "answer", "group")} for row in asked]
        )
        found["tuned on"] = {"made": len(kept), "asked by people": len(asked)}
        for arm in ("made", "asked"):
            began = time.perf_counter()
            found[arm] = scored(run(spec(name, folder, f"{arm}.jsonl", None), folder))
            found[arm]["seconds"] = round(time.perf_counter() - began)
            keep(found)
            print(name, arm, json.dumps(found[arm], ensure_ascii=False), flush=True)


def table(found: dict[str, Any], command: str) -> str:
    lines = [
        "# Questions made of plain texts", "", (__doc__ or "").split("\n\n", 2)[2].strip(), "", f"command: `{command}`  ",
        f"date: {datetime.date.today()}, burnish {burnish.__version__}  ", "",
        "| data | contexts | questions made | tuned on | F1 [95%] | F1 where there is an answer | exact match |", "|---|--:|--:|---|--:|--:|--:|",
    ]  # fmt: skip
    for name, one in found.items():
        for arm, said in (("made", "made questions"), ("asked", "people's questions")):
            if arm in one:
                got, (low, high) = one[arm], one[arm]["interval"]
                able = got["by_answerable"].get("answerable", got["by_answerable"]["all"])["f1"]
                count = one["tuned on"]["made" if arm == "made" else "asked by people"]
                lines.append(
                    f"| {name} | {one['contexts']} | {one['questions made']} | {count} {said} | {got['f1']:.3f} [{low:.3f}, {high:.3f}] | {able:.3f} | {got['exact_match']:.3f} |"
                )
        for arm in ("asked", "made"):
            if arm in one:
                lines += [
                    f"| {name} | | | baseline ({base}) | {f1:.3f} | | |" for base, f1 in one[arm]["baselines"].items()
                ]
                break
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*LANGUAGE], default=[*LANGUAGE])
    parser.add_argument("--contexts", type=int, default=250)
    parser.add_argument("--questions", type=int, default=600)
    parser.add_argument("--test", type=int, default=400)
    asked = parser.parse_args()
    stored = RESULTS.with_suffix(".json")
    found = json.loads(stored.read_text("utf-8")) if stored.exists() else {}
    for name in asked.names:

        def keep(measured: dict[str, Any], name: str = name) -> None:
            found[name] = measured
            stored.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
            command = f"python benchmarks/construct_qa.py {name} --contexts {asked.contexts} --questions {asked.questions} --test {asked.test}"
            RESULTS.with_suffix(".md").write_text(table(found, command), "utf-8")

        measure(name, asked.contexts, asked.questions, asked.test, keep)


if __name__ == "__main__":
    main()
