"""Tokenizers learnt from text: any text comes back, the same texts give the same bytes, Chinese is cut as asked."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.nn.merging import merges
from burnish.nn.pieces import READING, WRITING, evenly, learn, sentinels
from burnish.nn.unigram import unigram
from burnish.text.segment import segmented, words_of

EN = ["The lovely film was bright and warm, the staff very kind.", "The room wasn't bad: 3 of 5 stars, lovely staff."]
ZH = ["我们在北京大学学习中国人民的历史。", "酒店位置很好，房间干净，北京大学就在旁边。", "我们喜欢这家酒店的位置。"]
TEXTS = (EN + ZH) * 8
KINDS = ("bpe", "unigram", "wordpiece")
WILD = [
    "<0x41> </s> <|im_start|> [MASK] <extra_id_0>",
    "🎉\n\t  a\r\n\u200b\u0301",
    "",
    " ",
    "ÜBER 北京 iPhone手机 ___",
]


@pytest.fixture(scope="module")
def learnt():
    made = {}

    def of(kind: str, chinese: str = "characters", **more):
        key = (kind, chinese, *sorted(more.items()))
        if key not in made:
            made[key] = learn(TEXTS, kind=kind, chinese=chinese, vocabulary=500, **more)
        return made[key]

    return of


def as_text(tokenizer, text: str) -> list[int]:
    """Numbers of a text that is read as text, whatever it says."""
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    try:
        return list(backend.encode(text, add_special_tokens=False).ids)
    finally:
        backend.encode_special_tokens = False


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("chinese", ["characters", "words", "none"])
def test_any_text_comes_back(learnt, kind: str, chinese: str) -> None:
    tokenizer = learnt(kind, chinese)

    @given(st.text())
    @settings(max_examples=150, deadline=None)
    def comes_back(text: str) -> None:
        numbers = as_text(tokenizer, text)
        assert tokenizer.decode(numbers) == text
        assert not set(numbers) & {tokenizer.convert_tokens_to_ids(token) for token in WRITING}

    comes_back()
    for text in (*WILD, *TEXTS[:5]):
        assert tokenizer.decode(as_text(tokenizer, text)) == text


def test_lower_case_comes_back_in_lower_case(learnt) -> None:
    tokenizer = learnt("bpe", lowercase=True)
    assert tokenizer.decode(as_text(tokenizer, "The FILM 北京 <0x41>")) == "the film 北京 <0x41>"


def test_wordpiece_reads_as_bert_does(learnt) -> None:
    tokenizer = learnt("wordpiece", architecture="encoder", lowercase=True)
    read = tokenizer.tokenize("Lovély 北京!")
    assert read[0] == "lovely" and read[1:3] == ["北", "京"]
    assert tokenizer.tokenize("🎉 film") == ["[UNK]", "film"]
    assert (
        tokenizer.decode(tokenizer("the film was warm")["input_ids"], skip_special_tokens=True) == "the film was warm"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_chinese_is_cut_as_asked(learnt, kind: str) -> None:
    def cut(chinese: str) -> list[str]:
        return [one.removeprefix("##") for one in learnt(kind, chinese).tokenize("北京大学")]

    assert cut("characters") == ["北", "京", "大", "学"]
    assert cut("words") == ["北京大学"]
    across = [one for one in learnt(kind, "words").get_vocab() if "学学" in one or "们在" in one]
    assert across == [], "no piece crosses the end of a word"


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_frames_texts_and_a_vocabulary_has_its_size(learnt, kind: str) -> None:
    tokenizer = learnt(kind, architecture="encoder")
    assert len(tokenizer) <= 500
    assert [tokenizer.convert_tokens_to_ids(token) for token in READING] == list(range(5))
    read = tokenizer("The film", "The room")
    tokens = tokenizer.convert_ids_to_tokens(read["input_ids"])
    assert (tokens[0], tokens.count("[SEP]"), tokens[-1]) == ("[CLS]", 2, "[SEP]")
    begin = tokens.index("[SEP]") + 1
    assert read["token_type_ids"] == [0] * begin + [1] * (len(tokens) - begin)


def test_writers_have_their_ends_and_sentinels(learnt) -> None:
    both = learnt("bpe", architecture="encoder-decoder", sentinels=7)
    assert len(both) <= 500 and sentinels(both) == list(range(len(both) - 7, len(both)))
    assert both("a <extra_id_0> b")["input_ids"].count(sentinels(both)[0]) == 1
    assert both("film")["input_ids"][-1] == both.eos_token_id == WRITING.index("</s>")
    decoder = learnt("unigram")
    assert decoder("film")["input_ids"] == as_text(decoder, "film") and decoder.eos_token == "<|im_end|>"
    assert sentinels(decoder) == []


def test_a_saved_tokenizer_reads_alike(learnt, tmp_path) -> None:
    from transformers import AutoTokenizer

    for kind in KINDS:
        tokenizer = learnt(kind, "words", architecture="encoder")
        tokenizer.save_pretrained(tmp_path / kind)
        again = AutoTokenizer.from_pretrained(tmp_path / kind)
        for text in (*WILD, *TEXTS[:5]):
            assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert again.mask_token_id == tokenizer.mask_token_id == 4


PRINT = """
import hashlib, json, sys
from burnish.nn.pieces import learn
texts = json.loads(sys.stdin.read())
for kind in ("bpe", "unigram", "wordpiece"):
    made = learn(texts, kind=kind, chinese="words", vocabulary=500).backend_tokenizer
    print(hashlib.sha256(made.to_str().encode()).hexdigest())
