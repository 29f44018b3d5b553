"""What the page asks: lists, records, decisions, several reviewers; and what the server refuses."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import served
from worlds import CURIE, WORLDS, span

from burnish.core.errors import DataError
from burnish.review.files import draws_of
from burnish.review.session import Ask, Refused
from burnish.review.verdicts import Verdict, append, read

HEADERS = {"X-Burnish": "review"}


def ids(page) -> list[str]:
    return [one["id"] for one in page["items"]]


def test_lists_are_filtered_and_paged(session_of) -> None:
    session = session_of("label")
    assert session.page(Ask())["total"] == 8
    assert session.page(Ask(label="positive"))["total"] == 3 and session.page(Ask(label="∅"))["total"] == 1
    assert session.page(Ask(labeller="teacher"))["total"] == 2
    assert session.page(Ask(slice=("language", "zh")))["total"] == 3
    assert session.page(Ask(suspect=True))["total"] == 1
    assert session.page(Ask(search="KETTLE"))["total"] == 1 and session.page(Ask(search="早餐"))["total"] == 1
    assert session.page(Ask(search="[a-z](*"))["total"] == 0  # as it is written, not as a pattern
    seen, cursor = [], 0
    while cursor is not None:
        page = session.page(Ask("all", limit=3, cursor=cursor))
        seen, cursor = seen + ids(page), page["next"]
    assert seen == session.shelf.ids
    with pytest.raises(Refused, match="no queue 'x'"):
        session.page(Ask("x"))


def test_a_decision_is_on_disk_before_it_is_answered(session_of) -> None:
    session = session_of("label")
    first = ids(session.page(Ask(reviewer="ann", state="open")))[0]
    told = session.decide(
        {"id": first, "reviewer": "ann", "verdict": "change", "target": {"label": "positive"}, "seconds": 2}
    )
    line = json.loads(session.file.path.read_text("utf-8"))
    assert (line["verdict"], line["target"], line["was"], line["draw"]) == (
        "change",
        {"label": "positive"},
        {"label": "negative"},
        None,
    )
    assert told["item"]["mine"] == "change" and told["progress"]["queues"]["review"] == {"done": 1, "of": 8}
    assert first not in ids(session.page(Ask(reviewer="ann", state="open")))
    assert ids(session.page(Ask("mine", "ann"))) == [first]
    session.decide({"id": first, "reviewer": "ann", "verdict": "undo"})
    assert first in ids(session.page(Ask(reviewer="ann", state="open")))
    with pytest.raises(Refused, match="nothing to take back"):
        session.decide({"id": first, "reviewer": "ann", "verdict": "undo"})


def test_to_change_nothing_is_to_accept(session_of) -> None:
    session = session_of("spans")
    one = session.shelf.ids[0]
    target = session.record(one, "ann")["target"]
    session.decide({"id": one, "reviewer": "ann", "verdict": "change", "target": {"spans": target["spans"][::-1]}})
    assert read(session.file.path).newest[one]["ann"].verdict == "accept"


@pytest.mark.parametrize(
    ("world", "target", "says"),
    [
        ("label", {"label": "nice"}, "no label of the task"),
        ("label", {}, "empty"),
        ("label", {"label": 3}, "a label is wanted"),
        ("labels", {"labels": ["price", "smell"]}, "labels of the task"),
        ("spans", {"spans": [{"start": 0, "end": 9999, "label": "PER"}]}, "outside the text"),
        ("spans", {"spans": [{"start": 0, "end": 3, "label": "DOG"}]}, "no label of the task"),
        ("spans", {"spans": [{"start": True, "end": 3, "label": "PER"}]}, "start, end, label"),
        ("relations", {"spans": [span(CURIE, "Warsaw", "LOC")], "relations": [{"head": 0, "tail": 4, "label": "born_in"}]}, "relation"),
        ("answer", {"answer": {"text": "Berlin", "start": 0}}, "does not stand"),
        ("value", {"value": 9}, "not within"),
        ("value", {"value": "9"}, "a number"),
        ("messages", {"messages": [{"role": "user"}]}, "role, content"),
        ("messages", {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": " "}]}, "empty"),
    ],
)  # fmt: skip
def test_a_target_that_does_not_fit_is_refused_and_not_written(session_of, world: str, target, says: str) -> None:
    session = session_of(world)
    with pytest.raises(Refused, match=says) as refused:
        session.decide({"id": session.shelf.ids[0], "reviewer": "ann", "verdict": "change", "target": target})
    assert refused.value.status == 422 and not session.file.path.exists()


JSON = st.recursive(st.none() | st.booleans() | st.integers(-5, 200) | st.floats(allow_nan=False) | st.text(max_size=5) | st.sampled_from(["PER", "born_in", "user", "assistant"]),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["start", "end", "label", "head", "tail", "text", "role", "content", "topic"]), inner, max_size=4), max_leaves=8)  # fmt: skip


@given(st.sampled_from(sorted(WORLDS)), st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wild_targets_are_refused_or_written_whole(session_of, kept, world: str, data) -> None:
    session = kept.setdefault(world, None) or kept.setdefault(world + "!", session_of(world))
    fields = ["label", "labels", "spans", "relations", "answer", "value", "output", "messages", "meta"]
    target = data.draw(st.dictionaries(st.sampled_from(fields), JSON, max_size=3))
    one = data.draw(st.sampled_from(session.shelf.ids))
    try:
        session.decide({"id": one, "reviewer": "ann", "verdict": "change", "target": target})
    except Refused as refused:
        assert refused.status == 422
    else:
        assert not session.file.unreadable
        assert session.record(one, "ann")["mine"] is not None


@pytest.fixture(scope="module")
def kept() -> dict:
    return {}


def test_reviewers_are_blind_until_they_decide_and_disputes_are_adjudicated(session_of) -> None:
    session = session_of("label")
    one = session.shelf.ids[0]
    session.decide({"id": one, "reviewer": "ann", "verdict": "accept"})
    before = session.record(one, "bob")
    assert before["others"] == [] and before["waiting"] == 1
    session.decide({"id": one, "reviewer": "bob", "verdict": "change", "target": {"label": "positive"}})
    assert [other["words"] for other in session.record(one, "bob")["others"]] == ["negative"]
    assert ids(session.page(Ask("disputed", "cy"))) == [one] and session.progress("cy")["disputed"] == 1
    assert len(session.record(one, "cy", adjudicate=True)["others"]) == 2
    found = session.agreement()
    assert found["records"] == 1 and found["editors"][0]["pairs"][0]["same"] == 0
    session.decide(
        {"id": one, "reviewer": "cy", "verdict": "change", "target": {"label": "positive"}, "adjudicates": True}
    )
    assert session.page(Ask("disputed", "cy"))["total"] == 0
    assert session.record(one, "cy")["state"] == "decided" and session.agreement()["records"] == 1


def test_one_look_is_enough_where_records_are_not_shared(session_of) -> None:
    session = session_of("label", shared=0.0)
    first = ids(session.page(Ask(reviewer="ann", state="open")))[0]
    session.record(first, "ann")  # ann has it open: bob is offered another
    assert first not in ids(session.page(Ask(reviewer="bob", state="open")))
    session.decide({"id": first, "reviewer": "ann", "verdict": "skip"})
    assert first in ids(session.page(Ask(reviewer="bob", state="open")))
    session.decide({"id": first, "reviewer": "bob", "verdict": "accept"})
    assert first not in ids(session.page(Ask(reviewer="cy", state="open")))
    assert session_of("label", shared=0.3).is_shared("a") in (True, False)


def test_what_another_process_wrote_is_seen(session_of) -> None:
    session = session_of("label")
    append(session.file.path, [Verdict(session.shelf.ids[1], "bob", "reject")])
    assert session.page(Ask(reviewer="ann", state="open"))["total"] == 8  # shared: everybody looks
    assert session.record(session.shelf.ids[1], "ann")["waiting"] == 1


def test_draws_of_the_certificate_are_a_queue_of_their_own(session_of, tmp_path: Path) -> None:
    own = session_of("label").shelf.ids
    lines = [{"id": own[3], "stratum": "positive", "weight": 12.5}, {"id": "gone", "stratum": "x", "weight": 1}]
    (tmp_path / "label.draws.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    draws = draws_of("label", tmp_path)
    session = session_of("label", draws=draws)
    assert ids(session.page(Ask("certificate"))) == [own[3]]
    session.decide({"id": own[3], "reviewer": "ann", "verdict": "accept", "draw": {"name": "forged"}})
    session.decide({"id": own[4], "reviewer": "ann", "verdict": "accept", "draw": {"name": "forged"}})
    newest = read(session.file.path).newest
    assert newest[own[3]]["ann"].draw == {"name": "certificate", "stratum": "positive", "weight": 12.5}
    assert newest[own[4]]["ann"].draw is None
    (tmp_path / "label.draws.jsonl").write_text('{"id": "a"}\n', "utf-8")
    with pytest.raises(DataError, match=r"label.draws.jsonl:1"):
        draws_of("label", tmp_path)


@pytest.mark.parametrize("world", list(WORLDS))
def test_every_record_of_every_task_opens(session_of, world: str) -> None:
    session = session_of(world)
    json.dumps(session.about(), allow_nan=False)
    for one in session.shelf.ids:
        told = session.record(one, "ann", language="zh")
        json.dumps(told, allow_nan=False, default=str)
        assert told["target"].keys() == {editor.path[0] for editor in session.shelf.editors}


def test_reasons_and_trails_are_told_in_the_language_of_the_page(session_of) -> None:
    session = session_of("label")
    one = session.shelf.ids[0]
    whole = session.shelf.row(session.shelf.rows[one]) | {
        "findings": [
            {
                "check": "label_errors",
                "score": 0.9,
                "reason": "labelled a (2% likely); b is 90% likely",
                "action": "review",
            },
            {"check": "of_a_plugin", "score": 0.5, "reason": "it does not rhyme", "action": "review"},
        ],
        "trail": ["quality.curate: set aside, empty: there is no letter and no figure in it"],
    }
    session.shelf.row = lambda row: whole
    english, chinese = (session.record(one, "ann", language=language) for language in ("en", "zh"))
    assert english["trail"] == whole["trail"]
    assert [found["reason"] for found in english["findings"]] == [found["reason"] for found in whole["findings"]]
    assert chinese["findings"][0]["named"] == "疑似标签错误"
    assert chinese["findings"][0]["reason"] == "标为“a”（可能性 2%），而“b”的可能性是 90%"
    assert (chinese["findings"][1]["named"], chinese["findings"][1]["reason"]) == ("of_a_plugin", "it does not rhyme")
    assert chinese["trail"] == ["quality.curate：搁置（空文本）：没有任何文字或数字"]


# -- the server


def test_the_server_answers_and_guards(session_of) -> None:
    with served(session_of("label")) as address, httpx.Client(base_url=address) as client:
        page = client.get("/")
        assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
        assert client.get("/assets/main.js").headers["content-type"].startswith("text/javascript")
        for path in ("/assets/..%2fserver.py", "/assets/server.py", "/etc/passwd", "/assets/"):
            assert client.get(path).status_code == 404
        assert client.get("/api/about").json()["records"] == 8
        given = {"id": client.get("/api/records").json()["items"][0]["id"], "reviewer": "ann", "verdict": "accept"}
        assert client.post("/api/verdict", json=given).status_code == 403  # a form of another page has no such header
        assert (
            client.post("/api/verdict", json=given, headers={**HEADERS, "Origin": "http://evil.example"}).status_code
            == 403
        )
        plain = client.post(
            "/api/verdict", content=json.dumps(given), headers={**HEADERS, "Content-Type": "text/plain"}
        )
        assert plain.status_code == 415
        assert client.get("/api/about", headers={"Host": "evil.example"}).status_code == 421
        assert client.post("/api/verdict", json=given, headers=HEADERS).status_code == 200
        assert (
            client.post(
                "/api/verdict", content="{", headers={**HEADERS, "Content-Type": "application/json"}
            ).status_code
            == 400
        )
        assert client.post("/api/verdict", json=[1], headers=HEADERS).status_code == 422
        large = client.post("/api/verdict", json={**given, "target": {"label": "x" * 3_000_000}}, headers=HEADERS)
        assert large.status_code == 413 and "2,000,000" in large.json()["error"]["message"]
        assert client.get("/api/records", params={"search": "x" * 5000}).status_code == 414
        assert client.get("/api/records", params={"cursor": "x"}).status_code == 422
        refused = client.get("/api/record", params={"id": "?"}, headers={"Accept-Language": "zh-CN"}).json()
        assert refused["error"]["message"] == "没有记录 '?'"
        assert client.get("/api/record", params={"id": "nobody"}).status_code == 404
        assert client.delete("/api/verdict").status_code == 405


def test_beyond_this_machine_the_token_is_asked_for(session_of) -> None:
    with (
        served(session_of("label"), token="t" * 20, any_host=True) as address,
        httpx.Client(base_url=address) as client,
    ):
        assert client.get("/").status_code == 200  # the page holds no data
        assert client.get("/api/about").status_code == 401
        assert client.get("/api/about", headers={"Authorization": "Bearer " + "x" * 20}).status_code == 401
        known = {"Authorization": "Bearer " + "t" * 20, "Host": "box.lan"}
        assert client.get("/api/about", headers=known).status_code == 200


def test_records_are_never_markup(session_of) -> None:
    """What a record says reaches the page as JSON alone; the page makes text nodes of it."""
    with served(session_of("label")) as address:
        one = httpx.get(address + "api/records", params={"search": "<script>"})
        assert one.headers["content-type"] == "application/json" and one.json()["total"] == 1
    scripts = [
        path.read_text("utf-8")
        for path in (Path(__import__("burnish").__file__).parent / "review" / "_web" / "page").glob("*.js")
    ]
    assert scripts and not any(
        word in text
        for text in scripts
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    )


def test_every_task_type_has_a_page() -> None:
    """A task that moves in names its editors, and has a world here whose page is driven by the browser."""
    from burnish.core.tasktypes import known_types, open_task
    from burnish.tasks.editors import KINDS

    assert set(known_types()) - {"translation"} <= {spec.type for spec, _ in WORLDS.values()}  # as summarization writes
    kinds = {editor.kind for spec, _ in WORLDS.values() for editor in open_task(spec).editors()}
    assert kinds == set(KINDS)
