"""evaluate.report: who judges, what is told, and that every figure can be counted again from the predictions."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, f1_score

from burnish.core.artifacts import Records, Report, Split
from burnish.core.errors import BurnishError
from burnish.core.records import Record
from burnish.core.tasktypes import open_task
from burnish.evaluate.report import report
from burnish.testing import check_stage

CONTRACT = ("n", "accuracy", "macro_f1", "micro_f1", "per_class", "confusion", "ece", "intervals")


def judged(models, split, gold, context, **settings):
    return report(models, split, gold, context, **{"draws": 100, **settings})


def test_has_what_the_contract_names_and_counts_what_the_predictions_say(models, split, context, tmp_path):
    made = judged(models, split, None, context)
    folder = tmp_path / "out"
    folder.mkdir()
    made.save(folder)
    numbers = json.loads((folder / "report.json").read_text("utf-8"))
    assert set(CONTRACT) <= numbers.keys()
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    served = [row for row in rows if row["model"] == numbers["model"]]
    targets, answers = [row["target"] for row in served], [row["prediction"] for row in served]
    assert numbers["n"] == len(served) == 200 and len(rows) == 400
    assert numbers["accuracy"] == pytest.approx(accuracy_score(targets, answers))
    assert numbers["macro_f1"] == pytest.approx(f1_score(targets, answers, average="macro"))
    assert [row["correct"] for row in served] == [a == b for a, b in zip(targets, answers, strict=True)]
    assert np.sum(numbers["confusion"]) == 200
    low, high = numbers["intervals"]["accuracy"]
    assert low < numbers["accuracy"] < high
    assert "precision" in numbers["classification_report"] and "0." in numbers["classification_report"]


def test_predictions_keep_the_order_of_the_test_set(models, split, context, tmp_path):
    made = judged(models, split, None, context)
    ids = pq.read_table(made.files["predictions.parquet"])["id"].to_pylist()
    assert ids[:200] == ids[200:] == split.test.column("id")


def test_answers_in_another_order_of_labels_are_brought_to_the_task(models, split, context):
    assert judged(models, split, None, context).numbers["accuracy"] > 0.6


def test_gold_that_nobody_trained_on_judges_and_the_test_side_is_told_beside_it(models, split, gold, context):
    numbers = judged(models, split, gold, context).numbers
    assert numbers["judged_by"]["kind"] == "gold" and numbers["n"] == 40
    assert [one["kind"] for one in numbers["also_judged"]] == ["test"]


def test_gold_that_was_trained_on_does_not_judge(models, split, gold, context):
    gold.facts = {"train": True}
    assert judged(models, split, gold, context).numbers["judged_by"]["kind"] == "test"


def test_gold_that_weighed_labellers_says_so(models, gold, context, make):
    sides = [
        Records.from_rows(make(n, s, label_from="aggregate:weighted", name=str(s)))
        for n, s in ((90, 1), (20, 2), (30, 3))
    ]
    numbers = judged(models, Split(*sides), gold, context).numbers
    assert "weighed the labellers" in numbers["judged_by"]["notes"][0]


def test_constructed_labels_are_never_passed_off_as_checked(models, context, make):
    sides = [
        Records.from_rows(make(n, s, label_from="aggregate:weighted", name=str(s)))
        for n, s in ((90, 1), (20, 2), (30, 3))
    ]
    made = judged(models, Split(*sides), None, context)
    assert made.numbers["judged_by"]["checked"] is False and made.numbers["tone"] != "good"
    assert "constructed, not checked" in made.page
    assert "100% of its labels were made by this run" in made.numbers["judged_by"]["about"]


def test_an_outside_test_set_judges_first_and_counts_what_cannot(models, split, gold, context, tmp_path, make):
    rows = [{"words": one.text, "topic": one.label.upper()} for one in make(50, 9)]
    rows += [{"words": "a text of another kind", "topic": "WEATHER"}, {"words": "no label"}]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows] + ["{broken"]
    (tmp_path / "test.jsonl").write_text("\n".join(lines), encoding="utf-8")
    names = {"ARTS": "arts", "SPORT": "sport", "MONEY": "money", "WEATHER": "weather"}
    made = judged(
        models, split, gold, context, data=tmp_path / "test.jsonl", fields={"text": "words", "label": "topic"}, label_names=names
    )  # fmt: skip
    by = made.numbers["judged_by"]
    assert by["kind"] == "data" and made.numbers["n"] == 50
    assert sum(by["set_aside"].values()) == 3 and by["set_aside"]["no label"] == 1
    assert [one["kind"] for one in made.numbers["also_judged"]] == ["gold", "test"]
    assert str(tmp_path) not in json.dumps(made.numbers)


def test_an_outside_test_set_without_one_label_of_the_task_is_refused(models, split, context, tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps({"text": "x y z", "label": "weather"}), encoding="utf-8")
    with pytest.raises(BurnishError, match=r"no record of the test set can judge.*weather"):
        judged(models, split, None, context, data=tmp_path / "test.jsonl")


def test_nobody_to_judge_is_an_error_that_says_what_to_do(models, split, context):
    empty = Split(split.train, split.validation, Records.from_rows([]))
    with pytest.raises(BurnishError, match="no record to judge") as caught:
        judged(models, empty, None, context)
    assert "split.test" in caught.value.hint


def test_a_model_of_another_task_is_refused(models, split, context, monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setattr("burnish.tasks.predictor.load", lambda folder: SimpleNamespace(labels=["yes", "no"]))
    with pytest.raises(BurnishError, match="the model answers yes, no, the task asks for arts"):
        judged(models, split, None, context)


def test_a_model_that_compression_refused_is_not_judged(models, split, context):
    models[1].info["accepted"] = False
    numbers = judged(models, split, None, context).numbers
    assert numbers["model"] == "torch" and len(numbers["models"]) == 1


def test_the_last_model_serves_and_the_others_are_compared_with_it(models, split, context):
    numbers = judged(models, split, None, context).numbers
    first, last = numbers["models"]
    assert last["serves"] and last["accuracy"] == numbers["accuracy"] and last["agreement"] == 1
    assert first["difference"]["accuracy"] == pytest.approx(first["accuracy"] - last["accuracy"])


def test_baselines_learn_from_the_training_side_alone(models, split, context):
    numbers = judged(models, split, None, context).numbers
    plain, strong = numbers["baselines"]
    assert plain["name"] == "majority class" and 0.2 < plain["accuracy"] < 0.5
    assert strong["accuracy"] > 0.9, "one word decides, in both languages: TF-IDF finds it"
    assert strong["settings"]["texts"] == 300
    assert strong["gain"]["accuracy"]["value"] == pytest.approx(numbers["accuracy"] - strong["accuracy"])
    assert (
        strong["gain"]["accuracy"]["interval"][1] < 0
        and "not worth it" in numbers["verdict"]
        and numbers["tone"] == "bad"
    )


def test_leaks_are_counted_and_taken_out(models, split, context):
    test = list(split.test) + [Record(text=one.text.upper(), id=f"x{i}", label=one.label, label_from="given") for i, one in enumerate(list(split.train)[:20]) if one.language == "en"]  # fmt: skip
    added = len(test) - 200
    leaky = Split(split.train, split.validation, Records.from_rows(test))
    before = judged(models, split, None, context, leak_similarity=0.9).numbers
    after = judged(models, leaky, None, context, leak_similarity=0.9).numbers
    assert before["leaks"]["count"] == 0 and "without" in before["leaks"]
    assert after["leaks"]["count"] == added == after["leaks"]["only"]["n"]
    assert after["leaks"]["without"]["accuracy"] == pytest.approx(before["accuracy"])


def test_worst_errors_come_first_and_show_the_data_that_pulled_them(models, split, context):
    train = [
        *split.train,
        Record(
            text="the match the match of the year",
            id="culprit",
            label="arts",
            label_from="aggregate:majority",
            confidence=0.6,
        ),
    ]
    test = [
        *split.test,
        Record(text="the match the match of this year", id="victim", label="sport", label_from="given"),
    ]
    poisoned = Split(Records.from_rows(train), split.validation, Records.from_rows(test))
    errors = judged(models, poisoned, None, context, errors=200).numbers["errors"]
    assert errors["nearest_by"].startswith("TF-IDF")
    losses = [one["loss"] for one in errors["items"]]
    assert losses == sorted(losses, reverse=True)
    assert all(one["target"] != one["prediction"] for one in errors["items"])
    for one in errors["items"]:
        assert len(one["neighbours"]) == 5
        cosines = [near["similarity"] for near in one["neighbours"]]
        assert cosines == sorted(cosines, reverse=True)
    from burnish.evaluate.judged import Judged
    from burnish.evaluate.worst import worst

    victim, task = Records.from_rows(test).table().slice(200, 1), open_task(context.task)
    wrong = Judged("", 0, {}, task, victim, task.answers(np.array([[0.9, 0.05, 0.05]])))
    found = worst(wrong, Records.from_rows(train).table(), models[0], context, most=5, neighbours=3)
    near = found["items"][0]["neighbours"][0]
    assert (near["id"], near["label"], near["label_from"]) == ("culprit", "arts", "aggregate:majority")


def test_slices_by_language_source_and_length_add_up(models, split, context):
    slices = judged(models, split, None, context).numbers["slices"]
    by = {name: [one for one in slices if one["by"] == name] for name in ("language", "source", "length")}
    assert {one["value"] for one in by["language"]} == {"en", "zh"}
    assert all(sum(one["n"] for one in rows) == 200 for rows in by.values())
    assert len(by["length"]) == 4


@pytest.mark.parametrize("judge", ["test", "gold"])
def test_the_page_stands_alone_and_says_the_verdict_first(models, split, gold, context, judge):
    made = judged(models, split, gold if judge == "gold" else None, context)
    assert isinstance(made, Report) and "http" not in made.page
    assert made.page.index(made.numbers["verdict"].split("(")[0]) < made.page.index("<section")
    assert len(made.page) < 600_000


def test_hostile_texts_are_escaped_on_the_page(models, split, context):
    test = [
        Record(text=f"<script>alert({i})</script> the match", id=f"h{i}", label="arts", label_from="given")
        for i in range(30)
    ]
    made = judged(models, Split(split.train, split.validation, Records.from_rows(test)), None, context)
    assert "<script>alert(" not in made.page and "&lt;script&gt;alert(" in made.page


def test_keeps_the_contract_of_stages(models, monkeypatch):
    import hashlib
    from types import SimpleNamespace

    from burnish.testing import TASK

    def answers(inputs, *, progress=None):
        seeds = [int(hashlib.sha256(one["text"].encode()).hexdigest()[:8], 16) for one in inputs]
        drawn = np.stack([np.random.default_rng(seed).dirichlet(np.ones(len(TASK.labels))) for seed in seeds])
        return open_task(TASK).answers(drawn)

    monkeypatch.setattr(
        "burnish.tasks.predictor.load",
        lambda folder: SimpleNamespace(labels=list(TASK.labels), answers=answers),
    )
    assert check_stage("evaluate.report", {"draws": 50}, {"Model": models[0]}) >= 7


def test_a_wrong_answer_names_the_training_records_that_pulled_it(models, split, context, monkeypatch):
    """A twin with the wrong label pulls hardest; without a backbone nothing is claimed."""
    from pathlib import Path

    from burnish.core.artifacts import Model
    from burnish.evaluate.worst import pulls

    def embed(texts, *_, **__):
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.replace(" ", "") if not text.isascii() else text.split():
                vectors[row, sum(map(ord, word)) % 64] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    monkeypatch.setattr("burnish.nn.embeddings.embed", embed)
    monkeypatch.setattr("burnish.nn.backbones.resolve", lambda *_, **__: Path())
    said = "the match and the league and the coach of this team"
    train = [*split.train, Record(text=said, id="culprit", label="arts", label_from="given")]
    asked = Records.from_rows([Record(text=said, id="victim", label="sport")]).table()
    task, table = open_task(context.task), Records.from_rows(train).table()
    with_backbone = Model(models[0].folder, {**models[0].info, "backbone": "minilm"})
    [found] = pulls(task, asked, [{"label": "arts"}], table, with_backbone, context, most=4)
    assert found[0]["id"] == "culprit" and found[0]["label"] == "arts"
    assert all(one["pull"] > 0 for one in found)
    assert [one["pull"] for one in found] == sorted((one["pull"] for one in found), reverse=True)
    assert pulls(task, asked, [{"label": "arts"}], table, models[0], context, most=4) == []
