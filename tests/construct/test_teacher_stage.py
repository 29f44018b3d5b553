"""A teacher as a labeller: from a spec to votes, each prompt weighed for itself, every kind of target."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upstream import Answering, answering, completion

from burnish.construct.aggregate import aggregate
from burnish.construct.forms import FORMS
from burnish.construct.labellers.teacher import teacher
from burnish.construct.teachers.answers import kind_of
from burnish.construct.teachers.prompts import load_prompt, shipped
from burnish.core.artifacts import Gold, Records, Votes
from burnish.core.errors import SpecError
from burnish.core.pipeline import plan, run
from burnish.core.records import Record, Reject
from burnish.core.spec import load
from burnish.core.stage import _STAGES, Context, Stage, TaskSpec
from burnish.core.tasktypes import open_task
from burnish.costs import estimate, table


def asked_about(body: dict[str, Any]) -> str:
    """The text that a shipped prompt asks about."""
    said = body["messages"][-1]["content"]
    for head in ("Text:\n", "文本：\n"):
        if head in said:
            return str(said.split(head)[1].split("\n")[0])
    return str(said)


def moods(body: dict[str, Any], number: int) -> str:
    text = asked_about(body)
    return json.dumps({"label": "Positive" if "good" in text or "好" in text else "NEGATIVE"})


def by_row(votes: Votes) -> dict[tuple[str, int], list[tuple[str | None, float]]]:
    found: dict[tuple[str, int], list[tuple[str | None, float]]] = {}
    for one in votes.table.to_pylist():
        found.setdefault((one["labeller"], one["row"]), []).append((one["label"], round(one["confidence"], 4)))
    return found


def test_it_votes_on_records_and_gold_in_their_language(
    context: Context, records_of: Callable[..., Records], gold_of: Callable[..., Gold]
) -> None:
    with answering(moods) as server:
        votes = teacher(
            records_of("a good one", "it broke", "很好"),
            gold_of([("good", "positive")]),
            context,
            base_url=server.url,
            model="m",
        )
    assert by_row(votes) == {
        ("teacher:m", row): [(label, 1.0)]
        for row, label in ((0, "positive"), (1, "negative"), (2, "positive"), (-1, "positive"))
    }
    said = ["文本：" in body["messages"][-1]["content"] for body in server.asked]
    assert sorted(said) == [False, False, False, True]
    assert votes.labellers[0].about == "m, prompt label version 1: votes on 4"
    assert server.asked[0]["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"] == [
        "negative",
        "positive",
        "unknown",
    ]


def test_every_prompt_is_a_labeller_whose_accuracy_is_estimated(
    context: Context, records_of: Callable[..., Records], gold_of: Callable[..., Gold]
) -> None:
    """The prompt that asks for a reason is always wrong here: gold finds it out."""

    def answer(body: dict[str, Any], number: int) -> str:
        right = json.loads(moods(body, number))["label"].lower()
        wrong = {"positive": "negative", "negative": "positive"}[right]
        return json.dumps({"reason": "", "label": wrong if "reason" in body["messages"][-1]["content"] else right})

    context = replace(context, task=replace(context.task, languages=("en",)))
    records = records_of(*[f"good {i}" if i % 2 else f"bad {i}" for i in range(40)])
    gold = gold_of([(f"good thing {i}", "positive") if i % 2 else (f"bad thing {i}", "negative") for i in range(20)])
    with answering(answer) as server:
        votes = teacher(records, gold, context, base_url=server.url, model="m", prompt=["auto", "label_reason"])
    made = aggregate(records, [votes], gold, context)
    accuracy = {one["name"]: one["accuracy"] for one in made.facts["labellers"]}
    assert accuracy["teacher:m/label"] > 0.8 > 0.2 > accuracy["teacher:m/label_reason"]
    labels = [record.label for record in made]
    assert labels == ["positive" if i % 2 else "negative" for i in range(40)]


def test_samples_agree_or_do_not(context: Context, records_of: Callable[..., Records]) -> None:
    def answer(body: dict[str, Any], number: int) -> str:
        return json.dumps({"label": "negative" if body["seed"] == 1 else "positive"})

    with answering(answer) as server:
        votes = teacher(records_of("x"), None, context, base_url=server.url, model="m", samples=3, temperature=1.0)
    assert by_row(votes) == {("teacher:m", 0): [("positive", 0.6667)]}
    assert len(server.asked) == 3


def test_sure_as_the_server_says(context: Context, records_of: Callable[..., Records]) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        whole = json.loads(completion('{"label": "positive"}'))
        whole["choices"][0]["logprobs"] = {
            "content": [
                {"token": '{"label": "', "logprob": -9.0},
                {"token": "positive", "logprob": math.log(0.7)},
                {"token": '"}', "logprob": -1.0},
            ]
        }
        return 200, whole, {}

    with answering(answer) as server:
        votes = teacher(records_of("x"), None, context, base_url=server.url, model="m")
    assert by_row(votes) == {("teacher:m", 0): [("positive", 0.7)]}


def test_not_to_know_abstains_and_what_cannot_be_used_is_in_a_file(
    context: Context, records_of: Callable[..., Records], tmp_path: Path
) -> None:
    answers = {"a": '{"label": "unknown"}', "b": "who knows what that may be", "c": "positive"}
    with answering(lambda body, number: answers[asked_about({"messages": body["messages"][:2]})]) as server:
        votes = teacher(records_of("a", "b", "c"), None, context, base_url=server.url, model="m")
    assert by_row(votes) == {("teacher:m", 2): [("positive", 1.0)]}
    folder = tmp_path / "out"
    folder.mkdir()
    votes.save(folder)
    [line] = (folder / "teacher-m.failures.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["came"] == "who knows what that may be"
    facts = json.loads((folder / "teacher-m.json").read_text("utf-8"))
    assert (facts["questions"], facts["failures"], facts["asked_again"]) == (3, 1, 1)


def test_a_budget_buys_gold_first_and_then_a_fair_sample(
    context: Context, records_of: Callable[..., Records], gold_of: Callable[..., Gold]
) -> None:
    records, gold = records_of(*[f"good {i}" for i in range(100)]), gold_of([("good", "positive"), ("bad", "negative")])
    with answering(moods) as server:
        votes = teacher(records, gold, context, base_url=server.url, model="m", max_requests=22)
    rows = sorted(votes.table["row"].to_pylist())
    assert rows[:2] == [-2, -1] and len(rows) == 22
    assert max(rows) > 50  # not the first ones of the file


def test_several_labels_are_votes_for_and_against(
    tmp_path: Path, context: Context, records_of: Callable[..., Records]
) -> None:
    task = TaskSpec(labels=("food", "price", "staff"), options={"multi_label": True})
    with answering(lambda body, number: '{"labels": ["Food", "staff"]}') as server:
        votes = teacher(records_of("x"), None, replace(context, task=task), base_url=server.url, model="m")
    assert by_row(votes) == {("teacher:m", 0): [("food", 1.0), ("price", 0.0), ("staff", 1.0)]}


def test_an_own_prompt_stands_beside_the_spec(
    context: Context, records_of: Callable[..., Records], tmp_path: Path
) -> None:
    (tmp_path / "mine.md").write_text('Say {"label": ...} of: {text}', encoding="utf-8")
    with answering(lambda body, number: "positive") as server:
        teacher(records_of("x"), None, context, base_url=server.url, model="m", prompt="mine.md")
    assert server.asked[0]["messages"] == [{"role": "user", "content": 'Say {"label": ...} of: x'}]


TASKS = {
    "label": ({"type": "classification", "labels": ("a", "b")}, Record(text="x"), '{"label": "a"}', {"label": "a"}),
    "labels": (
        {"type": "classification", "labels": ("a", "b"), "options": {"multi_label": True}},
        Record(text="x"), '{"labels": ["b"]}', {"labels": ["b"]},
    ),
    "spans": (
        {"type": "tagging", "labels": ("PER",)}, Record(text="Ann left"), '```json\n[{"text": "ann", "label": "per"}]\n```',
        {"spans": [{"start": 0, "end": 3, "label": "PER", "text": "Ann"}]},
    ),
    "relations": (
        {"type": "relation_extraction", "labels": ("works_for",)},
        Record(text="Ann, Acme", spans=[{"start": 0, "end": 3, "label": "P"}, {"start": 5, "end": 9, "label": "O"}]),
        '{"relations": [{"head": "Ann", "relation": "works for", "tail": "Acme"}]}',
        {"relations": [{"head": 0, "tail": 1, "label": "works_for"}]},
    ),
    "answer": (
        {"type": "question_answering", "languages": ("zh",)}, Record(text="谁？", text_b="是ＡＢ公司。"), '{"answer": "AB公司"}',
        {"text": "ＡＢ公司", "start": 1, "end": 5},
    ),
    "output": (
        {"type": "summarization", "languages": ("en",)}, Record(text="long"), "<think>hm</think> short ", {"text": "short"},
    ),
    "value": ({"type": "regression"}, Record(text="x"), '{"value": "3.5"}', {"value": 3.5}),
}  # fmt: skip


@pytest.mark.parametrize("column", TASKS)
def test_every_kind_of_target_has_a_prompt_and_reads_its_answer(column: str) -> None:
    from burnish.construct.labellers.teacher import _values
    from burnish.construct.teachers.reading import without_thoughts

    section, record, answer, wanted = TASKS[column]
    spec = TaskSpec(**section)
    task = open_task(spec)
    assert task.voted == column
    for language in ("en", "zh"):
        prompt = load_prompt(column, language=language)
        assert prompt.language == language and prompt.version == "1"
        messages = prompt.messages(**_values(record.row(), prompt, task, spec, language))
        said = "\n".join(turn["content"] for turn in messages)
        assert (record.text or "") in said and "{text}" not in said
        assert all(label in said for label in spec.labels)
    read = kind_of(column, task, spec).read(without_thoughts(answer), record.row())
    assert read is not None and {name: read[name] for name in wanted} == wanted
    if column in FORMS:
        from burnish.construct.forms import form_of

        assert form_of(spec).said(read, record.row(), spec)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(TASKS)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["label", "labels", "spans", "text", "head", "tail", "relation", "answer", "value"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=10,
    )
    | st.text(max_size=40),
)
def test_whatever_comes_is_read_or_refused_in_words(column: str, said: object) -> None:
    section, record, _, _ = TASKS[column]
    spec = TaskSpec(**section)
    text = said if isinstance(said, str) else json.dumps(said)
    try:
        kind_of(column, open_task(spec), spec).read(text, record.row())
    except ValueError as error:
        assert str(error)


def test_a_prompt_that_asks_for_a_reason_gets_one_in_the_form(tmp_path: Path) -> None:
    spec = TaskSpec(labels=("a", "b"))
    schema = kind_of("label", open_task(spec), spec).schema
    assert load_prompt("label").form(schema) == schema
    form = load_prompt("label_reason").form(schema)
    assert form and list(form["properties"]) == form["required"] == ["reason", "label"]
    spans = kind_of(
        "spans", open_task(TaskSpec(type="tagging", labels=("A",))), TaskSpec(type="tagging", labels=("A",))
    ).schema
    assert load_prompt("spans").form(spans) == spans


def test_a_question_without_an_answer_in_the_text() -> None:
    spec = TaskSpec(type="question_answering")
    kind = kind_of("answer", open_task(spec), spec)
    row = Record(text="who?", text_b="nobody said").row()
    for said in ('{"answer": null}', "none", '{"answer": ""}'):
        assert kind.read(said, row) == {"text": "", "start": None, "end": None}
    with pytest.raises(ValueError, match="does not stand in the text"):
        kind.read('{"answer": "Ann"}', row)


def test_prompts_are_shipped_in_both_languages() -> None:
    for name in shipped():
        english, chinese = load_prompt(name, language="en"), load_prompt(name, language="zh")
        assert (english.language, chinese.language) == ("en", "zh")
        assert english.places == chinese.places
        assert english.version and english.version == chinese.version


# -- by the spec

SPEC = """
burnish: 1
name: t
task: {{type: classification, labels: [negative, positive]}}
sources: {{use: jsonl, path: raw.jsonl}}
construct:
  - {{use: teacher, base_url: "{url}", model: m, {more}}}
