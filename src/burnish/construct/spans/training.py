"""Self-training of taggers from doubtful spans: a student that has not seen a record's own votes reads it, and both decide.

As in BOND (Liang et al. 2020) an encoder is tuned on the spans so far, stopped before it learns their noise, and what it
says of the texts is the next round's target. Unlike there the teacher of a record is tuned on the other half of the
records, so that it cannot say again by heart what the record's own labels taught it; votes keep their weight beside it;
what neither is sure of is left out of the loss; and a round after which gold is explained worse is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from burnish.construct.spans.form import DOUBTED
from burnish.construct.spans.models import WORTH
from burnish.core.artifacts import Gold, Records
from burnish.core.errors import BurnishError
from burnish.core.records import DOUBT, VOTE
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task
from burnish.tasks.tagging import SOMETHING

if TYPE_CHECKING:
    from burnish.nn.alignment import Sites
    from burnish.nn.examples import Examples

FROZEN = 0.5  # of the layers, from the bottom: what they give is computed once, and a student takes half the time
EPOCHS = 3  # passes of a student: noise is learnt after what is common is (BOND stops as early)
HALVES = 2
SURE = 0.97  # no student is believed beyond this: it is one voice beside the votes
FALLS = 0.005  # entity F1 on gold that a round may lose by chance
SHOWN = 512  # texts whose states a fresh head starts from
STATES = 4096  # tokens at once
ANY = -1  # the label of a doubt that says a name of some type stands there


@dataclass
class Said:
    """What is held of one record: spans (start, end, label, belief), doubts likewise, of which some have the label ANY;
    voted: belief of what votes named.

    labelled: whether it is learnt from. changed: whether a student had a say.
    """

    spans: list[tuple[int, int, int, float]]
    doubts: list[tuple[int, int, int, float]]
    labelled: bool
    voted: dict[tuple[int, int, int], float] = field(default_factory=dict)


@dataclass
class Round:
    """Labels in use, and the students that learnt from them: tag chances of every site (S, C), entity F1 on gold."""

    said: list[Said]
    chances: NDArray[np.float32]
    gold_f1: float


def of_spans(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    rounds: int,
    precision: float,
    overrule: bool,
    backbone: str,
) -> Records:
    """Self-training where targets are spans; settings of the stage. Memory: all texts as tokens, and tag chances."""
    task = open_task(context.task)
    if task.nested:
        raise BurnishError(
            "self-training tags every character once, and here spans lie inside one another",
            where="construct.self_training",
            hint="take it out: the spans that votes made are tuned on as they are",
        )
    labels = context.task.labels
    table = records.table(["id", "text", "group", "spans", "confidence", "votes", "label_from"])
    begun = [_begun(row, labels) for row in table.to_pylist()]
    if not any(one.spans for one in begun):
        raise BurnishError(
            "no record has a span that votes made: nothing to learn from",
            where="construct.self_training",
            hint="put it behind labellers and aggregate",
        )
    school = School(task, table, gold, str(backbone), context)
    learn_gold = bool(gold is not None and gold.facts.get("train"))
    kept = [school.taught(begun, learn_gold=learn_gold)]
    for _ in range(rounds):
        last = kept[-1]
        renewed = relabelled(school, last, precision=precision, overrule=overrule)
        if _same(renewed, last.said):
            break
        made = school.taught(renewed, learn_gold=learn_gold)
        if made.gold_f1 < last.gold_f1 - FALLS:  # false without gold, where both are nan
            break
        kept.append(made)
    facts = _facts(kept, begun, precision, learn_gold, gold, records)
    for line in facts["story"]:
        context.progress.tell(f"  {line}")
    made_records = Records.stream(_written(records, kept[-1].said, begun, labels, moved=len(kept) > 1))
    made_records.facts = facts
    return made_records


def _begun(row: Mapping[str, Any], labels: Sequence[str]) -> Said:
    """What a record holds after aggregation: beliefs stand among its votes."""
    of = {label: at for at, label in enumerate(labels)}
    voted: dict[tuple[int, int, int], float] = {}
    doubts = []
    for one in row["votes"] or ():
        if one["labeller"] == DOUBT and one["label"] == SOMETHING and SOMETHING not in of:
            doubts.append((one["start"], one["end"], ANY, float(one["confidence"])))
        if one["label"] in of and one["start"] is not None:
            key = (one["start"], one["end"], of[one["label"]])
            if one["labeller"] == DOUBT:
                doubts.append((*key, float(one["confidence"])))
                voted[key] = float(one["confidence"])
            elif str(one["labeller"]).startswith("aggregate:"):
                voted[key] = float(one["confidence"])
    spans = [(one["start"], one["end"], of[one["label"]]) for one in row["spans"] or ()]
    sure = row["confidence"] if row["confidence"] is not None else 0.9
    held = [(*one, voted.setdefault(one, float(sure))) for one in spans]
    return Said(held, doubts, row["spans"] is not None, voted)


class School:
    """The texts as the encoder reads them, and how students are taught and asked."""

    def __init__(self, task: Any, table: pa.Table, gold: Gold | None, backbone: str, context: Context) -> None:
        from transformers import AutoConfig, AutoTokenizer

        from burnish.nn.alignment import sites_of
        from burnish.nn.backbones import resolve
        from burnish.nn.training import auto_max_length

        self.task, self.context, self.head = task, context, task.head()
        self.folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
        self.tokenizer = task.tokenizer(AutoTokenizer.from_pretrained(self.folder))
        self.deep = int(getattr(AutoConfig.from_pretrained(self.folder), "num_hidden_layers", 1)) >= 4
        self.texts = [text or "" for text in table["text"].to_pylist()]
        self.table = table
        limit = min(int(self.tokenizer.model_max_length), 510)
        whole = self._encoded(self.texts[:20_000], limit)
        self.max_length, _ = auto_max_length(whole.lengths, limit=limit)
        self.examples = self._encoded(self.texts, self.max_length)
        self.sites: Sites = sites_of(self.texts, self.examples)
        self.halves = _halves(table["group"].to_pylist(), context.seed)
        checked = gold.table() if gold is not None else None
        checked = checked.filter(pa.array(task.labelled(checked))) if checked is not None else None
        self.gold = checked if checked is not None and len(checked) else None
        self.gold_inputs = task.inputs(self.gold) if self.gold is not None else []
        self.gold_examples = self._encoded([one["text"] or "" for one in self.gold_inputs], self.max_length)

    def _encoded(self, texts: Sequence[str], length: int) -> Examples:
        made: Examples = self.task.encode([{"text": text} for text in texts], self.tokenizer, max_length=length)
        return made

    def taught(self, said: list[Said], *, learn_gold: bool) -> Round:
        """Two students, each on one half of the records; each asked about the other half, both about what is unlabelled."""
        from burnish.nn.loop import fit
        from burnish.nn.predict import predict_outputs
        from burnish.nn.strategies.base import placed
        from burnish.nn.strategies.freezing import Frozen
        from burnish.nn.training import Training

        targets = self._targets(said)
        of_record = self.examples.of_records
        labelled = np.array([one.labelled for one in said])
        chances = np.zeros((len(self.sites.at), len(self.head.labels)), np.float32)
        gold_outputs: list[Any] = []
        for half in range(HALVES):
            rows = np.flatnonzero(labelled[of_record] & (self.halves[of_record] != half))
            if not len(rows):
                raise BurnishError(
                    "too few records have spans for two halves", where="construct.self_training", hint="label more"
                )
            model = self._student(half)
            still = placed([Frozen(share=FROZEN)], model, seed=self.context.seed) if self.deep else []
            fit(
                model,
                targets.take(rows),
                None,
                settings=Training(epochs=EPOCHS, patience=0),
                scratch=None,
                progress=self.context.progress,
                seed=self.context.seed + half,
                objective=self.task.objective(),
                strategies=still,
            )
            if learn_gold and self.gold is not None:
                checked = self.task.examples(self.gold, self.tokenizer, max_length=self.max_length)
                settings = Training(epochs=EPOCHS, patience=0)
                fit(
                    model, checked, None, settings=settings, scratch=None, progress=self.context.progress,
                    seed=self.context.seed + half, objective=self.task.objective(), strategies=still,
                )  # fmt: skip
            asked = np.flatnonzero((self.halves[of_record] == half) | ~labelled[of_record])
            outputs = predict_outputs(model, self.examples.take(asked), self.head)
            self._gather(chances, asked, outputs, shared=~labelled)
            if self.gold is not None:
                gold_outputs.append(predict_outputs(model, self.gold_examples, self.head))
        return Round(said, chances, self._gold_f1(gold_outputs))

    def _student(self, half: int) -> Any:
        from burnish.nn import models

        model = models.build(self.folder, self.head, seed=self.context.seed + half)
        if hasattr(model, "standardise"):
            self._standardise(model)
        return model

    def _standardise(self, model: Any) -> None:
        """Let a fresh head start where the states of the encoder lie (nn.token_linear)."""
        import torch

        from burnish.nn.batches import batches_of, reading_order

        sample = self.examples.take(np.arange(min(SHOWN, len(self.examples))))
        order = reading_order(sample.lengths, batch_tokens=STATES)
        model.eval()
        states = []
        with torch.inference_mode():
            for batch in batches_of(sample, order, pad_token=int(self.tokenizer.pad_token_id or 0)):
                found = model.states(batch.ids_BL, batch.mask_BL, batch.types_BL)
                states.append(found[batch.mask_BL.bool()])
        model.standardise(torch.cat(states).float().clone())

    def _targets(self, said: Sequence[Said]) -> Examples:
        """All texts with the spans held of them as tags; what is in doubt is left out of the loss."""
        from burnish.nn.alignment import touched
        from burnish.nn.examples import IGNORED

        spans = [[{"start": s, "end": e, "label": self.task.labels[k]} for s, e, k, _ in one.spans] for one in said]
        table = self.table.select(["text"]).append_column("spans", pa.array(spans, _SPANS))
        made: Examples = self.task.examples(table, self.tokenizer, max_length=self.max_length, soft=False)
        assert made.token_targets is not None
        held = [(row, s, e) for row, one in enumerate(said) for s, e, _, _ in one.doubts]
        if held:
            record, start, end = np.array(held, np.int64).T
            first, last, _ = touched(self.sites, record, start, end)
            for begin, stop in zip(first.tolist(), last.tolist(), strict=True):
                where = self.sites.at[begin : stop + 1]
                # a doubt beside a span that is said blots out nothing of it
                where = where[made.token_targets[where] == 0]
                made.token_targets[where] = IGNORED
        return made

    def _gather(
        self,
        chances: NDArray[np.float32],
        windows: NDArray[np.int64],
        outputs: Sequence[Any],
        *,
        shared: NDArray[np.bool_],
    ) -> None:
        """Add tag chances of the windows' sites to `chances`; records asked of every student get their mean."""
        place = np.full(len(self.examples.tokens), -1)
        place[self.sites.at] = np.arange(len(self.sites.at))
        for window, scores in zip(windows.tolist(), outputs, strict=True):
            where = place[self.examples.window(window)]
            here = where >= 0
            raised = np.exp(scores[here] - scores[here].max(1, keepdims=True)) if here.any() else scores[here]
            weight = 1.0 / HALVES if shared[self.examples.of_records[window]] else 1.0
            chances[where[here]] += weight * raised / np.maximum(raised.sum(1, keepdims=True), 1e-9)

    def _gold_f1(self, outputs: Sequence[Any]) -> float:
        if self.gold is None:
            return float("nan")
        joined = [sum(several) / len(several) for several in zip(*outputs, strict=True)]
        answers = self.task.decode(self.gold_inputs, self.gold_examples, joined, {"whole_words": True})
        return float(self.task.figures(self.task.tally(self.gold, answers).sum(0))[self.task.figure])

    def read(self, chances: NDArray[np.float32]) -> list[list[tuple[int, int, int]]]:
        """The spans of the best tags of every record."""
        scores = np.log(np.maximum(chances, 1e-9))
        outputs = np.zeros((len(self.examples.tokens), scores.shape[1]), np.float32)
        outputs[self.sites.at] = scores
        windows = [outputs[self.examples.window(at)] for at in range(len(self.examples))]
        inputs = [{"text": text} for text in self.texts]
        answers = self.task.decode(inputs, self.examples, windows, {"whole_words": True})
        of = {label: at for at, label in enumerate(self.task.labels)}
        return [[(one["start"], one["end"], of[one["label"]]) for one in item["spans"]] for item in answers.items]


