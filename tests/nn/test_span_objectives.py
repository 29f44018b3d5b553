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


def test_the_loss_is_cross_entropy_over_the_tokens_where_an_answer_may_stand():
    batch = make_batch(windows(), np.arange(2), pad_token=0)
    scores = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = Borders().loss(scores, batch, None)
    places = [([0, 2, 3, 4], 2, 3), ([0, 2], 0, 0)]
    for row, (kept, start, end) in enumerate(places):
        expected = [
            functional.cross_entropy(scores[row, kept, side][None], torch.tensor([at]))
            for side, at in ((0, start), (1, end))
        ]
        assert loss[row].item() == pytest.approx(sum(expected).item() / 2, rel=1e-6)
    loss.sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert not scores.grad[0, [1, 5]].any() and not scores.grad[1, [1, 3, 4, 5]].any()  # nor does padding learn


def test_label_smoothing_shares_the_target_over_the_open_tokens():
    batch = make_batch(windows(), np.array([0]), pad_token=0)
    scores = torch.randn(1, 6, 2, generator=torch.Generator().manual_seed(1))
    kept = torch.tensor([0, 2, 3, 4])
    expected = sum(
        functional.cross_entropy(scores[0, kept, side][None], torch.tensor([at]), label_smoothing=0.1)
        for side, at in ((0, 2), (1, 3))
    )
    assert Borders(0.1).loss(scores, batch, None).item() == pytest.approx(expected.item() / 2, rel=1e-6)
