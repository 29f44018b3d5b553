"""How good marked spans are: strict entity scores, token scores beside what tagging everything O is given, and tag schemes.

A span is right when its first and last character (or token) and its label are all right; each record's spans are a set.
Scores agree with the package seqeval to the last digit (its default mode, which is conlleval's reading of tags, and its
strict mode for BIO and BIOES; tests/measures/test_entities.py). Counts come first and add up over records, so that an
interval costs no second look at the spans.

n records, C types, last axis 3: true positives, false positives, false negatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Spans = Iterable[Mapping[str, Any]] | None  # {start, end, label}, end exclusive
Scheme = Literal["BIO", "BIOES", "IOB1"]
Floats = NDArray[np.float64]


def entity_counts(targets: Sequence[Spans], predictions: Sequence[Spans], labels: Sequence[str]) -> NDArray[np.int64]:
    """True positives, false positives and false negatives of each record and type: (n, C, 3), types as in `labels`.

    Strict: start, end and label must all agree. None is a record without spans. ValueError for a label not in `labels`.
    """
    if len(targets) != len(predictions):
        raise ValueError(f"{len(predictions)} predictions for {len(targets)} records")
    at = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(targets), len(labels), 3), dtype=np.int64)
    for row, (gold, said) in enumerate(zip(targets, predictions, strict=True)):
        wanted, found = _as_set(gold), _as_set(said)
        for kind, spans in enumerate((wanted & found, found - wanted, wanted - found)):
            for span in spans:
                if span[2] not in at:
                    raise ValueError(f"a span is labelled {span[2]!r}, labels are {list(labels)}")
                counts[row, at[span[2]], kind] += 1
    return counts


def _as_set(spans: Spans) -> set[tuple[int, int, str]]:
    return {(one["start"], one["end"], one["label"]) for one in spans or ()}


def entity_scores(counts: NDArray[Any]) -> dict[str, Floats]:
    """Precision, recall and F1 of counts (..., C, 3): micro, macro and weighted (...), per type (..., C) under `per_*`.

    Macro and weighted means run over the types that are a target or a prediction somewhere, as seqeval's do; nothing to
    divide by gives 0. Nakayama 2018, seqeval; micro F1 is the score of conlleval (Tjong Kim Sang & Buchholz 2000).
    """
    counts = np.asarray(counts, dtype=np.float64)
    per_type = dict(zip(("precision", "recall", "f1"), _prf(counts), strict=True))
    micro = dict(zip(("precision", "recall", "f1"), _prf(counts.sum(-2)), strict=True))
    support = counts[..., 0] + counts[..., 2]
    present = counts.sum(-1) > 0
    made = {f"micro_{name}": value for name, value in micro.items()}
    made |= {f"macro_{name}": _over((value * present).sum(-1), present.sum(-1)) for name, value in per_type.items()}
    made |= {f"weighted_{name}": _over((value * support).sum(-1), support.sum(-1)) for name, value in per_type.items()}
    made |= {f"per_{name}": value for name, value in per_type.items()} | {"support": support}
    return made


def _prf(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall, F1 (...) of counts (..., 3), in seqeval's order of operations: the last digit depends on it."""
    precision = _over(counts[..., 0], counts[..., 0] + counts[..., 1])
    recall = _over(counts[..., 0], counts[..., 0] + counts[..., 2])
    return precision, recall, _over(2 * precision * recall, precision + recall)


def _over(over: Any, under: Any) -> Floats:
    """Divide, 0 where there is nothing to divide by."""
    over, under = np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64)
    divided: Floats = np.divide(over, under, out=np.zeros(np.broadcast(over, under).shape), where=under != 0)
    return divided


def classification_report(counts: NDArray[Any], labels: Sequence[str], *, digits: int = 4) -> str:
    """Precision, recall, F1 and support of each type as text, in seqeval's layout to the character.

    counts: (C, 3) or (n, C, 3). Types are sorted; those that are nowhere are left out, as seqeval never sees them.
    """
    summed = np.asarray(counts, dtype=np.int64).reshape(-1, len(labels), 3).sum(0)
    order = [i for i in sorted(range(len(labels)), key=lambda i: labels[i]) if summed[i].any()]
    shown, scores = [labels[i] for i in order], entity_scores(summed[order])
    width = max([*map(len, shown), len("weighted avg"), digits])
    row = f"{{:>{width}s}} " + f" {{:>9.{digits}f}}" * 3 + " {:>9}"
    head = ("precision", "recall", "f1-score", "support")
    lines = [f"{'':>{width}s} " + "".join(f" {name:>9}" for name in head), ""]
    names = ("precision", "recall", "f1")
    for i, label in enumerate(shown):
        lines.append(row.format(label, *(scores[f"per_{name}"][i] for name in names), int(scores["support"][i])))
    lines.append("")
    for mean in ("micro", "macro", "weighted"):
        figures = (float(scores[f"{mean}_{name}"]) for name in names)
        lines.append(row.format(f"{mean} avg", *figures, int(scores["support"].sum())))
    return "\n".join(lines) + "\n"


# -- tokens


