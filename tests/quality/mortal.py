"""A trait that kills the process which reads it, once; a module, so that workers can import it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pyarrow as pa

from burnish.quality.traits import Block

SAYS = "kill:"


def mortal(block: Block) -> pa.Array:
    """Nothing. The first who reads a text that begins with SAYS leaves the file it names, and is killed."""
    for text in block.texts:
        marker = Path(text.removeprefix(SAYS))
        if text.startswith(SAYS) and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return pa.nulls(len(block), pa.bool_())
