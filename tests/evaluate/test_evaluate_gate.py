"""evaluate.gate: holds or refuses, naming value, interval and limit."""

import pytest

from burnish.core.artifacts import Report
from burnish.core.errors import BurnishError, GateError
from burnish.evaluate.gate import gate
from burnish.testing import check_stage

NUMBERS = {
    "n": 400, "figure": "accuracy", "figures": ["accuracy", "macro_f1", "micro_f1"], "accuracy": 0.9, "macro_f1": 0.86, "micro_f1": 0.9, "ece": 0.04, "confusion": [[1]],
    "intervals": {"accuracy": [0.87, 0.93], "macro_f1": [0.82, 0.89], "micro_f1": [0.87, 0.93], "ece": [0.03, 0.06]},
    "per_class": {
        "a": {"f1": 0.95, "support": 350, "f1_interval": [0.93, 0.97]},
        "b": {"f1": 0.77, "support": 50, "f1_interval": [0.68, 0.85]},
        "c": {"f1": 0.0, "support": 0},
    },
    "judged_by": {"checked": False, "about": "the test side of the split"},
}  # fmt: skip


def held(**limits):
    return gate([Report({"findings": []}), Report(NUMBERS)], **limits)


def test_holds_at_the_limit_itself():
    made = held(accuracy=0.9, macro_f1=0.86, ece_max=0.04, n_min=400)
    assert made.numbers["headline"] == {"held": 4} and all(row["holds"] for row in made.numbers["gate"])


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"accuracy": 0.91}, "accuracy is 0.900 (95% interval 0.870 to 0.930): it must be at least 0.910"),
        ({"ece_max": 0.03}, "ece is 0.040 (95% interval 0.030 to 0.060): it must be at most 0.030"),
        ({"accuracy": 0.88, "sure": True}, "it must be at least 0.880, interval included"),
        ({"ece_max": 0.05, "sure": True}, "it must be at most 0.050, interval included"),
        ({"worst_class_f1": 0.8}, "F1 of 'b' is 0.770 (95% interval 0.680 to 0.850): it must be at least 0.800"),
        ({"n_min": 1000}, "n is 400: it must be at least 1,000"),
        ({"checked": True}, "checked by nobody: the test side of the split"),
    ],
)
def test_refuses_and_names_value_interval_and_limit(limits, said):
    with pytest.raises(GateError) as caught:
        held(**limits)
    assert said in str(caught.value)
    assert caught.value.exit_code == 3


def test_says_everything_that_does_not_hold_at_once():
    with pytest.raises(GateError) as caught:
        held(accuracy=0.95, macro_f1=0.95)
    assert "accuracy is" in str(caught.value) and "macro_f1 is" in str(caught.value)


def test_a_class_that_the_test_set_lacks_does_not_count():
    assert held(worst_class_f1=0.77).numbers["gate"][0]["figure"] == "F1 of 'b'"


def test_a_gate_without_a_limit_or_without_an_evaluation_is_a_mistake():
    with pytest.raises(BurnishError, match="no limit to hold"):
        held()
    with pytest.raises(BurnishError, match="finds no evaluation"):
        gate([Report({"findings": []})], accuracy=0.5)


def test_keeps_the_contract_of_stages():
    assert check_stage("evaluate.gate", {"accuracy": 0.5}, {"Report": Report(NUMBERS)}) >= 7
