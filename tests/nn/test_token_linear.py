"""The layer over tokens starts where its encoder's states lie, and ends as a stock layer; Han characters stand alone."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

from burnish.nn.examples import encode, han_apart
from burnish.nn.token_linear import TokenLinear


def states(count: int, *, common: float, spread: float) -> torch.Tensor:
    made = torch.randn(count, 16, generator=torch.Generator().manual_seed(1))
    return common + spread * made * torch.linspace(0.1, 1.0, 16)


@pytest.mark.parametrize(("common", "spread"), [(0.0, 1.0), (5.0, 0.1)])
def test_folding_changes_no_score(common, spread):
    layer, given = TokenLinear(16, 4, seed=3), states(200, common=common, spread=spread)
    layer.standardise(given)
    before = layer.scores(given[None], nn.Identity())
    layer.fold()
    torch.testing.assert_close(layer.scores(given[None], nn.Identity()), before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(nn.functional.linear(given, layer.weight, layer.bias), before[0], rtol=1e-4, atol=1e-4)
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_states_that_are_nearly_alike_are_told_apart_as_fast_as_others():
    """The point of it: what a plain layer needs many steps for when a large common part hides a small difference."""
    losses = {}
    for standard in (False, True):
        given = states(400, common=5.0, spread=0.1)
        wanted = (given[:, 3] > given[:, 3].median()).long()
        layer = TokenLinear(16, 2, seed=0)
        if standard:
            layer.standardise(given)
        optimiser = torch.optim.Adam(layer.parameters(), lr=1e-2)
        for _ in range(150):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(layer.scores(given[None], nn.Identity())[0], wanted)
            loss.backward()
            optimiser.step()
        losses[standard] = float(loss.detach())
    assert losses[True] < 0.45 < 0.6 < losses[False]


def joining() -> Tokenizer:
    """A SentencePiece model that has joined characters, as XLM-R's."""
    pieces = [("<unk>", 0.0), ("▁", -3.0), ("北京", -1.0), ("在北京", -0.5), ("大学", -1.0), ("▁NBA", -1.0)]
    pieces += [(one, -6.0) for one in "我们在北京大学习中国人民的历史。NBA"]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return backend


def test_han_characters_stand_alone_and_other_words_stay():
    backend = joining()
    assert "在北京" in backend.encode("我们在北京大学").tokens
    apart = han_apart(backend)
    made = encode(["我们在北京大学 NBA"], apart, max_length=32, characters=True)
    covered = [(int(a), int(b)) for a, b in zip(made.starts, made.ends, strict=True)]
    assert all(end - start == 1 for start, end in covered if end <= 7) and (7, 11) in covered
    again = Tokenizer.from_str(apart.to_str())
    assert again.encode("我们在北京大学").tokens == apart.encode("我们在北京大学").tokens


def test_a_tokenizer_that_parts_them_anyway_is_left_as_it_is():
    backend = joining()
    backend.model = models.Unigram(
        [("<unk>", 0.0), ("▁", -3.0), *((one, -6.0) for one in "我们在北京大学习中国人民的历史。")], unk_id=0
    )
    before = backend.to_str()
    assert han_apart(backend).to_str() == before
