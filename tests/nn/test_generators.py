"""Models that write: what is learnt, what packing keeps apart, what is on disk, what is written."""

import copy
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.core.errors import WeightsError
from burnish.core.progress import Silent
from burnish.nn import models
from burnish.nn.batches import make_batch
from burnish.nn.conversations import encode_conversations, encode_prompts
from burnish.nn.examples import IGNORED, encode
from burnish.nn.fresh import fresh
from burnish.nn.generation_objectives import NextToken, packed_rows
from burnish.nn.generators import GeneratorEngine, build, load, save
from burnish.nn.loop import fit
from burnish.nn.models import Head
from burnish.nn.pieces import WRITING, learn_tokenizer
from burnish.nn.strategies.low_rank import Lora
from burnish.nn.training import Training, settle
from burnish.nn.writing import write

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "今天",
    "天气",
    "很",
    "好",
    "我们",
    "去",
    "公园",
    "12",
    "dogs",
    "ran",
]
HEAD = Head("generator", (), {"generation": {"max_new_tokens": 16}})


def dialogues(count: int, *, seed: int = 0, longest: int = 5) -> list[list[dict[str, str]]]:
    draw = random.Random(seed)

    def said(least: int, most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(least, most)))

    return [
        [{"role": "user", "content": f"{i} {said(1, 6)}"}, {"role": "assistant", "content": said(1, longest)}]
        for i in range(count)
    ]


def tokenizer_of(folder: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory) -> Path:
    texts = [turn["content"] for one in dialogues(60) for turn in one]
    return fresh(tmp_path_factory.mktemp("decoder"), texts, architecture="decoder", hidden=64, layers=2, vocabulary=340)


@pytest.fixture(scope="module")
def translator(tmp_path_factory) -> Path:
    return fresh(tmp_path_factory.mktemp("translator"), WORDS * 3, hidden=64, layers=2, vocabulary=330)


def test_examples_that_share_a_row_learn_as_they_would_alone(decoder: Path) -> None:
    """Loss and every gradient, packed and not, and with each example alone in its batch."""
    model = build(decoder, HEAD, seed=0)
    examples = encode_conversations(dialogues(9, longest=60), tokenizer_of(decoder), max_length=300)
    examples = replace(examples, weights=np.arange(1, 10, dtype=np.float32))
    batch = make_batch(examples, np.arange(9), pad_token=0)
    lengths = (batch.mask_BL[:, :-1].sum(1)).tolist()
    assert len(packed_rows(lengths, room=batch.ids_BL.shape[1] - 1)) < 9, "this test should pack something"

    def run(objective: NextToken, rows: list[np.ndarray]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        model.zero_grad()
        losses = []
        for some in rows:
            part = make_batch(examples, some, pad_token=0)
            losses.append(objective.loss(objective.forward(model, part), part, model))
        loss_B = torch.cat(losses)
        (loss_B * torch.from_numpy(examples.weights)).mean().backward()
        return loss_B.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}

    packed, apart = (run(NextToken(packing=packing), [np.arange(9)]) for packing in (True, False))
    assert torch.allclose(packed[0], apart[0], atol=1e-5, rtol=1e-5)
    for name, grad in apart[1].items():
        assert torch.allclose(packed[1][name], grad, atol=1e-5, rtol=1e-5), name
    alone = run(NextToken(), [np.array([i]) for i in range(9)])[0]  # normalised over its own tokens
    told = np.array([(examples.take([i]).token_targets != IGNORED).sum() for i in range(9)])
    assert torch.allclose(apart[0], alone * torch.from_numpy(told * 9 / told.sum()).float(), atol=1e-5, rtol=1e-4)


def test_a_neighbour_in_the_row_changes_nothing(decoder: Path) -> None:
    """Other words in one example leave the losses of those it shares a row with as they were, to the bit."""
    model = build(decoder, HEAD, seed=0).eval()
    examples = encode_conversations(dialogues(6, longest=60), tokenizer_of(decoder), max_length=300)
    batch = make_batch(examples, np.arange(6), pad_token=0)
    other = make_batch(replace(examples, tokens=_changed(examples, 0)), np.arange(6), pad_token=0)
    objective = NextToken()
    with torch.no_grad():
        before, after = (objective.loss(objective.forward(model, one), one, model) for one in (batch, other))
    assert torch.equal(before[1:], after[1:]) and before[0] != after[0]


def _changed(examples, row: int) -> np.ndarray:
    tokens = examples.tokens.copy()
    tokens[examples.window(row)][4:9] = 300
    return tokens


