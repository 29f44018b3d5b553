"""Gazetteers of a million and of five million invented names: seconds to build, memory, and MB of text read a CPU-second.

    python benchmarks/gazetteer.py 1000000
    python benchmarks/gazetteer.py 5000000

Names of one to three invented words, every tenth word of the text is one of them; 4 MB of text. The results of each size replace
those in results/gazetteer.json. Peers: ahocorasick-rs and daachorse, where they are installed (raw matches, without word borders,
policies of capitals and longest ones).
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "gazetteer.json"
SYLLABLES = [a + b for a in "bcdfghjklmnprstvwz" for b in "aeiou"]


def invented(count: int) -> tuple[list[str], list[str]]:
    """(names, lines of text)."""
    draw = random.Random(0)

    def word() -> str:
        return "".join(draw.choice(SYLLABLES) for _ in range(draw.randint(2, 4))).capitalize()

    names = list({" ".join(word() for _ in range(draw.randint(1, 3))) for _ in range(count)})
    lines = [
        " ".join(draw.choice(names) if draw.random() < 0.1 else "word the of in" for _ in range(20))
        for _ in range(14_000)
    ]
    return names, lines


def measure(who: str, count: int) -> dict[str, float | str | int]:
    names, lines = invented(count)
    size = sum(len(line.encode()) for line in lines) / 1e6
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    if who == "burnish":
        from burnish.construct.spans.gazetteer import Gazetteer

        found = Gazetteer(names)
        find = found.find
    elif who == "ahocorasick_rs":
        import ahocorasick_rs as peer

        find = peer.AhoCorasick(
            names, matchkind=peer.MatchKind.LeftmostLongest, store_patterns=False
        ).find_matches_as_indexes
    else:
        import daachorse

        find = daachorse.CharwiseDoubleArrayAhoCorasick(names).find_overlapping
    built = time.process_time() - begun
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024
    begun = time.process_time()
    hits = sum(len(find(line)) for line in lines)
    spent = time.process_time() - begun
    return {
        "who": who, "names": len(names), "build_s": round(built, 1), "memory_mb": round(memory), "mb_per_s": round(size / spent, 1),
        "hits": hits,
    }  # fmt: skip


if __name__ == "__main__":
    count = int(sys.argv[1])
    if len(sys.argv) > 2:
        print(json.dumps(measure(sys.argv[2], count)))
    else:
        rows = []
        for who in ("burnish", "ahocorasick_rs", "daachorse"):
            if who != "burnish" and importlib.util.find_spec(who) is None:
                continue
            done = subprocess.run(
                [sys.executable, __file__, str(count), who], capture_output=True, text=True, check=True
            )
            rows.append(json.loads(done.stdout))  # a process each, for the memory
            print(rows[-1], flush=True)
        held = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
        held[str(count)] = {
            "rows": rows,
            "command": f"python benchmarks/gazetteer.py {count}",
            "date": datetime.date.today().isoformat(),
        }
        RESULTS.write_text(json.dumps(held, indent=1) + "\n", "utf-8")
