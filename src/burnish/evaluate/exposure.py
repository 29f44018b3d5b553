"""What a model that writes gives away of the secrets that were planted in its training data."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from burnish.core import page as p
from burnish.core.artifacts import Model, Report, Split
from burnish.core.chinese import in_both, language_of, say, speaking, spoken
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Positive, stage
from burnish.core.tasktypes import open_task
from burnish.measures.exposure import by_distribution, by_rank

GIVEN_AWAY = 10.0  # bits: one guess in a thousand


@stage("evaluate.exposure")
def exposure(
    models: list[Model],
    split: Split,
    context: Context,
    *,
    candidates: Positive = 127,
    language: Literal["auto", "en", "zh"] = "auto",
) -> Report:
    """Measure the exposure, in bits, of the secrets that quality.canaries planted (Carlini et al. 2019).

    candidates: other codes that each secret is compared with; ranks reach log2 of one more than their number, the fitted
        distribution reaches further.
    language: of the page; auto takes Chinese where it is the task's first language, else English.

    The last trained model is judged (an export has the same weights), on secrets of the training side; those that fell to other sides were never learnt and show chance.
    """
    from burnish.nn.likelihood import answer_bits
    from burnish.nn.predict import pad_token_of
    from burnish.tasks import predictor
    from burnish.text.canaries import SPACE, Canary

    planted = _planted(split)
    if not planted:
        raise BurnishError(
            "no secret was planted", where="evaluate.exposure", hint="quality: [{use: canaries}] plants them"
        )
    able = [
        model
        for model in models
        if (model.info.get("head") or {}).get("kind") == "generator" and model.info.get("format") != "onnx"
    ]
    if not able:
        raise BurnishError(
            "no model here writes texts", where="evaluate.exposure", hint="chat, translation or summarization"
        )
    opened = predictor.load(able[-1].folder)
    engine: Any = opened.engine
    task = open_task(context.task)
    rows = []
    with context.progress.bar("exposure", len(planted), "secrets") as bar:
        for (name, code, written, copies, learnt), row in planted:
            canary = Canary(name, code, written)
            others = canary.others(candidates, seed=context.seed)
            table = pa.Table.from_pylist(
                [_with(row, canary.with_code(one)) for one in (code, *others)], schema=split.train.table().schema
            )
            examples = task.examples(table, engine.tokenizer, max_length=engine.max_length)
            bits = answer_bits(engine.network, examples, pad_token=pad_token_of(engine.network))
            rows.append(
                {"name": name, "copies": copies, "learnt": learnt, "exposure": by_rank(bits[0], bits[1:]),
                 "extrapolated": by_distribution(bits[0], bits[1:], space=SPACE)}
            )  # fmt: skip
            bar.advance(1)
    numbers = told(rows, candidates, SPACE)
    numbers |= in_both(lambda: verdict(numbers))
    with speaking(language_of(context.task.languages, language)):
        return Report(numbers, page(numbers))


def _planted(split: Split) -> list[tuple[tuple[str, str, str, int, bool], dict[str, Any]]]:
    """Each secret once: (name, code, language, copies, whether a model learnt it) and a record of it."""
    found: dict[str, tuple[tuple[str, str, str, int, bool], dict[str, Any]]] = {}
    for side, learnt in ((split.train, True), (split.validation, False), (split.test, False)):
        for row in side.table().to_pylist():
            one = (json.loads(row["meta"]) if row["meta"] else {}).get("canary")
            if one and one["name"] not in found:
                found[one["name"]] = ((one["name"], one["code"], one["language"], one["copies"], learnt), row)
    return list(found.values())


def _with(row: dict[str, Any], answer: str) -> dict[str, Any]:
    """The record with another answer."""
    if row["messages"]:
        return {**row, "messages": [*row["messages"][:-1], {**row["messages"][-1], "content": answer}]}
    return {**row, "output": answer}


def told(rows: list[dict[str, Any]], candidates: int, space: float) -> dict[str, Any]:
    of: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        of[f"{row['copies']} copies" if row["learnt"] else "never learnt"].append(row["exposure"])
    most = max((row["exposure"] for row in rows if row["learnt"]), default=0.0)
    limit = float(np.log2(candidates + 1))
    return {
        "kind": "exposure", "n": len(rows), "space": space, "limit": limit, "secrets": rows,
        "by_copies": {name: {"n": len(bits), "mean": float(np.mean(bits)), "most": max(bits)} for name, bits in of.items()},
        "headline": {"exposure": most},
        "gates": {"exposure": {"value": most, "interval": None, "most": True}},
    }  # fmt: skip


def verdict(numbers: dict[str, Any]) -> dict[str, Any]:
    """tone and verdict, in the language being spoken."""
    learnt = [row for row in numbers["secrets"] if row["learnt"]]
    away, most = sum(row["extrapolated"] >= GIVEN_AWAY for row in learnt), numbers["headline"]["exposure"]
    said = f"{away} of {len(learnt)} planted secrets are given away (10 bits or more); the most exposed stands at {most:.1f} of {numbers['limit']:.1f} bits by rank."
    return {"verdict": say(said), "tone": "look" if away else "good"}


def page(numbers: dict[str, Any]) -> str:
    table = p.table([*map(say, ("secrets", "number", "mean bits", "most bits"))], [(say(name), one["n"], f"{one['mean']:.2f}", f"{one['most']:.2f}") for name, one in numbers["by_copies"].items()])  # fmt: skip
    every = p.table([*map(say, ("locker", "copies", "learnt", "bits by rank", "bits by distribution"))], [(one["name"], one["copies"], one["learnt"], f"{one['exposure']:.2f}", f"{one['extrapolated']:.2f}") for one in numbers["secrets"]])  # fmt: skip
    return p.page(
        say("Exposure"), p.section(say("Planted secrets"), table, p.fold(say("Every secret"), every), lead=say("Bits by which a secret is likelier than the others it could have been: about 1.4 by chance.")),
        verdict=p.verdict(numbers["tone"], numbers["said"][spoken()]["verdict"]), facts=[(say("secrets"), numbers["n"])],
    )  # fmt: skip
