"""The page to try a model on, in a real browser: it speaks the language of the model, and a person may change that."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Browser

from burnish.serve.page import PAGE

KEY = re.compile(r"\b(\w+): [\"{]")


@pytest.fixture
def tab() -> Iterator[Browser]:
    opened = Browser()
    yield opened
    opened.close()


def test_both_languages_have_the_same_words() -> None:
    words = PAGE.decode().split("const words = {")[1].split("\n};")[0]
    english, chinese = (KEY.findall(one) for one in words.split("  zh: {", 1))
    assert english[1:] == chinese and len(chinese) > 60  # the first is en: itself
    assert not set(re.findall("[a-z]{3,}", re.sub(r"\w+: |English|Ctrl|Enter|Shift", "", words.split("  zh: {", 1)[1])))


def test_a_chinese_model_is_tried_in_chinese_until_somebody_wants_english(
    tab: Browser, model: Path, tmp_path: Path, start: Callable[..., object]
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "zh"))
    card = json.loads((folder / "burnish.json").read_text("utf-8"))
    card["task"] |= {"languages": ["zh"], "labels": ["甲", "乙", "丙"]}
    (folder / "burnish.json").write_text(json.dumps(card), encoding="utf-8")
    tab.call("Page.navigate", url=start(folder).url + "/#text=a a b")  # type: ignore[attr-defined]
    tab.until("document.querySelector('#about')?.textContent.includes('分类')")
    assert tab.text("#go") == "提交" and tab.eval("document.documentElement.lang") == "zh"
    tab.eval("document.querySelector('#go').click()")
    tab.until("!!document.querySelector('#answers .best')")
    assert tab.text("#answers .best").startswith("甲")
    tab.eval("document.querySelector('#language').click()")
    tab.until("document.querySelector('#about').textContent.includes('classification')")
    assert tab.text("#go") == "Ask" and not tab.errors
