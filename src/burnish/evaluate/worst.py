"""The worst errors, and the training records that stand nearest to each: which data pulled it there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Model
from burnish.core.errors import WeightsError
from burnish.core.stage import Context
from burnish.evaluate.judges import said

SURE = 0.9  # of its answer: above it, with neighbours that agree, the test label itself is worth a look
AGREEING = 0.8  # share of neighbours


def losses(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Negative log probability of the target (n,), in nats; at most 36, where a double ends."""
    own = probabilities[np.arange(len(targets)), targets]
    loss: np.ndarray = -np.log(np.maximum(own, np.finfo(np.float64).eps))
    return loss


def worst(
    test: pa.Table, targets: np.ndarray, probabilities: np.ndarray, train: pa.Table, model: Model, context: Context, *,
    most: int, neighbours: int,
) -> dict[str, Any]:  # fmt: skip
    """The `most` errors of highest loss, each with its nearest training records by cosine.

    Returns {"nearest_by": what measured nearness, "items": [...]}; an item's `doubtful` says that the model is sure and
    its neighbours carry the model's answer, not the test label.
    """
    labels = context.task.labels
    loss = losses(targets, probabilities)
    predicted = probabilities.argmax(axis=1)
    order = np.lexsort((np.arange(len(loss)), -loss))
    rows = order[(predicted != targets)[order]][:most]
    if not len(rows):
        return {"nearest_by": None, "items": []}
    near, similarity, by = _nearest(said(test.take(rows)), said(train), model, context, count=neighbours)
    shown = test.select(["id", "text", "text_b", "source", "language"]).take(rows).to_pylist()
    items = []
    for place, row in enumerate(rows):
        around = (
            train.select(["id", "text", "label", "label_from", "confidence", "source"]).take(near[place]).to_pylist()
        )
        for one, cosine in zip(around, similarity[place], strict=True):
            one["similarity"] = round(float(cosine), 4)
        answer = labels[predicted[row]]
        agreeing = sum(one["label"] == answer for one in around)
        items.append(
            shown[place]
            | {
                "target": labels[targets[row]],
                "prediction": answer,
                "score": round(float(probabilities[row, predicted[row]]), 6),
                "loss": round(float(loss[row]), 4),
                "neighbours": around,
                "neighbours_that_agree": agreeing,
                "doubtful": bool(
                    around and agreeing >= AGREEING * len(around) and probabilities[row, predicted[row]] >= SURE
                ),
            }
        )
    return {"nearest_by": by, "items": items}


def _nearest(
    texts: list[str], known: list[str], model: Model, context: Context, *, count: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """For each text the rows (m, count) of the nearest known ones, their cosines, and what measured them."""
    if not known:
        empty = np.zeros((len(texts), 0))
        return empty.astype(np.int64), empty, "nothing: there is no training record"
    folder, by = _encoder(model, context)
    if folder is None:
        cosines = _tfidf_cosines(texts, known)
    else:
        from burnish.nn.embeddings import centre, embed

        vectors = centre(embed([*texts, *known], folder, cache=context.cache, progress=context.progress))
        cosines = vectors[: len(texts)] @ vectors[len(texts) :].T
    near = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return near, np.take_along_axis(cosines, near, axis=1), by


def _encoder(model: Model, context: Context) -> tuple[Path | None, str]:
    """The frozen backbone the model grew from (its vectors are in the cache), else the model's own weights, else none."""
    name = model.info.get("backbone")
    if isinstance(name, str):
        from burnish.nn.backbones import resolve

        try:
            return resolve(name, languages=context.task.languages, progress=context.progress), f"backbone {name}"
        except WeightsError as error:
            context.progress.tell(f"  nearest neighbours without the backbone: {error.message}")
    if list(model.folder.glob("*.safetensors")):
        return model.folder, "the tuned model"
    return None, "TF-IDF: neither the backbone nor a torch model is there"


def _tfidf_cosines(texts: list[str], known: list[str]) -> np.ndarray:
    from sklearn.feature_extraction.text import TfidfVectorizer

    from burnish.evaluate.baselines import TOKEN

    terms = TfidfVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), sublinear_tf=True)
    features = terms.fit_transform(known)
    cosines: np.ndarray = (terms.transform(texts) @ features.T).toarray()
    return cosines
