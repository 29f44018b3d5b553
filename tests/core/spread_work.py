"""What the workers of tests/core/test_spread.py do; a module, so that they can import it."""

import os
import signal
from pathlib import Path


def squared(number: int) -> int:
    return number * number


def refused(number: int) -> int:
    raise ValueError(f"{number} is refused")


def dying_once(item: tuple[int, str]) -> int:
    """At 5, the first time, kill this process."""
    number, marker = item
    if number == 5 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def dying(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number
