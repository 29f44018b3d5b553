"""Every test, in two processes of one thread each: on two cores that takes little more than half the time of one process.

    python scripts/tests.py [pytest's own options]

The folders that train and serve networks are one half, all others the other. The first half is shown as it runs, the second
when it is done. Ends with 0 when both passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
NETWORKS = ("nn", "train", "compress", "serve", "tasks")


def halves() -> tuple[list[str], list[str]]:
    """Paths below the root: the folders of NETWORKS, and every other folder or file with tests."""
    every = sorted((ROOT / "tests").iterdir())
    tested = [one for one in every if one.match("test_*.py") or (one.is_dir() and any(one.glob("test_*.py")))]
    paths = [one.relative_to(ROOT).as_posix() for one in tested]
    networks = [f"tests/{name}" for name in NETWORKS]
    return networks, [path for path in paths if path not in networks]


def main(options: list[str]) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    command = [sys.executable, "-m", "pytest", *options]
    first, second = halves()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        other = subprocess.Popen([*command, *second], cwd=ROOT, env=environment, stdout=said, stderr=subprocess.STDOUT)
        try:
            one = subprocess.run([*command, *first], cwd=ROOT, env=environment, check=False).returncode
            two = other.wait()
        finally:
            other.kill()
        said.seek(0)
        print(said.read())
    print(
        f"tests of networks: {'passed' if not one else f'exit code {one}'}; all others: {'passed' if not two else f'exit code {two}'}"
    )
    return one or two


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
