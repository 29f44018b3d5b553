"""Labellers out of the user's own code, fields and models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.construct.labellers.functions import functions
from burnish.construct.labellers.known import existing, model
from burnish.core.artifacts import Gold, Records
from burnish.core.errors import BurnishError
from burnish.core.stage import Context

from .conftest import by_row


def rules(tmp_path: Path, code: str) -> Path:
    path = tmp_path / "rules.py"
    path.write_text(code, "utf-8")
    return path


def test_every_public_function_votes(records_of: Callable[..., Records], context: Context, tmp_path: Path) -> None:
    code = '''
from os.path import join

def _helper(text): return "退" in text

def refund(record):
    """Money back."""
    return "negative" if _helper(record.text) else None

def praise(record):
    return ("positive", 0.7) if record.meta.get("stars", 0) > 4 else None
'''
    records = records_of("要退款", "fine", meta=[{}, {"stars": 5}])
    votes = functions(records, None, context, path=rules(tmp_path, code))
    assert [(one.name, one.about) for one in votes.labellers] == [
        ("functions:refund", "Money back."),
        ("functions:praise", ""),
    ]
    assert by_row(votes) == {0: "negative", 1: "positive"}
    assert votes.table["confidence"].to_pylist() == pytest.approx([1.0, 0.7])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "def boom(record):\n    x = 1\n    return record.nothing\n",
            r"rules.py:3: boom failed on record 0: AttributeError",
        ),
        (
            "def typo(record):\n    return 'positve'\n",
            r"typo returned 'positve' for record 0\n.*'positve' is not a label.*did you mean 'positive'",
        ),
        ("def odd(record):\n    return 3\n", r"odd returned 3 for record 0"),
        ("def two(record, other):\n    return None\n", r"rules.py:1: two must take one record, it takes 2"),
        ("x = 1\n", r"no public function in it"),
        ("def broken(record)\n", r"rules.py:1: cannot be read: SyntaxError"),
    ],
)
def test_what_is_wrong_with_rules_is_said_with_its_place(
    code: str, said: str, records_of: Callable[..., Records], context: Context, tmp_path: Path
) -> None:
    with pytest.raises(BurnishError, match=said):
        functions(records_of("x"), None, context, path=rules(tmp_path, code))


def test_a_field_votes_through_its_mapping(records_of: Callable[..., Records], context: Context) -> None:
    records = records_of("a", "b", "c", "d", meta=[{"stars": 5}, {"stars": 1.0}, {"stars": 3}, {}])
    votes = existing(records, None, context, field="meta.stars", mapping={5: "positive", 1: "negative"}, trust=0.8)
    assert by_row(votes) == {0: "positive", 1: "negative"}
    assert votes.labellers[0].trust == 0.8


def test_a_checked_label_is_not_its_own_witness(
    records_of: Callable[..., Records], gold_of: Callable[..., Gold], context: Context
) -> None:
    votes = existing(records_of("a", label=["positive"]), gold_of([("g", "negative")]), context)
    assert by_row(votes) == {0: "positive"}


def test_values_that_are_no_labels_are_named(records_of: Callable[..., Records], context: Context) -> None:
    with pytest.raises(BurnishError, match=r"no value of 'meta.stars' is a label; the commonest are '5'"):
        existing(records_of("a", meta=[{"stars": 5}]), None, context, field="meta.stars")
    with pytest.raises(BurnishError, match=r"records have no field 'lable'.*\n.*did you mean 'label'"):
        existing(records_of("a"), None, context, field="lable")


class _Stands:
    """What a loaded model looks like from here."""

    def predict(self, texts: list[str]) -> list[dict[str, object]]:
        return [
            {"label": "pos" if "good" in text else "neg", "score": 0.9 if text else 0.3, "scores": {}} for text in texts
        ]


def test_a_model_votes_where_it_is_sure(
    records_of: Callable[..., Records], context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from burnish.tasks import predictor

    monkeypatch.setattr(predictor, "load", lambda path: _Stands())
    records = records_of("good", "bad", "")
    votes = model(records, None, context, path=tmp_path, mapping={"pos": "positive", "neg": "negative"})
    assert by_row(votes) == {0: "positive", 1: "negative"}
    with pytest.raises(BurnishError, match="'pos' is not a label of the task"):
        model(records, None, context, path=tmp_path)