_SPANS = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("label", pa.string())]))


def _halves(groups: Sequence[str | None], seed: int) -> NDArray[np.int64]:
    """(n,) 0 or 1, the same for records of one group."""
    draw = np.random.default_rng(seed)
    names = {name: at for at, name in enumerate(dict.fromkeys(group for group in groups if group is not None))}
    of_group = draw.permutation(np.arange(len(names)) % HALVES)
    own = draw.permutation(np.arange(len(groups)) % HALVES)
    return np.array(
        [own[row] if group is None else of_group[names[group]] for row, group in enumerate(groups)], np.int64
    )


def relabelled(school: School, last: Round, *, precision: float, overrule: bool) -> list[Said]:
    """Votes times students: spans that are believed, new ones among them where they are sure enough; the rest in doubt."""
    read = school.read(last.chances)
    begun = [one.voted for one in last.said]
    candidates = [
        (row, *span)
        for row, spans in enumerate(read)
        for span in dict.fromkeys([*begun[row], *spans])
    ]  # fmt: skip
    if not candidates:
        return last.said
    record, start, end, label = np.array(candidates, np.int64).T
    student = np.clip(student_beliefs(school, last.chances, record, start, end, label), 1 - SURE, SURE)
    voted = np.array([begun[row].get((s, e, k), np.nan) for row, s, e, k in candidates])
    prior = np.clip(np.where(np.isnan(voted), 0.5, voted), 0.02, SURE)
    belief = prior * student / (prior * student + (1 - prior) * (1 - student))
    new = np.isnan(voted)
    worth = belief >= WORTH
    if not overrule:
        stood = voted >= WORTH
        worth = np.where(new, worth, stood)
        belief = np.where(stood & ~new, np.maximum(belief, voted), belief)
    worth[new] = sure_enough(belief[new], label[new], precision)
    renewed = []
    edges = np.searchsorted(record, np.arange(len(last.said) + 1))
    for row, was in enumerate(last.said):
        here = range(edges[row], edges[row + 1])
        spans: list[tuple[int, int, int, float]] = []
        doubts: list[tuple[int, int, int, float]] = []
        for at in sorted(here, key=lambda at: (-belief[at], start[at] - end[at])):
            one = (int(start[at]), int(end[at]), int(label[at]), float(belief[at]))
            free = all(one[1] <= s or one[0] >= e for s, e, _, _ in spans)
            if worth[at] and free:
                spans.append(one)
            elif belief[at] >= DOUBTED and free:
                doubts.append(one)
        for one in was.doubts:
            if one[2] == ANY and all(one[1] <= s or one[0] >= e for s, e, _, _ in spans):
                doubts.append(one)
        renewed.append(Said(sorted(spans), sorted(doubts), True, was.voted))
    return renewed


