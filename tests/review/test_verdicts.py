"""The file of verdicts: nothing lost, nothing half, the newest counts, a majority settles."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.review.verdicts import Verdict, VerdictFile, append, canonical, read, settle


def says(label: str, by: str = "ann", **more) -> Verdict:
    return Verdict("r1", by, "change", {"label": label}, {"label": "x"}, **more)


def test_a_verdict_comes_back_as_it_went() -> None:
    one = Verdict("ü~1", "安", "change", {"spans": [{"start": 0, "end": 2, "label": "人"}]}, {"spans": []}, 2.5, "2026-01-01T00:00:00+00:00", {"name": "certificate", "stratum": "a", "weight": 12.5})  # fmt: skip
    assert Verdict.of(json.loads(one.line())) == one
    assert "\n" not in Verdict("a", "b", "change", {"output": "two\nlines\r\u2028"}, None).line()


@given(st.text(max_size=40).filter(str.strip), st.text(max_size=80))
@settings(max_examples=40)
def test_any_text_survives_the_disk(tmp_path_factory, name: str, text: str) -> None:
    path = tmp_path_factory.mktemp("v") / "v.jsonl"
    one = Verdict(name, name, "change", {"output": text})
    append(path, [one, one])
    found = read(path)
    assert not found.unreadable and found.newest[name][name.strip()].target == {"output": text}


def test_the_newest_line_of_a_reviewer_counts_and_undo_takes_it_back(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    append(path, [says("a"), says("b"), says("c", "bob")])
    file = VerdictFile(path)
    assert {name: one.target for name, one in file.newest["r1"].items()} == {
        "ann": {"label": "b"},
        "bob": {"label": "c"},
    }
    file.add(Verdict("r1", "ann", "undo"))
    assert list(file.newest["r1"]) == ["bob"] and len(file) == 1
    file.add(Verdict("r1", "bob", "undo"))
    assert not file.newest and not read(path).newest


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    append(path, [says("a")])
    with path.open("ab") as file:
        file.write(says("b").line().encode()[:40])  # the power went here
    early = VerdictFile(path)
    assert early.newest["r1"]["ann"].target == {"label": "a"} and not early.unreadable
    assert [one.line for one in read(path).unreadable] == [2]
    early.add(says("c"))
    assert early.newest["r1"]["ann"].target == {"label": "c"}
    assert [one.line for one in early.unreadable] == [2] and len(path.read_bytes().splitlines()) == 3


def test_a_whole_last_line_without_its_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text(says("a").line(), "utf-8")
    assert read(path).newest["r1"]["ann"].target == {"label": "a"}


def test_what_others_write_meanwhile_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    one, other = VerdictFile(path), VerdictFile(path)
    one.add(says("a"))
    assert other.add(says("b", "bob")) and set(other.newest["r1"]) == {"ann", "bob"}
    assert [fresh.reviewer for fresh in one.refresh()] == ["bob"] and one.refresh() == []


def write_many(path: Path, name: str) -> None:
    for number in range(100):
        append(path, [Verdict(f"r{number}", name, "change", {"output": name * 200})])


def test_reviewers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=write_many, args=(path, name)) for name in ("ann", "bob", "cy")]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    found = read(path)
    assert len(found) == 300 and not found.unreadable


@pytest.mark.parametrize(
    "wrong", [[], {}, {"id": "a"}, {"id": "a", "reviewer": "b", "verdict": "maybe"}, {"id": "a", "reviewer": "b", "verdict": "change"},
              {"id": "a", "reviewer": " ", "verdict": "skip"}, {"id": "a", "reviewer": "b", "verdict": "skip", "seconds": float("nan")},
              {"id": "a", "reviewer": "b", "verdict": "accept", "target": "x"}, {"id": "a", "reviewer": "b" * 61, "verdict": "skip"}],
)  # fmt: skip
def test_what_is_no_verdict_is_refused_with_a_reason(wrong) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Verdict.of(wrong)


def test_a_majority_settles_and_an_adjudicator_decides() -> None:
    ann, bob, cy = says("a"), says("b", "bob"), says("a", "cy")
    assert settle({}).state == "open"
    assert settle({"ann": Verdict("r1", "ann", "skip")}).state == "skipped"
    assert settle({"ann": ann, "bob": bob}).state == "disputed"
    both = settle({"ann": ann, "bob": bob, "cy": cy})
    assert (both.state, both.target, both.by) == ("decided", {"label": "a"}, ("ann", "cy"))
    judged = settle({"ann": ann, "cy": cy, "dan": says("c", "dan", adjudicates=True)})
    assert judged.target == {"label": "c"} and judged.by == ("dan",)
    rejected = settle({"ann": Verdict("r1", "ann", "reject"), "bob": Verdict("r1", "bob", "reject"), "cy": cy})
    assert (rejected.state, rejected.verdict, rejected.target) == ("decided", "reject", None)
    accepted = Verdict("r1", "ann", "accept", None, {"label": "a"})
    assert settle({"ann": accepted, "cy": cy}).state == "decided"  # to accept what is shown is to say it


def test_targets_that_say_the_same_are_equal() -> None:
    spans = [{"start": 0, "end": 2, "label": "A"}, {"start": 3, "end": 5, "label": "B"}]
    joined = [{"head": 0, "tail": 1, "label": "r"}]
    turned = {"spans": spans[::-1], "relations": [{"head": 1, "tail": 0, "label": "r"}]}
    assert canonical({"spans": spans, "relations": joined}) == canonical(turned)
    assert canonical({"spans": spans, "relations": joined}) != canonical(
        {"spans": spans, "relations": [{"head": 1, "tail": 0, "label": "r"}]}
    )
    assert canonical({"labels": ["b", "a"]}) == canonical({"labels": ["a", "b"]}) != canonical({"labels": []})
    assert canonical({"value": 1}) == canonical({"value": 1.0})
    assert canonical({"answer": {"text": "", "start": None}}) == canonical({"answer": {"text": "", "start": -1}})
    assert canonical({"meta": {"topic": "x"}}) != canonical({"meta": {"topic": "y"}})
