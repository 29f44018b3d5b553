"""Relations by votes: pairs as items, knowledge bases, which sentence tells of a fact, patterns and their scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.construct.aggregate import aggregate
from burnish.construct.labellers.functions import functions
from burnish.construct.relations.bags import at_least_one, by_words, expressed
from burnish.construct.relations.knowledge_base import knowledge_base
from burnish.construct.relations.mentions import find_names
from burnish.construct.relations.pairs import pairs_of, patterns_of
from burnish.construct.relations.patterns import pair_regex, relation_patterns
from burnish.construct.relations.triples import Triples, name_keys
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError, DataError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.core.tasktypes import open_task

LABELS = ("spouse", "born_in")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec("relation_extraction", LABELS, languages=("en", "zh"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


def marked(text: str, *names: str, kinds: tuple[str | None, ...] = (), **more: Any) -> Record:
    """A record whose spans are the names, each where it first stands."""
    spans = [
        {"start": text.index(name), "end": text.index(name) + len(name), "label": kinds[at] if kinds else "person"}
        for at, name in enumerate(names)
    ]
    return Record(text=text, spans=spans, **more)


def file(folder: Path, text: str, name: str = "kb.tsv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def said(votes: Votes, records: list[Record]) -> set[tuple[int, str, str, str]]:
    """(row, head, label, tail) of the votes on records."""
    made = set()
    for vote in votes.table.to_pylist():
        if vote["row"] >= 0:
            text = records[vote["row"]].text or ""
            head, tail = text[vote["start"] : vote["end"]], text[vote["tail_start"] : vote["tail_end"]]
            made.add((vote["row"], head, vote["label"], tail))
    return made


def saved(records: Records, folder: Path) -> list[Record]:
    folder.mkdir()
    records.save(folder)
    return list(Records.open(folder))


# ---- knowledge base


def test_a_pair_that_the_knowledge_base_relates_is_voted_on_in_its_direction(context: Context, tmp_path: Path) -> None:
    rows = [marked("Ann Lee was born in Rome.", "Ann Lee", "Rome"), marked("鲁迅娶了许广平。", "鲁迅", "许广平")]
    path = file(tmp_path, "Ann Lee\tborn_in\tRome\n鲁迅\tspouse\t许广平\nx\tunknown\ty\n")
    votes = knowledge_base(Records.from_rows(rows), None, context, path=path)
    assert said(votes, rows) == {(0, "Ann Lee", "born_in", "Rome"), (1, "鲁迅", "spouse", "许广平")}
    both = knowledge_base(Records.from_rows(rows), None, context, path=path, symmetric=["spouse"])
    assert (1, "许广平", "spouse", "鲁迅") in said(both, rows)


def test_names_compare_normalised_and_by_alias(context: Context, tmp_path: Path) -> None:
    rows = [
        marked("J. R. Smith met the ＢＢＣ 's head, 史密斯 in Paris", "J. R. Smith", "Paris"),
        marked("约翰•史密斯生于巴黎", "约翰•史密斯", "巴黎"),
    ]
    path = file(tmp_path, "John Smith\tborn_in\tparis\n约翰·史密斯\tborn_in\t巴黎\n")
    aliases = file(tmp_path, "John Smith\tJ R Smith\n", "aliases.tsv")
    votes = knowledge_base(Records.from_rows(rows), None, context, path=path, aliases=aliases)
    assert said(votes, rows) == {(0, "J. R. Smith", "born_in", "Paris"), (1, "约翰•史密斯", "born_in", "巴黎")}


def test_relations_are_mapped_and_others_make_no_negatives(context: Context, tmp_path: Path) -> None:
    rows = [
        marked("Ann and Bob", "Ann", "Bob"),
        marked("Ann in Rome", "Ann", "Rome"),
        marked("Ann in Oslo", "Ann", "Oslo"),
    ]
    path = file(tmp_path, "Ann\tP19\tRome\nAnn\tP26x\tBob\nOslo\tin\tNorway\n")
    votes = knowledge_base(
        Records.from_rows(rows), None, context, path=path, mapping={"P19": "born_in"}, negative_ratio=9
    )
    # Ann and Bob are related by what is no label; Ann and Oslo are not, and of Ann a fact that counts is known
    assert said(votes, rows) == {
        (1, "Ann", "born_in", "Rome"), (2, "Ann", "no_relation", "Oslo"),
    }  # fmt: skip
    none = knowledge_base(
        Records.from_rows(rows), None, context, path=path, mapping={"P19": "born_in"}, negatives="none"
    )
    assert said(none, rows) == {(1, "Ann", "born_in", "Rome")}


def test_types_that_a_relation_does_not_take_get_no_vote(context: Context, tmp_path: Path) -> None:
    rows = [
        marked("Washington was born in Paris", "Washington", "Paris", kinds=("person", "city")),
        marked("Washington hosted Paris", "Washington", "Paris", kinds=("city", "city")),
        marked("Washington near Paris", "Washington", "Paris", kinds=(None, "city")),
    ]
    path = file(tmp_path, "Washington\tborn_in\tParis\n")
    types = {"born_in": ["person", ["city", "country"]]}
    votes = knowledge_base(Records.from_rows(rows), None, context, path=path, types=types, negatives="none")
    assert {row for row, *_ in said(votes, rows)} == {0, 2}
    with pytest.raises(BurnishError, match="'bornin' is not a relation"):
        knowledge_base(Records.from_rows(rows), None, context, path=path, types={"bornin": ["a", "b"]})


def test_names_are_found_where_a_record_has_no_spans(context: Context, tmp_path: Path) -> None:
    texts = ["Yesterday New York City greeted Ann Lee.", "昨天鲁迅与许广平在上海结婚。"]
    path = file(tmp_path, "Ann Lee\tborn_in\tNew York City\n鲁迅\tspouse\t许广平\nNew York\tborn_in\tx\n")
    known = Triples(path, relations=LABELS, mapping={})
    found = [
        [text[one["start"] : one["end"]] for one in spans]
        for text, spans in zip(texts, find_names(texts, known), strict=True)
    ]
    assert found == [["New York City", "Ann Lee"], ["鲁迅", "许广平"]]
    rows = [Record(text=text) for text in texts]
    votes = knowledge_base(Records.from_rows(rows), None, context, path=path)
    made = saved(aggregate(Records.from_rows(rows), [votes], None, context), tmp_path / "made")
    assert made[1].spans == [{"start": 2, "end": 4, "label": None}, {"start": 5, "end": 8, "label": None}]
    assert made[1].relations == [{"head": 0, "tail": 1, "label": "spouse"}]


def test_hundreds_of_thousands_of_triples_stay_small(tmp_path: Path) -> None:
    count = 300_000
    table = pa.table(
        {"h": [f"head {i}" for i in range(count)], "r": ["spouse"] * count, "t": [f"tail {i}" for i in range(count)]}
    )
    import pyarrow.csv as pc

    with pa.CompressedOutputStream(str(tmp_path / "kb.tsv.gz"), "gzip") as out:
        pc.write_csv(table, out, pc.WriteOptions(include_header=False, delimiter="\t", quoting_style="none"))
    known = Triples(tmp_path / "kb.tsv.gz", relations=LABELS, mapping={})
    size = sum(getattr(known, name).nbytes for name in ("pairs", "kinds", "names", "heads", "alias", "entity"))
    assert known.count == count and len(known.pairs) == count and size / count < 40
    keys = name_keys(["Head 77", "the tail 77", "tail 78"])
    assert known.known(keys).all()
    one, same, other = known.entities(keys)
    assert known.between(one, same) == {0} and known.between(one, other) == set()


def test_a_file_without_triples_and_texts_without_names_say_what_to_do(context: Context, tmp_path: Path) -> None:
    rows = Records.from_rows([marked("Ann in Rome", "Ann", "Rome")])
    with pytest.raises(DataError, match="no triple in it"):
        knowledge_base(rows, None, context, path=file(tmp_path, "one column\n"))
    with pytest.raises(BurnishError, match="no text names two entities") as error:
        knowledge_base(rows, None, context, path=file(tmp_path, "Ann\tP19\tRome\n"))
    assert "'P19' (1)" in error.value.hint


# ---- at least one


def test_the_posterior_of_at_least_one_by_hand() -> None:
    # two mentions of chance .5: P(both 0) = .25, so each is .5 / .75; a single one is sure; with a leak of .2 it is not
    found = at_least_one(np.array([0.5, 0.5, 0.3]), np.array([0, 0, 1]), leak=0.0)
    assert found == pytest.approx([2 / 3, 2 / 3, 1.0])
    assert at_least_one(np.array([0.3]), np.array([0]), leak=0.2) == pytest.approx([0.3 / (1 - 0.8 * 0.7)])


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8), st.floats(0, 1))
def test_at_least_one_only_raises_and_stays_a_chance(chance: list[float], leak: float) -> None:
    found = at_least_one(np.array(chance), np.zeros(len(chance), dtype=int), leak=leak)
    assert (found >= np.array(chance) - 1e-9).all() and (found <= 1).all()
    if leak == 0:  # the expected number of telling mentions is one at least
        assert found.sum() >= 1 - 1e-6


def test_mentions_that_tell_are_told_from_those_that_do_not() -> None:
    rng = np.random.default_rng(0)
    features, relation, bag, tells = [], [], [], []
    for one in range(60):
        for at in range(3):
            telling = at == one % 3
            words = ["wife", "married"] if telling else [["met", "and", "saw", "near"][rng.integers(4)]]
            features.append([*words, f"noise{rng.integers(9)}"])
            relation.append(1), bag.append(one), tells.append(telling)
    for one in range(60):
        features.append([["met", "and", "saw", "near"][one % 4], f"noise{rng.integers(9)}"])
        relation.append(0), bag.append(100 + one), tells.append(False)
    found = expressed(np.array(relation), np.array(bag), by_words(features, seed=0), num_relations=1, leak=0.1)
    told = np.array(tells)[:180]
    assert np.isnan(found[180:]).all()
    assert found[:180][told].min() > 0.5 > found[:180][~told].max()


def test_sentences_that_only_name_the_pair_get_no_vote(context: Context, tmp_path: Path) -> None:
    names = [(f"Ann{i}", f"Bob{i}") for i in range(30)]
    rows = []
    for one, other in names:
        rows.append(marked(f"{one} married her husband {other} last year", one, other))
        rows.append(marked(f"{one} and {other} were seen at the fair", one, other))
    rows += [
        marked(f"{names[i][0]} and {names[i + 1][1]} were seen at the fair", names[i][0], names[i + 1][1])
        for i in range(29)
    ]
    path = file(tmp_path, "".join(f"{one}\tspouse\t{other}\n" for one, other in names))
    records = Records.from_rows(rows)
    every = knowledge_base(records, None, context, path=path, at_least_one="off", negatives="none")
    telling = knowledge_base(records, None, context, path=path, at_least_one="words", negative_ratio=1)
    assert {row for row, *_ in said(every, rows)} == set(range(60))
    assert {row for row, _, label, _ in said(telling, rows) if label == "spouse"} == set(range(0, 60, 2))


# ---- patterns


def test_patterns_are_what_stands_between_and_beside() -> None:
    text = "In May Ann 's wife Bob left"
    record = marked(text, "Ann", "Bob")
    found = patterns_of(text, record.spans[0], record.spans[1])  # type: ignore[index]
    assert "X s wife Y" in found and "X … wife … Y" in found and "may X … Y" in found and "X … Y left" in found
    back = patterns_of(text, record.spans[1], record.spans[0])  # type: ignore[index]
    assert "Y s wife X" in back and "X s wife Y" not in back


def test_patterns_learnt_from_votes_reach_pairs_nobody_voted_on(context: Context, tmp_path: Path) -> None:
    rows = [
        marked(f"{a}的妻子是{b}。", a, b)
        for a, b in [("张三", "李四"), ("王五", "赵六"), ("钱七", "孙八"), ("周九", "吴十")]
    ]
    rows += [marked(f"{a}生于{b}。", a, b) for a, b in [("张三", "北京"), ("王五", "上海"), ("钱七", "天津")]]
    votes = Votes(
        [Labeller("kb", "knowledge_base", LABELS)],
        Votes.tabled(
            {"row": i, "labeller": "kb", "label": "spouse" if i < 4 else "born_in", "confidence": 1.0,
             "start": rows[i].spans[0]["start"], "end": rows[i].spans[0]["end"],  # type: ignore[index]
             "tail_start": rows[i].spans[1]["start"], "tail_end": rows[i].spans[1]["end"]}  # type: ignore[index]
            for i in (0, 1, 2, 4, 5, 6)
        ),
    )  # fmt: skip
    made = relation_patterns(Records.from_rows(rows), [votes], None, context)
    found = said(made, rows)
    assert (3, "周九", "spouse", "吴十") in found and not any(head == "吴十" for _, head, _, _ in found)
    assert "的 妻 子 是 … Y” 3 of 3 pairs (张三, 李四)" in made.labellers[0].about
    # a pattern that was seen with two pairs has one left when it is asked about one of them
    few = relation_patterns(Records.from_rows(rows), [votes], None, context, min_pairs=3)
    assert {row for row, *_ in said(few, rows)} == {3}


def test_a_pattern_of_many_relations_does_not_vote(context: Context) -> None:
    rows = [marked(f"A{i}x和B{i}x", f"A{i}x", f"B{i}x") for i in range(8)]
    votes = Votes(
        [Labeller("kb", "knowledge_base", LABELS)],
        Votes.tabled(
            {"row": i, "labeller": "kb", "label": LABELS[i % 2], "confidence": 1.0, "start": 0, "end": 3, "tail_start": 4, "tail_end": 7}
            for i in range(8)
        ),
    )  # fmt: skip
    assert not len(relation_patterns(Records.from_rows(rows), [votes], None, context).table)


def test_words_of_pairs_nobody_voted_on_tell_of_no_relation(context: Context) -> None:
    rows = [marked(f"A{i}x和B{i}x", f"A{i}x", f"B{i}x") for i in range(24)]
    rows += [marked(f"C{i}x娶D{i}x", f"C{i}x", f"D{i}x") for i in range(8)]
    votes = Votes(
        [Labeller("kb", "knowledge_base", LABELS)],
        Votes.tabled(
            {"row": i, "labeller": "kb", "label": "spouse", "confidence": 1.0, "start": 0, "end": 3, "tail_start": 4, "tail_end": 7}
            for i in (0, 1, 2, 24, 25, 26)
        ),
    )  # fmt: skip
    records = Records.from_rows(rows)
    found = said(relation_patterns(records, [votes], None, context), rows)
    assert {row for row, *_ in found} == set(range(24, 32)) and {head[0] for _, head, _, _ in found} == {"C"}
    assert len(relation_patterns(records, [votes], None, context, unvoted=0).table) == 32


def test_expressions_name_head_and_tail(context: Context) -> None:
    rows = [marked("Bob is the husband of Ann.", "Ann", "Bob"), marked("Ann met Bob", "Ann", "Bob")]
    votes = pair_regex(
        Records.from_rows(rows), None, context, label="spouse", pattern="{head} is the husband of {tail}"
    )
    assert said(votes, rows) == {(0, "Bob", "spouse", "Ann")}


def test_functions_vote_on_pairs_by_place(context: Context, tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "def born(record):\n    return [(0, 1, 'born_in', 0.8)] if 'born' in record.text else None\n",
        "rules.py",
    )
    rows = [marked("Ann was born in Rome", "Ann", "Rome"), marked("Ann likes Rome", "Ann", "Rome")]
    assert said(functions(Records.from_rows(rows), None, context, path=path), rows) == {(0, "Ann", "born_in", "Rome")}
    wrong = file(tmp_path, "def born(record):\n    return [(0, 5, 'born_in')]\n", "wrong.py")
    with pytest.raises(BurnishError, match="returned") as error:
        functions(Records.from_rows(rows), None, context, path=wrong)
    assert "two of the record's 2 spans" in error.value.hint


# ---- aggregation


def relation_votes(name: str, rows: list[tuple[int, str]], pair: tuple[int, int, int, int] = (0, 3, 4, 7)) -> Votes:
    keys = ("start", "end", "tail_start", "tail_end")
    return Votes(
        [Labeller(name, "functions")],
        Votes.tabled(
            {"row": row, "labeller": name, "label": label, "confidence": 1.0, **dict(zip(keys, pair, strict=True))}
            for row, label in rows
        ),
    )


def test_each_pair_is_decided_by_its_own_votes(context: Context, tmp_path: Path) -> None:
    rows = [marked("Ann Bob Cyd", "Ann", "Bob", "Cyd", id=str(i)) for i in range(3)]
    a = relation_votes("a", [(0, "spouse"), (1, "spouse")])
    b = relation_votes("b", [(0, "spouse"), (1, "no_relation")])
    c = relation_votes("c", [(0, "born_in"), (1, "no_relation")])
    d = relation_votes("d", [(0, "born_in")], (4, 7, 8, 11))
    made = saved(aggregate(Records.from_rows(rows), [a, b, c, d], None, context, method="majority"), tmp_path / "made")
    assert made[0].relations == [{"head": 0, "tail": 1, "label": "spouse"}, {"head": 1, "tail": 2, "label": "born_in"}]
    assert made[1].relations == [] and made[2].relations is None
    assert made[0].label_from == "aggregate:majority" and "spouse, born_in" in made[0].trail[-1]
    assert made[0].votes[0]["tail_end"] == 7 and len(made[0].votes) == 4


def test_where_nobody_votes_for_none_it_is_no_class(context: Context, tmp_path: Path) -> None:
    rows = Records.from_rows([marked("Ann Bob", "Ann", "Bob")])
    made = aggregate(rows, [relation_votes("a", [(0, "spouse")])], None, context)
    assert set(made.facts["labels"]) == {"spouse", "born_in"}


def test_pairs_that_were_asked_about_are_named_where_the_rest_is_unknown(context: Context, tmp_path: Path) -> None:
    task = dataclasses.replace(context.task, options={"unnamed": "unknown"})
    context = dataclasses.replace(context, task=task)
    rows = [marked("Ann Bob Cyd", "Ann", "Bob", "Cyd")]
    votes = [relation_votes("a", [(0, "no_relation")]), relation_votes("b", [(0, "spouse")], (4, 7, 8, 11))]
    made = saved(aggregate(Records.from_rows(rows), votes, None, context), tmp_path / "made")
    assert made[0].relations == [
        {"head": 0, "tail": 1, "label": "no_relation"},
        {"head": 1, "tail": 2, "label": "spouse"},
    ]
    # of six candidates training reads the two that were voted on
    opened = open_task(task)
    rows_of = [one.row() for one in made]
    pairs = opened._candidates(rows_of, [made[0].spans])
    assert len(pairs[0]) == 6 and opened._named(rows_of[0], pairs[0]) == [(0, 1), (1, 2)]


def test_gold_weighs_labellers_pair_by_pair(context: Context) -> None:
    rows = [marked("Ann Bob", "Ann", "Bob", id=str(i)) for i in range(40)]
    truth = [i % 2 for i in range(30)]
    gold = Gold.from_rows(
        marked("Ann Bob", "Ann", "Bob", relations=[{"head": 0, "tail": 1, "label": "spouse"}] if one else [])
        for one in truth
    )
    assert isinstance(gold, Gold)
    good = [(-1 - i, "spouse" if one else "no_relation") for i, one in enumerate(truth)]
    bad = [(-1 - i, "spouse") for i in range(30)]
    right = relation_votes("right", [*good, *((i, "no_relation") for i in range(40))])
    wrong = [relation_votes(f"wrong{k}", [*bad, *((i, "spouse") for i in range(40))]) for k in range(2)]
    made = aggregate(Records.from_rows(rows), [right, *wrong], gold, context)
    assert made.facts["gold"] == 30 and made.facts["best_single"]["name"] == "right"
    assert made.facts["labels"]["no_relation"] == 40  # two that are wrong do not outvote the one gold trusts


def test_undirected_pairs_are_one_whichever_end_comes_first(context: Context, tmp_path: Path) -> None:
    task = dataclasses.replace(context.task, options={"directed": False})
    context = dataclasses.replace(context, task=task)
    rows = [marked("Ann Bob", "Ann", "Bob")]
    votes = [relation_votes("a", [(0, "spouse")]), relation_votes("b", [(0, "spouse")], (4, 7, 0, 3))]
    made = saved(aggregate(Records.from_rows(rows), votes, None, context), tmp_path / "made")
    assert made[0].relations == [{"head": 0, "tail": 1, "label": "spouse"}]


def test_pairs_of_overlapping_spans_are_not_asked_about(context: Context) -> None:
    spans = [{"start": 0, "end": 5}, {"start": 3, "end": 8}, {"start": 9, "end": 12}]
    assert pairs_of({}, spans, context.task) == [(0, 2), (2, 0), (1, 2), (2, 1)]
