"""Go beyond the votes: a probe on frozen vectors labels what no rule reaches and overrules what rules get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.construct.forms import Form, checks, form_of, votes_on
from burnish.construct.labels.evidence import wilson
from burnish.construct.labels.one_label import known_rows, set_labels
from burnish.construct.labels.teaching import Teacher, teach
from burnish.construct.voting import all_texts
from burnish.core.artifacts import Gold, Records
from burnish.core.errors import BurnishError
from burnish.core.records import VOTE
from burnish.core.stage import Context, Positive, Share, TaskSpec, stage
from burnish.nn.backbones import Backbone, embedding_seconds

_CHANGED = 0.005  # share of labels below which another round changes nothing worth its time


def _trains(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: the targets must be of a form that can be trained on by itself."""
    form = form_of(task)
    if type(form).self_train is not Form.self_train:
        return []
    return [("use", f"self-training is not for {form.about}", "take it out: the votes are tuned on as they are")]


@stage("construct.self_training", cost=embedding_seconds, check=checks(votes_on(), _trains))
def self_training(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    rounds: Positive = 3,
    precision: Share = 0.9,
    overrule: bool = True,
    backbone: Backbone = Backbone("auto"),
) -> Records:
    """Label what no labeller reached and mend doubtful labels, by a probe that learns from the labels so far.

    rounds: at most; it stops when labels no longer change, and keeps none after which gold is explained worse.
    precision: estimated share of right labels among those it adds, per label, 0..1. Higher adds fewer.
    overrule: whether it may change a label against the votes; each vote keeps its weight in the decision.
    backbone: whose vectors the probe reads; "auto" goes by the task's languages.

    A label that votes made is believed by product: votes times the probe, which has not seen that record (4 folds).
    Uncovered records get the probe's label where it is calibrated well enough; labels are added in the shares in which
    the probe expects them, so that an easy label does not swamp the rest. Gold moves the probe only when its section
    says `train: true`; else it only judges the rounds. Memory: one vector and two rows of beliefs a record.
    Method: Yarowsky 1995; product of experts and out-of-sample denoising as in Raykar et al. 2010.
    """
    return form_of(context.task).self_train(
        records, gold, context, rounds=rounds, precision=precision, overrule=overrule, backbone=backbone
    )


def of_one_label(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    rounds: int,
    precision: float,
    overrule: bool,
    backbone: Backbone,
) -> Records:
    """Self-training where a target is one label; settings as above."""
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import centre, embed

    labels = context.task.labels
    votes = beliefs_of(records, len(labels))
    covered = ~np.isnan(votes[:, 0])
    _check(covered, votes, labels)
    _, texts = all_texts(records, gold)
    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    vectors = centre(embed(texts, folder, cache=context.cache, progress=context.progress))
    truth = known_rows(0, gold, labels)
    checked = np.flatnonzero(truth >= 0)
    learn_gold = bool(gold is not None and gold.facts.get("train"))
    steps = train_rounds(
        vectors[: len(votes)],
        votes,
        gold_vectors=vectors[len(votes) :][checked],
        truth=truth[checked],
        learn_gold=learn_gold,
        rounds=rounds,
        precision=precision,
        overrule=overrule,
        seed=context.seed,
    )
    chosen = steps[-1]
    if len(steps) == 1:
        context.progress.tell("  self-training changes nothing: gold is explained best by the votes as they are")
    facts = _facts(steps, chosen, votes, covered, truth[checked], learn_gold, records)
    for line in facts["story"]:
        context.progress.tell(f"  {line}")
    made = Records.stream(_written(records, chosen, labels, moved=len(steps) > 1))
    made.facts = facts
    return made


def beliefs_of(records: Records, num_labels: int) -> np.ndarray:
    """(n, k) what is believed so far, nan rows where nothing is."""
    found = np.full((len(records), num_labels), np.nan)
    at = 0
    for batch in records.batches(["probs"]):
        probs = batch["probs"].combine_chunks()
        has = probs.is_valid().to_numpy(zero_copy_only=False)
        found[at + np.flatnonzero(has)] = probs.drop_null().flatten().to_numpy().reshape(-1, num_labels)
        at += len(batch)
    return found


