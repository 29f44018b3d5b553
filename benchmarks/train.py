"""Fine-tuning side by side: burnish, the plain padded loop, Hugging Face Trainer. Same texts, same epochs, one run.

    python benchmarks/train.py --data ../shared/data --set sst2 --train 1000 --epochs 2 --seeds 2
    python benchmarks/train.py --task tagging --train 3000 --epochs 3            CoNLL-2003: entity F1
    python benchmarks/train.py --task pairs --train 2000                         OCNLI: accuracy
    python benchmarks/train.py --task question_answering --train 1000            SQuAD 2 by article: F1
    python benchmarks/train.py --task causal --train 300 --epochs 1              SmolLM2 with LoRA: nats a target token
    python benchmarks/train.py --task masked --backbone small --train 2000 --epochs 1               from random weights
    python benchmarks/train.py --task causal-pretraining --backbone small --train 2000 --epochs 1   the same, a decoder
    python benchmarks/train.py --contestants burnish,frozen,frozen-4,plain --name frozen       lower layers frozen

Every contestant runs in a process of its own, one after the other, on the same number of threads. What is timed is
training alone: weights loaded and texts tokenised before (burnish's probe of the processor is inside its time).
What each task's others are, and how all are scored by one figure, is in races.py.
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

import races
import races_of_text
from races import Padded, Peer, Race

CONTESTANTS = ("burnish", "plain", "trainer", "trainer-bf16")
STRATEGIES: dict[str, Any] = {  # of ours; the others move all weights
    "burnish": "full",
    "frozen": "frozen",
    "frozen-4": {"use": "frozen", "layers": 4},
    "head": "head",
}
SHOWN = {
    "burnish": "burnish (auto)",
    "frozen": "burnish, lower half frozen, its states computed once",
    "frozen-4": "burnish, lower 4 of 6 layers frozen, their states computed once",
    "head": "burnish, head alone on features computed once",
    "plain": "plain loop, padded to {padded}, batch 16, fp32",
    "trainer": "Trainer, length groups, batch 16, fp32",
    "trainer-bf16": "Trainer, length groups, batch 32, bf16",
}
RATES = {"plain": 5e-5, "trainer": 1e-4, "trainer-bf16": 1e-4}
SETS = {"pairs": "ocnli", "tagging": "conll2003", "question_answering": "squad2", "causal": "chatter"}
BACKBONES = {"pairs": "auto", "causal": "smollm2", "masked": "small", "causal-pretraining": "small"}

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


def race_of(args: argparse.Namespace) -> Race:
    """What is run: of the texts of this file, or of a prepared set."""
    if args.task != "classification":
        return races.race_of(args.task, args.set, args.data, train=args.train, test=args.test, seed=args.seed)
    sides = [
        [{"text": text, "label": str(at)} for text, at in zip(*side, strict=True)]
        for side in read_set(args.set, args.data)
    ]
    rows = _shuffled(len(sides[0]), seed=args.seed)[: args.train]
    return races.classification([sides[0][i] for i in rows], sides[1][: args.test or None])


def contest(args: argparse.Namespace) -> dict[str, Any]:
    """One contestant, one seed, in this process."""
    import torch

    torch.set_num_threads(args.threads)
    if args.task in races_of_text.KINDS:
        out = races_of_text.contest(args, figures, Clock)
        out["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return out
    race = race_of(args)
    if args.contestant in STRATEGIES:
        out = run_burnish(args, race)
    else:
        torch.manual_seed(args.seed)
        peer = race.peer(race, args.backbone, args.seed)
        out = (run_plain if args.contestant == "plain" else run_trainer)(args, race, peer)
    out["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return out | {"figure": race.name, "padded": race.padded}


class Clock:
    """Seconds and CPU-seconds of a block."""

    def __enter__(self) -> Clock:
        self.began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self.began[0], time.process_time() - self.began[1]


def figures(clock: Clock, *, examples: int, tokens: int, score: float | None) -> dict[str, Any]:
    return {
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu,
        "examples_per_s": examples / clock.seconds,
        "examples_per_cpu_s": examples / clock.cpu,
        "tokens_per_cpu_s": tokens / clock.cpu,
        "score": score,
    }


def run_burnish(args: argparse.Namespace, race: Race) -> dict[str, Any]:
    """As `train.tune` does it: the task's examples, head and objective, the one loop."""
    from burnish.core.artifacts import Records, Split
    from burnish.core.progress import Silent
    from burnish.nn import loop, models
    from burnish.nn.strategies.base import placed, strategies
    from burnish.train.sides import Sides

    nothing = Records.from_table(race.train.slice(0, 0))
    split = Split(Records.from_table(race.train), nothing, nothing)
    sides = Sides(race.task, Path(args.backbone), split, max_length=race.max_length, soft=False)
    head = race.task.head()
    model = models.build(args.backbone, head, seed=args.seed)
    sides.prepare(model)
    examples = sides.train()
    parts = placed(strategies.open(STRATEGIES[args.contestant]), model, seed=args.seed)
    settings = loop.Training(epochs="auto" if args.contestant == "head" else args.epochs)
    objective = race.task.objective()
    with Clock() as clock:
        history = loop.fit(
            model,
            examples,
            None,
            settings=settings,
            scratch=None,
            progress=Silent(),
            seed=args.seed,
            objective=objective,
            strategies=parts,
        )
    # a long record is several windows; all contestants are compared in records
    count = len(race.train) * int(history.resolved["epochs"])
    out = figures(clock, examples=count, tokens=history.tokens, score=race.learnt(model, sides, head))
    return out | {"resolved": history.resolved, "reasons": history.reasons, "kernels": history.kernels}


