"""What models that write cost: tokens taught, and texts written, for a CPU-second.

    python benchmarks/generation.py train [--data examples/multi30k/data] [--steps 40]
    python benchmarks/generation.py write RUN [--data ...] [--texts 64] [--beams 1 4]

train: steps of an encoder-decoder from nothing (3 layers of 256) on the first 6,000 pairs, batches of 2,048 tokens; it uses
nothing that is new here, so an older commit answers the same question (PYTHONPATH=.../src).
write: the first texts of the test side, one at a time as a server of single requests would, then in batches; how many
answers differ. One thread. Prints one JSON line, which results/generation.json keeps.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def pairs(folder: Path, side: str, count: int) -> list[tuple[str, str]]:
    """(source, target) of the first records of a side."""
    with (folder / f"{side}.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(count), strict=False)]
    return [(row.get("source") or row["text"], row.get("target") or row["output"]) for row in rows]


def train(data: Path, steps: int) -> dict[str, Any]:
    """Tokens read and written for a CPU-second of training steps."""
    import tempfile
    from dataclasses import replace

    from transformers import AutoTokenizer

    from burnish.core.progress import Silent
    from burnish.nn.examples import encode
    from burnish.nn.fresh import fresh
    from burnish.nn.generation_objectives import NextToken
    from burnish.nn.generators import build
    from burnish.nn.loop import fit
    from burnish.nn.models import Head
    from burnish.nn.training import Training

    said = pairs(data, "train", 6000)
    with tempfile.TemporaryDirectory() as folder:
        fresh(folder, [text for pair in said for text in pair], vocabulary=5000)
        tokenizer, model = AutoTokenizer.from_pretrained(folder), build(folder, Head("generator"), seed=0)
        read, written = (encode([pair[at] for pair in said], tokenizer, max_length=128) for at in (0, 1))
        settings = Training(steps=steps, epochs=1, learning_rate=1e-3, batch_tokens=2048)
        history = fit(
            model, replace(read, output=written), None, settings=settings, scratch=None, progress=Silent(), seed=0,
            objective=NextToken(0.1),
        )  # fmt: skip
    speed = history.tokens / history.cpu_seconds
    return {"what": "train", "steps": steps, "tokens_per_cpu_s": round(speed), "loss": round(history.losses[-1], 3)}


def write(run: Path, data: Path, texts: int, beams: int) -> dict[str, Any]:
    """CPU-seconds of writing the same texts alone and in batches."""
    from burnish.tasks.predictor import load, model_folder

    predictor = load(model_folder(run))
    engine: Any = predictor.engine
    said = [source for source, _ in pairs(data, "test", texts)]
    engine.network.generation_config.num_beams = beams
    predictor.predict(said[:1])
    began = time.process_time()
    alone = [predictor.predict([one])[0] for one in said]
    between = time.process_time()
    together = predictor.predict(said)
    end = time.process_time()
    return {
        "what": "write",
        "texts": len(said),
        "beams": beams,
        "alone_cpu_s": round(between - began, 2),
        "together_cpu_s": round(end - between, 2),
        "different": sum(a != b for a, b in zip(alone, together, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["train", "write"])
    parser.add_argument("run", nargs="?", type=Path, help="a run or model folder that writes (write)")
    parser.add_argument("--data", type=Path, default=ROOT / "examples/multi30k/data")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    if args.what == "train":
        print(json.dumps(train(args.data, args.steps)))
        return
    if args.run is None:
        parser.error("write needs a run or model folder")
    for beams in args.beams:
        print(json.dumps(write(args.run, args.data, args.texts, beams)), flush=True)


if __name__ == "__main__":
    main()
