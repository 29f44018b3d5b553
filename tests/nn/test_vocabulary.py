"""Vocabularies made larger and smaller: fewer tokens, the same numbers for what stays, every weight moved with its piece."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

from burnish.core.errors import WeightsError
from burnish.nn.architectures import config, make
from burnish.nn.pieces import learn
from burnish.nn.tokenizer_json import Pieces
from burnish.nn.vocabulary import extend, trim

GENERAL = [
    "the film was warm and the room was clean",
    "we like the staff of the hotel",
    "酒店的房间很干净，我们喜欢。",
] * 6
MEDICAL = ["melanoma metastases were resected", "recurrent melanoma with metastases", "我们切除黑色素瘤转移灶"] * 6
FAMILIES = {"encoder": AutoModelForMaskedLM, "decoder": AutoModelForCausalLM, "encoder-decoder": AutoModelForSeq2SeqLM}
# what a vocabulary is made of, and what it is put into: each kind once, each architecture once
MADE = [("wordpiece", "encoder", 0), ("unigram", "encoder-decoder", 5), ("bpe", "decoder", 3), ("bpe", "encoder", 0)]


@pytest.fixture(scope="module", params=MADE, ids=lambda one: "-".join(map(str, one)))
def folder(request, tmp_path_factory) -> tuple[Path, str]:
    kind, architecture, sentinels = request.param
    letters = [" ".join("abcdefghijklmnopqrstuvwxyz"), "melanoma resected 我们切除黑色素瘤转移灶"]
    tokenizer = learn(
        [*GENERAL, *letters], kind=kind, vocabulary=420, architecture=architecture, chinese="none", sentinels=sentinels
    )
    size = config(architecture, "1x32", vocabulary=len(tokenizer), positions=64, tokenizer=tokenizer)
    made = make(tmp_path_factory.mktemp("vocabulary") / "old", size, tokenizer, seed=0)
    return made, architecture


def opened(folder: Path, architecture: str):
    return AutoTokenizer.from_pretrained(folder), FAMILIES[architecture].from_pretrained(folder).eval()


def outputs(model, numbers: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return (
            model(input_ids=torch.tensor([numbers])).logits[0]
            if not model.config.is_encoder_decoder
            else model(input_ids=torch.tensor([numbers]), decoder_input_ids=torch.tensor([numbers])).logits[0]
        )


def test_a_domain_is_said_in_fewer_tokens(folder, tmp_path) -> None:
    old, architecture = folder
    told = extend(old, tmp_path / "new", MEDICAL, add=40, least=3)
    assert 5 <= told["added"] == len(told["pieces"]) <= 40 and told["tokens_after"] < 0.7 * told["tokens_before"]
    (before, _), (after, larger) = opened(old, architecture), opened(tmp_path / "new", architecture)
    for text in MEDICAL[:3]:
        a, b = (one(text, add_special_tokens=False)["input_ids"] for one in (before, after))
        assert len(b) < len(a) and after.decode(b) == before.decode(a)
    count = sum(len(after(text, add_special_tokens=False)["input_ids"]) for text in MEDICAL)
    assert count == told["tokens_after"]
    assert larger.config.vocab_size == len(after) == len(before) + told["added"]
    assert larger.get_input_embeddings().weight.shape[0] == len(after)


def test_a_new_piece_starts_as_the_mean_of_the_old_ones(folder, tmp_path) -> None:
    old, architecture = folder
    told = extend(old, tmp_path / "new", MEDICAL, add=40, least=3)
    (before, model), (after, larger) = opened(old, architecture), opened(tmp_path / "new", architecture)
    table, grown = (one.get_input_embeddings().weight.detach() for one in (model, larger))
    numbers = Pieces(json.loads(before.backend_tokenizer.to_str()))
    for piece in told["pieces"]:
        told_of = piece.removeprefix(numbers.mark)
        found = [  # the ways to write it with two or more old pieces; its vector is the mean of one of them
            cut for cut in _cuts(piece, set(numbers.of_model.values()), numbers.mark) if len(cut) > 1
        ]
        means = [table[[before.convert_tokens_to_ids(one) for one in cut]].mean(0) for cut in found]
        row = grown[after.convert_tokens_to_ids(piece)]
        assert any(torch.allclose(row, mean, atol=1e-6) for mean in means), told_of
    for token in numbers.all.values():
        assert torch.equal(table[before.convert_tokens_to_ids(token)], grown[after.convert_tokens_to_ids(token)]), (
            f"{token} moved"
        )


def _cuts(piece: str, pieces: set[str], mark: str, go_on: bool = False) -> list[list[str]]:
    if go_on and not piece:
        return [[]]
    found = []
    for end in range(1, len(piece) + 1):
        head = piece[:end] if not go_on else mark + piece[:end]
        if head in pieces:
            found += [[head, *rest] for rest in _cuts(piece[end:], pieces, mark, True)]
    return found


def test_old_text_is_read_as_before(folder, tmp_path) -> None:
    """Outputs at texts without a new piece: the same numbers for the same pieces."""
    old, architecture = folder
    extend(old, tmp_path / "new", MEDICAL, add=40, least=3)
    (before, model), (after, larger) = opened(old, architecture), opened(tmp_path / "new", architecture)
    text = "the film was warm"
    a, b = before(text)["input_ids"], after(text)["input_ids"]
    assert before.convert_ids_to_tokens(a) == after.convert_ids_to_tokens(b)
    columns = [after.convert_tokens_to_ids(token) for token in before.convert_ids_to_tokens(range(len(before)))]
    was, now = outputs(model, a)[:, : len(before)], outputs(larger, b)[:, columns]
    assert torch.allclose(was, now, atol=1e-5)


@pytest.mark.parametrize("single", [True, False])
def test_what_stays_gives_the_same_numbers(folder, tmp_path, single: bool) -> None:
    old, architecture = folder
    told = trim(old, tmp_path / "new", MEDICAL, single=single)
    (before, model), (after, smaller) = opened(old, architecture), opened(tmp_path / "new", architecture)
    assert (
        told["dropped"] > 0 and told["kept"] == len(after) == smaller.config.vocab_size == len(before) - told["dropped"]
    )
    assert after.all_special_tokens == before.all_special_tokens
    for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        number = getattr(model.config, name, None)
        if number is not None:
            token = before.convert_ids_to_tokens(number)
            assert getattr(smaller.config, name) == after.convert_tokens_to_ids(token), name
    kept = after.convert_ids_to_tokens(range(len(after)))
    columns = [before.convert_tokens_to_ids(token) for token in kept]
    for text in MEDICAL[:3]:
        a, b = before(text)["input_ids"], after(text)["input_ids"]
        assert before.convert_ids_to_tokens(a) == after.convert_ids_to_tokens(b)
        assert torch.allclose(outputs(model, a)[:, columns], outputs(smaller, b), atol=1e-5)
    if single:  # nothing has become unknown that was not
        text = "zebra 黑瘤"
        unknown = before.unk_token_id
        assert (unknown in before(text)["input_ids"]) >= (after.unk_token_id in after(text)["input_ids"])


def test_an_encoder_without_a_head_keeps_every_bit(tmp_path) -> None:
    from tiny_bert import make as tiny
    from tiny_bert import sentences
    from transformers import AutoModel

    old = tiny(tmp_path / "old", big_table=False)
    texts = sentences(20)[0]
    rare = AutoTokenizer.from_pretrained(old).tokenize("退货")[0]
    told = trim(old, tmp_path / "new", texts, least=3, single=False, always=lambda piece, number: piece == rare)
    assert told["dropped"] > 0
    before, after = (AutoTokenizer.from_pretrained(one) for one in (old, tmp_path / "new"))
    assert rare in after.get_vocab()
    models = [AutoModel.from_pretrained(one).eval() for one in (old, tmp_path / "new")]
    compared = 0
    for text in texts:
        a, b = (one(text, return_tensors="pt") for one in (before, after))
        tokens = [one.convert_ids_to_tokens(read["input_ids"][0]) for one, read in ((before, a), (after, b))]
        if set(tokens[0]) <= after.get_vocab().keys():
            assert tokens[0] == tokens[1] and (a["token_type_ids"] == b["token_type_ids"]).all()
            with torch.inference_mode():
                one, other = (model(**read).last_hidden_state for model, read in zip(models, (a, b), strict=True))
            assert torch.equal(one, other)
            compared += 1
    assert compared > 3


def test_byte_level_vocabularies_keep_their_bytes_and_say_any_text(tmp_path) -> None:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    learner = ByteLevelBPETokenizer()
    learner.train_from_iterator(GENERAL, vocab_size=330, show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=learner._tokenizer, eos_token="<|endoftext|>")
    tokenizer.add_special_tokens({"eos_token": "<|endoftext|>"})
    size = config("decoder", "1x16", vocabulary=len(tokenizer), positions=64, tokenizer=tokenizer)
    old = make(tmp_path / "old", size, tokenizer, seed=0)
    told = extend(old, tmp_path / "larger", MEDICAL, add=60, least=3)
    assert told["tokens_after"] < told["tokens_before"] and any(piece.startswith("Ġ") for piece in told["pieces"])
    trim(tmp_path / "larger", tmp_path / "smaller", MEDICAL)
    after = AutoTokenizer.from_pretrained(tmp_path / "smaller")
    for text in ("zebra 🎉 ü 未见过的字", *MEDICAL[:3]):
        assert after.decode(after(text)["input_ids"]) == text
    assert after.eos_token_id == AutoModelForCausalLM.from_pretrained(tmp_path / "smaller").config.eos_token_id


def test_mistakes_are_told(folder, tmp_path) -> None:
    old, _ = folder
    (tmp_path / "there").mkdir()
    with pytest.raises(WeightsError, match="is there already"):
        trim(old, tmp_path / "there", MEDICAL)
    shutil.copytree(old, tmp_path / "bare")
    (tmp_path / "bare" / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no model\.safetensors"):
        trim(tmp_path / "bare", tmp_path / "new", MEDICAL)


def test_parts_of_a_piece_stay_with_it() -> None:
    """By hand: abc is ab and c, ab is a and b; xy is dropped with its merge."""
    vocabulary = {piece: number for number, piece in enumerate(["a", "b", "c", "x", "y", "ab", "xy", "abc"])}
    merges = [["a", "b"], ["x", "y"], ["ab", "c"]]
    content = {"model": {"type": "BPE", "vocab": vocabulary, "merges": merges}, "added_tokens": []}
    pieces = Pieces(content)
    kept = pieces.parts({7, 3})
    assert kept == {0, 1, 2, 3, 5, 7}
    made = pieces.renumbered({was: now for now, was in enumerate(sorted(kept))})["model"]
    assert made["vocab"] == {"a": 0, "b": 1, "c": 2, "x": 3, "ab": 4, "abc": 5}
    assert made["merges"] == [["a", "b"], ["ab", "c"]] and content["model"]["merges"] == merges


def test_the_mean_is_taken_in_fp32() -> None:
    from burnish.nn.vocabulary import _moved

    table = torch.tensor([[256.0], [1.0], [1.0]], dtype=torch.bfloat16)
    made = _moved(table, {0: [2], 1: [0, 1, 2]}, 0)
    assert made.dtype == torch.bfloat16 and made[1].item() == torch.tensor(86.0).bfloat16().item()
    assert np.isclose(made[0].item(), 1.0)
