"""Does the answer stay when the text is written otherwise, and turn when its meaning turns? (CheckList, Ribeiro et al. 2020)"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Gold, Model, Report, Split
from burnish.core.chinese import in_both, language_of, speaking
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Positive, TaskSpec, nearest, stage
from burnish.evaluate.again import Again, ask_again, one_served
from burnish.evaluate.judged import Judged, ask

PLACED = {"spans", "relations", "answer"}
KINDS = (
    "typos",
    "homophones",
    "look_alikes",
    "case",
    "punctuation",
    "end_mark",
    "width",
    "counterfactual",
    "paraphrase",
)
EXAMPLES = 5
MINIMUM = 10  # changed records below which no figure is given


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`."""
    found = []
    for name in () if settings["variants"] == "all" else settings["variants"]:
        if name not in KINDS:
            found.append(("variants", f"no variant {name!r}", nearest(name, KINDS, "variants are")))
        elif name == "paraphrase" and settings["paraphrase"] is None:
            found.append(("paraphrase", "paraphrases want a model that writes them", "paraphrase: a run folder"))
    for label in [*(settings["opposite"] or {}), *(settings["opposite"] or {}).values()]:
        if label not in task.labels:
            found.append(("opposite", f"no label {label!r}", nearest(label, task.labels, "labels are")))
    return found


@stage("evaluate.robustness", check=_problems)
def robustness(
    models: list[Model],
    split: Split,
    gold: Gold | None,
    context: Context,
    *,
    variants: Literal["all"] | list[str] = "all",
    paraphrase: Path | None = None,
    opposite: dict[str, str] | None = None,
    tests: Path | None = None,
    data: Path | None = None,
    fields: dict[str, str] | None = None,
    label_names: dict[str, str] | None = None,
    draws: Positive = 1000,
    language: Literal["auto", "en", "zh"] = "auto",
) -> Report:
    """Score the test records written otherwise beside the clean ones, with paired intervals; behavioural tests.

    variants: all, or some of typos (QWERTY), homophones and look_alikes (Chinese), case, punctuation, end_mark, width,
        counterfactual (he for she), paraphrase.
    paraphrase: a run folder of a model that rewrites a text.
    opposite: label -> the label of the opposite, as {positive: negative, negative: positive}: then denials (is not, 不) must
        turn the answer or lower its probability (a directional test).
    tests: a file of texts with the answer each must get, and meta.capability: minimum functionality tests.
    data: an outside test set; without it gold or the test side, as in evaluate.report.
    fields: record field -> name in the test set.
    label_names: label as it stands in the test set -> label of the task.
    draws: of the bootstrap behind the intervals.
    language: of the page; auto takes Chinese where it is the task's first language, else English.

    The last model is judged. Where targets stand at characters, only variants that keep the length are made.
    """
    wrong = _problems({"variants": variants, "paraphrase": paraphrase, "opposite": opposite}, context.task)
    if wrong:
        raise BurnishError(f"evaluate.robustness.{wrong[0][0]}: {wrong[0][1]}", hint=wrong[0][2])
    judge, served = one_served(models, split, gold, context, data=data, fields=fields, label_names=label_names)
    model = models[served.position]
    rows, skipped = [], {}
    for name, change in _changes(variants, paraphrase, served, context).items():
        if isinstance(change, str):
            skipped[name] = change
            continue
        context.progress.tell(f"  {name}")
        again = ask_again(served, model, change, context, name=name)
        if len(again.rows) < MINIMUM:
            skipped[name] = f"{len(again.rows)} test records change, fewer than {MINIMUM}"
        else:
            rows.append(_beside(name, served, again, context, draws))
    numbers: dict[str, Any] = {
        "kind": "robustness", "n": len(judge.table), "model": served.name, "judged_by": judge.about, "chief": served.task.figure,
        "clean": served.figures(), "variants": rows, "skipped": skipped,
        "negation": _negation(served, model, opposite, context), "tests": _tests(tests, model, context),
    }  # fmt: skip
    numbers["gates"] = _gates(numbers)
    from burnish.evaluate.robustness_page import page, verdict

    numbers |= in_both(lambda: verdict(numbers))
    numbers["headline"] = {name: one["value"] for name, one in numbers["gates"].items()}
    with speaking(language_of(context.task.languages, language)):
        return Report(numbers, page(numbers))


