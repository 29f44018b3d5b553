"""Peak memory and CPU-seconds per GB of the streaming stages, as the data grows fourfold.

    python benchmarks/quality_memory.py [--megabytes 5 20] [--out benchmarks/results]

Records of 500 to 1,500 characters of made-up words, one in ten a copy with a changed word. Each run is a process of its
own: parquet in, stage, parquet out. What is left of the peak when the imports (an empty run) are taken off is the stage's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")


def write(path: Path, megabytes: float) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from burnish.core.records import SCHEMA, conform

    rng = random.Random(0)
    vocabulary = ["the", "of", "and", "to"] * 400 + [
        "".join(rng.choices("aeioubcdlmnrst", k=rng.randint(3, 9))) for _ in range(20_000)
    ]
    written, number, earlier = 0, 0, []
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        while written < megabytes * 1e6:
            texts = []
            for _ in range(256):
                if earlier and rng.random() < 0.1:
                    cut = rng.choice(earlier).split()
                    cut[rng.randrange(len(cut))] = "changed"
                    text = " ".join(cut)
                else:
                    text = " ".join(rng.choices(vocabulary, k=rng.randint(80, 240)))
                texts.append(text)
                written += len(text)
            earlier = [*texts[:20], *earlier][:2000]
            ids = [str(number + at) for at in range(len(texts))]
            number += len(texts)
            writer.write_table(conform(pa.table({"id": ids, "text": texts})))


def child(stage: str, path: Path, work: Path) -> None:
    from burnish.core.artifacts import Records
    from burnish.core.progress import Silent
    from burnish.core.stage import Context, TaskSpec
    from burnish.quality.clean import clean
    from burnish.quality.deduplicate import deduplicate

    context = Context(TaskSpec(labels=("a", "b")), 0, work, work, work, Silent())
    counts = {
        "clean": lambda records: clean(records, context, languages=[]),
        "deduplicate": lambda records: deduplicate(records, context),
    }[stage](Records.from_parquet(path)).save(work)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"counts": counts, "peak_mb": used.ru_maxrss / 1024, "cpu_s": used.ru_utime + used.ru_stime}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[5, 20])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]), Path(options.child[2]))
        return
    rows = []
    for stage in ("clean", "deduplicate"):
        idle: dict[str, float] = {}
        for megabytes in (0.1, *options.megabytes):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "in.parquet"
                write(path, megabytes)
                command = [sys.executable, __file__, "--child", stage, str(path), folder]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
            told = json.loads(done.stdout)
            idle = idle or told
            row = {
                "stage": stage, "megabytes": megabytes, "records": told["counts"]["records"], "kept": told["counts"].get("kept"),
                "peak_mb": told["peak_mb"], "cpu_s": told["cpu_s"],
                "cpu_s_per_gb": (told["cpu_s"] - idle["cpu_s"]) / megabytes * 1000 if megabytes > 1 else None,
            }  # fmt: skip
            rows.append(row)
            print(json.dumps(row), flush=True)
    if options.out:
        whole = {"command": "python benchmarks/quality_memory.py", "rows": rows}
        (options.out / "quality-memory.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
