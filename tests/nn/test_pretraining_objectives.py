"""Masks by hand: how many, of what, never special, whole words whole; corrupted spans come back; documents kept apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.core.errors import BurnishError
from burnish.nn import architectures, language_models, pieces
from burnish.nn.batches import Examples, make_batch
from burnish.nn.examples import IGNORED, encode
from burnish.nn.generation_objectives import Predicted
from burnish.nn.pretraining.base import check, chosen, pretraining
from burnish.nn.pretraining_objectives import CausalTokens, CorruptedSpans, MaskedTokens, ids_of, noise, sentinels_of
from burnish.nn.word_starts import WordStarts

TEXTS = [
    "the quick brown foxes jumped over extraordinarily lazy dogs and unbelievable winterberries",
    "a weathered lighthouse keeper remembered thunderstorms, shipwrecks and lemonade",
    "这家酒店的服务非常好，房间也很干净，下次还会再来",
    "上海的交通虽然拥挤，但是地铁非常方便 and the trains are fast",
] * 8


@pytest.fixture(scope="module")
def word_piece():
    return pieces.learn(TEXTS, kind="wordpiece", vocabulary=160, architecture="encoder", lowercase=True, positions=64)


@pytest.fixture(scope="module")
def encoder(word_piece, tmp_path_factory):
    config = architectures.config("encoder", "2x32", vocabulary=len(word_piece), positions=64, tokenizer=word_piece)
    return architectures.make(tmp_path_factory.mktemp("encoder"), config, word_piece, seed=0)


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    tokenizer = pieces.learn(
        TEXTS, kind="bpe", vocabulary=400, architecture="encoder-decoder", sentinels=20, positions=64
    )
    config = architectures.config(
        "encoder-decoder", "1x32", vocabulary=len(tokenizer), positions=64, tokenizer=tokenizer
    )
    return architectures.make(tmp_path_factory.mktemp("writer"), config, tokenizer, seed=0), tokenizer


def batch_of(tokenizer, texts=TEXTS, rows=None, **more):
    examples = encode(texts, tokenizer, max_length=64)
    rows = np.arange(len(examples)) if rows is None else rows
    return replace(make_batch(examples, rows, pad_token=int(tokenizer.pad_token_id or 0)), **more)


def masks(tokenizer, **settings):
    return pretraining.open([{"use": "masked", **settings}])[0].objective(tokenizer)


@pytest.mark.parametrize("share", [0.15, 0.3])
def test_as_many_tokens_are_told_as_asked_and_none_is_special(word_piece, share):
    batch, objective = batch_of(word_piece), masks(word_piece, share=share)
    special = torch.tensor(word_piece.all_special_ids)
    ordinary = batch.mask_BL.bool() & ~torch.isin(batch.ids_BL, special)
    for seed in range(5):
        torch.manual_seed(seed)
        read_BL, flat_T = objective.draw(batch)
        assert len(flat_T) == round(share * int(ordinary.sum()))
        assert ordinary.reshape(-1)[flat_T].all()
        changed = (read_BL != batch.ids_BL).reshape(-1).nonzero().squeeze(1)
        assert torch.isin(changed, flat_T).all()


def test_of_told_tokens_eight_tenths_are_masks_one_tenth_others_one_tenth_themselves(word_piece):
    batch, objective = batch_of(word_piece), masks(word_piece, share=0.9)
    masked = kept = total = 0
    drawn = []
    for seed in range(40):
        torch.manual_seed(seed)
        read_BL, flat_T = objective.draw(batch)
        read_T, true_T = read_BL.reshape(-1)[flat_T], batch.ids_BL.reshape(-1)[flat_T]
        is_mask = read_T == word_piece.mask_token_id
        masked, kept = masked + int(is_mask.sum()), kept + int((read_T == true_T).sum())
        drawn.append(read_T[~is_mask & (read_T != true_T)])
        total += len(flat_T)
    others = torch.cat(drawn)
    assert abs(masked / total - 0.8) < 0.01
    assert abs(len(others) / total - 0.1) < 0.01
    assert abs(kept / total - 0.1) < 0.01
    assert not torch.isin(others, torch.tensor(word_piece.all_special_ids)).any()
    assert len(others.unique()) > 0.7 * (len(word_piece) - 5)  # any token of the vocabulary


def test_masks_are_other_ones_in_every_step_and_the_same_in_the_same_step(word_piece):
    batch, objective = batch_of(word_piece), masks(word_piece)
    drawn = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        drawn.append(objective.draw(batch))
    assert torch.equal(drawn[0][0], drawn[2][0]) and torch.equal(drawn[0][1], drawn[2][1])
    assert not torch.equal(drawn[0][1], drawn[1][1])


def test_a_random_token_is_never_special_wherever_special_ones_lie():
    objective = MaskedTokens(ids=replace(ids_like(size=10), special=(0, 4, 9)))
    torch.manual_seed(0)
    assert sorted(objective._any(2000).unique().tolist()) == [1, 2, 3, 5, 6, 7, 8]


def ids_like(size):
    from burnish.nn.pretraining_objectives import Ids

    return Ids(size, (), 1)


def words_of_rows(batch, tokenizer):
    """By hand: for each row the groups of places that are one English word, from the pieces."""
    for row, length in zip(batch.ids_BL.tolist(), batch.mask_BL.sum(1).tolist(), strict=True):
        groups = []
        for at, piece in enumerate(tokenizer.convert_ids_to_tokens(row[:length])):
            if piece.startswith("##") and groups:
                groups[-1].append(at)
            elif piece not in tokenizer.all_special_tokens:
                groups.append([at])
        yield groups


def test_whole_words_are_told_whole(word_piece):
    batch = batch_of(word_piece, TEXTS[:2])
    groups = list(words_of_rows(batch, word_piece))
    assert max(len(group) for row in groups for group in row) > 2  # or the test could not fail
    objective, plain = masks(word_piece, whole_words=True, share=0.3), masks(word_piece, share=0.3)
    width = batch.ids_BL.shape[1]

    def torn(objective, seed):
        torch.manual_seed(seed)
        told = set(objective.draw(batch)[1].tolist())
        sides = [[row * width + at in told for at in group] for row, some in enumerate(groups) for group in some]
        return sum(any(side) and not all(side) for side in sides), len(told)

    ordinary = sum(len(group) for row in groups for group in row)
    found = [torn(objective, seed) for seed in range(20)]
    assert all(count == 0 for count, _ in found)
    assert all(0 < told <= round(0.3 * ordinary) for _, told in found)
    assert np.mean([told for _, told in found]) > 0.2 * ordinary
    assert any(torn(plain, seed)[0] for seed in range(20))


def test_chinese_words_are_told_whole(word_piece):
    pytest.importorskip("rjieba")
    from burnish.text.segment import words_of

    text = "这家酒店的服务非常好，房间也很干净"
    batch = batch_of(word_piece, [text])
    starts = WordStarts.of(word_piece)
    pieces_of = word_piece.convert_ids_to_tokens(batch.ids_BL[0].tolist())
    inside = np.array([[piece not in word_piece.all_special_tokens for piece in pieces_of]])
    begins = starts(batch.ids_BL.numpy(), inside)[0]
    found, word = [], ""
    for piece, first in list(zip(pieces_of, begins, strict=True))[1:-1]:
        if first and word:
            found.append(word)
            word = ""
        word += piece
    found.append(word)
    assert found == [*words_of("这家酒店的服务非常好"), "，", *words_of("房间也很干净")]
    assert any(len(one) > 1 for one in found)


def test_pieces_of_a_byte_level_tokenizer_go_on_with_a_word_where_no_blank_is_before(writer):
    _, tokenizer = writer
    batch = batch_of(tokenizer, ["weathered lighthouse, thunderstorms"])
    pieces_of = tokenizer.convert_ids_to_tokens(batch.ids_BL[0].tolist())
    inside = ~np.isin(batch.ids_BL.numpy(), tokenizer.all_special_ids)
    begins = WordStarts.of(tokenizer)(batch.ids_BL.numpy(), inside)[0]
    words, word = [], ""
    for piece, first, real in zip(pieces_of, begins, inside[0], strict=True):
        if real:
            words, word = ([*words, word], piece) if first and word else (words, word + piece)
    assert [one.strip() for one in [*words, word]] == ["weathered", "lighthouse", ",", "thunderstorms"]


def test_logits_are_of_told_tokens_only_and_the_loss_is_their_mean(word_piece, encoder):
    model = language_models.build(encoder).eval()
    batch, objective = batch_of(word_piece), masks(word_piece)
    torch.manual_seed(3)
    out = objective.forward(model, batch)
    torch.manual_seed(3)
    read_BL, flat_T = objective.draw(batch)
    assert out.count == len(flat_T) and len(out.logits_TV) == -(-len(flat_T) // 64) * 64
    assert (out.targets_T[out.count :] == IGNORED).all()
    whole = model.network(input_ids=read_BL, attention_mask=batch.mask_BL).logits
    expected_TV = whole.reshape(-1, whole.shape[-1])[flat_T]
    torch.testing.assert_close(out.logits_TV[: out.count], expected_TV, rtol=1e-4, atol=1e-5)
    by_hand = torch.nn.functional.cross_entropy(expected_TV, batch.ids_BL.reshape(-1)[flat_T])
    torch.testing.assert_close(objective.loss(out, batch, model).mean(), by_hand, rtol=1e-4, atol=1e-5)


def test_the_judgement_of_sentences_stands_beside_the_masks(word_piece, encoder):
    model = language_models.build(encoder, pairs=True).eval()
    examples = encode(TEXTS[:6], word_piece, pairs=TEXTS[1:7], max_length=64)
    examples = replace(examples, targets=np.array([0, 1, 0, 1, 0, 1]))
    batch = make_batch(examples, np.arange(6), pad_token=0)
    objective = pretraining.open("masked")[0].objective(word_piece, judges="order")
    torch.manual_seed(0)
    out = objective.forward(model, batch)
    assert out.pairs_B2.shape == (6, 2)
    loss = objective.loss(out, batch, model)
    pairs = torch.nn.functional.cross_entropy(out.pairs_B2, batch.targets, reduction="none")
    alone = objective.loss(replace(out, pairs_B2=None), batch, model)
    torch.testing.assert_close(loss, alone + pairs)


def test_parts_that_cannot_be_learnt_together_say_so():
    opened = pretraining.open
    assert check(opened(["masked", "sentence_order"]), "encoder") == ""
    assert "cannot be learnt at once" in check(opened(["sentence_order", "next_sentence"]), "encoder")
    assert "causal is for kind: decoder, not for kind: encoder" in check(opened("causal"), "encoder")
    part, judged = chosen("sentence_order", "encoder")
    assert (part.name, judged.name) == ("masked", "sentence_order")
    assert [chosen((), kind)[0].name for kind in ("encoder", "decoder", "encoder-decoder")] == [
        "masked",
        "causal",
        "spans",
    ]


# ---- causal


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    tokenizer = pieces.learn(TEXTS, kind="bpe", vocabulary=400, architecture="decoder", positions=128)
    config = architectures.config("decoder", "2x32", vocabulary=len(tokenizer), positions=128, tokenizer=tokenizer)
    return architectures.make(tmp_path_factory.mktemp("decoder"), config, tokenizer, seed=0), tokenizer


def packed(tokenizer, texts):
    """Documents one behind another in one window, each with its end."""
    end = tokenizer.eos_token_id
    rows = [np.append(encode([text], tokenizer, max_length=64).tokens, end).astype(np.int32) for text in texts]
    return rows, Examples(np.concatenate(rows), np.array([0, sum(map(len, rows))]))


def test_every_token_is_told_from_those_before(decoder):
    folder, tokenizer = decoder
    model = language_models.build(folder).eval()
    batch = batch_of(tokenizer, TEXTS[:4])
    objective = pretraining.open("causal")[0].objective(tokenizer)
    out = objective.forward(model, batch)
    logits = model.network(input_ids=batch.ids_BL, attention_mask=batch.mask_BL).logits[:, :-1]
    told = batch.mask_BL[:, 1:].bool()
    by_hand = torch.nn.functional.cross_entropy(logits[told], batch.ids_BL[:, 1:][told])
    assert len(out.targets_T) == int(told.sum())
    torch.testing.assert_close(objective.loss(out, batch, model).mean(), by_hand, rtol=1e-4, atol=1e-5)


def test_documents_kept_apart_in_one_window_cost_what_they_cost_alone(decoder):
    folder, tokenizer = decoder
    model = language_models.build(folder).eval()
    rows, together = packed(tokenizer, TEXTS[:4])
    objective = CausalTokens(end=tokenizer.eos_token_id, apart=True)
    batch = make_batch(together, np.array([0]), pad_token=0)
    with torch.no_grad():
        out = objective.forward(model, batch)
        losses = torch.nn.functional.cross_entropy(out.logits_TV, out.targets_T, reduction="none")
        alone = []
        for row in rows:
            ids = torch.from_numpy(row.astype(np.int64))[None]
            logits = model.network(input_ids=ids[:, :-1]).logits[0]
            alone.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none"))
        joined = CausalTokens(end=tokenizer.eos_token_id).forward(model, batch)
    torch.testing.assert_close(losses, torch.cat(alone), rtol=1e-3, atol=1e-4)
    assert len(joined.targets_T) == len(losses) + len(rows) - 1  # there a document's first token is told too


# ---- spans


def test_runs_are_taken_out_in_the_number_and_length_asked_for():
    random = np.random.default_rng(0)
    for length in (10, 64, 200):
        out = noise(length, share=0.15, mean=3.0, most=99, random=random)
        starts = int((out & ~np.concatenate([[False], out[:-1]])).sum())
        assert out.sum() == round(0.15 * length) and not out[0]
        assert starts == max(1, round(round(0.15 * length) / 3.0))
    assert noise(1, share=0.5, mean=3.0, most=9, random=random).sum() == 0


def test_what_is_read_and_what_is_written_give_the_text_again(writer):
    _, tokenizer = writer
    marks = sentinels_of(tokenizer)
    assert len(marks) == 20
    objective = pretraining.open([{"use": "spans", "share": 0.3}])[0].objective(tokenizer)
    tokens = np.append(encode(TEXTS[:1], tokenizer, max_length=64).tokens, tokenizer.eos_token_id).astype(np.int64)
    for seed in range(10):
        read, written = objective.cut(tokens, np.random.default_rng(seed))
        parts: dict[int, list[int]] = {}
        for token in written.tolist():
            if token in marks:
                parts[token] = []
            else:
                parts[list(parts)[-1]].append(token)
        again = [one for token in read.tolist() for one in (parts[token] if token in marks else [token])]
        assert again == tokens.tolist()
        assert list(parts) == list(marks[: len(parts)]) and parts[list(parts)[-1]] == []
        assert tokenizer.eos_token_id not in written


def test_denoising_writes_the_whole_text_and_reads_one_mark_a_run(writer):
    _, tokenizer = writer
    objective = pretraining.open("denoising")[0].objective(tokenizer)
    tokens = encode(TEXTS[:1], tokenizer, max_length=64).tokens.astype(np.int64)
    read, written = objective.cut(tokens, np.random.default_rng(0))
    assert (written == tokens).all()
    (mark,) = {*read.tolist()} - {*tokens.tolist()}
    assert mark in (tokenizer.mask_token_id, *sentinels_of(tokenizer)[:1])
    ordinary = ~np.isin(tokens, tokenizer.all_special_ids)
    assert len(read) < len(tokens) and 0.2 < 1 - (read != mark).sum() / ordinary.sum() < 0.4


def test_an_encoder_decoder_learns_what_was_taken_out(writer):
    folder, tokenizer = writer
    model = language_models.build(folder)
    objective = pretraining.open("spans")[0].objective(tokenizer)
    batch = batch_of(tokenizer)
    torch.manual_seed(0)
    out = objective.forward(model, batch)
    assert isinstance(out, Predicted) and set(out.of_T.tolist()) == set(range(len(TEXTS)))
    loss = objective.loss(out, batch, model)
    assert loss.shape == (len(TEXTS),)
    by_hand = torch.nn.functional.cross_entropy(out.logits_TV, out.targets_T)
    torch.testing.assert_close(loss.mean(), by_hand)
    loss.mean().backward()
    still = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert all("embed_positions" in name for name in still)  # Pegasus' positions are fixed


def test_a_tokenizer_that_cannot_do_it_is_told(writer, word_piece):
    with pytest.raises(BurnishError, match="no mask token"):
        masks(writer[1])
    with pytest.raises(BurnishError, match="stand for what is taken out"):
        CorruptedSpans(ids_of(word_piece), share=0.1, mean=3.0, sentinels=(), whole=False)
