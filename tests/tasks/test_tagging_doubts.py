"""What construction doubts is left out of a tagger's loss."""

from __future__ import annotations

import pyarrow as pa
from transformers import PreTrainedTokenizerFast

from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.nn import pieces
from burnish.nn.examples import IGNORED
from burnish.tasks.tagging import Task


def _tokenizer() -> PreTrainedTokenizerFast:
    return pieces.learn(["Ann met Bob in Rome"] * 3, kind="wordpiece", vocabulary=100, architecture="encoder")


def _tags(table: pa.Table, **more: bool) -> list[int]:
    made = Task(TaskSpec("tagging", ("PER",))).examples(table, _tokenizer(), max_length=32, **more)
    assert made.token_targets is not None and made.parts is not None
    return made.token_targets[made.parts == 0].tolist()


def test_tokens_in_doubt_teach_nothing_and_said_ones_stay() -> None:
    doubts = [{"labeller": "doubt", "label": "PER", "start": start, "end": end} for start, end in ((8, 11), (0, 7))]
    record = Record(text="Ann met Bob in Rome", spans=[{"start": 0, "end": 3, "label": "PER"}], votes=doubts)
    plain = _tags(to_table([record]), soft=False)
    assert IGNORED not in plain
    soft = _tags(to_table([record]))
    changed = [(before, after) for before, after in zip(plain, soft, strict=True) if before != after]
    assert changed and all(pair == (0, IGNORED) for pair in changed)
    assert soft[0] == 1 and soft[-1] == 0
