"""Small real-looking records of every kind of target, in both languages, with votes that disagree and findings."""

from __future__ import annotations

from typing import Any

from burnish.core.artifacts import Records
from burnish.core.records import Record, SeenCounts, assign_ids, to_table
from burnish.core.stage import TaskSpec

LANGUAGES = ("en", "zh")
CURIE = "Marie Curie was born in Warsaw 🙂 and worked at the University of Paris with Pierre Curie."
LU = "鲁迅出生于浙江绍兴，曾任教于北京大学，与许广平一起生活在上海。"


def span(text: str, words: str, label: str) -> dict[str, Any]:
    start = text.index(words)
    return {"start": start, "end": start + len(words), "label": label}


def vote(labeller: str, label: str | None = None, confidence: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"labeller": labeller, "label": label, "confidence": confidence, **more}


def finding(check: str, score: float, reason: str, action: str) -> dict[str, Any]:
    return {"check": check, "score": score, "reason": reason, "action": action}


SUSPECT = finding("label_errors", 0.93, "labelled negative (8% likely); positive is 88% likely", "relabel:positive")


def reviews() -> list[Record]:
    both = [
        ("The kettle broke after two days and nobody answers my letters.", "negative", [0.95, 0.05]),
        ("Lovely light, warm and quiet. My mother wants one too.", "negative", [0.62, 0.38]),
        ("It is a lamp. It stands in the hall.", "positive", [0.48, 0.52]),
        ("这家酒店非常好，早餐丰富，服务员也热情，推荐大家来住。", "positive", [0.03, 0.97]),
        ("质量太差了，第二天就坏了，客服还一直推脱，要求退款！", "negative", [0.97, 0.03]),
        ("还行吧，说不上好也说不上坏，价格倒是便宜。", "negative", [0.55, 0.45]),
        ("<b>Great</b> & cheap <script>alert(1)</script>", "positive", [0.2, 0.8]),
        ("No opinion at all.", None, None),
    ]
    made = [
        Record(
            text,
            label=label,
            probs=probs,
            confidence=max(probs) if probs else None,
            label_from="aggregate:weighted" if label else None,
            source="shop",
            file="raw/reviews.jsonl",
            line=at + 1,
            language="zh" if "，" in text else "en",
            trail=[f"aggregate:weighted: {label} {max(probs):.2f}"] if probs else [],
            meta={"stars": at % 5},
        )
        for at, (text, label, probs) in enumerate(both)
    ]
    made[0].votes = [vote("keywords:negative", "negative"), vote("stars", "negative", 0.9)]
    made[1].votes = [
        vote("keywords:positive", "positive"),
        vote("stars", "negative", 0.6),
        vote("teacher", "positive", 0.8),
    ]
    made[1].findings = [SUSPECT]
    made[2].votes = [vote("teacher", "positive", 0.52)]
    made[5].votes = [vote("keywords:negative", "negative", 0.8), vote("keywords:positive", "positive", 0.7)]
    return made


def names() -> list[Record]:
    one = [span(CURIE, "Marie Curie", "PER"), span(CURIE, "Warsaw", "LOC"), span(CURIE, "Paris", "LOC")]
    two = [span(LU, "鲁迅", "PER"), span(LU, "绍兴", "LOC"), span(LU, "北京大学", "ORG")]
    first, second = Record(CURIE, spans=one, language="en"), Record(LU, spans=two, language="zh")
    ends = {key: span(CURIE, "University of Paris", "ORG")[key] for key in ("start", "end")}
    place = {key: span(CURIE, "Paris", "LOC")[key] for key in ("start", "end")}
    first.votes = [vote("gazetteer", "LOC", **place), vote("teacher", "ORG", 0.9, **ends)]
    return [
        first,
        second,
        Record("Nobody is named here.", spans=[], language="en"),
        Record("还没有人看过这一句。", language="zh"),
    ]


def relations() -> list[Record]:
    made = []
    for text, marks, joined in (
        (CURIE, [("Marie Curie", "PER"), ("Warsaw", "LOC"), ("University of Paris", "ORG")], [(0, 1, "born_in")]),
        (LU, [("鲁迅", "PER"), ("绍兴", "LOC"), ("北京大学", "ORG")], [(0, 1, "works_for")]),
    ):
        spans = [span(text, words, label) for words, label in marks]
        made.append(
            Record(text, spans=spans, relations=[{"head": a, "tail": b, "label": label} for a, b, label in joined])
        )
    return made


def questions() -> list[Record]:
    return [
        Record("Where was Marie Curie born?", text_b=CURIE, answer={"text": "Warsaw", "start": CURIE.index("Warsaw")}),
        Record("鲁迅在哪所大学任教？", text_b=LU, answer={"text": "北京大学", "start": LU.index("北京大学")}),
        Record("Who is her doctor?", text_b=CURIE, answer={"text": "", "start": None}),
    ]


