"""Any number of labels, labels in an order, labels in a tree: one task type, told apart by an option."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.core.tasktypes import open_task, option_problems
from burnish.tasks import _hierarchical, _multi_label, _ordinal, classification


def spec(labels, **options) -> TaskSpec:
    return TaskSpec("classification", tuple(labels), languages=("en", "zh"), options=options)


MANY = spec(["sport", "politics", "经济"], multi_label=True)
STARS = spec(["1", "2", "3", "4"], ordinal=True)
TREE = spec(["sport/ball/tennis", "sport/ball/football", "sport/water", "经济"], hierarchical=True)


def test_an_option_chooses_the_class_and_no_option_the_plain_one() -> None:
    kinds = [type(open_task(one)) for one in (MANY, STARS, TREE, spec(["a", "b"]))]
    assert kinds == [_multi_label.Task, _ordinal.Task, _hierarchical.Task, classification.Task]
    assert not any(option_problems(one) for one in (MANY, STARS, TREE))
    assert option_problems(spec(["a", "b"], ordinal=True, multi_label=True))[0][0] == "ordinal"
    assert option_problems(spec(["a", "b"], ordinal="yes"))[0][0] == "ordinal"
    assert option_problems(spec(["a", "b"], ordinals=True))[0][0] == "ordinals"
    assert option_problems(spec(["a", "b//c"], hierarchical=True))[0][0] == "labels"


# -- any number of labels

SETS = [["sport"], ["sport", "经济"], [], ["politics", "经济"], None]


def sets_table():
    made = [Record(text=f"t{i}", labels=labels) for i, labels in enumerate(SETS[:4])]
    return to_table([*made, Record(text="one", label="politics"), Record(text="nobody knows")])


def test_label_sets_become_targets_and_an_empty_one_is_a_target() -> None:
    task = open_task(MANY)
    table = sets_table()
    assert task.labelled(table).tolist() == [True] * 5 + [False]
    assert task.hard_targets(table).tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert "经济" in task.problem(Record(text="x", labels=["经"])) and task.problem(Record(text="x", labels=[])) is None
    assert task.expected({"labels": []}) == {"labels": []} and task.expected({"labels": None}) is None


def test_figures_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    task = open_task(MANY)
    true = random.integers(0, 2, (80, 3))
    shares = np.clip(true * 0.3 + random.random((80, 3)) * 0.7, 0, 1)
    table = to_table(
        Record(text="t", labels=[label for label, one in zip(task.labels, row, strict=True) if one]) for row in true
    )
    answers = task.many(shares, np.full(3, 0.5))
    said = (shares >= 0.5).astype(int)
    figures = {name: float(value) for name, value in task.figures(task.tally(table, answers).sum(0)).items()}
    assert figures["micro_f1"] == pytest.approx(metrics.f1_score(true, said, average="micro"))
    assert figures["macro_f1"] == pytest.approx(metrics.f1_score(true, said, average="macro"))
    assert figures["subset_accuracy"] == pytest.approx(metrics.accuracy_score(true, said))
    assert figures["hamming_loss"] == pytest.approx(metrics.hamming_loss(true, said))
    wanted = metrics.average_precision_score(true, shares, average="macro")
    assert task.details(table, answers)["mean_average_precision"] == pytest.approx(wanted, abs=1e-5)
    assert ((task.losses(table, answers) == 0) == (true == said).all(1)).all()


def test_thresholds_beat_one_half_and_rare_labels_share_one() -> None:
    random = np.random.default_rng(0)
    true = (random.random((400, 3)) < [0.3, 0.1, 0.004]).astype(int)
    shares = true * 0.2 + random.random((400, 3)) * 0.25
    cuts = _multi_label.thresholds(true, shares)
    for at in range(2):
        tuned = metrics.f1_score(true[:, at], shares[:, at] >= cuts[at])
        best = max(metrics.f1_score(true[:, at], shares[:, at] >= cut) for cut in shares[:, at])
        assert tuned == pytest.approx(best)
    assert true[:, 2].sum() < _multi_label.LEAST_POSITIVE
    assert cuts[2] == _multi_label._best_cut(true.reshape(-1), shares.reshape(-1))
    assert _multi_label.thresholds(np.zeros((3, 2), int), shares[:3, :2]).tolist() == [0.5, 0.5]


def test_answers_keep_the_contract_and_read_the_card() -> None:
    task = open_task(MANY)
    card = {"thresholds": {"sport": 0.2, "politics": 0.9, "经济": 0.5}}
    answer = task.decode([{}], None, np.array([[0.0, 0.0, 2.0]]), card).items[0]
    assert answer["labels"] == ["经济", "sport"] and answer["scores"]["politics"] == 0.5
    assert [piece.text for piece in task.pieces({"text": "a"}, answer)] == ["a", "\n→ 经济, sport"]
    assert task.brief(answer) == "sport, 经济" and task.brief({"labels": []}) == "none"


# -- labels in an order


def test_the_median_is_answered_and_figures_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    task = open_task(STARS)
    true = random.integers(0, 4, 200)
    shares = random.dirichlet(np.ones(4), 200)
    table = to_table(Record(text="t", label=task.labels[one]) for one in true)
    answers = task.answers(shares)
    said = np.array([task.labels.index(one["label"]) for one in answers.items])
    assert (np.abs(said - [np.searchsorted(row.cumsum(), 0.5) for row in shares]) == 0).all()
    figures = {name: float(value) for name, value in task.figures(task.tally(table, answers).sum(0)).items()}
    assert figures["quadratic_kappa"] == pytest.approx(metrics.cohen_kappa_score(true, said, weights="quadratic"))
    assert figures["mae"] == pytest.approx(np.abs(true - said).mean())
    assert figures["macro_f1"] == pytest.approx(metrics.f1_score(true, said, average="macro"))
    assert task.details(table, answers)["accuracy"] == pytest.approx(figures["accuracy"])
    assert ((task.losses(table, answers) == 0) == (true == said)).all()


def test_the_temperature_is_the_one_the_labels_were_drawn_at() -> None:
    random = np.random.default_rng(0)
    task = open_task(STARS)
    logits = random.normal(0, 1, (4000, 3))
    drawn = [random.choice(4, p=row) for row in _ordinal.shares(logits)]
    table = to_table(Record(text="t", label=task.labels[one]) for one in drawn)
    assert task.calibrate(table, None, 3 * logits)["temperature"] == pytest.approx(3, rel=0.1)


# -- labels in a tree


def test_parents_are_sums_of_their_children() -> None:
    task = open_task(TREE)
    assert task.leaves == ["sport/ball/tennis", "sport/ball/football", "sport/water", "经济"]
    answer = task.answers(np.array([[0.4, 0.2, 0.1, 0.3]])).items[0]
    assert answer["label"] == "sport/ball/tennis"
    assert [(one["label"], one["score"]) for one in answer["path"]] == [
        ("sport", pytest.approx(0.7)),
        ("sport/ball", pytest.approx(0.6)),
        ("sport/ball/tennis", pytest.approx(0.4)),
    ]
    assert [piece.text for piece in task.pieces({"text": "a"}, answer)][1] == "\n→ sport 70% / ball 60% / tennis 40%"


def test_hierarchical_figures_by_hand() -> None:
    task = open_task(TREE)
    true = ["sport/ball/tennis", "sport/ball/tennis", "经济", "sport/ball", "sport"]
    said = ["sport/ball/tennis", "sport/water", "sport/water", "sport/ball/football", "经济"]
    table = to_table(Record(text="t", label=one) for one in true)
    shares = np.array([[one == leaf for leaf in task.leaves] for one in said], dtype=float)
    answers = task.answers(shares)
    figures = {name: float(value) for name, value in task.figures(task.tally(table, answers).sum(0)).items()}
    # common nodes 3 + 1 + 0 + 2 + 0; nodes said 3 + 2 + 2 + 2 (cut to the label's depth) + 1; true 3 + 3 + 1 + 2 + 1
    assert figures["hierarchical_f1"] == pytest.approx(2 * 6 / (10 + 10))
    assert figures["accuracy"] == pytest.approx(2 / 5), "a label above the leaves is right when the leaf lies below it"
    assert figures["accuracy_level_1"] == pytest.approx(3 / 5)
    assert figures["accuracy_level_2"] == pytest.approx(2 / 3)
    assert figures["accuracy_level_3"] == pytest.approx(1 / 2)
    assert ((task.losses(table, answers) == 0) == [True, False, False, True, False]).all()
    details = task.details(table, answers)
    assert details["per_class"]["sport"]["support"] == 4 and details["levels"][0]["labels"] == 2


def test_a_label_above_the_leaves_teaches_all_that_lies_below() -> None:
    task = open_task(TREE)
    table = to_table([Record(text="a", label="sport/ball"), Record(text="b", label="经济"), Record(text="c")])
    assert task.targets(table).tolist() == [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert task.problem(Record(text="a", label="sport")) is None
    assert "no node" in task.problem(Record(text="a", label="ball"))


PAIRS = [
    ("a man sleeps", "a man is awake", "contradiction"),
    ("一个人在睡觉", "有人醒着", "contradiction"),
    ("a man sleeps", "someone sleeps", "entailment"),
]


def test_both_texts_of_a_pair_are_read_in_both_languages() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    letters = sorted({c for one in PAIRS for text in one[:2] for c in text if c != " "})
    tokenizer = Tokenizer(
        models.WordLevel(
            {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, **{c: i + 3 for i, c in enumerate(letters)}}, unk_token="[UNK]"
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    task = open_task(spec(["entailment", "contradiction"]))
    table = to_table(Record(text=a, text_b=b, label=label) for a, b, label in PAIRS)
    made = task.examples(table, tokenizer, max_length=64)
    for i, (a, b, _) in enumerate(PAIRS):
        where = made.window(i)
        assert (made.tokens[where] == 2).sum() == 2
        second = made.types[where] == 1
        assert second.any() and len(made.tokens[where]) >= len(a.replace(" ", "")) + len(b.replace(" ", "")) + 3
    said = {answers.items[0]["label"] for _, answers, _ in task.baselines(table, table.slice(0, 0), table, seed=0)}
    assert said <= {"entailment", "contradiction"}
