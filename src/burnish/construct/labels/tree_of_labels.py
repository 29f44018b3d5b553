"""One node of a tree of labels: at each fork of the tree the votes below it decide which way, from the top down.

A labeller may name any node, "sport" as well as "sport/ball": a vote counts at every fork on the way to its node and is
silent below it. The label of a record is the deepest node to which votes lead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.construct.forms import Form
from burnish.construct.labels import evidence
from burnish.construct.labels.label_models import METHODS, Ballots
from burnish.construct.labels.one_label import OneLabel, joined, nobody_voted
from burnish.construct.labels.several_labels import decide_part
from burnish.construct.making import was_made
from burnish.construct.votes_column import votes_of_rows
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.stage import Context

ROOT = ""


class TreeOfLabels(OneLabel):
    """A label that is a node, one categorical belief a fork."""

    name, methods, about = "node", tuple(METHODS), "one node of a tree a text"
    self_train = Form.self_train  # a probe on the leaves would not know what an inner node leaves open

    def aggregate(
        self,
        records: Records,
        votes: Sequence[Votes],
        gold: Gold | None,
        context: Context,
        *,
        method: str,
        min_confidence: float,
    ) -> Records:
        labellers, table = joined(votes)
        n = len(records)
        row = table["row"].to_numpy()
        row = np.where(row < 0, n - 1 - row, row)
        nobody_voted(np.isin(np.arange(n), row))
        who = {one.name: at for at, one in enumerate(labellers)}
        cast = Cast(
            row,
            np.array([who[name] for name in table["labeller"].to_pylist()], dtype=np.int64),
            table["label"].to_pylist(),
            table["confidence"].to_numpy(),
        )
        checked = [None] * n + (gold.column("label") if gold is not None else [])
        claimed = np.array([np.nan if one.trust is None else one.trust for one in labellers])
        node, sure = np.full(n, ROOT, dtype=object), np.ones(n)
        forks = []
        for fork, children in forks_of(context.task.labels).items():
            ballots, known = below(fork, children, cast, checked, len(labellers))
            judged, used, why = decide_part(method, ballots, known, claimed, context.seed)
            beliefs = METHODS[used](ballots, known, claimed).beliefs(ballots)
            here = np.flatnonzero((node == fork) & (ballots.covered[:n] | (len(children) == 1)))
            best = beliefs[:n].argmax(1)
            node[here] = np.array(children, dtype=object)[best[here]]
            sure[here] *= beliefs[here].max(1)
            forks.append(_fork_facts(fork, children, used, why, judged, ballots, known, claimed, beliefs, labellers))
        said = (node != ROOT) & (sure >= min_confidence)
        made = Records.stream(_labelled(records, table, node, sure, said))
        made.facts = _facts(forks, node[said], labellers, n, len(checked) - n)
        return made


FORM = TreeOfLabels()


@dataclass(frozen=True)
class Cast:
    """Votes as columns: row, labeller, the node said, how sure."""

    row: np.ndarray
    labeller: np.ndarray
    said: list[str]
    confidence: np.ndarray


def forks_of(labels: Sequence[str]) -> dict[str, list[str]]:
    """Each inner node (the root is "") with its children, from the top down."""
    found: dict[str, list[str]] = {}
    for label in labels:
        parts = label.split("/")
        for depth in range(len(parts)):
            parent, child = "/".join(parts[:depth]), "/".join(parts[: depth + 1])
            children = found.setdefault(parent, [])
            if child not in children:
                children.append(child)
    return dict(sorted(found.items(), key=lambda one: (one[0] != ROOT, one[0].count("/"))))


def below(
    fork: str, children: Sequence[str], cast: Cast, checked: Sequence[str | None], num_labellers: int
) -> tuple[Ballots, np.ndarray]:
    """The votes and the checked labels under a fork, as places among its children."""
    depth = fork.count("/") + (fork != ROOT)
    place = {child: at for at, child in enumerate(children)}

    def branch(label: str | None) -> int:
        parts = label.split("/") if label is not None else []
        return place.get("/".join(parts[: depth + 1]), -1) if len(parts) > depth else -1

    way = np.array([branch(label) for label in cast.said], dtype=np.int64)
    here = way >= 0
    ballots = Ballots.of(
        cast.row[here],
        cast.labeller[here],
        way[here],
        cast.confidence[here],
        len(checked),
        num_labellers,
        len(children),
    )
    return ballots, np.array([branch(label) for label in checked], dtype=np.int64)


def _fork_facts(
    fork: str,
    children: Sequence[str],
    used: str,
    why: str,
    judged: Sequence[evidence.Judged],
    ballots: Ballots,
    known: np.ndarray,
    claimed: np.ndarray,
    beliefs: np.ndarray,
    labellers: Sequence[Labeller],
) -> dict[str, Any]:
    rows = evidence.labeller_table(ballots, known, claimed, beliefs, labellers)
    return {
        "fork": fork or "(top)",
        "children": list(children),
        "method": used,
        "why": why,
        "methods": evidence.method_table(judged),
        "labellers": [one for one in rows if one["votes"] or one["gold_votes"]],
    }


def _facts(
    forks: list[dict[str, Any]], said: np.ndarray, labellers: Sequence[Labeller], num_records: int, num_gold: int
) -> dict[str, Any]:
    names, counts = np.unique(said.astype(str), return_counts=True)
    coverage = len(said) / max(num_records, 1)
    return {
        "method": "by fork",
        "why": "each fork of the tree is a question of its own",
        "records": num_records,
        "coverage": coverage,
        "gold": num_gold,
        "labels": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "forks": forks,
        "methods": [],
        "labellers": [{**row, "name": f"{row['name']} at {one['fork']}"} for one in forks for row in one["labellers"]],
        "story": [
            f"{len(labellers)} labellers vote on {coverage:.1%} of {num_records:,} records, fork by fork",
            "; ".join(f"{one['fork']}: {one['method']}" for one in forks),
        ],
    }


def _labelled(
    records: Records, table: pa.Table, node: np.ndarray, sure: np.ndarray, said: np.ndarray
) -> Iterator[pa.Table]:
    """Records with label (the deepest node), confidence and votes."""
    for at, batch, cast in votes_of_rows(records, table):
        new = {name: batch[name].to_pylist() for name in ("label", "probs", "confidence", "label_from", "trail")}
        for i in range(len(batch)):
            if said[at + i]:
                label, belief = str(node[at + i]), float(sure[at + i])
                new["label"][i], new["confidence"][i], new["label_from"][i] = label, belief, "aggregate:by fork"
                new["probs"][i] = None
                new["trail"][i] = [*(new["trail"][i] or []), f"aggregate:by fork: {label} {belief:.2f}"]
            elif not was_made(new["label_from"][i]):
                for name in ("label", "probs", "confidence", "label_from"):
                    new[name][i] = None
        for name, values in new.items():
            place = batch.schema.get_field_index(name)
            batch = batch.set_column(place, name, pa.array(values, batch.schema.field(name).type))
        yield batch.set_column(batch.schema.get_field_index("votes"), "votes", cast)
