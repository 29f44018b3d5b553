"""Every task is split evenly by what its targets are: rare labels, types, relations, numbers and answers on all sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Records, Split
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.split.strata import strata, traits
from burnish.split.stratified import stratified

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts with nothing in common, each second in Chinese characters."""
    draw = np.random.default_rng(seed)
    made = []
    for at in range(count):
        if at % 2:
            made.append("".join(map(chr, draw.integers(0x4E00, 0x9F00, 24))))
        else:
            made.append(" ".join("".join(draw.choice(LETTERS, 7)) for _ in range(8)))
    return made


def split(spec: TaskSpec, rows: list[Record], folder: Path, **settings: Any) -> Split:
    context = Context(spec, 0, folder, folder, folder, Silent())
    return stratified(Records.from_rows(rows), None, context, test=0.2, validation=0.1, **settings)


def entity(label: str) -> dict[str, Any]:
    return {"start": 0, "end": 3, "label": label}


def rare(at: int) -> bool:
    return at % 20 == 0


def of(kind: str) -> tuple[TaskSpec, list[Record], str]:
    """A task, 400 records of which 20 have its rare trait, and what that is called."""
    made = list(enumerate(texts(400)))
    two = [entity("PER"), {"start": 4, "end": 6, "label": "PER"}]
    if kind == "multi_label":
        spec = TaskSpec("classification", ("a", "b"), {}, ("en", "zh"), {"multi_label": True})
        return spec, [Record(text=text, labels=["a", "b"] if rare(at) else ["a"]) for at, text in made], "b"
    if kind == "tagging":
        spec = TaskSpec(kind, ("PER", "ORG"), {}, ("en", "zh"))
        return spec, [
            Record(text=text, spans=[entity("PER"), entity("ORG")] if rare(at) else [entity("PER")] if at % 2 else [])
            for at, text in made
        ], "ORG"  # fmt: skip
    if kind == "relation_extraction":
        spec = TaskSpec(kind, ("met", "owns"), {}, ("en", "zh"))
        link = {"head": 0, "tail": 1}
        return spec, [
            Record(text=text, spans=two, relations=[{**link, "label": "owns" if rare(at) else "met"}])
            for at, text in made
        ], "owns"  # fmt: skip
    if kind == "question_answering":
        spec = TaskSpec(kind, (), {}, ("en", "zh"))
        return spec, [
            Record(text=f"{text}?", text_b=text, answer={"text": "", "start": None} if rare(at) else {"text": text[:3], "start": 0})
            for at, text in made
        ], "no answer"  # fmt: skip
    spec = TaskSpec("multitask", (), {}, ("en", "zh"), {"tasks": {
        "tone": {"type": "classification", "labels": ["good", "bad"]}, "names": {"type": "tagging", "labels": ["PER"]},
    }})  # fmt: skip
    return spec, [
        Record(text=text, label="bad" if rare(at) else "good", spans=[entity("PER")]) for at, text in made
    ], "label: bad"  # fmt: skip


@pytest.mark.parametrize("kind", ["multi_label", "tagging", "relation_extraction", "question_answering", "multitask"])
def test_what_is_rare_is_on_every_side_in_its_share(kind: str, tmp_path: Path) -> None:
    spec, rows, trait = of(kind)
    made = split(spec, rows, tmp_path)
    assert (len(made.train), len(made.validation), len(made.test)) == (280, 40, 80)
    assert made.facts["labels"]["test"][trait] == 4 and made.facts["labels"]["validation"][trait] == 2
    shared = made.facts["strata"]["shares"][trait]
    assert shared == {"all": 0.05, "train": 0.05, "validation": 0.05, "test": 0.05}


def test_numbers_are_even_over_their_quantiles(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    rows = [Record(text=text, value=float(draw.exponential())) for text in texts(400)]
    made = split(TaskSpec("regression", (), {}, ("en", "zh")), rows, tmp_path)
    assert made.facts["strata"]["by"] == "quantile of the value" and len(made.facts["strata"]["shares"]) == 10
    assert all(abs(one["test"] - one["all"]) < 0.02 for one in made.facts["strata"]["shares"].values())


def test_few_values_are_strata_of_their_own(tmp_path: Path) -> None:
    rows = [Record(text=text, value=float(at % 5)) for at, text in enumerate(texts(100))]
    made = split(TaskSpec("regression", (), {}, ("en", "zh")), rows, tmp_path)
    assert set(made.facts["strata"]["shares"]) == {"0", "1", "2", "3", "4"}
    assert {one["test"] for one in made.facts["strata"]["shares"].values()} == {0.2}


def test_a_query_stays_with_its_candidates(tmp_path: Path) -> None:
    rows = [
        Record(text=query, text_b=f"{query[:5]} {more}", value=float(place == 0))
        for query, at in zip(texts(60), range(60), strict=True)
        for place, more in enumerate(texts(3, seed=at + 1))
    ]
    made = split(TaskSpec("ranking", (), {}, ("en", "zh")), rows, tmp_path)
    sides = [{one.text for one in side} for side in (made.train, made.validation, made.test)]
    assert all(sides) and not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_talks_that_share_a_system_turn_are_divided(tmp_path: Path) -> None:
    system = {"role": "system", "content": "You answer the visitors of a library in one short sentence. " * 10}
    rows = [
        Record(messages=[system, {"role": "user", "content": one}, {"role": "assistant", "content": one[::-1]}])
        for one in texts(50)
    ]
    made = split(TaskSpec("chat", (), {}, ("en", "zh")), rows, tmp_path)
    assert (len(made.train), len(made.validation), len(made.test)) == (35, 5, 10)
    assert made.facts["strata"] == {"by": "nothing", "shares": {}}


def test_talks_of_one_group_stay_together(tmp_path: Path) -> None:
    rows = [
        Record(messages=[{"role": "user", "content": one}, {"role": "assistant", "content": "ok"}], group=str(at // 5))
        for at, one in enumerate(texts(60))
    ]
    made = split(TaskSpec("chat", (), {}, ("en", "zh")), rows, tmp_path)
    groups = [{one.group for one in side} for side in (made.train, made.validation, made.test)]
    assert not (groups[0] & groups[2] or groups[0] & groups[1])


def test_a_record_is_drawn_with_its_rarest_trait() -> None:
    table = Records.from_rows(
        [
            Record(text="1", labels=["a"]),
            Record(text="2", labels=["a", "b"]),
            Record(text="3", labels=[]),
            Record(text="4"),
        ]
    ).table()
    found, about = traits(table, ("labels",))
    assert found == [["a"], ["a", "b"], ["none"], []] and about == "rarest label"
    assert strata(found).tolist() == [1, 2, 3, 0]


def test_groups_that_hold_every_class_fill_their_share(tmp_path: Path) -> None:
    """A query has one candidate that answers it and four that do not: no group's rarest class is the common one."""
    rows = [
        Record(text=f"{text} {at % 5}", text_b=str(at), value=float(at % 5 == 0), group=str(at // 5))
        for at, text in enumerate(one for one in texts(60, seed=3) for _ in range(5))
    ]
    made = split(TaskSpec("ranking", (), {}, ("en", "zh")), rows, tmp_path, near_duplicates=1.0, templates=False)
    assert len(made.test) == 60 and len(made.validation) == 30
    assert sum(made.test.column("value")) == 12
