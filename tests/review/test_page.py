"""The page in a real browser: keys and mouse as a person uses them, and what is on disk afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from browser import ALT, SHIFT, Browser
from serving import served
from worlds import CURIE, LU, WORLDS, span

from burnish.review.session import Session


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    one = Browser()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture(autouse=True)
def quiet(browser: Browser) -> Iterator[None]:
    """No script fails, and nothing is asked of any other host."""
    browser.errors.clear()
    browser.requests.clear()
    yield
    assert browser.errors == []
    assert [
        one for one in browser.requests if not one.startswith(("http://127.0.0.1:", "data:", "about:", "chrome"))
    ] == []


@contextmanager
def shown(browser: Browser, session: Session, **settings: Any) -> Iterator[str]:
    """The page's address; the tab leaves it before the server goes."""
    with served(session, **settings) as address:
        yield address
        browser.call("Page.navigate", url="about:blank")
        browser.until("location.href === 'about:blank'")


def written(session: Session) -> list[dict[str, Any]]:
    path = session.file.path
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def opened(browser: Browser, address: str, *, reviewer: str = "ann", language: str = "en", **more: str) -> None:
    query = "&".join(
        f"{key}={value}" for key, value in {"reviewer": reviewer, "lang": language, "queue": "all", **more}.items()
    )
    browser.open(f"{address}?{query}")
    browser.until("!!document.querySelector('#foot')")


def on_disk(browser: Browser, session: Session, count: int) -> list[dict[str, Any]]:
    browser.until("document.querySelector('#note').className.includes('on')")
    for _ in range(200):
        if len(written(session)) >= count:
            break
        browser.eval("new Promise(done => setTimeout(done, 20))")
    lines = written(session)
    assert len(lines) == count
    return lines


def settled(browser: Browser, row: int) -> None:
    """The record at a place of the list is the one shown."""
    browser.until(f"document.querySelectorAll('#items li')[{row}]?.classList.contains('here')")


def test_the_name_is_asked_once(browser: Browser, session_of) -> None:
    session = session_of("label")
    with shown(browser, session) as address:
        browser.open(f"{address}?lang=en&queue=all")
        browser.until("document.activeElement?.name === 'reviewer'")
        browser.write("安 Ann")
        browser.press("Enter")
        browser.until("!!document.querySelector('#foot')")
        browser.press("2")
        assert on_disk(browser, session, 1)[0]["reviewer"] == "安 Ann"
        browser.open(f"{address}?lang=en&queue=all")
        browser.until("!!document.querySelector('#foot')")
        assert browser.text("#who") == "安 Ann"
        browser.eval("localStorage.clear()")


def test_labels_by_keys(browser: Browser, session_of) -> None:
    session = session_of("label")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.press("2")  # negative is shown: this changes it
        settled(browser, 1)
        browser.press("a")
        settled(browser, 2)
        browser.press("r")
        settled(browser, 3)
        browser.press("s")
        settled(browser, 4)
        lines = on_disk(browser, session, 4)
        assert [(one["verdict"], one["target"]) for one in lines] == [
            ("change", {"label": "positive"}),
            ("accept", {"label": "negative"}),
            ("reject", None),
            ("skip", None),
        ]
        assert [one["id"] for one in lines] == session.shelf.ids[:4] and all(0 <= one["seconds"] < 60 for one in lines)
        browser.press("u")
        settled(browser, 3)
        browser.press("u")
        settled(browser, 2)
        assert [one["verdict"] for one in on_disk(browser, session, 6)[4:]] == ["undo", "undo"]
        assert browser.text("#foot").startswith("a") and "Accept" in browser.text("#foot")
        browser.press("j", "j")
        settled(browser, 4)
        browser.press("k")
        settled(browser, 3)
        assert "2 of 8" in browser.text("#bar")


def test_search_help_guidelines_and_the_other_language(browser: Browser, session_of) -> None:
    session = session_of("label")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.press("/")
        browser.until("document.activeElement.id === 'search'")
        browser.write("早餐")
        browser.press("Enter")
        browser.until("document.querySelectorAll('#items li').length === 1")
        assert "早餐丰富" in browser.text("#record")
        browser.press("?")
        assert "Shift" not in browser.text("#over") and "undo the last decision" in browser.text("#over")
        browser.press("Escape", "g")
        browser.until("!document.querySelector('#over').hidden")
        assert browser.eval("document.querySelector('#over ol li + li code').textContent") == "Great, broken again"
        browser.press("Escape")
        browser.click("#language")
        browser.until("document.documentElement.lang === 'zh-CN'")
        assert (
            "接受" in browser.text("#foot")
            and "标签" in browser.text("#record")
            and "为什么要看它" in browser.text("#side")
        )
        browser.press("1")
        assert on_disk(browser, session, 1)[0]["target"] == {"label": "negative"}
        browser.eval("localStorage.clear()")


