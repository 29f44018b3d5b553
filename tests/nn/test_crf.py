"""CRF and Viterbi against counting every sequence one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.nn.crf import negative_log_likelihood
from burnish.nn.examples import IGNORED
from burnish.nn.viterbi import NEVER, best_tags, chain_of, marginals, tags_of


def path_score(scores, path, transitions, first, last):
    total = first[path[0]] + last[path[-1]] + sum(scores[at, tag] for at, tag in enumerate(path))
    return total + sum(transitions[a, b] for a, b in itertools.pairwise(path))


def drawn(seed, length=4, tags=3):
    random = np.random.Generator(np.random.PCG64(seed))
    crf = {"transitions": random.normal(size=(tags, tags)), "first": random.normal(size=tags)}
    return random.normal(size=(length, tags)) * 2, crf | {"last": random.normal(size=tags)}


def tensors(crf):
    return {name: torch.tensor(value, dtype=torch.float32) for name, value in crf.items()}


@pytest.mark.parametrize("seed", range(5))
def test_the_likelihood_is_that_of_counting_every_sequence(seed):
    scores, crf = drawn(seed)
    every = {path: path_score(scores, path, **crf) for path in itertools.product(range(3), repeat=4)}
    total = np.log(np.sum(np.exp(list(every.values()))))
    given_ = torch.tensor(scores, dtype=torch.float32)[None]
    for path, score in every.items():
        found = negative_log_likelihood(given_, torch.tensor([path]), tensors(crf))
        assert float(found) == pytest.approx(total - score, abs=1e-4)


def test_padding_specials_and_the_rest_of_the_batch_change_nothing():
    scores, crf = drawn(7)
    path = [2, 0, 1, 1]
    alone = negative_log_likelihood(torch.tensor(scores).float()[None], torch.tensor([path]), tensors(crf))
    noise = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    tags = torch.full((2, 8), IGNORED)
    at = torch.tensor([1, 3, 4, 6])  # special tokens before, between and behind
    noise[0, at], tags[0, at] = torch.tensor(scores).float(), torch.tensor(path)
    found = negative_log_likelihood(noise, tags, tensors(crf))
    torch.testing.assert_close(found, torch.cat([alone, torch.zeros(1)]))


def test_gradients_are_marginals():
    """d(-log p)/d scores is P(tag at t) minus what is said: the sum over a token is 0 (Lafferty 2001)."""
    scores, crf = drawn(3)
    leaf = torch.tensor(scores).float()[None].requires_grad_()
    negative_log_likelihood(leaf, torch.tensor([[0, 1, 2, 0]]), tensors(crf)).sum().backward()
    torch.testing.assert_close(leaf.grad.sum(2), torch.zeros(1, 4), atol=1e-5, rtol=0)
    assert (leaf.grad[0, range(4), [0, 1, 2, 0]] < 0).all()


def legal(path, tags, glued, scheme):
    """The rules once more, from what a tag means and not from a table: every span is whole, no word is parted."""
    names = [tags[at] for at in path]
    for at, name in enumerate(names):
        prefix, _, label = name.partition("-")
        before = names[at - 1] if at else "O"
        after = names[at + 1] if at + 1 < len(names) else "O"
        if prefix in ("I", "E") and before not in (f"B-{label}", f"I-{label}"):
            return False
        if scheme == "BIOES" and prefix in ("B", "I") and after not in (f"I-{label}", f"E-{label}"):
            return False
        if glued[at] and not (name == before == "O" or prefix in ("I", "E")):
            return False
    return True


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), scheme=st.sampled_from(["BIO", "BIOES"]), crf=st.booleans(), data=st.data())
def test_the_best_sequence_is_the_best_of_all_that_obey(seed, scheme, crf, data):
    tags = tags_of(["X", "Y"], scheme)
    random = np.random.Generator(np.random.PCG64(seed))
    lengths = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    scores = [random.normal(size=(length, len(tags))) for length in lengths]
    inside = [random.random(length) < 0.3 for length in lengths]
    for one in inside:
        one[0] = False
    chain, extra = chain_of(tags, scheme), None
    if crf:
        extra = drawn(seed, tags=len(tags))[1]
        chain = chain.with_crf(extra)
    extra = extra or {
        "transitions": np.zeros((len(tags),) * 2),
        "first": np.zeros(len(tags)),
        "last": np.zeros(len(tags)),
    }
    for one, glued, found in zip(scores, inside, best_tags(scores, chain, inside=inside), strict=True):
        every = itertools.product(range(len(tags)), repeat=len(one))
        best = max((p for p in every if legal(p, tags, glued, scheme)), key=lambda p: path_score(one, p, **extra))
        assert tuple(found) == best


def test_an_empty_sequence_has_no_tags_and_a_single_one_begins_and_ends():
    chain = chain_of(tags_of(["X"], "BIOES"), "BIOES")
    scores = np.array([[0.0, 5.0, 4.0, 3.0, 1.0]])  # B, I, E are better, but a lone token is S or O
    empty, lone = best_tags([np.zeros((0, 5)), scores], chain)
    assert empty.tolist() == [] and lone.tolist() == [4]


def test_rules_forbid_and_never_weigh():
    chain = chain_of(tags_of(["X", "Y"], "BIO"), "BIO")
    assert set(np.unique(chain.between)) == {NEVER, 0.0}
    assert chain.between[1, 2] == 0 and chain.between[1, 4] == NEVER and chain.between[0, 2] == NEVER


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_chances_of_tags_are_those_of_counting_every_sequence_that_obeys(scheme):
    tags = tags_of(["X"], scheme)
    scores, crf = drawn(1, length=4, tags=len(tags))
    inside = np.array([False, False, True, False])
    chances = np.zeros(scores.shape)
    for path in itertools.product(range(len(tags)), repeat=4):
        if legal(path, tags, inside, scheme):
            chances[range(4), path] += np.exp(path_score(scores, path, **crf))
    chances /= chances[0].sum()
    chain = chain_of(tags, scheme).with_crf(crf)
    longer = np.concatenate([scores, scores])
    found, _, none = marginals(
        [scores, longer, np.zeros((0, len(tags)))], chain, inside=[inside, np.zeros(8, bool), np.zeros(0, bool)]
    )
    np.testing.assert_allclose(np.exp(found), chances, atol=1e-9)
    assert none.shape == (0, len(tags))
