"""The loss of tokens in pieces is the library's; by hand: two words alike likely cost log 2."""

import math

import pytest
import torch
from torch.nn import functional

from burnish.nn import token_loss as module
from burnish.nn.token_loss import token_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("piece", [1, 100, 1 << 18])
def test_losses_and_gradients_are_the_librarys_in_whatever_pieces(smoothing: float, piece: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    generator = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(23, 17, generator=generator)).requires_grad_()
    targets = torch.randint(0, 17, (23,), generator=generator)
    counts = torch.rand(23, generator=generator)  # tokens that count more than others
    ours = token_loss(logits, targets, label_smoothing=smoothing)
    theirs = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    (ours_grad,) = torch.autograd.grad((ours * counts).sum(), logits)
    (theirs_grad,) = torch.autograd.grad((theirs * counts).sum(), logits)
    torch.testing.assert_close(ours_grad, theirs_grad, rtol=1e-5, atol=1e-6)


def test_by_hand_and_in_half_precision() -> None:
    even = torch.zeros(3, 2, dtype=torch.bfloat16, requires_grad=True)
    losses = token_loss(even, torch.tensor([0, 1, 0]))
    assert losses.dtype == torch.float32
    assert losses.tolist() == pytest.approx([math.log(2)] * 3)
    losses.sum().backward()
    assert even.grad is not None and even.grad.dtype == torch.bfloat16
    assert even.grad.tolist() == [[-0.5, 0.5], [0.5, -0.5], [-0.5, 0.5]]


def test_a_logit_of_thousands_is_no_infinity() -> None:
    far = torch.tensor([[4000.0, -4000.0, 0.0]])
    assert token_loss(far, torch.tensor([0])).tolist() == [0.0]
    assert token_loss(far, torch.tensor([1])).tolist() == [8000.0]
