"""A session of any world, and the page of it on a free port of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def served(session: Session, **settings: Any) -> Iterator[str]:
    """The address of a page that answers from another thread until the block ends."""
    import uvicorn

    from burnish.review.web import server

    app = server.application(session, **settings)
    listener = server._listen("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        running.should_exit = True
        thread.join(10)
        listener.close()
