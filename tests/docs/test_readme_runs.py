"""The README's spec walks as far as the split on fifty small records in both languages, and leaves what the README lists."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .doc_pages import READMES, ROOT, blocks

pytestmark = [pytest.mark.weights, pytest.mark.slow]

SAID = {
    "positive": [
        "I love this {en}, it works well",
        "Great {en}, quiet and quick",
        "这个{zh}很好用，推荐",
        "{zh}不错，很喜欢",
    ],
    "negative": [
        "The {en} broke after two days",
        "Terrible {en}, I want a refund",
        "{zh}太差了，要求退款",
        "{zh}坏了，失望",
    ],
}
THINGS = [
    ("phone", "手机"),
    ("camera", "相机"),
    ("kettle", "水壶"),
    ("lamp", "台灯"),
    ("chair", "椅子"),
    ("watch", "手表"),
]


def written(path: Path, rows: list[dict[str, str]], *more: str) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join([*lines, *more]) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = [
        (one.format(en=en, zh=zh), label)
        for (en, zh), (label, said) in itertools.product(THINGS, SAID.items())
        for one in said
    ]
    (tmp_path / "raw").mkdir()
    raw = [{"review": text, "posted_at": "2026-01-10"} for text, _ in texts]
    written(tmp_path / "raw" / "reviews.jsonl", raw, '{"review": "half a line')
    gold = [{"text": f"{text}!", "label": label} for text, label in texts[: len(texts) // 3]]
    written(tmp_path / "gold.jsonl", gold)
    (tmp_path / "burnish.yaml").write_text(blocks(READMES["en"], "yaml")[0].text, encoding="utf-8")
    return tmp_path


def test_the_readme_spec_runs_and_leaves_what_the_readme_lists(folder: Path, burnish: Callable) -> None:
    done = burnish("run", "--to", "quality", cwd=folder)
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "reviews"
    listed = next(block.text for block in blocks(READMES["en"]) if block.text.startswith("runs/reviews/"))
    promised = re.findall(r"^  ([\w./]+)(?:  ([\w.]+))?", listed, flags=re.MULTILINE)
    later = ("split/", "model/", "deploy/", "evaluation/")
    files = [file for pair in promised for file in pair if file and not file.startswith(later) and "*" not in file]
    assert len(files) >= 6 and [file for file in files if not (run / file).exists()] == []
    assert (run / "construct" / "labellers.json").is_file()
    assert json.loads((run / "quarantine.jsonl").read_text("utf-8"))["line"] == len(THINGS) * 8 + 1
    again = burnish("run", "--to", "quality", cwd=folder)
    assert "nothing to do" in again.stdout


def test_the_run_folder_of_the_docs_is_the_one_that_is_made(folder: Path, burnish: Callable) -> None:
    done = burnish("run", "--to", "construct", cwd=folder)
    assert done.returncode == 0, done.stderr
    for language in ("en", "zh"):
        page = ROOT / "docs" / language / "records.md"
        (listing,) = [block.text for block in blocks(page, "text") if block.text.startswith("runs/NAME/")]
        (line,) = [line for line in listing.splitlines() if line.startswith("  construct/")]
        named = set(re.findall(r"[\w]+\.(?:parquet|json)", line))
        made = (folder / "runs" / "reviews" / "construct").glob("[!.]*")
        assert named == {path.name for path in made}