def sure_enough(belief: NDArray[Any], label: NDArray[Any], precision: float) -> NDArray[np.bool_]:
    """(n,) the most believed of each label, down to where their mean belief is `precision`."""
    chosen = np.zeros(len(belief), bool)
    for kind in np.unique(label):
        rows = np.flatnonzero(label == kind)
        rows = rows[np.argsort(-belief[rows], kind="stable")]
        mean = np.cumsum(belief[rows]) / np.arange(1, len(rows) + 1)
        chosen[rows[: int((mean >= precision).sum())]] = True
    return chosen


def student_beliefs(
    school: School,
    chances: NDArray[np.float32],
    record: NDArray[Any],
    start: NDArray[Any],
    end: NDArray[Any],
    label: NDArray[Any],
) -> NDArray[np.float64]:
    """How far students believe in spans: the least sure of their tokens, and that they end where they end."""
    from burnish.nn.alignment import touched

    sites, tags = school.sites, {name: at for at, name in enumerate(school.head.labels)}
    first, last, _ = touched(sites, record, start, end)
    made = np.full(len(record), 0.5)
    names = school.task.labels
    parts = {
        kind: {prefix: tags[f"{prefix}-{name}"] for prefix in "BIES" if f"{prefix}-{name}" in tags}
        for kind, name in enumerate(names)
    }
    bounds = sites.offsets[1:][record]
    for at, (begin, stop, kind) in enumerate(zip(first.tolist(), last.tolist(), label.tolist(), strict=True)):
        if stop < begin:
            continue
        own = parts[kind]
        here = chances[begin : stop + 1]
        single = stop == begin and "S" in own
        least = float(here[0, own["S" if single else "B"]])
        if stop > begin:
            inner = here[1:, own["I"]] + (here[1:, own["E"]] if "E" in own else 0)
            least = min(least, float(inner.min()))
        if stop + 1 < bounds[at]:
            least = min(least, 1.0 - float(chances[stop + 1, own["I"]]))
        made[at] = least
    return made


