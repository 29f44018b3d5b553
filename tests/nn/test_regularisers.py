"""Regularisers: what each changes, by hand; the plain run at strength nought; the same bits after a kill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_bert
import torch
from inside import HEAD, Inside, examples, killed, look, opened, same, train
from torch import nn

from burnish.core.errors import BurnishError
from burnish.core.stage import TaskSpec
from burnish.nn import divergence, heads, loop, one_class
from burnish.nn.batches import make_batch
from burnish.nn.models import Head
from burnish.nn.objectives import (
    BinaryCrossEntropy,
    CrossEntropy,
    SquaredError,
    SubsetCrossEntropy,
    TokenCrossEntropy,
    with_loss,
)
from burnish.nn.regularisers.base import check
from burnish.train.tune import _check


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def data(folder):
    return examples(folder, 48)


@pytest.fixture(scope="module")
def held_out(folder):
    return examples(folder, 40, seed=1)


pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture(scope="module")
def plain(folder, data, held_out):
    return train(folder, data, validation=held_out)


# -- all of them


@pytest.mark.parametrize(
    "part",
    [
        {"use": "r_drop", "alpha": 0},
        {"use": "manifold_mixup", "alpha": 0},
        {"use": "fgm", "epsilon": 0},
        {"use": "pgd", "epsilon": 0},
        {"use": "freelb", "epsilon": 0},
        {"use": "smart", "weight": 0},
        {"use": "ema", "decay": 0},
        {"use": "average", "best": 1},
        {"use": "l2_sp", "strength": 0},
    ],
    ids=lambda part: part["use"],
)
def test_at_strength_nought_it_is_the_plain_run_to_the_bit(folder, data, held_out, plain, part):
    model, history = train(folder, data, [part], validation=held_out)
    assert same(model, plain[0]) and history.losses == plain[1].losses


LISTS = {
    "ema": ["ema"],
    "average": [{"use": "average", "best": 2}],
    "l2_sp": [{"use": "l2_sp", "strength": 50}],
    "mixout": ["mixout"],
    "r_drop": ["r_drop"],
    "manifold_mixup": ["manifold_mixup"],
    "pgd": [{"use": "pgd", "steps": 2}],
    "freelb": [{"use": "freelb", "steps": 2}],
    "smart": [{"use": "smart", "proximal": 1.0}],
    "co_teaching": ["co_teaching"],
    "fgm+ema": ["fgm", "ema"],
    "mixout+r_drop+average": ["mixout", "r_drop", "average", "dropout"],
}


@pytest.mark.parametrize("name", LISTS)
def test_killed_it_ends_with_the_same_bits(folder, data, held_out, plain, tmp_path, name):
    def run(**more):
        return train(folder, data, LISTS[name], validation=held_out, checkpoint_every_s=0, **more)

    whole, history = run()
    assert not same(whole, plain[0]) or "; not kept" in history.reasons["average"]
    killed(len(history.losses) // 2 + 1, lambda: run(scratch=tmp_path))
    again, resumed = run(scratch=tmp_path)
    assert resumed.resumed and same(again, whole)
    assert resumed.losses == history.losses and resumed.epochs == history.epochs
    assert resumed.reasons == history.reasons


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["fgm", "ema"], ""),
        (["ema", "mixout", "fgm", "r_drop", "average"], ""),
        (["fgm", "pgd"], "both move the word embeddings"),
        (["fgm", "smart"], "both move the word embeddings"),
        (["r_drop", "manifold_mixup"], "both teach a batch in a way of their own"),
        (["r_drop", "fgm"], "name fgm before r_drop"),
        (["mixout", "co_teaching"], "cannot be joined with mixout"),
        (["ema", "ema"], "ema is named twice"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_runs(parts, said):
    problem = check(opened(parts))
    assert said in problem and bool(said) == bool(problem)
    found = _check({"regularise": parts}, TaskSpec("classification", ("a", "b")))
    assert [key for key, _, _ in found] == (["regularise"] if said else [])


def test_two_weights_of_classes_are_one_too_many():
    task = TaskSpec("classification", ("a", "b"))
    found = _check({"loss": "class_balanced", "class_weights": "balanced"}, task)
    assert [key for key, _, _ in found] == ["loss"]
    assert not _check({"loss": "focal", "class_weights": "balanced"}, task)


@pytest.mark.parametrize("key", ["loss", "regularise"])
def test_a_strategy_that_teaches_in_its_own_way_takes_neither(key):
    task = TaskSpec("classification", ("a", "b"))
    given = {"loss": "gce"} if key == "loss" else {"regularise": ["ema"]}
    found = _check({"strategy": "contrastive", **given}, task)
    assert [one for one, said, _ in found if "teaches in its own way" in said] == [key]
    assert not _check({"strategy": "contrastive", "loss": "cross_entropy", "regularise": []}, task)


# -- dropout and mixout


def test_dropout_has_one_rate_while_it_learns_and_its_own_after(folder, data):
    model = heads.build(folder, HEAD, seed=0)
    seen: list[set[float]] = []

    def rates(run, batch, inner):
        seen.append({part.p for part in run.model.modules() if isinstance(part, nn.Dropout)})

    train(folder, data, [{"use": "dropout", "rate": 0.3}, Inside(rates)], model=model, epochs=1)
    assert seen[0] == {0.3}
    assert {part.p for part in model.modules() if isinstance(part, nn.Dropout)} == {0.1}
    off = train(folder, data, [{"use": "dropout", "rate": 0}])[0]
    assert same(off, train(folder, data, dropout=0.0)[0])


def test_rates_that_families_keep_as_numbers_are_set_too():
    class Attention(nn.Module):
        attention_dropout: float

        def __init__(self):
            super().__init__()
            self.attention_dropout, self.dropout = 0.1, nn.Dropout(0.2)

    part = Attention()
    restore = loop.set_dropout([part, None], 0.4)
    assert (part.attention_dropout, part.dropout.p) == (0.4, 0.4)
    restore()
    assert (part.attention_dropout, part.dropout.p) == (0.1, 0.2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_mixout_mixes_the_start_in_and_gives_the_weights_back(folder, data, precision):
    def mixed(run, batch, inner):
        mixing = opened({"use": "mixout", "rate": 0.5})[0].begin(run)
        name = "encoder.encoder.layer.0.output.dense.weight"
        assert name in mixing.start and not any(one.startswith("head.") for one in mixing.start)
        start = mixing.start[name]
        run.weights[name].add_(0.25)
        run.operators.refresh()
        before = {one: value.clone() for one, value in run.weights.items()}
        shown = []

        def spying(given):
            shown.append(run.operators.working[name].data.float().clone())
            return inner(given)

        mixing.learn(batch, spying)
        difference = shown[0] - start
        is_start = difference.abs() < 0.1
        torch.testing.assert_close(shown[0][is_start], start[is_start].to(run.kernels.dtype).float())
        torch.testing.assert_close(
            difference[~is_start], torch.full_like(difference[~is_start], 0.5), atol=0.01, rtol=0
        )
        assert 0.4 < is_start.float().mean() < 0.6
        grad = run.operators.working[name].grad.float()
        assert (grad[is_start] == 0).all() and (grad[~is_start] != 0).float().mean() > 0.9
        assert all(torch.equal(value, before[one]) for one, value in run.weights.items())
        assert torch.equal(run.operators.working[name].data, run.weights[name].to(run.kernels.dtype))
        run.weights[name].sub_(0.25)
        run.operators.refresh()
        return True

    assert look(folder, data, mixed, precision=precision)


def test_mixout_without_a_share_is_training_without_dropout(folder, data):
    assert same(train(folder, data, [{"use": "mixout", "rate": 0}])[0], train(folder, data, dropout=0.0)[0])


# -- consistency


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_r_drop_by_hand_with_other_masks_in_its_second_pass(folder, data, precision):
    def hand(run, batch, inner):
        run.again()
        one, two = (run.forward(batch).detach().float() for _ in range(2))
        run.again()
        assert torch.equal(run.forward(batch).detach().float(), one) and not torch.equal(one, two)
        p, q = torch.softmax(one, 1), torch.softmax(two, 1)
        kl = [(a * (a / b).log()).sum(1).mean() for a, b in ((p, q), (q, p))]
        cross = [torch.nn.functional.cross_entropy(side, batch.targets) for side in (one, two)]
        given: list[torch.Tensor] = []
        backward = run.backward
        run.backward = lambda loss: given.append(loss.detach())
        run.again()
        told = opened({"use": "r_drop", "alpha": 3.0})[0].begin(run).learn(batch, inner)
        run.backward = backward
        assert told == pytest.approx(float(sum(cross) / 2), rel=1e-4)
        torch.testing.assert_close(given[0], sum(cross) / 2 + 1.5 * sum(kl), rtol=1e-4, atol=1e-5)
        return True

    assert look(folder, data, hand, precision=precision)


def test_divergence_by_hand():
    _, batch = _batch()
    a, b = (torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    p, q = torch.softmax(a, 1), torch.softmax(b, 1)
    both = (p * (p / q).log() + q * (q / p).log()).sum(1)
    torch.testing.assert_close(divergence.divergence(CrossEntropy(), a, b, batch), both)
    p, q = torch.sigmoid(a), torch.sigmoid(b)
    yes = p * (p / q).log() + q * (q / p).log()
    no = (1 - p) * ((1 - p) / (1 - q)).log() + (1 - q) * ((1 - q) / (1 - p)).log()
    torch.testing.assert_close(divergence.divergence(BinaryCrossEntropy(), a, b, batch), (yes + no).mean(1))
    torch.testing.assert_close(divergence.divergence(SquaredError(), a, b, batch), (a - b).square().mean(1))
    tokens = replace(batch, token_targets_BL=torch.tensor([[0, 1], [2, -100], [-100, -100]]))
    one, two = (torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3))
    p, q = torch.softmax(one, -1), torch.softmax(two, -1)
    each = (p * (p / q).log() + q * (q / p).log()).sum(-1)
    made = divergence.divergence(TokenCrossEntropy(), one, two, tokens)
    torch.testing.assert_close(made, torch.stack([each[0].mean(), each[1, 0], torch.tensor(0.0)]))


def _batch():
    from burnish.nn.examples import Examples

    data = Examples(np.arange(6, dtype=np.int32), np.array([0, 2, 4, 6]), targets=np.array([0, 1, 2]))
    return data, make_batch(data, np.arange(3), pad_token=0)


def test_mixup_mixes_states_where_both_texts_have_a_token_and_targets_alike(folder, data):
    def mixed(run, batch, inner):
        mixing = opened("manifold_mixup")[0].begin(run)
        partner = torch.arange(len(batch.rows)).roll(1)
        shapes = []
        for depth in range(3):
            run.again()
            whole = run.forward(batch).detach()
            run.again()
            same_again = mixing.mixed(batch, depth, 1.0, partner).detach()
            torch.testing.assert_close(same_again, whole)
            seen = []
            hook = mixing.layers[0].register_forward_pre_hook(
                lambda m, given, seen=seen: seen.append(given[0].detach())
            )
            run.again()
            outputs = mixing.mixed(batch, depth, 0.75, partner)
            hook.remove()
            assert not torch.equal(outputs.detach(), whole)
            shapes.append(outputs.shape)
        assert len(mixing.layers) == 2 and len(set(shapes)) == 1
        targets = []
        loss = run.loss
        run.loss = lambda told, outputs: targets.append(told.targets) or loss(told, outputs)
        mixing.learn(batch, inner)
        run.loss = loss
        assert targets[0].shape == (len(batch.rows), 2)
        torch.testing.assert_close(targets[0].sum(1), torch.ones(len(batch.rows)))
        assert (targets[0].argmax(1) == batch.targets).all() and (targets[0].max(1).values >= 0.5).all()
        return True

    assert look(folder, data, mixed, dropout=0.0)


def test_mixed_states_are_the_mixture(folder, data):
    def states(run, batch, inner):
        mixing = opened("manifold_mixup")[0].begin(run)
        partner = torch.arange(len(batch.rows)).roll(1)
        entering = []

        def keep(module, given, named):
            entering.append((given[0] if given else named["hidden_states"]).detach().clone())

        run.again()
        with_hook = mixing.layers[1].register_forward_pre_hook(keep, with_kwargs=True)
        run.forward(batch)
        with_hook.remove()
        layer, forward = mixing.layers[1], mixing.layers[1].forward

        def keeping(*given, **named):
            keep(None, given, named)
            return forward(*given, **named)

        layer.__dict__["forward"] = keeping
        run.again()
        mixing.mixed(batch, 1, 0.75, partner)
        del layer.__dict__["forward"]
        plain_states, mixed_states = entering
        both = (batch.mask_BL & batch.mask_BL[partner]).bool()
        expected = 0.75 * plain_states + 0.25 * plain_states[partner]
        torch.testing.assert_close(mixed_states[both], expected[both])
        torch.testing.assert_close(mixed_states[~both], plain_states[~both])
        return True

    assert look(folder, data, states, dropout=0.0)


@pytest.mark.parametrize("objective", [TokenCrossEntropy(), SubsetCrossEntropy()])
def test_mixup_refuses_what_has_no_target_a_text(folder, data, objective):
    with pytest.raises(BurnishError, match="manifold_mixup mixes whole texts"):
        train(folder, data, ["manifold_mixup"], objective=objective)


def test_r_drop_refuses_what_gives_no_probabilities(folder, data):
    class Strange:
        def loss(self, outputs, batch, model):
            return outputs.square().mean(1)

    with pytest.raises(BurnishError, match="r_drop compares probabilities, which Strange does not give"):
        train(folder, data, ["r_drop"], objective=Strange())


# -- weights


def test_the_running_mean_by_hand_and_the_weights_come_back(folder, data, held_out):
    followed: dict[str, torch.Tensor] = {}
    counts = []

    def follow(run, batch, inner):
        """Before the batch of step t + 1 the weights are those of step t."""
        steps = run.optimiser.steps
        decay = min(0.8, (1 + steps) / (10 + steps))
        counts.append(steps)
        for name, value in run.weights.items():
            followed[name] = value.clone() if steps == 0 else decay * followed[name] + (1 - decay) * value
        shadow = run.helpers[0].shadow
        for name, value in shadow.values.items():
            torch.testing.assert_close(value, followed[name], rtol=1e-5, atol=1e-7)
        before = {name: value.clone() for name, value in run.weights.items()}
        with shadow.shown():
            assert all(torch.equal(value, shadow.values[name]) for name, value in run.weights.items())
        assert all(torch.equal(value, before[name]) for name, value in run.weights.items())

    train(folder, data, [{"use": "ema", "decay": 0.8}, Inside(follow)], validation=held_out, epochs=4)
    assert counts[-1] > 4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_kept_is_the_mean_that_was_judged(folder, data, held_out, precision):
    model, history = train(folder, data, ["ema"], validation=held_out, epochs=4, precision=precision)
    best = history.epochs[history.best_epoch]
    assert one_class.score(model, held_out)[0] == pytest.approx(
        best.validation_loss, abs=2e-2 if precision == "bf16" else 1e-5
    )
    assert not same(model, train(folder, data, validation=held_out, epochs=4, precision=precision)[0])


def test_without_validation_the_mean_stays(folder, data):
    followed = []
    model, _ = train(folder, data, ["ema", Inside(lambda run, *_: followed.append(run.helpers[0].shadow))])
    assert all(torch.equal(value, followed[-1].values[name]) for name, value in model.state_dict().items() if name in followed[-1].values)  # fmt: skip
    assert not same(model, train(folder, data)[0])


def test_the_best_epochs_are_averaged_when_that_is_better(folder, data, held_out):
    wobbling = {"learning_rate": 2e-2, "epochs": 6, "patience": 0, "schedule": "cosine"}
    seen: list[object] = []
    model, history = train(
        folder, data, [{"use": "average", "best": 3}, Inside(lambda run, *_: seen.append(run))], validation=held_out, **wobbling
    )  # fmt: skip
    run = seen[-1]
    kept = run.helpers[0].kept
    scores = sorted(((one.validation_score, -one.validation_loss) for one in history.epochs), reverse=True)
    assert [found for found, _ in kept] == scores[:3]
    mean = {name: sum(one[name] for _, one in kept) / 3 for name in kept[0][1]}
    told = history.reasons["average"]
    expected = mean if told.endswith("; kept") else kept[0][1]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in expected.items())
    score, loss = run.judge.score(model)
    assert (score, -loss) >= scores[0]
    assert f"the best alone {scores[0][0]:.4f}" in told


@pytest.mark.parametrize("better", [True, False])
def test_the_mean_of_epochs_is_kept_only_when_it_is_better(folder, data, better):
    calls = []

    def score(model):
        calls.append(1)
        return (1.0 if better and len(calls) > 3 else 0.5 - 0.01 * len(calls)), 1.0

    seen = []
    model, history = train(
        folder, data, [{"use": "average", "best": 3}, Inside(lambda run, *_: seen.append(run))],
        judge=loop.Judge("made up", score),
    )  # fmt: skip
    kept = seen[-1].helpers[0].kept
    name = "head.out.weight"
    expected = sum(one[name] for _, one in kept) / 3 if better else kept[0][1][name]
    assert torch.equal(model.state_dict()[name], expected)
    assert history.reasons["average"].endswith("; kept" if better else "; not kept")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_pull_to_the_start_by_hand_and_not_for_the_head(folder, data, precision):
    def pulled(run, batch, inner):
        pulling = opened({"use": "l2_sp", "strength": 20.0})[0].begin(run)
        before = {name: value.clone() for name, value in run.weights.items()}
        rows = torch.tensor([3, 7])
        table = "encoder.embeddings.word_embeddings.weight"
        run.optimiser.rows_moved = {table: rows}
        for value in run.weights.values():
            value.add_(1.0)
        pulling.moved(rate=0.01)
        for name, value in run.weights.items():
            expected = before[name] + (1.0 if name.startswith("head.") else 0.8)
            if name == table:
                expected = before[name] + 1.0
                expected[rows] -= 0.2
            torch.testing.assert_close(value, expected)
            value.copy_(before[name])
        run.operators.refresh()
        return True

    assert look(folder, data, pulled, precision=precision)


def test_a_strong_pull_keeps_the_body_near_its_start(folder, data):
    start = heads.build(folder, HEAD, seed=0).state_dict()

    def away(strength):
        model = train(folder, data, [{"use": "l2_sp", "strength": strength}])[0].state_dict()
        body = [name for name in start if name.startswith("encoder.") and start[name].is_floating_point()]
        return sum(float((model[name] - start[name]).square().sum()) for name in body)

    free, near = away(0), away(300)
    assert 0 < near < 0.1 * free


# -- co-teaching


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_network_learns_what_costs_the_other_least(folder, data, precision):
    model = heads.build(folder, HEAD, seed=0)
    checked = []

    def watch(run, batch, inner):
        peers = run.helpers[1]
        if run.optimiser.steps < 1:
            names = {name for name, value in peers.weights.items() if not torch.equal(value, run.weights[name])}
            assert names == {"head.out.weight"}
            return
        run.again()
        ours = run.losses(batch).detach()
        peers.operators.pool.begin(run.step_seed + 1)
        torch.manual_seed(run.step_seed + 1)
        theirs = run.losses(batch, model=peers.peer).detach()
        run.again()
        peers.learn(batch, inner)
        for working in (run.operators.working, peers.operators.working):
            for weight in working.values():
                weight.grad = None
        for rows in peers.operators.rows.values():
            rows.touched.clear()
        count = max(1, round(len(batch.rows) * 0.5))
        for chosen, judge in zip(peers.chosen, (theirs, ours), strict=True):
            assert sorted(chosen) == sorted(batch.rows[judge.argsort()[:count].numpy()])
        checked.append(count)

    part = opened({"use": "co_teaching", "forget": 0.5, "ramp": 0.0})[0]
    train(folder, data, [Inside(watch), part], model=model, precision=precision, epochs=2)
    assert checked


@pytest.mark.parametrize("second", [True, False])
def test_the_better_of_two_networks_is_kept(folder, data, second):
    looks = []

    def score(model):
        looks.append(model)
        return (1.0 if len(looks) == (2 if second else 3) else 0.5), 1.0

    runs = []
    model, history = train(
        folder, data, [Inside(lambda run, *_: runs.append(run)), "co_teaching"], epochs=2,
        judge=loop.Judge("made up", score),
    )  # fmt: skip
    run, peer = runs[-1], runs[-1].second
    assert [one is peer for one in looks] == [False, True, False, True]
    assert history.best_epoch == (0 if second else 1)
    assert history.epochs[history.best_epoch].validation_score == 1.0
    assert same(model, heads_with(folder, run.best))
    last = {**run.operators.masters, **run.operators.tables}
    assert second or all(torch.equal(value, run.best[name]) for name, value in last.items())


def heads_with(folder, weights):
    model = heads.build(folder, HEAD, seed=0)
    model.load_state_dict({name: weights.get(name, value) for name, value in model.state_dict().items()})
    return model


def test_co_teaching_and_a_loss_that_remembers_refuse_each_other(folder, data):
    from burnish.nn.losses.base import losses

    objective = with_loss(CrossEntropy(), losses.open("elr")[0], examples=data, head=Head("sequence", ("bad", "good")))
    with pytest.raises(BurnishError, match="this loss remembers"):
        train(folder, data, ["co_teaching"], objective=objective)


# -- beside strategies and gold


@pytest.mark.parametrize("name", ["mixout", "l2_sp"])
def test_what_holds_the_body_refuses_where_only_the_head_learns(folder, data, name):
    model = heads.build(folder, HEAD, seed=0)
    for weight in model.encoder.parameters():
        weight.requires_grad_(False)
    with pytest.raises(BurnishError, match="none of those learns"):
        train(folder, data, [name], model=model)


def test_gold_is_not_doubted(folder, tmp_path, monkeypatch):
    """A loss and a regulariser that leave out what looks wrong take no part where checked records come last."""
    from types import SimpleNamespace

    import pyarrow as pa

    from burnish.core.progress import Silent
    from burnish.core.records import conform
    from burnish.core.stage import Context
    from burnish.core.tasktypes import open_task
    from burnish.nn.losses.base import losses
    from burnish.train.sides import Sides
    from burnish.train.teach import teach

    texts, targets = tiny_bert.sentences(30)
    table = conform(pa.table({"text": texts, "label": [("bad", "good")[target] for target in targets]}))
    split = SimpleNamespace(
        train=SimpleNamespace(table=lambda: table), validation=SimpleNamespace(table=lambda: table.slice(0, 0))
    )
    task = open_task(TaskSpec("classification", ("bad", "good")))
    sides = Sides(task, folder, split, max_length=32, soft=False)
    given = []
    fit = loop.fit
    monkeypatch.setattr(loop, "fit", lambda *a, **named: given.append(named) or fit(*a, **named))
    teach(
        heads.build(folder, HEAD, seed=0), sides.task, sides, gold=table.slice(0, 6),
        settings=loop.Training(epochs=1, precision="fp32"), balanced=False, label_smoothing=0.0, gold_epochs=1,
        loss=losses.open("elr")[0], strategies=[], regularisers=opened(["ema", "dropout"]),
        context=Context(task.spec, 0, tmp_path, tmp_path, tmp_path, Silent()), watch=None, distil=None,
    )  # fmt: skip
    weak, gold = given
    assert weak["objective"].cost.memory.values.shape == (30, 2) and gold["objective"].cost is None
    assert [one.name for one in gold["regularisers"]] == ["ema", "dropout"]
    assert opened("co_teaching")[0].doubts and not opened("fgm")[0].doubts
