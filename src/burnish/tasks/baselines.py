"""What can be had for nothing: the commonest class, and TF-IDF with logistic regression on the same training side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

STRENGTHS = (1.0, 4.0, 16.0)  # C of the regression; chosen on the validation side, 4 where that is too small
LEAST_TO_CHOOSE = 20

# A token is a word where words are set apart and a character where they are not (Han, kana), so that pairs of tokens
# are word pairs in English and character pairs in Chinese.
TOKEN = r"(?u)[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+"


def majority(targets: np.ndarray, count: int, num_classes: int) -> np.ndarray:
    """Shares of the classes of `targets` (n,), said `count` times (count, num_classes): the commonest is the answer."""
    shares = np.bincount(targets, minlength=num_classes) / max(len(targets), 1)
    return np.tile(shares, (count, 1))


def texts(table: pa.Table) -> list[str]:
    """What a model reads of each record, as one text."""
    pairs = zip(table["text"].to_pylist(), table["text_b"].to_pylist(), strict=True)
    return [(text or "") if text_b is None else f"{text}\n{text_b}" for text, text_b in pairs]


def tfidf(
    train: tuple[Sequence[str], np.ndarray],
    validation: tuple[Sequence[str], np.ndarray],
    texts: Sequence[str],
    *,
    num_classes: int,
    seed: int,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Train on (texts, targets), answer `texts` (m, num_classes); and what was chosen.

    Terms are one or two neighbouring tokens (see TOKEN), sublinear counts; rare ones go when there are many texts.
    Memory and time grow with the texts: about 20 s for 100,000 short ones. Raises ValueError for a single class.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    known, targets = train
    classes = np.unique(targets)
    if len(classes) < 2:
        raise ValueError("a classifier needs two classes to learn from")
    terms = TfidfVectorizer(
        token_pattern=TOKEN, ngram_range=(1, 2), sublinear_tf=True, min_df=1 if len(known) < 1000 else 2,
        max_features=200_000, dtype=np.float32,
    )  # fmt: skip
    features = terms.fit_transform(known)

    def fitted(strength: float) -> Any:
        return LogisticRegression(C=strength, max_iter=300, tol=1e-3, random_state=seed).fit(features, targets)

    models = {4.0: fitted(4.0)}
    chosen = 4.0
    if len(validation[0]) >= LEAST_TO_CHOOSE:
        unseen = terms.transform(validation[0])
        models |= {strength: fitted(strength) for strength in STRENGTHS if strength != chosen}
        chosen = max(STRENGTHS, key=lambda strength: (models[strength].predict(unseen) == validation[1]).mean())
    model = models[chosen]
    answers = np.zeros((len(texts), num_classes))
    answers[:, classes] = model.predict_proba(terms.transform(texts))
    return answers, {"terms": int(features.shape[1]), "strength": chosen, "texts": len(known)}
