"""Marked pairs: nothing of a text is lost, both spans are in every window, and the head finds the markers everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.nn import marker_heads, models
from burnish.nn.batches import make_batch
from burnish.nn.examples import Examples
from burnish.nn.kernels import Kernels, installed
from burnish.nn.markers import MARKERS, add_markers, encode_pairs
from burnish.nn.models import Head


@pytest.fixture(scope="module")
def tokenizers_by_family(tmp_path_factory):
    """A WordPiece and a byte-level tokenizer, as the tokenizers library gives them: any text has tokens in the second."""
    from tiny_bert import make, sentences
    from tokenizers import ByteLevelBPETokenizer, Tokenizer, processors
    from tokenizers.models import Unigram
    from tokenizers.pre_tokenizers import Metaspace

    folder = make(tmp_path_factory.mktemp("bert"))
    bytes_ = ByteLevelBPETokenizer()
    bytes_.train_from_iterator(sentences(100)[0], vocab_size=300, special_tokens=["<s>", "</s>"], show_progress=False)
    bytelevel = Tokenizer.from_str(bytes_.to_str())
    bytelevel.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁", -2.0)]
    pieces += [(one, -3.0) for one in sorted({c for text in sentences(100)[0] for c in text if c != " "} | set("*^:"))]
    unigram = Tokenizer(Unigram(pieces, unk_id=0))
    unigram.pre_tokenizer = Metaspace()
    unigram.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return {
        "wordpiece": Tokenizer.from_file(str(folder / "tokenizer.json")),
        "bytes": bytelevel,
        "pieces": unigram,
    }


LETTERS = st.text(st.sampled_from(list("ab 北京的👩‍🔬e\u0301\u4e00é,。\n\u3000<|>")), min_size=1, max_size=60)


@st.composite
def marked_texts(draw):
    text = draw(LETTERS.filter(str.strip))
    edges = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 12)).map(
        lambda at: (at[0], min(len(text), sum(at)))
    )
    kinds = st.sampled_from(["", "person", "地点"])
    spans = [(*draw(edges), draw(kinds)) for _ in range(draw(st.integers(2, 4)))]
    return text, spans


def windows(examples: Examples, ids: list[int]):
    """(tokens before, in and after the markers by name; characters of every token) of each window."""
    for i in range(len(examples)):
        where = examples.window(i)
        yield examples.tokens[where].tolist(), list(zip(examples.starts[where], examples.ends[where], strict=True))


@pytest.mark.parametrize("family", ["wordpiece", "bytes", "pieces"])
@settings(max_examples=60, deadline=None)
@given(marked_texts())
def test_every_window_marks_exactly_its_two_spans(tokenizers_by_family, family, case) -> None:
    tokenizer = tokenizers_by_family[family]
    ids = add_markers(tokenizer)
    text, spans = case
    pairs = [(i, j) for i in range(len(spans)) for j in range(len(spans)) if i != j]
    made = encode_pairs([text], [spans], [pairs], tokenizer, max_length=400, characters=True)
    assert len(made) == len(pairs) and made.num_truncated == 0
    bare = encode_pairs(
        [text], [[(a, b, "") for a, b, _ in spans]], [pairs], tokenizer, max_length=400, characters=True
    )
    for (tokens, _), (plain, characters), pair in zip(windows(made, ids), windows(bare, ids), pairs, strict=True):
        assert [tokens.count(one) for one in ids] == [1, 1, 1, 1]
        for kind, span in enumerate(pair):
            opening, closing = plain.index(ids[2 * kind]), plain.index(ids[2 * kind + 1])
            assert opening < closing
            start, end, _ = spans[span]
            inside = [
                c for t, c in zip(plain[opening:closing], characters[opening:closing], strict=True) if t not in ids
            ]
            assert all(start <= a and b <= end for a, b in inside)
            outside = [c for c in characters[:opening] + characters[closing:] if c[1] > c[0]]
            assert all(b <= start or a >= end for a, b in outside)


@settings(max_examples=60, deadline=None)
@given(marked_texts())
def test_nothing_but_blanks_is_lost(tokenizers_by_family, case) -> None:
    tokenizer = tokenizers_by_family["bytes"]
    text, spans = case
    made = encode_pairs([text], [spans], [[(0, 1)]], tokenizer, max_length=400, characters=True)
    covered = {at for a, b in zip(made.starts, made.ends, strict=True) for at in range(a, b)}
    assert all(text[at].isspace() for at in range(len(text)) if at not in covered)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 300), st.integers(1, 60), st.integers(0, 300), st.integers(1, 60), st.integers(16, 80))
def test_a_window_of_a_long_text_holds_both_spans(tokenizers_by_family, start, size, start2, size2, max_length) -> None:
    tokenizer = tokenizers_by_family["bytes"]
    ids = add_markers(tokenizer)
    text = "北" * 361
    spans = [(start, start + size, ""), (start2, start2 + size2, "")]
    made = encode_pairs([text], [spans], [[(0, 1)]], tokenizer, max_length=max_length, characters=True)
    tokens = made.tokens.tolist()
    assert len(tokens) <= max_length
    assert len(tokens) == max_length or made.num_truncated, "room is used up"
    for kind, (a, b, _) in enumerate(spans):
        opening, closing = tokens.index(ids[2 * kind]), tokens.index(ids[2 * kind + 1])
        own = [(x, y) for x, y in zip(made.starts, made.ends, strict=True)][opening + 1 : closing]
        assert any(a <= x < b for x, y in own if y > x), "something of the span itself is inside its markers"
        assert all(a <= x and y <= b for x, y in own if y > x)


def test_spans_far_apart_keep_both_neighbourhoods_and_are_counted(tokenizers_by_family) -> None:
    tokenizer = tokenizers_by_family["bytes"]
    text = "a" * 20 + "X" + "b" * 300 + "Y" + "c" * 20
    made = encode_pairs(
        [text], [[(20, 21, ""), (321, 322, "")]], [[(0, 1), (1, 0)]], tokenizer, max_length=30, characters=True
    )
    assert made.num_truncated == 2
    kept = {text[a:b] for a, b in zip(made.starts, made.ends, strict=True) if b > a}
    assert {"X", "Y"} <= kept and any(k.startswith("c") for k in kept) and any(k.startswith("b") for k in kept)


def test_a_marker_spelt_out_in_a_text_marks_nothing(tokenizers_by_family) -> None:
    tokenizer = tokenizers_by_family["bytes"]
    ids = add_markers(tokenizer)
    text = f"say {MARKERS[0]} and {MARKERS[3]} to x and y"
    spans = [(text.index(" x ") + 1, text.index(" x ") + 2, MARKERS[1]), (len(text) - 1, len(text), "")]
    made = encode_pairs([text], [spans], [[(0, 1)]], tokenizer, max_length=100)
    assert [made.tokens.tolist().count(one) for one in ids] == [1, 1, 1, 1]


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def tiny(request, tmp_path_factory) -> Path:
    from tiny_bert import make

    return make(tmp_path_factory.mktemp(request.param), family=request.param, big_table=request.param == "bert")


HEAD = Head("markers", ("no_relation", "likes", "hates"))


def batch_of(tokenizer):
    texts = ["the film was good and the staff very rude", "酒店 房间 喜欢 退货"]
    spans = [[(4, 8, "thing"), (26, 31, "person")], [(0, 2, "地点"), (3, 5, "")]]
    return make_batch(
        encode_pairs(texts, spans, [[(0, 1), (1, 0)], [(0, 1)]], tokenizer, max_length=48), np.arange(3), pad_token=0
    )


def test_saved_model_answers_the_same_and_its_backbone_is_stock(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    batch = batch_of(tokenizer)
    model = models.build(tiny, HEAD, seed=1).eval()
    models.save(model, tmp_path / "m", HEAD, tokenizer=tokenizer)
    again = marker_heads.load(tmp_path / "m", HEAD)
    with torch.no_grad():
        expected, found = model(batch.ids_BL, batch.mask_BL), again(batch.ids_BL, batch.mask_BL)
    assert expected.shape == (3, 3)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(expected[0], expected[1]), "head and tail are not the same thing"
    AutoModel.from_pretrained(tmp_path / "m")
    assert add_markers(AutoTokenizer.from_pretrained(tmp_path / "m")) == list(again.config.marker_ids)


def test_the_same_seed_builds_the_same_model(tiny: Path) -> None:
    one, two = (models.build(tiny, HEAD, seed=4).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("kernels", [Kernels(), Kernels("bf16", "onednn", "matmul", layers="stack")])
def test_trains_on_every_kernel(tiny: Path, kernels: Kernels) -> None:
    from transformers import AutoTokenizer

    batch = batch_of(AutoTokenizer.from_pretrained(tiny))
    model = models.build(tiny, HEAD, seed=1).train()
    before = model.out.weight.detach().clone()
    with installed(model, kernels, seed=0) as operators:
        operators.pool.begin(1)
        loss = torch.nn.functional.cross_entropy(model(batch.ids_BL, batch.mask_BL).float(), torch.tensor([0, 1, 2]))
        loss.backward()
        assert all(p.grad is not None for name, p in operators.working.items() if name.startswith(("dense", "out")))
    assert torch.equal(model.out.weight, before) and torch.isfinite(loss)


def test_exports_to_onnx_with_the_inputs_of_every_encoder(tiny: Path, tmp_path: Path) -> None:
    import onnxruntime
    from transformers import AutoTokenizer

    from burnish.nn.export import export_onnx

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    batch = batch_of(tokenizer)
    model = models.build(tiny, HEAD, seed=1).eval()
    path = export_onnx(model, tokenizer, tmp_path, max_length=48)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {"input_ids": batch.ids_BL.numpy(), "attention_mask": batch.mask_BL.numpy()}
    feed["token_type_ids"] = np.zeros_like(feed["input_ids"])
    names = [one.name for one in session.get_inputs()]
    found = session.run(None, {name: feed[name] for name in names})[0]
    with torch.no_grad():
        expected = model(batch.ids_BL, batch.mask_BL).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
