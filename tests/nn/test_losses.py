"""Each loss is its paper's formula, fits every objective it names, and what it remembers survives a kill."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny_bert
import torch

from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.nn import checkpoints, heads, loop
from burnish.nn.batches import encode, make_batch
from burnish.nn.costs import cost_of, counted
from burnish.nn.examples import IGNORED
from burnish.nn.losses.base import losses
from burnish.nn.models import Head
from burnish.nn.objectives import (
    BinaryCrossEntropy,
    ContinuationRatio,
    CrossEntropy,
    Several,
    SquaredError,
    TokenCrossEntropy,
    balanced_weights,
    cross_entropy,
    with_loss,
)

HEAD = Head("sequence", ("a", "b", "c"))
P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
ROBUST = ["focal", "class_balanced", "gce", "symmetric", "elr"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


pytestmark = pytest.mark.usefixtures("own_home")


def opened(value):
    return losses.open(value)[0]


def of(value, targets, p=P, memory=None):
    target = torch.tensor(targets)
    target = torch.nn.functional.one_hot(target, p.shape[1]).float() if target.ndim == 1 else target
    return opened(value).of(p.log(), target, memory).tolist()


# -- formulas, by hand


def test_focal_by_hand():
    assert of("focal", [0, 2]) == pytest.approx([-(0.3**2) * math.log(0.7), -(0.7**2) * math.log(0.3)])
    assert of({"use": "focal", "gamma": 0}, [0, 2]) == pytest.approx(of("cross_entropy", [0, 2]))
    soft = [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    first = -0.5 * 0.3**2 * math.log(0.7) - 0.5 * 0.8**2 * math.log(0.2)
    assert of("focal", soft)[0] == pytest.approx(first)


def test_gce_by_hand_lies_between_cross_entropy_and_absolute_error():
    q = 0.7
    assert of("gce", [0, 2]) == pytest.approx([(1 - 0.7**q) / q, (1 - 0.3**q) / q])
    assert of({"use": "gce", "q": 1.0}, [0, 2]) == pytest.approx([0.3, 0.7])
    assert of({"use": "gce", "q": 1e-3}, [0, 2]) == pytest.approx(of("cross_entropy", [0, 2]), rel=1e-2)


def test_symmetric_by_hand():
    made = of({"use": "symmetric", "alpha": 0.5, "beta": 2.0, "floor": -4}, [0, 2])
    assert made == pytest.approx([-0.5 * math.log(0.7) + 2 * 4 * 0.3, -0.5 * math.log(0.3) + 2 * 4 * 0.7])
    soft = of({"use": "symmetric", "alpha": 0, "beta": 1}, [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])[0]
    assert soft == pytest.approx(-(0.9 * math.log(0.5)) + 0.1 * 4)


def test_class_balanced_by_hand():
    loss = opened({"use": "class_balanced", "beta": 0.9})
    raw = [0.1 / (1 - 0.9**10), 0.1 / (1 - 0.9**2)]
    weights = loss.weights(np.array([10.0, 2.0, 0.0]))
    assert weights.tolist() == pytest.approx([raw[0] * 2 / sum(raw), raw[1] * 2 / sum(raw), 0.0])
    assert opened({"use": "class_balanced", "beta": 0.0}).weights(np.array([9.0, 3.0])).tolist() == [1.0, 1.0]
    nearly = opened({"use": "class_balanced", "beta": 0.999999}).weights(np.array([9.0, 3.0]))
    assert nearly[1] / nearly[0] == pytest.approx(3.0, rel=1e-4)


def test_elr_by_hand_and_its_pull_goes_to_what_was_said_before():
    loss = opened({"use": "elr", "strength": 2.0, "memory": 0.5})
    memory = loss.remember(torch.zeros(2, 3), P)
    torch.testing.assert_close(memory, 0.5 * P)
    memory = loss.remember(memory, P.flip(1))
    torch.testing.assert_close(memory, 0.25 * P + 0.5 * P.flip(1))
    alike = (P * memory).sum(1)
    expected = [-math.log(0.7) + 2 * math.log(1 - alike[0]), -math.log(0.3) + 2 * math.log(1 - alike[1])]
    assert of({"use": "elr", "strength": 2.0, "memory": 0.5}, [0, 2], memory=memory) == pytest.approx(expected)
    # the label says c, what was said says a: with the pull the logit of a is pushed up, without it down
    logits = torch.log(P[:1]).requires_grad_()
    said = torch.tensor([[0.95, 0.03, 0.02]])
    target = torch.tensor([[0.0, 0.0, 1.0]])
    grads = []
    for one in (said, None):
        (grad,) = torch.autograd.grad(loss.of(torch.log_softmax(logits, 1), target, one).sum(), logits)
        grads.append(float(grad[0, 0]))
    assert grads[0] < 0 < grads[1]


@pytest.mark.parametrize("name", ROBUST)
def test_losses_fall_as_the_model_gets_right_and_have_a_gradient_everywhere(name):
    logits = torch.tensor([[40.0, 0.0, 0.0], [-40.0, 0.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    target = torch.eye(3)[[0, 0, 0]]
    memory = torch.full((3, 3), 0.2) if name == "elr" else None
    made = opened(name).of(torch.log_softmax(logits, 1), target, memory)
    made.sum().backward()
    assert made[0] < made[2] < made[1] and torch.isfinite(logits.grad).all()


# -- in objectives


def batch_of(targets=None, token_targets=None, *, count=4, length=5):
    tokens = np.arange(count * length, dtype=np.int32)
    from burnish.nn.examples import Examples

    data = Examples(tokens, np.arange(0, count * length + 1, length), token_targets=token_targets)
    data = replace(data, targets=targets)
    return data, make_batch(data, np.arange(count), pad_token=0)


class Learner(torch.nn.Module):
    """Nothing but whether it is learning."""


@pytest.mark.parametrize("name", ROBUST)
def test_hard_targets_are_soft_targets_of_one(name):
    hard = np.array([0, 1, 2, 2])
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    made = []
    for targets in (hard, np.eye(3, dtype=np.float32)[hard]):
        data, batch = batch_of(targets)
        objective = with_loss(CrossEntropy(label_smoothing=0.1), opened(name), examples=data, head=HEAD)
        made.append(objective.loss(logits, batch, Learner()))
    torch.testing.assert_close(*made)


def test_focal_of_gamma_nought_is_cross_entropy_with_weights_and_smoothing():
    targets = np.array([0, 1, 2, 2])
    data, batch = batch_of(targets)
    weights = balanced_weights(targets, num_classes=3)
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    flat = opened({"use": "focal", "gamma": 0})
    weighed = with_loss(CrossEntropy(weights), flat, examples=data, head=HEAD)
    expected = cross_entropy(logits, batch.targets, class_weights_C=torch.from_numpy(weights))
    torch.testing.assert_close(weighed.loss(logits, batch, None), expected)
    smooth = with_loss(CrossEntropy(label_smoothing=0.2), flat, examples=data, head=HEAD)
    torch.testing.assert_close(
        smooth.loss(logits, batch, None), cross_entropy(logits, batch.targets, label_smoothing=0.2)
    )


def test_tokens_cost_what_they_cost_alone_and_padding_nothing():
    token_targets = np.array([0, 1, IGNORED, 2, 2] * 4)
    data, batch = batch_of(token_targets=token_targets)
    logits = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    made = with_loss(TokenCrossEntropy(), opened("gce"), examples=data, head=HEAD).loss(logits, batch, Learner())
    told = [0, 1, 3, 4]
    p = torch.softmax(logits, -1)[:, told, [0, 1, 2, 2]]
    torch.testing.assert_close(made, ((1 - p**0.7) / 0.7).mean(1))
    flat = with_loss(TokenCrossEntropy(), opened({"use": "focal", "gamma": 0}), examples=data, head=HEAD)
    torch.testing.assert_close(flat.loss(logits, batch, None), TokenCrossEntropy().loss(logits, batch, None))


def test_several_labels_a_text_are_choices_between_yes_and_no():
    targets = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], dtype=np.float32)
    data, batch = batch_of(targets)
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    made = with_loss(BinaryCrossEntropy(), opened("focal"), examples=data, head=HEAD).loss(logits, batch, None)
    p, t = torch.sigmoid(logits), torch.from_numpy(targets)
    expected = -(t * (1 - p) ** 2 * p.log() + (1 - t) * p**2 * (1 - p).log()).mean(1)
    torch.testing.assert_close(made, expected)
    flat = with_loss(BinaryCrossEntropy(), opened({"use": "focal", "gamma": 0}), examples=data, head=HEAD)
    torch.testing.assert_close(flat.loss(logits, batch, None), BinaryCrossEntropy().loss(logits, batch, None))


def test_each_of_several_heads_gets_the_loss_of_its_own_classes():
    first, _ = batch_of(np.array([0, 0, 0, 1]))
    second, _ = batch_of(np.array([2, 2, 2, 1]))
    head = Head("several", (), {"heads": {"x": HEAD.plain(), "y": HEAD.plain()}})
    both = replace(first, targets=None, several={"x": first, "y": second})
    objective = Several({"x": CrossEntropy(), "y": CrossEntropy()}, {"x": 1.0, "y": 1.0})
    made = with_loss(objective, opened({"use": "class_balanced", "beta": 0.9999}), examples=both, head=head)
    weights = [made.objectives[name].cost.weights_C for name in "xy"]
    assert weights[0].argmax() == 1 and weights[1].argmax() == 1 and weights[0][2] == 0 == weights[1][0]
    remembering = with_loss(objective, opened("elr"), examples=both, head=head)
    assert {name: tuple(v.shape) for name, v in remembering.state().items()} == {"x/memory": (4, 3), "y/memory": (4, 3)}
    kept = {name: value + 1.0 for name, value in remembering.state().items()}
    remembering.restore(kept)
    assert all(torch.equal(remembering.state()[name], value) for name, value in kept.items())


@pytest.mark.parametrize("objective", [SquaredError(), ContinuationRatio()])
def test_what_is_no_choice_of_classes_refuses(objective):
    data, _ = batch_of(np.array([0, 1, 2, 2]))
    with pytest.raises(BurnishError, match="the loss focal is for one class a text or token"):
        with_loss(objective, opened("focal"), examples=data, head=HEAD)


def test_elr_refuses_several_labels_a_text():
    data, _ = batch_of(np.ones((4, 3), np.float32))
    with pytest.raises(BurnishError, match="not for several labels"):
        with_loss(BinaryCrossEntropy(), opened("elr"), examples=data, head=HEAD)


def test_counts_leave_out_what_weighs_nothing():
    data, _ = batch_of(np.array([0, 1, 2, 2]))
    assert counted(data, classes=4).tolist() == [1, 1, 2, 0]
    assert counted(replace(data, weights=np.float32([1, 1, 0, 1])), classes=4).tolist() == [1, 1, 1, 0]


# -- memory


def test_memory_moves_once_a_batch_and_only_while_learning():
    data, batch = batch_of(np.array([0, 1, 2, 2]))
    objective = with_loss(CrossEntropy(), opened("elr"), examples=data, head=HEAD)
    logits, model = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), Learner()
    plain = CrossEntropy().loss(logits, batch, model)
    torch.testing.assert_close(objective.loss(logits, batch, model.eval()), plain)
    assert objective.state()["memory"].abs().sum() == 0
    model.train()
    objective.loss(logits, batch, model)
    once = objective.state()["memory"].clone()
    torch.testing.assert_close(once, 0.3 * torch.softmax(logits, 1))
    objective.loss(-logits, batch, model)  # the same batch a second time in a step
    assert torch.equal(objective.state()["memory"], once)
    third = make_batch(data, np.array([2, 0]), pad_token=0)
    objective.loss(logits[[2, 0]], third, model)
    moved = (objective.state()["memory"] != once).any(1).tolist()
    assert moved == [True, False, True, False]


def test_tokens_are_remembered_one_by_one():
    token_targets = np.array([0, 1, IGNORED, 2, 2] * 4)
    data, _ = batch_of(token_targets=token_targets)
    objective = with_loss(TokenCrossEntropy(), opened("elr"), examples=data, head=HEAD)
    batch = make_batch(data, np.array([3, 1]), pad_token=0)
    logits = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    objective.loss(logits, batch, Learner())
    memory, p = objective.state()["memory"], torch.softmax(logits, -1)
    assert memory.shape == (20, 3)
    torch.testing.assert_close(memory[15:20][[0, 1, 3, 4]], 0.3 * p[0, [0, 1, 3, 4]])
    torch.testing.assert_close(memory[5:10][[0, 1, 3, 4]], 0.3 * p[1, [0, 1, 3, 4]])
    assert memory[:5].abs().sum() == 0 == memory[7].abs().sum()


def examples(folder, count, *, seed=0):
    from transformers import AutoTokenizer

    texts, targets = tiny_bert.sentences(count, seed=seed)
    return encode(texts, AutoTokenizer.from_pretrained(folder), max_length=32).with_targets(targets)


def train(folder, data, loss, *, scratch=None, **settings):
    model = heads.build(folder, Head("sequence", ("bad", "good")), seed=0)
    objective = with_loss(CrossEntropy(), opened(loss), examples=data, head=Head("sequence", ("bad", "good")))
    wanted = {"epochs": 3, "learning_rate": 3e-3, "batch_tokens": 256, **settings}
    history = loop.fit(
        model, data, None, settings=loop.Training(**wanted), scratch=scratch, progress=Silent(), seed=0, objective=objective
    )  # fmt: skip
    return model, history, objective


def test_what_elr_remembers_survives_a_kill(folder, tmp_path):
    data = examples(folder, 60)
    whole, _, told = train(folder, data, "elr", scratch=tmp_path, checkpoint_every_s=0)
    again, history, remembered = train(folder, data, "elr", scratch=tmp_path)
    assert history.resumed
    newest, before = checkpoints.names(tmp_path, "checkpoint-")
    (tmp_path / newest / "state.json").write_text("damaged")
    third, history, once_more = train(folder, data, "elr", scratch=tmp_path)
    assert history.resumed and before != newest
    for model, objective in ((again, remembered), (third, once_more)):
        assert torch.equal(objective.state()["memory"], told.state()["memory"])
        assert all(torch.equal(v, whole.state_dict()[n]) for n, v in model.state_dict().items())
    assert not torch.equal(told.state()["memory"], torch.zeros(60, 2))


def test_another_loss_is_another_run(folder, tmp_path):
    data = examples(folder, 40)
    train(folder, data, "gce", scratch=tmp_path, epochs=1)
    assert not train(folder, data, {"use": "gce", "q": 0.5}, scratch=tmp_path, epochs=1)[1].resumed


def fitted(name, *, count=200, width=150, wrong=0.3):
    """(share of wrong labels learnt, accuracy on clean rows) of a linear layer wide enough to learn all by heart."""
    draw = torch.Generator().manual_seed(0)
    right = torch.arange(2 * count) % 2
    x = torch.randn(2 * count, width, generator=draw)
    x[:, 0] += 2.0 * (2 * right - 1)
    flipped = torch.rand(count, generator=draw) < wrong
    target = torch.eye(2)[torch.where(flipped, 1 - right[:count], right[:count])]
    loss, memory, weight = opened(name), torch.zeros(count, 2), torch.zeros(width, 2, requires_grad=True)
    for _ in range(200):
        log_p = torch.log_softmax(x[:count] @ weight, 1)
        memory = loss.remember(memory, log_p.detach().exp())
        (grad,) = torch.autograd.grad(loss.of(log_p, target, memory if loss.remembers else None).mean(), weight)
        weight = (weight - 0.1 * grad).detach().requires_grad_()
    said = (x @ weight).argmax(1)
    learnt = (said[:count] != right[:count])[flipped].float().mean()
    return float(learnt), float((said[count:] == right[count:]).float().mean())


@pytest.mark.parametrize("name", ["gce", "symmetric", "elr"])
def test_wrong_labels_are_learnt_by_heart_less(name):
    (plain_learnt, plain), (learnt, clean) = fitted("cross_entropy"), fitted(name)
    assert plain_learnt > 0.9 and learnt < plain_learnt - 0.1
    assert clean > plain + 0.04


def test_a_memory_under_a_teacher_is_kept_too():
    from burnish.nn import costs, divergence
    from burnish.nn.distillation import Distilled

    data, batch = batch_of(np.array([0, 1, 2, 2]))
    own = with_loss(CrossEntropy(), opened("elr"), examples=data, head=HEAD)
    taught = Distilled(own, np.full((4, 3), 1 / 3, np.float32), 0.5, 2.0)
    assert costs.state_of(taught)["memory"] is own.state()["memory"]
    costs.restore(taught, {"memory": torch.ones(4, 3)})
    assert own.state()["memory"].sum() == 12
    divergence.check(taught, "r_drop")
    assert divergence.divergence(taught, torch.zeros(4, 3), torch.zeros(4, 3), batch).tolist() == [0, 0, 0, 0]


def test_costs_know_what_they_are_of():
    data, _ = batch_of(token_targets=np.array([0, 1, IGNORED, 2, 2] * 4))
    assert cost_of(opened("elr"), data, classes=3, tokens=True).memory.offsets.tolist() == [0, 5, 10, 15]
    assert cost_of(opened("gce"), data, classes=3, tokens=True).memory is None