store: {{path: {store}}}
"""


def spec_of(folder: Path, url: str, more: str = "temperature: 0", count: int = 20) -> Path:
    rows = [{"text": f"thing {i} is {'good' if i % 3 else 'bad'}"} for i in range(count)]
    (folder / "raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = folder / "burnish.yaml"
    path.write_text(SPEC.format(url=url, more=more, store=folder / "runs"), encoding="utf-8")
    return path


def rerun(server: Answering, spec: Path) -> int:
    """How many requests a run sends."""
    before = len(server.asked)
    run(load(spec), to="construct")
    return len(server.asked) - before


def test_from_a_spec_to_labels_and_only_what_is_new_is_asked(tmp_path: Path) -> None:
    with answering(moods) as server:
        assert rerun(server, spec_of(tmp_path, server.url)) == 20
        made = Records.from_parquet(tmp_path / "runs" / "t" / "construct" / "records.parquet")
        assert [record.label for record in made] == ["positive" if i % 3 else "negative" for i in range(20)]
        keys = [step.key for step in plan(load(tmp_path / "burnish.yaml"))]
        assert rerun(server, spec_of(tmp_path, server.url, "temperature: 0, timeout: 7, concurrency: 2")) == 0
        assert [step.key for step in plan(load(tmp_path / "burnish.yaml"))] == keys  # the pace is in no key
        assert rerun(server, spec_of(tmp_path, server.url, count=25)) == 5
        assert rerun(server, spec_of(tmp_path, server.url, "prompt: label_reason")) == 20
        assert (tmp_path / "runs" / "t" / "construct" / "teacher-m.failures.jsonl").exists()


def test_a_changed_prompt_file_is_a_new_step(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "http://127.0.0.1:9/v1", "prompt: mine.md")
    keys = []
    for text in ("one {text}", "two {text}"):
        (tmp_path / "mine.md").write_text(text, encoding="utf-8")
        keys.append(plan(load(spec))[-1].key)
    assert keys[0] != keys[1]


def test_the_plan_says_what_it_costs_before_it_is_spent(tmp_path: Path) -> None:
    priced = "price_in: 10, price_out: 40, prompt: [auto, label_reason]"
    costs = estimate(load(spec_of(tmp_path, "http://127.0.0.1:9/v1", priced)))
    [ours] = [cost for cost in costs if cost.step == "construct.teacher"]
    assert "40 requests to m" in ours.basis
    # about 110 tokens are read and 12 written for each: 40 * (110 * 10 + 12 * 40) / 1e6
    assert 0.03 < ours.money < 0.1
    assert ours.seconds is not None and ours.tokens is not None and 2000 < ours.tokens < 12000
    assert "of money" in table(costs)
    [capped] = [
        cost
        for cost in estimate(load(spec_of(tmp_path, "http://127.0.0.1:9/v1", priced + ", max_cost: 0.01")))
        if cost.step == "construct.teacher"
    ]
    assert capped.money <= 0.01 and "the budget ends there, 40 are wanted" in capped.basis


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("prompt: nosuch", "there is no prompt 'nosuch'"),
        ("prompt: lable", "did you mean 'label'"),
        ("prompt: mine.md", "has a placeholder {txet} that nobody fills"),
        ("prompt: other.md", "there is no file other.md"),
        ("samples: 3", "at temperature 0 every sample is the same"),
        ("prompt: [auto, label]", "two prompts are called 'label'"),
        ("api_key_env: sk-abc-123", "api_key_env is no name of an environment variable"),
    ],
)
def test_mistakes_are_found_before_anything_is_asked(tmp_path: Path, more: str, said: str) -> None:
    (tmp_path / "mine.md").write_text("{text} {txet}", encoding="utf-8")
    with pytest.raises(SpecError) as refused:
        load(spec_of(tmp_path, "http://127.0.0.1:9/v1", more))
    assert said in str(refused.value) and "sk-abc" not in str(refused.value)


def test_a_price_is_needed_where_a_budget_is_to_hold(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="max_cost cannot hold without the prices of m"):
        load(spec_of(tmp_path, "https://example.org/v1", "max_cost: 1.0"))


def test_what_a_maker_refuses_does_not_hide_what_the_sources_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(records: Records) -> Records:
        """Pass records on, refuse one thing."""
        return Records.stream([*records.batches(), Reject("construct.refusing", None, "no usable answer: none", "x")])

    monkeypatch.setitem(_STAGES, ("construct", "refusing"), Stage("construct", "refusing", 1, refusing))
    (tmp_path / "raw.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n{"text": 3}\n')
    (tmp_path / "burnish.yaml").write_text(
        f"burnish: 1\nname: t\ntask: {{type: classification, labels: [x, y]}}\nsources: {{use: jsonl, path: raw.jsonl}}\n"
        f"construct: [refusing]\nstore: {{path: {tmp_path / 'runs'}}}\n"
    )
    folder = run(load(tmp_path / "burnish.yaml"), to="construct")
    assert "wrong type" in (folder / "quarantine.jsonl").read_text("utf-8")
    assert "no usable answer" in (folder / "construct" / "refusing.quarantine.jsonl").read_text("utf-8")
