"""Ranking: lists that stay whole, orders, negatives that are none, and models that learn a small world in seconds."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_data import COLOURS, THINGS, backbone, pairs_only, world

from burnish.core.progress import Silent
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.nn import embedding_heads, heads, loop, models
from burnish.nn.batches import make_batch, reading_order, training_order
from burnish.nn.engine import Live
from burnish.nn.examples import Examples
from burnish.nn.index import Index, nearest, shortened
from burnish.nn.predict import predict_outputs
from burnish.nn.ranking_losses import QUERY, RankingLoss, contrastive, listwise, pairwise
from burnish.tasks import _ranking_lists
from burnish.tasks.base import Answers
from burnish.tasks.ranking import Task, rerank
from burnish.text.normalise import normalise


def task_of(**options: Any) -> Task:
    spec = TaskSpec("ranking", (), {}, ("en", "zh"), options)
    assert Task.problems(spec) == []
    return Task(spec)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def taught(task: Task, folder: Path, tokenizer: Any, table: pa.Table, *, epochs: int) -> Any:
    examples = task.examples(table, tokenizer, max_length=32)
    model = models.build(folder, task.head(), seed=0)
    how = loop.Training(epochs=epochs, learning_rate=3e-3, batch_tokens=512, precision="fp32")
    common: dict[str, Any] = {"scratch": None, "progress": Silent(), "seed": 0}
    loop.fit(model, examples, None, settings=how, objective=task.objective(), **common)
    return model


def answered(task: Task, model: Any, tokenizer: Any, table: pa.Table) -> Answers:
    inputs = task.inputs(table)
    read = task.encode(inputs, tokenizer, max_length=32)
    return task.decode(inputs, read, predict_outputs(model, read, task.head()), {})


def figures(task: Task, table: pa.Table, answers: Answers) -> dict[str, float]:
    return {name: float(value) for name, value in task.figures(task.tally(table, answers).sum(0)).items()}


# -- lists


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.data())
def test_a_group_is_never_cut(numbers, data):
    lengths = np.array(data.draw(st.lists(st.integers(2, 30), min_size=len(numbers), max_size=len(numbers))))
    groups = np.array(numbers)
    for order in (
        training_order(lengths, batch_tokens=64, seed=0, epoch=1, groups=groups),
        reading_order(lengths, batch_tokens=64, groups=groups),
    ):
        assert sorted(np.concatenate(order).tolist()) == list(range(len(numbers)))
        met = [set(groups[rows].tolist()) for rows in order]
        assert sum(map(len, met)) == len(set(numbers))
        for rows in order:
            whole = len(rows) * lengths[rows].max() <= 64
            assert whole or len(set(groups[rows].tolist())) == 1


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=80), st.integers(2, 20))
def test_dealt_lists_hold_everything_and_a_relevant_one(relevance, size):
    lists = _ranking_lists.dealt(relevance, size=size, seed=0)
    assert {at for one in lists for at in one} == set(range(len(relevance)))
    assert all(len(one) <= size and len(set(one)) == len(one) for one in lists)
    if 0.0 in relevance and 1.0 in relevance:
        assert all(any(relevance[at] for at in one) for one in lists)


def test_a_query_is_known_by_group_and_text():
    rows = [("g1", "q", "a"), ("g2", "q", "b"), ("g1", "q", "c"), (None, "q", "d"), (None, "q", "e")]
    table = to_table(Record(text, text_b=candidate, value=1, group=group) for group, text, candidate in rows)
    assert [query.rows for query in _ranking_lists.queries_of(table)] == [[0, 2], [1], [3, 4]]


@given(st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_records_does_not_matter_to_the_figures(random):
    task, table = task_of(), world(queries=6, candidates=4, seed=2)
    scores = np.random.default_rng(0).integers(0, 3, len(table))
    items = [{"score": float(score)} for score in scores]
    order = list(range(len(table)))
    random.shuffle(order)
    moved = figures(task, table.take(pa.array(order)), Answers([items[at] for at in order]))
    assert moved == pytest.approx(figures(task, table, Answers(items)))


def test_random_and_mined_negatives_are_never_positives():
    texts = [
        "怎么提前还款",
        "如何提前还款",
        "提前还款怎么操作",
        "怎么查看额度",
        "额度怎么查看",
        "如何修改手机号",
        "修改手机号",
    ]
    relevant = {"提前还款": texts[:3], "查看额度": texts[3:5], "修改手机": texts[5:]}
    records = [Record(query, text_b=text, label="1") for query, own in relevant.items() for text in own]
    records += [
        Record("提前还款", text_b=texts[3], label="0"),
        Record("提前还款 ", text_b="提前还款", label="1", group="2"),
    ]
    records.append(Record("修改还款日", text_b="还款日怎么修改", label="1"))
    queries = _ranking_lists.queries_of(to_table(records))
    known = _ranking_lists.known_positives(queries)
    drawn = _ranking_lists.random_negatives(queries, count=3, seed=1)
    mined = _ranking_lists.mined_negatives(queries, count=3, margin=1.0)
    assert any(drawn) and any(mined)
    for query, *made in zip(queries, drawn, mined, strict=True):
        for negative in [*made[0], *made[1]]:
            assert normalise(negative) not in known[normalise(query.text)]
            assert negative not in query.candidates and normalise(negative) != normalise(query.text)


def test_a_candidate_too_like_the_relevant_one_is_left_alone():
    records = [
        Record("red shoe", text_b="red shoe shop", label="1"),
        Record("a", text_b="red shoe shop!", label="1"),
        Record("b", text_b="red hat", label="1"),
    ]
    queries = _ranking_lists.queries_of(to_table(records))
    assert _ranking_lists.mined_negatives(queries, count=5, margin=0.9)[0] == ["red hat"]

    def cosines(pool):
        vectors = np.eye(len(pool))[:, :2] + 0.1
        return lambda query: vectors @ np.array([1.0, 0.5])

    made = _ranking_lists.mined_negatives(queries, count=5, margin=10.0, scorer=cosines)
    assert "red hat" in made[0]  # another scorer than words: a frozen encoder's cosines


def test_mined_negatives_come_from_the_table_alone(tokenizer):
    task = task_of(model="two-tower", negatives="mined", margin=100.0)
    named = list(itertools.product(COLOURS.values(), THINGS.values()))
    table = to_table(Record(f"{a} want {b}", text_b=f"{a} {b} shop", label="1") for a, b in named)
    pool = {tuple(tokenizer(text)["input_ids"]) for text in table["text_b"].to_pylist()}
    examples = task.examples(table, tokenizer, max_length=32)
    candidates = np.flatnonzero(examples.targets[:, 0] != QUERY)
    assert len(candidates) > len(table)  # mined ones beside their own
    assert all(tuple(examples.tokens[examples.window(at)].tolist()) in pool for at in candidates)


# -- examples


def test_two_towers_read_the_query_once_a_list(tokenizer):
    table = world(queries=5, candidates=4, seed=0)
    examples = task_of(model="two-tower").examples(table, tokenizer, max_length=32)
    assert len(examples) == 5 * (1 + 4)
    assert (np.diff(examples.records) >= 0).all()
    for group in np.unique(examples.groups):
        rows = np.flatnonzero(examples.groups == group)
        assert examples.targets[rows[0], 0] == QUERY and (examples.targets[rows[1:], 0] >= 0).all()
    batch = make_batch(examples, np.arange(5), pad_token=0)
    assert batch.groups is not None and batch.groups.tolist() == examples.groups[:5].tolist()


@pytest.mark.parametrize("model", ["cross-encoder", "two-tower"])
@pytest.mark.parametrize("loss", ["pointwise", "pairwise", "listwise"])
def test_training_windows_decode_like_prediction_windows(folder, tokenizer, model, loss):
    task = task_of(model=model, loss=loss, negatives="random")
    table = world(queries=4, candidates=3, seed=1)
    network = models.build(folder, task.head(), seed=0).eval()
    inputs = task.inputs(table)
    said = []
    for read in (task.encode(inputs, tokenizer, max_length=32), task.examples(table, tokenizer, max_length=32)):
        answers = task.decode(inputs, read, predict_outputs(network, read, task.head()), {})
        said.append([one["score"] for one in answers.items])
    assert said[0] == pytest.approx(said[1], abs=1e-5)


def test_decode_needs_no_order_of_the_inputs(folder, tokenizer):
    task = task_of(model="two-tower")
    network = models.build(folder, task.head(), seed=0).eval()
    asked = [
        {"query": "红 car", "candidates": ["chi auto", "lv mug", "lan tome"]},
        {"text": "绿 cup", "text_b": "lv mug"},
    ]
    inputs = [task.input(one) for one in asked]

    def say(given):
        read = task.encode(given, tokenizer, max_length=32)
        return task.decode(given, read, predict_outputs(network, read, task.head()), {}).items

    both = say(inputs)
    assert [one["score"] for one in say(inputs[::-1])[::-1][0]["ranking"]] == pytest.approx(
        [one["score"] for one in both[0]["ranking"]], abs=1e-5
    )
    scores = [one["score"] for one in both[0]["ranking"]]
    assert scores == sorted(scores, reverse=True)
    assert sorted(one["index"] for one in both[0]["ranking"]) == [0, 1, 2]
    assert set(both[1]) == {"score"}


# -- losses


def test_in_batch_negatives_leave_out_what_is_known_to_be_relevant():
    vectors = torch.nn.functional.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    relevance = torch.tensor([QUERY, 1.0, QUERY, 1.0, QUERY, 1.0])
    groups = torch.tensor([0, 0, 1, 1, 2, 2])
    apart = contrastive(vectors, relevance, torch.tensor([0, 1, 2, 3, 4, 5.0]), groups, temperature=0.1)
    same = contrastive(vectors, relevance, torch.tensor([0, 1, 2, 1, 4, 5.0]), groups, temperature=0.1)
    score = vectors[[0, 2, 4]] @ vectors[[1, 3, 5]].T / 0.1
    plain = torch.nn.functional.cross_entropy(score, torch.arange(3), reduction="none")
    assert torch.allclose(apart[[0, 2, 4]], plain * 2, atol=1e-5)  # 6 windows, 3 queries: the mean is over queries
    two = torch.nn.functional.cross_entropy(score[:1, [0, 2]], torch.tensor([0]))
    assert same[0] == pytest.approx(float(two) * 2, abs=1e-5)


def test_list_losses_are_means_over_queries():
    scores = torch.tensor([2.0, 0.0, 1.0, 0.5, 3.0], requires_grad=True)
    relevance = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0])
    groups = torch.tensor([0, 0, 1, 1, 2])  # the last query has nothing to order
    wanted = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(0.5))) / 2
    assert pairwise(scores, relevance, groups).mean().item() == pytest.approx(wanted, abs=1e-6)
    assert listwise(scores, relevance, groups).mean().item() == pytest.approx(wanted, abs=1e-6)
    lone = listwise(scores[4:], relevance[4:], groups[4:]).mean()
    lone.backward()
    assert lone.item() == 0.0 and torch.isfinite(scores.grad).all()


def test_graded_relevance_orders_pairs_of_every_grade():
    scores = torch.tensor([1.0, 1.0, 1.0])
    loss = pairwise(scores, torch.tensor([1.0, 0.5, 0.0]), torch.zeros(3, dtype=torch.long))
    assert float(loss.mean()) == pytest.approx(np.log(2))


def test_shortened_vectors_are_learnt_too():
    outputs = torch.nn.functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    targets = torch.tensor([[QUERY, 0], [1.0, 1], [QUERY, 2], [1.0, 3]])
    examples = Examples(np.ones(4, np.int32), np.arange(5), targets=targets.numpy(), groups=np.array([0, 0, 1, 1]))
    batch = make_batch(examples, np.arange(4), pad_token=0)
    parts = [RankingLoss("listwise", 0.1, True, True, (size,)).loss(outputs, batch, None) for size in (8, 4)]
    both = RankingLoss("listwise", 0.1, True, True, (8, 4, 100)).loss(outputs, batch, None)
    assert torch.allclose(both, torch.stack(parts).mean(0), atol=1e-6)


# -- figures


def test_figures_of_an_order():
    task = task_of()
    table = to_table(Record("q", text_b=str(at), value=value) for at, value in enumerate([0, 1, 0, 1]))
    made = figures(task, table, Answers([{"score": -float(at)} for at in range(4)]))
    ideal = 1 + 1 / np.log2(3)
    assert made["ndcg@10"] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / ideal)
    assert [made[name] for name in ("mrr@10", "recall@1", "recall@10", "map")] == pytest.approx([0.5, 0.0, 1.0, 0.5])


def test_what_an_index_did_not_find_is_lost_in_every_figure():
    task = task_of(model="two-tower", candidates="known")
    table = to_table(Record("q", text_b=text, value=1) for text in ("found", "lost"))
    listed = [{"index": at, "text": text, "score": 1.0 - at} for at, text in enumerate(["other", "found"])]
    answers = Answers([{"score": 0.5, "ranking": listed}, {"score": 0.4, "ranking": listed}])
    made = figures(task, table, answers)
    assert made["ndcg@10"] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert [made[name] for name in ("hr@10", "mrr@10", "recall@10", "map")] == pytest.approx([1.0, 0.5, 0.5, 0.25])
    assert task.details(table, answers)["first_relevant_at"] == {"2-3": 1}
    nothing = Answers([{"score": 0.5, "ranking": []}] * 2)
    assert all(value == 0 for value in figures(task, table, nothing).values())
    assert task.details(table, nothing)["first_relevant_at"] == {"not found": 1}


def test_a_model_that_says_the_same_of_all_is_worth_chance():
    task, table = task_of(), world(queries=300, candidates=5, seed=4)
    made = figures(task, table, Answers([{"score": 0.5}] * len(table)))
    assert made["recall@1"] == pytest.approx(0.2, abs=0.07)


def test_queries_without_an_order_count_in_none():
    records = [Record("a", text_b="x", value=1), Record("b", text_b="x", value=0), Record("b", text_b="y", value=0)]
    task, table = task_of(), to_table(records)
    answers = Answers([{"score": 1.0}] * 3)
    assert task.tally(table, answers).sum() == 0
    assert np.isnan(figures(task, table, answers)["ndcg@10"])
    assert (task.losses(table, answers) == 0).all()
    assert task.details(table, answers)["queries_without_relevant"] == 1


def test_sums_over_queries_are_the_mean_of_their_figures():
    task, table = task_of(), world(queries=8, candidates=4, seed=5)
    answers = Answers([{"score": float(at % 7)} for at in range(len(table))])
    sums = task.tally(table, answers)
    assert sums[:, 0].sum() == 8
    one_by_one = [
        figures(task, table.take(pa.array(query.rows)), answers.take(query.rows))["ndcg@10"]
        for query in _ranking_lists.queries_of(table)
    ]
    assert figures(task, table, answers)["ndcg@10"] == pytest.approx(np.mean(one_by_one))


def test_the_loss_of_a_query_stands_at_the_relevant_record_that_scored_least():
    rows = [("x", 1, 0.1), ("y", 0, 0.9), ("z", 1, 0.5)]
    table = to_table(Record("q", text_b=text, value=value) for text, value, _ in rows)
    answers = Answers([{"score": score} for *_, score in rows])
    losses = task_of().losses(table, answers)
    assert losses[0] > 0 and losses[1:].tolist() == [0, 0]
    assert losses[0] == pytest.approx(1 - figures(task_of(), table, answers)["ndcg@10"])


def test_baselines_answer_every_record_and_words_beat_chance_where_words_are_shared():
    records = []
    for number, word in enumerate(["红茶", "绿茶", "咖啡", "牛奶", "果汁", "啤酒"] * 4):
        records.append(Record(f"请问有{word}吗", text_b=f"{word}有货", value=1, group=str(number)))
        records += [
            Record(f"请问有{word}吗", text_b=f"{other}有货", value=0, group=str(number)) for other in ("白酒", "可乐")
        ]
    task, table = task_of(), to_table(records)
    made = {name: figures(task, table, said) for name, said, _ in task.baselines(table, table[:0], table, seed=0)}
    assert list(made) == ["random", "popularity", "bm25"]
    assert made["bm25"]["recall@1"] == 1.0 and made["popularity"]["recall@1"] == 1.0
    assert made["random"]["recall@1"] < 0.8


# -- records and settings


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (Record("q", text_b="c", label="1"), None),
        (Record("q", text_b="c", label="相关"), None),
        (Record("q"), None),
        (Record(" ", text_b="c", label="1"), "empty query"),
        (Record("q", text_b="c", label="maybe"), "is no relevance"),
        (Record("q", value=1), "without a candidate"),
        (Record("q", text_b="c", value=3), "outside 0..1"),
        (Record("q", text_b="c", value=float("nan")), "outside 0..1"),
    ],
)
def test_records_are_judged(record, said):
    found = task_of().problem(record)
    assert (found is None) if said is None else (said in (found or ""))


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"model": "two-towers"}, "model"),
        ({"loss": "mse"}, "loss"),
        ({"dimensions": [64]}, "dimensions"),
        ({"model": "two-tower", "dimensions": [0]}, "dimensions"),
        ({"negatives": "in_batch"}, "negatives"),
        ({"model": "two-tower", "loss": "pairwise", "negatives": "in_batch"}, "negatives"),
        ({"temperature": 0}, "temperature"),
        ({"list_size": 1}, "list_size"),
        ({"modle": "x"}, "modle"),
    ],
)
def test_wrong_settings_are_named(options, key):
    assert key in [found[0] for found in Task.problems(TaskSpec("ranking", options=options))]


@pytest.mark.parametrize("given", ["a query", {"query": "q", "candidates": []}, {"query": "q", "candidates": [1]}, 3])
def test_inputs_that_cannot_be_answered_say_why(given):
    with pytest.raises(ValueError, match=r"index|candidates|wanted"):
        task_of().input(given)


# -- models


@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
def test_a_cross_encoder_learns_which_candidate_fits(folder, tokenizer, loss):
    task = task_of(loss=loss)
    model = taught(task, folder, tokenizer, world(queries=220, candidates=5, seed=0), epochs=10)
    test = world(queries=40, candidates=10, seed=1)
    assert figures(task, test, answered(task, model, tokenizer, test))["recall@1"] > 0.8


def test_two_towers_learn_a_matching_and_short_vectors_keep_the_order(folder, tokenizer, tmp_path):
    task = task_of(model="two-tower", candidates="known", dimensions=[32, 16])
    train, test = pairs_only(300, seed=0), pairs_only(60, seed=3)
    model = taught(task, folder, tokenizer, train, epochs=15)
    assert figures(task, test, answered(task, model, tokenizer, test))["recall@1"] > 0.9

    task.collect(train)
    assert task.index is not None
    (tmp_path / "burnish.json").write_text("{}")
    task.furnish(tmp_path, Live(model, task.head(), tokenizer, 32))
    task.opened(tmp_path)
    assert task.index.vectors is not None and len(task.index.vectors) == len(set(train["text_b"].to_pylist()))
    card = {"threshold": 0.5}
    inputs = [task.input("红 car want"), task.input("绿 cup need")]
    read = task.encode(inputs, tokenizer, max_length=32)
    outputs = predict_outputs(model, read, task.head())
    said = task.decode(inputs, read, outputs, card).items
    assert ["chi auto" in said[0]["text"], "lv mug" in said[1]["text"]] == [True, True]
    silent = task.decode(inputs, read, outputs, {"threshold": 1.1}).items
    assert [one["text"] for one in silent] == [None, None] and len(silent[0]["ranking"]) == 10

    whole = nearest(np.asarray(task.index.vectors), outputs, count=1)[0]
    short = nearest(shortened(task.index.vectors, 16), shortened(outputs, 16), count=3)[0]
    assert all(first in few for first, few in zip(whole[:, 0], short, strict=True))


def test_the_threshold_answers_what_it_can_and_keeps_silent_otherwise(folder, tokenizer):
    task = task_of(model="two-tower", candidates="known")
    model = taught(task, folder, tokenizer, pairs_only(300, seed=0), epochs=8)
    table = pairs_only(60, seed=3)
    read = task.encode(task.inputs(table), tokenizer, max_length=32)
    card = task.calibrate(table, read, predict_outputs(model, read, task.head()))
    assert card["threshold_accuracy"] > 0.85 and 0 < card["threshold"] < 1


def test_a_saved_tower_is_a_stock_model_with_pooling_files(folder, tokenizer, tmp_path):
    from transformers import AutoModel

    task = task_of(model="two-tower")
    model = models.build(folder, task.head(), seed=0).eval()
    models.save(model, tmp_path, task.head(), tokenizer=tokenizer)
    for name in ("modules.json", "1_Pooling/config.json", "2_Normalize/config.json", "config.json"):
        assert (tmp_path / name).is_file()
    again = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    ids, mask = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    with torch.no_grad():
        hidden = again(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
        mean = torch.nn.functional.normalize(hidden.sum(1) / mask.sum(1, keepdim=True), dim=1)
        assert torch.allclose(mean, model(ids, mask), atol=1e-6)
        assert torch.allclose(embedding_heads.load(tmp_path)(ids, mask), mean, atol=1e-6)


def test_a_saved_cross_encoder_has_one_label(folder, tokenizer, tmp_path):
    task = task_of()
    models.save(models.build(folder, task.head(), seed=0).eval(), tmp_path, task.head(), tokenizer=tokenizer)
    assert heads.load(tmp_path).config.num_labels == 1


def test_an_index_comes_back_as_it_was(tmp_path):
    made = Index.of(["怎么还款", "额度", "怎么还款"], [None, "点击我的", "在首页"])
    assert (made.texts, made.replies) == (["怎么还款", "额度"], ["在首页", "点击我的"])
    replace(made, vectors=np.eye(2, 4, dtype=np.float32)).save(tmp_path)
    again = Index.open(tmp_path)
    assert again is not None and again.replies == made.replies and np.array_equal(again.vectors, np.eye(2, 4))
    assert Index.open(tmp_path / "nowhere") is None


def test_entries_come_from_a_file_with_their_replies(tmp_path):
    (tmp_path / "faq.jsonl").write_text(
        '{"question": "怎么还款", "reply": "在首页点还款"}\n{"question": "额度"}\n', "utf-8"
    )
    task = task_of(candidates="faq.jsonl")
    task.collect(pairs_only(3, seed=0), base=tmp_path)
    assert task.index == Index(["怎么还款", "额度"], ["在首页点还款", None])


def test_a_cross_encoder_answers_a_bare_query_by_words_first(folder, tokenizer):
    task = task_of(candidates="known", retrieve=2)
    task.index = Index(["如何修改密码", "怎么还款", "密码忘了"], ["在设置里", None, None])
    given = [task.input("忘了密码")]
    read = task.encode(given, tokenizer, max_length=32)
    assert len(read) == 2
    said = task.decode(given, read, [np.array([0.1]), np.array([2.0])], {"threshold": 0.5}).items[0]
    assert said["text"] == "如何修改密码" and said["reply"] == "在设置里"
    assert [one["index"] for one in said["ranking"]] == [0, 2]


class Sayer:
    """A predictor that scores by length."""

    def predict(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        texts = inputs[0]["candidates"]
        order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        return [{"ranking": [{"index": at, "text": texts[at], "score": len(texts[at])} for at in order]}]


def test_rerank_orders_what_a_generator_wrote():
    assert [one["index"] for one in rerank(Sayer(), "q", ["a", "abc", "ab"])] == [1, 2, 0]
    assert rerank(Sayer(), "q", []) == []
