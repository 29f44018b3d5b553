"""Verdicts to other tools and back: as they went, or as they were changed there."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import CURIE, WORLDS, records, span

from burnish.core.errors import DataError
from burnish.core.tasktypes import open_task
from burnish.review import argilla, exchange, label_studio
from burnish.review.targets import open_row, shown
from burnish.review.verdicts import Verdict
from burnish.tasks.editors import Editor, put

TOOLS = {"label_studio": label_studio, "argilla": argilla}


def value_for(draw: Any, editor: Editor, row: dict[str, Any], made: dict[str, Any]) -> Any:
    """A value that an editor could have given for a row."""
    text = row.get(editor.over) or ""
    place = (
        st.integers(0, len(text) - 1).flatmap(
            lambda start: st.tuples(st.just(start), st.integers(start + 1, len(text)))
        )
        if text
        else st.nothing()
    )
    labels = st.sampled_from(editor.labels or ("PER", "LOC"))
    match editor.kind:
        case "label":
            return draw(labels)
        case "labels":
            chosen = draw(st.sets(labels))
            return [one for one in editor.labels if one in chosen]
        case "spans":
            return [
                {"start": start, "end": end, "label": draw(labels)}
                for start, end in draw(st.lists(place, max_size=4, unique=True))
            ]
        case "relations":
            count = len(made["spans"])
            ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda one: one[0] != one[1])
            pairs = draw(st.lists(ends, max_size=3, unique=True)) if count > 1 else []
            return [{"head": head, "tail": tail, "label": draw(labels)} for head, tail in pairs]
        case "answer":
            start, end = draw(st.none() | place) or (None, None)
            return {"text": "", "start": None} if start is None else {"text": text[start:end], "start": start}
        case "value":
            return float(
                draw(
                    st.integers(int(editor.low), int(editor.high))
                    if editor.step
                    else st.floats(editor.low, editor.high)
                )
            )
        case "output":
            return draw(st.text(min_size=1, max_size=30))
    turns = [dict(one) for one in row["messages"]]
    return [*turns[:-1], {"role": "assistant", "content": draw(st.text(min_size=1, max_size=30))}]


@st.composite
def verdicts(draw: Any, world: str) -> tuple[dict[str, dict[str, Any]], tuple[Editor, ...], list[Verdict]]:
    """The rows of a world, its editors, and what two reviewers said of one of its rows."""
    rows = {row["id"]: open_row(row) for row in records(world).table().to_pylist()}
    editors = open_task(WORLDS[world][0]).editors()
    one = draw(st.sampled_from(sorted(rows)))
    said = []
    for reviewer in draw(
        st.lists(st.text(min_size=1, max_size=8).map(str.strip).filter(bool), min_size=1, max_size=2, unique=True)
    ):
        verdict = draw(st.sampled_from(["accept", "change", "reject", "skip"]))
        target: dict[str, Any] | None = None
        was = shown(rows[one], editors)
        if verdict == "change":
            target = {}
            for editor in editors:
                put(target, editor.path, value_for(draw, editor, rows[one], target))
        elif verdict == "accept":
            target = was
        draw_of = draw(st.none() | st.just({"name": "certificate", "stratum": "a", "weight": 2.5}))
        said.append(
            Verdict(
                one, reviewer, verdict, target, was, 1.5, "2026-01-01T00:00:00.000+00:00", draw_of, draw(st.booleans())
            )
        )
    return rows, editors, said


@pytest.mark.parametrize("tool", list(TOOLS))
@pytest.mark.parametrize("world", list(WORLDS))
def test_verdicts_come_back_as_they_went(world: str, tool: str) -> None:
    @given(verdicts(world))
    @settings(max_examples=12, deadline=None)
    def comes_back(given_: Any) -> None:
        rows, editors, said = given_
        by = {said[0].id: {one.reviewer: one for one in said}}
        out = json.loads(json.dumps(list(TOOLS[tool].export(rows, editors, by)), ensure_ascii=False))
        assert len(out) == len(rows)
        assert sorted(TOOLS[tool].read(out, rows, editors), key=lambda one: one.reviewer) == sorted(
            said, key=lambda one: one.reviewer
        )

    comes_back()


@pytest.mark.parametrize("tool", list(TOOLS))
@pytest.mark.parametrize("world", list(WORLDS))
def test_targets_survive_without_what_we_add(world: str, tool: str) -> None:
    """As a tool of the others gives them: nothing of ours beside the answer."""

    @given(verdicts(world))
    @settings(max_examples=12, deadline=None)
    def survives(given_: Any) -> None:
        from burnish.review.verdicts import canonical

        rows, editors, said = given_
        by = {said[0].id: {one.reviewer: one for one in said}}
        out = json.loads(json.dumps(list(TOOLS[tool].export(rows, editors, by))))
        for one in out:
            one.pop("metadata", None)
            for annotation in one.get("annotations", ()):
                annotation.pop("burnish")
        back = list(TOOLS[tool].read(out, rows, editors))
        assert [one.verdict for one in back if one.verdict in ("reject", "skip")] == [
            one.verdict for one in said if one.verdict in ("reject", "skip")
        ]
        for one, was in zip(back, said, strict=True):
            if was.decided is not None and all(value is not None for value in was.decided.values()):
                assert canonical(one.decided) == canonical(was.decided)

    survives()


def test_what_was_changed_there_is_a_change_here() -> None:
    rows = {row["id"]: open_row(row) for row in records("spans").table().to_pylist()}
    editors = open_task(WORLDS["spans"][0]).editors()
    one = next(iter(rows))
    was = shown(rows[one], editors)
    verdict = Verdict(one, "ann", "accept", was, was, 1.0, "2026-01-01")
    task = next(label_studio.export(rows, editors, {one: {"ann": verdict}}))
    edited = copy.deepcopy(task)
    edited["annotations"][0]["result"].pop()
    edited["annotations"][0] |= {"completed_by": {"id": 3, "email": "bo@example.org"}, "updated_at": "2026-02-02"}
    (back,) = label_studio.read([edited], rows, editors)
    assert (back.verdict, back.reviewer, back.at) == ("change", "bo@example.org", "2026-02-02")
    assert len(back.target["spans"]) == len(was["spans"]) - 1
    assert task["predictions"][0]["result"] == task["annotations"][0]["result"]


def test_places_counted_in_halves_of_characters_are_found() -> None:
    rows = {row["id"]: open_row(row) for row in records("spans").table().to_pylist()}
    editors = open_task(WORLDS["spans"][0]).editors()
    one = next(iter(rows))
    paris = span(CURIE, "Paris", "LOC")  # behind an emoji, which counts two there
    region = {
        "id": "x",
        "from_name": "spans",
        "to_name": "text",
        "type": "labels",
        "value": {"start": paris["start"] + 1, "end": paris["end"] + 1, "text": "Paris", "labels": ["LOC"]},
    }
    (back,) = label_studio.read([{"data": {"id": one}, "annotations": [{"result": [region]}]}], rows, editors)
    assert back.target == {"spans": [paris]} and back.reviewer == "label studio"


def test_files_go_out_and_come_in(session_of, tmp_path: Path) -> None:
    for tool in exchange.TOOLS:
        first = session_of("label", file=tmp_path / f"{tool}.a.jsonl")
        own = first.shelf.ids
        first.decide({"id": own[0], "reviewer": "ann", "verdict": "change", "target": {"label": "positive"}})
        first.decide({"id": own[1], "reviewer": "bob", "verdict": "reject"})
        told = exchange.write(first, tmp_path / f"{tool}.json", tool)
        assert "8 records with 2 verdicts" in told
        second = session_of("label", file=tmp_path / f"{tool}.b.jsonl")
        assert exchange.take(second, tmp_path / f"{tool}.json", tool).startswith("2 verdicts taken, 0 known")
        assert second.file.newest == first.file.newest
        assert exchange.take(second, tmp_path / f"{tool}.json", tool).startswith("0 verdicts taken, 2 known")
        (tmp_path / "wrong.json").write_text('{"a": 1}', "utf-8")
        with pytest.raises(DataError, match="it is no list"):
            exchange.take(second, tmp_path / "wrong.json", tool)


def test_what_does_not_fit_its_record_is_counted_and_left_out(session_of, tmp_path: Path) -> None:
    session = session_of("label")
    task = {
        "data": {"id": session.shelf.ids[0]},
        "annotations": [
            {"result": [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["odd"]}}]}
        ],
    }
    (tmp_path / "x.json").write_text(json.dumps([task, {"data": {"id": "stranger"}}]), "utf-8")
    told = exchange.take(session, tmp_path / "x.json", "label_studio")
    assert told.startswith("0 verdicts taken") and "'odd' is no label" in told and not session.file.newest


@pytest.mark.parametrize("world", list(WORLDS))
def test_label_studios_own_sdk_accepts_interface_tasks_and_annotations(world: str) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface
    rows = {row["id"]: open_row(row) for row in records(world).table().to_pylist()}
    editors = open_task(WORLDS[world][0]).editors()
    ids = list(rows)
    was = {one: shown(rows[one], editors) for one in ids}
    said = {
        ids[0]: {"ann": Verdict(ids[0], "ann", "accept", was[ids[0]], was[ids[0]])},
        ids[1]: {"bob": Verdict(ids[1], "bob", "reject")},
    }
    checked = interface(label_studio.config(editors, ["LOC", "ORG", "PER"]))
    checked.validate()
    for task in label_studio.export(rows, editors, said):
        for annotation in task["annotations"]:
            assert checked.validate_annotation(annotation), annotation
        for prediction in task.get("predictions", ()):
            assert checked.validate_prediction(prediction, return_errors=True) == [], prediction
        assert checked.validate_task({"data": task["data"]}, validate_regions_only=False)


@pytest.mark.parametrize("world", list(WORLDS))
def test_argillas_own_records_are_made_of_ours_and_come_back(world: str) -> None:
    sdk = pytest.importorskip("argilla")
    rows = {row["id"]: open_row(row) for row in records(world).table().to_pylist()}
    editors = open_task(WORLDS[world][0]).editors()
    ids = list(rows)
    was = {one: shown(rows[one], editors) for one in ids}
    said = {
        ids[0]: {"ann": Verdict(ids[0], "ann", "accept", was[ids[0]], was[ids[0]], at="2026")},
        ids[1]: {"bob": Verdict(ids[1], "bob", "reject", at="2026")},
    }
    made = [sdk.Record.from_dict(one) for one in argilla.export(rows, editors, said)]
    back = list(argilla.read([json.loads(json.dumps(one.to_dict())) for one in made], rows, editors))
    assert {one.id: {one.reviewer: one} for one in back} == said
    kinds = {
        "label": sdk.LabelQuestion,
        "multi_label": sdk.MultiLabelQuestion,
        "span": sdk.SpanQuestion,
        "rating": sdk.RatingQuestion,
        "text": sdk.TextQuestion,
    }
    server = mock.Mock()  # stands for a server that is not asked
    told = argilla.settings(editors, ["LOC", "ORG", "PER"])
    for one in told["questions"]:
        one = dict(one)
        kinds[one.pop("type")](**one, client=server)
    fields = {"text": sdk.TextField, "chat": sdk.ChatField}
    for one in told["fields"]:
        fields[one["type"]](name=one["name"], **{"_client" if one["type"] == "chat" else "client": server})
