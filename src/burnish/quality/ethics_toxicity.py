"""Toxic language, judged by what the user has: a model, a labelled file, a list of words; burnish brings no list of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.errors import BurnishError
from burnish.core.stage import nearest
from burnish.quality.checks import Array, Found, Material, check
from burnish.quality.traits import Block, rows_of
from burnish.quality.traits import told as read

THRESHOLD = 0.5
TOXIC = ("toxic", "offensive", "hate", "hateful", "hate_speech", "abusive", "abuse", "insult", "harmful", "unsafe", "1", "冒犯", "攻击", "有害", "辱骂", "仇恨")  # fmt: skip
LEAST = 40  # labelled records below which a probe says little


def disguised(block: Block) -> pa.Array:
    """How many listed words each text has, and how many of them are disguised."""
    found = [block.asked.hidden.find(text) if block.asked.hidden else [] for text in block.texts]
    made = [{"words": len(of), "disguised": sum(one.disguised for one in of)} if of else None for of in found]
    return rows_of(made, words=pa.int32(), disguised=pa.int32())


@check("toxicity", dimension="ethics", auto="report", reads=[disguised])
def toxicity(material: Material) -> Found:
    """Toxic language: by your model, by a probe learnt from your labelled file, by your list of words, however disguised.

    `toxicity` names a run folder (its probability of `toxic_label` counts) or a file of labelled texts (a calibrated linear
    probe on frozen embeddings, its accuracy out of sample in the facts). `toxic_words` names a file with a word or phrase a
    line; they are found through leetspeak, blanks and dots between letters, repeated letters, full width and zero-width
    signs, and through signs between Chinese characters. Score: the larger of the two; flagged from 0.5.
    """
    told = material.told
    if told.toxicity is None and told.toxic_words is None:
        return material.nothing("nobody to judge it: toxicity: a run folder or a labelled file, or toxic_words: a list")
    score, why = np.zeros(len(material)), [""] * len(material)
    facts: dict[str, Any] = {}
    if told.toxicity is not None:
        chances, facts = (
            _by_model(material, told.toxicity) if _is_run(told.toxicity) else _by_probe(material, told.toxicity)
        )
        score = np.where(material.blank, 0.0, chances)
        why = [f"{value:.0%} likely {facts['label']}" for value in score]
    if told.toxic_words is not None:
        for row, one in read(material.trait(disguised)):
            count, hidden = one["words"], one["disguised"]
            score[row] = max(score[row], 1 - 0.5 ** (count + 1))
            why[row] = f"{count} listed word{'s' if count > 1 else ''}" + (f", {hidden} of them disguised" if hidden else "") + (f"; {why[row]}" if why[row] and score[row] else "")  # fmt: skip
        facts["words"] = len(material.asked.hidden or ())
    flagged = score >= THRESHOLD
    facts["share"] = float(flagged.mean()) if len(flagged) else 0.0
    return Found(score, flagged, lambda row: why[row], lambda row: "review", facts)


def _is_run(path: Path) -> bool:
    return path.is_dir() and any(
        (path / name).is_file() for name in ("burnish.json", "model/burnish.json", "deploy/burnish.json")
    )


def _wanted(label: str | None, labels: list[str]) -> str:
    """The label that means toxic. BurnishError where none does by its name."""
    if label is not None:
        if label not in labels:
            raise BurnishError(
                f"quality.audit.toxic_label: no label {label!r}", hint=nearest(label, labels, "labels are")
            )
        return label
    found = [one for one in labels if one.lower().replace(" ", "_") in TOXIC]
    if len(found) != 1:
        raise BurnishError(
            f"quality.audit: which of {', '.join(labels)} is toxic?", hint="toxic_label: LABEL beside toxicity"
        )
    return found[0]


def _by_model(material: Material, path: Path) -> tuple[Array, dict[str, Any]]:
    from burnish.tasks import predictor

    model = predictor.load(path)
    label = _wanted(material.told.toxic_label, list(model.labels))
    rows = np.flatnonzero(~material.blank)
    said = model.answers(model.checked([material.texts[row] for row in rows]), progress=material.context.progress)
    if said.probabilities is None:
        raise BurnishError(f"{path.name} gives no probabilities", hint="toxicity: a run of task classification")
    made = np.zeros(len(material))
    made[rows] = said.probabilities[:, list(model.labels).index(label)]
    return made, {"judge": f"the model {model.name}", "label": label}


def _by_probe(material: Material, path: Path) -> tuple[Array, dict[str, Any]]:
    from burnish.core.files import read_table
    from burnish.measures.scores import macro_f1
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import embed
    from burnish.nn.probe import Probe, out_of_sample

    context = material.context
    table = read_table(path, base=context.base, targets=("label",))
    pairs = [(text, str(label)) for text, label in zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True) if text and label is not None]  # fmt: skip
    labels = sorted({label for _, label in pairs})
    label = _wanted(material.told.toxic_label, labels)
    if len(pairs) < LEAST:
        raise BurnishError(f"{path.name} has {len(pairs)} labelled texts, fewer than {LEAST}", hint="label more")
    folder = resolve(material.backbone, languages=context.task.languages, progress=context.progress)
    known = embed([text for text, _ in pairs], folder, cache=context.cache, progress=context.progress)
    wanted = np.array([int(one == label) for _, one in pairs])
    outside = out_of_sample(known, wanted, num_classes=2, folds=5, seed=context.seed, calibrate=True)
    probe = Probe(2, seed=context.seed, calibrate=True).fit(known, wanted)
    chances = probe.probabilities(embed(material.texts, folder, cache=context.cache, progress=context.progress))
    from burnish.measures.scores import confusion

    told = outside.argmax(axis=1)
    facts = {
        "judge": f"a probe on {len(pairs):,} texts of {path.name}", "label": label,
        "accuracy": float((told == wanted).mean()), "macro_f1": float(macro_f1(confusion(wanted, told, 2))),
    }  # fmt: skip
    return np.asarray(chances[:, 1], dtype=float), facts