def test_markup_in_a_record_is_text(browser: Browser, session_of) -> None:
    with shown(browser, session_of("label")) as address:
        opened(browser, address, id=session_of("label").shelf.ids[6])
        assert browser.text(".text") == "<b>Great</b> & cheap <script>alert(1)</script>"
        assert browser.eval("document.querySelectorAll('#record b, #record script').length") == 0


def test_spans_by_mouse_and_by_keys(browser: Browser, session_of) -> None:
    session = session_of("spans")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.press("1")  # what is marked next is a person
        start, end = browser.words("Pierre Curie")
        browser.drag(start, end)
        browser.until("document.querySelectorAll('.tag').length === 4")
        start, end = browser.words("University of")
        browser.press("Escape")
        browser.drag(start, browser.words("Paris")[1])  # over a span that is there: it takes its place
        browser.until("document.querySelectorAll('.tag').length === 4")
        browser.press("2", "a")
        marks = on_disk(browser, session, 1)[0]["target"]["spans"]
        wanted = [
            span(CURIE, "Marie Curie", "PER"),
            span(CURIE, "Warsaw", "LOC"),
            span(CURIE, "University of Paris", "ORG"),
            span(CURIE, "Pierre Curie", "PER"),
        ]
        assert marks == wanted  # behind an emoji too: places are characters, not halves of them
        settled(browser, 1)
        browser.press("Tab", "Tab")  # 绍兴
        browser.press("ArrowLeft", "ArrowLeft", held=ALT)
        browser.press("ArrowLeft", held=SHIFT)
        browser.press("ArrowRight", held=SHIFT)
        browser.press("Tab", "x", "a")
        marks = on_disk(browser, session, 2)[1]["target"]["spans"]
        assert marks == [span(LU, "鲁迅", "PER"), span(LU, "浙江绍兴", "LOC")]


def test_spans_by_the_cursor_alone(browser: Browser, session_of) -> None:
    session = session_of("spans")
    with shown(browser, session) as address:
        opened(browser, address, id=session.shelf.ids[2])
        browser.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
        browser.press("ArrowRight", held=SHIFT)
        browser.until("!!document.querySelector('.held')")
        browser.press("3", "Enter")
        on_disk(browser, session, 1)
        assert written(session)[0]["target"]["spans"] == [span("Nobody is named here.", "named", "LOC")]


def test_a_vote_is_taken(browser: Browser, session_of) -> None:
    session = session_of("nested")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.click(".vote:nth-of-type(2) button")
        browser.until("document.querySelectorAll('.tag').length === 4")
        browser.press("a")
        marks = on_disk(browser, session, 1)[0]["target"]["spans"]
        assert span(CURIE, "University of Paris", "ORG") in marks and span(CURIE, "Paris", "LOC") in marks


def test_relations_by_keys_and_by_mouse(browser: Browser, session_of) -> None:
    session = session_of("relations")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.press("Tab", "h", "Tab", "Tab", "t", "2", "a")
        first = on_disk(browser, session, 1)[0]["target"]
        assert first["relations"] == [
            {"head": 0, "tail": 1, "label": "born_in"},
            {"head": 0, "tail": 2, "label": "works_for"},
        ]
        settled(browser, 1)
        browser.press("ArrowDown", "x")
        browser.drag(browser.middle(".tag[data-mark='0']"), browser.middle(".tag[data-mark='2']"))
        browser.press("2")
        browser.until("document.querySelectorAll('.relation').length === 1")
        browser.press(
            "Escape", "Tab", "Tab", "x", "a"
        )  # the place in between goes, and the relation moves with its spans
        second = on_disk(browser, session, 2)[1]["target"]
        assert [one["label"] for one in second["spans"]] == ["PER", "ORG"]
        assert second["relations"] == [{"head": 0, "tail": 1, "label": "works_for"}]


def test_answers_in_contexts(browser: Browser, session_of) -> None:
    session = session_of("answer")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.drag(*browser.words("the University of Paris"))
        browser.press("a")
        settled(browser, 1)
        browser.press("n", "a")
        lines = on_disk(browser, session, 2)
        at = CURIE.index("the University")
        assert lines[0]["target"] == {"answer": {"text": "the University of Paris", "start": at}}
        assert lines[1]["target"] == {"answer": {"text": "", "start": None}}


