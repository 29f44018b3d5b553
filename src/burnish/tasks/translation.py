"""Translation: a text in one language becomes a text in another.

target   `output`, the translation (files may say source and target)
valid    a text and an output that are not empty
model    an encoder-decoder from nothing on the user's pairs, or any backbone that writes
scores   chrF2 and BLEU of the whole set, 0..100 (sacrebleu's numbers; Chinese by characters), intervals by bootstrap
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.measures import generation as measures
from burnish.tasks import _generation
from burnish.tasks._generation import nearest_answers, said, texts_of
from burnish.tasks.base import Answers

NAMES = {
    "en": {"en": "English", "zh": "Chinese", "de": "German", "fr": "French", "cs": "Czech", "es": "Spanish", "ja": "Japanese"},
    "zh": {"en": "英语", "zh": "中文", "de": "德语", "fr": "法语", "cs": "捷克语", "es": "西班牙语", "ja": "日语"},
}  # fmt: skip
CHRF = 3 * measures.CHRF_ORDER


class Task(_generation.Writes):
    """Text to text in another language; languages: [from, to]."""

    name = "translation"
    pipeline = "translation"
    figure = "chrf"
    points: ClassVar[float] = 1.0
    asks: ClassVar = {
        "en": "Translate the text. Answer with the translation alone.\nText: {text}",
        "zh": "翻译下面的文本，只回答译文。\n文本：{text}",
    }

    def _asked(self, text: str, *, decoder: bool) -> str:
        if self.settings["prompt"] or not decoder:
            return super()._asked(text, decoder=decoder)
        return self.prompt(text, language="en")

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 28): counts of chrF (18) and of BLEU (10)."""
        texts, wanted = texts_of(answers), [[text] for text in self.wanted(table)]
        counts = [measures.chrf_counts(texts, wanted), measures.bleu_counts(texts, wanted)]
        return np.concatenate(counts, axis=1)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        sums = np.asarray(sums)
        return {"chrf": measures.chrf(sums[..., :CHRF]), "bleu": measures.bleu(sums[..., CHRF:])}

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
        sources = [one["text"] for one in self.inputs(test)]
        yield "the source, copied", said(sources), {}
        train = train.filter(pa.array(self.labelled(train)))
        if len(train):
            known = [one["text"] for one in self.inputs(train)]
            yield (
                "translation of the nearest training text",
                said(nearest_answers(known, self.wanted(train), sources)),
                {},
            )

    def prompt(self, text: str, *, language: str = "en") -> str:
        """What a teacher is asked."""
        spoken, names = self.spec.languages, NAMES.get(language, NAMES["en"])
        if len(spoken) < 2:
            return super().prompt(text, language=language)
        first, second = (names.get(code, code) for code in spoken[:2])
        if language == "zh":
            return f"把下面的{first}文本翻译成{second}，只回答译文。\n文本：{text}"
        return f"Translate from {first} to {second}. Answer with the translation alone.\nText: {text}"
