"""Relations by distant supervision: label quality and the tuned model, beside single sources and full supervision.

    python benchmarks/tasks.py prepare people semeval2010
    python benchmarks/construct_relations.py people semeval2010 --limit 1500

What supervises. people: a knowledge base of half the pairs of people of the training side, each with its relation; which
sentence it came from is forgotten. So the knowledge base is cleaner than one that others made, and for every pair that it
relates the corpus also holds a sentence that names the two and does not tell of it: one labelled "unknown", in which the
two names of another pair were written. These sentences, and all sentences of the other half, come without a label.
semeval2010: a knowledge base of the noun pairs of the first half of the training side; the corpus is the second half, so
that what it says of a sentence was always said of another one.
The rules are one regular expression a relation, written from its name. No sentence label is used but in the arms that say so.

Label quality is over the pairs of the corpus that have a relation: precision, recall and F1 of what is said. Test quality
is micro F1 of the tuned model on the test side, one seed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import re
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

import burnish
from burnish.core.progress import Plain
from burnish.core.records import Record

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "construct-relations"
GOLD_EACH = 8

RULES = {
    "people": {
        "夫妻": "妻|丈夫|夫人|结婚|嫁给|嫁|娶|结为夫妇|老公|老婆", "父母": "父|母|之子|之女|儿子|女儿|生有|长子|次子|爸|妈",
        "兄弟姐妹": "兄弟|弟弟|妹妹|姐姐|哥哥|长兄|姐妹|胞弟|胞兄", "上下级": "部下|麾下|秘书|任命|手下|司令|下属|部将",
        "师生": "师从|老师|学生|弟子|拜.{0,6}为师|导师|徒弟|徒", "好友": "好友|朋友|挚友|知己|友谊", "同学": "同学|同班|同窗|校友",
        "合作": "合作|搭档|主演|联手|共同|合演", "情侣": "恋情|恋人|女友|男友|分手|恋爱|相恋|绯闻", "同人": "原名|又名|笔名|本名|饰演|即|人称",
        "祖孙": "孙子|孙女|祖父|外公|爷爷|奶奶|外孙|之孙|祖母", "同门": "师兄|师弟|同门|师姐|师妹|师出", "亲戚": "侄|舅|叔|姨|表弟|表妹|岳|甥|姑",
    },
    "semeval2010": {
        "Cause-Effect": "caused by|causes|resulted|triggered|due to|led to|produces|from the", "Component-Whole": "of the|has|part of|consists|comprises",
        "Content-Container": "in a|inside|contained|was in|enclosed", "Entity-Destination": "into|to the|put in|onto|sent to",
        "Entity-Origin": "from|derived|arrived from|left", "Instrument-Agency": "uses|used|with a|by means",
        "Member-Collection": "of|member|flock|herd|group", "Message-Topic": "about|describes|on the|discusses|regarding",
        "Product-Producer": "made by|makes|built|produced|founded|wrote|constructed",
    },
}  # fmt: skip
MODES = {"people": "named", "semeval2010": "all"}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def names(row: dict[str, Any]) -> list[str]:
    return [row["text"][one["start"] : one["end"]] for one in row["spans"]]


def triple(row: dict[str, Any], none: str) -> tuple[str, str, str] | None:
    for one in row["relations"]:
        if one["label"] != none:
            who = names(row)
            return who[one["head"]], one["label"], who[one["tail"]]
    return None


def corpus_of(name: str, train: list[dict[str, Any]], none: str, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Sentences whose labels are hidden, and the lines of the knowledge base."""
    draw = random.Random(0)
    train = draw.sample(train, min(limit, len(train)))
    if name == "semeval2010":
        first, second = train[: len(train) // 2], train[len(train) // 2 :]
        return second, sorted({"\t".join(one) for row in first if (one := triple(row, none))})
    pairs = sorted({tuple(sorted(names(row))) for row in train})
    known = set(draw.sample(pairs, len(pairs) // 2))
    facts = [one for row in train if (one := triple(row, none)) and tuple(sorted((one[0], one[2]))) in known]
    strangers = [row for row in train if not triple(row, none)]
    named = [renamed(draw.choice(strangers), one[0], one[2]) for one in facts]
    everybody = sorted({who for row in train for who in names(row)})
    lines = ["\t".join(one) for one in sorted(set(facts))]
    # a knowledge base knows more people than it relates: a fact about each, of a relation that is not asked about
    return [*train, *named], [*lines, *(f"{who}\t性别\t人" for who in everybody)]


def renamed(row: dict[str, Any], head: str, tail: str) -> dict[str, Any]:
    """An unrelated sentence with two other names in it."""
    text, spans, moved = row["text"], [dict(one) for one in row["spans"]], 0
    for at, who in sorted(zip((0, 1), (head, tail), strict=True), key=lambda one: spans[one[0]]["start"]):
        start, end = spans[at]["start"] + moved, spans[at]["end"] + moved
        text = text[:start] + who + text[end:]
        moved += len(who) - (end - start)
        spans[at] = {**spans[at], "start": start, "end": start + len(who)}
    return {"text": text, "spans": spans, "relations": row["relations"], "renamed": True}


def labellers(name: str, folder: Path, arm: str, none: str) -> list[dict[str, Any]]:
    base = {"use": "knowledge_base", "path": str(folder / "kb.tsv"), "negatives": "all"}
    rules = [
        {"use": "pair_regex", "label": label, "name": f"rule:{label}", "pattern": f"{{head}}.*?(?:{words}).*?{{tail}}|{{tail}}.*?(?:{words}).*?{{head}}"}
        for label, words in RULES[name].items()
    ]  # fmt: skip
    return {
        "knowledge base, every mention": [{**base, "at_least_one": "off"}],
        "knowledge base, at least one (words)": [{**base, "at_least_one": "words"}],
        "knowledge base, at least one (vectors)": [{**base, "at_least_one": "vectors"}],
        "rules": rules,
        "knowledge base + patterns": [base, {"use": "relation_patterns"}],
        "all, majority": [base, {"use": "relation_patterns"}, *rules, {"use": "aggregate", "method": "majority"}],
        "all, auto": [base, {"use": "relation_patterns"}, *rules],
    }[arm]


ARMS = (
    "knowledge base, every mention", "knowledge base, at least one (words)", "knowledge base, at least one (vectors)",
    "rules", "knowledge base + patterns", "all, majority", "all, auto",
)  # fmt: skip
TUNED = ("knowledge base, every mention", "rules", "knowledge base + patterns", "all, auto")


def spec(
    name: str, folder: Path, source: str, construct: list[dict[str, Any]] | None, gold: bool, epochs: int
) -> dict[str, Any]:
    example = yaml.safe_load((ROOT / "examples" / name / "burnish.yaml").read_text("utf-8"))
    task = {**example["task"], "pairs": MODES[name], "unnamed": "unknown"}
    made = {
        "burnish": 1,
        "name": f"{name}-{abs(hash((source, str(construct)))) % 10**8}",
        "task": task,
        "sources": {"use": "jsonl", "path": source},
        "split": {"use": "stratified", "test": 0, "validation": 0.1},
        "train": [{"use": "tune", "epochs": epochs}],
        "evaluate": [{"use": "report", "data": str(ROOT / "examples" / name / "data/test.jsonl")}],
        "store": {"path": str(folder / "runs")},
    }
    if gold:
        made["gold"] = {"path": "gold.jsonl"}
    return {**made, **({"construct": construct} if construct else {})}


def run(made: dict[str, Any], folder: Path, to: str | None) -> Path:
    path = folder / "burnish.yaml"
    path.write_text(yaml.safe_dump(made, allow_unicode=True), "utf-8")
    return burnish.run(burnish.load_spec(path), to=to, progress=Plain(every_s=60))


def label_quality(folder: Path, truth: list[dict[str, Any]], none: str) -> dict[str, Any]:
    """Of what is said about the marked pairs: precision, recall, F1; the share of sentences with a target."""
    import pyarrow.parquet as pq

    rows = {
        (one.text, *((s["start"], s["end"]) for s in (one.spans or []))): one
        for one in map(Record.from_row, pq.read_table(folder / "construct/records.parquet").to_pylist())
    }
    hit = said = true = covered = 0
    for row in truth:
        found = rows[row["text"], *((s["start"], s["end"]) for s in row["spans"])]
        wanted = {(r["head"], r["tail"], r["label"]) for r in row["relations"] if r["label"] != none}
        told = {(r["head"], r["tail"], r["label"]) for r in found.relations or () if r["label"] != none}
        hit, said, true = hit + len(wanted & told), said + len(told), true + len(wanted)
        covered += found.relations is not None
    return {
        "precision": hit / max(said, 1),
        "recall": hit / max(true, 1),
        "f1": 2 * hit / max(said + true, 1),
        "said": said,
        "covered": covered / len(truth),
    }


def test_f1(folder: Path) -> float:
    return float(json.loads((folder / "evaluation/report.json").read_text("utf-8"))["micro_f1"])


def measure(name: str, limit: int, epochs: int, tuned: bool) -> dict[str, Any]:
    none = {"people": "unknown", "semeval2010": "Other"}[name]
    train = [row for row in read(ROOT / "examples" / name / "data/train.jsonl") if len(row["spans"]) == 2]
    corpus, lines = corpus_of(name, train, none, limit)
    unique = {(row["text"], *names(row), *(s["start"] for s in row["spans"])): row for row in corpus}
    corpus = list(unique.values())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "kb.tsv").write_text("\n".join(lines) + "\n", "utf-8")
        write(folder / "corpus.jsonl", [{key: row[key] for key in ("text", "spans")} for row in corpus])
        write(folder / "labelled.jsonl", [row for row in corpus])
        by_label: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in corpus:
            by_label[(triple(row, none) or ("", none, ""))[1]].append(row)
        draw = random.Random(1)
        gold = [one for rows in by_label.values() for one in draw.sample(rows, min(GOLD_EACH, len(rows)))]
        write(folder / "gold.jsonl", gold)
        found: dict[str, Any] = {
            "sentences": len(corpus), "of them with another pair's names": sum(bool(row.get("renamed")) for row in corpus),
            "triples": len([line for line in lines if "\t性别\t" not in line]), "gold": len(gold), "labels": {}, "test": {},
            "epochs": epochs, "limit": limit,
        }  # fmt: skip
        for arm in ARMS:
            began = time.perf_counter()
            made = spec(name, folder, "corpus.jsonl", labellers(name, folder, arm, none), arm == "all, auto", epochs)
            quality = label_quality(run(made, folder, "construct"), corpus, none)
            found["labels"][arm] = {**quality, "seconds": round(time.perf_counter() - began, 1)}
            print(name, arm, {key: round(value, 3) for key, value in quality.items()}, flush=True)
        for arm in TUNED if tuned else ():
            made = spec(name, folder, "corpus.jsonl", labellers(name, folder, arm, none), arm == "all, auto", epochs)
            found["test"][arm] = test_f1(run(made, folder, None))
            print(name, "tuned on", arm, found["test"][arm], flush=True)
        for arm, source in (("gold alone", "gold.jsonl"), ("all true labels", "labelled.jsonl")) if tuned else ():
            more = 4 if arm == "gold alone" else 1  # few records need more passes
            found["test"][arm] = test_f1(run(spec(name, folder, source, None, False, epochs * more), folder, None))
            print(name, arm, found["test"][arm], flush=True)
    return found


def table(found: dict[str, Any], command: str) -> str:
    lines = [
        "# Relations by distant supervision", "", re.sub(r"\n +", "\n", (__doc__ or "").split("What supervises. ")[1]).strip(),
        "", f"command: `{command}`  ", f"date: {datetime.date.today()}, burnish {burnish.__version__}  ", "",
    ]  # fmt: skip
    for name, one in found.items():
        lines += [
            f"## {name}: {one['sentences']:,} sentences ({one['of them with another pair' + chr(39) + 's names']:,} with another pair's names), {one['triples']:,} triples",
            "", "| source | precision | recall | label F1 | sentences with a target | test F1 of the tuned model |", "|---|--:|--:|--:|--:|--:|",
        ]  # fmt: skip
        for arm, q in one["labels"].items():
            tested = f"{one['test'][arm]:.3f}" if arm in one["test"] else ""
            lines.append(
                f"| {arm} | {q['precision']:.3f} | {q['recall']:.3f} | {q['f1']:.3f} | {q['covered']:.1%} | {tested} |"
            )
        for arm in ("gold alone", "all true labels"):
            if arm in one["test"]:
                count = f" ({one['gold']})" if arm == "gold alone" else ""
                lines.append(f"| {arm}{count} | 1 | | | | {one['test'][arm]:.3f} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*MODES], default=[*MODES])
    parser.add_argument("--limit", type=int, default=1500, help="sentences of the training side")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--labels-only", action="store_true")
    asked = parser.parse_args()
    stored = RESULTS.with_suffix(".json")
    found = json.loads(stored.read_text("utf-8")) if stored.exists() else {}
    for name in asked.names:
        measured = measure(name, asked.limit, asked.epochs, not asked.labels_only)
        if asked.labels_only:
            continue
        found[name] = measured
        stored.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
        command = f"python benchmarks/construct_relations.py --limit {asked.limit} --epochs {asked.epochs}"
        RESULTS.with_suffix(".md").write_text(table(found, command) + "\n", "utf-8")


if __name__ == "__main__":
    main()
