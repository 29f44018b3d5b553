import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.measures import generation

piece = st.sampled_from(
    [
        "the ",
        "cat",
        " sat",
        " on",
        "a mat",
        ".",
        ",",
        " 3.14",
        "1,000",
        "-",
        "\n",
        "&amp;",
        "<b>",
        "%",
        "(x)",
        "’s ",
        "naïve ",
    ]
)
chinese = st.sampled_from(
    ["今天", "天气", "很好", "，", "。", "“你好”", "3.5%", "iPhone", " ", "——", "…", "（", "\U00020001", "ａ", "é"]
)
english_texts = st.lists(piece, max_size=15).map("".join)
chinese_texts = st.lists(chinese, max_size=15).map("".join)


def corpora(texts):
    """(said, references) of a few records, each with the same number of references, as sacrebleu wants them."""
    near = st.tuples(texts, texts).map(lambda pair: pair[0] + pair[1])
    record = st.one_of(st.tuples(texts, st.tuples(near, texts)), texts.map(lambda text: (text, (text, text + "x"))))
    return st.lists(record, min_size=1, max_size=5).map(lambda rows: ([a for a, _ in rows], [list(b) for _, b in rows]))


def columns(references):
    return [list(column) for column in zip(*references, strict=True)]


def peer(name, reason):
    return pytest.importorskip(name, reason=reason)


@given(st.one_of(st.tuples(st.just("13a"), corpora(english_texts)), st.tuples(st.just("zh"), corpora(chinese_texts))))
@settings(deadline=None)
def test_bleu_is_sacrebleus(drawn):
    sacrebleu = peer("sacrebleu", "sacrebleu is not installed")
    tokenize, (said, references) = drawn
    counts = generation.bleu_counts(said, references, tokenize=tokenize)
    theirs = sacrebleu.BLEU(tokenize=tokenize)
    expected = theirs.corpus_score(said, columns(references))
    assert counts.sum(0).tolist() == [expected.sys_len, expected.ref_len, *expected.counts, *expected.totals]
    assert float(generation.bleu(counts.sum(0))) == pytest.approx(expected.score, abs=1e-9)
    alone = sacrebleu.BLEU(tokenize=tokenize, effective_order=True)
    for text, gold, row in zip(said, references, counts, strict=True):
        ours = float(generation.bleu(row, effective_order=True))
        assert ours == pytest.approx(alone.sentence_score(text, gold).score, abs=1e-9)


@given(st.one_of(corpora(english_texts), corpora(chinese_texts)))
@settings(deadline=None)
def test_chrf_is_sacrebleus(drawn):
    sacrebleu = peer("sacrebleu", "sacrebleu is not installed")
    said, references = drawn
    counts = generation.chrf_counts(said, references)
    expected = sacrebleu.CHRF().corpus_score(said, columns(references)).score
    assert float(generation.chrf(counts.sum(0))) == pytest.approx(expected, abs=1e-9)


@given(corpora(english_texts.map(lambda text: text.replace("ï", "i").replace("’", "'"))))
@settings(deadline=None)
def test_rouge_is_rouge_scores_in_ascii(drawn):
    scorer = peer("rouge_score.rouge_scorer", "rouge-score is not installed")
    said, references = drawn
    ours = generation.rouge(said, references)
    theirs = scorer.RougeScorer(list(ours), use_stemmer=False)
    for row, (text, gold) in enumerate(zip(said, references, strict=True)):
        for name, score in theirs.score_multi(gold, text).items():
            assert ours[name][row].tolist() == pytest.approx([score.precision, score.recall, score.fmeasure])


def test_a_chinese_sentence_is_itself_and_half_of_it_is_half():
    text, half = "今天天气很好，我们去公园。", "今天天气很好"
    for name, scores in generation.rouge([text, half], [[text], [text]]).items():
        assert scores[0].tolist() == [1.0, 1.0, 1.0], name
        assert scores[1, 0] == 1.0 and 0.45 < scores[1, 1] < 0.55
    assert float(generation.bleu(generation.bleu_counts([text], [[text]])[0])) == pytest.approx(100)
    assert float(generation.chrf(generation.chrf_counts([text], [[text]])[0])) == pytest.approx(100)
    mixed = "我买了iPhone 15手机"
    assert generation.rouge_tokens(mixed) == ["我", "买", "了", "iphone", "15", "手", "机"]


def test_the_tokenisation_follows_the_script_of_the_reference():
    said, references = ["今天很好。", "It is 3.14, ok."], [["今天真好。"], ["It is 3.14, ok."]]
    auto = generation.bleu_counts(said, references)
    assert (auto[0] == generation.bleu_counts(said[:1], references[:1], tokenize="zh")[0]).all()
    assert (auto[1] == generation.bleu_counts(said[1:], references[1:], tokenize="13a")[0]).all()
    assert generation.tokens_13a("It is 3.14, ok-ish 5-a.") == "It is 3.14 , ok-ish 5 - a ."


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_longest_common_subsequence_by_the_table(a, b):
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if one == other else max(table[i, j + 1], table[i + 1, j])
    assert generation.longest_common_subsequence(a, b) == table[-1, -1]


@given(corpora(english_texts))
def test_scores_of_many_sums_at_once_are_those_of_each(drawn):
    said, references = drawn
    for counts, score in (
        (generation.bleu_counts(said, references), generation.bleu),
        (generation.chrf_counts(said, references), generation.chrf),
    ):
        draws = np.random.default_rng(0).multinomial(len(said), np.full(len(said), 1 / len(said)), size=3)
        sums = draws @ counts
        assert score(sums).tolist() == pytest.approx([float(score(row)) for row in sums])


def test_a_record_without_a_reference_is_an_error():
    with pytest.raises(ValueError, match="record 1"):
        generation.bleu_counts(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match="record 0"):
        generation.rouge(["a"], ["a"])
    assert generation.bleu_counts([], []).shape == (0, 10)
