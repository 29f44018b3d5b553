"""What pre-training is worth: from random weights in English and Chinese, and on the texts of a domain.

    python benchmarks/pretrain.py scratch --language en --minutes 20
    python benchmarks/pretrain.py scratch --language zh --minutes 20
    python benchmarks/pretrain.py domain --minutes 10 --train 2000

scratch: a network and a tokenizer learnt from text that has no labels (English: WikiText-2, This Week in Rust, BBC news, AG
News; Chinese: part of Wikipedia), then tuned on SST-2 or THUCNews titles beside the same architecture, tokenizer and
texts from random weights; both get the better of two learning rates (by validation), for each number of labels.
domain: MiniLM goes on with the medical abstracts of OHSUMED's training side, and both are tuned on some of their labels.
minutes: of train.pretrain, by the clock, on one thread. Results go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import lzma
import re
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sets_en
import sets_zh

Texts = list[str]


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


def tuned(
    folder: Path, sides: dict[str, list[Any]], labels: Texts, *, rate: float, seed: int, epochs: int
) -> dict[str, float]:
    """Accuracy on validation and test of a classifier on a backbone."""
    from transformers import AutoTokenizer

    from burnish.core.progress import Silent
    from burnish.nn import heads, loop, one_class
    from burnish.nn.examples import encode
    from burnish.nn.models import Head

    tokenizer = AutoTokenizer.from_pretrained(folder)
    limit = min(128, int(tokenizer.model_max_length))
    made = {}
    for name, rows in sides.items():
        targets = [labels.index(row["label"]) for row in rows]
        made[name] = encode([row["text"] for row in rows], tokenizer, max_length=limit).with_targets(targets)
    model = heads.build(folder, Head("sequence", tuple(labels)), seed=seed)
    _centre(model, made["train"])
    settings = loop.Training(epochs=epochs, learning_rate=rate, patience=2)
    history = loop.fit(
        model, made["train"], made["validation"], settings=settings, scratch=None, progress=Silent(), seed=seed
    )
    best = max(one.validation_score or 0.0 for one in history.epochs)
    return {"validation": best, "test": one_class.score(model, made["test"])[1], "rate": rate}


def _centre(model: Any, examples: Any) -> None:
    """Start the head at the deviation from the mean text, as train.tune does for a backbone that says `centred`."""
    import torch

    from burnish.nn.batches import make_batch

    batch = make_batch(examples, np.arange(min(256, len(examples))), pad_token=0)
    model.eval()
    with torch.inference_mode():
        mean = model.pooled(batch.ids_BL, batch.mask_BL, batch.types_BL).mean(0)
    model.centre(mean.clone())


def probed(folder: Path, sides: dict[str, list[Any]], labels: Texts) -> float:
    """Test accuracy of a linear probe on frozen vectors of the training side."""
    from transformers import AutoTokenizer

    from burnish.nn.examples import encode
    from burnish.nn.language_models import build, vectors_of
    from burnish.nn.probe import Probe

    tokenizer, model = AutoTokenizer.from_pretrained(folder), build(folder)
    rows = sides["train"] + sides["test"]
    examples = encode([row["text"] for row in rows], tokenizer, max_length=min(128, int(tokenizer.model_max_length)))
    vectors, cut = vectors_of(model, examples), len(sides["train"])
    classes = np.array([labels.index(row["label"]) for row in rows])
    probe = Probe(len(labels), seed=0).fit(vectors[:cut], classes[:cut])
    return float((probe.probabilities(vectors[cut:]).argmax(1) == classes[cut:]).mean())


def best_of(folder: Path, sides: dict[str, list[Any]], labels: Texts, *, seed: int, epochs: int) -> dict[str, float]:
    """The better of two learning rates, by validation."""
    runs = [tuned(folder, sides, labels, rate=rate, seed=seed, epochs=epochs) for rate in (7e-4, 2e-3)]
    return max(runs, key=lambda run: run["validation"])


def drawn(rows: list[Any], count: int, seed: int) -> list[Any]:
    return [rows[at] for at in np.random.default_rng(seed).permutation(len(rows))[:count]]


def downstream(args: argparse.Namespace, sides: Any, seed: int) -> tuple[dict[int, dict[str, list[Any]]], Texts]:
    """Number of labelled texts -> sides of them, and the labels; fewer are the first of more."""
    drawn_all, test = drawn(sides.train, max(args.train) + 500, seed), drawn(sides.test, args.test, 0)
    parts = {
        count: {"train": drawn_all[500 : 500 + count], "validation": drawn_all[:500], "test": test}
        for count in args.train
    }
    return parts, sorted({row["label"] for row in sides.train})


def scratch(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One seed: pre-trained, tuned, and both again from random weights."""
    from transformers import AutoConfig, AutoTokenizer

    from burnish.nn import architectures

    texts = list((english if args.language == "en" else chinese)(args.data))
    sides = (sets_en.sst2 if args.language == "en" else sets_zh.thucnews)(args.data)
    parts, labels = downstream(args, sides, seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        context = context_of(folder, (args.language,), seed, labels)
        settings = {
            "size": args.size,
            "objective": {"use": "masked", "share": args.share, "whole_words": args.whole_words},
        }
        made = learnt(texts, context, minutes=args.minutes, optimiser=args.optimiser, **settings)
        config = AutoConfig.from_pretrained(made.folder)
        random = architectures.make(folder / "random", config, AutoTokenizer.from_pretrained(made.folder), seed=seed)
        out = {"pretrained": told(made.info)}
        for name, backbone in (("pre-trained", made.folder), ("random", random)):
            out[name] = judged(backbone, parts, labels, lambda *found: best_of(*found, seed=seed, epochs=args.epochs))
            print(f"{args.language} seed {seed} {name}: {out[name]}", flush=True)
    return out


def judged(
    folder: Path, parts: dict[int, Any], labels: Texts, learn: Callable[..., dict[str, float]]
) -> dict[str, Any]:
    """Number of labelled texts -> figures of what is tuned on them, and of the probe."""
    made: dict[str, Any] = {}
    for count, sides in parts.items():
        began = time.process_time()
        made[str(count)] = learn(folder, sides, labels) | {"probe": probed(folder, sides, labels)}
        made[str(count)]["tune_cpu_s"] = time.process_time() - began
    return made


def domain(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One seed: MiniLM as it is and gone on with the abstracts, tuned on some labels."""
    from burnish.core.progress import Silent
    from burnish.nn.backbones import resolve

    sides = sets_en.ohsumed(args.data)
    parts, labels = downstream(args, sides, seed)
    texts = [row["text"] for row in sides.train]  # without their labels; nothing of the test side
    start = resolve("minilm", languages=("en",), progress=Silent())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        context = context_of(folder, ("en",), seed, labels)
        made = learnt(texts, context, minutes=args.minutes, start=str(start), extend=args.extend)
        out = {"pretrained": told(made.info)}
        for name, backbone in (("gone on", made.folder), ("as it is", start)):
            out[name] = judged(
                backbone, parts, labels, lambda *found: tuned(*found, rate=3e-4, seed=seed, epochs=args.epochs)
            )
            print(f"domain seed {seed} {name}: {out[name]}", flush=True)
    return out


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
        "| labelled texts | start | tuned | linear probe |",
        "|--:|---|--:|--:|",
    ]
    starts = [one for one in runs[0] if one != "pretrained"]
    for count in runs[0][starts[0]]:
        for start in starts:
            cells = []
            for figure in ("test", "probe"):
                values = [100 * run[start][count][figure] for run in runs]
                spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
                cells.append(f"{statistics.mean(values):.1f}{spread}")
            lines.append(f"| {int(count):,} | {start} | {cells[0]} | {cells[1]} |")
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
    parser.add_argument("--train", type=int, nargs="+", default=[300, 1500], help="labelled training texts")
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    import torch
    import transformers

    from burnish.nn.kernels import processor_name

    torch.set_num_threads(1)
    runs = [{"scratch": scratch, "domain": domain}[args.what](args, seed) for seed in range(args.seeds)]
    name = {"scratch": f"From random weights, {args.language}", "domain": "MiniLM on medical abstracts"}[args.what]
    settings = {key: value for key, value in vars(args).items() if key not in ("data", "out")}
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
    said = {key: " ".join(map(str, value)) if isinstance(value, list) else value for key, value in shown.items()}
    return [f"--{key.replace('_', '-')}" + ("" if value is True else f" {value}") for key, value in said.items()]


if __name__ == "__main__":
    main()
