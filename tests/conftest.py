"""What every room's tests share: folders, the example plug-in, data that may be absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets; the test is skipped where it is not there."""
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not there")
    return SHARED


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to put on the path: the example plug-in, installed as pip would leave it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "burnish_example").symlink_to(ROOT / "tests" / "plugin" / "src" / "burnish_example")
    info = folder / "burnish_example-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: burnish-example\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[burnish.stages]\nexample = burnish_example\n")
    return folder


@pytest.fixture
def burnish(plugin: Path):
    """Run the command line in a process of its own: `burnish("run", "spec.yaml", cwd=folder)`."""

    def call(*arguments: str, cwd: Path, wait: bool = True, **environment: str):
        paths = [str(ROOT / "src"), str(plugin), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p), **environment}
        command = [sys.executable, "-m", "burnish.cli", *map(str, arguments)]
        if not wait:
            return subprocess.Popen(
                command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)

    return call


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with raw text in both languages and a spec that ends before anything heavy."""
    texts = [
        "I love it!!!",
        "Broken, I want a refund",
        "这家酒店非常好",
        "质量太差了，要求退款",
        "no opinion at all",
        "good value",
    ]
    lines = [
        json.dumps({"review": f"{text} {at}", "user": f"u{at % 3}"}, ensure_ascii=False)
        for at, text in enumerate(texts * 3)
    ]
    (tmp_path / "raw.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "burnish.yaml").write_text(SPEC, encoding="utf-8")
    return tmp_path


SPEC = """\
burnish: 1
name: reviews
task: {type: classification, labels: [negative, positive], languages: [en, zh]}
sources:
  - {use: jsonl, path: raw.jsonl, fields: {text: review, group: user}}
construct:
  - {use: keywords, label: positive, words: [love, good, 好]}
  - {use: keywords, label: negative, words: [refund, broken, 退款]}
"""
