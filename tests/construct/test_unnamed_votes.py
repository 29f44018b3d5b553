"""Votes without a label: that a place holds no name (O), or one whose type nobody knows (?)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from burnish.construct.aggregate import aggregate
from burnish.construct.labellers.functions import functions
from burnish.construct.labellers.known import existing
from burnish.construct.labellers.words import keywords
from burnish.construct.spans.neighbours import repeated
from burnish.construct.spans.plain_words import capitals, common_words
from burnish.core.artifacts import Gold, Records, Votes
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec

Place = tuple[int, int, str]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(
        TaskSpec("tagging", ("PER", "LOC"), languages=("en", "zh")), 0, tmp_path, tmp_path, tmp_path, Silent()
    )


def marked(text: str, *names: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"start": text.index(name), "end": text.index(name) + len(name), "label": label} for name, label in names]


def given(*rows: tuple[str, list[tuple[str, str]]]) -> Records:
    return Records.from_rows(
        [Record(text=text, id=str(at), spans=marked(text, *names)) for at, (text, names) in enumerate(rows)]
    )


def made_of(records: Records, votes: list[Votes], context: Context, gold: Gold | None = None, **more: Any) -> Records:
    folder = context.base / f"made{len(list(context.base.glob('made*')))}"
    folder.mkdir()
    made = aggregate(records, votes, gold, context, **more)
    made.save(folder)
    again = Records.open(folder)
    again.facts = made.facts
    return again


def names_of(records: Records) -> list[list[tuple[str, str]] | None]:
    return [
        None if spans is None else [(text[one["start"] : one["end"]], one["label"]) for one in spans]
        for text, spans in zip(records.column("text"), records.column("spans"), strict=True)
    ]


def said(votes: Votes, records: Records) -> list[tuple[int, str, str]]:
    texts = records.column("text")
    return [(one["row"], texts[one["row"]][one["start"] : one["end"]], one["label"]) for one in votes.table.to_pylist()]


@pytest.mark.parametrize("method", ["majority", "weighted", "hmm"])
def test_what_is_denied_is_set_aside_and_cut_at_the_edges(context: Context, method: str) -> None:
    records = given(
        ("In June Ann left", [("June", "PER"), ("Ann", "PER")]),
        ("On June Smith spoke", [("June Smith", "PER")]),
        ("June was hot", [("June", "PER")]),
    )
    votes = [existing(records, None, context), keywords(records, None, context, label="O", words=["June"], case=True)]
    made = made_of(records, votes, context, method=method)
    assert names_of(made) == [[("Ann", "PER")], [("Smith", "PER")], []]
    assert made.facts["set_aside"] == 3
    assert any("3 votes are set aside or cut" in line for line in made.facts["story"])
    assert not any("never vote" in line for line in made.facts["story"])


def test_who_denies_what_gold_names_is_not_heeded(context: Context) -> None:
    records = given(("Rome is big", [("Rome", "LOC")]))
    gold = Gold.from_rows(
        [Record(text=f"Rome {at}", id=f"g{at}", spans=marked("Rome", ("Rome", "LOC"))) for at in range(12)]
    )
    votes = [
        existing(records, gold, context),
        keywords(records, gold, context, label="O", words=["Rome"], name="wrong"),
    ]
    made = made_of(records, votes, context, gold)
    assert names_of(made) == [[("Rome", "LOC")]]
    assert made.facts["unheeded"] == ["wrong"] and made.facts["set_aside"] == 0
    assert made.facts["labellers"][1]["denied_right"] == 0


def test_a_character_between_two_denied_places_is_not_denied(context: Context) -> None:
    records = given(("五月在六月", [("五月在六月", "LOC"), ("五月", "PER")]))
    votes = [existing(records, None, context), keywords(records, None, context, label="O", words=["五月", "六月"])]
    assert names_of(made_of(records, votes, context, method="majority")) == [[("在", "LOC")]]


def test_functions_may_deny(context: Context, tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(
        "def no_month(record):\n    return (0, 3, 'O') if record.text[:3] == 'May' else None\n"
    )
    records = given(("May came", [("May", "PER")]), ("Ann came", [("Ann", "PER")]))
    votes = [existing(records, None, context), functions(records, None, context, path=tmp_path / "rules.py")]
    assert names_of(made_of(records, votes, context, method="majority")) == [[], [("Ann", "PER")]]


def test_common_words_are_no_names_where_capitals_say_nothing(context: Context) -> None:
    records = given(
        ("Two men met two of the army of the east", []),
        ("the two said so to The Two Towers", [("The Two Towers", "LOC")]),
        ("Two of us saw the Rhine", [("Two", "PER"), ("the Rhine", "LOC")]),
        ('" The Rhine is long', [("The Rhine", "LOC")]),
        ("Moon rose", [("Moon", "PER")]),  # never seen small: nothing is said
    )
    votes = common_words(records, [existing(records, None, context)], None, context)
    assert said(votes, records) == [(2, "Two", "O"), (2, "the", "O"), (3, "The", "O")]
    strict = common_words(records, [existing(records, None, context)], None, context, least=3)
    assert said(strict, records) == [(2, "the", "O"), (3, "The", "O")]


def test_common_words_say_nothing_of_scripts_without_capitals(context: Context) -> None:
    records = given(("我在北京", [("北京", "LOC")]), ("北京很大", [("北京", "LOC")]))
    assert not said(common_words(records, [existing(records, None, context)], None, context), records)


def test_capitals_name_runs_without_a_type(context: Context) -> None:
    records = given(("He met John F. Smith, Ann and the BBC in St Ives 北京", []), ("A B C D E F G H I", []))
    assert said(capitals(records, None, context), records) == [
        (0, "He", "?"), (0, "John F. Smith", "?"), (0, "Ann", "?"), (0, "BBC", "?"), (0, "St Ives", "?"),
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["majority", "weighted", "hmm"])
def test_a_name_of_unknown_type_is_doubt_and_no_span(context: Context, method: str) -> None:
    records = given(("he saw Ann and Zork there", [("Ann", "PER")]), ("nobody", []))
    votes = [existing(records, None, context), capitals(records, None, context)]
    made = made_of(records, votes, context, method=method)
    assert names_of(made)[0] == [("Ann", "PER")]
    doubts = [one for one in made.column("votes")[0] if one["labeller"] == "doubt"]
    assert [(one["start"], one["end"], one["label"]) for one in doubts] == [(15, 19, "?")]
    assert all(one["label"] != "?" for one in made.column("votes")[0] if one["labeller"] != "doubt")


def test_doubt_of_unknown_type_is_kept_out_of_the_loss(context: Context) -> None:
    from burnish.core.tasktypes import open_task
    from burnish.nn import pieces
    from burnish.nn.examples import IGNORED

    records = given(("he saw Ann and Zork there", [("Ann", "PER")]))
    made = made_of(
        records, [existing(records, None, context), capitals(records, None, context)], context, method="majority"
    )
    tokenizer = pieces.learn(records.column("text") * 9, kind="wordpiece", vocabulary=200, architecture="encoder")
    task = open_task(context.task)
    tags = task.examples(made.table(), tokenizer, max_length=64).token_targets
    plain = task.examples(made.table(), tokenizer, max_length=64, soft=False).token_targets
    assert (tags == IGNORED).sum() > (plain == IGNORED).sum()
    assert (tags[tags != IGNORED] > 0).sum() == (plain > 0).sum() > 0


def test_the_hmm_learns_borders_from_capitals(context: Context) -> None:
    """The dictionary knows first names, gold says that whole names are wanted."""
    last = ["Adler", "Brown", "Clark", "Drake", "Evans", "Frost", "Grant", "Hayes"]
    texts = [f"today {first} {name} came" for name in last for first in ("Ann", "Bob")]
    records = Records.from_rows([Record(text=text, id=str(at)) for at, text in enumerate(texts)])
    gold = Gold.from_rows(
        [
            Record(
                text=text.replace("today", "so"),
                id=f"g{at}",
                spans=[{"start": 3, "end": len(text) - 8, "label": "PER"}],
            )
            for at, text in enumerate(texts)
        ]
    )
    firsts = keywords(records, gold, context, label="PER", words=["Ann", "Bob"])
    alone = made_of(records, [firsts], context, gold, method="hmm")
    assert names_of(alone)[0] == [("Ann", "PER")]
    both = made_of(records, [firsts, capitals(records, gold, context)], context, gold, method="hmm")
    assert names_of(both)[0] == [("Ann Adler", "PER")]


def test_what_has_no_label_is_not_repeated(context: Context) -> None:
    records = given(("he saw Zork", []), ("then Zork left", []))
    assert not said(repeated(records, [capitals(records, None, context)], None, context, within="all"), records)


def test_a_spec_denies_and_supposes_names(tmp_path: Path) -> None:
    """Through the command line, on texts whose given spans mark what begins a sentence, as distant labels do."""
    rows = [
        ("The Rhine is long", [("The Rhine", "LOC")]),
        ("Two of the men met Ann Zork in June", [("Two", "PER"), ("Ann", "PER"), ("June", "LOC")]),
        ("the two saw Bonn", []),
        ("two or more of them", []),
    ]
    given_rows = [{"text": text, "spans": marked(text, *names)} for text, names in rows]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given_rows), "utf-8")
    (tmp_path / "burnish.yaml").write_text(
        """\
burnish: 1
name: names
task: {type: tagging, labels: [PER, LOC], languages: [en]}
sources: {use: jsonl, path: texts.jsonl}
construct:
  - {use: existing}
  - {use: keywords, label: O, words: [June], case: true}
  - {use: capitals}
  - {use: common_words}
  - {use: aggregate, method: majority}
""",
        "utf-8",
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-m", "burnish.cli", "run", "burnish.yaml", "--to", "construct"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = Records.from_parquet(tmp_path / "runs" / "names" / "construct" / "records.parquet")
    assert names_of(made) == [[("Rhine", "LOC")], [("Ann", "PER")], None, None]
    assert "3 votes are set aside or cut" in done.stderr
