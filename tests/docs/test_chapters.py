"""Chapters come in pairs, links lead somewhere, the reference is current, and no figure stands without its command."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from burnish.core.stage import ROOMS, stages

from .doc_pages import LANGUAGES, READMES, ROOT, anchors, blocks, chapters, command_line, links, name, pages, prose

PAIRS = [(en, ROOT / "docs" / "zh" / en.name) for en in chapters("en") if en.name != "reference.md"]
PAIRS.append((READMES["en"], READMES["zh"]))
MEASURED = {"en": "## Measured", "zh": "## 实测"}
HAN = re.compile(r"[\u4e00-\u9fff]")


def test_the_reference_is_what_the_signatures_say() -> None:
    spec = importlib.util.spec_from_file_location("reference_script", ROOT / "scripts" / "reference.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    stale = [name(path) for path, text in script.pages().items() if path.read_text("utf-8") != text]
    assert not stale, f"{stale}: run python scripts/reference.py"


def test_every_chapter_is_there_in_both_languages() -> None:
    assert {page.name for page in chapters("en")} == {page.name for page in chapters("zh")}


def test_every_room_with_stages_has_a_chapter_that_names_each_of_them() -> None:
    for room in ROOMS:
        own = [stage.name for stage in stages(room) if stage.run.__module__.startswith("burnish.")]
        for language in LANGUAGES if own else ():
            text = (ROOT / "docs" / language / f"{room}.md").read_text("utf-8")
            missing = [one for one in own if not re.search(rf"\b{one}\b", text) and f"gold.{one}" != "gold.file"]
            assert not missing, f"docs/{language}/{room}.md does not mention {missing}"


def test_every_check_of_the_audit_is_explained() -> None:
    from burnish.quality.checks import CHECKS

    importlib.import_module("burnish.quality.audit")
    for language in LANGUAGES:
        text = (ROOT / "docs" / language / "quality.md").read_text("utf-8")
        assert [check for check in CHECKS if f"| `{check}` |" not in text] == []


def test_every_command_is_in_the_chapter_of_the_command_line() -> None:
    for language in LANGUAGES:
        text = (ROOT / "docs" / language / "cli.md").read_text("utf-8")
        assert [one for one in command_line().commands if f"| `burnish {one}" not in text] == []


def without_comments(text: str) -> list[str]:
    return [re.sub(r"\s+#.*", "", line).rstrip() for line in text.splitlines()]


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=lambda page: name(page))
def test_both_languages_say_the_same(english: Path, chinese: Path) -> None:
    """The same examples, sections, table rows and traps: what a translation loses first."""
    for info in ("yaml", "yaml fragment", "yaml wrong", "bash"):
        ours, theirs = ([block.text for block in blocks(page, info)] for page in (english, chinese))
        if info == "bash":
            assert list(map(without_comments, ours)) == list(map(without_comments, theirs))
        else:
            assert list(map(yaml.safe_load, ours)) == list(map(yaml.safe_load, theirs))
    for sign in (r"^#+ ", r"^\|", r"^- ", r"^\*\*"):
        counts = [len(re.findall(sign, prose(page), flags=re.MULTILINE)) for page in (english, chinese)]
        assert counts[0] == counts[1], f"{sign}: {counts}"


@pytest.mark.parametrize("page", chapters("zh"), ids=name)
def test_chinese_chapters_are_in_chinese(page: Path) -> None:
    text = re.sub(r"`[^`]+`", "`", prose(page))
    least = 0.01 if page.name == "reference.md" else 0.2
    assert len(HAN.findall(text)) > least * len(text)
    assert not re.findall(r"[\u4e00-\u9fff][,;?!]", text), "full-width marks belong behind Chinese"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken, broken


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_measured_figure_stands_in_the_file_beside_its_command(language: str) -> None:
    page = READMES[language]
    section = prose(page).split(MEASURED[language])[1].split("\n## ")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("|")][2:]
    assert rows
    for _what, figure, command, file in rows:
        assert re.search(r"`python benchmarks/\w+\.py", command), f"no command beside {figure}"
        for number in re.findall(r"\d[\d,.]*\d|\d", figure):
            linked = links_in(file)
            assert linked, f"{figure}: name the file of benchmarks/results it stands in"
            texts = [(ROOT / one).read_text("utf-8") for one in linked]
            assert any(re.search(rf"(?<![\d.]){re.escape(number)}(?![\d])", text) for text in texts), (
                f"{number} does not stand in {linked}"
            )
        for linked in links_in(file):
            ours = re.sub(r" --(backbone|data|deploy) \S+", "", re.findall(r"`(python [^`]+)`", command)[0])
            theirs = re.sub(r" --(backbone|data|deploy) \S+", "", (ROOT / linked).read_text("utf-8"))
            assert ours in theirs, f"{linked} was not made by {ours}"


def links_in(cell: str) -> list[str]:
    return re.findall(r"\]\((benchmarks/results/[^)]+)\)", cell)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_figure_is_claimed_outside_the_measured_section(language: str) -> None:
    """Speeds, shares and scores; versions, ports and settings are no claims."""
    before, after = prose(READMES[language]).split(MEASURED[language])
    rest = before + after.split("\n## ", 1)[1]
    claims = re.findall(r"\d[\d.,]*\s*(?:x|×|%|倍|times|points|MB/s|ms|texts/s|requests/s)(?!\w)", rest)
    assert not claims, claims
