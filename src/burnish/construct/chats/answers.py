"""Which answer is best: by what came of it, and by how often people gave it to like questions.

An answer stands as high as the lower end of Wilson's interval (1927) of its outcomes: given twenty times and right
sixteen it stands above one that was right the single time it was given. Outcomes nobody knows count as the mean of those
somebody does (one half where nobody knows any): then it is frequency that decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Le

from burnish.construct.fields import value_of
from burnish.core.records import Record
from burnish.core.stage import Context
from burnish.measures.duplicates import near_duplicates
from burnish.text.normalise import normalise

Threshold = Annotated[float, Gt(0), Le(1)]
_Z2 = 1.959964**2  # of a 95% interval
EVERYDAY_WEIGHT = 30
# Questions of many kinds: where a backbone puts a question about anything.
EVERYDAY: Mapping[str, Sequence[str]] = {
    "en": (
        "What time does the shop open?", "How do I get to the station?", "My phone does not start any more.",
        "Can you recommend a good book?", "I would like to book a table for two.", "How much does it cost?",
        "What is the weather like tomorrow?", "I forgot my password.", "Where can I park my car?",
        "Is there a doctor near here?", "Please send me the invoice.", "How do I cook rice?",
    ),
    "zh": (
        "你们几点开门？", "去火车站怎么走？", "我的手机开不了机了。", "能推荐一本好书吗？", "我想订一张两个人的桌子。", "这个多少钱？",
        "明天天气怎么样？", "我忘记密码了。", "哪里可以停车？", "附近有医院吗？", "请把发票寄给我。", "米饭怎么煮？",
    ),
}  # fmt: skip
_GOOD = "true yes y 1 resolved solved closed positive good satisfied 是 已解决 解决 已完成 完成 满意 非常满意 好评 有用"
_BAD = (
    "false no n 0 unresolved unsolved open negative bad dissatisfied unsatisfied 否 未解决 没解决 未完成 不满意 非常不满意 "
    "差评 没用 无用"
)


def resolved(value: Any) -> float | None:
    """1 for a word or number that says it helped, 0 for one that says it did not, None for what says neither."""
    if isinstance(value, bool):
        return float(value)
    said = normalise(str(value if value is not None else ""))
    said = said.removesuffix(".0")
    return 1.0 if said in _GOOD.split() else 0.0 if said in _BAD.split() else None


def rated(value: Any, *, best: float) -> float | None:
    """A rating from 1 to `best` (or 0 to 1) as 0..1; words as `resolved` reads them; None for what is no rating."""
    if isinstance(value, bool) or value is None:
        return resolved(value)
    try:
        number = float(str(value).strip())
    except ValueError:
        return resolved(value)
    low = 0.0 if best <= 1 else 1.0
    return (number - low) / (best - low) if low <= number <= best else None


def first_hand(record: Record) -> bool:
    """Whether a record tells what people said: a FAQ or a preference made of it would count the same answers again."""
    return record.keep and record.label_from not in ("construct.faq", "construct.preferences")


def outcome_of(record: Record, field: str, best: float = 1) -> float | None:
    """What came of a record's answer, 0..1: a number from 0 to 1, a rating from 1 to `best`, a word that says yes or no."""
    return rated(value_of(record, field), best=best)


def standing(outcomes: Sequence[float | None], prior: float = 0.5) -> float:
    """0..1: the lower end of the 95% interval of the mean outcome of an answer, given len(outcomes) times."""
    total = len(outcomes)
    if not total:
        return 0.0
    share = sum(prior if one is None else one for one in outcomes) / total
    middle = share + _Z2 / (2 * total)
    half = (_Z2 * (share * (1 - share) / total + _Z2 / (4 * total**2))) ** 0.5
    low: float = (middle - half) / (1 + _Z2 / total)
    return max(0.0, low)


@dataclass(frozen=True)
class Answer:
    """One answer to like questions: where it was given (positions), what came of it, how high it stands."""

    text: str
    rows: tuple[int, ...]
    outcomes: tuple[float | None, ...]
    standing: float

    @property
    def outcome(self) -> float | None:
        known = [one for one in self.outcomes if one is not None]
        return sum(known) / len(known) if known else None


class Answers:
    """n answers that were given, and how they ended; those that say nearly the same are one answer.

    outcomes: (n,) 0..1, None where nobody knows.
    """

    def __init__(self, texts: Sequence[str], outcomes: Sequence[float | None], *, near: float = 0.6) -> None:
        self.texts, self.outcomes = list(texts), list(outcomes)
        self.same = near_duplicates(self.texts, threshold=near).label if self.texts else np.empty(0, dtype=np.int64)
        known = [one for one in self.outcomes if one is not None]
        self.prior = sum(known) / len(known) if known else 0.5

    def ranked(self, rows: Iterable[int]) -> list[Answer]:
        """The different answers among some of them, best first; of equal ones the first given. A text of each is the one
        given most often."""
        groups: dict[int, list[int]] = {}
        for row in rows:
            groups.setdefault(int(self.same[row]), []).append(int(row))
        found = []
        for members in groups.values():
            outcomes = tuple(self.outcomes[row] for row in members)
            text = Counter(self.texts[row] for row in members).most_common(1)[0][0]
            found.append(Answer(text, tuple(members), outcomes, standing(outcomes, self.prior)))
        return sorted(found, key=lambda one: (-one.standing, one.rows[0]))


def like_questions(questions: Sequence[str], *, threshold: float | None, backbone: str, context: Context) -> np.ndarray:
    """(n,) the smallest index of each question's cluster: those that mean the same, by their vectors; equal wordings always.

    threshold: mean cosine, centred, from which two clusters are one; None puts only equal wordings together.
    """
    forms: dict[str, int] = {}
    first = np.array([forms.setdefault(normalise(one), at) for at, one in enumerate(questions)], dtype=np.int64)
    if threshold is None or len(forms) < 2:
        return first
    from burnish.measures.clusters import alike

    unique = np.unique(first)
    cluster = alike(question_vectors([questions[at] for at in unique], backbone, context), threshold=threshold)
    place = np.zeros(len(questions), dtype=np.int64)
    place[unique] = unique[cluster]
    return place[first]


def question_vectors(questions: Sequence[str], backbone: str, context: Context) -> np.ndarray:
    """Vectors (n, d) of length 1 of questions, centred, so that cosines of any backbone mean about the same.

    The centre is the mean of the questions and of everyday ones, which count as much as EVERYDAY_WEIGHT of them: the mean of
    three like questions alone would lie among them and drive them apart.
    """
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import embed

    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    everyday = [one for language in context.task.languages for one in EVERYDAY.get(language, ())] or EVERYDAY["en"]
    said = [*questions, *everyday]
    vectors = embed(said, folder, cache=context.cache, progress=context.progress)
    own, usual = vectors[: len(questions)], vectors[len(questions) :].mean(0)
    centre = (own.sum(0) + EVERYDAY_WEIGHT * usual) / (len(own) + EVERYDAY_WEIGHT)
    moved = own - centre
    scaled: np.ndarray = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    return scaled
