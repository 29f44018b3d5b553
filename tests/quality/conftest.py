"""Data with planted faults, and vectors that need no weights: a bag of hashed words."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Records
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.text.words import words

GOOD = [
    "excellent",
    "lovely",
    "great",
    "wonderful",
    "perfect",
    "brilliant",
    "superb",
    "delightful",
    "charming",
    "splendid",
]
BAD = ["awful", "terrible", "broken", "dreadful", "horrible", "useless", "dirty", "rotten", "miserable", "faulty"]
THINGS = [
    "room",
    "service",
    "phone",
    "book",
    "film",
    "kitchen",
    "window",
    "garden",
    "battery",
    "screen",
    "ticket",
    "train",
    "dinner",
    "coffee",
    "jacket",
]
PLACES = ["london", "paris", "berlin", "madrid", "vienna", "lisbon", "oslo", "dublin", "prague", "warsaw", "athens"]
GOOD_ZH, BAD_ZH = ["很好", "喜欢", "推荐", "满意", "舒服"], ["很差", "失望", "退款", "糟糕", "难吃"]
THINGS_ZH = ["酒店", "手机", "图书", "电影", "早餐", "房间", "服务员", "屏幕", "电池", "快递"]
PLACES_ZH = ["北京", "上海", "广州", "成都", "西安", "杭州", "南京", "重庆"]


def english(positive: bool, random: np.random.Generator) -> str:
    one, two = random.choice(GOOD if positive else BAD, 2, replace=False)
    a, b = random.choice(THINGS, 2, replace=False)
    filler = " ".join(random.choice(THINGS + PLACES, random.integers(2, 9)))
    return f"the {a} in {random.choice(PLACES)} was {one} while its {b} looked {two} beside {filler}"


def chinese(positive: bool, random: np.random.Generator) -> str:
    one, two = random.choice(GOOD_ZH if positive else BAD_ZH, 2, replace=False)
    a, b = random.choice(THINGS_ZH, 2, replace=False)
    filler = "和".join(random.choice(THINGS_ZH + PLACES_ZH, random.integers(2, 7)))
    return f"我在{random.choice(PLACES_ZH)}遇到的{a}真的{one}，另外{b}也让人{two}，顺便提到{filler}"


def reviews(count: int, *, seed: int = 0, language: str = "en") -> list[Record]:
    """Reviews whose words say their label; ids r0, r1, ..."""
    random = np.random.default_rng(seed)
    made, seen = [], set()
    while len(made) < count:
        positive = bool(random.integers(2))
        text = (english if language == "en" else chinese)(positive, random)
        if text not in seen:
            seen.add(text)
            made.append(
                Record(text=text, id=f"r{len(made)}", label="positive" if positive else "negative", language=language)
            )
    return made


def turned(label: str) -> str:
    return "negative" if label == "positive" else "positive"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(
        TaskSpec(labels=("negative", "positive"), languages=("en", "zh")), 0, tmp_path, tmp_path, tmp_path, Silent()
    )


@pytest.fixture
def bag_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(texts: Sequence[str], *_: Any, **__: Any) -> np.ndarray:
        vectors = np.zeros((len(texts), 128), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in words(text, han="characters"):
                vectors[row, zlib.crc32(word.encode()) % 128] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    monkeypatch.setattr("burnish.nn.embeddings.embed", embed)
    monkeypatch.setattr("burnish.nn.backbones.resolve", lambda *_, **__: Path())


@pytest.fixture
def findings() -> Callable[[Records, str], dict[str, dict[str, Any]]]:
    """id -> the finding of one check."""

    def of(records: Records, check: str) -> dict[str, dict[str, Any]]:
        return {record.id or "": one for record in records for one in record.findings if one["check"] == check}

    return of