def test_the_loss_is_transformers_own(decoder: Path, translator: Path) -> None:
    """Against `labels=` of transformers: a mean over the target tokens of the batch."""
    model = build(decoder, HEAD, seed=0).eval()
    batch = make_batch(
        encode_conversations(dialogues(5), tokenizer_of(decoder), max_length=64), np.arange(5), pad_token=0
    )
    objective = NextToken()
    theirs = model.plain(input_ids=batch.ids_BL, attention_mask=batch.mask_BL, labels=batch.token_targets_BL).loss
    assert torch.allclose(objective.loss(objective.forward(model, batch), batch, model).mean(), theirs, atol=1e-5)
    model, tokenizer = build(translator, HEAD, seed=0).eval(), tokenizer_of(translator)
    examples = replace(
        encode(WORDS[:5], tokenizer, max_length=20), output=encode(WORDS[5:10], tokenizer, max_length=20)
    )
    batch = make_batch(examples, np.arange(5), pad_token=0)
    labels = batch.output.ids_BL.masked_fill(batch.output.mask_BL == 0, IGNORED)
    theirs = model.plain(input_ids=batch.ids_BL, attention_mask=batch.mask_BL, labels=labels).loss
    assert torch.allclose(objective.loss(objective.forward(model, batch), batch, model).mean(), theirs, atol=1e-5)


def test_logits_are_computed_at_targets_only(decoder: Path) -> None:
    model = build(decoder, HEAD, seed=0)
    examples = encode_conversations(dialogues(4), tokenizer_of(decoder), max_length=64)
    outputs = NextToken().forward(model, make_batch(examples, np.arange(4), pad_token=0))
    assert len(outputs.logits_TV) == (examples.token_targets != IGNORED).sum()
    nothing = replace(examples, token_targets=np.full_like(examples.token_targets, IGNORED))
    batch = make_batch(nothing, np.arange(4), pad_token=0)
    loss_B = NextToken().loss(NextToken().forward(model, batch), batch, model)
    loss_B.mean().backward()
    assert loss_B.tolist() == [0.0] * 4