def _same(now: Sequence[Said], before: Sequence[Said]) -> bool:
    """Whether spans hardly changed: a twentieth of a percent of them."""
    changed = total = 0
    for one, other in zip(now, before, strict=True):
        held, had = ({span[:3] for span in side.spans} for side in (one, other))
        changed += len(held ^ had) + (one.labelled != other.labelled)
        total += len(held | had)
    return changed <= 0.0005 * max(total, 1)


def _facts(
    kept: Sequence[Round],
    begun: Sequence[Said],
    precision: float,
    learn_gold: bool,
    gold: Gold | None,
    records: Records,
) -> dict[str, Any]:
    now = kept[-1].said
    added = sum(
        len({s[:3] for s in one.spans} - {s[:3] for s in was.spans}) for one, was in zip(now, begun, strict=True)
    )
    gone = sum(
        len({s[:3] for s in was.spans} - {s[:3] for s in one.spans}) for one, was in zip(now, begun, strict=True)
    )
    figures = [None if np.isnan(one.gold_f1) else one.gold_f1 for one in kept]
    facts: dict[str, Any] = {
        "labellers": records.facts.get("labellers", []),
        "rounds": [
            {"gold_entity_f1": figure, "spans": sum(len(one.spans) for one in step.said)}
            for figure, step in zip(figures, kept, strict=True)
        ],
        "added": added,
        "overruled": gone,
        "doubts": sum(len(one.doubts) for one in now),
        "coverage": float(np.mean([one.labelled for one in now])),
        "gold": len(gold) if gold is not None else 0,
        "gold_taught": learn_gold,
        "student_gold_f1": figures[-1],
    }
    lines = [
        f"self-training, {len(kept) - 1} rounds kept: {added:,} spans added, {gone:,} taken back, {facts['doubts']:,} left in "
        f"doubt; {facts['coverage']:.1%} of the records have spans or are believed to have none"
    ]
    if figures[0] is not None:
        told = ", ".join(f"{figure:.3f}" for figure in figures if figure is not None)
        lines.append(f"entity F1 of the students on {facts['gold']} gold records, round by round: {told}")
    if len(kept) == 1:
        lines.append("self-training changes nothing: gold is explained best by the spans as votes made them")
    facts["story"] = lines
    return facts