def _changes(
    variants: Literal["all"] | list[str], paraphrase: Path | None, served: Judged, context: Context
) -> dict[str, Callable[[str, random.Random], str | None] | str]:
    """Variant -> what writes it, or why it cannot be asked."""
    from burnish.text.counterparts import counterparts, swapped
    from burnish.text.variants import SAME_LENGTH, VARIANTS

    placed = bool(PLACED & set(served.task.target))
    chinese = "zh" in context.task.languages
    found: dict[str, Any] = {}
    for name in KINDS if variants == "all" else variants:
        if name in ("homophones", "look_alikes") and not chinese:
            found[name] = "task.languages has no Chinese"
        elif name == "paraphrase":
            found[name] = (
                "no model that writes paraphrases was named"
                if paraphrase is None
                else _Paraphrases(paraphrase, served.table)
            )
        elif name == "counterfactual":
            found[name] = lambda text, draw: swapped(text, counterparts("gender"))
        else:
            found[name] = (SAME_LENGTH if placed else VARIANTS).get(name)
        if placed and (name in ("paraphrase", "counterfactual") or found[name] is None):
            found[name] = "targets stand at characters of the text, which it moves"
    if variants == "all":
        found = {name: one for name, one in found.items() if name != "paraphrase" or paraphrase is not None}
    return found


class _Paraphrases:
    """Texts as another model rewrites them, asked all at once."""

    def __init__(self, folder: Path, table: pa.Table) -> None:
        from burnish.tasks import predictor

        texts = list(dict.fromkeys(text for name in ("text", "text_b") for text in table[name].to_pylist() if text))
        written = predictor.load(folder).predict(texts)
        if any("text" not in one for one in written):
            raise BurnishError(f"{folder.name} does not write texts", hint="paraphrase: a run of a task that writes")
        self._made = {text: str(one["text"]).strip() for text, one in zip(texts, written, strict=True)}

    def __call__(self, text: str, draw: random.Random) -> str | None:
        return self._made.get(text) or None


def _beside(name: str, served: Judged, again: Again, context: Context, draws: int) -> dict[str, Any]:
    """Figures on the changed records, clean and changed, and their difference (paired bootstrap)."""
    task = served.task
    clean = Judged(
        served.name, -1, served.info, task, served.table.take(pa.array(again.rows)), served.answers.take(again.rows)
    )
    other = Judged(served.name, -1, served.info, task, again.table, again.answers)
    gap = other.better_than(clean, seed=context.seed, draws=draws)
    same = task.agreement(clean.answers, other.answers)
    worse = np.flatnonzero(other.losses > clean.losses)
    order = worse[np.argsort(clean.losses[worse] - other.losses[worse], kind="stable")][:EXAMPLES]
    return {
        "name": name, "n": len(again.rows), "clean": clean.figures(), "changed": other.figures(),
        "difference": {key: {"value": one["value"], "interval": one["interval"]} for key, one in gap.items()},
        "answers_that_stay": float(same.mean()),
        "examples": [
            {"id": clean.table["id"][int(at)].as_py(), "before": _shown(clean.table, at), "after": _shown(again.table, at),
             "said": task.brief(clean.answers.items[at]), "then": task.brief(other.answers.items[at])}
            for at in order
        ],
    }  # fmt: skip


def _shown(table: pa.Table, at: Any) -> str:
    row = table.slice(int(at), 1).to_pylist()[0]
    texts = [row["text"], row["text_b"], *(turn["content"] for turn in row["messages"] or ())]
    return "\n".join(one for one in texts if one)


