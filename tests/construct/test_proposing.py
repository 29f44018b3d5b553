"""Rules proposed from gold: planted words are found, figures are those of the records, the spec keeps its other lines."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import tiny_bert

from burnish import propose as door
from burnish.cli import main
from burnish.construct.proposing import propose, rule_words
from burnish.core.artifacts import Gold, Records
from burnish.core.errors import UsageError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.spec import load
from burnish.core.stage import Context, TaskSpec

OTHERS = ["film", "room", "staff", "day", "book"]
WORDS = {"positive": "lovely", "negative": "awful"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


def texts(count: int, seed: int) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    made = []
    for at in range(count):
        label = ("positive", "negative")[at % 2]
        # the word of the label in three of four, alone beside others that say nothing
        said = [WORDS[label]] * 3 if at % 8 < 6 else []
        made.append((" ".join([*said, *draw.choices(OTHERS, k=2), f"n{at}"]), label))
    return made


def test_planted_words_are_found_with_their_figures(tiny: Path, tmp_path: Path) -> None:
    task = TaskSpec(labels=("negative", "positive"))
    context = Context(task, 0, tmp_path, tmp_path, tmp_path / "cache", Silent())
    records = Records.from_rows(Record(text=text) for text, _ in texts(400, 0))
    gold = Gold.from_rows(Record(text=text, label=label) for text, label in texts(80, 1))
    assert isinstance(gold, Gold)
    found = {one.word: one for one in propose(records, gold, context, backbone=str(tiny))}
    assert {"lovely", "awful"} <= set(found)
    lovely = found["lovely"]
    assert lovely.label == "positive" and lovely.coverage == pytest.approx(0.375)
    assert (lovely.gold_right, lovely.gold_tried) == (30, 30)
    assert 0.8 < lovely.low < lovely.accuracy <= lovely.high <= 1
    assert all("lovely" in text for text in lovely.texts)
    assert not set(OTHERS) & set(found)


def test_words_of_both_languages() -> None:
    found = rule_words("Free 手机维修 at 24 Main St")
    assert {"free", "手机", "维修", "24 main", "main st"} <= set(found)
    assert not {"24", "at", "st", "手", "机"} & set(found)
    assert rule_words("24 24") == []


def spec(folder: Path, construct: str) -> Path:
    (folder / "raw.jsonl").write_text("".join(f'{{"text": "{text}"}}\n' for text, _ in texts(60, 0)), "utf-8")
    path = folder / "burnish.yaml"
    path.write_text(
        "# mine\ntask: {type: classification, labels: [negative, positive]}\n"
        f"sources: {{use: jsonl, path: raw.jsonl}}\n{construct}split: {{use: stratified}}\n",
        "utf-8",
    )
    return path


MADE = [{"use": "keywords", "label": "positive", "words": ["good: really", "很好", "it's"]}]


@pytest.mark.parametrize(
    "construct",
    ["", "construct:\n  - {use: descriptions}\n", "construct:  # rules\n- {use: descriptions}  # last\n"],
)
def test_accepted_rules_are_written_and_every_other_line_stays(construct: str, tmp_path: Path) -> None:
    path = spec(tmp_path, construct)
    before = path.read_text("utf-8").splitlines()
    door.add(path, MADE)
    after = path.read_text("utf-8").splitlines()
    assert [line for line in after if line in before] == before
    step = next(step for step in load(path).steps if step.use == "keywords")
    assert step.settings["words"] == MADE[0]["words"]
    assert len([step for step in load(path).steps if step.use == "descriptions"]) == bool(construct)


def test_a_section_on_one_line_is_left_alone_and_the_lines_are_given(tmp_path: Path) -> None:
    path = spec(tmp_path, "construct: {use: descriptions}\n")
    before = path.read_text("utf-8")
    with pytest.raises(UsageError, match="construct section is not a list") as caught:
        door.add(path, MADE)
    assert "很好" in (caught.value.hint or "") and path.read_text("utf-8") == before


def test_numbers_of_the_list(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = ["a", "b", "c", "d"]
    assert door.chosen(found, "1,3-4") == ["a", "c", "d"] and door.chosen(found, "all") == found  # type: ignore[arg-type, comparison-overlap]
    for wrong in ("0", "5", "x", "2-9"):
        with pytest.raises(UsageError, match="--accept"):
            door.chosen(found, wrong)  # type: ignore[arg-type]
    assert main(["propose", str(spec(tmp_path, ""))]) == 2
    assert "names none" in capsys.readouterr().err
