"""Fine-tune a pretrained encoder on the training side of a split."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from annotated_types import Ge, Gt

from burnish.core.artifacts import Gold, Model, Split
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Count, Positive, Share, stage
from burnish.nn.backbones import Backbone

Rate = Annotated[float, Gt(0)]
TOKENS_PER_S = 9000.0  # trained tokens a second of a 22M encoder on two cores with bf16 (benchmarks/train.py)

ALIASES = {
    "model_name_or_path": "backbone",
    "num_train_epochs": "epochs",
    "warmup_ratio": "warmup",
    "lr_scheduler_type": "schedule",
    "early_stopping_patience": "patience",
    "max_seq_length": "max_length",
}


def _cost(records: int, tokens: int, settings: Mapping[str, Any]) -> float:
    epochs = settings["epochs"] if isinstance(settings["epochs"], int) else 3
    return 10.0 + tokens * 0.8 * epochs / TOKENS_PER_S


@stage("train.tune", cost=_cost, aliases=ALIASES)
def tune(
    split: Split,
    gold: Gold | None,
    context: Context,
    *,
    backbone: Backbone = Backbone("auto"),
    strategy: Literal["full"] = "full",
    epochs: Positive | Literal["auto"] = "auto",
    learning_rate: Rate | Literal["auto"] = "auto",
    schedule: Literal["linear", "cosine"] = "linear",
    warmup: Share = 0.1,
    weight_decay: Annotated[float, Ge(0)] = 0.01,
    layer_decay: Annotated[float, Gt(0)] = 1.0,
    batch_tokens: Positive | Literal["auto"] = "auto",
    max_length: Positive | Literal["auto"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    patience: Count = 3,
    class_weights: Literal["none", "balanced"] = "none",
    label_smoothing: Share = 0.0,
    max_grad_norm: Annotated[float, Ge(0)] = 1.0,
    soft_labels: bool = True,
    gold_epochs: Count | Literal["auto"] = "auto",
    checkpoint_every_s: Annotated[float, Gt(0)] = 60.0,
) -> Model:
    """Fine-tune an encoder with a classification head on soft or hard labels.

    backbone: "auto" (by language), a name of `burnish backbones`, a folder, or a hub name.
    strategy: which weights move; full moves all.
    epochs: passes over the training side; auto by its size.
    learning_rate: peak of the schedule; auto by the width of the encoder.
    schedule: how the rate falls after warm-up.
    warmup: share of all steps in which the rate rises, 0..1.
    weight_decay: of AdamW, on matrices only.
    layer_decay: each layer learns at this times the rate of the one above; 1 is the same rate for all.
    batch_tokens: tokens in a batch, padding included; texts of like length go together.
    max_length: in tokens; a longer text loses its end; auto holds 99% of the texts whole, at most 256.
    precision: number format of the matrix products; auto probes this processor; weights stay fp32.
    patience: epochs without a better validation score before stopping; 0 never stops early.
    class_weights: balanced weighs a class by the inverse of its share.
    label_smoothing: share of the target given to all labels alike, 0..1.
    max_grad_norm: longest gradient; 0 does not clip.
    soft_labels: learn how sure the labels are (`probs`); false learns the label alone.
    gold_epochs: passes over the gold at the end, where the gold section says train: true; auto is 4; 0 none.
    checkpoint_every_s: seconds between checkpoints; a killed run goes on from the newest, to the same weights.

    The best weights by validation are kept. The temperature is fitted on the validation side (Guo et al. 2017).
    Memory: all training texts as token ids, and the model four times (weights, gradient, two moments).
    """
    from burnish.core.tasktypes import open_task
    from burnish.nn import heads
    from burnish.nn.backbones import resolve
    from burnish.nn.loop import Training, fit
    from burnish.nn.predict import predict_logits
    from burnish.nn.probe import fit_temperature

    task = open_task(context.task)
    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    settings = Training(
        epochs=epochs,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        layer_decay=layer_decay,
        batch_tokens=batch_tokens,
        precision=precision,
        patience=patience,
        class_weights=class_weights,
        label_smoothing=label_smoothing,
        max_grad_norm=max_grad_norm,
        checkpoint_every_s=checkpoint_every_s,
    )
    reader = _Reader(task, folder, split, max_length, soft_labels)
    train, validation = reader.examples(split.train.table()), reader.examples(split.validation.table())
    if len(train) == 0:
        raise BurnishError(
            "no labelled record is left to train on", hint="see construct/labellers.json: which labellers vote at all?"
        )
    model = heads.build(folder, labels=task.labels, seed=context.seed)
    reader.centre(model)
    history = fit(
        model,
        train,
        validation if len(validation) else None,
        settings=settings,
        scratch=_folder(context.scratch / "weak"),
        progress=context.progress,
        seed=context.seed,
    )
    told = {"tune": history.to_json() | {"max_length_why": reader.why}}
    gold_examples = reader.examples(gold.table()) if gold is not None and gold.facts.get("train") else None
    if gold_examples is not None and len(gold_examples) and gold_epochs != 0:
        last = _gold_settings(settings, history.resolved, gold_epochs)
        again = fit(
            model,
            gold_examples,
            None,
            settings=last,
            scratch=_folder(context.scratch / "gold"),
            progress=context.progress,
            seed=context.seed,
        )
        told["gold_last"] = again.to_json()
    temperature = 1.0
    if len(validation):
        temperature = fit_temperature(predict_logits(model, validation), validation.targets)
    out = context.scratch / "model"
    shutil.rmtree(out, ignore_errors=True)
    heads.save(model, out, tokenizer=reader.tokenizer)
    info = {
        "burnish": 1,
        "task": context.task.plain(),
        "format": "torch",
        "version": context.key[:12],
        "backbone": str(backbone) if Path(backbone).name != str(backbone) else folder.name,
        "strategy": strategy,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "max_length": reader.max_length,
        "temperature": round(temperature, 6),
        "pooling": getattr(model, "pooling", "stock"),
        "data": {
            "train": len(train),
            "validation": len(validation),
            "gold": len(gold_examples) if gold_examples else 0,
        },
        "history": told,
    }
    return Model(out, info)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _gold_settings(settings: Any, resolved: Mapping[str, Any], gold_epochs: int | str) -> Any:
    """The last passes over a few checked records: few steps, a third of the rate, no decay into forgetting.

    At a third of the rate and 4 passes the weak knowledge stays and the gold corrects it (benchmarks/construct.py).
    """
    from dataclasses import replace

    rate = float(resolved.get("learning_rate", settings.learning_rate)) / 3
    passes = 4 if gold_epochs == "auto" else gold_epochs
    return replace(settings, epochs=passes, learning_rate=rate, patience=0, batch_tokens="auto")


class _Reader:
    """Turns tables of records into token ids and targets, one way for every side."""

    def __init__(self, task: Any, folder: Path, split: Split, max_length: int | str, soft: bool) -> None:
        from transformers import AutoConfig, AutoTokenizer

        from burnish.nn.batches import encode
        from burnish.nn.embeddings import about
        from burnish.nn.loop import auto_max_length

        self.task, self.soft = task, soft
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.centred = bool(about(folder).get("centred"))
        config = AutoConfig.from_pretrained(folder)
        limit = min(int(getattr(config, "max_position_embeddings", 512)), int(self.tokenizer.model_max_length), 8192)
        if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
            limit = min(limit, int(config.max_position_embeddings) - 2)  # positions start behind the padding's
        self.texts, self.pairs = task.inputs(split.train.table(["text", "text_b"]))
        if max_length == "auto":
            whole = encode(self.texts[:20_000], self.tokenizer, pairs=_second(self.pairs, 20_000), max_length=limit)
            self.max_length, self.why = auto_max_length(whole.lengths, limit=limit)
        else:
            self.max_length, self.why = min(int(max_length), limit), "asked for"

    def examples(self, table: pa.Table) -> Any:
        """Labelled records of a table, encoded, with their targets (n, k)."""
        from burnish.nn.batches import encode

        hard = self.task.hard_targets(table)
        table = table.filter(pa.array(hard >= 0))
        texts, pairs = self.task.inputs(table)
        targets = self.task.targets(table) if self.soft else self.task.hard_targets(table)
        encoded = encode(texts, self.tokenizer, pairs=_second(pairs, len(texts)), max_length=self.max_length)
        return encoded.with_targets(targets)

    def centre(self, model: Any) -> None:
        """Start the head at the deviation from the mean text, for encoders whose texts all look alike (e5)."""
        if not self.centred or not hasattr(model, "centre"):
            return
        import torch

        from burnish.nn.batches import batches_of, encode, reading_order

        sample = encode(self.texts[:512], self.tokenizer, pairs=_second(self.pairs, 512), max_length=self.max_length)
        total: Any = 0.0
        model.eval()
        with torch.inference_mode():
            for batch in batches_of(
                sample, reading_order(sample.lengths, batch_tokens=4096), pad_token=int(self.tokenizer.pad_token_id)
            ):
                total = total + model.pooled(batch.ids_BL, batch.mask_BL, batch.types_BL).sum(0)
        model.centre((total / len(sample)).clone())


def _second(pairs: list[str | None] | None, count: int) -> list[str] | None:
    return [pair or "" for pair in pairs[:count]] if pairs is not None else None
