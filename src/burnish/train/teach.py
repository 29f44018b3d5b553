"""One task taught to one network: objective, judge, checked records at the end, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from burnish.core.stage import Context
from burnish.nn.examples import Examples
from burnish.nn.models import Head, facts, gathered, per_window
from burnish.train.sides import Sides

if TYPE_CHECKING:  # these wake torch, and every file of a room is imported to find its stages
    from burnish.nn.objectives import Objective
    from burnish.nn.training import Judge, Training

GOLD_EPOCHS = 4


def teach(
    model: Any,
    task: Any,
    sides: Sides,
    *,
    gold: pa.Table | None,
    settings: Training,
    balanced: bool,
    label_smoothing: float,
    gold_epochs: int | str,
    loss: Any,
    distil: tuple[Path, float, float] | None,
    strategies: Sequence[Any],
    regularisers: Sequence[Any],
    watch: Any,
    context: Context,
    group: Any = None,
) -> dict[str, Any]:
    """Train in place; return what goes on the model's card: history, data, and what the task calibrated.

    group: the processes that train together (`nn.distributed`); None is this one alone. gold: checked records that the spec allows to train on; they come last, in a few careful passes.
    """
    from burnish.nn.loop import fit
    from burnish.nn.objectives import class_weights, with_loss
    from burnish.nn.predict import predict_outputs
    from burnish.nn.training import Epoch

    head, train = task.head(), sides.train()
    weights = class_weights(train, head) if balanced else None
    asked = task.objective(class_weights=weights, label_smoothing=label_smoothing)
    objective = with_loss(asked, loss, examples=train, head=head)
    teaching: Any = objective
    if distil is not None:
        from burnish.nn.distillation import Distilled
        from burnish.train.distil import teachers_view

        seen = teachers_view(distil[0], task, sides.taught, progress=context.progress)
        teaching = Distilled(objective, seen, *distil[1:])
    validation = encoded(task, sides, sides.validation_table) if len(sides.validation_table) else None
    judge = judged(task, validation, head, objective) if validation else None
    common: dict[str, Any] = {
        "progress": context.progress,
        "seed": context.seed,
        "objective": objective,
        "group": group,
    }
    common |= {"strategies": strategies, "regularisers": regularisers}
    scratch = _folder(context.scratch / "weak")
    other: dict[str, Any] = {
        "settings": settings,
        "scratch": scratch,
        "seed": context.seed,
        "progress": context.progress,
    }
    history = next((found for one in strategies if (found := one.teach(model, train, **other)) is not None), None)
    if history is None:
        solved = [one.ready(model, train, objective, seed=context.seed) for one in strategies]
        asked_more = regularisers or distil or (settings.epochs, settings.learning_rate) != ("auto", "auto")
        if any(solved) and not asked_more:
            settings = replace(settings, epochs=0)
        history = fit(
            model,
            train,
            None,
            settings=settings,
            scratch=scratch,
            judge=judge,
            watch=watch,
            looked=context.looked,
            **common | {"objective": teaching},
        )
    if judge and history.best_epoch < 0 and judge.chooses:
        score, lost = judge.score(model)
        history.epochs, history.figure, history.best_epoch = [Epoch(0.0, lost, score)], judge.figure, 0
        context.progress.tell(f"  validation {judge.figure.replace('_', ' ')} {score:.3f}")
    told: dict[str, Any] = {"tune": history.to_json() | {"max_length_why": sides.why}}
    checked = sides.examples(sides.labelled(gold)) if gold is not None and gold_epochs != 0 else None
    if checked is not None and len(checked):
        last = gold_settings(settings, history.resolved, gold_epochs)
        common["regularisers"] = [one for one in regularisers if not one.doubts]  # gold is not doubted
        common["objective"] = _for_gold(asked, loss, train, checked, head)
        again = fit(model, checked, None, settings=last, scratch=_folder(context.scratch / "gold"), **common)
        told["gold_last"] = again.to_json()
    calibrated = {}
    if validation and task.engine == "encoder" and (group is None or group.writes):
        outputs = predict_outputs(model, validation.read, head)
        calibrated = task.calibrate(validation.table, validation.read, outputs)
    data = {
        "train": len(sides.table),
        **({"augmented": len(sides.made)} if sides.made is not None else {}),
        "validation": len(sides.validation_table),
        "gold": len(checked) if checked else 0,
    }
    return facts(model) | calibrated | {"data": data, "history": told}


@dataclass(frozen=True)
class Validation:
    """The validation side, encoded once. read: as prediction reads it; targets: with what is asked for; alike: the two
    are the same windows, so that one pass gives answers and loss."""

    table: pa.Table
    inputs: list[Any]
    read: Examples
    targets: Examples
    alike: bool


def encoded(task: Any, sides: Sides, table: pa.Table) -> Validation:
    """Labelled records, ready to judge by."""
    inputs = task.inputs(table)
    plain: Examples = task.encode(inputs, sides.tokenizer, max_length=sides.max_length)
    targets = sides.examples(table)
    alike = np.array_equal(targets.tokens, plain.tokens) and np.array_equal(targets.offsets, plain.offsets)
    return Validation(
        table,
        inputs,
        replace(plain, targets=targets.targets, several=targets.several) if alike else plain,
        targets,
        alike,
    )


def judged(task: Any, validation: Validation, head: Head, objective: Objective) -> Judge:
    """The task's chief figure on the validation side; a generator, which is slow to write, by the share of next tokens it tells.

    Not by its loss: that rises with how sure it is while it still learns what to write, and the first weights, which write
    nothing, were kept of 200 titles of CSL.
    """
    from burnish.nn.predict import predict_outputs
    from burnish.nn.training import Judge

    if task.engine != "encoder":
        plain = task.objective()  # without smoothing, which only teaching wants

        def told(model: Any) -> tuple[float, float]:
            return next_tokens(model, plain, validation.targets)

        return Judge("next tokens told", told)

    def score(model: Any) -> tuple[float, float]:
        outputs, loss = run(model, validation.targets, head, objective)
        if not validation.alike:  # training reads other windows than prediction does
            outputs = predict_outputs(model, validation.read, head)
        card = facts(model) | task.judging(validation.table, validation.read, outputs)
        answers = task.decode(validation.inputs, validation.read, outputs, card)
        figures = task.figures(task.tally(validation.table, answers).sum(0))
        return float(np.nan_to_num(figures[task.figure])), loss

    read = (validation.targets,) if validation.alike else (validation.targets, validation.read)
    return Judge(task.figure, score, read)


def run(model: Any, examples: Examples, head: Head, objective: Objective) -> tuple[Any, float]:
    """Outputs of all windows, and their mean loss, in one pass."""
    import torch

    from burnish.nn.batches import batches_of, reading_order
    from burnish.nn.devices import device_in, moved
    from burnish.nn.predict import READ_TOKENS, outputs_of, pad_token_of, read_lengths

    forward = getattr(objective, "forward", None)
    total = 0.0
    was_training = model.training
    model.eval()

    def batches() -> Any:
        nonlocal total
        order = reading_order(read_lengths(model, examples), batch_tokens=READ_TOKENS, groups=examples.groups)
        for batch in batches_of(examples, order, pad_token=pad_token_of(model)):
            batch = moved(batch, device_in(model))
            outputs = forward(model, batch) if forward else outputs_of(model, batch)
            total += float(objective.loss(outputs, batch, model).double().sum())
            yield batch.rows, None if forward else per_window(_plain(outputs), head, examples.lengths[batch.rows])

    with torch.inference_mode():
        if forward:
            outputs: Any = None
            for _ in batches():
                pass
        else:
            outputs = gathered(len(examples), batches())
    model.train(was_training)
    return outputs, total / max(len(examples), 1)


def next_tokens(model: Any, objective: Any, examples: Examples) -> tuple[float, float]:
    """(share of target tokens that are the likeliest given those before them, mean loss of a target token)."""
    import torch

    from burnish.nn.batches import batches_of, reading_order
    from burnish.nn.devices import device_in, moved
    from burnish.nn.predict import READ_TOKENS, pad_token_of, read_lengths

    was_training, right, count, total = model.training, 0, 0, 0.0
    model.eval()
    with torch.inference_mode():
        order = reading_order(read_lengths(model, examples), batch_tokens=READ_TOKENS, groups=examples.groups)
        for batch in batches_of(examples, order, pad_token=pad_token_of(model)):
            batch = moved(batch, device_in(model))
            out = objective.forward(model, batch)
            found, tokens = float(objective.loss(out, batch, model).double().mean()), len(out.targets_T)
            right += int((out.logits_TV.argmax(1) == out.targets_T).sum())
            count, total = count + tokens, total + found * tokens
    model.train(was_training)
    return right / max(count, 1), total / max(count, 1)


def likelihoods(model: Any, task: Any, examples: Examples) -> np.ndarray:
    """(n) the loss of each record: of a task that writes, how unlikely its reference is, tokens of a batch together."""
    import torch

    from burnish.nn.batches import batches_of, reading_order
    from burnish.nn.predict import READ_TOKENS, pad_token_of, read_lengths

    objective, losses = task.objective(), np.zeros(len(examples))
    model.eval()
    with torch.inference_mode():
        order = reading_order(read_lengths(model, examples), batch_tokens=READ_TOKENS, groups=examples.groups)
        for batch in batches_of(examples, order, pad_token=pad_token_of(model)):
            losses[batch.rows] = objective.loss(objective.forward(model, batch), batch, model).double().numpy()
    return losses


def _for_gold(asked: Objective, loss: Any, train: Examples, checked: Examples, head: Head) -> Objective:
    """What the last passes over gold minimise. People check a few records of every class, whatever its share: where an
    answer is one class, gold counts in the shares that the training side has, else rare classes would be said too often.
    """
    from burnish.nn.objectives import CrossEntropy, with_loss

    if not loss.doubts:
        asked = with_loss(asked, loss, examples=checked, head=head)
    if type(asked) is not CrossEntropy or asked.class_weights is not None or asked.cost is not None:
        return asked
    shares, have = _shares(train, head), _shares(checked, head)
    ratio = np.clip((shares + 0.01) / (have + 0.01), 0.25, 4.0)
    return replace(asked, class_weights=(ratio / float(ratio @ have)).astype(np.float32))


def _shares(examples: Examples, head: Head) -> np.ndarray:
    """(C,) of the classes among targets, which are class numbers or beliefs."""
    targets = np.asarray(examples.targets)
    counts = np.bincount(targets, minlength=len(head.labels)) if targets.ndim == 1 else targets.sum(axis=0)
    shares: np.ndarray = counts / max(float(counts.sum()), 1e-12)
    return shares


def gold_settings(settings: Training, resolved: Mapping[str, Any], gold_epochs: int | str) -> Training:
    """The last passes over a few checked records: few steps, a third of the rate, no decay into forgetting.

    At a third of the rate and 4 passes the weak knowledge stays and the gold corrects it (benchmarks/construct.py).
    """
    rate = float(resolved.get("learning_rate", settings.learning_rate)) / 3
    passes = GOLD_EPOCHS if gold_epochs == "auto" else int(gold_epochs)
    return replace(settings, epochs=passes, learning_rate=rate, patience=0, batch_tokens="auto")


def _plain(outputs: Any) -> Any:
    if isinstance(outputs, Mapping):
        return {name: value.float().cpu().numpy() for name, value in outputs.items()}
    return outputs.float().cpu().numpy()


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
