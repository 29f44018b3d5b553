"""Noise that is planted is found; the real thing around it is left in peace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Records
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.quality.audit import audit

from .conftest import reviews, turned

Findings = Callable[[Records, str], dict[str, dict[str, Any]]]


def run(rows: list[Record], context: Context, *checks: str, **settings: Any) -> Records:
    return audit(
        Records.from_rows(rows), context, checks=list(checks), **{"effect": "none", "embed": "none", **settings}
    )


def here(task: TaskSpec, folder: Path) -> Context:
    return Context(task, 0, folder, folder, folder, Silent())


@pytest.mark.usefixtures("bag_of_words")
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("check", "precision", "recall"),
    [("neighbour_disagreement", 0.8, 0.25), ("training_dynamics", 0.8, 0.8), ("area_under_margin", 0.6, 0.8)],
)
def test_planted_labels_stand_out(
    context: Context, findings: Findings, check: str, precision: float, recall: float, language: str
) -> None:
    rows = reviews(600, language=language)
    wrong = {f"r{at}" for at in np.random.default_rng(5).choice(600, 60, replace=False)}
    rows = [replace(row, label=turned(row.label or "")) if row.id in wrong else row for row in rows]
    found = findings(run(rows, context, check, embed="auto"), check)
    hits = len(found.keys() & wrong)
    assert hits / len(found) >= precision and hits / len(wrong) >= recall
    assert all(0 < one["score"] <= 1 for one in found.values())


def test_without_vectors_the_reason_is_said_and_labels_are_judged_by_words(
    context: Context, findings: Findings
) -> None:
    rows = reviews(400)
    wrong = {f"r{at}" for at in range(40)}
    rows = [replace(row, label=turned(row.label or "")) if row.id in wrong else row for row in rows]
    made = run(rows, context, "label_errors", "training_dynamics", "coverage")
    assert "embed: auto" in made.facts["audit"]["checks"]["training_dynamics"]["skipped"]
    found = findings(made, "label_errors")
    assert len(found.keys() & wrong) / len(wrong) > 0.8 and len(found.keys() & wrong) / len(found) > 0.8


def test_broken_fields_are_named(tmp_path: Path, findings: Findings) -> None:
    text = "Ada lives in Rome with Bob"
    spans = {
        "good": [(0, 3)], "nested": [(0, 3), (0, 26)], "outside": [(20, 40)], "blanks": [(3, 9)], "through": [(0, 2)], "cross": [(0, 9), (4, 16)],
        "twice": [(0, 3), (0, 3)],
    }  # fmt: skip
    rows = [
        Record(text=text, id=name, spans=[{"start": a, "end": b, "label": "PER"} for a, b in some])
        for name, some in spans.items()
    ]
    rows += [Record(text="[deleted]", id="deleted", spans=[]), Record(text="暂无", id="none", spans=[])]
    made = run(rows, here(TaskSpec("tagging", ("PER",)), tmp_path), "broken_fields")
    found = findings(made, "broken_fields")
    assert found.keys() == spans.keys() - {"good", "nested"} | {"deleted", "none"}
    assert found["through"]["reason"] == "PER “Ad” goes through a word"
    rows = [Record(text="a", text_b="b", id=str(at), label="negative") for at in range(8)]
    rows += [
        Record(text="a", id="alone", label="neutral"),
        Record(text="c", text_b="d", id="soft", label="negative", probs=[0.9, 0.4]),
    ]
    found = findings(
        run(rows, here(TaskSpec(labels=("negative", "positive")), tmp_path), "broken_fields"), "broken_fields"
    )
    assert found.keys() == {"alone", "soft"} and "'neutral'" in found["alone"]["reason"]


@pytest.mark.parametrize(
    ("text", "marked"),
    [("<p>Great phone</p>", True), ("好用&nbsp;推荐", True), ("[b]bold[/b] words", True), ("见[官网](https://a.cn/x)", True), ("{{Infobox}} of a town", True),
     ("a \\n b \\u4e2d", True), ("3 < 5 and 7 > 2", False), ("R&D at AT&T; fine", False), ("价格<100元,重量>2kg", False), ("me@example.com wrote [sic]", False)],
)  # fmt: skip
def test_markup_is_told_from_signs(context: Context, findings: Findings, text: str, marked: bool) -> None:
    assert bool(findings(run([Record(text=text, id="a")], context, "markup"), "markup")) == marked


def test_cut_texts_are_found_in_both_languages(context: Context, findings: Findings) -> None:
    rows = [replace(row, text=(row.text or "") + ".") for row in reviews(60)]
    rows += [replace(row, id=f"zh{row.id}", text=(row.text or "") + "。") for row in reviews(60, language="zh")]
    cut = [
        Record(text="The hotel was close to the station and we were happy with the", id="the"),
        Record(
            text="这家酒店离地铁站非常近，房间也很干净，早餐种类丰富，服务员态度很好，就是隔音效果不太好，晚上能听见隔壁的",
            id="zh-de",
        ),
        Record(text="The minister said on Tuesday that the plan would go ahead as agreed [+1234 chars]", id="chars"),
        Record(
            text="据介绍，这款手机采用了全新的屏幕和更大的电池，续航时间比上一代产品提高了百分之三十左右...阅读全文",
            id="more",
        ),
        Record(text="He bought the camera in Vienna (which was cheaper than the one in", id="bracket"),
    ]
    found = findings(run(rows + cut, context, "truncation"), "truncation")
    assert found.keys() == {one.id for one in cut}
    limited = [Record(text=("word " * 60)[: 30 + at * 3], id=f"s{at}") for at in range(50)]
    limited += [Record(text=f"{at:02d} " + "so much to say about it " * 20, id=f"l{at}") for at in range(12)]
    limited = [replace(row, text=(row.text or "")[:200]) for row in limited]
    assert {f"l{at}" for at in range(12)} <= findings(run(limited, context, "truncation"), "truncation").keys()


def test_lines_that_many_records_share_are_boilerplate(context: Context, findings: Findings) -> None:
    rows = reviews(100) + [replace(row, id=f"zh{row.id}") for row in reviews(100, language="zh")]
    foot, foot_zh = "Sent from my phone, please excuse any typing errors.", "本邮件由系统自动发送，请勿直接回复。"
    for at in range(8):
        rows[at] = replace(rows[at], text=f"Thanks, number {at}!\n{foot}")
        rows[100 + at] = replace(rows[100 + at], text=f"第{at}次收到，谢谢。\n{foot_zh}")
    made = run(rows, context, "boilerplate")
    found = findings(made, "boilerplate")
    assert {f"r{at}" for at in range(8)} | {f"zhr{at}" for at in range(8)} <= found.keys() and len(found) <= 24
    assert foot in found["r0"]["reason"] or foot[:40] in found["r0"]["reason"]
    pieces = {one["text"]: one["records"] for one in made.facts["audit"]["checks"]["boilerplate"]["facts"]["pieces"]}
    assert pieces[foot_zh] == 8


def test_signs_of_machine_translation(context: Context, findings: Findings) -> None:
    rows = [
        Record(text="一个男人正在被一只狗追赶，一个女人正在一条街道上看着一个孩子。", id="habits"),
        Record(text="这手机还行吧，就是电池不太耐用，我都换了两回了，你们觉得呢？", id="native"),
        Record(text="译文：本公司成立于一九九八年。", id="trace"),
        Record(text="The room was clean and quiet. Translated by Google", id="trace-en"),
        Record(text="We compared machine translated text with text written by people.", id="about"),
        Record(text="一家创业公司推出的机器翻译引擎，据称比别家都要好。", id="about-zh"),
    ]
    assert findings(run(rows, context, "machine_translated"), "machine_translated").keys() == {
        "habits",
        "trace",
        "trace-en",
    }


def mention(text: str, *marks: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"start": text.index(said), "end": text.index(said) + len(said), "label": label} for said, label in marks]


def test_entities_marked_otherwise_elsewhere(tmp_path: Path, findings: Findings) -> None:
    places = ["Vienna", "Oslo", "巴黎"]
    rows = []
    for at in range(24):
        place = places[at % 3]
        text = f"news {at} from {place} today" if place != "巴黎" else f"第{at}条消息来自巴黎今天"
        rows.append(Record(text=text, id=str(at), spans=mention(text, (place, "LOC"))))
    rows.append(Record(text="Vienna slept late", id="missing", spans=[]))
    rows.append(Record(text="他们昨天到了巴黎", id="missing-zh", spans=[]))
    rows.append(Record(text="Oslo sang a song", id="type", spans=mention("Oslo sang a song", ("Oslo", "PER"))))
    rows.append(Record(text="a Viennese waltz", id="other", spans=[]))
    made = run(rows, here(TaskSpec("tagging", ("PER", "LOC"), {}, ("en", "zh")), tmp_path), "entity_errors")
    found = findings(made, "entity_errors")
    assert found.keys() == {"missing", "missing-zh", "type"}
    assert found["missing"]["reason"] == "“Vienna” is not marked here; it is LOC in 8 of its 9 places"
    assert found["missing"]["score"] == pytest.approx(8 / 9) and "PER here" in found["type"]["reason"]


def test_a_probe_doubts_entities_it_has_not_seen(tmp_path: Path, findings: Findings) -> None:
    random = np.random.default_rng(0)
    names = [
        "".join(random.choice(list("bdfgklmnprst")) + random.choice(list("aeiou")) for _ in range(3)).capitalize()
        for _ in range(400)
    ]
    rows, bad = [], set()
    for at in range(300):
        person, town = names[at], names[-1 - at]
        text = f"Mr {person} lives in {town} now"
        marks = [(person, "PER"), (town, "LOC")]
        if at % 15 == 0:
            bad.add(str(at))
            marks = [(person, "LOC"), (town, "LOC")] if at % 2 else marks[1:]
        rows.append(Record(text=text, id=str(at), spans=mention(text, *marks)))
    found = findings(run(rows, here(TaskSpec("tagging", ("PER", "LOC")), tmp_path), "entity_errors"), "entity_errors")
    assert len(found.keys() & bad) >= 0.8 * len(bad) and len(found.keys() - bad) <= 6


def test_relations_that_contradict_the_same_pair_or_turn_it(tmp_path: Path, findings: Findings) -> None:
    def of(name: str, person: str, town: str, label: str, turned: bool = False) -> Record:
        text = f"{person} 住在 {town} 。"
        spans = mention(text, (person, "PER"), (town, "LOC"))
        ends = (1, 0) if turned else (0, 1)
        return Record(text=text, id=name, spans=spans, relations=[{"head": ends[0], "tail": ends[1], "label": label}])

    rows = [of(f"a{at}", "Ada", "Rome", "lives_in") for at in range(5)] + [of("odd", "Ada", "Rome", "born_in")]
    rows += [of(f"p{at}", f"P{at}", f"T{at}", "lives_in") for at in range(110)] + [
        of("turned", "Bob", "Oslo", "lives_in", turned=True)
    ]
    found = findings(
        run(rows, here(TaskSpec("relation_extraction", ("lives_in", "born_in")), tmp_path), "relation_errors"),
        "relation_errors",
    )
    assert found.keys() == {"odd", "turned"}
    assert found["odd"]["score"] == pytest.approx(5 / 6) and "turned" in found["turned"]["reason"]


def test_answers_that_cannot_be(tmp_path: Path, findings: Findings) -> None:
    context_en = "The tower was built in 1889 by the company of Gustave Eiffel, and it stands in Paris."
    context_zh = "这座铁塔于1889年建成，由古斯塔夫·埃菲尔的公司建造，位于巴黎市中心。"
    given = [
        ("good", "When was the tower built?", context_en, "1889", 23), ("good-zh", "铁塔是哪一年建成的？", context_zh, "1889年", 5),
        ("outside", "Where is it?", context_en, "London", 3), ("elsewhere", "Where is it?", context_en, "Paris", 3),
        ("through", "Who?", context_en, "Gustave Eif", 46), ("when", "When was it built?", context_en, "Paris", 79),
        ("how-many-zh", "有多少人参与建造？", context_zh, "位于巴黎", 27), ("asked", "Is Paris nice?", context_en, "Paris", 79),
    ]  # fmt: skip
    rows = [
        Record(
            id=name,
            text=question,
            text_b=text,
            answer={
                "text": answer,
                "start": text.index(answer) if name.startswith(("good", "when", "how", "asked", "through")) else start,
            },
        )
        for name, question, text, answer, start in given
    ]
    rows.append(Record(id="unanswerable", text="Who sold it?", text_b=context_en, answer={"text": "", "start": None}))
    found = findings(
        run(rows, here(TaskSpec("question_answering", (), {}, ("en", "zh")), tmp_path), "answer_errors"),
        "answer_errors",
    )
    assert found.keys() == {"outside", "elsewhere", "through", "when", "how-many-zh", "asked"}
    assert found["outside"]["score"] == 1.0 and found["elsewhere"]["score"] == pytest.approx(0.9)


def test_pairs_that_are_no_translations(tmp_path: Path, findings: Findings) -> None:
    animals = [("dog", "狗"), ("cat", "猫"), ("horse", "马"), ("bird", "鸟"), ("fish", "鱼"), ("cow", "牛")]
    rows = []
    for at in range(60):
        (one, a), (two, b) = animals[at % 6], animals[at // 6 % 6]
        rows.append(
            Record(
                id=str(at),
                text=f"The {one} and the {two} sleep in house {at + 10}.",
                output=f"那只{a}和那只{b}睡在{at + 10}号房子里。",
            )
        )
    rows += [
        Record(id="copy", text="A dog sleeps here today.", output="A dog sleeps here today."),
        Record(id="untranslated", text="A dog sleeps under the old table.", output="A dog sleeps under old table"),
        Record(id="long", text="Yes, of course.", output="那只狗" * 30), Record(id="empty", text="Good evening.", output=" "),
        Record(id="figure", text="It costs 250 euros in all.", output="它总共需要花费一些欧元。"),
        Record(id="figure-right", text="It costs 250 euros in all.", output="它总共需要花费两百五十欧元。"),
    ]  # fmt: skip
    found = findings(
        run(rows, here(TaskSpec("translation", (), {}, ("en", "zh")), tmp_path), "pair_errors"), "pair_errors"
    )
    assert found.keys() == {"copy", "untranslated", "long", "empty", "figure"}
    assert found["copy"]["reason"] == "the output is the input"


def test_dots_are_no_mojibake(context: Context, findings: Findings) -> None:
    assert not findings(run([Record(text="货都没送到····还说已完成", id="a")], context, "encoding"), "encoding")