def run_plain(args: argparse.Namespace, race: Race, peer: Peer) -> dict[str, Any]:
    """The loop of the founding documents: every text padded to the same length."""
    import torch

    collate = Padded(peer.pads, race.padded)
    loader = torch.utils.data.DataLoader(peer.train, batch_size=16, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]
    learnt = [p for p in peer.model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learnt, lr=(RATES | peer.rates)["plain"])
    peer.model.train()
    features = tokens = 0
    most = 16 * args.plain_steps or len(peer.train) * args.epochs
    with Clock() as clock:
        while features < most:
            for batch in loader:
                loss = peer.model(**batch).loss
                loss.backward()
                optimiser.step()
                optimiser.zero_grad()
                features, tokens = features + len(batch["input_ids"]), tokens + int(batch["attention_mask"].sum())
                if features >= most:
                    break
    score = None if args.plain_steps else peer.judged(collate)
    records = features * len(race.train) / len(peer.train)
    return figures(clock, examples=round(records), tokens=tokens, score=score)


def run_trainer(args: argparse.Namespace, race: Race, peer: Peer) -> dict[str, Any]:
    """transformers' Trainer as its documentation uses it, with length grouping and padding to the longest."""
    import tempfile

    from datasets import Dataset, disable_progress_bars
    from transformers import Trainer, TrainingArguments, set_seed

    disable_progress_bars()
    set_seed(args.seed)
    bf16 = args.contestant == "trainer-bf16"
    lengths = [len(one["input_ids"]) for one in peer.train]
    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingArguments(
            scratch,
            num_train_epochs=args.epochs,
            per_device_train_batch_size=32 if bf16 else 16,
            learning_rate=(RATES | peer.rates)[args.contestant],
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
        rows = Dataset.from_list([one | {"length": n} for one, n in zip(peer.train, lengths, strict=True)])
        collate = Padded(peer.pads, None)
        trainer = Trainer(model=peer.model, args=settings, train_dataset=rows, data_collator=collate)
        with Clock() as clock:
            trainer.train()
    score = peer.judged(collate)
    return figures(clock, examples=len(race.train) * args.epochs, tokens=sum(lengths) * args.epochs, score=score)


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: the median over seeds; ratios are burnish against that row, in records per CPU-second.

    Not in tokens: who cuts a text into fewer tokens, or into fewer windows, has less work and not less speed.
    """
    about = next(iter(results.values()))[0]
    figure = about["figure"]
    head = (
        "| | examples/s | examples/CPU-s | real tokens/CPU-s | burnish is faster by | times the plain loop "
        f"| test {figure} | peak MiB |\n"
    )
    lines = [head + "|---|--:|--:|--:|--:|--:|--:|--:|"]
    ours, plain = (
        statistics.median(run["examples_per_cpu_s"] for run in results[name]) if results.get(name) else None
        for name in ("burnish", "plain")
    )
    for name, runs in results.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0] if _is_number(runs[0][key])}
        found = [run["score"] for run in runs if run["score"] is not None]
        score = f"{min(found):.3f} to {max(found):.3f}" if found else "not measured"
        ratio = f"{ours / middle['examples_per_cpu_s']:.1f}x" if ours else ""
        times = f"{middle['examples_per_cpu_s'] / plain:.1f}x" if plain else ""
        lines.append(
            f"| {SHOWN[name].format(padded=about['padded'])} | {middle['examples_per_s']:.1f} | {middle['examples_per_cpu_s']:.1f} "
            f"| {middle['tokens_per_cpu_s']:,.0f} | {ratio} | {times} | {score} | {middle['peak_mib']:,.0f} |"
        )
    return "\n".join(lines)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--task", choices=(*races.RACES, *races_of_text.KINDS), default="classification")
    parser.add_argument("--backbone", help="a name of `burnish backbones`, a folder, or a hub name; the task's own")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--set", help="sst2, trec, agnews; for the other tasks a name of `tasks.py list`; the task's own"
    )
    parser.add_argument("--train", type=int, default=1000, help="training examples")
    parser.add_argument("--test", type=int, default=0, help="test examples at most, 0 for all")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain-steps", type=int, default=0, help="time only so many steps of the plain loop")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--name", help="of the result's files; the set's, or the task's and the set's")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    from burnish.core.progress import Silent
    from burnish.nn.backbones import resolve

    args.set = args.set or SETS.get(args.task, "wikitext2" if args.task in races_of_text.KINDS else "sst2")
    languages = ("zh",) if args.task == "pairs" else ("en",)
    args.backbone = args.backbone or BACKBONES.get(args.task, "minilm")
    if args.task not in races_of_text.KINDS:  # there it is the name of a size
        args.backbone = str(resolve(args.backbone, languages=languages, progress=Silent()))
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
            run = results[name][-1]
            print(
                f"{name} seed {seed}: {run['examples_per_cpu_s']:,.1f} examples/CPU-s, {run['score']}", file=sys.stderr
            )
    write(args, results)


def write(args: argparse.Namespace, results: dict[str, list[dict[str, Any]]]) -> None:
    import torch
    import transformers

    from burnish.nn.kernels import processor_name

    facts = {
        "command": "python benchmarks/train.py "
        + " ".join(
            f"--{key.replace('_', '-')} {getattr(args, key)}"
            for key in ("task", "set", "train", "test", "epochs", "seeds")
        )
        + f" --threads {args.threads} --plain-steps {args.plain_steps}"
        + (f" --contestants {args.contestants} --name {args.name}" if args.name else ""),
        "backbone": Path(args.backbone).name,
        "learning rates (not the same)": {
            "burnish": "auto, see the JSON",
            **RATES,
            **(races.LORA_RATES if args.task == "causal" else {}),
        }
        if args.task not in races_of_text.KINDS
        else f"{races_of_text.RATE} for all",
        "date": datetime.date.today().isoformat(),
        "processor": processor_name(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**facts, "results": results}, indent=1)
    name = args.set if args.task == "classification" else f"{args.task.replace('_', '-')}-{args.set}"
    name = args.name or name
    (args.out / f"train-{name}.json").write_text(text + "\n", encoding="utf-8")
    told = "\n".join(f"{key}: {value}  " for key, value in facts.items())
    (args.out / f"train-{name}.md").write_text(
        f"# Training on {args.set} ({args.task})\n\n{told}\n\n{table(results)}\n", "utf-8"
    )
    print(table(results))


if __name__ == "__main__":
    main()
