"""Summarization: a long text becomes a short one that says the same.

target   `output`, the summary (files may say source and target)
valid    a text and an output that are not empty
model    an encoder-decoder from nothing on the user's texts, or any backbone that writes
scores   mean F1 of ROUGE-1, ROUGE-2 and ROUGE-L, 0..1 (rouge-score's numbers; Chinese by characters)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.measures import generation as measures
from burnish.tasks import _generation
from burnish.tasks._generation import best_of, nearest_answers, said, texts_of
from burnish.tasks.base import Answers
from burnish.text.sentences import sentences

ROUGE = ("rougeL", "rouge1", "rouge2")
LEADS = (1, 2, 3)  # sentences at the head of a text that stand for it; chosen on the validation side


class Task(_generation.Writes):
    """Text to a shorter text."""

    name = "summarization"
    pipeline = "summarization"
    figure = "rougeL"
    starts = ("decoder", "encoder")
    asks: ClassVar = {
        "en": "Summarize the text in a sentence or two. Answer with the summary alone.\nText: {text}",
        "zh": "用一两句话概括下面的文本，只回答摘要。\n文本：{text}",
    }

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 4): F1 of ROUGE-L, ROUGE-1 and ROUGE-2, and one for the record."""
        scores = measures.rouge(texts_of(answers), [[text] for text in self.wanted(table)])
        return np.stack([*(scores[name][:, 2] for name in ROUGE), np.ones(len(table))], axis=1)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        sums = np.asarray(sums, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {name: sums[..., at] / sums[..., -1] for at, name in enumerate(ROUGE)}

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
        texts = [one["text"] for one in self.inputs(test)]
        train = train.filter(pa.array(self.labelled(train)))
        if len(train):
            known = [one["text"] for one in self.inputs(train)]
            yield "summary of the nearest training text", said(nearest_answers(known, self.wanted(train), texts)), {}
        side = validation if len(validation) else train
        side = side.filter(pa.array(self.labelled(side)))
        read = [one["text"] for one in self.inputs(side)]
        tried = {k: said(lead(text, k) for text in read) for k in LEADS}
        chosen = (
            best_of(tried, lambda one: float(self.figures(self.tally(side, one).sum(0))[self.figure])) if read else 1
        )
        yield "the first sentences", said(lead(text, chosen) for text in texts), {"sentences": chosen}


def lead(text: str, count: int) -> str:
    """The first `count` sentences of a text."""
    spans = sentences(text)[:count]
    return text[spans[0][0] : spans[-1][1]] if spans else text