def _check(covered: np.ndarray, votes: np.ndarray, labels: tuple[str, ...]) -> None:
    present = set(votes[covered].argmax(1).tolist())
    if len(present) < 2:
        said = f"only {labels[present.pop()]!r} has records" if present else "no record has a label that votes made"
        raise BurnishError(
            f"{said}: nothing to learn from",
            where="construct.self_training",
            hint="put it behind labellers and aggregate; labellers are needed for at least two labels",
        )


class Round:
    """Labels in use (n, k), which rows have one, the teacher that learnt from them, the precision of what was added."""

    def __init__(self, teacher: Teacher, targets: np.ndarray, labelled: np.ndarray, added_precision: float) -> None:
        self.teacher, self.targets, self.labelled, self.added_precision = teacher, targets, labelled, added_precision


def train_rounds(
    vectors: np.ndarray,
    votes: np.ndarray,
    *,
    gold_vectors: np.ndarray,
    truth: np.ndarray,
    learn_gold: bool,
    rounds: int,
    precision: float,
    overrule: bool,
    seed: int,
) -> list[Round]:
    """The rounds that were kept, the last one in use; the first is the votes as they are.

    New labels are kept when a teacher that learns from them explains gold at least as well as the one before.
    vectors (n, d); votes (n, k) beliefs, nan where nobody voted; truth (g,) label numbers of gold_vectors (g, d).
    """
    covered = ~np.isnan(votes[:, 0])

    def taught(targets: np.ndarray, labelled: np.ndarray) -> Teacher:
        return teach(
            vectors,
            targets,
            labelled,
            votes=votes,
            gold_vectors=gold_vectors,
            truth=truth,
            learn_gold=learn_gold,
            seed=seed,
        )

    targets = np.where(covered[:, None], votes, 0.0)
    kept = [Round(taught(targets, covered), targets, covered, float("nan"))]
    for _ in range(rounds):
        last = kept[-1]
        renewed, chosen, estimated = relabelled(last.teacher, votes, precision=precision, overrule=overrule)
        labelled = covered | chosen
        teacher = taught(renewed, labelled)
        if teacher.log_score < last.teacher.log_score:  # false without gold, where both are nan
            break
        kept.append(Round(teacher, renewed, labelled, estimated))
        before = np.where(last.labelled, last.targets.argmax(1), -1)
        if (before != np.where(labelled, renewed.argmax(1), -1)).mean() < _CHANGED:
            break
    return kept


