import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.nn.borders import END, START, best_spans
from burnish.nn.examples import IGNORED, encode
from burnish.tasks import question_answering as qa

PIECES = [
    "Paris", "the", "1998", "3.14", "café", "cafe\u0301", "naïve", "unknowable", "北京", "大学", "在", "。", "，", "“", "！",
    "😀", "👨‍👩‍👧", "🇨🇳", "é", "ﬁ", "𠀀", ".", "-", " ", " ", "  ", "\n", "\u3000", "ａｂ", "한국", "?",
]  # fmt: skip
context = st.lists(st.sampled_from(PIECES), min_size=1, max_size=90).map("".join).filter(str.strip)


@cache
def tokenizer(kind):
    """A WordPiece tokenizer as BERT has it, and a byte-level one as RoBERTa has it, where one character is many tokens."""
    from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer
    from tokenizers.processors import BertProcessing, RobertaProcessing

    if kind == "wordpiece":
        made = BertWordPieceTokenizer(lowercase=True)
        made.train_from_iterator(
            ["Paris the unknow ##able cafe 北京大学在 1998 3.14"] * 3, vocab_size=200, show_progress=False
        )
        made._tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        assert made.token_to_id("[CLS]") == 2 and made.token_to_id("[SEP]") == 3
        return made._tokenizer

    made = ByteLevelBPETokenizer(trim_offsets=True)
    made.train_from_iterator(["Paris the"] * 3, vocab_size=300, special_tokens=["<s>", "</s>"], show_progress=False)
    made._tokenizer.post_processor = RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True)
    return made._tokenizer


def task(**options):
    return qa.Task(TaskSpec("question_answering", options=options))


def record(question, text, answer=None, **more):
    return Record(text=question, text_b=text, answer=answer, **more)


def perfect(examples):
    """What a network without fault gives: high where the target's bits are, low elsewhere."""
    bits = np.where(examples.token_targets == IGNORED, 0, examples.token_targets)
    scores = np.stack([bits & START > 0, bits & END > 0], axis=1) * 20.0 - 10.0
    return [scores[examples.window(i)] for i in range(len(examples))]


def cover(text, start, end, backend):
    """Characters and number of the tokens that an answer touches, by one window that holds all."""
    whole = encode([text], backend, max_length=100_000, characters=True)
    touched = [
        (int(s), int(e))
        for s, e, p in zip(whole.starts, whole.ends, whole.parts, strict=True)
        if p == 0 and e > start and s < end
    ]
    return (touched[0][0], touched[-1][1], len(touched)) if touched else None


