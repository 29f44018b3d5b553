"""The pages of the evaluation of a Chinese task: nothing of burnish's own is left in English, whatever the task."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Model, Records, Split
from burnish.core.chinese import in_both, speaking
from burnish.core.records import Record
from burnish.core.stage import TaskSpec
from burnish.core.tasktypes import open_task
from burnish.evaluate.exposure import page as exposure_page
from burnish.evaluate.exposure import told, verdict
from burnish.evaluate.fairness import fairness
from burnish.evaluate.page import page
from burnish.evaluate.report import report
from burnish.evaluate.robustness import robustness
from burnish.tasks.base import Answers

# terms that Chinese readers know by these letters, names of formats, and who speaks as conversations in files say it
TERMS = set(
    [
        "TF",
        "IDF",
        "EM",
        "BLEU",
        "chrF",
        "ROUGE",
        "nDCG",
        "HR",
        "MRR",
        "MAP",
        "mAP",
        "AUC",
        "BM",
        "scikit",
        "learn",
        "logit",
        "kappa",
        "Brier",
        "torch",
        "burnish",
        "user",
    ]
)
UNSEEN = {"script", "style", "pre", "code"}


class Seen(HTMLParser):
    """What a page shows: `said`, its texts and the names that screen readers say; `shape`, its tags with their classes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.shape: list[tuple[str, str]] = []
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.shape.append((tag, held.get("class") or ""))
        self.said += [held[name] or "" for name in ("aria-label", "title", "placeholder") if name in held]
        if tag in UNSEEN:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in UNSEEN:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.said.append(data.strip())

    @property
    def english(self) -> list[str]:
        return [one for one in self.said if set(re.findall("[A-Za-z]{2,}", one)) - TERMS]


PEOPLE = ("张伟", "王芳", "李娜", "刘洋", "陈静", "杨帆")
PLACES = ("北京", "上海", "广州", "成都")
DISHES = ("米饭", "面条", "饺子", "豆腐", "青菜")
ENDS = ("味道很好", "有点贵了", "服务周到", "等了很久", "下次再来", "并不推荐")


def said_at(at: int, draw: random.Random) -> dict[str, Any]:
    """A sentence with where its names stand."""
    who, where, what = draw.choice(PEOPLE), draw.choice(PLACES), draw.choice(DISHES)
    text = f"{who}在{where}吃了{what}，{draw.choice(ENDS)}，{draw.choice(ENDS)}。" + "真的。" * (at % 4)
    spans = [{"start": text.index(one), "end": text.index(one) + len(one), "label": label} for one, label in ((who, "人名"), (where, "地名"))]  # fmt: skip
    return {"text": text, "who": who, "where": where, "spans": spans, "good": "很好" in text or "周到" in text}


def of(kind: str, at: int, draw: random.Random) -> Record:
    """A record of a task of this kind, in Chinese to the last letter."""
    one = said_at(at, draw)
    base = Record(id=f"{at}", text=one["text"], language="zh", source=("点评", "论坛")[at % 2], label_from="given")
    label = "好评" if one["good"] else "差评"
    question = f"{('谁在' + one['where'] + '吃饭') if at % 2 else ('他在哪里吃饭')}？"
    answer = one["who"] if at % 2 else one["where"]
    match kind:
        case "multi_label":
            return replace(base, labels=[label, "常客"] if at % 3 else [label])
        case "ordinal":
            return replace(base, label=("差", "中", "好")[at % 3])
        case "hierarchical":
            return replace(base, label=f"{label}/{one['where']}")
        case "classification":
            return replace(base, label=label)
        case "tagging":
            return replace(base, spans=one["spans"])
        case "relation_extraction":
            return replace(
                base, spans=one["spans"], relations=[{"head": 0, "tail": 1, "label": "到过"}] if at % 3 else []
            )
        case "question_answering":
            told = {"text": answer, "start": one["text"].index(answer)} if at % 5 else {"text": "", "start": None}
            return replace(base, text=question, text_b=one["text"], answer=told)
        case "regression":
            return replace(base, value=float(at % 6))
        case "ranking":
            return replace(base, text=f"第{at // 3}问：去哪里吃饭", text_b=one["text"], value=float(at % 3 == 0), group=f"{at // 3}")  # fmt: skip
        case "chat":
            return replace(base, text=None, messages=[{"role": "user", "content": one["text"]}, {"role": "assistant", "content": one["where"] + "的" + label}])  # fmt: skip
        case "multitask":
            return replace(base, label=label, spans=one["spans"])
    return replace(base, output=f"{one['who']}去了{one['where']}。")  # translation, summarization


