"""Lines a second of `burnish predict` beside the bare engine on the same texts, in one run.

    python benchmarks/predict.py --deploy examples/sms/runs/sms/deploy [--lines 40000] [--out benchmarks/results/predict.md]

--deploy: a folder with model.onnx, tokenizer.json, burnish.json of a classifier. The texts are those of benchmarks/serve.py
(SST-2 where it lies beside the repository, else made-up ones), 5 to 60 words, as JSONL with an id and a source beside them.
The bare engine gets the texts as a list in memory, encodes them at once, computes batches of like length out of all of
them, one thread a core, and keeps an array: no file, no JSON, no answers. Rounds take turns; the median of each counts.
Seconds on the clock, and CPU-seconds of the process: where others share the cores, the latter are the ones to compare.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import serve  # its texts


def texts_of(count: int) -> list[str]:
    own = serve.read_texts(None, count)
    return (own * (count // len(own) + 1))[:count]


def bare(deploy: Path, texts: list[str]) -> tuple[float, float]:
    """Texts a second, and a CPU-second, encoding included."""
    from burnish.tasks.predictor import load

    predictor = load(deploy)
    inputs = [predictor.task.input(text) for text in texts]
    predictor.engine.outputs(predictor.encode(inputs[:256]))
    began, spent = time.perf_counter(), time.process_time()
    predictor.engine.outputs(predictor.encode(inputs))
    return len(texts) / (time.perf_counter() - began), len(texts) / (time.process_time() - spent)


def predicted(deploy: Path, file: Path) -> tuple[float, float]:
    """Lines a second, and a CPU-second, of the command, once it runs; opening the model counts in neither."""
    from burnish.batch import predict_file

    little = file.with_name("little.jsonl")
    little.write_text('{"text": "warm up"}\n', encoding="utf-8")
    began = time.process_time()
    predict_file(deploy, little, little.with_suffix(".out"))
    opening = time.process_time() - began
    began = time.process_time()
    done = predict_file(deploy, file, file.with_suffix(".out"))
    return float(done["lines_per_s"]), done["lines"] / (time.process_time() - began - opening)


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
            (bare_s, bare_cpu), (ours_s, ours_cpu) = bare(args.deploy, texts), predicted(args.deploy, file)
            rows.append({"bare": bare_s, "bare_cpu": bare_cpu, "ours": ours_s, "ours_cpu": ours_cpu})
            print(json.dumps(rows[-1]), flush=True)
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    shares = {kind: [row["ours" + kind] / row["bare" + kind] for row in rows] for kind in ("", "_cpu")}
    share = {kind: statistics.median(some) for kind, some in shares.items()}
    page = f"""# Batch scoring of a file

command: python benchmarks/predict.py --deploy {args.deploy} --lines {args.lines} --rounds {args.rounds}
date: {time.strftime("%Y-%m-%d")}
model: what `make demo` leaves (MiniLM, int8), {len(texts):,} texts of 5 to 60 words as JSONL
versions: onnxruntime {importlib.metadata.version("onnxruntime")}, tokenizers {importlib.metadata.version("tokenizers")}

| | a second | of the engine | a CPU-second | of the engine |
|---|--:|--:|--:|--:|
| the engine on texts in memory, all of them sorted into batches | {middle["bare"]:,.0f} | 100% | {middle["bare_cpu"]:,.0f} | 100% |
| `burnish predict`, from JSONL to JSONL | {middle["ours"]:,.0f} | {share[""]:.0%} | {middle["ours_cpu"]:,.0f} | {share["_cpu"]:.0%} |

Shares are medians of {args.rounds} rounds, in which the two take turns; by CPU-seconds: {", ".join(f"{one:.1%}" for one in shares["_cpu"])}. Load of the machine
at the end, {os.cpu_count()} cores: {os.getloadavg()[0]:.1f}.
"""
    print(page)
    if args.out:
        args.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
