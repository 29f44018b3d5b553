"""What models that write cost: tokens taught, and texts written, for a CPU-second.

    python benchmarks/generation.py train [--data examples/multi30k/data] [--steps 40]
    python benchmarks/generation.py write RUN [--data ...] [--texts 64] [--beams 1 4]
    python benchmarks/generation.py engines RUN [--data ...] [--texts 64] [--beams 1 4]

train: steps of an encoder-decoder from nothing (3 layers of 256) on the first 6,000 pairs, batches of 2,048 tokens; it uses
nothing that is new here, so an older commit answers the same question (PYTHONPATH=.../src).
write: the first texts of the test side, one at a time as a server of single requests would, then in batches; how many
answers differ.
engines: the same texts in batches, and an eighth of them one at a time, by PyTorch and by its exports (`compress.onnx` and
`compress.int8`, made here and judged on the first texts of the training side): tokens written for a CPU-second, and how many
answers are not PyTorch's. Three rounds, the engines taking turns; the best of each counts.
One thread throughout. Prints JSON lines, which results/generation.json keeps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
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


def engines(run: Path, data: Path, texts: int, beams: list[int], rounds: int = 3) -> Iterator[dict[str, Any]]:
    """Tokens written for a CPU-second by each engine, and answers that are not those of PyTorch."""
    import tempfile

    from burnish.compress.onnx import int8, onnx
    from burnish.core.records import Record, to_table
    from burnish.tasks.predictor import load, model_folder

    folder = model_folder(run, "torch")
    said = [source for source, _ in pairs(data, "test", texts)]
    talks = load(folder).task.name == "chat"

    def record(text: str, output: str) -> Record:
        turns = [{"role": "user", "content": text}, {"role": "assistant", "content": output}]
        return Record(messages=turns) if talks else Record(text=text, output=output)

    with tempfile.TemporaryDirectory() as place:
        table = to_table(record(*pair) for pair in pairs(data, "train", min(texts, 32)))
        made = {"torch": folder}
        for name, export in (("onnx", onnx), ("int8", int8)):
            began = time.process_time()
            compared = export(folder, table, Path(place) / name)
            made[name] = Path(place) / name
            yield {"what": "export", "engine": name, "cpu_s": round(time.process_time() - began, 1)} | {
                key: getattr(compared, key) for key in ("accepted", "searches", "logit_difference", "bytes_before", "bytes_after")
            }  # fmt: skip
        opened = {name: load(one) for name, one in made.items()}
        for count in beams:
            yield from _raced(opened, said, count, rounds)


def _raced(opened: Mapping[str, Any], said: list[str], beams: int, rounds: int) -> Iterator[dict[str, Any]]:
    """In batches, and the first eighth of the texts one at a time."""
    together: dict[str, float] = {}
    alone: dict[str, float] = {}
    written: dict[str, list[Any]] = {}

    def spent(predictor: Any, parts: list[list[str]]) -> tuple[float, list[list[int]]]:
        began = time.process_time()
        found = [one for part in parts for one in predictor.engine.outputs(predictor.encode(predictor.checked(part)))]
        return time.process_time() - began, [one.tolist() for one in found]

    singly = [[text] for text in said[: max(1, len(said) // 8)]]
    for predictor in opened.values():
        predictor.engine.network.generation_config.num_beams = beams
        predictor.predict(said[:2])
    few: dict[str, list[Any]] = {}
    for _ in range(rounds):
        for name, predictor in opened.items():
            seconds, written[name] = spent(predictor, [said])
            together[name] = min(together.get(name, seconds), seconds)
            seconds, few[name] = spent(predictor, singly)
            alone[name] = min(alone.get(name, seconds), seconds)
    for name in opened:
        count, some = (sum(len(one) + 1 for one in tokens[name]) for tokens in (written, few))  # with the end of each
        yield {
            "what": "engines", "engine": name, "beams": beams, "texts": len(said), "tokens": count,
            "tokens_per_cpu_s": round(count / together[name], 1), "alone_tokens_per_cpu_s": round(some / alone[name], 1),
            "different": sum(a != b for a, b in zip(written[name], written["torch"], strict=True)),
            "different_alone": sum(a != b for a, b in zip(few[name], written["torch"], strict=False)),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["train", "write", "engines"])
    parser.add_argument("run", nargs="?", type=Path, help="a run or model folder that writes (write, engines)")
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
        parser.error(f"{args.what} needs a run or model folder")
    if args.what == "engines":
        for line in engines(args.run, args.data, args.texts, args.beams):
            print(json.dumps(line), flush=True)
        return
    for beams in args.beams:
        print(json.dumps(write(args.run, args.data, args.texts, beams)), flush=True)


if __name__ == "__main__":
    main()
