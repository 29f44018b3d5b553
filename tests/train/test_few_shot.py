"""Few labels, or none, from the spec."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import burnish
from burnish.core.errors import BurnishError

Tuned = Callable[..., Path]


def test_contrastive_from_the_spec(tuned: Tuned) -> None:
    run = tuned(60, to="evaluate", strategy={"use": "contrastive", "steps": 40, "learning_rate": 0.003})
    card = json.loads((run / "model" / "burnish.json").read_text("utf-8"))
    assert card["strategy"] == {"use": "contrastive", "steps": 40, "learning_rate": 0.003}
    assert len(card["history"]["tune"]["losses"]) == 40
    assert card["history"]["tune"]["epochs"][0]["validation_score"] > 0.7
    assert burnish.load(run).predict(["lovely warm film"])[0]["label"] == "good"


@pytest.mark.parametrize(("asked", "made"), [({}, "contrastive"), ({"epochs": 1}, "full"), ({"loss": "focal"}, "full")])
def test_auto_teaches_a_few_texts_by_pairs_where_nothing_speaks_of_single_texts(
    tuned: Tuned, asked: dict[str, object], made: str
) -> None:
    card = json.loads((tuned(60, **{"epochs": "auto", **asked}) / "model" / "burnish.json").read_text("utf-8"))
    name = card["strategy"]
    assert (name["use"] if isinstance(name, dict) else name) == made, card["history"]["tune"]["reasons"]["strategy"]


def test_labels_that_labellers_made_are_not_taught_by_pairs() -> None:
    from burnish.core.records import Record, from_people, to_table

    people = [Record(text="a", label="good"), Record(text="b", label="bad", label_from="review")]
    assert from_people(to_table(people))
    assert not from_people(to_table([*people, Record(text="c", label="bad", label_from="aggregate:majority")]))


def test_contrastive_stands_alone(tuned: Tuned) -> None:
    with pytest.raises(BurnishError, match="do not go together"):
        tuned(strategy=["contrastive", "gradual"])


def test_none_leaves_every_weight(tuned: Tuned, tiny: Path) -> None:
    from safetensors.torch import load_file

    run = tuned(strategy="none")
    kept, first = load_file(run / "model" / "model.safetensors"), load_file(tiny / "model.safetensors")
    assert all(kept[f"bert.{name}"].equal(value) for name, value in first.items() if not name.startswith("pooler"))
    card = json.loads((run / "model" / "burnish.json").read_text("utf-8"))
    assert card["parameters_learnt"] == 0 and card["history"]["tune"]["losses"] == []


def test_a_student_learns_what_its_teacher_thinks(tuned: Tuned, tmp_path: Path) -> None:
    """With the whole weight on the teacher, the labels of the student's records do not matter."""
    import shutil

    teacher = tmp_path / "teacher"
    shutil.copytree(tuned(200, epochs=6, learning_rate=0.003) / "model", teacher)
    run = tuned(200, epochs=6, learning_rate=0.003, distil=str(teacher), distil_weight=1.0)
    card = json.loads((run / "model" / "burnish.json").read_text("utf-8"))
    texts = ["lovely bright film", "awful dull room", "推荐 这 本 书"]
    student, said = (burnish.load(one).predict(texts) for one in (run, teacher))
    assert [one["label"] for one in student] == [one["label"] for one in said]
    assert card["history"]["tune"]["epochs"][-1]["loss"] < card["history"]["tune"]["epochs"][0]["loss"]


def test_a_teacher_of_other_labels_is_refused(tuned: Tuned, tmp_path: Path) -> None:
    import shutil

    teacher = tmp_path / "teacher"
    shutil.copytree(tuned() / "model", teacher)
    card = json.loads((teacher / "burnish.json").read_text("utf-8"))
    card["task"]["labels"] = ["cold", "warm"]
    (teacher / "burnish.json").write_text(json.dumps(card), "utf-8")
    with pytest.raises(BurnishError, match="the teacher knows cold, warm"):
        tuned(distil=str(teacher))


def test_the_formula_of_distillation() -> None:
    import numpy as np
    import torch

    from burnish.nn.batches import make_batch
    from burnish.nn.distillation import Distilled
    from burnish.nn.examples import Examples
    from burnish.nn.objectives import CrossEntropy

    examples = Examples(np.zeros(2, np.int32), np.arange(3)).with_targets(np.array([0, 1]))
    batch = make_batch(examples, np.array([1, 0]), pad_token=0)
    logits, teacher = torch.tensor([[0.3, -1.0], [2.0, 0.1]]), np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    found = Distilled(CrossEntropy(), teacher, 0.25, 2.0).loss(logits, batch, None).tolist()
    for at, row in enumerate((1, 0)):
        soft = teacher[row] ** 0.5 / (teacher[row] ** 0.5).sum()
        student = torch.softmax(logits[at] / 2, -1).numpy()
        own = -float(torch.log_softmax(logits[at], -1)[row])
        assert found[at] == pytest.approx(
            0.75 * own + 0.25 * 4 * float((soft * np.log(soft / student)).sum()), rel=1e-4
        )
    assert "digest" in repr(Distilled(CrossEntropy(), teacher, 0.25, 2.0))