def _written(
    records: Records, said: Sequence[Said], begun: Sequence[Said], labels: Sequence[str], *, moved: bool
) -> Iterator[pa.Table]:
    """Records with the spans in use, their beliefs among the votes, and a line of trail."""
    at = 0
    for batch in records.batches():
        here, was = said[at : at + len(batch)], begun[at : at + len(batch)]
        at += len(batch)
        if not moved:
            yield batch
            continue
        new: dict[str, list[Any]] = {name: batch[name].to_pylist() for name in ("votes", "trail")}
        new |= {"spans": [], "confidence": [], "label_from": []}
        for row, (one, old) in enumerate(zip(here, was, strict=True)):
            spans = [{"start": s, "end": e, "label": labels[k]} for s, e, k, _ in one.spans]
            sure = [b for *_, b in one.spans] + [1 - b for *_, b in one.doubts]
            held = [vote for vote in new["votes"][row] or () if vote["labeller"] != DOUBT]
            held += [_vote("self_training", labels, span) for span in one.spans]
            held += [_vote(DOUBT, labels, span) for span in one.doubts]
            gained = len({s[:3] for s in one.spans} - {s[:3] for s in old.spans})
            lost = len({s[:3] for s in old.spans} - {s[:3] for s in one.spans})
            confidence = float(np.mean(sure)) if sure else 0.95
            new["votes"][row] = held
            new["trail"][row] = [
                *(new["trail"][row] or ()),
                f"self_training: {len(spans)} spans {confidence:.2f}, {gained} added, {lost} taken back",
            ]
            new["spans"].append(spans)
            new["confidence"].append(confidence)
            new["label_from"].append("self_training")
        for name, values in new.items():
            kind = pa.list_(VOTE) if name == "votes" else batch.schema.field(name).type
            batch = batch.set_column(batch.schema.get_field_index(name), name, pa.array(values, kind))
        yield batch


def _vote(who: str, labels: Sequence[str], span: tuple[int, int, int, float]) -> dict[str, Any]:
    start, end, label, belief = span
    said = SOMETHING if label == ANY else labels[label]
    return {"labeller": who, "label": said, "start": start, "end": end, "confidence": round(belief, 4)}
