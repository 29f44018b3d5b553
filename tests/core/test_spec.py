"""A spec is read with all its mistakes at once, and every default can be written out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from burnish.core.errors import SpecError, UsageError
from burnish.core.pipeline import plan
from burnish.core.spec import dump, fill, load

GOOD = """\
burnish: 1
name: reviews
task: {type: classification, labels: [negative, positive]}
sources:
  - {use: jsonl, path: raw.jsonl}
construct:
  - {use: keywords, label: positive, words: [great]}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "burnish.yaml"
    path.write_text(text, encoding="utf-8")
    (folder / "raw.jsonl").write_text('{"text": "great"}\n', encoding="utf-8")
    return path


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
burnish: 1
name: a/b
task:
  type: classification
  labels: [negative, positive]
  langages: [en]
sources:
  - {use: jsonl, pth: raw.jsonl}
  - {use: jsnl, path: raw.jsonl}
construct:
  - use: aggregate
    method: magic
qualty: []
seed: many
""",
    )
    with pytest.raises(SpecError) as caught:
        load(path)
    told = str(caught.value)
    assert "burnish.yaml:2: name 'a/b'" in told
    assert "burnish.yaml:6: classification has no setting 'langages' (did you mean 'languages'?)" in told
    assert "burnish.yaml:8: sources.jsonl has no setting 'pth' (did you mean 'path'?)" in told
    assert "burnish.yaml:8: sources.jsonl needs 'path'" in told
    assert "burnish.yaml:9: no stage sources.jsnl (did you mean 'jsonl'?)" in told
    assert "burnish.yaml:12: construct.aggregate.method: input should be" in told
    assert "burnish.yaml:13: unknown section 'qualty' (did you mean 'quality'?)" in told
    assert "burnish.yaml:14: seed must be a whole number" in told
    assert caught.value.exit_code == 2


def test_labels_that_yaml_reads_as_booleans_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("[negative, positive]", "[no, yes]"))
    with pytest.raises(SpecError, match="put it in quotes"):
        load(path)


def test_a_key_written_twice_is_a_mistake(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "name: again\n")
    with pytest.raises(SpecError, match="'name' is written twice"):
        load(path)


def test_broken_yaml_names_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "burnish: 1\ntask: [unclosed\n")
    with pytest.raises(SpecError, match=r"burnish\.yaml:[23]: not YAML"):
        load(path)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(8)
    )
    with pytest.raises(SpecError, match="too many nodes"):
        load(written(tmp_path, bomb))


def test_yaml_cannot_make_python_objects(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "store: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(SpecError, match="not YAML"):
        load(path)


def test_a_missing_spec_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no spec") as caught:
        load(tmp_path / "nope.yaml")
    assert "burnish init" in str(caught.value)


def test_filled_spec_reads_back_to_the_same_keys(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    before = [planned.key for planned in plan(load(path))]
    text = dump(fill(load(path)))
    path.write_text(text, encoding="utf-8")
    assert [planned.key for planned in plan(load(path))] == before
    assert dump(fill(load(path))) == text


def test_closing_stages_are_added_where_they_belong(tmp_path: Path) -> None:
    steps = [step.address for step in load(written(tmp_path, GOOD)).steps]
    assert steps == ["sources.jsonl", "sources.collect", "construct.keywords", "construct.aggregate"]


def test_a_step_that_finds_nothing_to_take_says_what_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "train: {use: tune}\n")
    with pytest.raises(SpecError, match=r"burnish\.yaml:8: train\.tune needs Split.*add a `split` section"):
        load(path)


def test_overrides_speak_with_the_same_voice(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    spec = load(path, overrides=["construct.keywords.words=[good, 好]", "seed=3", "name=other"])
    assert (spec.seed, spec.name) == (3, "other")
    assert next(s for s in spec.steps if s.use == "keywords").settings["words"] == ["good", "好"]
    with pytest.raises(SpecError, match=r"has no setting 'wrds' \(did you mean 'words'\?\)"):
        load(path, overrides=["construct.keywords.wrds=[a]"])
    with pytest.raises(UsageError, match=r"the spec has no construct\.regex"):
        load(path, overrides=["construct.regex.label=a"])


def test_names_from_other_tools_are_understood(tmp_path: Path) -> None:
    text = GOOD + "split: {use: stratified}\ntrain: {use: tune, num_train_epochs: 2}\n"
    spec = load(written(tmp_path, text))
    assert next(s for s in spec.steps if s.use == "tune").settings == {"epochs": 2}
    with pytest.raises(SpecError, match="another name of 'epochs'"):
        load(written(tmp_path, text.replace("num_train_epochs: 2", "num_train_epochs: 2, epochs: 3")))


def test_descriptions_of_labels_are_kept(tmp_path: Path) -> None:
    text = GOOD.replace("[negative, positive]", "[{negative: 'a complaint'}, positive]")
    task = load(written(tmp_path, text)).task
    assert task.labels == ("negative", "positive")
    assert task.descriptions == {"negative": "a complaint"}
    assert yaml.safe_load(dump(fill(load(tmp_path / "burnish.yaml"))))["task"]["labels"] == [
        {"negative": "a complaint"},
        "positive",
    ]


def test_rules_that_cannot_work_are_found_before_anything_runs(tmp_path: Path) -> None:
    rules = "  - {use: keywords, label: positve, words: [a]}\n  - {use: regex, label: negative, pattern: '(broken'}\n"
    with pytest.raises(SpecError) as caught:
        load(written(tmp_path, GOOD + rules))
    told = str(caught.value)
    assert (
        "burnish.yaml:8: construct.keywords.label: the task has no label 'positve' (did you mean 'positive'?)" in told
    )
    assert "burnish.yaml:9: construct.regex.pattern" in told


def test_an_override_by_another_name_replaces_ours(tmp_path: Path) -> None:
    text = GOOD + "split: {use: stratified}\ntrain: {use: tune, epochs: 5}\n"
    spec = load(written(tmp_path, text), overrides=["train.tune.num_train_epochs=2"])
    assert next(s for s in spec.steps if s.use == "tune").settings == {"epochs": 2}
