"""Checks of copies: the same text again, nearly the same text, and the same text with another label."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from burnish.measures.duplicates import Groups
from burnish.quality.checks import Array, Found, Material, check
from burnish.quality.material import measured


@check("exact_duplicates", dimension="diversity", auto="drop", reads=[measured])
def exact(material: Material) -> Found:
    """The same text as another record, apart from case, width, blanks and characters nobody sees.

    Score 1 for every copy but the one that is kept: labelled before unlabelled, gold before others, surer before less
    sure, earlier before later. Compared form: burnish.text.normalise (NFKC, lower case). Where the target is no class
    label, a copy with another target is for a person.
    """
    keeper = keepers(material, material.same)
    flagged = (keeper != np.arange(len(material))) & ~material.blank

    def differs(row: int) -> bool:
        # of class labels that is conflicting_duplicates' matter; of others nobody can say which is right, or both are
        other = int(keeper[row])
        return (
            not material.one_label
            and bool(material.taught[row] and material.taught[other])
            and material.meant[row] != material.meant[other]
        )

    facts = {"groups": len(np.unique(keeper[flagged])), "largest": _largest(material.same.label[~material.blank])}
    return Found(
        flagged.astype(float),
        flagged,
        lambda row: f"same text{', another target' if differs(row) else ''} as {material.ids[keeper[row]]}",
        lambda row: "review" if differs(row) else "drop",
        facts,
    )


@check("near_duplicates", dimension="diversity", auto="drop", reads=[measured])
def near(material: Material) -> Found:
    """Nearly the same text as another record: template, boilerplate, small edits.

    Score: Jaccard similarity of character shingle sets (5 characters, Chinese 3) with its nearest relative, verified
    (Broder 1997; MinHash with banding for candidates). One of a group is kept, as for exact duplicates; a copy whose label
    differs from the kept one's is for a person: a small edit can turn the meaning. Of several texts (a question and its
    context) each must be alike.
    """
    groups = material.alike
    keeper = keepers(material, groups)
    similarity, partner = np.zeros(len(material)), np.arange(len(material))
    same = material.same.label
    for (one, other), alike in zip(groups.pairs, groups.similarity, strict=True):
        if same[one] == same[other]:
            continue
        for row, relative in ((one, other), (other, one)):
            if alike > similarity[row]:
                similarity[row], partner[row] = alike, relative
    flagged = (similarity > 0) & (keeper != np.arange(len(material)))
    flagged &= same != same[keeper]  # those are exact copies of the kept one

    def action(row: int) -> str:
        both = [one for one in (row, int(keeper[row])) if material.taught[one]]
        return "review" if len({material.meant[one][0] for one in both}) > 1 else "drop"

    def reason(row: int) -> str:
        other = keeper[row] if keeper[row] in (partner[row], row) else partner[row]
        return f"{similarity[row]:.0%} of its character sequences are shared with {material.ids[other]}"

    facts = {"groups": len(np.unique(groups.label[flagged])), "threshold": material.near}
    return Found(np.where(flagged, similarity, 0), flagged, reason, action, facts)


@check("conflicting_duplicates", dimension="noise", auto="drop", of_labels=True)
def conflicting(material: Material) -> Found:
    """The same text as another record, with another label: at least one of them is wrong.

    Score: the share of the group's labels that differ from this record's. With a strict majority its members stay and the
    others should go; without one nobody can say, and all wait for a person.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for row in material.labelled:
        if not material.blank[row]:
            members[int(material.same.label[row])].append(int(row))
    score = np.zeros(len(material))
    settled: dict[int, tuple[str, str]] = {}
    groups = 0
    for rows in members.values():
        counts = Counter(int(material.labels[row]) for row in rows)
        if len(counts) < 2:
            continue
        groups += 1
        (first, most), (_, second) = counts.most_common(2)
        for row in rows:
            own = int(material.labels[row])
            score[row] = 1 - counts[own] / len(rows)
            other = next(one for one in rows if material.labels[one] != own)
            action = "review" if most == second else "keep" if own == first else "drop"
            says = f"the same text is labelled {material.names[material.labels[other]]} in {material.ids[other]}"
            settled[row] = (says, action)
    flagged = score > 0
    return Found(score, flagged, lambda row: settled[row][0], lambda row: settled[row][1], {"groups": groups})


def keepers(material: Material, groups: Groups) -> Array:
    """For every record the one of its group that is kept (n,); itself where it is alone."""
    best = np.full(len(material), len(material))
    np.minimum.at(best, groups.label, material.worth)
    kept: Array = np.argsort(material.worth)[best[groups.label]]
    return kept


def _largest(label: Array) -> int:
    return int(np.bincount(label).max()) if len(label) else 0
