"""Learn from text alone: a network from random weights, or a backbone that goes on with the texts of a domain."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from burnish.core.artifacts import Gold, Pretrained, Records, Split
from burnish.core.stage import Context, Count, Positive, Share, TaskSpec, stage
from burnish.nn.backbones import FRESH, Start
from burnish.nn.pretraining.base import check as fit_together
from burnish.nn.pretraining.base import chosen, pretraining
from burnish.train.trackers.base import Story, trackers, watching

Rate = Annotated[float, Gt(0)]
Kind = Literal["encoder", "decoder", "encoder-decoder"]
BUDGETS = ("steps", "tokens", "minutes", "epochs")
TOKENS_PER_S = (
    5000.0  # of a network of 10M weights beside its embeddings, on two cores with bf16 (benchmarks/pretrain.py)
)


def _cost(records: int, tokens: int, settings: Mapping[str, Any]) -> float:
    from burnish.nn.architectures import SIZES
    from burnish.train.budget import AUTO_TOKENS

    if settings["minutes"]:
        return 20.0 + 60.0 * float(settings["minutes"])
    wanted = settings["tokens"] or (
        settings["steps"] * _number(settings["batch_tokens"], 2048) * settings["accumulate"] if settings["steps"] else 0
    )
    wanted = wanted or (tokens * settings["epochs"] if isinstance(settings["epochs"], int) else AUTO_TOKENS)
    size = settings["size"]
    layers, hidden = SIZES.get(size) or [int(part) for part in size.split("x")]
    return 20.0 + wanted / TOKENS_PER_S * (12 * layers * hidden**2) / 10.6e6


def _number(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise


def _check(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    from burnish.core.errors import BurnishError
    from burnish.nn.architectures import layers_and_width

    found = []
    parts = pretraining.open(settings.get("objective", ()))
    kind = settings["kind"] or (next((one.kind for one in parts), "encoder") if settings["start"] == FRESH else None)
    if kind and (problem := fit_together(parts, kind)):
        found.append(("objective", problem, f"kind: {parts[0].kind}"))
    given = [name for name in BUDGETS if settings[name] not in (None, "auto")]
    if len(given) > 1:
        found.append((given[1], f"{' and '.join(given)} both say when to stop", "give one of them"))
    if settings["start"] == FRESH:
        found += [
            (name, f"{name} changes the vocabulary of a backbone, and `from` names none", "from: minilm")
            for name in ("extend", "trim")
            if settings[name]
        ]
    try:
        layers_and_width(settings["size"])
    except BurnishError as error:
        found.append(("size", error.message, error.hint or ""))
    return found


@stage("train.pretrain", cost=_cost, check=_check, aliases={"from": "start", "max_steps": "steps"})
def pretrain(
    records: Records | None,
    split: Split | None,
    gold: Gold | None,
    context: Context,
    *,
    start: Start = Start("fresh"),
    kind: Kind | None = None,
    size: str = "small",
    objective: Annotated[Any, pretraining] = (),
    tokenizer: Literal["auto", "wordpiece", "bpe", "unigram"] = "auto",
    vocabulary: Positive | Literal["auto"] = "auto",
    chinese: Literal["characters", "words", "none"] = "characters",
    lowercase: bool | Literal["auto"] = "auto",
    extend: Count = 0,
    trim: bool = False,
    length: Positive | Literal["auto"] = "auto",
    packing: Literal["auto", "concatenate", "sentences", "documents"] = "auto",
    steps: Positive | None = None,
    tokens: Positive | None = None,
    minutes: Rate | None = None,
    epochs: Positive | Literal["auto"] = "auto",
    batch_tokens: Positive | Literal["auto"] = "auto",
    accumulate: Positive = 1,
    optimiser: Literal["adamw", "muon"] = "adamw",
    learning_rate: Rate | Literal["auto"] = "auto",
    schedule: Literal["wsd", "cosine", "linear", "constant"] = "wsd",
    warmup: Share = 0.05,
    decay: Share = 0.3,
    decay_shape: Literal["sqrt", "linear"] = "sqrt",
    weight_decay: Annotated[float, Ge(0)] = 0.01,
    max_grad_norm: Annotated[float, Ge(0)] = 1.0,
    dropout: Share = 0.0,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    held_out: Annotated[float, Ge(0), Lt(0.5)] = 0.01,
    probe: Path | None = None,
    look_every: Positive | Literal["auto"] = "auto",
    keep_head: bool = True,
    track: Annotated[Any, trackers] = (),
    checkpoint_every_s: Rate = 60.0,
) -> Pretrained:
    """Learn a backbone from the text of all records, labelled or not; a `tune` behind it starts from what this made.

    start: written `from`: "fresh" for random weights, else the backbone to go on with: "auto", a name, a folder, a run.
    kind: encoder, decoder or encoder-decoder; that of the objective, of `from`, or an encoder.
    size: tiny, mini, small, medium, base, large, or layers x width (4x256); of random weights.
    objective: what is learnt, one or two of `burnish stages train.pretrain`; by kind masked, causal or spans.
    tokenizer: learnt from the texts where weights are random; auto is wordpiece for an encoder, else bpe.
    vocabulary: tokens of it; auto by the amount of text.
    chinese: what of Chinese is a token at most: a character, a word, or what the pieces make of it.
    lowercase: read small letters only; auto for an encoder.
    extend: pieces to add to the vocabulary of `from`, learnt from the texts.
    trim: drop the pieces of `from` that no text needs.
    length: tokens of a window; auto is 128 for an encoder, else 256, within what `from` can read.
    packing: documents one behind another in whole windows, whole sentences of one document, or one document a window.
    steps: of the optimiser in all. tokens: to be read in all. minutes: on this machine, turned into steps after a short measurement and kept, so that a killed run ends the same.
    epochs: passes over the text; auto is about five million tokens, one pass at least and 20 at most.
    batch_tokens: tokens in a batch; auto makes some 1,500 steps of 1,024 to 8,192 tokens.
    accumulate: batches a step.
    optimiser: adamw, or muon for the matrices between hidden states, which wants thousands of tokens a step.
    learning_rate: peak; auto is 1e-3 from random weights (2e-3 up to 128 wide) and 2e-4 from a small backbone, less for wide ones.
    schedule: how the rate goes after warm-up; wsd stays and falls at the end.
    warmup: share of all steps in which the rate rises.
    decay: share of all steps in which wsd falls.
    decay_shape: of that fall.
    weight_decay: of AdamW and Muon, on matrices only.
    max_grad_norm: longest gradient; 0 does not clip.
    dropout: none is right where a text is read once or a few times.
    precision: number format of the matrix products; auto probes this processor; weights stay fp32.
    held_out: share of the documents that are not learnt but tell the loss; the best weights by it are kept.
    probe: labelled file for a linear probe on the way; else checked records, else labelled ones of the training side.
    look_every: steps between looks at held-out loss and probe; auto is ten looks.
    keep_head: keep what tells masked tokens in the saved folder; an encoder's backbone needs it only to go on.
    track: who is told how it goes, beside the page of the run.
    checkpoint_every_s: seconds between checkpoints; a killed run goes on from the newest, to the same weights.

    Behind a split only its training side and what resembles nothing on the others is read; gold is not read unless the
    spec trains on it. Memory: the network four times; tokens stay on the disk.
    """
    from burnish.nn import language_models
    from burnish.nn.training import Training
    from burnish.train import budget, corpora, looks
    from burnish.train.texts import documents, readable

    texts, told = readable(records, split, gold, progress=context.progress)
    wanted = corpora.Wanted(
        start=start,
        kind=kind,
        size=size,
        objective=objective,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        chinese=chinese,
        lowercase=lowercase,
        extend=extend,
        trim=trim,
        length=length,
        packing=packing,
        held_out=held_out,
    )
    made = corpora.prepare(wanted, lambda: documents(texts), context.scratch / "prepared", context=context)
    part, judged = chosen(objective, made.kind)
    model = language_models.build(
        made.folder, pairs=judged is not None, start="nothing" if made.fresh else "pretrained", seed=context.seed
    )
    learnt = part.objective(made.tokenizer, judges=judged.pairs if judged else "")
    train, validation = made.sides(judged, seed=context.seed)
    settings, reasons = budget.settled(
        Training(
            learning_rate=0.0 if learning_rate == "auto" else learning_rate,
            schedule=schedule,
            warmup=warmup,
            decay=decay,
            decay_shape=decay_shape,
            optimiser=optimiser,
            betas=part.betas,
            eps=part.eps,
            weight_decay=weight_decay,
            batch_tokens=batch_tokens,
            precision=precision,
            patience=0,
            max_grad_norm=max_grad_norm,
            dropout=dropout,
            accumulate=accumulate,
            checkpoint_every_s=checkpoint_every_s,
        ),
        train,
        budget.Budget(steps=steps, tokens=tokens, minutes=minutes, epochs=epochs),
        model=model,
        objective=learnt,
        look_every=look_every,
        fresh_rate=part.rate,
        context=context,
    )
    probed = looks.probe_of(probe, gold, split, records, context)
    judge = looks.judge(learnt, validation, probed, made.tokenizer, made.length, seed=context.seed)
    history = _taught(model, train, learnt, judge, settings, track=track, context=context)
    history.reasons |= reasons
    history.resolved["steps"] = settings.steps
    name = str(start) if Path(start).name == str(start) else Path(start).name
    out = _kept(model, made, name, keep_head=keep_head, context=context)
    objectives = pretraining.plain(_said(part, judged))
    about = probed.about if probed else None
    info = _card(made, model, settings, history, name=name, objective=objectives, texts=told, probe=about)
    return Pretrained(out, info)


def _taught(model: Any, train: Any, learnt: Any, judge: Any, settings: Any, *, track: Any, context: Context) -> Any:
    """The `History` of learning from the windows in place, told to whoever tracks it."""
    from burnish.nn import loop

    story = Story(f"{context.name}-{context.key[:8]}", context.base, asdict(settings))
    with watching(track, story) as watch:
        return loop.fit(
            model,
            train,
            None,
            settings=settings,
            scratch=context.scratch / "checkpoints",
            progress=context.progress,
            seed=context.seed,
            objective=learnt,
            judge=judge,
            watch=watch,
        )


def _kept(model: Any, made: Any, name: str, *, keep_head: bool, context: Context) -> Path:
    """The folder of the new backbone. made: of `corpora.prepare`; name: of what it went on from."""
    from burnish.nn import language_models

    out = context.scratch / "model"
    shutil.rmtree(out, ignore_errors=True)
    about: dict[str, Any] = {"name": "pretrained", "from": name, "version": context.key[:12], "licence": "as the texts"}
    if made.kind == "encoder":
        about |= {"pooling": "mean", "centred": True}  # states of a language model lie in a narrow cone
    language_models.save(model, out, tokenizer=made.tokenizer, head=keep_head, about=about)
    return out


def _card(
    made: Any, model: Any, settings: Any, history: Any, *, name: str, objective: Any, texts: Any, probe: Any
) -> dict[str, Any]:
    """What was made, JSON. made: of `corpora.prepare`; settings: of training, decided; texts: what was read and left out."""
    from burnish.train import looks

    said = ("schedule", "warmup", "decay", "decay_shape", "optimiser")
    return {
        "burnish": 1,
        "kind": made.kind,
        "from": name,
        "objective": objective,
        "length": made.length,
        "vocabulary": len(made.tokenizer),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "tokens": history.tokens,
        "steps": settings.steps,
        "loss": looks.last_loss(history),
        "texts": texts,
        "corpus": made.facts,
        "settings": {name: getattr(settings, name) for name in said},
        "probe": probe,
        "history": history.to_json(),
    }


def _said(part: Any, judged: Any) -> list[Any]:
    """Objectives as a spec writes them."""
    return [{"use": one.name, **asdict(one)} for one in (part, judged) if one is not None]
