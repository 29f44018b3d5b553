import numpy as np
import pytest
import torch
from torch.nn import functional

from burnish.nn.batches import make_batch
from burnish.nn.borders import END, START
from burnish.nn.examples import IGNORED, Examples
from burnish.nn.span_objectives import Borders


def windows():
    """Two windows: an answer at tokens 3 to 4 of six, and none in a shorter one; questions and separators are ignored."""
    targets = [0, IGNORED, 0, START, END, IGNORED, START | END, IGNORED, 0, IGNORED]
    return Examples(
        np.arange(10, dtype=np.int32), np.array([0, 6, 10]), token_targets=np.array(targets, dtype=np.int64)
    )


def where(scores, kept, start, end, smoothing=0.0):
    """Mean cross entropy of both borders over the tokens that are kept."""
    both = [
        functional.cross_entropy(scores[kept, side][None], torch.tensor([kept.index(at)]), label_smoothing=smoothing)
        for side, at in ((0, start), (1, end))
    ]
    return sum(both).item() / 2


def refused(scores):
    """Probability that there is no answer, of the first token alone."""
    return torch.sigmoid(scores[0].sum()).item()


def test_where_the_answer_stands_and_whether_it_does_are_two_losses():
    batch = make_batch(windows(), np.arange(2), pad_token=0)
    scores = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = Borders().loss(scores, batch, None)
    answered = where(scores[0], [2, 3, 4], 3, 4) - np.log(1 - refused(scores[0]))
    assert loss.tolist() == pytest.approx([answered, -np.log(refused(scores[1]))], rel=1e-5)
    loss.sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert not scores.grad[0, [1, 5]].any() and not scores.grad[1, [1, 3, 4, 5]].any()  # nor does padding learn


def test_a_window_without_the_answer_pushes_no_token_of_the_context_down():
    batch = make_batch(windows(), np.arange(2), pad_token=0)
    scores = torch.zeros(2, 6, 2, requires_grad=True)
    Borders().loss(scores, batch, None).sum().backward()
    assert not scores.grad[1, 1:].any()
    assert (scores.grad[1, 0] < 0).all()  # the first token alone is raised
    assert scores.grad[0, 2:5].sum().item() == pytest.approx(0, abs=1e-6)  # places compete with places
    assert (scores.grad[0, 0] > 0).all()


def test_label_smoothing_shares_the_target_over_the_tokens_of_the_context():
    batch = make_batch(windows(), np.array([0]), pad_token=0)
    scores = torch.randn(1, 6, 2, generator=torch.Generator().manual_seed(1))
    kept = [2, 3, 4]
    expected = where(scores[0], kept, 3, 4, 0.1) - np.log(1 - refused(scores[0]))
    assert Borders(0.1).loss(scores, batch, None).item() == pytest.approx(expected, rel=1e-5)