def talks() -> list[Record]:
    english = [
        {"role": "user", "content": "My parcel has not arrived. The order is [ORDER]."},
        {"role": "assistant", "content": "I am sorry. It left our store on Monday and should be with you tomorrow."},
        {"role": "user", "content": "And if it is not?"},
        {"role": "assistant", "content": "Then write again."},
    ]
    chinese = [
        {"role": "user", "content": "我的包裹还没到，订单号是[订单]。"},
        {"role": "assistant", "content": "非常抱歉，包裹周一已发出，预计明天送达。"},
    ]
    return [Record(messages=english, language="en"), Record(messages=chinese, language="zh")]


def outputs() -> list[Record]:
    made = [
        Record(
            "The committee met on Tuesday to discuss the new bridge. After four hours, it agreed to build it of wood.",
            output="A bridge was discussed.",
        ),
        Record("委员会周二开会讨论新桥。经过四个小时，委员会同意用木材建造。", output="委员会同意用木材造新桥。"),
    ]
    made[0].votes = [vote("teacher", None, 0.8, text="The committee agreed to build the new bridge of wood.")]
    return made


def pairs() -> list[Record]:
    return [
        Record("A man plays the guitar on a small stage.", text_b="A man is playing an instrument.", value=3.8),
        Record("一只猫坐在窗台上。", text_b="一只狗在院子里跑。", value=1.0),
    ]


def ranked() -> list[Record]:
    return [
        Record("how do I reset my password", text_b="Resetting a password", value=0.0, group="1"),
        Record("怎么重置密码", text_b="重置密码的步骤", label="1", group="2"),
    ]


def many_labels() -> TaskSpec:
    areas = {
        "sport": ("football", "tennis", "swimming", "chess"),
        "news": ("world", "business", "weather", "crime"),
        "arts": ("music", "film", "books", "theatre"),
    }
    labels = tuple(f"{area}/{one}" for area, ones in areas.items() for one in ones)
    return TaskSpec(
        "classification", labels, {"sport/tennis": "matches and players of tennis"}, LANGUAGES, {"hierarchical": True}
    )


SEVERAL = {
    "tone": {"type": "classification", "labels": ["bad", "good"]},
    "names": {"type": "tagging", "labels": ["PER", "ORG", "LOC"]},
    "topic": {"type": "classification", "labels": ["science", "letters"], "field": "meta.topic"},
}
ASPECTS = ("price", "quality", "service", "delivery")
MEANT = {
    "negative": "a complaint, broken, disappointed; 质量差，要求退货",
    "positive": "praise, satisfied, recommended; 质量好，值得推荐",
}

WORLDS: dict[str, tuple[TaskSpec, Any]] = {
    "label": (TaskSpec("classification", ("negative", "positive"), MEANT, LANGUAGES), reviews),
    "ordinal": (
        TaskSpec("classification", ("1", "2", "3", "4", "5"), {}, LANGUAGES, {"ordinal": True}),
        lambda: [Record(one.text, label=str(1 + at % 5)) for at, one in enumerate(reviews())],
    ),
    "tree": (many_labels(), lambda: [Record("The serve was too fast for him.", label="sport/football"), Record("他在温网赢得了决赛。", label="sport/tennis")]),
    "labels": (
        TaskSpec("classification", ASPECTS, {}, LANGUAGES, {"multi_label": True}),
        lambda: [Record(one.text, labels=[ASPECTS[at % 4]]) for at, one in enumerate(reviews())],
    ),
    "spans": (TaskSpec("tagging", ("PER", "ORG", "LOC"), {"ORG": "firms, universities, parties"}, LANGUAGES), names),
    "nested": (TaskSpec("tagging", ("PER", "ORG", "LOC"), {}, LANGUAGES, {"nested": True}), names),
    "relations": (TaskSpec("relation_extraction", ("born_in", "works_for", "married_to"), {}, LANGUAGES), relations),
    "answer": (TaskSpec("question_answering", (), {}, LANGUAGES), questions),
    "value": (TaskSpec("regression", (), {}, LANGUAGES, {"minimum": 0, "maximum": 5}), pairs),
    "grade": (TaskSpec("ranking", (), {}, LANGUAGES), ranked),
    "output": (TaskSpec("summarization", (), {}, LANGUAGES), outputs),
    "messages": (TaskSpec("chat", (), {}, LANGUAGES), talks),
    "several": (
        TaskSpec("multitask", (), {}, LANGUAGES, {"tasks": SEVERAL}),
        lambda: [Record(CURIE, label="good", spans=[span(CURIE, "Marie Curie", "PER")], meta={"topic": "science"}), Record(LU, label="good", spans=[], meta={"topic": "letters"})],
    ),
}  # fmt: skip


def records(name: str) -> Records:
    """The records of a world, with their ids."""
    return Records.from_table(assign_ids(to_table(WORLDS[name][1]()), SeenCounts()))
