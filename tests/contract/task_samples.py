"""A few labelled records of every task, for the suite that all of them pass."""

from __future__ import annotations

import pyarrow as pa

from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.testing import TASK, sample_records

LANGUAGES = ("en", "zh")
ACME = "Ada met Bob at Acme 🙂."
BANK = "张伟在中国银行工作。"


def span(text: str, words: str, label: str) -> dict[str, object]:
    start = text.index(words)
    return {"start": start, "end": start + len(words), "label": label}


def tagged() -> pa.Table:
    return to_table(
        [
            Record(text=ACME, spans=[span(ACME, "Ada", "PER"), span(ACME, "Bob", "PER"), span(ACME, "Acme", "ORG")]),
            Record(text=BANK, spans=[span(BANK, "张伟", "PER"), span(BANK, "中国银行", "ORG")]),
            Record(text="nobody here", spans=[]),
            Record(text="not looked at"),
        ]
    )


def questions() -> pa.Table:
    return to_table(
        [
            Record(text="Who met Bob?", text_b=ACME, answer={"text": "Ada", "start": 0}),
            Record(text="谁在银行工作？", text_b=BANK, answer={"text": "张伟", "start": 0}),
            Record(text="Where is Ada?", text_b=ACME, answer={"text": "", "start": None}),
        ]
    )


def several() -> pa.Table:
    return to_table(
        [
            Record(text=ACME, label="good", spans=[span(ACME, "Acme", "ORG")]),
            Record(text="a dull meal in Rome", label="bad", meta={"topic": "food"}),
            Record(text=BANK, spans=[span(BANK, "张伟", "PER")]),
            Record(text="nothing is said of this one"),
        ]
    )


def related() -> pa.Table:
    people = [span(ACME, "Ada", "PER"), span(ACME, "Bob", "PER")]
    bank = [span(BANK, "张伟", "PER"), span(BANK, "中国银行", "ORG")]
    return to_table(
        [
            Record(text=ACME, spans=people, relations=[{"head": 0, "tail": 1, "label": "met"}]),
            Record(text=BANK, spans=bank, relations=[{"head": 0, "tail": 1, "label": "works_for"}]),
            Record(text="nobody here", spans=[], relations=[]),
            Record(text=BANK, spans=bank),
        ]
    )


SEVERAL = {
    "tone": {"type": "classification", "labels": ["bad", {"good": "praise"}]},
    "names": {"type": "tagging", "labels": ["PER", "ORG"]},
    "topic": {"type": "classification", "labels": ["food", "travel"], "field": "meta.topic"},
}


def rated() -> pa.Table:
    pairs = [("a cat", "a cat", 5.0), ("一只猫", "一只狗", 2.5), ("a cat", "rain", 0.0), ("not looked at", "yet", None)]
    return to_table(Record(text=text, text_b=other, value=value) for text, other, value in pairs)


def written() -> pa.Table:
    pairs = [("A dog sleeps. It is old.", "一只狗在睡觉。"), ("质量很好。", "Good."), ("emoji 🙂", "表情 🙂")]
    return to_table([Record(text=text, output=output) for text, output in pairs])


def talks() -> pa.Table:
    short = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好！"}]
    more = [{"role": "user", "content": "And now?"}, {"role": "assistant", "content": "Goodbye 🙂"}]
    return to_table(
        [Record(messages=short), Record(messages=[{"role": "system", "content": "Be brief."}, *short, *more])]
    )


SAMPLES = {
    "classification": (TASK, sample_records()),
    "tagging": (TaskSpec("tagging", ("PER", "ORG"), {}, LANGUAGES), tagged()),
    "question_answering": (TaskSpec("question_answering", (), {}, LANGUAGES), questions()),
    "multitask": (TaskSpec("multitask", (), {}, LANGUAGES, {"tasks": SEVERAL}), several()),
    "relation_extraction": (TaskSpec("relation_extraction", ("met", "works_for"), {}, LANGUAGES), related()),
    "regression": (TaskSpec("regression", (), {}, LANGUAGES, {"minimum": 0, "maximum": 5}), rated()),
    "ranking": (
        TaskSpec("ranking", (), {}, ("en", "zh")),
        to_table(
            [
                Record("how do I reset my password", text_b="Resetting a password", value=1.0, group="1"),
                Record("how do I reset my password", text_b="Opening an account", value=0.0, group="1"),
                Record("怎么重置密码", text_b="重置密码的步骤", label="1"),
                Record("怎么重置密码", text_b="如何开户", label="0"),
            ]
        ),
    ),
    "translation": (TaskSpec("translation", (), {}, LANGUAGES), written()),
    "summarization": (TaskSpec("summarization", (), {}, LANGUAGES), written()),
    "chat": (TaskSpec("chat", (), {}, LANGUAGES), talks()),
}
