"""The review page on a free port of this machine, in another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from burnish.review.session import Session


@contextmanager
def served(session: Session, **settings: Any) -> Iterator[str]:
    """The address of a page that answers from another thread until the block ends."""
    import uvicorn

    from burnish.review._web import server

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
