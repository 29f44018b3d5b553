"""Each of these tasks from records to a trained model that answers, on a network of two layers."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tiny_bert

from burnish.core.artifacts import Records, Split
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.testing import check_task, sample_context

OTHERS = ["the", "film", "and", "staff", "a", "这", "本"]


def words(draw: random.Random, *said: str) -> str:
    made = draw.choices(OTHERS, k=draw.randint(2, 6))
    for word in said:
        made.insert(draw.randrange(len(made) + 1), word)
    return " ".join(made)


def relations(draw: random.Random, i: int) -> Record:
    before, verb = words(draw), ("the", "lovely", "退货")[i % 3]
    one, other = draw.sample(["film", "酒店", "day", "书", "room"], 2)
    text = f"{before} {one} {verb} {other}"
    at = len(before) + 1
    spans = [
        {"start": at, "end": at + len(one), "label": "thing"},
        {"start": len(text) - len(other), "end": len(text), "label": "thing"},
    ]
    made = [[], [{"head": 0, "tail": 1, "label": "likes"}], [{"head": 1, "tail": 0, "label": "退"}]]
    return Record(text=text, spans=spans, relations=made[i % 3])


def numbers(draw: random.Random, i: int) -> Record:
    stars = i % 4
    return Record(
        text=words(draw, *["lovely"] * stars), text_b=words(draw, *["awful"] * (3 - stars)), value=float(stars)
    )


def sets(draw: random.Random, i: int) -> Record:
    labels = [label for at, label in enumerate(("lovely", "退货", "rude")) if i >> at & 1]
    return Record(text=words(draw, *labels), labels=labels)


def stars(draw: random.Random, i: int) -> Record:
    return Record(text=words(draw, ("awful", "dull", "warm", "lovely")[i % 4]), label=str(i % 4 + 1))


def tree(draw: random.Random, i: int) -> Record:
    leaf = ("a/x", "a/y", "b")[i % 3]
    label = "a" if i % 12 == 0 else leaf
    return Record(text=words(draw, {"a/x": "lovely", "a/y": "退货", "b": "rude"}[leaf]), label=label)


def spec(kind: str, *labels: str, **options) -> TaskSpec:
    return TaskSpec(kind, labels, languages=("en", "zh"), options=options)


CASES = {
    "relations": (relations, spec("relation_extraction", "likes", "退", no_relation="none")),
    "relations once": (relations, spec("relation_extraction", "likes", "退", pairs="once")),
    "regression": (numbers, spec("regression", minimum=0, maximum=3)),
    "multi_label": (sets, spec("classification", "lovely", "退货", "rude", multi_label=True)),
    "ordinal": (stars, spec("classification", "1", "2", "3", "4", ordinal=True)),
    "hierarchical": (tree, spec("classification", "a/x", "a/y", "b", hierarchical=True)),
}


def records(make, count: int = 400):
    draw = random.Random(0)
    return to_table(make(draw, i) for i in range(count))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("case", CASES)
def test_passes_the_suite_of_tasks(case: str) -> None:
    make, task = CASES[case]
    exports = case in ("multi_label", "hierarchical")  # plain ones in contract, these two nowhere else
    assert check_task(task.type, task, records(make, 24), exports=exports) == 8 + exports


@pytest.mark.parametrize("case", CASES)
def test_learns_and_the_exported_network_says_the_same(case: str, backbone, tmp_path) -> None:
    from burnish.compress.stages import onnx
    from burnish.tasks import predictor
    from burnish.train.tune import tune

    make, task = CASES[case]
    table = records(make)
    split = Split(*(Records.from_table(table.slice(*part)) for part in ((0, 300), (300, 40), (340, 60))))
    context = sample_context(tmp_path, task)
    model = tune(
        split,
        None,
        context,
        backbone=str(backbone),
        epochs=20 if case == "ordinal" else 10,
        learning_rate=3e-3,
        batch_tokens=512,
        precision="fp32",
        patience=0,
    )
    model.save(model.folder)
    test = table.slice(340)
    torch = predictor.load(model.folder)
    answers = torch.answers(torch.task.inputs(test))
    score = float(torch.task.figures(torch.task.tally(test, answers).sum(0))[torch.task.figure])
    best = max(
        float(np.nan_to_num(torch.task.figures(torch.task.tally(test, said).sum(0))[torch.task.figure]))
        for name, said, _ in list(torch.task.baselines(table.slice(0, 300), table.slice(300, 40), test, seed=0))[:1]
    )
    assert score > max(0.9, best), (score, best)
    if case in ("relations", "ordinal"):
        deployed = onnx(model, split, context)
        assert deployed.info.get("accepted", True)
        served = predictor.load(deployed.folder)
        inputs = [torch.task.input(one) for one in torch.task.inputs(test)]
        assert torch.task.agreement(answers, served.answers(inputs)).min() == 1
        streamed = [(at, one) for found, said in served.stream(inputs) for at, one in zip(found, said, strict=True)]
        assert sorted(at for at, _ in streamed) == list(range(len(inputs)))
