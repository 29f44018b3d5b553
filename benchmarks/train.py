"""Fine-tuning side by side: burnish, the plain padded loop, Hugging Face Trainer. Same texts, same epochs, one run.

    python benchmarks/train.py --data ../shared/data --set sst2 --train 1000 --epochs 2 --seeds 2

Every contestant runs in a process of its own, one after the other, on the same number of threads. What is timed is
training alone: weights loaded and texts tokenised before (burnish's probe of the processor is inside its time).
CPU-seconds are the process's; real tokens are those that are not padding. Results go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import json
import lzma
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CONTESTANTS = ("burnish", "plain", "trainer", "trainer-bf16")
SHOWN = {
    "burnish": "burnish (auto)",
    "plain": "plain loop, padded to 128, batch 16, fp32",
    "trainer": "Trainer, length groups, batch 16, fp32",
    "trainer-bf16": "Trainer, length groups, batch 32, bf16",
}
RATES = {"plain": 5e-5, "trainer": 1e-4, "trainer-bf16": 1e-4}
MAX_LENGTH = 128

Side = tuple[list[str], list[int]]


def read_set(name: str, data: Path) -> tuple[Side, Side]:
    """(train, test) of one data set, each texts and class numbers."""
    if name == "sst2":
        train = lzma.decompress((data / "sst2-en/train.tsv.xz").read_bytes()).decode()
        test = (data / "sst2-en/test.tsv").read_text(encoding="utf-8")
        sides = [[line.rsplit("\t", 1) for line in text.splitlines()] for text in (train, test)]
        return _numbered([[(row[0], row[1]) for row in rows] for rows in sides])
    if name == "trec":
        same = {"DESC": "DESCRIPTION", "ENTY": "ENTITY", "HUM": "HUMAN", "ABBR": "ABBREVIATION", "LOC": "LOCATION"}
        same |= {"NUM": "NUMERIC"}
        out = []
        for side in ("train", "test"):
            text = (data / f"trec6-sms-lf-en/TREC/{side}.txt").read_text(encoding="latin-1")
            rows = []
            for line in text.splitlines():
                label, rest = line.split(":", 1)
                if side == "test":
                    rest = rest.split(" ", 1)[1]
                rows.append((rest.strip().lower(), same[label]))
            out.append(rows)
        return _numbered(out)
    if name == "agnews":  # only the official test split is there: its last 1,000 rows (shuffled) judge
        text = lzma.decompress((data / "agnews-en/test.csv.xz").read_bytes()).decode()
        rows = [(f"{title}. {body}", label) for label, title, body in csv.reader(io.StringIO(text))]
        rows = [rows[i] for i in _shuffled(len(rows), seed=0)]
        return _numbered([rows[:-1000], rows[-1000:]])
    raise SystemExit(f"no data set {name}")


def _numbered(sides: list[list[tuple[str, str]]]) -> tuple[Side, Side]:
    classes = sorted({label for rows in sides for _, label in rows})
    first, second = (([text for text, _ in rows], [classes.index(label) for _, label in rows]) for rows in sides)
    return first, second


def _shuffled(count: int, *, seed: int) -> list[int]:
    import numpy as np

    return np.random.default_rng(seed).permutation(count).tolist()


def contest(args: argparse.Namespace) -> dict[str, Any]:
    """One contestant, one seed, in this process."""
    import torch

    torch.set_num_threads(args.threads)
    train, test = read_set(args.set, args.data)
    rows = _shuffled(len(train[0]), seed=args.seed)[: args.train]
    train = ([train[0][i] for i in rows], [train[1][i] for i in rows])
    num_classes = max(test[1] + train[1]) + 1
    run = {"burnish": run_burnish, "plain": run_plain}.get(args.contestant, run_trainer)
    out = run(args, train, test, num_classes)
    out["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return out


class Clock:
    """Seconds and CPU-seconds of a block."""

    def __enter__(self) -> Clock:
        self.began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self.began[0], time.process_time() - self.began[1]


def figures(clock: Clock, *, examples: int, tokens: int, accuracy: float | None) -> dict[str, Any]:
    return {
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu,
        "examples_per_s": examples / clock.seconds,
        "examples_per_cpu_s": examples / clock.cpu,
        "tokens_per_cpu_s": tokens / clock.cpu,
        "accuracy": accuracy,
    }


def run_burnish(args: argparse.Namespace, train: Side, test: Side, num_classes: int) -> dict[str, Any]:
    from transformers import AutoTokenizer

    from burnish.core.progress import Silent
    from burnish.nn import batches, heads, loop
    from burnish.nn.models import Head

    tokenizer = AutoTokenizer.from_pretrained(args.backbone)
    model = heads.build(args.backbone, Head("sequence", tuple([str(i) for i in range(num_classes)])), seed=args.seed)
    sides = [batches.encode(texts, tokenizer, max_length=MAX_LENGTH).with_targets(y) for texts, y in (train, test)]
    settings = loop.Training(epochs=args.epochs)
    with Clock() as clock:
        history = loop.fit(model, sides[0], None, settings=settings, scratch=None, progress=Silent(), seed=args.seed)
    accuracy = loop.score(model, sides[1])[1]
    out = figures(clock, examples=history.examples, tokens=history.tokens, accuracy=accuracy)
    return out | {"resolved": history.resolved, "kernels": history.kernels}


def run_plain(args: argparse.Namespace, train: Side, test: Side, num_classes: int) -> dict[str, Any]:
    """The loop most tutorials print: every text padded to 128, batches of 16, AdamW, fp32."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.backbone)
    model = AutoModelForSequenceClassification.from_pretrained(args.backbone, num_labels=num_classes)
    sides = []
    for texts, y in (train, test):
        made = tokenizer(texts, padding="max_length", truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        sides.append(torch.utils.data.TensorDataset(made["input_ids"], made["attention_mask"], torch.tensor(y)))
    loader = torch.utils.data.DataLoader(sides[0], batch_size=16, shuffle=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATES["plain"])
    model.train()
    examples = tokens = 0
    with Clock() as clock:
        for _ in range(args.epochs):
            for ids, mask, y in loader:
                loss = model(input_ids=ids, attention_mask=mask, labels=y).loss
                loss.backward()
                optimiser.step()
                optimiser.zero_grad()
                examples, tokens = examples + len(ids), tokens + int(mask.sum())
                if args.plain_steps and examples >= 16 * args.plain_steps:
                    break
            if args.plain_steps and examples >= 16 * args.plain_steps:
                break
    accuracy = None
    if not args.plain_steps:
        model.eval()
        right = 0
        with torch.no_grad():
            for ids, mask, y in torch.utils.data.DataLoader(sides[1], batch_size=32):
                right += int((model(input_ids=ids, attention_mask=mask).logits.argmax(1) == y).sum())
        accuracy = right / len(test[0])
    return figures(clock, examples=examples, tokens=tokens, accuracy=accuracy)


def run_trainer(args: argparse.Namespace, train: Side, test: Side, num_classes: int) -> dict[str, Any]:
    """transformers' Trainer as its documentation uses it, with length grouping and padding to the longest."""
    import tempfile

    from datasets import Dataset, disable_progress_bars
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    disable_progress_bars()
    set_seed(args.seed)
    bf16 = args.contestant == "trainer-bf16"
    tokenizer = AutoTokenizer.from_pretrained(args.backbone)
    model = AutoModelForSequenceClassification.from_pretrained(args.backbone, num_labels=num_classes)
    sides = []
    for texts, y in (train, test):
        made = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)
        lengths = [len(ids) for ids in made["input_ids"]]
        sides.append(Dataset.from_dict({**made, "labels": y, "length": lengths}))
    tokens = sum(sides[0]["length"]) * args.epochs
    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingArguments(
            scratch,
            num_train_epochs=args.epochs,
            per_device_train_batch_size=32 if bf16 else 16,
            per_device_eval_batch_size=32,
            learning_rate=RATES[args.contestant],
            train_sampling_strategy="group_by_length",
            warmup_steps=0.1,
            bf16=bf16,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            seed=args.seed,
        )
        trainer = Trainer(
            model=model,
            args=settings,
            train_dataset=sides[0],
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda made: {"accuracy": float((made.predictions.argmax(1) == made.label_ids).mean())},
        )
        with Clock() as clock:
            trainer.train()
        accuracy = trainer.evaluate(sides[1])["eval_accuracy"]
    return figures(clock, examples=len(train[0]) * args.epochs, tokens=tokens, accuracy=accuracy)


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: the median over seeds; ratios are burnish against that row, in real tokens per CPU-second."""
    head = "| | examples/s | examples/CPU-s | real tokens/CPU-s | burnish is faster by | test accuracy | peak MiB |\n"
    lines = [head + "|---|--:|--:|--:|--:|--:|--:|"]
    ours = statistics.median(run["tokens_per_cpu_s"] for run in results["burnish"]) if results.get("burnish") else None
    for name, runs in results.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0] if _is_number(runs[0][key])}
        found = [run["accuracy"] for run in runs if run["accuracy"] is not None]
        accuracy = f"{min(found):.3f} to {max(found):.3f}" if found else "not measured"
        ratio = f"{ours / middle['tokens_per_cpu_s']:.1f}x" if ours else ""
        lines.append(
            f"| {SHOWN[name]} | {middle['examples_per_s']:.1f} | {middle['examples_per_cpu_s']:.1f} "
            f"| {middle['tokens_per_cpu_s']:,.0f} | {ratio} | {accuracy} | {middle['peak_mib']:,.0f} |"
        )
    return "\n".join(lines)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backbone", default="minilm", help="a name of `burnish backbones`, a folder, or a hub name")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--set", choices=("sst2", "trec", "agnews"), default="sst2")
    parser.add_argument("--train", type=int, default=1000, help="training examples")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain-steps", type=int, default=0, help="time only so many steps of the plain loop")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    from burnish.core.progress import Silent
    from burnish.nn.backbones import resolve

    args.backbone = str(resolve(args.backbone, languages=("en",), progress=Silent()))
    if args.contestant:
        print("RESULT " + json.dumps(contest(args)))
        return
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in args.contestants.split(",")}
    for seed in range(args.seeds):
        for name in results:
            command = [sys.executable, __file__, *sys.argv[1:], "--contestant", name, "--seed", str(seed)]
            done = subprocess.run(command, capture_output=True, text=True)
            found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            if not found:
                raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
            results[name].append(json.loads(found[0].removeprefix("RESULT ")))
            print(
                f"{name} seed {seed}: {results[name][-1]['tokens_per_cpu_s']:,.0f} real tokens/CPU-s", file=sys.stderr
            )
    write(args, results)


def write(args: argparse.Namespace, results: dict[str, list[dict[str, Any]]]) -> None:
    import torch
    import transformers

    from burnish.nn.kernels import processor_name

    facts = {
        "command": "python benchmarks/train.py "
        + " ".join(f"--{key.replace('_', '-')} {getattr(args, key)}" for key in ("set", "train", "epochs", "seeds"))
        + f" --threads {args.threads} --plain-steps {args.plain_steps}",
        "backbone": Path(args.backbone).name,
        "learning rates (not the same)": {"burnish": "auto, see the JSON", **RATES},
        "date": datetime.date.today().isoformat(),
        "processor": processor_name(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**facts, "results": results}, indent=1)
    (args.out / f"train-{args.set}.json").write_text(text + "\n", encoding="utf-8")
    told = "\n".join(f"{key}: {value}  " for key, value in facts.items())
    (args.out / f"train-{args.set}.md").write_text(f"# Training on {args.set}\n\n{told}\n\n{table(results)}\n", "utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
