"""What a remedy does to the real thing: the task's encoder tuned with it and without, same records, same seeds.

Small on purpose (RECORDS records, REPEATS splits): a difference between two trainings is asked for, not the best model.
Strategy, passes and rate are what `auto` makes of so many records: a model that has not learnt yet shrugs off what would spoil it. Any task with an encoder can be measured, tagging, relations and answers in a text among them; models that
write are left out, for they take hours.

Privacy: CANARIES made-up secrets, each COPIES times in the training side (Carlini et al. 2019). Exposure in bits:
log2 of RANDOM possible secrets less log2 of the rank that the model's certainty gives the real one; 6 is known by heart,
about 1.4 is chance. With the remedy the canaries are redacted, or set aside, as the records are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.progress import Silent
from burnish.core.records import SCHEMA, conform, from_people
from burnish.quality.again import asked_again, findings_of
from burnish.quality.bench import LEAST_ROWS, Bench, bench, figures, why_not
from burnish.quality.changed import changed
from burnish.quality.checks import COLUMNS, Found, Material
from burnish.quality.effect import (
    PARTS,
    Effects,
    act,
    interval,
    judge_targets,
    labels_given,
    not_judged,
)
from burnish.quality.material import Array
from burnish.quality.remedies import Remedy, candidates, remedies_for

RECORDS, JUDGED, REPEATS = 600, 400, 3
CANARIES, COPIES, RANDOM = 6, 4, 64
SECRETS = {"en": "my phone number is {}, please call me back", "zh": "我的手机号是{}，请给我回电话"}
DISTURBED, LENGTH = 100, 128  # texts of each kind; tokens read of a text


def tuned_effects(material: Material, found: Mapping[str, Found], predicted: Effects) -> Effects:
    """Like `effect.probe_effects`, by real tuning; what the probe said of the same remedy is beside it, `predicted`.

    Cost: REPEATS x (remedies + 1) small trainings; a minute or more each repeat on two cores.
    """
    told = findings_of(material, found)
    given = labels_given(material)
    chosen = {}
    for name, findings in told.items():
        ways = [way for way in candidates(list(findings.values())) if way[0] in remedies_for(material.task.target)]
        known = predicted.get(name)
        way = (known["remedy"], known["certain"]) if known else ways[0] if ways else None
        if way and (made := act(name, way, told, given=given)).touched:
            chosen[name] = (way, made)
    pictures = getattr(material.task, "image", None) is not None
    if not chosen or pictures or material.task.engine != "encoder" or int(material.taught.sum()) < LEAST_ROWS:
        return predicted
    lab = Laboratory(material, None if why_not(material) else bench(material), told)
    gains: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    with material.context.progress.bar("tuning", REPEATS * (len(chosen) + 1), "trainings") as bar:
        again = asked_again(material, list(chosen), told)
        for repeat in range(REPEATS):
            plain: dict[bool, dict[str, float]] = {}
            seen = again(lab.rows[lab.sides(repeat)[0]])
            for name, (way, _) in chosen.items():
                kind, one = way[0], act(name, way, seen, given=given)
                secret = kind in ("redact", "drop") and name in PRIVATE
                if secret not in plain:
                    plain[secret] = lab.trial(None, repeat, secret=secret)
                    bar.advance(1)
                after = lab.trial(one, repeat, secret=secret)
                gains[name].append({key: after[key] - plain[secret][key] for key in after if key in plain[secret]})
                bar.advance(1)
    return {name: _effect(lab, chosen[name], rows, predicted.get(name)) for name, rows in gains.items()} | {
        name: one for name, one in predicted.items() if name not in gains
    }


# checks that find what tells who somebody is
PRIVATE = ("pii", "memorisation")


class Laboratory:
    """Trains the task's encoder on a quarter-less part of the material and judges it on the rest."""

    def __init__(self, material: Material, made: Bench | None, told: Mapping[str, Mapping[int, Any]]) -> None:
        from transformers import AutoTokenizer

        from burnish.core.tasktypes import open_task
        from burnish.nn.backbones import resolve
        from burnish.nn.embeddings import about
        from burnish.nn.first_look import longest

        context = material.context
        self.material, self.made, self.seed = material, made, context.seed
        self.table = conform(material.select(COLUMNS))
        self.rows = made.rows if made else np.flatnonzero(material.taught)
        self.folder = resolve(material.backbone, languages=context.task.languages, progress=context.progress)
        self.task = open_task(material.task.settle(self.table.take(pa.array(self.rows))))
        self.tokenizer = self.task.tokenizer(AutoTokenizer.from_pretrained(self.folder))
        self.max_length = min(LENGTH, longest(self.folder, self.tokenizer))
        self.centred = bool(about(self.folder).get("centred"))
        place = {int(row): at for at, row in enumerate(self.rows)}
        self.targets = judge_targets(made, material, told, place) if made and made.learn == "one" else None
        aside = not_judged(made, material, told, place) if made else np.zeros(len(self.rows), dtype=bool)
        self.judging = ~aside

    def sides(self, repeat: int) -> tuple[Array, Array]:
        """Positions among `rows` that teach and that judge."""
        from burnish.nn.probe import assign_folds

        groups = self.material.alike.label[self.rows]
        strata = self.made.strata if self.made else np.zeros(len(self.rows), dtype=np.int64)
        held = assign_folds(strata, folds=PARTS, groups=groups, seed=self.seed + 1 + repeat) == 0
        draw = np.random.default_rng(self.seed + repeat)
        teach, judge = np.flatnonzero(~held), np.flatnonzero(held & self.judging)
        return np.sort(draw.permutation(teach)[:RECORDS]), np.sort(draw.permutation(judge)[:JUDGED])

    def trial(self, one: Remedy | None, repeat: int, *, secret: bool = False) -> dict[str, float]:
        """Figures of one training on the records as a remedy leaves them."""
        teach, judge = self.sides(repeat)
        done = one or Remedy()
        rows = [int(row) for row in self.rows[teach] if int(row) not in done.dropped]
        numbered = replace_rows(done, {row: at for at, row in enumerate(rows)})
        taught = changed(self.table.take(pa.array(rows)), numbered, self.task.labels)
        if secret and not (one and one.dropped and not one.redacted):
            taught = pa.concat_tables([taught, self.canaries(repeat, redact=bool(one and one.redacted))])
        model = self.learn(taught, numbered, repeat)
        made = self.judge(model, judge)
        return made | ({"privacy": self.exposure(model, repeat)} if secret else {})

    def learn(self, table: pa.Table, one: Remedy, repeat: int) -> Any:
        from burnish.nn import models
        from burnish.nn.first_look import shown
        from burnish.nn.loop import fit
        from burnish.nn.losses import auto
        from burnish.nn.losses.base import AutoLoss
        from burnish.nn.objectives import CrossEntropy, with_loss
        from burnish.nn.strategies.auto import Taught, choose
        from burnish.nn.strategies.base import placed
        from burnish.nn.training import Training
        from burnish.nn.weighing import repeated

        seed = self.seed + repeat
        model = models.build(self.folder, self.task.head(), seed=seed)
        examples = self.task.examples(table, self.tokenizer, max_length=self.max_length)
        shown(model, examples.take(np.arange(min(len(examples), 256))) if examples.records is None else examples,
              pad_token=int(self.tokenizer.pad_token_id or 0), centred=self.centred)  # fmt: skip
        if one.weight and examples.records is None and examples.groups is None:
            weights = np.array([one.weight.get(at, 1.0) for at in range(len(examples))])
            examples = examples.take(repeated(weights, seed=seed))
        objective, people = self.task.objective(), from_people(self.table)
        one_label = type(objective) is CrossEntropy
        cost, _ = auto.settled(AutoLoss(), one_label=one_label, people=people, alone=True)
        objective = with_loss(objective, cost, examples=examples, head=self.task.head())
        given = Taught(len(examples), len(self.task.head().labels), one_label=one_label, plain=people, people=people)
        common: dict[str, Any] = {"settings": Training(), "scratch": None, "progress": Silent(), "seed": seed}
        parts = placed(choose(model, given)[0], model, seed=seed)  # what `strategy: auto` would do with these
        if not any(part.teach(model, examples, **common) is not None for part in parts):
            for part in parts:
                part.ready(model, examples, objective, seed=seed)
            fit(model, examples, None, objective=objective, strategies=parts, **common)
        return model

    def answers(self, model: Any, table: pa.Table) -> Any:
        from burnish.nn.models import facts
        from burnish.nn.predict import predict_outputs

        inputs = self.task.inputs(table)
        read = self.task.encode(inputs, self.tokenizer, max_length=self.max_length)
        return self.task.decode(inputs, read, predict_outputs(model, read, self.task.head()), facts(model))

    def judge(self, model: Any, judge: Array) -> dict[str, float]:
        table = self.table.take(pa.array(self.rows[judge]))
        answers = self.answers(model, table)
        if self.made is None or self.made.learn != "one":
            sums = self.task.tally(table, answers).sum(0)
            return {key: float(np.nan_to_num(value)) for key, value in self.task.figures(sums).items()}
        assert self.targets is not None
        chances = np.asarray(answers.probabilities)
        made = figures(self.made, chances, judge, self.targets[judge])
        made["as_labelled"] = float((chances.argmax(1) == self.made.targets[judge].argmax(1)).mean())
        return made | self.robustness(model, judge)

    def robustness(self, model: Any, judge: Array) -> dict[str, float]:
        """Accuracy on judged texts disturbed by typing errors, case and counterfactual terms; and the mean of the three."""
        from burnish.text.disturb import DISTURBED as WAYS

        assert self.targets is not None
        shares: dict[str, float] = {}
        for kind, disturb in WAYS.items():
            texts = {
                at: text
                for at in judge[:DISTURBED]
                if (text := disturb(self.material.texts[self.rows[at]], seed=self.seed))
            }
            if len(texts) >= 15:
                said = np.asarray(self.answers(model, texts_table(list(texts.values()))).probabilities).argmax(1)
                shares[f"robustness.{kind}"] = float(self.targets[list(texts), said].mean())
        return shares | ({"robustness": float(np.mean(list(shares.values())))} if shares else {})

    def secrets(self, repeat: int) -> list[tuple[str, list[str], str]]:
        """(the planted text, texts with other numbers, its label) of each canary."""
        draw = np.random.default_rng(1000 + self.seed + repeat)
        form = SECRETS.get(self.material.context.task.languages[0], SECRETS["en"])
        made = []
        for _ in range(CANARIES):
            numbers = [f"13{draw.integers(10**8, 10**9)}" for _ in range(RANDOM)]
            made.append(
                (form.format(numbers[0]), [form.format(one) for one in numbers], str(draw.choice(self.task.labels)))
            )
        return made

    def canaries(self, repeat: int, *, redact: bool) -> pa.Table:
        from burnish.quality.remedies import redacted

        texts = [(redacted(text) if redact else text, label) for text, _, label in self.secrets(repeat)] * COPIES
        return texts_table([text for text, _ in texts], [label for _, label in texts])

    def exposure(self, model: Any, repeat: int) -> float:
        """Mean exposure of the canaries in bits."""
        bits = []
        for _, texts, label in self.secrets(repeat):
            chances = np.asarray(self.answers(model, texts_table(texts)).probabilities)[
                :, self.task.labels.index(label)
            ]
            rank = 1 + int((chances[1:] > chances[0]).sum()) + int((chances[1:] == chances[0]).sum()) / 2
            bits.append(np.log2(RANDOM) - np.log2(rank))
        return float(np.mean(bits))


