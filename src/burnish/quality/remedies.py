"""What can be done about findings: which records a remedy takes away, which labels, weights and texts it changes.

drop      set aside
relabel   the label that the check suggests
soften    the label shared between the given and the suggested one
reweigh   the record counts more, or less; of a doubted label as much as it is likely to be right
redact    what tells who somebody is becomes a placeholder

One reading of a finding for all who ask: the audit measures exactly what curation would do.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
KINDS = ("drop", "relabel", "soften", "reweigh", "redact")
DOUBTED = "label_errors"  # the check whose score is the probability that the label is wrong
COPIES = ("exact_duplicates", "near_duplicates")
CERTAIN = 0.9  # score from which a suspected label is acted on
WEIGHTS = (0.25, 4.0)  # least and most that a record may count
MOST_OF_A_CLASS = 0.5  # label suspects that are more of a class than this say more about the probe than about the class


@dataclass(frozen=True)
class Finding:
    """What one check says of one record."""

    check: str
    score: float
    action: str


@dataclass(frozen=True)
class Remedy:
    """What is done to which rows. dropped: rows. label: row -> label. shares: row -> {label: share}. weight: row -> times.

    redacted: rows whose text loses what tells who somebody is.
    """

    dropped: frozenset[int] = frozenset()
    label: Mapping[int, str] = field(default_factory=dict)
    shares: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    weight: Mapping[int, float] = field(default_factory=dict)
    redacted: frozenset[int] = frozenset()

    @functools.cached_property
    def touched(self) -> frozenset[int]:
        """All rows that it changes or takes away."""
        return self.dropped | self.label.keys() | self.shares.keys() | self.weight.keys() | self.redacted


def candidates(findings: Sequence[Finding]) -> list[tuple[str, float]]:
    """(remedy, score from which it acts) that a check's findings allow, the one it suggests most first; of doubted labels
    to reweigh, which won most on other sets (benchmarks/results/doubt.md).

    Doubted labels may be dropped where the check is sure alone, or all of them. Records to review are dropped at most.
    """
    kinds = Counter(one.action.split(":")[0] for one in findings)
    of_labels = "relabel" in kinds or any(one.check == DOUBTED for one in findings)
    drops = [("drop", CERTAIN), ("drop", 0.0)] if of_labels else [("drop", 0.0)]
    wanted: list[tuple[str, float]] = [("reweigh", 0.0)] if any(one.check == DOUBTED for one in findings) else []
    for kind, _ in kinds.most_common():
        wanted += {
            "drop": drops, "relabel": [("relabel", 0.0), *drops, ("soften", 0.0)], "soften": [("soften", 0.0), *drops],
            "reweigh": [("reweigh", 0.0)], "redact": [("redact", 0.0), *drops], "review": drops,
        }.get(kind, [])  # fmt: skip
    return list(dict.fromkeys(wanted))


def remedies_for(target: Sequence[str]) -> tuple[str, ...]:
    """The remedies that a task's records can stand: where a target lies at characters of the text, redaction would move
    them (the stage quality.redact takes them along)."""
    placed = {"spans", "relations", "answer"} & set(target)
    return tuple(kind for kind in KINDS if kind != "redact" or not placed)


def remedy(
    kind: str, findings: Mapping[int, Finding], given: Sequence[str | None], *, certain: float = CERTAIN
) -> Remedy:
    """What `kind` does about one check's findings (row -> finding).

    given: the label of every row. certain: score from which a doubted label is acted on. A class of which more than half
    is doubted is left alone.
    """
    wanted = {row: done for row, one in findings.items() if (done := what(kind, one, certain))}
    wanted = _but_whole_classes(wanted, findings, given)
    weights = _weights({row: findings[row] for row, done in wanted.items() if done == "reweigh"}, len(given))
    return Remedy(
        frozenset(row for row, done in wanted.items() if done == "drop"),
        {row: done.split(":", 1)[1] for row, done in wanted.items() if done.startswith("relabel:")},
        {
            row: _shares(given[row], done.split(":", 1)[1], findings[row].score)
            for row, done in wanted.items()
            if done.startswith("soften:") and given[row] is not None
        },
        weights,
        frozenset(row for row, done in wanted.items() if done == "redact"),
    )


def what(kind: str, finding: Finding, certain: float) -> str:
    """What `kind` does about one finding: drop, relabel:LABEL, soften:LABEL, reweigh, redact; "" for nothing."""
    suggested = finding.action
    if kind not in KINDS or suggested == "keep":
        return ""
    of_label = finding.check == DOUBTED or suggested.startswith("relabel:")
    if of_label and finding.score < certain:
        return ""
    if finding.check in COPIES and suggested == "review":
        return ""  # the targets differ: a small edit may have turned the meaning
    if kind == "drop":
        return "drop"
    if kind in ("reweigh", "redact"):
        if kind == "reweigh" and finding.check == DOUBTED:
            return kind
        return kind if suggested.split(":")[0] == kind else ""
    better = suggested.removeprefix("relabel:")
    return f"{kind}:{better}" if suggested.startswith("relabel:") else ""


def together(remedies: Sequence[Remedy]) -> Remedy:
    """Several as one: what is dropped stays dropped; of two changes to one label the first counts; weights multiply."""
    dropped = frozenset().union(*(one.dropped for one in remedies))
    label: dict[int, str] = {}
    shares: dict[int, Mapping[str, float]] = {}
    weight: dict[int, float] = {}
    for one in remedies:
        fresh = {row for row in (*one.label, *one.shares) if row not in label and row not in shares}
        label |= {row: said for row, said in one.label.items() if row in fresh}
        shares |= {row: said for row, said in one.shares.items() if row in fresh}
        for row, times in one.weight.items():
            least = min(WEIGHTS[0], times, weight.get(row, 1.0))  # a doubted label may count for nearly nothing
            weight[row] = float(np.clip(weight.get(row, 1.0) * times, least, WEIGHTS[1]))
    redacted = frozenset().union(*(one.redacted for one in remedies))
    made = Remedy(dropped, label, shares, weight, redacted)
    return replace(
        made,
        label={row: said for row, said in label.items() if row not in dropped},
        shares={row: said for row, said in shares.items() if row not in dropped},
        weight={row: times for row, times in weight.items() if row not in dropped},
        redacted=redacted - dropped,
    )


def redacted(text: str) -> str:
    """The text with placeholders for what tells who somebody is."""
    from burnish.text.pii import Masker

    return Masker().mask(text)


def doubted(
    findings: Mapping[str, Mapping[int, Finding]], given: Sequence[str | None]
) -> dict[int, tuple[str | None, float]]:
    """Row -> (the likelier label, None where the check names none; how likely it is that the given one is wrong), for
    records whose label a check doubts; of several checks the surest counts."""
    made: dict[int, tuple[str | None, float]] = {}
    for name, found in findings.items():
        if name != DOUBTED and not any(one.action.startswith("relabel:") for one in found.values()):
            continue
        for row, one in found.items():
            kind, _, better = one.action.partition(":")
            other = kind in ("relabel", "review") and given[row] is not None and better != given[row]
            if other and (row not in made or one.score > made[row][1]):
                made[row] = (better or None, one.score)
    return made


def whole_classes(findings: Mapping[int, Finding], rows: Sequence[int], given: Sequence[str | None]) -> list[str]:
    """Labels of which more than half is doubted: that says more about the probe than about the class."""
    before = Counter(label for label in given if label is not None)
    suspects = Counter(given[row] for row in rows if findings[row].check == DOUBTED)
    return sorted(label for label, count in suspects.items() if label and count > MOST_OF_A_CLASS * before[label])


def _but_whole_classes(
    wanted: dict[int, str], findings: Mapping[int, Finding], given: Sequence[str | None]
) -> dict[int, str]:
    trusted = whole_classes(findings, list(wanted), given)
    return {row: done for row, done in wanted.items() if findings[row].check != DOUBTED or given[row] not in trusted}


def _shares(old: str | None, better: str, score: float) -> dict[str, float]:
    """score: the probability that the old label is wrong, all of which goes to the better one."""
    return {str(old): 1 - score, better: score}


def _weights(findings: Mapping[int, Finding], count: int) -> dict[int, float]:
    """How much the records of a reweigh count: a doubted label as much as it is likely to be right (Liu and Tao 2016,
    importance reweighting); others what the action says (reweigh:2.5), else as much as brings their share half way, on a
    scale of logarithms, to a half of all: sqrt((1 - s) / s) for a share s."""
    share = len(findings) / max(count, 1)
    usual = float(np.sqrt((1 - share) / share)) if 0 < share < 1 else 1.0
    made = {}
    for row, one in findings.items():
        if one.check == DOUBTED:
            made[row] = max(1 - one.score, 0.0)
            continue
        _, _, said = one.action.partition(":")
        made[row] = float(np.clip(float(said) if said else usual, *WEIGHTS))
    return made
