"""Fine-tune a pretrained encoder on the training side of a split."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from burnish.core.artifacts import Gold, Model, Pretrained, Split
from burnish.core.errors import BurnishError
from burnish.core.records import from_people
from burnish.core.stage import Context, Count, Positive, Share, TaskSpec, stage
from burnish.nn.backbones import Start
from burnish.nn.losses.base import losses
from burnish.nn.regularisers.base import check as stand_together
from burnish.nn.regularisers.base import regularisers
from burnish.nn.strategies.base import Strategy, placed, strategies
from burnish.nn.strategies.base import check as fit_together
from burnish.train.augment.base import augmentations
from burnish.train.trackers.base import Story, trackers, watching

Rate = Annotated[float, Gt(0)]
TOKENS_PER_S = 9000.0  # trained tokens a second of a 22M encoder on two cores with bf16 (benchmarks/train.py)

ALIASES = {
    "model_name_or_path": "backbone",
    "num_train_epochs": "epochs",
    "warmup_ratio": "warmup",
    "lr_scheduler_type": "schedule",
    "early_stopping_patience": "patience",
    "max_seq_length": "max_length",
    "save_total_limit": "keep_checkpoints",
    "gradient_accumulation_steps": "accumulate",
    "gradient_checkpointing": "activation_checkpointing",
}


def _cost(records: int, tokens: int, settings: Mapping[str, Any]) -> float:
    epochs = settings["epochs"] if isinstance(settings["epochs"], int) else 3
    taught_s = tokens * 0.8 * epochs / TOKENS_PER_S
    if settings.get("augment"):
        from burnish.train.worth import seconds

        taught_s += seconds(augmentations.open(settings["augment"]), int(records * 0.8), taught_s)
    return 10.0 + taught_s


def _check(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    named = strategies.open(settings.get("strategy", "auto"))
    problems = {
        "strategy": fit_together(named, shape=_shape(settings, task)),
        "regularise": stand_together(regularisers.open(settings.get("regularise", ()))),
    }
    loss = losses.open(settings.get("loss", "auto"))[0].name
    if loss == "class_balanced" and settings.get("class_weights", "none") != "none":
        problems["loss"] = "class_balanced weighs the classes already; set class_weights: none"
    for one in named:
        if type(one).teach is not Strategy.teach:
            said = f"the strategy {one.name} teaches in its own way, and this would do nothing there; leave it out"
            problems["regularise"] = said if settings.get("regularise") else problems["regularise"]
            problems["loss"] = said if loss not in ("auto", "cross_entropy") else ""
    found = [(key, problem, "") for key, problem in problems.items() if problem]
    if settings.get("augment"):
        from burnish.core.tasktypes import open_task, option_problems
        from burnish.train.worth import wrong

        found += [] if option_problems(task) else wrong(settings["augment"], open_task(task))
    return found


def _shape(settings: Mapping[str, Any], task: TaskSpec) -> str:
    """encoder, decoder or encoder-decoder, as far as a spec tells."""
    from burnish.core.tasktypes import open_task

    opened: Any = open_task(task)
    if opened.engine == "encoder":
        return "encoder"
    return str(opened.shape_of(settings.get("backbone", "auto")))


GONE = {"layer_decay": "strategy: {use: layer_wise, decay: ...} says it now"}


def _estimate(records: int, tokens: int, settings: Mapping[str, Any], task: TaskSpec) -> Any:
    from burnish.nn.estimates import for_tune

    return for_tune(records, tokens, settings, task, otherwise=TOKENS_PER_S)


@stage(
    "train.tune", version=5, cost=_cost, estimate=_estimate, aliases=ALIASES, gone=GONE, check=_check, distributed=True
)
def tune(
    split: Split,
    gold: Gold | None,
    context: Context,
    pretrained: Pretrained | None = None,
    *,
    backbone: Start = Start("auto"),
    strategy: Annotated[Any, strategies] = "auto",
    regularise: Annotated[Any, regularisers] = (),
    loss: Annotated[Any, losses] = "auto",
    distil: Path | None = None,
    distil_weight: Share = 0.5,
    distil_temperature: Rate = 2.0,
    epochs: Positive | Literal["auto"] = "auto",
    learning_rate: Rate | Literal["auto"] = "auto",
    optimiser: Literal["adamw", "muon"] = "adamw",
    schedule: Literal["linear", "cosine", "constant", "wsd"] = "linear",
    warmup: Share = 0.1,
    decay: Share = 0.2,
    weight_decay: Annotated[float, Ge(0)] = 0.01,
    batch_tokens: Positive | Literal["auto"] = "auto",
    accumulate: Positive | Literal["auto"] = "auto",
    max_length: Positive | Literal["auto"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    patience: Count = 3,
    class_weights: Literal["none", "balanced"] = "none",
    label_smoothing: Share | Literal["auto"] = "auto",
    max_grad_norm: Annotated[float, Ge(0)] = 1.0,
    soft_labels: bool = True,
    gold_epochs: Count | Literal["auto"] = "auto",
    augment: Annotated[Any, augmentations] = (),
    activation_checkpointing: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    checkpoint_every_s: Annotated[float, Gt(0)] = 60.0,
    keep_checkpoints: Positive = 2,
    track: Annotated[Any, trackers] = (),
) -> Model:
    """Fine-tune a pretrained network for the task, on soft or hard labels.

    backbone: "auto" (what a `pretrain` before it made, else by task and language), "pretrained" (the same, or a
    mistake), a name of `burnish backbones`, a folder, a hub name, or, for a task that
    writes, "fresh": random weights and a tokenizer learnt from the training side.
    strategy: which weights move and how fast, one or several of `burnish stages train.tune`; full moves all, auto is lora
    for a large decoder, contrastive for a few labels a class, probe_first where labellers made labels, else full.
    regularise: what changes how a step teaches or what is kept of the steps, any number.
    loss: what a wrong class costs; auto is elr where labellers made labels, else cross_entropy.
    distil: a run or model folder of burnish to learn from beside the labels; it may be of any size and language.
    distil_weight: share of the loss that is the distance from it, 0..1; 1 learns from it alone.
    distil_temperature: by which both answers are softened first (Hinton et al. 2015).
    epochs: passes over the training side; auto by its size.
    learning_rate: peak of the schedule; auto by the width of the encoder.
    optimiser: adamw, or muon for the matrices between hidden states: for large batches, and for what muon pre-trained.
    schedule: how the rate falls after warm-up; wsd stays and falls at the end.
    warmup: share of all steps in which the rate rises, 0..1.
    decay: share of all steps in which wsd falls.
    weight_decay: of AdamW, on matrices only.
    batch_tokens: tokens in a batch, padding included; texts of like length go together.
    accumulate: batches whose mean gradient is one step, shared out to the processes; auto is one a process.
    max_length: in tokens; a longer text loses its end; auto holds 99% of the texts whole, at most 256.
    precision: number format of the matrix products; auto probes this processor; weights stay fp32.
    patience: epochs without a better validation score before stopping; 0 never stops early.
    class_weights: balanced weighs a class by the inverse of its share.
    label_smoothing: share of the target given to all labels alike, 0..1; auto is 0.1 for an encoder-decoder, else 0.
    max_grad_norm: longest gradient; 0 does not clip.
    soft_labels: learn how sure the labels are (`probs`); false learns the label alone.
    gold_epochs: passes over the gold at the end, where the gold section says train: true; auto is 4; 0 none.
    augment: what makes further training records, any number; each is kept only where the validation side says it helps.
    activation_checkpointing: compute layers twice instead of keeping what they made: less memory, a third more time.
    device: auto is the GPU where there is one.
    checkpoint_every_s: seconds between checkpoints; a killed run goes on from the newest, to the same weights.
    keep_checkpoints: newest ones that stay on disk while it trains; a damaged one is noticed, and the one before is used.
    track: where loss, rate, speed and memory go while it trains, any number.

    The best weights by validation are kept. The temperature is fitted on the validation side (Guo et al. 2017).
    Memory: all training texts as token ids, and the model four times (weights, gradient, two moments).
    """
    from burnish.core.tasktypes import open_task
    from burnish.nn import models
    from burnish.nn.distributed import open_group
    from burnish.nn.engine import Live
    from burnish.nn.losses import auto
    from burnish.nn.objectives import CrossEntropy
    from burnish.nn.strategies.auto import Taught, plain, settled
    from burnish.nn.training import Training
    from burnish.train.sides import Sides
    from burnish.train.teach import teach

    folder = _start(backbone, pretrained) or open_task(context.task).backbone(
        backbone, split.train.table(), folder=context.scratch / "fresh", seed=context.seed, progress=context.progress
    )
    settings = Training(
        epochs=epochs,
        learning_rate=learning_rate,
        optimiser=optimiser,
        schedule=schedule,
        warmup=warmup,
        decay=decay,
        weight_decay=weight_decay,
        batch_tokens=batch_tokens,
        accumulate=accumulate,
        activation_checkpointing=activation_checkpointing,
        device=device,
        precision=precision,
        patience=patience,
        max_grad_norm=max_grad_norm,
        checkpoint_every_s=checkpoint_every_s,
        keep_checkpoints=keep_checkpoints,
    )
    wanted = strategies.open(strategy)
    beside = sum(one.beside for one in wanted)
    sides = Sides(open_task(context.task), folder, split, max_length=max_length, soft=soft_labels, beside=beside)
    task = sides.task
    head = task.head()
    smoothing = _smoothing(label_smoothing, sides)

    one_label, people = type(task.objective()) is CrossEntropy, from_people(sides.table)
    solved = any(one.solves for one in wanted)  # its penalty doubts labels in its own way
    alone = not (regularise or distil or solved)
    cost, cost_why = auto.settled(losses.open(loss)[0], one_label=one_label, people=people, alone=alone)
    said = {
        "regularise": regularise,
        "augment": augment,
        "distil": distil,
        "label_smoothing": label_smoothing,
        "class_weights": class_weights,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "loss": loss,
    }
    # a wrong label spoils every pair that it is in, and what gold corrects at the end are steps over single texts
    pairs = people and plain(said) and not (gold and gold.facts.get("train"))
    taught = Taught(len(sides.table), len(head.labels), one_label=one_label, plain=pairs, people=people)

    def learn(
        sides: Sides, context: Context, gold: Any = None, watch: Any = None
    ) -> tuple[Any, list[Any], dict[str, Any], Any]:
        model = models.build(folder, head, seed=context.seed)
        sides.prepare(model)
        parts, why = settled(wanted, model, taught)
        parts = placed(parts, model, seed=context.seed)
        group = open_group(context.parallel, model)
        told = teach(
            model,
            task,
            sides,
            gold=gold,
            settings=settings,
            balanced=class_weights == "balanced",
            label_smoothing=smoothing,
            gold_epochs=gold_epochs,
            loss=cost,
            distil=(distil, distil_weight, distil_temperature) if distil is not None else None,
            strategies=parts,
            regularisers=regularisers.open(regularise),
            watch=watch,
            context=context,
            group=group,
        )
        told["history"]["tune"]["reasons"] |= {"strategy": why, "loss": cost_why}
        if label_smoothing == "auto" and smoothing:
            told["history"]["tune"]["reasons"]["label_smoothing"] = f"{smoothing} for an encoder-decoder"
        return model, parts, told, group

    worth: list[dict[str, Any]] = []
    if asked := augmentations.open(augment):
        from burnish.train.worth import chosen

        sides.made, worth = chosen(
            asked, sides, test=split.test.table(), folder=folder, context=context,
            learn=lambda sides, context: learn(sides, context)[::2],
        )  # fmt: skip
    checked = gold.table() if gold is not None and gold.facts.get("train") else None
    story = Story(f"{context.name}-{context.key[:8]}", context.base, asdict(settings))
    with watching(track if open_group().writes else (), story) as watch:
        model, parts, told, group = learn(sides, context, checked, watch)
    told["history"] |= {"augment": worth} if worth else {}
    out = context.scratch / "model"
    if not group.writes:
        return Model(out, {})
    shutil.rmtree(out, ignore_errors=True)
    learnt = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    models.save(model, out, head, tokenizer=sides.tokenizer, strategies=parts)
    task.collect(sides.table, sides.validation_table, base=context.base)
    task.furnish(out, Live(model, head, sides.tokenizer, sides.max_length))
    info = {
        "burnish": 1,
        "task": task.spec.plain(),
        "head": head.plain(),
        "format": "torch",
        "version": context.key[:12],
        "backbone": _named(backbone, pretrained, folder),
        "strategy": strategies.written(parts),
        "regularise": regularisers.plain(regularise),
        "loss": losses.written([cost]),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "parameters_learnt": learnt,
        "max_length": sides.max_length,
        "pooling": getattr(model, "pooling", "stock"),
        **told,
    }
    return Model(out, info)


def _smoothing(asked: float | str, sides: Any) -> float:
    """What `label_smoothing` means: auto is the 0.1 of Vaswani et al. (2017) where an encoder-decoder writes."""
    if asked != "auto":
        return float(asked)
    reads_first = sides.task.engine == "generator" and not getattr(sides.tokenizer, "chat_template", None)
    return 0.1 if reads_first else 0.0


def _start(backbone: str, pretrained: Pretrained | None) -> Path | None:
    """The folder that `pretrain` made, where that is meant."""
    from burnish.nn.backbones import AUTO, PRETRAINED

    if backbone == PRETRAINED and pretrained is None:
        raise BurnishError(
            "nothing before this step made a backbone",
            where="train.tune.backbone",
            hint="put {use: pretrain} before it",
        )
    return pretrained.folder if pretrained is not None and backbone in (AUTO, PRETRAINED) else None


def _named(backbone: str, pretrained: Pretrained | None, folder: Path) -> str:
    """What a model's card says that it was made from."""
    if _start(backbone, pretrained) is not None:
        return "pretrained"
    return str(backbone) if Path(backbone).name != str(backbone) else folder.name
