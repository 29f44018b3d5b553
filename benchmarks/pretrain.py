"""What pre-training is worth: from random weights in English and Chinese, and on the texts of a domain.

    python benchmarks/pretrain.py scratch --language en --minutes 20
    python benchmarks/pretrain.py scratch --language zh --minutes 20
    python benchmarks/pretrain.py domain --minutes 10

scratch: a network and a tokenizer learnt from text that has no labels (English: WikiText-2, This Week in Rust, BBC news, AG
News; Chinese: part of Wikipedia), then tuned by a spec on some labels of SST-2 and CoNLL-2003, or of THUCNews titles and
CLUENER, beside the same architecture and tokenizer from random weights; both as `auto` does it and with a higher rate and
more passes, whichever is better on the validation side. domain: MiniLM goes on with the medical abstracts of OHSUMED's
training side, and both are tuned on some of their labels.
minutes: of train.pretrain, by the clock, on one thread. Results go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import lzma
import re
import shutil
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sets_en
import sets_zh

Texts = list[str]
TASKS = {
    "en": [("sst2", "classification", 300), ("sst2", "classification", 1500), ("conll2003", "tagging", 1500)],
    "zh": [("thucnews", "classification", 300), ("thucnews", "classification", 1500), ("cluener", "tagging", 1500)],
    "domain": [("ohsumed", "classification", 2000)],
}
WAYS: tuple[dict[str, Any], ...] = ({}, {"learning_rate": 2e-3, "epochs": 20})  # settings of train.tune


def english(data: Path) -> Iterator[str]:
    """Paragraphs and articles without labels; nothing of SST-2."""
    for side in ("valid", "test"):
        text = lzma.decompress((data / f"wikitext2-valtest-en/{side}.txt.xz").read_bytes()).decode()
        yield from (part for part in re.split(r"\n = [^=].*\n", text.replace(" @-@ ", "-")) if len(part) > 200)
    with tarfile.open(data / "this-week-in-rust-en/twir.tar.xz") as tar:
        for member in tar:
            if member.isfile():
                text = tar.extractfile(member).read().decode("utf-8", "replace")  # type: ignore[union-attr]
                yield re.sub(r"\]\([^)]*\)|https?://\S+|[*#\[]", "", text)
    with tarfile.open(data / "bbc-news-en/bbc_news_summary.tar.xz") as tar:
        for member in tar:
            if member.isfile() and "News Articles" in member.name:
                yield tar.extractfile(member).read().decode("latin-1")  # type: ignore[union-attr]
    yield from _agnews(data)


def _agnews(data: Path) -> Iterator[str]:
    import csv
    import io

    text = lzma.decompress((data / "agnews-en/test.csv.xz").read_bytes()).decode()
    yield from (f"{title}. {body}" for _, title, body in csv.reader(io.StringIO(text)))


def chinese(data: Path) -> Iterator[str]:
    """Articles of Wikipedia, longer than a line; where the archive was cut off, those before."""
    try:
        with tarfile.open(data / "zhwiki-part-zh/zhwiki_part1.tar.xz", "r|xz") as tar:
            for member in tar:
                if member.isfile():
                    text = tar.extractfile(member).read().decode()  # type: ignore[union-attr]
                    articles = (one.strip() for one in re.split(r"<doc [^>]*>|</doc>", text))
                    yield from (one for one in articles if len(one) > 100)
    except (EOFError, tarfile.ReadError) as error:
        print(f"zhwiki_part1.tar.xz ends early: {error}", flush=True)


def context_of(folder: Path, languages: tuple[str, ...], seed: int, labels: Texts) -> Any:
    from burnish.core.progress import Plain
    from burnish.core.stage import Context, TaskSpec

    task = TaskSpec("classification", tuple(labels), languages=languages)
    return Context(task, seed, folder, folder / "scratch", folder / "cache", Plain(60.0), "bench" + "0" * 27)


def learnt(texts: Texts, context: Any, *, minutes: float, **settings: Any) -> Any:
    """What train.pretrain makes of the texts in so many minutes of training."""
    from burnish.core.artifacts import Records
    from burnish.core.records import Record
    from burnish.train.pretrain import pretrain

    records = Records.from_rows(Record(text=text, id=str(at)) for at, text in enumerate(texts))
    return pretrain(records, None, None, context, minutes=minutes, **settings)


@dataclass(frozen=True)
class Downstream:
    """What is learnt afterwards: records of a set, so many of them labelled for training and validation."""

    name: str
    type: str
    language: str
    records: int
    rows: list[Any]
    test: list[Any]
    labels: Texts

    @property
    def title(self) -> str:
        return f"{self.name}, {self.records:,} labelled"


def downstream(
    asked: Sequence[tuple[str, str, int]], language: str, args: argparse.Namespace, seed: int
) -> list[Downstream]:
    """Sets with drawn records; fewer are the first of more."""
    made = []
    for name, kind, records in asked:
        sides = getattr(sets_en if language == "en" else sets_zh, name)(args.data)
        rows, test = drawn(sides.train, records, seed), drawn(sides.test, args.test, 0)
        found = {row["label"] for row in sides.train} if kind == "classification" else set()
        found |= (
            {span["label"] for row in sides.train for span in row.get("spans") or ()} if kind == "tagging" else set()
        )
        made.append(Downstream(name, kind, language, records, rows, test, sorted(found)))
    return made


def drawn(rows: list[Any], count: int, seed: int) -> list[Any]:
    return [rows[at] for at in np.random.default_rng(seed).permutation(len(rows))[:count]]


def tuned(backbone: Path, task: Downstream, ways: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Tuned by a spec in every way; the chief figure on the test side of the way that is best on the validation side."""
    runs = [_run(backbone, task, way, seed) for way in ways]
    return max(runs, key=lambda run: run["validation"])