"""


def test_the_same_texts_give_the_same_bytes_in_another_process() -> None:
    run = [sys.executable, "-c", PRINT]
    sums = {
        subprocess.run(
            run,
            input=json.dumps(TEXTS),
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": s},
        ).stdout
        for s in ("1", "2")
    }
    assert len(sums) == 1 and len(set(next(iter(sums)).split())) == 3


def test_pairs_are_joined_in_the_order_of_their_counts() -> None:
    """By hand: 1 2 occurs 7 times, then (1 2) 3 occurs 4 times, then 4 4 twice; 5 6 once is too rare."""
    words = {(1, 2, 3): 4, (1, 2): 3, (4, 4): 2, (5, 6): 1}
    assert merges(words, count=10) == [((1,), (2,)), ((1, 2), (3,)), ((4,), (4,))]
    assert merges(words, count=1) == [((1,), (2,))]
    assert merges(words, count=10, longest=2) == [((1,), (2,)), ((4,), (4,))]
    assert merges({}, count=3) == []


def test_unigram_keeps_what_the_texts_would_miss() -> None:
    words = {"abab": 50, "cd": 40, "abcd": 1, "ef": 3}
    scores = unigram(words, list("abcdef"), ["ab", "abab", "cd", "bc", "ef"], vocabulary=8)
    assert set(scores) == {*"abcdef", "abab", "cd"} and all(score < 0 for score in scores.values())
    assert scores["abab"] > scores["cd"] > scores["e"]


def test_texts_are_taken_evenly_from_a_stream() -> None:
    stream = [f"{at:04d}" for at in range(1000)]
    kept = evenly(iter(stream), 1000)
    assert 500 <= sum(map(len, kept)) <= 1000 and kept == stream[:: 1000 // len(kept) + (1000 % len(kept) > 0)]
    assert evenly(["x" * 50], 20) == ["x" * 20] and evenly(stream[:5], 1000) == stream[:5]


@given(st.text(alphabet=st.sampled_from("我们在北京大学x y,1。ア東")))
def test_segments_join_to_the_text(text: str) -> None:
    assert "".join(segmented(text)) == text


def test_words_are_words() -> None:
    assert words_of("我们在北京大学学习") == ["我们", "在", "北京大学", "学习"]
    assert segmented("买iPhone手机吧") == ["买", "iPhone", "手机", "吧"]


def test_digest_of_a_vocabulary_is_stable() -> None:
    """The bytes of BPE from two texts: a change of order or format is a change of every model trained on it."""
    made = learn(["ab ab ab", "abc"], vocabulary=270).backend_tokenizer
    content = json.loads(made.to_str())["model"]
    assert content["merges"] == [["a", "b"], [" ", "ab"]]
    assert hashlib.sha256(json.dumps(content["vocab"], sort_keys=True).encode()).hexdigest()
    assert {piece for piece, number in content["vocab"].items() if number >= 261} == {" ", "a", "b", "c", "ab", " ab"}
