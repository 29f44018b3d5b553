"""An output a record: of all that was proposed, the one that agrees best with the others, or the most trusted one's.

Outputs are not right or wrong, they are more or less alike; how alike two are, 0..1, the task's chief figure says (chrF of
translations, ROUGE-L of summaries; both right for Chinese). What a labeller is worth is how like the gold its outputs are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.construct.forms import Form, Said
from burnish.construct.labels.one_label import joined, nobody_voted
from burnish.construct.making import was_made
from burnish.construct.votes_column import votes_of_rows
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.stage import Context, TaskSpec
from burnish.core.tasktypes import open_task
from burnish.text.normalise import normalise

LEAST_GOLD = 5  # gold records from which gold, and not agreement, says what a labeller and a method are worth
PRIOR = 4.0  # gold records that a claim, or what is common, counts as
TARGET = ("output", "confidence", "label_from")


@dataclass(frozen=True)
class Proposed:
    """What was proposed for one record: texts, who said each, how sure, and how alike any two are (k, k), 0..1."""

    texts: list[str]
    who: list[int]
    sure: np.ndarray
    alike: np.ndarray


class Outputs(Form):
    """A text."""

    name, methods, about = "output", ("consensus", "majority", "weighted"), "an output that is a text"

    def said(self, answer: Mapping[str, Any], record: Mapping[str, Any], task: TaskSpec) -> list[Said]:
        text = answer.get("text")
        if not isinstance(text, str):
            raise ValueError(f"an answer is {{'text': ...}}, got {answer!r}")
        score = answer.get("score")
        return [Said(text=text.strip(), confidence=1.0 if score is None else float(score))] if text.strip() else []

    def returned(self, value: Any) -> Mapping[str, Any]:
        if isinstance(value, str):
            return {"text": value}
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and 0 <= value[1] <= 1:
            return {"text": value[0], "score": value[1]}
        raise ValueError("return the output as a text, (text, confidence in 0..1), or None")

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
        utility = utility_of(context.task)
        proposed = proposals(table, labellers, utility)
        covered = np.array([row in proposed for row in range(len(records))], dtype=bool)
        nobody_voted(covered)
        truth = {-1 - at: text for at, text in enumerate(gold.column("output") if gold is not None else []) if text}
        right = _against_gold(proposed, truth, utility, len(labellers))
        trust = trusted(proposed, right, labellers)
        judged = _judged(proposed, right, labellers)
        used, why = _decide(method, judged, labellers)
        chosen = {row: choose(used, one, trust) for row, one in proposed.items() if row >= 0}
        made = Records.stream(_written(records, table, chosen, f"aggregate:{used}", min_confidence))
        made.facts = _facts(labellers, proposed, covered, trust, right, judged, used, why)
        return made


FORM = Outputs()
Utility = Callable[[Sequence[str], Sequence[str]], np.ndarray]


def utility_of(task: TaskSpec) -> Utility:
    """How alike texts are, pair by pair, 0..1: by the chief figure of the task."""
    from burnish.measures import generation

    def chrf(said: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
        return np.asarray(generation.chrf(generation.chrf_counts(said, [[one] for one in wanted])) / 100)

    def rouge(said: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
        return np.asarray(generation.rouge(said, [[one] for one in wanted])["rougeL"][:, 2])

    return rouge if str(open_task(task).figure).startswith("rouge") else chrf


def proposals(table: pa.Table, labellers: Sequence[Labeller], utility: Utility) -> dict[int, Proposed]:
    """Row -> what was proposed for it, each labeller's surest text. Memory: all texts."""
    who = {one.name: at for at, one in enumerate(labellers)}
    best: dict[int, dict[int, tuple[float, str]]] = defaultdict(dict)
    columns = (table[name].to_pylist() for name in ("row", "labeller", "text", "confidence"))
    for row, name, text, sure in zip(*columns, strict=True):
        if text and (who[name] not in best[row] or sure > best[row][who[name]][0]):
            best[row][who[name]] = (sure, text)
    made: dict[int, Proposed] = {}
    for row, said in best.items():
        texts = [text for _, text in said.values()]
        k = len(texts)
        left, right = [texts[i] for i in range(k) for _ in range(k)], [texts[j] for _ in range(k) for j in range(k)]
        alike = utility(left, right).reshape(k, k) if k > 1 else np.ones((1, 1))
        made[row] = Proposed(texts, list(said), np.array([sure for sure, _ in said.values()]), alike)
    return made


