"""A search on the tiny encoder, as a script: `python searching.py BACKBONE SCRATCH JSON-of-settings`; prints the card."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SPACE = {
    "learning_rate": {"low": "2e-4", "high": "2e-2", "log": True},
    "strategy": ["full", {"use": "layer_wise", "decay": 0.8}],
}


def sides() -> Any:
    import tiny_bert

    from burnish.core.artifacts import Records, Split
    from burnish.core.records import Record, to_table

    texts, targets = tiny_bert.sentences(200)
    table = to_table(Record(text=text, label=("bad", "good")[to]) for text, to in zip(texts, targets, strict=True))
    return Split(*(Records.from_table(table.slice(*part)) for part in ((0, 100), (100, 60), (160, 40))))


def context(scratch: Path, **more: Any) -> Any:
    from burnish.core.progress import Silent
    from burnish.core.stage import Context, TaskSpec

    scratch.mkdir(parents=True, exist_ok=True)
    task = TaskSpec("classification", ("bad", "good"), languages=("en", "zh"))
    return Context(task, 0, scratch, scratch, scratch / "cache", Silent(), "k" * 32, **more)


def fixed(backbone: str | Path) -> dict[str, Any]:
    return {"backbone": str(backbone), "epochs": 4, "precision": "fp32", "batch_tokens": 64, "checkpoint_every_s": 0.3}


def searched(backbone: str | Path, scratch: Path, **settings: Any) -> Any:
    from burnish.train.search import search

    given = {"space": SPACE, "trials": 6, "together": 3, "threads": 1, **settings}
    return search(sides(), None, context(scratch), tune=fixed(backbone), **given)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "nn"))
    model = searched(sys.argv[1], Path(sys.argv[2]), **json.loads(sys.argv[3]))
    print(json.dumps(model.info["search"]))
