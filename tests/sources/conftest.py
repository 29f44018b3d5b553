from __future__ import annotations

from pathlib import Path

import pytest

from burnish.core.progress import Silent
from burnish.core.stage import Context, TaskSpec


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A run whose spec lies in tmp_path, about reviews in English and Chinese."""
    task = TaskSpec(labels=("negative", "positive"), languages=("en", "zh"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())
