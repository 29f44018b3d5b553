"""A number an input: correlations from sums, the scale kept on the card, baselines for pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.tasks.regression import Task

SPEC = TaskSpec("regression", languages=("en", "zh"), options={"minimum": 0, "maximum": 5})


def table_of(values, text_b=None):
    return to_table(
        Record(text=f"text {i}", text_b=text_b and text_b[i], value=value) for i, value in enumerate(values)
    )


def test_figures_are_scipys_and_add_up() -> None:
    random = np.random.default_rng(0)
    targets = np.round(random.uniform(0, 5, 200), 1)  # with ties
    said = np.clip(targets + random.normal(0, 1, 200), 0, 5)
    task = Task(SPEC)
    table, answers = table_of(targets), task.answers(said)
    tally = task.tally(table, answers)
    scores = {name: float(value) for name, value in task.figures(tally.sum(0)).items()}
    said = np.array([one["value"] for one in answers.items])
    assert scores["pearson"] == pytest.approx(stats.pearsonr(targets, said)[0], abs=1e-9)
    assert scores["spearman"] == pytest.approx(stats.spearmanr(targets, said)[0], abs=1e-9)
    assert scores["mae"] == pytest.approx(np.abs(targets - said).mean())
    assert scores["rmse"] == pytest.approx(np.sqrt(((targets - said) ** 2).mean()))
    draws = np.stack([tally[:100].sum(0), tally[100:].sum(0)])
    assert task.figures(draws)["pearson"][1] == pytest.approx(stats.pearsonr(targets[100:], said[100:])[0], abs=1e-9)


def test_an_answer_that_never_varies_has_a_correlation_of_zero() -> None:
    task = Task(SPEC)
    assert task.figures(task.tally(table_of([1.0, 2.0]), task.answers(np.full(2, 3.0))).sum(0))["pearson"] == 0


def test_what_is_learnt_is_standardised_and_what_is_answered_is_not() -> None:
    table = table_of([1.0, 2.0, 3.0, None])
    task = Task(Task(SPEC).settle(table.slice(0, 3)))
    assert task.settings["centre"] == 2.0 and task.settings["scale"] == pytest.approx(0.816497)
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"?": 0, "text": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    made = task.examples(table, tokenizer, max_length=16)
    np.testing.assert_allclose(made.targets[:, 0], [-1.2247, 0, 1.2247], atol=1e-3)
    answers = task.decode([{}] * 3, made, made.targets, {})
    assert [one["value"] for one in answers.items] == pytest.approx([1, 2, 3], abs=1e-5)
    assert task.answers(np.array([-3.0, 9.0])).items == [{"value": 0.0}, {"value": 5.0}]


def test_records_and_sections_are_judged() -> None:
    task = Task(SPEC)
    assert task.problem(Record(text="a", value=7.0)) == "value 7.0 is not within 0 and 5"
    assert task.problem(Record(text="a")) is None and task.problem(Record(text=" ")) == "empty text"
    wrong = TaskSpec("regression", ("a",), options={"minimum": 5, "maximum": 0, "scale": "big"})
    assert {key for key, _, _ in Task.problems(wrong)} == {"labels", "maximum", "scale"}
    assert Task.problems(SPEC) == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_likeness_of_pairs_is_seen_by_the_baselines(language: str) -> None:
    random = np.random.default_rng(1)
    words = (
        [f"word{i}" for i in range(40)]
        if language == "en"
        else list("天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁")
    )
    join = " ".join if language == "en" else "".join
    records = []
    for _ in range(240):
        one = list(random.choice(words, 8, replace=False))
        kept = int(random.integers(0, 9))
        records.append(
            Record(text=join(one), text_b=join(one[:kept] + list(random.choice(words, 8 - kept))), value=kept * 5 / 8)
        )
    table, task = to_table(records), Task(SPEC)
    test = table.slice(200)
    scores = {
        name: float(task.figures(task.tally(test, answers).sum(0))["pearson"])
        for name, answers, _ in task.baselines(table.slice(0, 160), table.slice(160, 40), test, seed=0)
    }
    assert list(scores) == ["mean", "TF-IDF cosine", "TF-IDF + ridge"]
    assert scores["mean"] == 0 and scores["TF-IDF cosine"] > 0.8 and scores["TF-IDF + ridge"] > 0.8


def test_prompts_name_the_ends() -> None:
    assert "from 0 to 5" in Task(SPEC).prompt("x") and "从 0 到 5" in Task(SPEC).prompt("x", language="zh")
    assert "from" not in Task(TaskSpec("regression")).prompt("x")
