"""What losses and regularisers are worth where labels are wrong, and where texts at test time are mistyped.

    python benchmarks/noise.py --sets sst2 thucnews --seeds 3 --limit 1000 --data ../shared/data

Each way is tuned twice on the same texts: with the labels as they come, and with a share of wrong ones planted in the training
and the validation side alike, for nobody has a clean validation side beside a noisy training side. The test side keeps its
labels; it is judged as it is, and with a tenth of its characters mistyped. All settings are the defaults of `train.tune`.
Accuracy in percent, mean and standard deviation over seeds; a seed draws texts, wrong labels, head and dropout.
What was measured is kept after each run, so the command may be stopped and given again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import sets_en
import sets_zh

import burnish
from burnish.core.progress import Silent
from burnish.core.stage import TaskSpec
from burnish.core.tasktypes import open_task
from burnish.nn import models
from burnish.nn.backbones import resolve
from burnish.nn.losses.base import losses
from burnish.nn.predict import predict_logits
from burnish.nn.regularisers.base import regularisers
from burnish.nn.training import Training
from burnish.train.sides import Sides
from burnish.train.teach import teach

RESULTS = Path(__file__).parent / "results" / "noise"
SETS = {
    "sst2": (sets_en.sst2, "minilm", ["en"]),
    "chnsenticorp": (sets_zh.chnsenticorp, "e5-small-zhen", ["zh"]),
    "thucnews": (sets_zh.thucnews, "e5-small-zhen", ["zh"]),
}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    **{name: {"loss": name} for name in ("focal", "gce", "symmetric", "elr")},
    **{
        name: {"regularise": name}
        for name in (
            *("co_teaching", "r_drop", "manifold_mixup", "mixout", "l2_sp", "ema", "average"),
            *("fgm", "pgd", "freelb", "smart"),
        )
    },
    "ema, average": {"regularise": ["ema", "average"]},
    "elr, ema": {"loss": "elr", "regularise": "ema"},
}
VALIDATION = 0.2  # of the records, beside those that teach
MISTYPED = 0.1  # of the characters of a test text


def planted(labels: list[str], share: float, draw: np.random.Generator) -> list[str]:
    """The labels, with this share of them another one, drawn evenly from the others."""
    names = sorted(set(labels))
    wrong = set(draw.permutation(len(labels))[: round(share * len(labels))].tolist())
    return [
        str(draw.choice([name for name in names if name != label])) if row in wrong else label
        for row, label in enumerate(labels)
    ]


def mistyped(text: str, letters: str, draw: np.random.Generator) -> str:
    """The text with about MISTYPED of its characters left out, doubled, swapped with the next or another; spaces stay."""
    made, characters = [], list(text)
    at = 0
    while at < len(characters):
        one = characters[at]
        following = characters[at + 1] if at + 1 < len(characters) else ""
        kind = int(draw.integers(4)) if not one.isspace() and draw.random() < MISTYPED else -1
        if kind == 1:
            made += [one, one]
        elif kind == 2 and following and not following.isspace():
            made += [following, one]
            at += 1
        elif kind == 3:
            made.append(letters[int(draw.integers(len(letters)))])
        elif kind != 0:
            made.append(one)
        at += 1
    return "".join(made) or text


def measured(name: str, way: str, *, wrong: float, seed: int, limit: int, tested: int, data: Path) -> dict[str, Any]:
    """Tune once, judge twice."""
    read, backbone, languages = SETS[name]
    rows = read(data)
    draw = np.random.default_rng([seed, 7])
    count = limit + round(VALIDATION * limit)
    picked = [rows.train[int(row)] for row in draw.permutation(len(rows.train))[:count]]
    labels = sorted({row["label"] for row in rows.train})
    task = open_task(TaskSpec("classification", tuple(labels), languages=tuple(languages)))
    given = planted([row["label"] for row in picked], wrong, draw)
    texts = [row["text"] for row in picked]
    sides = {
        "train": _side(texts[:limit], given[:limit]),
        "validation": _side(texts[limit:], given[limit:]),
    }
    folder = resolve(backbone, languages=languages, progress=Silent())
    settled: Any = SimpleNamespace(**sides)
    encoded = Sides(task, folder, settled, max_length="auto", soft=False)
    head = encoded.task.head()
    model = models.build(folder, head, seed=seed)
    encoded.prepare(model)
    how = WAYS[way]
    began = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        context: Any = SimpleNamespace(scratch=Path(scratch), progress=Silent(), seed=seed)
        told = teach(
            model,
            encoded.task,
            encoded,
            gold=None,
            settings=Training(checkpoint_every_s=1e9),
            balanced=False,
            label_smoothing=how.get("label_smoothing", 0.0),
            gold_epochs=0,
            loss=losses.open(how.get("loss", "cross_entropy"))[0],
            strategies=[],
            regularisers=regularisers.open(how.get("regularise", [])),
            watch=None,
            distil=None,
            context=context,
        )
    seconds = time.process_time() - began
    draw = np.random.default_rng(1)
    test = [rows.test[int(row)] for row in draw.permutation(len(rows.test))[:tested]]
    letters = "".join(sorted({letter for row in test for letter in row["text"] if not letter.isspace()}))
    noisy = [mistyped(row["text"], letters, draw) for row in test]
    right = np.array([labels.index(row["label"]) for row in test])

    def accuracy(said: list[str]) -> float:
        inputs = [{"text": text} for text in said]
        examples = encoded.task.encode(inputs, encoded.tokenizer, max_length=encoded.max_length)
        return 100 * float((predict_logits(model, examples).argmax(1) == right).mean())

    history = told["history"]["tune"]
    return {
        "test": accuracy([row["text"] for row in test]),
        "mistyped": accuracy(noisy),
        "seconds": round(seconds, 1),
        "best_epoch": history["best_epoch"],
        "epochs": len(history["epochs"]),
        "average": history["reasons"].get("average", ""),
    }


def _side(texts: list[str], labels: list[str]) -> Any:
    table = pa.table({"text": texts, "label": labels})
    return SimpleNamespace(table=lambda: table)


def shown(found: dict[str, dict[str, Any]], command: str) -> str:
    """The page: one table a set, of what was measured with every seed."""
    keys = [tuple(key.split(" | ")) for key in found]
    lines = [
        "# Wrong labels and mistyped texts",
        "",
        f"command: {command}  ",
        f"date: {datetime.date.today()}  ",
        f"versions: python {platform.python_version()}, burnish {burnish.__version__}  ",
        "Test accuracy in percent, mean ± standard deviation over the seeds (their number in the last column). The",
        "columns: labels as they come or with wrong ones planted; test texts as they are or mistyped.",
    ]
    for name, limit in dict.fromkeys((key[0], key[1]) for key in keys):
        shares = sorted({key[3] for key in keys if key[:2] == (name, limit)})
        columns = [f"{'as they come' if share == '0.0' else f'{float(share):.0%} wrong'}{kind}" for share in shares for kind in ("", ", mistyped")]  # fmt: skip
        lines += ["", f"## {name}, {limit} texts", ""]
        lines += [f"| way | {' | '.join(columns)} | CPU s | seeds |", f"|---|{'--:|' * (len(columns) + 2)}"]
        for way in dict.fromkeys(key[2] for key in keys if key[:2] == (name, limit)):
            cells, seconds, seeds = [], [], 0
            for share in shares:
                runs = [found[" | ".join(key)] for key in keys if key[:4] == (name, limit, way, share)]
                cells += [_cell([run[kind] for run in runs]) for kind in ("test", "mistyped")]
                seconds += [run["seconds"] for run in runs]
                seeds = max(seeds, len(runs))
            lines.append(f"| {way} | {' | '.join(cells)} | {statistics.mean(seconds):.0f} | {seeds} |")
    return "\n".join([*lines, ""])


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    return f"{statistics.mean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=[*SETS], default=["sst2", "thucnews"])
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=[*WAYS])
    parser.add_argument("--wrong", nargs="+", type=float, default=[0.0, 0.2], help="shares of wrong labels")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--limit", type=int, default=1000, help="training texts; a fifth of it on top for validation")
    parser.add_argument("--tested", type=int, default=1000, help="test texts")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    asked = parser.parse_args()
    stored = RESULTS.with_suffix(".json")
    found = json.loads(stored.read_text("utf-8")) if stored.exists() else {}
    command = f"python benchmarks/noise.py --sets {' '.join(asked.sets)} --seeds {asked.seeds} --limit {asked.limit} --tested {asked.tested}"  # fmt: skip
    stored.parent.mkdir(exist_ok=True)
    plan = [
        (name, way, wrong, seed)
        for seed in range(asked.seeds)
        for name in asked.sets
        for way in asked.ways
        for wrong in asked.wrong
    ]
    for name, way, wrong, seed in plan:
        key = " | ".join([name, str(asked.limit), way, str(wrong), str(seed)])
        if key in found:
            continue
        found[key] = measured(
            name, way, wrong=wrong, seed=seed, limit=asked.limit, tested=asked.tested, data=asked.data
        )
        print(key, json.dumps(found[key]), flush=True)
        stored.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
        RESULTS.with_suffix(".md").write_text(shown(found, command), "utf-8")


if __name__ == "__main__":
    main()
