"""A setting that names parts: what a spec may write, what is wrong with it, and what goes into the key."""

from __future__ import annotations

import jsonschema
import pytest

from burnish.core.stage import find
from burnish.nn.strategies.base import Full, strategies

TUNE = find("train", "tune").settings


def test_the_shortest_writing_is_the_key() -> None:
    setting = TUNE["strategy"]
    written = ["full", {"use": "full"}, ["full"], [{"use": "full"}]]
    assert {repr(setting.check(one)) for one in written} == {"('full', '')"}


def test_a_list_keeps_its_order_and_nothing_is_nothing() -> None:
    setting = TUNE["regularise"]
    assert setting.check([]) == ([], "")
    assert strategies.open(["full", "full"]) == [Full(), Full()]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("fulll", "did you mean 'full'"),
        ({"use": "full", "rank": 3}, "full has no setting 'rank'"),
        ({"rank": 3}, "a strategy is a name or {use: NAME, ...}"),
        (3, "a strategy is a name or {use: NAME, ...}"),
    ],
)
def test_mistakes_name_the_nearest(value: object, said: str) -> None:
    made, problem = TUNE["strategy"].check(value)
    assert made is None and said in problem


def test_only_one_loss() -> None:
    assert "one loss is wanted" in TUNE["loss"].check(["cross_entropy", "cross_entropy"])[1]


@pytest.mark.parametrize("name", ["strategy", "regularise", "loss"])
def test_every_part_is_described_and_its_schema_takes_its_name(name: str) -> None:
    family = next(one for one in TUNE[name].annotation.__metadata__)
    schema = TUNE[name].schema()
    for part, made in family.parts().items():
        jsonschema.validate(part, schema)
        jsonschema.validate({"use": part}, schema) if not any(
            s.required for s in family.settings(part).values()
        ) else None
        assert (made.__doc__ or "").strip(), f"{part} says nothing about itself"
        assert all(setting.about for setting in family.settings(part).values()), f"{part}: a setting without a word"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate("no such part", schema)