def token_counts(targets: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Counts of each record's tags that add up (n, 5): tokens, right ones, right and not O, said not O, wanted not O."""
    counts = np.zeros((len(targets), 5), dtype=np.int64)
    for row, (wanted, said) in enumerate(zip(targets, predictions, strict=True)):
        if len(wanted) != len(said):
            raise ValueError(f"record {row}: {len(said)} predicted tags for {len(wanted)} tokens")
        gold, told = np.asarray(wanted, dtype=object), np.asarray(said, dtype=object)
        right, marked = gold == told, gold != "O"
        counts[row] = len(gold), right.sum(), (right & marked).sum(), (told != "O").sum(), marked.sum()
    return counts


def token_scores(sums: NDArray[Any]) -> dict[str, Floats]:
    """Micro F1 over tags of sums (..., 5), with O and without, and what tagging everything O is given.

    token_micro_f1: over all tags, O included: of one tag a token it is accuracy. It flatters: see `all_o`.
    token_micro_f1_without_o: over all tags but O, as scikit-learn's f1_score(labels=all but O, average="micro").
    all_o: token_micro_f1 of a tagger that says O everywhere; without O that tagger has 0.
    """
    tokens, right, hit, said, wanted = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    return {
        "token_micro_f1": _over(right, tokens),
        "token_micro_f1_without_o": _over(2 * hit, said + wanted),
        "all_o": _over(tokens - wanted, tokens),
    }


# -- tag schemes


def spans_of_tags(tags: Sequence[str], *, strict: Scheme | None = None) -> list[dict[str, Any]]:
    """Spans {start, end, label} in tokens, end exclusive, of BIO, IOB1, BIOES or BILOU tags.

    strict: None reads any of the schemes and mends what breaks them, as conlleval does (an I after O or after another
    type begins a span). "BIO" and "BIOES" leave out spans that break the scheme, as seqeval's mode="strict" does.
    A tag without a type ("B") has the type "_".
    """
    if strict == "IOB1":
        raise ValueError("IOB1 has no strict reading: an I after O begins a span there anyway")
    return _strict(tags, closed=strict == "BIOES") if strict else _lenient(tags)


def _parts(tag: str) -> tuple[str, str]:
    """Prefix (B, I, E, S or O) and type of a tag; BILOU's L and U are E and S."""
    prefix, _, kind = tag.partition("-")
    if prefix not in _PREFIXES:
        raise ValueError(f"{tag!r} is no tag: one of B-, I-, E-, S-, L-, U- and a type, or O, is wanted")
    return _PREFIXES[prefix], kind or "_"


_PREFIXES = {"O": "O", "B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S"}


def _lenient(tags: Sequence[str]) -> list[dict[str, Any]]:
    spans: list[dict[str, Any]] = []
    open_at, last_prefix, last_kind = -1, "O", ""
    for at, tag in enumerate([*tags, "O"]):
        prefix, kind = _parts(tag)
        begins = prefix in "BS" or last_prefix in "OES" or kind != last_kind
        if open_at >= 0 and (prefix == "O" or begins):
            spans.append({"start": open_at, "end": at, "label": last_kind})
            open_at = -1
        if prefix != "O" and begins:
            open_at = at
        last_prefix, last_kind = prefix, kind
    return spans


def _strict(tags: Sequence[str], *, closed: bool) -> list[dict[str, Any]]:
    """closed: a span must end in E, or be a single S; else it is B and the I of its type that follow."""
    allowed = "OBIES" if closed else "OBI"
    parts = [_parts(tag) for tag in tags]
    wrong = next((tag for tag, (prefix, _) in zip(tags, parts, strict=True) if prefix not in allowed), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r} is no tag of {'BIOES' if closed else 'BIO'}")
    spans = []
    for at, (prefix, kind) in enumerate(parts):
        if prefix == "S":
            spans.append({"start": at, "end": at + 1, "label": kind})
        if prefix != "B":
            continue
        end = at + 1
        while end < len(parts) and parts[end] == ("I", kind):
            end += 1
        if closed:
            if end == len(parts) or parts[end] != ("E", kind):
                continue
            end += 1
        spans.append({"start": at, "end": end, "label": kind})
    return spans


def tags_of_spans(spans: Spans, length: int, *, scheme: Scheme = "BIO") -> list[str]:
    """Tags of `length` tokens for spans in tokens that do not overlap; ValueError when two do or one is outside.

    IOB1 writes B only where a span follows another of its type without a token between them (CoNLL-2003's files).
    """
    tags = ["O"] * length
    ends: dict[int, str] = {}
    for one in sorted(spans or (), key=lambda one: one["start"]):
        start, end, label = one["start"], one["end"], one["label"]
        if not 0 <= start < end <= length:
            raise ValueError(f"span {start}..{end} ({label}) is not inside {length} tokens")
        if any(tag != "O" for tag in tags[start:end]):
            raise ValueError(f"span {start}..{end} ({label}) overlaps another: tags cannot say that")
        tags[start:end] = [f"I-{label}"] * (end - start)
        if scheme != "IOB1" or ends.get(start) == label:
            tags[start] = f"B-{label}"
        if scheme == "BIOES":
            tags[end - 1] = f"E-{label}" if end - start > 1 else f"S-{label}"
        ends[end] = label
    return tags


def convert_tags(tags: Sequence[str], *, scheme: Scheme) -> list[str]:
    """Tags of any scheme in another one; what breaks its scheme is mended as conlleval reads it."""
    return tags_of_spans(spans_of_tags(tags), len(tags), scheme=scheme)
