"""The server as a stage: it makes nothing and runs until it is stopped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from burnish.core.artifacts import Model
from burnish.core.stage import Positive, stage

Seconds = Annotated[float, Gt(0)]


@stage("serve.http")
def http(
    models: list[Model],
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Ge(0), Le(65535)] = 8080,
    token_file: Path | None = None,
    max_batch_tokens: Positive = 512,
    max_wait_ms: Annotated[float, Ge(0)] = 0.0,
    max_queue: Positive = 2048,
    max_body_bytes: Positive = 1_000_000,
    max_inputs: Positive = 256,
    request_timeout_s: Seconds = 30.0,
    stop_timeout_s: Seconds = 30.0,
    workers: Positive | Literal["auto"] = "auto",
) -> None:
    """Answer over HTTP until SIGTERM or SIGINT, with dynamic batching: every task, several models, three protocols.

    host: where to listen; beyond this machine only with a token.
    port: 0 takes a free one.
    token_file: a file whose content every request must send as `Authorization: Bearer ...`.
    max_batch_tokens: tokens that a session takes from the queue at a time.
    max_wait_ms: how long a free session may hold back an input to fill its batch; 0 answers at once.
    max_queue: inputs that may wait, per model; beyond it requests get 503 and Retry-After.
    max_body_bytes: of the largest request.
    max_inputs: in the largest request.
    request_timeout_s: seconds until a request is given up; of a stream, between two pieces.
    stop_timeout_s: how long a stop waits for the last answers.
    workers: sessions per model, of one thread each; auto is one per core.
    """
    from burnish.nn.runtime import read_card
    from burnish.serve.http import serve

    names = [str(read_card(model.folder).get("name") or model.folder.parent.name) for model in models]

    def ready(address: str) -> None:
        print(f"serving {', '.join(names)} on {address} (ctrl-c stops)", file=sys.stderr, flush=True)

    serve(
        [model.folder for model in models],
        host=host,
        port=port,
        token_file=token_file,
        max_batch_tokens=max_batch_tokens,
        max_wait_ms=max_wait_ms,
        max_queue=max_queue,
        max_body_bytes=max_body_bytes,
        max_inputs=max_inputs,
        request_timeout_s=request_timeout_s,
        stop_timeout_s=stop_timeout_s,
        workers=workers,
        on_ready=ready,
    )
