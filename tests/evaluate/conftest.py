"""A small bilingual task, and a predictor of the Predictor's shape that reads the words a text was made of."""

import hashlib
import json
import random
from types import SimpleNamespace

import numpy as np
import pytest

from burnish.core.artifacts import Gold, Model, Records, Split
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.core.tasktypes import open_task

LABELS = ("arts", "sport", "money")
WORDS = {
    "en": {
        "arts": ["painting", "gallery", "novel", "theatre", "poem"],
        "sport": ["goal", "match", "team", "coach", "league"],
        "money": ["bank", "shares", "profit", "market", "tax"],
    },
    "zh": {
        "arts": ["画展", "小说", "剧院", "诗歌", "演员"],
        "sport": ["进球", "比赛", "球队", "教练", "联赛"],
        "money": ["银行", "股票", "利润", "市场", "税收"],
    },
}
FILLER = {
    "en": ["the", "a", "new", "about", "yesterday", "said", "city", "people", "year", "great", "small"],
    "zh": list("今天我们在城市里说了很多新的事情"),
}


def records_of(count: int, seed: int, *, label_from: str = "given", name: str = "r") -> list[Record]:
    draw = random.Random(seed)
    made = []
    for at in range(count):
        label, language = draw.choice(LABELS), draw.choice(["en", "zh"])
        said = [draw.choice(WORDS[language][label]), *draw.choices(FILLER[language], k=draw.randint(6, 25))]
        draw.shuffle(said)
        text = (" " if language == "en" else "").join(said)
        made.append(
            Record(text=f"{text}", id=f"{name}{at}", label=label, language=language, source="wire" if at % 3 else "blog", label_from=label_from, confidence=0.9)
        )  # fmt: skip
    return made


def sure_of(text: str, good: float) -> np.ndarray:
    """Probabilities: the class whose words are there, wrong for a share 1 - good of texts (by their hash)."""
    chance = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    hit = next((i for i, one in enumerate(LABELS) if any(w in text for lang in WORDS for w in WORDS[lang][one])), 0)
    at = hit if chance < good else (hit + 1) % 3
    probs = np.full(3, 0.04)
    probs[at] = 0.92
    return probs


@pytest.fixture
def make():
    return records_of


@pytest.fixture
def context(tmp_path):
    for name in ("scratch", "cache"):
        (tmp_path / name).mkdir()
    task = TaskSpec("classification", LABELS, {}, ("en", "zh"))
    return Context(task, 7, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Two models that are right on 90% and 75% of texts, and answer in another order of labels than the task's."""
    made = []
    for name, good in (("torch", 0.9), ("onnx", 0.75)):
        folder = tmp_path / name
        folder.mkdir()
        info = {"format": name, "good": good, "labels": list(LABELS), "parameters": 1000}
        (folder / "burnish.json").write_text(json.dumps(info))
        made.append(Model(folder, info))

    def load(folder):
        good = json.loads((folder / "burnish.json").read_text())["good"]

        turned = list(LABELS)[::-1]
        task = open_task(TaskSpec("classification", tuple(turned)))

        def answers(inputs, *, progress=None):
            return task.answers(np.stack([sure_of(one["text"], good) for one in inputs])[:, ::-1])

        return SimpleNamespace(labels=turned, answers=answers)

    monkeypatch.setattr("burnish.tasks.predictor.load", load)
    return made


@pytest.fixture
def split():
    sides = (records_of(300, 1, name="t"), records_of(60, 2, name="v"), records_of(200, 3, name="e"))
    return Split(*(Records.from_rows(side) for side in sides))


@pytest.fixture
def gold():
    made = Gold.from_table(Records.from_rows(records_of(40, 4, label_from="gold", name="g")).table())
    made.facts = {"train": False}
    return made