def relabelled(
    teacher: Teacher, votes: np.ndarray, *, precision: float, overrule: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Labels (n, k) of votes times teacher, uncovered rows that got one (n,), and the estimated precision of these."""
    covered = ~np.isnan(votes[:, 0])
    known = np.where(covered[:, None], votes, 0.0)
    renewed = np.where(covered[:, None], _product(np.where(covered[:, None], votes, 1.0), teacher.beliefs), 0.0)
    if not overrule:
        against = covered & (renewed.argmax(1) != known.argmax(1))
        renewed = np.where(against[:, None], known, renewed)
    chosen, estimated = confident(teacher.beliefs, ~covered, precision)
    renewed[chosen] = teacher.beliefs[chosen]
    return renewed, chosen, estimated


def _product(votes: np.ndarray, probe: np.ndarray) -> np.ndarray:
    made = (votes + 1e-6) * (probe + 1e-6)
    normal: np.ndarray = made / made.sum(1, keepdims=True)
    return normal


def confident(beliefs: np.ndarray, among: np.ndarray, precision: float) -> tuple[np.ndarray, float]:
    """Rows (n,) bool to label, and the estimated share of right labels among them.

    For each label the most believed rows down to where their mean belief is `precision`; then every label is cut to the
    same share of the records that the probe expects it on, the smallest but never under a quarter of the median.
    """
    k = beliefs.shape[1]
    best, sure = beliefs.argmax(1), beliefs.max(1)
    ranked, expected = [], beliefs[among].sum(0) + 1e-9
    for label in range(k):
        rows = np.flatnonzero(among & (best == label))
        rows = rows[np.argsort(-sure[rows], kind="stable")]
        mean = np.cumsum(sure[rows]) / np.arange(1, len(rows) + 1)
        ranked.append(rows[: int((mean >= precision).sum())])
    shares = np.array([len(rows) for rows in ranked]) / expected
    cut = max(float(shares.min()), float(np.median(shares)) / 4) if among.any() else 0.0
    taken = np.zeros(len(beliefs), dtype=bool)
    for rows, share in zip(ranked, expected, strict=True):
        taken[rows[: int(np.ceil(max(cut, 1e-9) * share)) if cut else 0]] = True
    return taken, float(sure[taken].mean()) if taken.any() else float("nan")


def _facts(
    steps: list[Round],
    chosen: Round,
    votes: np.ndarray,
    covered: np.ndarray,
    truth: np.ndarray,
    learn_gold: bool,
    records: Records,
) -> dict[str, Any]:
    old = np.where(covered[:, None], votes, 0).argmax(1)
    now = chosen.targets.argmax(1)
    added = int((chosen.labelled & ~covered).sum())
    changed = int((covered & (old != now)).sum())
    accuracy = chosen.teacher.accuracy
    right = 0.0 if np.isnan(accuracy) else accuracy * len(truth)
    facts: dict[str, Any] = {
        "labellers": records.facts.get("labellers", []),
        "rounds": [
            {
                "gold_accuracy": None if np.isnan(one.teacher.accuracy) else one.teacher.accuracy,
                "gold_log_score": None if np.isnan(one.teacher.log_score) else one.teacher.log_score,
                "pull": one.teacher.pull,
                "labelled": int(one.labelled.sum()),
            }
            for one in steps
        ],
        "added": added,
        "added_precision": None if np.isnan(chosen.added_precision) else chosen.added_precision,
        "overruled": changed,
        "coverage": float(chosen.labelled.mean()),
        "gold": len(truth),
        "gold_taught": learn_gold and len(truth) > 0,
        "probe_accuracy": None if np.isnan(accuracy) else accuracy,
        "probe_interval": list(wilson(right, len(truth))),
    }
    facts["story"] = _story(facts)
    return facts


def _story(facts: dict[str, Any]) -> list[str]:
    lines = [
        f"self-training, {len(facts['rounds']) - 1} rounds kept: {facts['added']:,} records got a label"
        + (f" (estimated precision {facts['added_precision']:.0%})" if facts["added"] else "")
        + f", {facts['overruled']:,} labels were overruled; {facts['coverage']:.1%} of the records have one"
    ]
    if facts["probe_accuracy"] is not None:
        low, high = facts["probe_interval"]
        how = "and moved by them, each judged without itself" if facts["gold_taught"] else "which it never saw"
        lines.append(
            f"the probe is right on {facts['probe_accuracy']:.1%} ({low:.0%}-{high:.0%}) of {facts['gold']} gold records, {how}"
        )
    return lines


def _written(records: Records, chosen: Round, labels: tuple[str, ...], *, moved: bool) -> Iterator[pa.Table]:
    """Records with the label in use, the probe's vote among the votes where it had a say, and a line of trail."""
    names = np.array(labels, dtype=object)
    said, sure = chosen.targets.argmax(1), chosen.targets.max(1)
    at = 0
    for batch in records.batches():
        here = slice(at, at + len(batch))
        has = chosen.labelled[here] & moved
        cast = [
            [*(old or []), {"labeller": "self_training", "label": str(names[label]), "confidence": float(belief)}]
            if labelled
            else old
            for old, label, belief, labelled in zip(
                batch["votes"].to_pylist(), said[here], sure[here], has, strict=True
            )
        ]
        yield set_labels(
            batch,
            chosen.targets[here],
            has,
            "self_training",
            names,
            votes=pa.array(cast, pa.list_(VOTE)),
            keep_others=True,
        )
        at += len(batch)