TREE = tuple(f"{label}/{where}" for label in ("好评", "差评") for where in PLACES)
LABELS = {
    "classification": ("好评", "差评"),
    "multi_label": ("好评", "差评", "常客"),
    "ordinal": ("差", "中", "好"),
    "hierarchical": TREE,
    "tagging": ("人名", "地名"),
    "relation_extraction": ("到过",),
}
PARTS = {"评价": {"type": "classification", "labels": ["好评", "差评"]}, "名称": {"type": "tagging", "labels": ["人名", "地名"]}}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {"regression": {"minimum": 0, "maximum": 5}, "multitask": {"tasks": PARTS}}
VARIANTS = ("multi_label", "ordinal", "hierarchical")
KINDS = (*VARIANTS, "classification", "tagging", "question_answering", "relation_extraction", "regression", "ranking", "summarization", "translation", "chat", "multitask")  # fmt: skip


def task_of(kind: str) -> TaskSpec:
    options = OPTIONS.get(kind, {kind: True} if kind in VARIANTS else {})
    return TaskSpec("classification" if kind in VARIANTS else kind, LABELS.get(kind, ()), {}, ("zh",), options)


def between(some: Answers, others: Answers) -> Answers:
    """Every other answer from each, so that a page has right ones and wrong ones of several sorts."""
    odd = np.arange(len(some)) % 2 == 1
    items = [a if take else b for a, b, take in zip(some.items, others.items, odd, strict=True)]
    shares = None
    if some.probabilities is not None and others.probabilities is not None:
        shares = np.where(odd[:, None], some.probabilities, others.probabilities)
    parts = {name: between(own, others.parts[name]) for name, own in some.parts.items()} if some.parts and others.parts else None  # fmt: skip
    return Answers(items, shares, parts)


@pytest.fixture
def judged(context, tmp_path, monkeypatch):
    """kind -> (context, models, split) of a model that answers half as its weakest baseline, half as its strongest."""

    def made(kind: str) -> tuple[Any, list[Model], Split]:
        own, draw = replace(context, task=task_of(kind), name="试验"), random.Random(3)
        sides = [[of(kind, start + at, draw) for at in range(count)] for start, count in ((0, 90), (90, 30), (120, 60))]
        if kind in ("classification", "summarization"):
            sides[2] += [replace(one, id=f"9{one.id}") for one in sides[0][:12]]  # leaks
        split = Split(*(Records.from_rows(side) for side in sides))
        task = open_task(own.task)
        tables = [side.table() for side in (split.train, split.validation, split.test)]
        baselines = [answers for _, answers, _ in task.baselines(*tables, seed=0)]
        said = between(baselines[-1], baselines[0])
        opened = SimpleNamespace(labels=list(own.task.labels), answers=lambda inputs, *, progress=None: said)
        monkeypatch.setattr("burnish.tasks.predictor.load", lambda folder: opened)
        models = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "burnish.json").write_text(json.dumps({"format": "torch"}))
            models.append(Model(tmp_path / name, {"format": "torch", "parameters": 1000}))
        return own, models, split

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_of_a_chinese_task_has_no_english_left_and_the_shape_of_the_english_one(judged, kind) -> None:
    own, models, split = judged(kind)
    made = report(models, split, None, own, draws=20, errors=12, neighbours=2)
    chinese = Seen(made.page or "")
    assert not chinese.english
    assert '<html lang="zh">' in (made.page or "") and made.numbers["said"]["zh"]["verdict"] in chinese.said
    with speaking("en"):
        english = Seen(page(made.numbers, [0.5, 0.9], subtitle=own.name))
    with speaking("zh"):
        assert english.shape == Seen(page(made.numbers, [0.5, 0.9], subtitle=own.name)).shape
    assert len(english.english) > 30, "what finds English finds it where it is"
    assert made.numbers["verdict"] in english.said, "English is the language of record"


def test_the_pages_of_fairness_and_robustness_are_in_chinese(judged, tmp_path) -> None:
    own, models, split = judged("classification")
    fair = fairness(models, split, None, own, by=["source", "mentions:gender", "language"], least=5, draws=20)
    assert not Seen(fair.page or "").english and fair.numbers["said"]["zh"]["verdict"] in Seen(fair.page or "").said
    assert not Seen(fairness(models, split, None, own, by="source", least=500, swap="none").page or "").english
    strong = robustness(models[-1:], split, None, own, variants=["end_mark", "case"], draws=20)
    assert not Seen(strong.page or "").english


def test_the_page_of_exposure_is_in_chinese() -> None:
    rows = [
        {"name": "一号柜", "copies": copies, "learnt": copies > 1, "exposure": 2.0, "extrapolated": 12.0}
        for copies in (1, 4)
    ]
    numbers = told(rows, 127, 1e6)
    numbers |= in_both(lambda: verdict(numbers))
    with speaking("zh"):
        assert not Seen(exposure_page(numbers)).english
    assert "1 of 1 planted secrets" in numbers["verdict"] and "泄露" in numbers["said"]["zh"]["verdict"]
