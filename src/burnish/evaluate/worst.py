"""The worst errors, and the training records that stand nearest to each: which data pulled it there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Model
from burnish.core.errors import WeightsError
from burnish.core.stage import Context
from burnish.evaluate.judged import Judged
from burnish.evaluate.judges import said

SURE = 0.9  # of its answer: above it, with neighbours that agree, the test label itself is worth a look
AGREEING = 0.8  # share of neighbours


def worst(
    served: Judged, train: pa.Table, model: Model, context: Context, *, most: int, neighbours: int
) -> dict[str, Any]:
    """The `most` errors of highest loss, each with its nearest training records by cosine.

    Returns {"nearest_by": what measured nearness, "items": [...]}; an item's `doubtful` says that the model is sure and
    its neighbours carry the model's answer, not the test label. `input` is the record as [text, mark] pieces, `expected`
    and `answered` the same with the target and with the answer in it or below it. `written`: the answer is a text of the model's own.
    """
    test, task, loss = served.table, served.task, served.losses
    order = np.lexsort((np.arange(len(loss)), -loss))
    rows = order[loss[order] > 0][:most]
    if not len(rows):
        return {"nearest_by": None, "items": []}
    near, similarity, by = _nearest(said(test.take(rows)), said(train), model, context, count=neighbours)
    shown = test.take(rows).to_pylist()
    around_all = train.take(near.ravel()).to_pylist() if near.size else []
    items = []
    for place, row in enumerate(rows):
        full, answer = shown[place], served.answers.items[row]
        wanted = task.expected(full)
        asked_shown, said_shown = task.sides(test, served.answers, int(row))
        said_answer = task.brief(answer)
        close = around_all[place * near.shape[1] : (place + 1) * near.shape[1]]
        around = [
            {name: one[name] for name in ("id", "text", "text_b", "label_from", "confidence", "source")}
            | {"label": task.brief(task.expected(one)), "pieces": _pieces(task, one, task.expected(one))}
            | {"similarity": round(float(cosine), 4)}
            for one, cosine in zip(close, similarity[place], strict=True)
        ]
        agreeing = sum(one["label"] == said_answer for one in around)
        score = answer.get("score")
        items.append(
            {name: full[name] for name in ("id", "text", "text_b", "source", "language")}
            | {
                "target": task.brief(wanted),
                "prediction": said_answer,
                "input": _pieces(task, full, None),
                "expected": _pieces(task, full, asked_shown),
                "answered": _pieces(task, full, said_shown),
                "written": isinstance(answer.get("text"), str) and "start" not in answer,
                "score": score,
                "loss": round(float(loss[row]), 4),
                "neighbours": around,
                "neighbours_that_agree": agreeing,
                "doubtful": bool(around and agreeing >= AGREEING * len(around) and score is not None and score >= SURE),
            }
        )
    return {"nearest_by": by, "items": items}


def _pieces(task: Any, row: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[list[str | None]]:
    """[text, mark] pairs of an input with an answer marked in it."""
    return [[piece.text, piece.mark] for piece in task.pieces(row, answer)]


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
    if (model.info.get("head") or {}).get("kind") == "generator":
        return None, "TF-IDF: a model that writes is no measure of likeness"
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

    from burnish.tasks.baselines import TOKEN

    terms = TfidfVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), sublinear_tf=True)
    features = terms.fit_transform(known)
    cosines: np.ndarray = (terms.transform(texts) @ features.T).toarray()
    return cosines
