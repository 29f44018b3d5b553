"""What a model that writes gives away of planted secrets: formulas by hand, and a run from file to exposure."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from burnish.core.errors import GateError
from burnish.measures.exposure import by_distribution, by_rank


def test_exposure_by_hand():
    others = list(range(10, 10 + 127))
    assert by_rank(1, others) == 7.0 and by_rank(1000, others) == 0.0
    assert by_rank(72.5, others) == pytest.approx(7 - np.log2(64))
    assert by_rank(5, [5, 5]) == pytest.approx(np.log2(3) - 1)


def test_the_fitted_distribution_reaches_further_than_the_sample():
    draw = np.random.default_rng(0).normal(50, 3, 255)
    assert by_distribution(20, draw, space=26.6) > 20 > by_distribution(50, draw, space=26.6)
    assert by_distribution(-500, draw, space=26.6) == 26.6


@pytest.mark.slow
def test_a_secret_that_was_repeated_is_exposed_more_than_one_never_learnt(tmp_path: Path, monkeypatch):
    from typer.testing import CliRunner

    from burnish.cli import app

    draw = random.Random(0)
    words = ["abc", "bcd", "cab", "dab"]
    with (tmp_path / "pairs.jsonl").open("w") as file:
        for number in range(40):
            line = " ".join(draw.choices(words, k=2))
            file.write(
                json.dumps({"id": str(number), "source": line, "target": line.upper(), "group": f"g{number}"}) + "\n"
            )
    (tmp_path / "burnish.yaml").write_text(
        "burnish: 1\nname: x\n"
        "task: {type: translation, languages: [en], hidden: 64, layers: 1, vocabulary: 300, max_new_tokens: 24}\n"
        "sources: [{use: jsonl, path: pairs.jsonl}]\n"
        "quality: [{use: canaries, count: 2, copies: [1, 24]}]\n"
        "split: {use: stratified, test: 0.1, validation: 0.1}\n"
        "train: {use: tune, epochs: 25, precision: fp32, learning_rate: 0.005, patience: 0}\n"
        "evaluate: [{use: exposure, candidates: 63}, {use: gate, exposure: 1.0}]\n"
    )
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run"])
    told = json.loads((tmp_path / "runs/x/evaluation/exposure.json").read_text())
    learnt = [one["exposure"] for one in told["secrets"] if one["copies"] == 24 and one["learnt"]]
    assert learnt and max(learnt) > 4, done.output + json.dumps(told["secrets"])
    assert isinstance(done.exception, GateError) and "exposure is" in str(done.exception)
