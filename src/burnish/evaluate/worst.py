"""The worst errors, the training records that stand nearest to each, and those that pulled it there.

Pulled: by how much the margin of the wrong answer over the right one falls when that record is left out, in logits, by
influence in closed form on a probe over the model's backbone (`nn.influence`; Koh and Liang 2017). The probe stands in for
the model: it reads the same vectors before tuning.
"""

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
    and `answered` the same with the target and with the answer in it or below it. `pulled_by`: where a target is one label. `written`: the answer is a text of the model's own.
    """
    test, task, loss = served.table, served.task, served.losses
    order = np.lexsort((np.arange(len(loss)), -loss))
    rows = order[loss[order] > 0][:most]
    if not len(rows):
        return {"nearest_by": None, "items": []}
    near, similarity, by = _nearest(said(test.take(rows)), said(train), model, context, count=neighbours)
    shown = test.take(rows).to_pylist()
    around_all = train.take(near.ravel()).to_pylist() if near.size else []
    pulled = pulls(
        task, test.take(rows), [served.answers.items[row] for row in rows], train, model, context, most=neighbours
    )
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
                **({"pulled_by": pulled[place]} if pulled else {}),
                "neighbours_that_agree": agreeing,
                "doubtful": bool(around and agreeing >= AGREEING * len(around) and score is not None and score >= SURE),
            }
        )
    return {"nearest_by": by, "items": items}


def pulls(
    task: Any,
    asked: pa.Table,
    answers: list[Mapping[str, Any]],
    train: pa.Table,
    model: Model,
    context: Context,
    *,
    most: int,
) -> list[list[dict[str, Any]]]:
    """For each answer the `most` training records that pulled it from its target to where it went, hardest first.

    [] where a target is not one label, or no backbone measures texts. Cost: a probe on the training side, embedded (its
    vectors are in the cache after the quality room).
    """
    folder = _encoder(model, context)[0]
    labels = list(task.labels)
    place = {label: at for at, label in enumerate(labels)}
    known = train.filter(pa.array([label in place for label in train["label"].to_pylist()]))
    wanted = [place.get(label, -1) for label in asked["label"].to_pylist()]
    said_at = [place.get(str(one.get("label")), -1) for one in answers]
    if not task.one_label or folder is None or not len(known) or min([*wanted, *said_at], default=-1) < 0:
        return []
    targets = np.array([place[label] for label in known["label"].to_pylist()])
    if len(np.unique(targets)) < 2:
        return []
    from burnish.nn.embeddings import embed
    from burnish.nn.influence import pulling

    vectors = embed([*said(asked), *said(known)], folder, cache=context.cache, progress=context.progress)
    rows, moved = pulling(
        vectors[len(asked) :], targets, vectors[: len(asked)], np.array(said_at), np.array(wanted),
        num_classes=len(labels), seed=context.seed, most=most,
    )  # fmt: skip
    full = known.select(["id", "text", "text_b", "label", "label_from", "source"])
    return [
        [
            {**one, "pull": round(float(how), 5)}
            for one, how in zip(full.take(pa.array(some)).to_pylist(), each, strict=True)
            if how > 0
        ]
        for some, each in zip(rows, moved, strict=True)
    ]


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