def test_texts_are_written(browser: Browser, session_of) -> None:
    session = session_of("output")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.press("e")
        browser.until("document.activeElement.tagName === 'TEXTAREA'")
        browser.write(" 桥 🌉")
        browser.press("a")  # in a text this is a letter
        browser.press("Escape", "a")
        assert on_disk(browser, session, 1)[0]["target"] == {"output": "A bridge was discussed. 桥 🌉a"}


def test_conversations_are_conversations(browser: Browser, session_of) -> None:
    session = session_of("messages")
    with shown(browser, session) as address:
        opened(browser, address)
        assert (
            browser.eval("[...document.querySelectorAll('.turn')].map(one => one.className)")
            == ["turn user", "turn assistant"] * 2
        )
        browser.press("e")
        browser.write(" We will look.")
        browser.press("Enter", held=2)
        turns = on_disk(browser, session, 1)[0]["target"]["messages"]
        assert turns[-1] == {"role": "assistant", "content": "Then write again. We will look."} and len(turns) == 4


def test_numbers_grades_scales_trees_and_several_labels(browser: Browser, session_of) -> None:
    for world, keys, wanted in (
        ("grade", ["1"], {"value": 1.0}), ("ordinal", ["4"], {"label": "4"}), ("labels", ["1", "3", "4", "a"], {"labels": ["service", "delivery"]}),
    ):  # fmt: skip
        session = session_of(world)
        with shown(browser, session) as address:
            opened(browser, address)
            browser.press(*keys)
            assert on_disk(browser, session, 1)[0]["target"] == wanted, world
    session = session_of("value")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.press("e")
        browser.write("2.25")
        browser.press("Escape")
        browser.eval("document.activeElement.blur()")
        browser.press("a")
        assert on_disk(browser, session, 1)[0]["target"] == {"value": 2.25}
    session = session_of("tree")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.press("l")
        browser.write("matches and pla")  # what a label means finds it too
        browser.press("Enter")
        assert on_disk(browser, session, 1)[0]["target"] == {"label": "sport/tennis"}


def test_several_targets_of_one_record(browser: Browser, session_of) -> None:
    session = session_of("several")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.press("3")
        browser.drag(*browser.words("Warsaw"))
        browser.press("w", "1", "w", "2", "Enter")
        made = on_disk(browser, session, 1)[0]["target"]
        assert made == {
            "label": "bad",
            "spans": [span(CURIE, "Marie Curie", "PER"), span(CURIE, "Warsaw", "LOC")],
            "meta": {"topic": "letters"},
        }


def test_two_reviewers_and_a_third_who_settles(browser: Browser, session_of) -> None:
    session = session_of("label")
    with shown(browser, session) as address:
        opened(browser, address)
        browser.press("1")
        settled(browser, 1)
        opened(browser, address, reviewer="bob")
        assert "1 other reviewer" in browser.text("#side") and "ann" not in browser.text("#side")
        browser.press("2")
        settled(browser, 1)
        opened(browser, address, reviewer="cy", queue="disputed")
        assert "ann" in browser.text("#side") and "bob" in browser.text("#side")
        browser.click(".opinion:nth-of-type(2) button")
        line = on_disk(browser, session, 3)[2]
        assert (line["reviewer"], line["target"], line["adjudicates"]) == ("cy", {"label": "positive"}, True)
        browser.until("document.querySelectorAll('#items li.decided').length === 1")
        browser.click(".actions button:nth-of-type(2)")
        browser.until("document.querySelector('#over').innerText.includes('ann – bob')")


def test_the_token_of_the_address_is_used_and_hidden(browser: Browser, session_of) -> None:
    with shown(browser, session_of("label"), token="s" * 24) as address:
        browser.call("Page.navigate", url=f"{address}?reviewer=ann&lang=en&queue=all#token={'s' * 24}")
        browser.until("!!document.querySelector('#foot')")
        assert "token" not in browser.eval("location.href")


@pytest.mark.parametrize("world", list(WORLDS))
def test_every_widget_shows_in_both_languages(browser: Browser, session_of, tmp_path, world: str) -> None:
    """Nothing overflows its pane, and no word of one language stands on the page of the other."""
    with shown(browser, session_of(world)) as address:
        for language in ("en", "zh"):
            opened(browser, address, language=language)
            browser.shoot(tmp_path / f"{world}-{language}.png")
            assert browser.eval(
                "document.documentElement.scrollWidth <= innerWidth && document.querySelector('#record').scrollWidth <= document.querySelector('#record').clientWidth"
            )
            words = browser.text("#bar") + browser.text("#foot")
            assert ("接受" in words) == (language == "zh") and ("Accept" in words) == (language == "en")