def _negation(
    served: Judged, model: Model, opposite: Mapping[str, str] | None, context: Context
) -> dict[str, Any] | None:
    """Directional test: a denied text must not keep its answer as sure as before (DIR; tolerance 0.1 as in CheckList)."""
    if not opposite:
        return None
    from burnish.measures.intervals import wilson
    from burnish.text.variants import negated

    if not served.task.one_label or served.answers.probabilities is None:
        return {"skipped": "it asks for one label a text, with probabilities"}
    again = ask_again(served, model, negated, context, name="negation")
    labels = list(context.task.labels)
    before = [served.answers.items[row]["label"] for row in again.rows]
    right = [served.table["label"][int(row)].as_py() for row in again.rows]
    asked = [at for at, label in enumerate(before) if label in opposite and label == right[at]]
    if len(asked) < MINIMUM:
        return {"skipped": f"{len(asked)} right answers could be denied, fewer than {MINIMUM}"}
    was, now = served.answers.probabilities[again.rows], again.answers.probabilities
    own = np.array([labels.index(before[at]) for at in asked])
    drop = was[asked, own] - now[asked, own]
    turned = np.array([again.answers.items[at]["label"] != before[at] for at in asked])
    failed = (drop < -0.1) | (~turned & (drop < 0.1))
    around = wilson(int(failed.sum()), len(asked))
    return {
        "n": len(asked), "turned": float(turned.mean()), "mean_drop": float(drop.mean()), "failed": around.value,
        "interval": [around.low, around.high],
        "examples": [
            {"before": served.table["text"][int(again.rows[asked[at]])].as_py(), "after": again.inputs[asked[at]]["text"], "said": before[asked[at]]}
            for at in np.flatnonzero(failed)[:EXAMPLES]
        ],
    }  # fmt: skip


def _tests(file: Path | None, model: Model, context: Context) -> list[dict[str, Any]] | None:
    """Minimum functionality tests: failures by capability, with Wilson's interval."""
    if file is None:
        return None
    from burnish.core.files import read_table
    from burnish.core.tasktypes import open_task
    from burnish.evaluate.again import field_values
    from burnish.measures.intervals import wilson

    task = open_task(context.task)
    table = read_table(file, base=context.base, targets=task.target)
    table = table.filter(pa.array(task.labelled(table)))
    if not len(table):
        raise BurnishError(f"{file.name} has no text with an answer", hint="text, label and capability on each line")
    answers = ask(model, table, context)[1]
    wrong = task.losses(table, answers) > 0 if not task.one_label else np.array(
        [task.expected(row)["label"] != said["label"] for row, said in zip(table.to_pylist(), answers.items, strict=True)]
    )  # fmt: skip
    of: dict[str, list[int]] = defaultdict(list)
    for at, name in enumerate(field_values(table, "meta.capability")):
        of[name or "all"].append(at)
    made = []
    for name, rows in of.items():
        around = wilson(int(wrong[rows].sum()), len(rows))
        shown = [table["text"][at].as_py() for at in rows if wrong[at]][:EXAMPLES]
        made.append(
            {
                "capability": name,
                "n": len(rows),
                "failed": around.value,
                "interval": [around.low, around.high],
                "examples": shown,
            }
        )
    return made


def _gates(numbers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What evaluate.gate can hold the model to: the largest loss of the chief figure, and the failures of the tests."""
    made: dict[str, dict[str, Any]] = {}
    chief = numbers["chief"]
    drops: Sequence[Mapping[str, Any]] = [
        one["difference"][chief] for one in numbers["variants"] if chief in one["difference"]
    ]
    if drops:
        worst = min(drops, key=lambda one: one["value"])
        low, high = worst["interval"]
        made["robustness_drop"] = {
            "value": max(0.0, -worst["value"]),
            "interval": [max(0.0, -high), max(0.0, -low)],
            "most": True,
        }
    if numbers["tests"]:
        worst = max(numbers["tests"], key=lambda one: one["failed"])
        made["failed_tests"] = {"value": worst["failed"], "interval": worst["interval"], "most": True}
    if numbers["negation"] and "failed" in numbers["negation"]:
        one = numbers["negation"]
        made["failed_negations"] = {"value": one["failed"], "interval": one["interval"], "most": True}
    return made