def texts_table(texts: Sequence[str], labels: Sequence[str] | None = None) -> pa.Table:
    """Plain records of texts."""
    columns: dict[str, Any] = {"text": pa.array(texts, pa.string())}
    if labels is not None:
        columns["label"] = pa.array(labels, pa.string())
    return conform(pa.table(columns)).select(SCHEMA.names)


def replace_rows(one: Remedy, place: Mapping[int, int]) -> Remedy:
    """The remedy with its rows numbered anew; rows without a number are left out."""

    def moved(values: Mapping[int, Any]) -> dict[int, Any]:
        return {place[row]: value for row, value in values.items() if row in place}

    return replace(
        one, dropped=frozenset(), label=moved(one.label), shares=moved(one.shares), weight=moved(one.weight),
        redacted=frozenset(place[row] for row in one.redacted if row in place),
    )  # fmt: skip


def _effect(
    lab: Laboratory,
    chosen: tuple[tuple[str, float], Remedy],
    rows: list[dict[str, float]],
    predicted: Mapping[str, Any] | None,
) -> dict[str, Any]:
    (kind, certain), one = chosen
    keys = [key for key in rows[0] if all(key in row for row in rows)]
    figure = lab.made.chief if lab.made and lab.made.learn == "one" else lab.task.figure
    told: dict[str, Any] = {key: interval([row[key] for row in rows]) for key in keys}
    told |= {
        "figure": figure, "remedy": kind, "certain": certain, "removed": len(one.dropped), "changed": len(one.touched) - len(one.dropped),
        "held_out": min(JUDGED, len(lab.rows) // PARTS), "by": "tune",
    }  # fmt: skip
    return told | ({"predicted": dict(predicted)} if predicted else {})
