"""A spec is written from a look at the data; what cannot be guessed is asked for by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from burnish.core.errors import UsageError
from burnish.core.spec import load
from burnish.start import ask_and_write

ENGLISH = ["The delivery was late and the box was broken.", "I love these shoes, they fit very well."] * 5
CHINESE = ["这家酒店的服务非常好，下次还会再来。", "手机用了两天就坏了，要求退货退款。"] * 5


def jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_fields_languages_and_labels_are_guessed(tmp_path: Path) -> None:
    rows = [
        {"id": at, "review": text, "sentiment": ["bad", "good"][at % 2]} for at, text in enumerate(ENGLISH + CHINESE)
    ]
    out = tmp_path / "burnish.yaml"
    told = ask_and_write(jsonl(tmp_path / "shop.jsonl", rows), out)
    spec = load(out)
    assert spec.task.labels == ("bad", "good")
    assert set(spec.task.languages) == {"en", "zh"}
    assert spec.steps[0].settings["fields"]["text"] == "review"
    assert spec.name == "shop"
    assert "about 20 records" in told
    assert any(step.address == "construct.existing" for step in spec.steps)


def test_labels_that_are_not_in_the_data_must_be_given(tmp_path: Path) -> None:
    data = jsonl(tmp_path / "raw.jsonl", [{"text": text} for text in CHINESE])
    with pytest.raises(UsageError, match="labels cannot be guessed") as caught:
        ask_and_write(data, tmp_path / "burnish.yaml")
    assert "--labels" in caught.value.hint
    ask_and_write(data, tmp_path / "burnish.yaml", labels=["正面", "负面"], gold=tmp_path / "gold.jsonl")
    content = yaml.safe_load((tmp_path / "burnish.yaml").read_text("utf-8"))
    assert content["task"]["labels"] == ["正面", "负面"] and content["task"]["languages"] == ["zh"]
    assert content["gold"] == {"path": "gold.jsonl"}


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    data = jsonl(tmp_path / "raw.jsonl", [{"text": text} for text in ENGLISH])
    (tmp_path / "burnish.yaml").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        ask_and_write(data, tmp_path / "burnish.yaml", labels=["a", "b"])
    assert (tmp_path / "burnish.yaml").read_text() == "mine"


def test_a_field_that_is_not_there_is_named(tmp_path: Path) -> None:
    data = jsonl(tmp_path / "raw.jsonl", [{"body": text} for text in ENGLISH])
    with pytest.raises(UsageError, match="no field 'txt'") as caught:
        ask_and_write(data, tmp_path / "burnish.yaml", labels=["a", "b"], text="txt")
    assert "body" in caught.value.hint


def test_what_cannot_be_guessed_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    data = jsonl(tmp_path / "raw.jsonl", [{"text": text} for text in ENGLISH])
    answers = iter(["", "bad, good", "a complaint", "", ""])
    monkeypatch.setattr("builtins.input", lambda: next(answers))
    ask_and_write(data, tmp_path / "burnish.yaml", ask=True)
    spec = load(tmp_path / "burnish.yaml")
    assert spec.task.labels == ("bad", "good") and spec.task.descriptions == {"bad": "a complaint"}
    assert capsys.readouterr().out == ""


def test_names_that_yaml_would_misread_survive(tmp_path: Path) -> None:
    data = jsonl(tmp_path / "raw.jsonl", [{"text": text} for text in ENGLISH])
    ask_and_write(data, tmp_path / "burnish.yaml", labels=["yes", "no", "a: b", "#c"])
    assert load(tmp_path / "burnish.yaml").task.labels == ("yes", "no", "a: b", "#c")
