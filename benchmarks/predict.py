"""Lines a second of `burnish predict` beside the bare engine on the same texts, in one run.

    python benchmarks/predict.py --deploy examples/sms/runs/sms/deploy [--lines 40000] [--out benchmarks/results/predict.md]

--deploy: a folder with model.onnx, tokenizer.json, burnish.json of a classifier. The texts are those of benchmarks/serve.py
(SST-2 where it lies beside the repository, else made-up ones), 5 to 60 words, as JSONL with an id and a source beside them.
The bare engine gets the texts as a list in memory, encodes them at once, computes batches of like length out of all of
them, one thread a core, and keeps an array: no file, no JSON, no answers. Rounds take turns; the median of each counts.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import tempfile
import time
from pathlib import Path

import serve  # its texts


def texts_of(count: int) -> list[str]:
    own = serve.read_texts(None, count)
    return (own * (count // len(own) + 1))[:count]


def bare(deploy: Path, texts: list[str]) -> tuple[float, float]:
    """Texts a second with and without encoding them."""
    from burnish.tasks.predictor import load

    predictor = load(deploy)
    inputs = [predictor.task.input(text) for text in texts]
    predictor.engine.outputs(predictor.encode(inputs[:256]))
    began = time.perf_counter()
    examples = predictor.encode(inputs)
    encoded = time.perf_counter()
    predictor.engine.outputs(examples)
    end = time.perf_counter()
    return len(texts) / (end - began), len(texts) / (end - encoded)


def predicted(deploy: Path, file: Path) -> float:
    """Lines a second of the command."""
    from burnish.batch import predict_file

    return float(predict_file(deploy, file, file.with_suffix(".out"))["lines_per_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deploy", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    texts = texts_of(args.lines)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "in.jsonl"
        lines = (json.dumps({"id": at, "source": "sst2", "text": text}) for at, text in enumerate(texts))
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        for _ in range(args.rounds):
            both, engine = bare(args.deploy, texts)
            rows.append({"bare": both, "bare_encoded": engine, "predict": predicted(args.deploy, file)})
            print(json.dumps(rows[-1]), flush=True)
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    share = statistics.median(row["predict"] / row["bare"] for row in rows)
    page = f"""# Batch scoring of a file

command: python benchmarks/predict.py --deploy {args.deploy} --lines {args.lines} --rounds {args.rounds}
date: {time.strftime("%Y-%m-%d")}
model: what `make demo` leaves (MiniLM, int8), {len(texts):,} texts of 5 to 60 words as JSONL
versions: onnxruntime {importlib.metadata.version("onnxruntime")}, tokenizers {importlib.metadata.version("tokenizers")}

| | lines a second | of the engine |
|---|--:|--:|
| the engine on texts in memory, all of them sorted into batches, encoding included | {middle["bare"]:,.0f} | 100% |
| the same without encoding | {middle["bare_encoded"]:,.0f} | |
| `burnish predict`, from JSONL to JSONL | {middle["predict"]:,.0f} | {share:.0%} |

The share is the median of {args.rounds} rounds, in which the two take turns: {", ".join(f"{row['predict'] / row['bare']:.1%}" for row in rows)}.
"""
    print(page)
    if args.out:
        args.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