@given(context, st.data(), st.sampled_from(["wordpiece", "bytes"]), st.sampled_from([24, 40, 512]))
@settings(deadline=None, max_examples=150)
def test_answer_in_is_answer_out_through_windows(text, data, kind, max_length):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, min(len(text), start + 20)))
    if not text[start:end].strip():
        return
    one, backend = task(answer_length=1000, stride=128), tokenizer(kind)
    table = to_table([record("在 the?", text, {"text": text[start:end], "start": start})])
    examples = one.examples(table, backend, max_length=max_length)
    inputs = one.inputs(table)
    answer = one.decode(inputs, examples, perfect(examples), {"no_answer_threshold": 0.0}).items[0]
    touched = cover(
        text,
        start + len(text[start:end]) - len(text[start:end].lstrip()),
        start + len(text[start:end].rstrip()),
        backend,
    )
    room = (max_length - (max_length // 2 - 4) - 4) // 2 if max_length < 136 else 128
    if touched is None:  # nothing but characters the tokenizer drops
        assert answer["text"] == ""
    elif answer["text"] or touched[2] <= room:  # every run of as many tokens as windows share is whole in one of them
        low, high = touched[0], touched[1]
        assert answer["text"] == text[low:high].strip() == text[answer["start"] : answer["end"]]
        assert low <= answer["start"] < answer["end"] <= high
        assert answer["score"] > 0.99 and answer["no_answer"] < 0


@given(context, st.sampled_from(["wordpiece", "bytes"]), st.sampled_from([24, 40]))
@settings(deadline=None, max_examples=60)
def test_windows_lose_nothing_of_a_context(text, kind, max_length):
    one, backend = task(), tokenizer(kind)
    examples = one.encode([{"text": "who?", "text_b": text}], backend, max_length=max_length)
    assert examples.lengths.max(initial=0) <= max_length
    whole = encode([text], backend, max_length=100_000, characters=True)
    assert covered(examples, 1, text) == covered(whole, 0, text)


def covered(examples, part, text):
    """Places that the tokens of one text cover, but for blanks: byte-level tokenizers trim them here and keep them there."""
    held = zip(examples.starts, examples.ends, examples.parts, strict=True)
    return {at for start, end, of in held if of == part for at in range(start, end) if not text[at].isspace()}


def test_an_answer_in_the_middle_of_a_long_chinese_context():
    filler = "这家公司在很多城市都有办公室，员工来自世界各地。" * 40
    text = filler + "公司成立于1998年，总部设在北京市海淀区。" + filler
    answer = {"text": "北京市海淀区", "start": text.index("北京市海淀区")}
    one = task(stride=16)
    table = to_table([record("总部设在哪里？", text, answer)])
    examples = one.examples(table, tokenizer("wordpiece"), max_length=64)
    assert len(examples) > 20
    marked = [i for i in range(len(examples)) if examples.token_targets[examples.window(i)][0] == 0]
    assert 1 <= len(marked) <= 2  # the others point at their first token
    found = one.decode(one.inputs(table), examples, perfect(examples), {"no_answer_threshold": 0.0}).items[0]
    assert (found["text"], found["start"], found["end"]) == (answer["text"], answer["start"], answer["start"] + 6)


def test_long_questions_lose_their_end_and_are_counted():
    one = task(question_length=10)
    given = [{"text": "the " * 500 + "end", "text_b": "Paris 1998"}, {"text": "who?", "text_b": "Paris"}]
    examples = one.encode(given, tokenizer("wordpiece"), max_length=32)
    assert examples.num_truncated == 1 and (examples.parts[examples.window(0)] == 0).sum() == 10
    assert (examples.parts[examples.window(0)] == 1).sum() > 0
    with pytest.raises(ValueError, match="cannot hold"):
        one.encode(given, tokenizer("wordpiece"), max_length=8)


ROWS = [
    ({"answer": {"text": "Paris", "start": 3}}, ["Paris"]),
    ({"answer": {"text": "", "start": -1}}, []),
    ({"answer": {"text": "", "start": None}, "meta": {"answers": []}}, []),
    ({"answer": None, "meta": {"is_impossible": True}}, []),
    ({"answer": None, "meta": {"is_impossible": False}}, None),
    ({"answer": None}, None),
    ({"answer": {"text": "a", "start": 0}, "meta": {"answers": ["a", "b"]}}, ["a", "b"]),
    ({"answer": None, "meta": json.dumps({"answers": {"text": ["a", "b"], "answer_start": [1, 5]}})}, ["a", "b"]),
    ({"answer": None, "meta": {"answers": [{"text": "a", "answer_start": 1}, {"text": "a", "start": 1}]}}, ["a", "a"]),
    ({"answer": None, "meta": {"answers": {"text": [], "answer_start": []}}}, []),
]


@pytest.mark.parametrize(("row", "expected"), ROWS)
def test_gold_answers_in_every_form(row, expected):
    golds = qa.gold_answers(row)
    assert golds is expected if expected is None else [one["text"] for one in golds] == expected


def test_what_is_wrong_with_a_record_is_said():
    one = task()
    assert one.problem(record("who?", "Paris 1998", {"text": "1998", "start": 6})) is None
    assert one.problem(record("who?", "Paris 1998", {"text": "1998", "start": None})) is None
    assert one.problem(record("who?", "Paris 1998", {"text": "", "start": None})) is None
    assert "stand in the context" in one.problem(record("who?", "Paris", {"text": "Rome", "start": None}))
    assert "no context" in one.problem(record("who?", None)) and "no question" in one.problem(record(" ", "Paris"))
    for sent in ("who?", {"question": "who?"}, {"text": "who?", "text_b": " "}):
        with pytest.raises(ValueError, match="context"):
            one.input(sent)
    assert one.input({"question": "who?", "context": "Paris"}) == {"text": "who?", "text_b": "Paris"}
    assert qa.Task.problems(TaskSpec("question_answering")) == []
    assert [
        key for key, *_ in qa.Task.problems(TaskSpec("question_answering", options={"stride": -1, "strid": 2}))
    ] == ["strid", "stride"]
    assert [key for key, *_ in qa.Task.problems(TaskSpec("question_answering", ("a", "b")))] == ["labels"]


def test_a_wrong_offset_is_mended_where_the_text_stands():
    assert qa.placed({"text": "1998", "start": 0}, "Paris 1998") == (6, 10)
    assert qa.placed({"text": " 1998 ", "start": 5}, "Paris 1998 on") == (6, 10)
    assert qa.placed({"text": "Rome", "start": 0}, "Paris") is None
    assert qa.placed({"text": " ", "start": 5}, "Paris 1998") is None


@given(st.integers(2, 30), st.integers(1, 12), st.integers(1, 9), st.integers(0, 10_000))
@settings(max_examples=60)
def test_the_best_spans_are_those_of_trying_all(length, longest, most, seed):
    rng = np.random.default_rng(seed)
    scores, inside = rng.normal(size=(length, 2)) * 3, np.arange(length) >= min(2, length - 1)
    spans, none = best_spans(scores, inside, longest=longest, most=most)
    total = np.log(np.exp(scores[inside]).sum(0))
    refused = 1 / (1 + np.exp(-scores[0].sum()))
    log_p = scores - total + np.log(1 - refused) / 2
    every = sorted(
        (
            (log_p[i, 0] + log_p[j, 1], i, j)
            for i in range(length)
            for j in range(i, min(i + longest, length))
            if inside[i]
        ),
        reverse=True,
    )
    assert none == pytest.approx(np.log(refused))
    assert [(i, j) for _, i, j in spans] == [(i, j) for _, i, j in every[:most]]
    assert [score for score, *_ in spans] == pytest.approx([score for score, *_ in every[:most]])
    pairs = np.exp(np.add.outer(log_p[inside, 0], log_p[inside, 1]))
    assert pairs.sum() + refused == pytest.approx(1)  # nothing of the probability is lost


def made(text, start=None, end=None):
    return {"text": text, "start": start, "end": end}


TABLE = to_table(
    [
        record("Who wrote it?", "It was written by Ada.", {"text": "Ada", "start": 18}, meta={"answers": ["by Ada"]}),
        record("When?", "It was written by Ada.", {"text": "", "start": None}),
        record("总部在哪里？", "总部设在北京。", {"text": "北京", "start": 4}),
        record("Unlabelled?", "Nobody knows."),
    ]
)


def test_figures_are_means_over_records_with_a_target():
    one = task()
    answers = qa.Answers([made("by Ada."), made("Ada"), made("京"), made("x")])
    tally = one.tally(TABLE, answers)
    assert tally.tolist() == [[1, 1, 1], [1, 0, 0], [1, pytest.approx(2 / 3), 0], [0, 0, 0]]
    figures = one.figures(tally.sum(0))
    assert list(figures) == ["f1", "exact_match"] and figures["f1"] == pytest.approx(5 / 9)
    assert one.losses(TABLE, answers).tolist() == pytest.approx([0, 1, 1 / 3, 0])
    details = json.loads(json.dumps(one.details(TABLE, answers)))
    assert details["by_answerable"]["unanswerable"] == {"n": 1, "exact_match": 0.0, "f1": 0.0}
    assert details["no_answer"] == {"said": 0, "right": 0, "missed": 1, "needless": 0}
    assert list(details["apart"]) == ["where"]  # of baselines: they refuse nothing here, and hold no odds
    assert set(details["by_question"]) == {"who", "when", "where"}
    assert details["by_answer_length"]["1-4"]["n"] == 2
    assert one.labelled(TABLE).tolist() == [True, True, True, False]


def test_finding_places_and_refusing_are_scored_apart():
    one, refused = task(), {"text": "by Ada", "start": 15, "end": 21, "score": 0.4}
    answers = qa.Answers(
        [
            made("") | {"no_answer": 2.0, "alternatives": [refused]},
            made("") | {"no_answer": 2.0, "alternatives": []},
            made("京", 5, 6) | {"no_answer": -1.0, "alternatives": []},
            made("x") | {"no_answer": 9.0, "alternatives": []},
        ]
    )
    apart = one.details(TABLE, answers)["apart"]
    assert apart["where"] == {"n": 2, "exact_match": 0.5, "f1": pytest.approx((1 + 2 / 3) / 2)}
    assert apart["whether"] == {"n": 3, "auc": pytest.approx((0.5 + 1) / 2)}  # equal odds count half
    assert one.details(TABLE, answers)["by_answerable"]["answerable"]["f1"] == pytest.approx(1 / 3)


def test_the_threshold_of_no_answer_is_fitted_where_some_questions_have_none():
    one, backend = task(), tokenizer("wordpiece")
    labelled = TABLE.slice(0, 3)
    examples = one.examples(labelled, backend, max_length=64)
    outputs = perfect(examples)
    outputs[1] = np.zeros_like(outputs[1])  # the network is undecided where there is no answer
    inputs = one.inputs(labelled)
    undecided = one.decode(inputs, examples, outputs, {"no_answer_threshold": None}).items[1]
    places = (examples.parts[examples.window(1)] == 1).sum()
    # even odds that there is one, shared by all first and all last tokens
    assert undecided["text"] and undecided["no_answer"] == pytest.approx(2 * np.log(places), abs=1e-5)
    card = one.calibrate(labelled, examples, outputs)
    said = one.decode(inputs, examples, outputs, card)
    assert [answer["text"] for answer in said.items] == ["Ada", "", "北京"]
    assert one.figures(one.tally(labelled, said).sum(0))["f1"] == 1.0
    answerable = labelled.take([0, 2])
    known = one.examples(answerable, backend, max_length=64)
    assert one.calibrate(answerable, known, perfect(known)) == {"no_answer_threshold": None}
    always = one.decode(inputs, examples, outputs, {"no_answer_threshold": None})
    assert all(answer["text"] for answer in always.items)
    json.dumps(said.items)


def test_without_a_threshold_doubt_about_the_place_is_no_reason_to_refuse():
    one, backend, asked = task(), tokenizer("wordpiece"), TABLE.slice(0, 1)
    read = one.encode(one.inputs(asked), backend, max_length=64)
    outputs = [np.zeros((length, 2)) for length in read.lengths]  # every place is as likely as any other
    for first, answers in ((-0.1, True), (0.1, False)):
        outputs[0][0] = first
        answer = one.decode(one.inputs(asked), read, outputs, {}).items[0]
        assert bool(answer["text"]) is answers and answer["no_answer"] > 0


def test_epochs_of_questions_that_all_have_an_answer_are_judged_without_refusing_one():
    backend = tokenizer("wordpiece")
    for rows, refuses in (([0, 2], False), ([0, 1, 2], True)):
        one, table = task(), TABLE.take(rows)
        examples = one.examples(table, backend, max_length=64)
        outputs = [np.where(np.arange(length)[:, None] == 0, 5.0, np.zeros((1, 2))) for length in examples.lengths]
        said = one.decode(one.inputs(table), examples, outputs, {}).items  # "there is none", says the network
        assert all(not answer["text"] for answer in said) if refuses else all(answer["text"] for answer in said)


def test_other_answers_are_given_beside_the_best():
    one, backend = task(alternatives=1), tokenizer("wordpiece")
    inputs = [{"text": "who?", "text_b": "Paris 1998 Paris"}]
    examples = one.encode(inputs, backend, max_length=64)
    outputs = [np.zeros((length, 2)) for length in examples.lengths]
    for at, start in enumerate(examples.starts):
        if examples.parts[at] == 1 and start in (0, 6, 11):
            outputs[0][at] = {0: 9.0, 6: 8.0, 11: 7.0}[int(start)]
    answer = one.decode(inputs, examples, outputs, {"no_answer_threshold": None}).items[0]
    assert (answer["text"], answer["start"], answer["end"]) == ("Paris", 0, 5)
    assert [other["text"] for other in answer["alternatives"]] == ["Paris 1998"] or answer["alternatives"][0][
        "text"
    ] == "1998"


def test_baselines_are_honest():
    one = task()
    every = to_table(
        [
            record(
                "Who wrote the letter?",
                "The dog barked. Ada wrote the letter. It rained.",
                {"text": "Ada", "start": 16},
            ),
            record("谁写了这封信？", "狗在叫。小明写了这封信。下雨了。", {"text": "小明", "start": 4}),
            record("What did the zebra eat?", "The dog barked. Ada wrote the letter.", {"text": "", "start": None}),
        ]
    )
    named = {name: answers for name, answers, _ in one.baselines(every, every, every, seed=0)}
    assert list(named) == ["no answer", "sentence that shares most with the question"]
    said = [answer["text"] for answer in named["sentence that shares most with the question"].items]
    assert said == ["Ada wrote the letter.", "小明写了这封信。", ""]
    assert one.figures(one.tally(every, named["no answer"]).sum(0))["f1"] == pytest.approx(1 / 3)
    answerable = every.slice(0, 2)
    assert [name for name, *_ in one.baselines(answerable, answerable, every, seed=0)] == list(named)[1:]


def test_the_answer_is_marked_in_its_context():
    one = task()
    given = one.inputs(TABLE)[2]
    pieces = one.pieces(given, made("北京", 4, 6))
    assert [(piece.text, piece.mark) for piece in pieces] == [
        ("总部在哪里？\n", None), ("总部设在", None), ("北京", "answer"), ("。", None)
    ]  # fmt: skip
    assert one.pieces(given, made(""))[-1].text == "\n→ ∅" and len(one.pieces(given, None)) == 2
    assert one.expected(TABLE.to_pylist()[2]) == made("北京", 4, 6)
    assert one.expected(TABLE.to_pylist()[1]) == made("") and one.expected(TABLE.to_pylist()[3]) is None
    assert one.show(Record.from_row(TABLE.to_pylist()[2])) == "总部在哪里？ → 北京"
    for language in ("en", "zh"):
        assert "谁?" in one.prompt("谁?", language=language, context="小明") and "小明" in one.prompt(
            "谁?", language=language, context="小明"
        )


def test_weights_follow_confidence_where_records_have_one():
    one, backend = task(), tokenizer("wordpiece")
    rows = [
        record("who?", "Paris " * 60, {"text": "Paris", "start": 0}, confidence=0.5),
        record("who?", "Paris", {"text": "Paris", "start": 0}),
    ]
    soft = one.examples(to_table(rows), backend, max_length=32)
    assert soft.weights.tolist() == [0.5] * (len(soft) - 1) + [1.0]
    assert one.examples(to_table(rows), backend, max_length=32, soft=False).weights is None


def test_questions_by_what_they_ask_for():
    from burnish.text.questions import kind_of

    asked = {
        "Who wrote it?": "who", "Whose is it?": "who", "In what year did it end?": "when", "How many were there?": "how many",
        "How does it work?": "how", "Which one?": "which", "Name the river.": "other", "Somehow it is whatever.": "other",
        "《战国无双3》是由哪两个公司合作开发的？": "which", "他是谁？": "who", "什么时候开始的？": "when", "为什么下雨？": "why",
        "总部设在什么地方？": "where", "有多少人参加？": "how many", "哪年成立的？": "when", "这是什么？": "what", "如何制作？": "how",
    }  # fmt: skip
    assert {question: kind_of(question) for question in asked} == asked


def test_the_task_passes_the_suite_of_every_task():
    from burnish.testing import check_task

    spec = TaskSpec("question_answering", languages=("en", "zh"), options={"stride": 64})
    assert check_task("question_answering", spec, TABLE, exports=False) == 8


def test_places_are_learnt_where_nearly_all_questions_have_no_answer(tmp_path):
    """In one softmax with the places, refusing is all that these 32 steps teach: an exact match of 0.44, against 0.85."""
    import random

    import tiny_bert
    from transformers import AutoTokenizer

    from burnish.core.progress import Plain
    from burnish.nn import loop, models
    from burnish.nn.predict import predict_outputs

    def told(count, seed, share):
        draw, made = random.Random(seed), []
        for _ in range(count):
            words, at = draw.choices(tiny_bert.OTHERS, k=12), draw.randrange(12)
            words[at] = draw.choice(tiny_bert.WORDS["good"])
            answer = {"text": words[at], "start": len(" ".join([*words[:at], ""]))}
            given = answer if draw.random() < share else {"text": "", "start": None}
            made.append(record("very day", " ".join(words), given))
        return to_table(made)

    folder, one = tiny_bert.make(tmp_path / "tiny"), task()
    backend = AutoTokenizer.from_pretrained(folder)
    model = models.build(folder, one.head(), seed=0)
    loop.fit(
        model,
        one.examples(told(200, 0, 0.1), backend, max_length=64),
        None,
        settings=loop.Training(epochs=4, learning_rate=3e-3, batch_tokens=512),
        scratch=None,
        progress=Plain(every_s=1e9),
        seed=0,
        objective=one.objective(),
    )
    table = told(100, 1, 1.0)
    read = one.encode(one.inputs(table), backend, max_length=64)
    answers = one.decode(
        one.inputs(table), read, predict_outputs(model, read, one.head()), {"no_answer_threshold": None}
    )
    assert one.figures(one.tally(table, answers).sum(0))["exact_match"] > 0.7


def test_an_epoch_is_judged_with_a_fitted_threshold(monkeypatch):
    """Places and order of the odds are right, the odds are too high: at 0 all is refused, and looks as good as silence."""
    from burnish.train import teach

    one, backend, labelled = task(), tokenizer("wordpiece"), TABLE.slice(0, 3)
    examples = one.examples(labelled, backend, max_length=64)
    outputs = perfect(examples)
    for window, answerable in zip(outputs, (True, False, True), strict=True):
        window[0] = 2.0 if answerable else 9.0
    inputs = one.inputs(labelled)

    silent = one.decode(inputs, examples, outputs, {})
    assert one.figures(one.tally(labelled, silent).sum(0))["f1"] == pytest.approx(1 / 3)
    monkeypatch.setattr(teach, "run", lambda *given: (outputs, 0.5))
    validation = teach.Validation(labelled, inputs, examples, examples, True)
    assert teach.judged(one, validation, one.head(), one.objective()).score(None) == (1.0, 0.5)
