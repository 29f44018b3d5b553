"""A session of any world, and the page of it on a free port of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worlds import WORLDS, records

from burnish.core.progress import Silent
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task
from burnish.review.queue import queue
from burnish.review.session import Session
from burnish.review.shelf import Shelf

GUIDELINES = """# How we label

**Positive** is what a buyer would say to a friend. 好评：愿意推荐给朋友。

1. Read it whole.
2. Irony counts as what it *means*: `Great, broken again` is negative.

- no opinion: skip
"""


@pytest.fixture
def session_of(tmp_path: Path) -> Callable[..., Session]:
    """A session on a world by name; settings go to it."""

    def make(name: str, **settings: Any) -> Session:
        spec, _ = WORLDS[name]
        own = records(name)
        context = Context(spec, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent(), name=name)
        looks = queue(own, context).facts["queue"]
        task = open_task(spec)
        shelf = Shelf(own, task, task.editors(), ["label", "source", "language"])
        file = settings.pop("file", tmp_path / f"{name}.verdicts.jsonl")
        return Session(
            shelf, file, **{"name": name, "looks": looks, "guidelines": GUIDELINES, "shared": 1.0, **settings}
        )

    return make