def choose(method: str, one: Proposed, trust: np.ndarray) -> tuple[int, float]:
    """Which text is taken (its place) and how far it is believed, 0..1.

    consensus: the text with the highest mean likeness to the others, each weighed by its labeller's trust (minimum Bayes
    risk, Kumar & Byrne 2004; Eikema & Aziz 2020). majority: the text most labellers wrote, of equally many the consensus.
    weighted: that of the most trusted labeller. Belief is the mean of likeness to the others and of the labeller's trust.
    """
    weights = trust[one.who] * np.maximum(one.sure, 1e-6)
    agreed = _expected(one.alike, weights)
    if method == "weighted":
        at = int(np.argmax(trust[one.who] + 1e-6 * agreed))
    elif method == "majority":
        forms = Counter(normalise(text) for text in one.texts)
        times = np.array([forms[normalise(text)] for text in one.texts])
        at = int(np.argmax(times + 0.5 * agreed))
    else:
        at = int(np.argmax(agreed + 1e-6 * trust[one.who]))
    own = float(trust[one.who[at]])
    return at, own if len(one.texts) == 1 else float((agreed[at] + own) / 2)


def _expected(alike: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(k,) mean likeness of each text to the others, weighed; 0 for a lone one."""
    others = alike.T * weights[:, None]  # each other as the reference
    np.fill_diagonal(others, 0.0)
    left = np.maximum(weights.sum() - weights, 1e-9)
    made: np.ndarray = others.sum(0) / left if len(weights) > 1 else np.zeros(1)
    return made


def _against_gold(
    proposed: Mapping[int, Proposed], truth: Mapping[int, str], utility: Utility, count: int
) -> dict[int, np.ndarray]:
    """Gold row -> (labellers,) how like the gold what each said is, NaN where it said nothing."""
    found = {}
    for row, text in truth.items():
        if row in proposed:
            one = proposed[row]
            found[row] = np.full(count, np.nan)
            found[row][one.who] = utility(one.texts, [text] * len(one.texts))
    return found


def trusted(
    proposed: Mapping[int, Proposed], right: Mapping[int, np.ndarray], labellers: Sequence[Labeller]
) -> np.ndarray:
    """(labellers,) how good the outputs of each are, 0..1: on gold, drawn to what it claims, or to its agreement.

    The prior counts as PRIOR gold records; without gold it is all there is.
    """
    sums, counts = np.zeros(len(labellers)), np.zeros(len(labellers))
    for one in proposed.values():
        if len(one.who) > 1:
            np.add.at(sums, one.who, _expected(one.alike, np.ones(len(one.who))))
            np.add.at(counts, one.who, 1)
    common = sums.sum() / counts.sum() if counts.sum() else 0.5
    prior = np.where(counts > 0, sums / np.maximum(counts, 1), common)
    claimed = [one.trust for one in labellers]
    prior = np.array([own if claim is None else claim for own, claim in zip(prior, claimed, strict=True)])
    table = np.array(list(right.values())).reshape(-1, len(labellers))
    tried = (~np.isnan(table)).sum(0)
    made: np.ndarray = (PRIOR * prior + np.nansum(table, axis=0)) / (PRIOR + tried)
    return made


def _judged(
    proposed: Mapping[int, Proposed], right: Mapping[int, np.ndarray], labellers: Sequence[Labeller]
) -> dict[str, np.ndarray]:
    """Method -> how like the gold its choice is on each covered gold record, each judged without itself."""
    found: dict[str, list[float]] = {name: [] for name in Outputs.methods}
    for row, own in right.items():
        trust = trusted(proposed, {other: one for other, one in right.items() if other != row}, labellers)
        for name in found:
            at, _ = choose(name, proposed[row], trust)
            found[name].append(float(own[proposed[row].who[at]]))
    return {name: np.array(values) for name, values in found.items()}


def _decide(method: str, judged: Mapping[str, np.ndarray], labellers: Sequence[Labeller]) -> tuple[str, str]:
    if method != "auto":
        return method, "the spec says so"
    count = len(judged["consensus"])
    if count < LEAST_GOLD:
        if len(labellers) > 2:
            return "consensus", "gold is too thin to say who is best, and three or more can agree"
        return "weighted", "two cannot outvote one another, so the more trusted one speaks"
    means = {name: float(values.mean()) for name, values in judged.items()}
    best = max(means, key=lambda name: means[name])
    error = float(judged[best].std() / np.sqrt(count))
    used = next(name for name in Outputs.methods if means[name] >= means[best] - error)
    said = f"on {count} gold records, each judged without itself, it is like the gold by {means[used]:.3f}"
    return used, said + ("" if used == best else f", within one standard error of {best} ({means[best]:.3f})")


def _facts(
    labellers: Sequence[Labeller], proposed: Mapping[int, Proposed], covered: np.ndarray, trust: np.ndarray,
    right: Mapping[int, np.ndarray], judged: Mapping[str, np.ndarray], used: str, why: str,
) -> dict[str, Any]:  # fmt: skip
    votes = Counter(who for row, one in proposed.items() if row >= 0 for who in one.who)
    table = np.array(list(right.values())).reshape(-1, len(labellers))
    num_records = max(len(covered), 1)
    many = np.array([len(one.who) for row, one in proposed.items() if row >= 0])
    rows: list[dict[str, Any]] = []
    for at, one in enumerate(labellers):
        own = table[:, at][~np.isnan(table[:, at])]
        rows.append({
            "name": one.name, "kind": one.kind, "says": [], "about": one.about, "votes": votes[at],
            "coverage": votes[at] / num_records, "accuracy": float(trust[at]), "gold_votes": len(own),
            "interval": _interval(own) if len(own) > 1 else None, "claimed": one.trust,
        })  # fmt: skip
    methods = [
        {"method": name, "gold": len(values), "accuracy": float(values.mean()) if len(values) else None,
         "interval": _interval(values) if len(values) > 1 else [0.0, 1.0], "refused": None}
        for name, values in judged.items()
    ]  # fmt: skip
    tried = [row for row in rows if row["gold_votes"]]
    single = max(tried, key=lambda row: row["accuracy"]) if tried else None
    facts: dict[str, Any] = {
        "method": used, "why": why, "records": len(covered), "coverage": float(covered.mean()),
        "overlap": float((many > 1).sum() / num_records), "gold": len(right), "methods": methods, "labellers": rows,
        "best_single": single and {name: single[name] for name in ("name", "accuracy", "interval")} | {"interval": single["interval"] or [0.0, 1.0]},
        "measure": "accuracy is mean likeness to the gold output, 0..1",
    }  # fmt: skip
    facts["story"] = [
        f"{len(rows)} labellers propose outputs for {facts['coverage']:.1%} of {len(covered):,} records",
        f"aggregation: {used}, because {why}",
    ]
    return facts


def _interval(values: np.ndarray) -> list[float]:
    """95% of a mean, by its standard error."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return [float(max(values.mean() - half, 0.0)), float(min(values.mean() + half, 1.0))]


def _written(
    records: Records, table: pa.Table, chosen: Mapping[int, tuple[int, float]], origin: str, min_confidence: float
) -> Iterator[pa.Table]:
    """Records with output, confidence, votes and one line of trail, batch by batch."""
    for at, batch, cast in votes_of_rows(records, table):
        said = cast.to_pylist()
        new: dict[str, list[Any]] = {name: batch[name].to_pylist() for name in (*TARGET, "trail")}
        origins = batch["label_from"].to_pylist()
        for i in range(len(batch)):
            found = chosen.get(at + i)
            if found is not None and found[1] >= min_confidence:
                text, labeller = _taken(said[i], found[0])
                new["output"][i], new["confidence"][i], new["label_from"][i] = text, found[1], origin
                new["trail"][i] = [*(new["trail"][i] or []), f"{origin}: by {labeller}, believed {found[1]:.2f}"]
            elif not was_made(origins[i]):
                for name in TARGET:
                    new[name][i] = None
        for name, values in new.items():
            place = batch.schema.get_field_index(name)
            batch = batch.set_column(place, name, pa.array(values, batch.schema.field(name).type))
        yield batch.set_column(batch.schema.get_field_index("votes"), "votes", cast)


def _taken(votes: list[dict[str, Any]], place: int) -> tuple[str, str]:
    """The text at a place of `Proposed.texts`, and who said it: the order there is that of the first vote of each."""
    best: dict[str, tuple[float, str]] = {}
    for vote in votes:
        name, sure, text = vote["labeller"], vote["confidence"], vote["text"]
        if text and (name not in best or sure > best[name][0]):
            best[name] = (sure, text)
    name = list(best)[place]
    return best[name][1], name