def test_merged_adapters_write_the_same(decoder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    head = Head("generator", (), {"generation": {"max_new_tokens": 8}})
    model, tokenizer, lora = build(decoder, head, seed=0), tokenizer_of(decoder), Lora(rank=4)
    again = build(decoder, head, seed=0)
    for one in (model, again):
        lora.place(one, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    moving = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 0 < moving < 0.3 * sum(p.numel() for p in model.parameters())
    before = copy.deepcopy(model.state_dict())
    examples = encode_conversations(dialogues(12), tokenizer, max_length=64)
    fit(
        model,
        examples,
        None,
        objective=NextToken(),
        settings=Training(epochs=2, learning_rate=0.01, precision="fp32"),
        scratch=None,
        progress=Silent(),
        seed=0,
        strategies=[lora],
    )
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed and all("lora" in name for name in changed)
    models.save(model, tmp_path / "m", head, tokenizer=tokenizer, strategies=[lora])
    merged = load(tmp_path / "m")
    assert not [name for name in merged.state_dict() if "lora" in name]
    prompts = encode_prompts([one[:1] for one in dialogues(5)], tokenizer, max_length=64)
    ours, theirs = (
        [tokens.tolist() for _, some in write(one, prompts) for tokens in some] for one in (model.plain, merged.plain)
    )
    assert ours == theirs


def test_a_tiny_decoder_memorises_dialogues(decoder: Path, tmp_path: Path) -> None:
    model, tokenizer, told = build(decoder, HEAD, seed=0), tokenizer_of(decoder), dialogues(20)
    examples = encode_conversations(told, tokenizer, max_length=64)
    settings = Training(epochs=25, learning_rate=0.003, batch_tokens=128, precision="fp32", weight_decay=0.0)
    history = fit(
        model, examples, None, objective=NextToken(), settings=settings, scratch=None, progress=Silent(), seed=0
    )
    assert history.losses[-1] < 0.1 < 3 < history.losses[0]
    save(model, tmp_path / "m", tokenizer=tokenizer)
    engine = GeneratorEngine(tmp_path / "m")
    written = engine.outputs(encode_prompts([one[:1] for one in told], engine.tokenizer, max_length=64))
    said = [engine.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in written]
    assert sum(a == one[1]["content"] for a, one in zip(said, told, strict=True)) >= 19
    reply = engine.chat(told[3][:1])
    assert reply.text == said[3] and reply.finish_reason == "stop" and reply.completion_tokens == len(written[3])
    assert "".join(engine.chat_stream(told[3][:1])) == reply.text
    word = reply.text.split()[-1]
    stopped = engine.chat(told[3][:1], stop=word)
    assert stopped.text == reply.text[: reply.text.find(word)]
    assert "".join(engine.chat_stream(told[3][:1], stop=word)) == stopped.text
    assert engine.chat(told[3][:1], max_tokens=1).finish_reason == "length"


def test_a_tiny_encoder_decoder_learns_to_reverse(tmp_path: Path) -> None:
    draw = random.Random(0)
    sources = ["".join(draw.choices("abcd", k=draw.randint(2, 4))) for _ in range(1200)]
    folder = fresh(tmp_path / "b", sources, hidden=64, layers=1, vocabulary=265)
    model, tokenizer = build(folder, HEAD, seed=0), tokenizer_of(folder)
    examples = replace(
        encode(sources, tokenizer, max_length=16),
        output=encode([one[::-1] for one in sources], tokenizer, max_length=16),
    )
    settings = Training(epochs=14, learning_rate=0.005, batch_tokens=512, precision="fp32")
    fit(model, examples, None, objective=NextToken(), settings=settings, scratch=None, progress=Silent(), seed=0)
    save(model, tmp_path / "m", tokenizer=tokenizer)
    engine = GeneratorEngine(tmp_path / "m")
    asked = ["abcd", "ddca", "bca", "ab"]
    for beams in (1, 3):
        written = engine.outputs(encode(asked, tokenizer, max_length=16), num_beams=beams)
        said = [tokenizer.decode(one, skip_special_tokens=True) for one in written]
        assert sum(a == b[::-1] for a, b in zip(said, asked, strict=True)) >= 3, said
    several = engine.candidates(encode(asked, tokenizer, max_length=16), count=3)
    assert [len(one) for one in several] == [3] * 4 and len({tuple(one.tolist()) for one in several[0]}) == 3
    assert several[0][0].tolist() == written[0].tolist()


def test_writing_does_not_depend_on_the_batch_and_sampling_on_nothing_but_the_seed(decoder: Path) -> None:
    network, tokenizer = load(decoder).plain, tokenizer_of(decoder)
    prompts = encode_prompts([one[:1] for one in dialogues(7)], tokenizer, max_length=64)

    def all_of(**settings) -> list[list[int]]:
        found = {}
        for rows, written in write(network, prompts, max_new_tokens=6, **settings):
            found |= {int(row): tokens.tolist() for row, tokens in zip(rows, written, strict=True)}
        return [found[i] for i in range(7)]

    assert all_of() == all_of(batch_tokens=1)
    assert all_of(seed=1, temperature=1.0) == all_of(seed=1, temperature=1.0) != all_of(seed=2, temperature=1.0)
    before = torch.get_rng_state()
    assert all_of(temperature=0.0) == all_of(num_beams=1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("hidden", [16, 80, 144, 208, 320])
def test_any_width_has_heads_that_fit(tmp_path: Path, hidden: int) -> None:
    for shape in ("decoder", "encoder-decoder"):
        folder = fresh(tmp_path / shape, WORDS, architecture=shape, hidden=hidden, layers=1, vocabulary=300)
        network = load(folder).plain
        assert (
            sum(
                1
                for _, some in write(network, encode(["a"], tokenizer_of(folder), max_length=8), max_new_tokens=2)
                for _ in some
            )
            == 1
        )


def test_random_weights_learn_longer_and_faster() -> None:
    examples = encode_like(1000)
    plain, made = (
        settle(Training(), train=examples, hidden=384, layers=6, start=start)[0] for start in ("pretrained", "nothing")
    )
    assert made.learning_rate > 3 * plain.learning_rate and made.epochs > 3 * plain.epochs
    assert made.batch_tokens <= plain.batch_tokens


def encode_like(count: int):
    from burnish.nn.conversations import gathered

    return gathered([np.ones(20, np.int32)] * count)


def test_a_folder_that_cannot_write_is_refused(tmp_path: Path) -> None:
    import tiny_bert

    folder = tiny_bert.make(tmp_path / "bert")
    with pytest.raises(WeightsError) as caught:
        models.build(folder, Head("generator"), seed=0)
    assert "bert is not a model that writes" in str(caught.value) and "train.tune.backbone" in str(caught.value)


def test_a_saved_model_that_differs_is_refused(decoder: Path, tmp_path: Path, monkeypatch) -> None:
    model = build(decoder, HEAD, seed=0)
    original = type(model.plain).save_pretrained

    def broken(self, folder, **more):
        changed = copy.deepcopy(self)
        changed.model.layers[0].mlp.up_proj.weight.data += 0.5
        original(changed, folder, **more)

    monkeypatch.setattr(type(model.plain), "save_pretrained", broken)
    with pytest.raises(WeightsError, match="differs"):
        save(model, tmp_path / "m", tokenizer=tokenizer_of(decoder))


LEARNT = learn_tokenizer([" ".join(WORDS), "今天天气很好，我们去公园。"] * 5, vocabulary=400)


@settings(max_examples=200, deadline=None)
@given(st.text().filter(lambda text: not any(token in text for token in WRITING)))
def test_every_text_comes_back_from_the_learnt_tokenizer(text: str) -> None:
    assert LEARNT.decode(LEARNT.encode(text, add_special_tokens=False).ids) == text


def test_the_learnt_tokenizer_knows_words_of_both_languages() -> None:
    assert LEARNT.encode("公园 sat cat 🤔").tokens[:3] == ["公园", " sat", " cat"]
    assert LEARNT.decode(LEARNT.encode("<0x41>").ids) == "<0x41>"


@pytest.mark.weights
def test_smollm2_knows_the_capital_of_france() -> None:
    from burnish.nn import backbones

    engine = GeneratorEngine(backbones.pull("smollm2", progress=Silent()))
    reply = engine.chat([{"role": "user", "content": "What is the capital of France?"}], max_tokens=20, temperature=0)
    assert "Paris" in reply.text and reply.finish_reason == "stop"
    tokens = engine.tokenizer("It's 2024, naïve 你好").tokens()
    assert "".join(tokens).count("2") == 2 and "2024" not in tokens
