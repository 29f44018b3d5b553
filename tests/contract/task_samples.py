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


SAMPLES = {
    "classification": (TASK, sample_records()),
    "tagging": (TaskSpec("tagging", ("PER", "ORG"), {}, LANGUAGES), tagged()),
    "question_answering": (TaskSpec("question_answering", (), {}, LANGUAGES), questions()),
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
}