def _run(backbone: Path, task: Downstream, way: dict[str, Any], seed: int) -> dict[str, Any]:
    import yaml

    import burnish
    from burnish.core.pipeline import run
    from burnish.core.progress import Silent
    from burnish.core.records import Record, to_table
    from burnish.core.spec import load

    with tempfile.TemporaryDirectory(prefix="burnish-pretrain-") as place:
        base = Path(place)
        (base / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in task.rows), "utf-8")
        spec = {
            "burnish": 1,
            "name": "one",
            "seed": seed,
            "task": {"type": task.type, "labels": task.labels, "languages": [task.language]},
            "sources": [{"use": "jsonl", "path": "train.jsonl"}],
            "split": {"use": "stratified", "test": 0, "validation": 0.2},
            "train": [{"use": "tune", "backbone": str(backbone), **way}],
        }
        (base / "burnish.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), "utf-8")
        run(load(base / "burnish.yaml"), to="train", progress=Silent())
        predictor = burnish.load(base / "runs" / "one")
        judge = predictor.task
        kept = ("text", "label", "spans")
        table = to_table(Record(**{key: row[key] for key in kept if key in row}) for row in task.test)
        answers = predictor.answers(judge.inputs(table))
        figure = float(judge.figures(judge.tally(table, answers).sum(0))[judge.figure])
        history = predictor.info["history"]["tune"]
    best = history["epochs"][history["best_epoch"]]["validation_score"]
    return {"validation": best, "test": figure, "figure": judge.figure, "way": way, "resolved": history["resolved"]}


def probed(backbone: Path, task: Downstream) -> float:
    """Test accuracy of a linear probe on frozen vectors of the training side."""
    from transformers import AutoTokenizer

    from burnish.nn.examples import encode
    from burnish.nn.language_models import build, vectors_of
    from burnish.nn.probe import Probe

    tokenizer, model = AutoTokenizer.from_pretrained(backbone), build(backbone)
    rows = task.rows + task.test
    examples = encode([row["text"] for row in rows], tokenizer, max_length=min(128, int(tokenizer.model_max_length)))
    vectors, cut = vectors_of(model, examples), len(task.rows)
    classes = np.array([task.labels.index(row["label"]) for row in rows])
    probe = Probe(len(task.labels), seed=0).fit(vectors[:cut], classes[:cut])
    return float((probe.probabilities(vectors[cut:]).argmax(1) == classes[cut:]).mean())


def judged(backbone: Path, tasks: Sequence[Downstream], ways: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Title of a task -> figures of what is tuned for it, and of the probe where a text has one class."""
    made: dict[str, Any] = {}
    for task in tasks:
        began = time.process_time()
        made[task.title] = tuned(backbone, task, ways, seed)
        if task.type == "classification":
            made[task.title]["probe"] = probed(backbone, task)
        made[task.title]["cpu_s"] = time.process_time() - began
        print(f"{backbone.name} seed {seed} {task.title}: {made[task.title]}", flush=True)
    return made


def scratch(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One seed: pre-trained and tuned, and tuned from random weights of the same architecture."""
    from transformers import AutoConfig, AutoTokenizer

    from burnish.nn import architectures

    texts = list((english if args.language == "en" else chinese)(args.data))
    tasks = downstream(TASKS[args.language], args.language, args, seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        context = context_of(folder, (args.language,), seed, tasks[0].labels)
        settings = {
            "size": args.size,
            "objective": {"use": "masked", "share": args.share, "whole_words": args.whole_words},
        }
        kept = args.keep / f"{args.language}-{seed}" if args.keep else folder / "kept"
        if not (kept / "told.json").is_file():
            made = learnt(texts, context, minutes=args.minutes, optimiser=args.optimiser, **settings)
            shutil.copytree(made.folder, kept / "model")
            (kept / "told.json").write_text(json.dumps(told(made.info)), "utf-8")
        model = kept / "model"
        config = AutoConfig.from_pretrained(model)
        random = architectures.make(folder / "random", config, AutoTokenizer.from_pretrained(model), seed=seed)
        about = json.loads((kept / "told.json").read_text("utf-8"))
        made = {"pre-trained": judged(model, tasks, WAYS, seed), "random": judged(random, tasks, WAYS, seed)}
        return {"pretrained": about, **made}


def domain(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One seed: MiniLM as it is and gone on with the abstracts, tuned on some labels."""
    from burnish.core.progress import Silent
    from burnish.nn.backbones import resolve

    tasks = downstream(TASKS["domain"], "en", args, seed)
    texts = [row["text"] for row in sets_en.ohsumed(args.data).train]  # without their labels; nothing of the test side
    start = resolve("minilm", languages=("en",), progress=Silent())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        context = context_of(folder, ("en",), seed, tasks[0].labels)
        made = learnt(texts, context, minutes=args.minutes, start=str(start), extend=args.extend)
        out = {"pretrained": told(made.info), "gone on": judged(made.folder, tasks, WAYS[:1], seed)}
        return out | {"as it is": judged(start, tasks, WAYS[:1], seed)}


def told(info: dict[str, Any]) -> dict[str, Any]:
    """What of a pre-training goes into the results."""
    history = info["history"]
    keep = {name: info[name] for name in ("parameters", "vocabulary", "length", "steps", "tokens", "loss")}
    keep |= {"documents": info["corpus"]["documents"], "text_tokens": info["corpus"]["tokens"]}
    keep |= {name: history[name] for name in ("cpu_seconds", "seconds", "tokens_per_s", "resolved")}
    return keep | {"held_out": [(one["step"], one["validation_loss"]) for one in history["epochs"]]}


def table(name: str, runs: list[dict[str, Any]]) -> str:
    """Markdown: tuned and probed accuracy of both starts, mean and spread over seeds."""
    first = runs[0]["pretrained"]
    lines = [
        f"## {name}",
        "",
        f"{first['parameters']:,} parameters, vocabulary {first['vocabulary']:,}, {first['documents']:,} documents of "
        f"{first['text_tokens']:,} tokens; read {first['tokens']:,} tokens in {first['steps']:,} steps, "
        f"{first['cpu_seconds'] / 60:.1f} CPU-minutes ({first['tokens'] / first['cpu_seconds']:,.0f} tokens a CPU-second). "
        f"Held-out loss {first['held_out'][0][1]:.2f} to {first['loss']:.2f} nats a token.",
        "",
        "| learnt afterwards | figure | start | tuned | linear probe |",
        "|---|---|---|--:|--:|",
    ]
    starts = [one for one in runs[0] if one != "pretrained"]
    for title in runs[0][starts[0]]:
        for start in starts:
            cells = []
            for figure in ("test", "probe"):
                values = [100 * run[start][title][figure] for run in runs if figure in run[start][title]]
                spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
                cells.append(f"{statistics.mean(values):.1f}{spread}" if values else "")
            what = runs[0][start][title]["figure"].replace("_", " ")
            lines.append(f"| {title} | {what} | {start} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("scratch", "domain"))
    parser.add_argument("--language", choices=("en", "zh"), default="en")
    parser.add_argument("--minutes", type=float, default=30.0, help="of pre-training, by the clock")
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--share", type=float, default=0.2, help="of the tokens that are told")
    parser.add_argument("--whole-words", action="store_true")
    parser.add_argument("--optimiser", choices=("adamw", "muon"), default="muon")
    parser.add_argument("--extend", type=int, default=0, help="pieces added to MiniLM's vocabulary")
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder of what was pre-trained: it is not made again")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    import torch
    import transformers

    from burnish.nn.kernels import processor_name

    torch.set_num_threads(1)
    runs = [{"scratch": scratch, "domain": domain}[args.what](args, seed) for seed in range(args.seeds)]
    name = {"scratch": f"From random weights, {args.language}", "domain": "MiniLM on medical abstracts"}[args.what]
    settings = {key: value for key, value in vars(args).items() if key not in ("data", "out", "keep")}
    path = args.out / "pretrain.json"
    kept = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    kept[name] = {
        "settings": settings,
        "date": datetime.date.today().isoformat(),
        "processor": processor_name(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "runs": runs,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
    parts = [
        table(one, about["runs"])
        + "\n\n`python benchmarks/pretrain.py "
        + " ".join([about["settings"]["what"], *_flags(about["settings"])])
        + f"`, {about['date']}, {about['processor']}, torch {about['versions']['torch']}, one thread"
        for one, about in kept.items()
    ]
    (args.out / "pretrain.md").write_text("# What pre-training is worth\n\n" + "\n\n".join(parts) + "\n", "utf-8")
    print(parts[list(kept).index(name)])


def _flags(settings: dict[str, Any]) -> list[str]:
    shown = {key: value for key, value in settings.items() if key != "what" and value not in (False, None)}
    return [f"--{key.replace('_', '-')}" + ("" if value is True else f" {value}") for key, value in shown.items()]


if __name__ == "__main__":
    main()
