"""Sizes by name: what is made is what is described, and the ecosystem loads it."""

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

from burnish.core.errors import BurnishError
from burnish.nn.architectures import (
    SIZES,
    architecture_of,
    config,
    describe,
    is_fresh,
    layers_and_width,
    make,
    network,
)
from burnish.nn.pieces import learn
from burnish.nn.stack import layers_of

FAMILIES = {"encoder": AutoModelForMaskedLM, "decoder": AutoModelForCausalLM, "encoder-decoder": AutoModelForSeq2SeqLM}
TEXTS = ["the film was warm", "我们在北京大学"] * 4


@pytest.mark.parametrize("architecture", FAMILIES)
def test_what_is_made_is_what_was_described_and_the_same_from_a_seed(architecture, tmp_path) -> None:
    tokenizer = learn(TEXTS, vocabulary=300, architecture=architecture)
    size = config(architecture, "2x32", vocabulary=len(tokenizer), positions=64, tokenizer=tokenizer)
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        make(tmp_path / name, size, tokenizer, seed=seed)
    a, b, c = (FAMILIES[architecture].from_pretrained(tmp_path / name) for name in "abc")
    told = describe(size)
    assert told["parameters"] == sum(one.numel() for one in a.parameters())
    assert (told["architecture"], told["layers"], told["hidden"], told["length"]) == (architecture, 2, 32, 64)
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), c.state_dict().values(), strict=True))
    assert architecture_of(a.config) == architecture and is_fresh(tmp_path / "a")
    assert a.config.vocab_size % 8 == 0 and 0 <= a.config.vocab_size - len(tokenizer) < 8
    again = AutoTokenizer.from_pretrained(tmp_path / "a")
    assert again(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert a.config.pad_token_id == again.pad_token_id


def test_an_encoder_is_one_that_trains_fast() -> None:
    made = AutoModel.from_config(config("encoder", "tiny", vocabulary=100))
    assert layers_of(made) is not None and len(layers_of(made)[1]) == 2


def test_flops_are_those_of_the_products() -> None:
    """Forward: two for each weight of a layer and of the head, and 4 D for each pair of tokens; three times that in training."""
    layers, hidden, rows, length = 2, 32, 104, 16
    made = config("encoder", f"{layers}x{hidden}", vocabulary=rows, positions=64)
    products = layers * (4 * hidden * hidden + 2 * hidden * 4 * hidden) + hidden * hidden + hidden * rows
    forward = 2 * products + layers * 4 * hidden * length
    told = describe(made, length=length)["flops_per_token"]
    assert 3 * forward <= told <= 3 * forward * 1.05  # biases and norms are counted as weights


def test_sizes_by_name_and_by_hand() -> None:
    assert layers_and_width("base") == (12, 768) == layers_and_width("12x768")
    for wrong in ("huge", "0x64", "12x", "2x30"):
        with pytest.raises(BurnishError, match="tiny"):
            layers_and_width(wrong)
    with pytest.raises(ValueError, match="encoder-decoder"):
        config("both", "tiny", vocabulary=100)


def test_the_table_of_the_docs_is_what_the_sizes_are() -> None:
    """Parameters without the rows of the vocabulary, in millions, as docs/{en,zh}/pretraining.md print them."""
    from pathlib import Path

    for page in ("en", "zh"):
        text = (Path(__file__).parents[2] / "docs" / page / "pretraining.md").read_text("utf-8")
        for name, (layers, hidden) in SIZES.items():
            row = [f"`{name}`", str(layers), str(hidden)]
            for architecture in FAMILIES:
                told = describe(config(architecture, name, vocabulary=16_000))
                row.append(f"{told['parameters'] / 1e6:.1f}")
            assert f"| {' | '.join(row)} |" in text


def test_networks_of_the_library_are_recognised() -> None:
    from transformers import GPT2Config, T5Config, ViTConfig, XLMRobertaConfig

    assert architecture_of(XLMRobertaConfig()) == "encoder"
    assert architecture_of(GPT2Config()) == "decoder" and architecture_of(T5Config()) == "encoder-decoder"
    with pytest.raises(BurnishError, match="vit"):
        architecture_of(ViTConfig())
    assert isinstance(network(config("decoder", "1x16", vocabulary=16)), torch.nn.Module)
