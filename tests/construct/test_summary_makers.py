"""Summaries that texts bring along, the extractive oracle, faithfulness, and outputs that labellers propose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.construct.aggregate import aggregate
from burnish.construct.forms import form_of
from burnish.construct.labellers.functions import functions
from burnish.construct.texts import faithful as faithfulness
from burnish.construct.texts.extractive import extractive
from burnish.construct.texts.faithful import faithful
from burnish.construct.texts.form import choose, proposals, utility_of
from burnish.construct.texts.summaries import summaries
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec, find
from burnish.measures.summaries import extracted, fragments, names, names_missing, oracle, principal, supported

EN = (
    "The council of Leeds voted on Monday to close 3 libraries. The decision saves 2 million pounds a year. "
    "Readers protested outside the town hall. Ada Miller, who leads the campaign, called it a disgrace. "
    "The libraries will close in March. The council said it had no other choice, as costs had risen."
)
ZH = "北京市政府周一宣布关闭三家图书馆。这项决定每年可以节省两百万元。读者在市政府门外抗议。领导抗议活动的王建国说这是耻辱。图书馆将在三月关闭。政府表示由于成本上升，别无选择。"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec("summarization", languages=("en", "zh"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


def saved(records: Records, folder: Path) -> tuple[list[Record], dict[str, Any]]:
    folder.mkdir()
    records.save(folder)
    found = Records.open(folder)
    return list(found), found.facts


def words(text: str) -> list[str]:
    return text.split()


# -- figures by hand


def test_coverage_density_and_compression_by_hand() -> None:
    text, summary = words("the cat sat on the mat today"), words("the cat ran on the mat")
    assert fragments(text, summary) == [2, 3]
    found = extracted(" ".join(text), " ".join(summary))
    assert found.coverage == pytest.approx(5 / 6) and found.density == pytest.approx((4 + 9) / 6)
    assert found.compression == pytest.approx(7 / 6) and found.novel_bigrams == pytest.approx(2 / 5)


def test_a_chinese_summary_is_measured_by_characters() -> None:
    found = extracted("今天天气很好，我们去公园。", "天气很好")
    assert (found.coverage, found.density, found.compression) == (1.0, 4.0, 2.75)


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=6))
def test_runs_are_in_the_text_and_no_longer_than_the_summary(text: list[str], summary: list[str]) -> None:
    found = fragments(text, summary)
    assert sum(found) <= len(summary) and sum(found) == sum(word in text for word in summary)


def test_the_oracle_takes_what_says_the_reference() -> None:
    said = [one.split() for one in ("a b c", "x y z", "d e f", "a b")]
    assert oracle(said, words("a b c d e f")) == [0, 2]
    assert oracle(said, words("q q")) == [] and oracle(said, words("x y z"), most=1) == [1]
    assert principal([one.split() for one in ("a b", "a b c d", "x", "c d a")], count=1) == [1]


@pytest.mark.parametrize(
    ("summary", "missing"),
    [
        ("Ada Miller leads a campaign.", []), ("A campaign led by Bob Miller.", ["Bob"]), ("The libraries of Leeds's council", []),
        ("Libraries in York close.", ["York"]),
    ],
)  # fmt: skip
def test_names_that_the_text_has_not(summary: str, missing: list[str]) -> None:
    assert names_missing(EN, summary) == missing


def test_chinese_names_must_be_in_the_text() -> None:
    assert names("昨天李克强在上海讲话") == ["李克强", "上海"]
    assert names_missing("小波变换用得很多，本文基于它。", "基于小波变换的方法") == []  # 于小波 is no person
    assert names_missing("#Person1# said hello.", "#Person2# said hello on the 5th.") == ["Person2"]
    assert names_missing(ZH, "北京将关闭三家图书馆") == [] and names_missing(ZH, "上海将关闭三家图书馆") == ["上海"]


def test_support_counts_stems_and_no_stop_words() -> None:
    assert supported(EN, "The protest of the readers") == 1.0
    assert supported(EN, "A hurricane destroyed readers") == pytest.approx(1 / 3)


# -- makers


def made_of(records: Records, folder: Path) -> list[tuple[str | None, str | None]]:
    return [(one.text, one.output) for one in saved(records, folder)[0] if one.label_from]


def test_titles_come_from_their_field_or_a_first_line(context: Context, tmp_path: Path) -> None:
    rows = [
        Record(EN, id="1", meta={"title": "Leeds council closes libraries", "kind": "news"}), Record(f"北京关闭图书馆\n\n{ZH}", id="2"),
        Record(EN, id="3"), Record("Too short.", id="4", meta={"title": "Short"}), Record(EN, id="5", meta={"title": "Volcano erupts again"}),
    ]  # fmt: skip
    found, facts = saved(summaries(Records.from_rows(rows), context), tmp_path / "out")
    born = [one for one in found if one.label_from]
    assert [(one.text, one.output) for one in born] == [(EN, "Leeds council closes libraries"), (ZH, "北京关闭图书馆")]
    assert born[0].meta == {"kind": "news", "way": "title", "made_from": ["1"]} and born[0].group == "1"
    assert 0.6 < (born[0].confidence or 0) <= 0.9 and "title from its field" in born[0].trail[0]
    assert facts["makers"][0]["refused"] == {"no title": 1, "text too short": 1, "about something else": 1}


def test_a_lead_and_a_principal_sentence_leave_the_text(context: Context, tmp_path: Path) -> None:
    rows = [Record(EN, id="e"), Record(ZH, id="z")]
    lead = made_of(summaries(Records.from_rows(rows), context, way="lead"), tmp_path / "lead")
    assert (
        lead[0] == (EN.partition(". ")[2], EN.partition(". ")[0] + ".") and lead[1][1] == ZH.partition("。")[0] + "。"
    )
    kept = made_of(summaries(Records.from_rows(rows), context, way="lead", cut=False), tmp_path / "kept")
    assert kept[1][0] == ZH
    (gap, zh) = made_of(summaries(Records.from_rows(rows), context, way="gap"), tmp_path / "gap")
    assert gap[1] not in (gap[0] or "") and (zh[1] or "") in ZH and len(zh[0] or "") + len(zh[1] or "") == len(ZH)


def test_headings_are_the_summaries_of_their_sections(context: Context, tmp_path: Path) -> None:
    text = f"# Libraries close in Leeds\n{EN}\n\n图书馆关闭\n=====\n{ZH}\n## Empty\n"
    found = made_of(summaries(Records.from_rows([Record(text, id="1")]), context, way="headings"), tmp_path / "out")
    assert found == [(EN, "Libraries close in Leeds"), (ZH, "图书馆关闭")]


def test_a_summary_that_many_texts_share_is_none(context: Context, tmp_path: Path) -> None:
    rows = [Record(f"{EN} Part {at}.", id=str(at), meta={"title": "Council news"}) for at in range(4)]
    found, facts = saved(summaries(Records.from_rows(rows), context), tmp_path / "out")
    assert sum(bool(one.label_from) for one in found) == 2
    assert facts["makers"][0]["refused"] == {"said of many texts": 2}


GIVEN = "Leeds closes 3 libraries in March, and readers protested outside the town hall."


def test_the_oracle_writes_outputs_labels_and_spans(context: Context, tmp_path: Path) -> None:
    rows = [Record(EN, id="1", output=GIVEN), Record(EN, id="2"), Record(EN, id="3", output="Volcano erupts")]
    found, facts = saved(extractive(Records.from_rows(rows), context), tmp_path / "out")
    (one,) = [record for record in found if record.label_from == "construct.extractive"]
    assert one.output and one.output == "Readers protested outside the town hall. The libraries will close in March."
    assert one.text == EN and one.meta["made_from"] == ["1"] and found[0].output == GIVEN and not found[0].findings
    assert facts["makers"][0]["refused"] == {"its summary is not in it": 1}
    sentences = replace(context, task=TaskSpec("classification", ("in", "out")))
    labelled = [
        r for r in saved(extractive(Records.from_rows(rows[:1]), sentences, make="label"), tmp_path / "l")[0] if r.label
    ]
    assert len(labelled) == 6 and [r.label for r in labelled].count("in") == len(one.meta["sentences"])
    assert labelled[0].text_b == EN and {r.group for r in labelled} == {"1"}
    tags = replace(context, task=TaskSpec("tagging", ("summary",)))
    (tagged,) = [
        r for r in saved(extractive(Records.from_rows(rows[:1]), tags, make="spans"), tmp_path / "s")[0] if r.spans
    ]
    assert [EN[span["start"] : span["end"]] for span in tagged.spans or ()] == [
        part + "." for part in one.output[:-1].split(". ")
    ]


def test_what_the_oracle_makes_must_be_a_target(context: Context) -> None:
    stage = find("construct", "extractive")
    assert stage.check is not None
    assert stage.check(stage.filled({"make": "label"}), context.task)[0][0] == "make"
    assert (
        stage.check(stage.filled({"make": "label"}), TaskSpec(labels=("one",)))[0][1]
        == "label needs labels in the task"
    )
    assert stage.check(stage.filled({}), context.task) == []


# -- faithfulness

LIES = {
    "number": "Leeds closes 4 libraries.", "name": "Close vote in Sheffield on libraries closing in March.",
    "words": "Hurricanes destroyed vineyards overnight.",
}  # fmt: skip


def test_summaries_that_lie_are_set_aside_with_the_reason(context: Context, tmp_path: Path) -> None:
    rows = [
        Record(EN, id="good", output=GIVEN),
        Record(ZH, id="zh", output="北京关闭3家图书馆，每年省200万元。"),
        Record(EN, id="none"),
    ]
    rows += [Record(EN, id=kind, output=text) for kind, text in LIES.items()]
    rows += [
        Record(ZH, id="zh-number", output="北京关闭4家图书馆。"),
        Record(ZH, id="zh-name", output="上海关闭三家图书馆。"),
    ]
    found, facts = saved(faithful(Records.from_rows(rows), context), tmp_path / "out")
    assert [one.id for one in found if one.keep] == ["good", "zh", "none"]
    reasons = {one.id: one.findings[0]["reason"] for one in found if one.findings}
    assert reasons["number"] == "number not in the text: 4" and reasons["name"] == "name not in the text: Sheffield"
    assert reasons["zh-name"] == "name not in the text: 上海" and reasons["words"].startswith("words not in the text")
    told = facts["filters"][0]
    assert told["seen"] == 7 and told["refused"]["number not in the text"] == 2
    assert 0 < told["after"]["coverage"]["mean"] <= 1 and told["after"]["compression"]["median"] > 1
    loose, _ = saved(
        faithful(Records.from_rows(rows), context, numbers=False, names=False, min_support=0), tmp_path / "loose"
    )
    assert all(one.keep for one in loose)


def test_a_model_of_inference_may_speak_against_a_summary(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nli:
        labels = ("entailment", "contradiction")

        def predict(self, asked: list[Mapping[str, str]], **_: Any) -> list[dict[str, Any]]:
            return [{"label": self.labels["never" in one["text_b"]], "score": 0.9} for one in asked]

    monkeypatch.setattr("burnish.tasks.predictor.load", lambda path: Nli())
    rows = [Record(EN, id="1", output=GIVEN), Record(EN, id="2", output="The libraries will never close in March.")]
    found, _ = saved(faithful(Records.from_rows(rows), context, nli=tmp_path), tmp_path / "out")
    assert [one.keep for one in found] == [True, False]
    assert found[1].findings[0]["reason"].startswith("contradicts the text: The libraries will never")
    with pytest.raises(faithfulness.BurnishError, match="no label 'no'"):
        faithful(Records.from_rows(rows), context, nli=tmp_path, contradiction="no")


# -- outputs that labellers propose


def votes_of(said: Mapping[str, Mapping[int, str]]) -> list[Votes]:
    rows = [
        {"row": row, "labeller": name, "label": None, "confidence": 1.0, "start": None, "end": None, "tail_start": None,
         "tail_end": None, "text": text}
        for name, texts in said.items() for row, text in texts.items()
    ]  # fmt: skip
    return [Votes([Labeller(name, "test") for name in said], pa.Table.from_pylist(rows, schema=Votes.SCHEMA))]


def test_the_consensus_is_the_text_most_like_the_others(context: Context, tmp_path: Path) -> None:
    said = {
        "a": {0: "Leeds closes three libraries", 1: "图书馆关闭"}, "b": {0: "Leeds closes libraries"}, "c": {0: "a volcano erupts"},
    }  # fmt: skip
    records = Records.from_rows([Record(EN, id="1"), Record(ZH, id="2"), Record("silence", id="3", output="old")])
    found, facts = saved(aggregate(records, votes_of(said), None, context), tmp_path / "out")
    assert facts["method"] == "consensus" and found[0].output in (
        "Leeds closes three libraries",
        "Leeds closes libraries",
    )
    assert found[1].output == "图书馆关闭" and found[2].output is None
    assert found[0].label_from == "aggregate:consensus" and len(found[0].votes) == 3
    assert (found[0].confidence or 0) > 0.3 and facts["coverage"] == pytest.approx(2 / 3)


def test_gold_says_whom_to_trust(context: Context, tmp_path: Path) -> None:
    truth = [f"summary number {word} of them" for word in words("one two three four five six")]
    gold = Gold.from_rows(Record(f"text {at}", output=text) for at, text in enumerate(truth))
    assert isinstance(gold, Gold)
    good = {-1 - at: text for at, text in enumerate(truth)} | {0: "the right one"}
    same = {row: "always the same words" for row in good}
    said = {"bad": same, "good": good, "echo": dict(same)}
    records = Records.from_rows([Record(EN, id="1")])
    found, facts = saved(aggregate(records, votes_of(said), gold, context), tmp_path / "out")
    assert (
        facts["method"] == "weighted" and found[0].output == "the right one" and facts["best_single"]["name"] == "good"
    )
    rows = {row["name"]: row for row in facts["labellers"]}
    assert rows["good"]["accuracy"] > 0.6 > 0.4 > rows["bad"]["accuracy"] and rows["good"]["gold_votes"] == 6
    echo, _ = saved(aggregate(records, votes_of(said), None, context, method="majority"), tmp_path / "majority")
    assert echo[0].output == "always the same words"


@given(st.lists(st.text("ab 天气", min_size=1).filter(str.strip), min_size=1, max_size=4), st.integers(0, 9))
def test_every_method_takes_one_of_what_was_said(texts: list[str], seed: int) -> None:
    votes = votes_of({str(at): {0: text} for at, text in enumerate(texts)})[0]
    (one,) = proposals(
        votes.table, votes.labellers, utility_of(TaskSpec("translation", languages=("en", "zh")))
    ).values()
    trust = np.random.default_rng(seed).random(len(texts))
    for method in ("consensus", "majority", "weighted"):
        at, sure = choose(method, one, trust)
        assert 0 <= at < len(texts) and 0 <= sure <= 1 + 1e-9


def test_rules_propose_outputs(context: Context, tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text("def first(record):\n    return record.text.split('.')[0]\n", "utf-8")
    votes = functions(Records.from_rows([Record(EN)]), None, context, path=tmp_path / "rules.py")
    assert votes.table["text"].to_pylist() == [EN.split(".")[0]]
    form = form_of(context.task)
    with pytest.raises(ValueError, match="return the output as a text"):
        form.returned(["no"])
    with pytest.raises(ValueError, match="an answer is"):
        form.said({"label": "x"}, {}, context.task)
    assert form.said({"text": " "}, {}, context.task) == []
    assert json.dumps(form.methods)
