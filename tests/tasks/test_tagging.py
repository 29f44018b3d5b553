from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.nn.alignment import FREE, WHOLE, overlap_of, sites_of
from burnish.nn.examples import IGNORED
from burnish.nn.pointer_heads import MASKED
from burnish.tasks.base import Answers
from burnish.tasks.tagging import Task

LABELS = ("PER", "LOC", "ORG", "MISC")
TEXTS = [
    "EU rejects German call to boycott British lamb .",
    "Peter Blackburn was in Brüssel, unbelievably unimpressed.",
    "张三在北京的清华大学读书，李四在上海。",
    "família e\u0301tait 👨\u200d👩\u200d👧 👍🏽 ½ 2019年",
]


def task_of(**options):
    return Task(TaskSpec("tagging", LABELS, {}, ("en", "zh"), options))


@functools.cache
def tokenizer_of(kind):
    """Three that cut texts differently: words and pieces, bytes, and pieces with their blanks."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    if kind == "wordpiece":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=120, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False
        )
    elif kind == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=300, special_tokens=["[UNK]", "[CLS]", "[SEP]"], initial_alphabet=alphabet, show_progress=False
        )
    else:
        made = Tokenizer(models.Unigram())
        made.normalizer, made.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=["[UNK]", "[CLS]", "[SEP]"], unk_token="[UNK]", show_progress=False
        )
    made.train_from_iterator(TEXTS * 5, trainer)
    cls, sep = ((name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]"))
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[cls, sep])
    return made


KINDS = ["wordpiece", "bytes", "unigram"]


def perfect(task, examples, *, seed=0):
    """What a perfect network gives: right scores for taught tokens, noise where nothing is taught."""
    random = np.random.Generator(np.random.PCG64(seed))
    outputs = []
    for window in range(len(examples)):
        here = examples.window(window)
        if task.nested:
            length = here.stop - here.start
            scores = np.full((len(task.labels), length, length), MASKED)
            for _, first, last, label in examples.spans[examples.spans[:, 0] == window]:
                scores[label, first, last] = 5.0
        else:
            tags = examples.token_targets[here]
            scores = random.normal(size=(len(tags), len(task.tags)))
            told = tags != IGNORED
            scores[told, tags[told]] = 9.0
        outputs.append(scores)
    return outputs


def plain(spans):
    return sorted((one["start"], one["end"], one["label"]) for one in spans)


def round_trip(task, records, tokenizer, *, max_length, card=None):
    table = to_table(records)
    examples = task.examples(table, tokenizer, max_length=max_length)
    outputs = perfect(task, examples)
    bare = task.encode(task.inputs(table), tokenizer, max_length=max_length)
    assert np.array_equal(bare.tokens, examples.tokens)
    return task.decode(task.inputs(table), bare, outputs, {"whole_words": False} | (card or {}))


WILD = st.text(
    alphabet=st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("abcdefg ABC  ,.12 北京大学在上海 \u0301\u200d\u00ad\u3000👍🏽👨é½ﬁ\x00\t"),
    ),
    max_size=60,
)


def drawn_spans(data, sites, record, *, flat):
    """Spans whose borders are those of tokens and of what a reader sees as one character."""
    own = range(sites.offsets[record], sites.offsets[record + 1])
    begins = [at for at in own if sites.border[at] != WHOLE]
    spans, free = set(), own.start
    for _ in range(data.draw(st.integers(0, 3))):
        usable = [at for at in begins if at >= (free if flat else own.start)]
        if not usable:
            break
        first = data.draw(st.sampled_from(usable))
        last = data.draw(st.sampled_from([at for at in own if at >= first and (at + 1 not in own or at + 1 in begins)]))
        spans.add((int(sites.starts[first]), int(sites.ends[last]), data.draw(st.sampled_from(LABELS))))
        free = last + 1
    return [{"start": start, "end": end, "label": label} for start, end, label in sorted(spans)]


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(WILD, min_size=1, max_size=3),
    kind=st.sampled_from(KINDS),
    max_length=st.sampled_from([8, 12, 64]),
    options=st.sampled_from([{}, {"scheme": "BIOES"}, {"nested": True}]),
    data=st.data(),
)
def test_spans_in_are_spans_out(texts, kind, max_length, options, data):
    task, tokenizer = task_of(**options), tokenizer_of(kind)
    sites = sites_of(texts, task.encode([{"text": text} for text in texts], tokenizer, max_length=max_length))
    records = []
    for at, text in enumerate(texts):
        spans = drawn_spans(data, sites, at, flat=not task.nested)
        if task.nested:  # a span that no window holds whole cannot be scored as a pair
            spans = [one for one in spans if one["end"] - one["start"] <= 1]
        records.append(Record(text=text, spans=spans))
    examples = task.examples(to_table(records), tokenizer, max_length=max_length)
    assert task.aligned(to_table(records), sites, examples).exact == sum(len(one.spans) for one in records)
    answers = round_trip(task, records, tokenizer, max_length=max_length)
    held = records
    if task.nested and max_length == 8:  # one character may be more byte tokens than a window shares with the next
        held = [one for at, one in enumerate(records) if (examples.of_records == at).sum() == 1]
        answers = answers.take([at for at in range(len(records)) if (examples.of_records == at).sum() == 1])
    for record, answer in zip(held, answers.items, strict=True):
        assert plain(answer["spans"]) == plain(record.spans)
        assert all(one["text"] == record.text[one["start"] : one["end"]] for one in answer["spans"])
        assert json.dumps(answer)


@settings(max_examples=30, deadline=None)
@given(text=WILD, kind=st.sampled_from(KINDS), data=st.data())
def test_a_span_that_begins_inside_a_token_comes_back_longer_and_is_counted(text, kind, data):
    if len(text) < 2:
        return
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    task, tokenizer = task_of(), tokenizer_of(kind)
    record = Record(text=text, spans=[{"start": start, "end": end, "label": "PER"}])
    encoded = task.encode([{"text": text}], tokenizer, max_length=64)
    sites = sites_of([text], encoded)
    found = task.aligned(to_table([record]), sites, encoded)
    assert found.spans == 1 == found.exact + found.inside + found.lost
    spans = round_trip(task, [record], tokenizer, max_length=64).items[0]["spans"]
    if found.exact:
        assert plain(spans) == plain(record.spans)
    elif found.lost:
        assert spans == []
    else:
        assert len(spans) == 1 and (spans[0]["start"], spans[0]["end"]) != (start, end)
        assert min(spans[0]["end"], end) > max(spans[0]["start"], start)  # nothing is moved elsewhere


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"scheme": "BIOES"}, {"nested": True}])
def test_nothing_of_a_long_text_is_lost(kind, options):
    task, tokenizer = task_of(**options), tokenizer_of(kind)
    text = " ".join(TEXTS[at % 3] for at in range(60))
    spans = [{"start": at, "end": at + 5, "label": "LOC"} for at in range(len(text)) if text.startswith("EU re", at)]
    spans = [one | {"end": one["start"] + 2} for one in spans]
    spans += [
        {"start": at, "end": at + 4, "label": "ORG"} for at in range(len(text)) if text.startswith("清华大学", at)
    ]
    assert len(spans) == 40
    examples = task.encode([{"text": text}], tokenizer, max_length=32)
    assert len(examples) > 20 and examples.num_truncated == 0
    answer = round_trip(task, [Record(text=text, spans=spans)], tokenizer, max_length=32).items[0]
    exact = [one for one in plain(answer["spans"]) if one in plain(spans)]
    sites = sites_of([text], examples)
    aligned = task.aligned(to_table([Record(text=text, spans=spans)]), sites, examples)
    assert len(exact) == aligned.exact - aligned.cut > 15
    assert aligned.cut == (1 if task.nested and kind == "bytes" else 0)  # twelve bytes, where windows share eight


def test_every_token_of_a_long_text_is_taught_once_and_where_most_is_around_it():
    task, tokenizer = task_of(), tokenizer_of("wordpiece")
    text = " ".join(TEXTS[:3] * 8)
    examples = task.examples(to_table([Record(text=text, spans=[])]), tokenizer, max_length=32)
    whole = task.examples(to_table([Record(text=text, spans=[])]), tokenizer, max_length=4096)
    assert (examples.token_targets != IGNORED).sum() == (whole.token_targets != IGNORED).sum() == len(whole.tokens) - 2
    shared = overlap_of(32)
    for window in range(1, len(examples) - 1):
        told = examples.token_targets[examples.window(window)] != IGNORED
        assert told[1 + shared : -1 - shared].all()
        assert 0 < told[1 : 1 + shared].sum() < shared  # its outer half was better seen from the window before


def test_borders_inside_a_word_are_shut_and_open_where_validation_says_so():
    task, tokenizer = task_of(), tokenizer_of("wordpiece")
    text = "unbelievably unimpressed"
    spans = [{"start": 0, "end": 2, "label": "PER"}]
    encoded = task.encode([{"text": text}], tokenizer, max_length=64)
    sites = sites_of([text], encoded)
    assert any(sites.ends == 2), "the tokenizer of this test has a piece `un`"
    record = Record(text=text, spans=spans)
    open_ = round_trip(task, [record], tokenizer, max_length=64).items[0]["spans"]
    shut = round_trip(task, [record], tokenizer, max_length=64, card={"whole_words": True}).items[0]["spans"]
    assert plain(open_) == [(0, 2, "PER")] and plain(shut) != plain(open_)
    assert all(one["end"] in (12, 24) for one in shut)
    table = to_table([record])
    outputs = perfect(task, task.examples(table, tokenizer, max_length=64))
    assert task.calibrate(table, encoded, outputs)["whole_words"] is False
    table = to_table([Record(text=text, spans=[])])
    assert task.calibrate(table, encoded, perfect(task, task.examples(table, tokenizer, max_length=64)))["whole_words"]


# -- the five faults of the usual recipe


def test_tags_stand_at_their_own_pieces_and_not_one_to_the_left():
    task, tokenizer = task_of(), tokenizer_of("wordpiece")
    text = "Peter Blackburn rejects Brüssel"
    spans = [{"start": 0, "end": 15, "label": "PER"}, {"start": 24, "end": 31, "label": "LOC"}]
    examples = task.examples(to_table([Record(text=text, spans=spans)]), tokenizer, max_length=64)
    tags = [None if tag == IGNORED else task.tags[tag] for tag in examples.token_targets]
    assert tags[0] is None and tags[-1] is None and tags[1] == "B-PER"
    for tag, start, end in zip(tags[1:-1], examples.starts[1:-1], examples.ends[1:-1], strict=True):
        covered = next((one for one in spans if one["start"] <= start and end <= one["end"]), None)
        expected = "O" if covered is None else ("B-" if covered["start"] == start else "I-") + covered["label"]
        assert tag == expected
    assert tags.count("I-PER") >= 2  # pieces of one word are inside, not unlabelled and not new names


def test_every_label_of_the_task_has_its_tags_and_no_other_is_taken_for_o():
    task = task_of()
    assert task.tags == ["O", *(f"{prefix}-{label}" for label in LABELS for prefix in "BI")]
    assert task.problem(Record(text="German", spans=[{"start": 0, "end": 6, "label": "MISC"}])) is None
    wrong = task.problem(Record(text="German", spans=[{"start": 0, "end": 6, "label": "MSC"}]))
    assert "'MSC'" in wrong and "MISC" in wrong


def test_the_report_is_of_entities_and_in_the_layout_that_is_known():
    task = task_of()
    table = to_table(
        [
            Record(
                text="EU and Peter",
                spans=[{"start": 0, "end": 2, "label": "ORG"}, {"start": 7, "end": 12, "label": "PER"}],
            )
        ]
    )
    said = Answers([{"spans": [{"start": 0, "end": 2, "label": "ORG", "text": "EU", "score": 0.9}]}])
    details = task.details(table, said)
    rows = [line.split() for line in details["classification_report"].splitlines() if line.strip()]
    assert rows[0] == ["precision", "recall", "f1-score", "support"]
    assert rows[1] == ["ORG", "1.0000", "1.0000", "1.0000", "1"] and rows[2] == [
        "PER",
        "0.0000",
        "0.0000",
        "0.0000",
        "1",
    ]
    assert rows[3] == ["micro", "avg", "1.0000", "0.5000", "0.6667", "2"]
    assert json.dumps(details)


def test_padding_and_special_tokens_are_neither_taught_nor_scored():
    import torch

    from burnish.nn.batches import make_batch

    task, tokenizer = task_of(), tokenizer_of("wordpiece")
    records = [Record(text=TEXTS[0], spans=[{"start": 0, "end": 2, "label": "ORG"}]), Record(text="EU", spans=[])]
    examples = task.examples(to_table(records), tokenizer, max_length=64)
    both = make_batch(examples, np.array([0, 1]), pad_token=0)
    alone = make_batch(examples, np.array([1]), pad_token=0)
    assert (both.token_targets_BL[both.mask_BL == 0] == IGNORED).all()
    scores = torch.randn(2, both.ids_BL.shape[1], len(task.tags), generator=torch.Generator().manual_seed(0))
    loss = task.objective().loss(scores, both, None)
    torch.testing.assert_close(loss[1:], task.objective().loss(scores[1:, : alone.ids_BL.shape[1]], alone, None))
    sums = task.tally(to_table(records), Answers([{"spans": []}, {"spans": []}])).sum(0)
    assert sums[-5] == 10  # the nine tokens of the text and the one of the other: no padding
    assert float(task.figures(sums)["token_micro_f1"]) == 0.9 and float(task.figures(sums)["entity_f1"]) == 0.0


def test_a_tagger_learns_through_the_one_loop(tmp_path):
    """No optimiser is imported from where it no longer is: the loop has its own, and it learns."""
    trained = tuned(tmp_path, task_of())
    assert trained["entity_f1"] > 0.9


def test_a_crf_learns_too(tmp_path):
    assert tuned(tmp_path, task_of(decoding="crf", scheme="BIOES"))["entity_f1"] > 0.9


def test_a_pointer_finds_spans_inside_spans(tmp_path):
    assert tuned(tmp_path, task_of(nested=True), epochs=40)["entity_f1"] > 0.9


def sentences(count, *, nested, seed):
    """ "the warm film" is MISC where its words follow each other; inside it, warm and lovely things are ORG."""
    import random

    import tiny_bert

    draw, records = random.Random(seed), []
    for _ in range(count):
        words = draw.choices(tiny_bert.OTHERS, k=draw.randint(2, 6))
        words.insert(draw.randrange(len(words) + 1), "clever lovely" if draw.random() < 0.5 else "awful")
        text, spans = " ".join(words), []
        at = text.find("clever lovely")
        if at >= 0:
            spans = [{"start": at, "end": at + 13, "label": "MISC"}]
            if nested:
                spans.append({"start": at + 7, "end": at + 13, "label": "ORG"})
        at = text.find("awful")
        if at >= 0:
            spans.append({"start": at, "end": at + 5, "label": "PER"})
        records.append(Record(text=text, spans=spans))
    return records


def tuned(folder, task, *, epochs=12):
    """Train on sentences made here, save, load, and judge on others."""
    import tiny_bert
    from transformers import AutoTokenizer

    from burnish.core.progress import Silent
    from burnish.nn import models
    from burnish.nn.loop import fit
    from burnish.nn.predict import predict_outputs
    from burnish.nn.training import Training

    tiny_bert.make(folder / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    train, test = (to_table(sentences(n, nested=task.nested, seed=seed)) for n, seed in ((160, 0), (60, 1)))
    model = models.build(folder / "base", task.head(), seed=0)
    settings_ = Training(epochs=epochs, learning_rate=3e-3, batch_tokens=512, precision="fp32")
    examples = task.examples(train, tokenizer, max_length=32)
    fit(model, examples, None, settings=settings_, scratch=None, progress=Silent(), seed=0, objective=task.objective())
    models.save(model, folder / "model", task.head(), tokenizer=tokenizer)
    again = models._module(task.head()).load(folder / "model", task.head())
    encoded = task.encode(task.inputs(test), tokenizer, max_length=32)
    outputs = predict_outputs(again, encoded, task.head())
    card = models.facts(again) | task.calibrate(test, encoded, outputs)
    answers = task.decode(task.inputs(test), encoded, outputs, card)
    return {name: float(value) for name, value in task.figures(task.tally(test, answers).sum(0)).items()}


# -- the rest of the contract


def test_the_section_is_checked():
    def said(**options):
        return [(key, message) for key, message, _ in Task.problems(TaskSpec("tagging", LABELS, {}, ("en",), options))]

    assert said() == said(scheme="BIOES", decoding="crf") == said(nested=True) == []
    assert said(scheme="IOB")[0][0] == "scheme" and said(nested="yes")[0][0] == "nested"
    assert said(nested=True, decoding="crf")[0][0] == "decoding" and said(shceme="BIO")[0][0] == "shceme"
    assert Task.problems(TaskSpec("tagging"))[0][0] == "labels"


def test_records_without_spans_are_negatives_and_those_nobody_looked_at_are_unlabelled():
    table = to_table(
        [
            Record(text="a", spans=[]),
            Record(text="b"),
            Record(text="EU", spans=[{"start": 0, "end": 2, "label": "ORG"}]),
        ]
    )
    assert task_of().labelled(table).tolist() == [True, False, True]
    assert task_of().expected({"text": "b", "spans": None}) is None


@pytest.mark.parametrize("span", [(0, 0), (-1, 2), (1, 99), (3, 1)])
def test_spans_outside_the_text_are_refused(span):
    record = Record(text="EU rejects", spans=[{"start": span[0], "end": span[1], "label": "ORG"}])
    assert "not inside" in task_of().problem(record)


def test_crossing_spans_are_counted_and_the_longer_is_taught():
    spans = [{"start": 0, "end": 2, "label": "ORG"}, {"start": 0, "end": 10, "label": "MISC"}]
    record, task, tokenizer = Record(text="EU rejects", spans=spans), task_of(), tokenizer_of("wordpiece")
    encoded = task.encode([{"text": record.text}], tokenizer, max_length=64)
    assert task.aligned(to_table([record]), sites_of([record.text], encoded), encoded).crossing == 1
    assert plain(round_trip(task, [record], tokenizer, max_length=64).items[0]["spans"]) == [(0, 10, "MISC")]
    nested = round_trip(task_of(nested=True), [record], tokenizer, max_length=64).items[0]["spans"]
    assert [(one["start"], one["end"]) for one in nested] == [(0, 10), (0, 2)]  # outer ones first


def test_sure_records_weigh_more():
    records = [Record(text="EU", spans=[], confidence=0.25), Record(text="EU", spans=[])]
    task, tokenizer = task_of(), tokenizer_of("wordpiece")
    assert task.examples(to_table(records), tokenizer, max_length=64).weights.tolist() == [0.25, 1.0]
    assert task.examples(to_table(records), tokenizer, max_length=64, soft=False).weights is None


def test_the_gazetteer_finds_the_longest_names_and_leaves_out_what_mostly_is_none():
    task = task_of()
    train = [
        Record(
            text="New York and York",
            spans=[{"start": 0, "end": 8, "label": "LOC"}, {"start": 13, "end": 17, "label": "LOC"}],
        ),
        Record(
            text="北京大学在北京",
            spans=[{"start": 0, "end": 4, "label": "ORG"}, {"start": 5, "end": 7, "label": "LOC"}],
        ),
        Record(text="May may , May , May", spans=[{"start": 0, "end": 3, "label": "PER"}]),
    ]
    test = to_table([Record(text="In New York , not York."), Record(text="他在北京大学"), Record(text="May")])
    (nothing, none, _), (_, found, chosen) = task.baselines(to_table(train), to_table([]), test, seed=0)
    assert "all O" in nothing and none.items == [{"spans": []}] * 3
    assert [[(one["text"], one["label"]) for one in item["spans"]] for item in found.items] == [
        [("New York", "LOC"), ("York", "LOC")], [("北京大学", "ORG")], []
    ]  # fmt: skip
    assert chosen == {"names": 5, "kept": 4}


def test_errors_are_told_apart():
    task = task_of()
    gold = [
        {"start": 0, "end": 8, "label": "LOC"},
        {"start": 10, "end": 12, "label": "ORG"},
        {"start": 20, "end": 24, "label": "PER"},
    ]
    said = [
        {"start": 4, "end": 8, "label": "LOC", "score": 0.9},
        {"start": 10, "end": 12, "label": "MISC", "score": 0.8},
        {"start": 30, "end": 34, "label": "PER", "score": 0.7},
    ]
    table = to_table([Record(text="x" * 40, spans=gold)])
    details = task.details(table, Answers([{"spans": said}]))
    assert details["span_errors"] == {
        "right": 0,
        "border": 1,
        "type": 1,
        "border_and_type": 0,
        "missed": 1,
        "invented": 1,
    }
    names, matrix = details["confusion_labels"], np.array(details["confusion"])
    assert matrix[names.index("ORG"), names.index("MISC")] == matrix[names.index("PER"), names.index("none")] == 1
    assert matrix[names.index("none"), names.index("PER")] == 1 and matrix.sum() == 4
    assert task.losses(table, Answers([{"spans": said}]))[0] == pytest.approx(3 + 0.9 + 0.8 + 0.7)


def test_known_and_new_names_are_scored_apart():
    task = task_of()
    span = {"start": 0, "end": 2, "label": "ORG"}
    train = to_table([Record(text="EU says", spans=[span])])
    test = to_table([Record(text="EU asks", spans=[span]), Record(text="UN asks", spans=[span])])
    details = task.beside(train, test, Answers([{"spans": [span]}, {"spans": []}]))
    assert details["by_novelty"]["taught"]["f1"] == 1.0 and details["by_novelty"]["new"]["f1"] == 0.0


def test_pieces_put_together_are_the_text():
    task = task_of()
    spans = [{"start": 0, "end": 8, "label": "LOC"}, {"start": 4, "end": 8, "label": "ORG"}]
    pieces = task.pieces({"text": "New York says"}, {"spans": spans})
    assert [(one.text, one.mark) for one in pieces] == [("New ", "LOC"), ("York", "LOC / ORG"), (" says", None)]
    assert task.show(Record(text="New York\nsays", spans=spans[:1])) == "[1] [New York | LOC] says"


def test_no_inputs_no_answers():
    task = task_of()
    encoded = task.encode([], tokenizer_of("wordpiece"), max_length=64)
    assert task.decode([], encoded, [], {}).items == []
    blank = task.encode([{"text": " "}], tokenizer_of("wordpiece"), max_length=64)
    assert task.decode([{"text": " "}], blank, [np.zeros((2, 9))], {}).items == [{"spans": []}]


def test_scores_say_how_sure_the_weakest_token_is():
    task, tokenizer = task_of(), tokenizer_of("bytes")
    record = Record(text="EU", spans=[{"start": 0, "end": 2, "label": "ORG"}])
    examples = task.examples(to_table([record]), tokenizer, max_length=64)
    outputs = perfect(task, examples)
    sure = task.decode([{"text": "EU"}], examples, outputs, {}).items[0]["spans"][0]["score"]
    soft = task.decode([{"text": "EU"}], examples, outputs, {"temperature": 4.0}).items[0]["spans"][0]["score"]
    assert 0.9 < sure <= 1 and soft < sure


def test_free_borders_are_those_between_words_and_between_characters_of_unspaced_scripts():
    tokenizer, text = tokenizer_of("bytes"), "ab 北京👍🏽"
    sites = sites_of([text], task_of().encode([{"text": text}], tokenizer, max_length=64))
    free = {int(start) for start, border in zip(sites.starts, sites.border, strict=True) if border == FREE}
    assert free == {0, 3, 4, 5}
    assert replace(sites).border is sites.border


@pytest.mark.parametrize("options", [{}, {"scheme": "BIOES", "decoding": "crf"}, {"nested": True}])
def test_tagging_passes_the_suite_of_every_task(options):
    from burnish.testing import check_task

    made = [Record(text=text, spans=[{"start": 0, "end": 2, "label": "ORG"}]) for text in TEXTS]
    assert (
        check_task(
            "tagging",
            TaskSpec("tagging", LABELS, {"PER": "people"}, ("en", "zh"), options),
            to_table(made),
            exports=False,
        )
        >= 8
    )
