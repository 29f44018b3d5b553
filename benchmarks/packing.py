"""Tokens a second from text to packed windows: burnish's corpus beside datasets.map + group_texts, one process.

    OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 python benchmarks/packing.py --data ../shared/data [--bytes 20000000]

The peer is the script every tutorial of transformers has (examples/pytorch/language-modeling/run_clm.py): tokenise in
batches of 1,000, join, cut into windows of one length. Both read the same documents from memory with the same tokenizer,
an eos behind each, and both write to disk. Memory is the peak of the process that does the one or the other.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path
from typing import Any

from corpora import documents

LENGTH = 512
NAMES = {"en": ("rust", "medical-all"), "zh": ("zhwiki",)}


def texts_of(language: str, data: Path, size: int) -> list[str]:
    """Documents of about `size` bytes."""
    found: list[str] = []
    total = 0
    for name in NAMES[language]:
        for row in documents(name, data):
            found.append(row["text"])
            total += len(row["text"].encode())
            if total >= size:
                return found
    return found


def ours(texts: list[str], tokenizer: Any, folder: Path) -> int:
    from burnish.nn.corpus import build

    return int(build(folder / "corpus", texts, tokenizer, length=LENGTH, held_out=0.0).facts["tokens"])


def theirs(texts: list[str], tokenizer: Any, folder: Path) -> int:
    import datasets

    datasets.disable_progress_bars()

    def tokenise(batch: dict[str, list[str]]) -> Any:
        made = tokenizer(batch["text"], return_attention_mask=False, return_token_type_ids=False)
        return {"input_ids": [[*ids, tokenizer.eos_token_id] for ids in made["input_ids"]]}

    def group(batch: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        whole = list(chain(*batch["input_ids"]))
        count = len(whole) // LENGTH * LENGTH
        cut = [whole[at : at + LENGTH] for at in range(0, count, LENGTH)]
        return {"input_ids": cut, "labels": cut.copy()}

    raw = datasets.Dataset.from_dict({"text": texts})
    raw.save_to_disk(folder / "raw")
    raw = datasets.load_from_disk(folder / "raw")
    tokens = raw.map(tokenise, batched=True, remove_columns=["text"])
    windows = tokens.map(group, batched=True)
    return len(windows) * LENGTH


def one(asked: argparse.Namespace) -> None:
    """One side in a process of its own: seconds, tokens, peak memory above what it began with."""
    from transformers import AutoTokenizer

    texts = texts_of(asked.language, asked.data, asked.bytes)
    tokenizer = AutoTokenizer.from_pretrained(asked.tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        tokens = {"ours": ours, "theirs": theirs}[asked.side](texts, tokenizer, Path(folder))
        after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        json.dumps(
            {
                "side": asked.side,
                "characters": sum(map(len, texts)),
                "tokens": tokens,
                "seconds": round(time.perf_counter() - began, 2),
                "cpu_seconds": round(cpu, 2),
                "tokens_per_cpu_s": round(tokens / cpu),
                "more_mb": round((after.ru_maxrss - before.ru_maxrss) / 1024),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bytes", type=int, default=20_000_000)
    parser.add_argument("--side", choices=["ours", "theirs"])
    parser.add_argument("--language", choices=NAMES)
    parser.add_argument("--tokenizer", type=Path)
    asked = parser.parse_args()
    if asked.side:
        one(asked)
        return
    from burnish.nn.pieces import learn

    for language in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            texts = texts_of(language, asked.data, asked.bytes)
            began = time.process_time()
            learn(texts, vocabulary=16_000, characters=4_000_000).save_pretrained(folder)
            print(json.dumps({"language": language, "learnt_cpu_s": round(time.process_time() - began, 1)}), flush=True)
            for side in ("theirs", "ours"):
                command = [sys.executable, __file__, "--side", side, "--language", language, "--tokenizer", folder]
                command += ["--data", str(asked.data), "--bytes", str(asked.bytes)]
                print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
