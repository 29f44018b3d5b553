"""Are the constructed targets worth it? Curves by the number of checked records, and what to do next with what gain.

Four ways to teach one probe on frozen embeddings: weak only, gold only, both together, and gold last (weak first, then
continued on what is checked, `nn.continuing`). Every draw holds a third of the checked records out to judge by; no record
judges itself, nor does a weak label of its text teach. Intervals over draws are those of the corrected resampled t
(Nadeau and Bengio 2003), for the draws share records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.core.artifacts import Gold, Records
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task
from burnish.measures import certificate_design as design
from burnish.nn.continuing import continued, softmax
from burnish.nn.probe import Probe
from burnish.review.next_action import next_action

MOST_WEAK = (
    2000  # records with a weak label that teach, and as many without one that are asked about: enough for a curve
)
LEAST_CHECKED = 24  # checked records below which a curve is noise
DRAWS = 6
HELD = 1 / 3  # of the checked records that judge
SIZES = (10, 20, 40, 80, 160, 320, 640, 1280)
WAYS = ("weak_only", "gold_only", "both", "gold_last")


@dataclass(frozen=True)
class Pool:
    """g checked records, w with a weak label and r without a target, on vectors of unit length.

    truth: (g,) numbers; weight: (g,) how many records each speaks for, mean 1; given: g constructed labels, None where
    there is none; soft: (w, k); covered: share of all records that have a target.
    """

    labels: list[str]
    texts: list[str]
    vectors: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    given: list[str | None]
    weak_texts: list[str]
    weak_ids: list[str]
    weak: np.ndarray
    soft: np.ndarray
    rest_texts: list[str]
    rest: np.ndarray
    covered: float


def worth(records: Records, gold: Gold | None, judged: Any, context: Context, *, backbone: str) -> dict[str, Any]:
    """Curves, the paired difference at the most checked records, and the next action; or {"why"} where nothing can be said.

    judged: `review.certificate.Judged`. Memory: at most 4,000 vectors beside the checked records'.
    """
    task = open_task(context.task)
    language = "zh" if context.task.languages[:1] == ("zh",) else "en"
    if not task.one_label or not context.task.labels:
        return {"why": WHY["kind"][language]}
    found = _pool(records, gold, judged, context, backbone)
    classes = len(np.unique(found.truth))
    if len(found.truth) < LEAST_CHECKED or classes < 2 or len(np.unique(found.soft.argmax(1))) < 2:
        return {"why": WHY["few"][language].format(least=LEAST_CHECKED, there=len(found.truth))}
    numbers = curves(found, seed=context.seed)
    numbers |= next_action(found, numbers, seed=context.seed)
    said = {one: _said(numbers, one) for one in ("en", "zh")}
    return numbers | {"said": said}


WHY = {
    "kind": {
        "en": "Curves need one label a record; this task has another kind of target.",
        "zh": "曲线需要每条记录只有一个标签；本任务的目标是另一种。",
    },
    "few": {
        "en": "Curves need {least} checked records of two labels, there are {there}.",
        "zh": "曲线需要 {least} 条检查过的记录（至少两个标签），现有 {there} 条。",
    },
}


def curves(found: Pool, *, seed: int) -> dict[str, Any]:
    """{"curves": one row a size (`gain`: gold last minus gold only), "difference": gold last minus gold only at the largest}, each value with low and high."""
    k = len(found.labels)
    weak = Probe(k, seed=seed).fit(found.weak, found.soft)
    logits = weak.logits(found.vectors).astype(np.float64)
    shares = softmax(weak.logits(found.weak).astype(np.float64)).mean(0)
    held = max(8, round(HELD * len(found.truth)))
    most = len(found.truth) - held
    sizes = [one for one in SIZES if one < most * 0.9] + [most]
    random = np.random.default_rng(seed)
    scored: dict[int, dict[str, list[float]]] = {size: {way: [] for way in WAYS} for size in sizes}
    for draw in range(DRAWS):
        order = random.permutation(len(found.truth))
        test, learn = order[:held], order[held:]

        def right(said: np.ndarray, test: np.ndarray = test) -> float:
            return float(np.average(said.argmax(1) == found.truth[test], weights=found.weight[test]))

        for size in sizes:
            rows = learn[:size]
            x, y = found.vectors[rows], found.truth[rows]
            into = scored[size]
            into["weak_only"].append(right(logits[test]))
            # of one label alone a probe learns that label
            alone = (
                Probe(k, seed=seed).fit(x, y).logits(found.vectors[test])
                if len(np.unique(y)) > 1
                else np.eye(k)[np.full(held, y[0])]
            )
            into["gold_only"].append(right(alone))
            together = Probe(k, seed=seed, l2=weak.chosen_l2)
            together.fit(np.vstack([found.weak, x]), np.vstack([found.soft, np.eye(k)[y]]))
            into["both"].append(right(together.logits(found.vectors[test])))
            move = continued(logits[rows], x, y, shares=shares, seed=seed + draw)
            into["gold_last"].append(right(logits[test] + move(found.vectors[test])))
    ratio = held / most
    rows_made = [
        {
            "gold": size,
            **{way: within(resampled(values, ratio)) for way, values in of.items()},
            "gain": resampled(np.subtract(of["gold_last"], of["gold_only"]), ratio),
        }
        for size, of in scored.items()
    ]
    last = scored[sizes[-1]]
    made: dict[str, Any] = {
        "curves": rows_made,
        "checked": len(found.truth),
        "weak": len(found.weak),
        "labels": found.labels,
    }
    made["difference"] = resampled(np.subtract(last["gold_last"], last["gold_only"]), ratio)
    half = scored[sizes[-2]] if len(sizes) > 1 else last
    step = math.log2(sizes[-1] / sizes[-2]) if len(sizes) > 1 else 1.0
    made["slope"] = resampled(
        np.subtract(last["gold_last"], half["gold_last"]) / step, ratio
    )  # a doubling of what is checked
    return made


def within(one: dict[str, float]) -> dict[str, float]:
    """A share whose interval ends where shares do."""
    return {**one, "low": max(0.0, one["low"]), "high": min(1.0, one["high"])}


def resampled(values: Sequence[float] | np.ndarray, ratio: float, *, confidence: float = 0.95) -> dict[str, float]:
    """Mean over draws with the corrected resampled t interval: variance x (1 / draws + ratio), ratio = judging / learning."""
    from scipy.stats import t

    each = np.asarray(values, dtype=np.float64)
    error = math.sqrt(float(each.var(ddof=1)) * (1 / len(each) + ratio)) if len(each) > 1 else 0.0
    half = float(t.ppf((1 + confidence) / 2, max(len(each) - 1, 1))) * error
    middle = float(each.mean())
    return {"value": middle, "low": middle - half, "high": middle + half}


def _pool(records: Records, gold: Gold | None, judged: Any, context: Context, backbone: str) -> Pool:
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import embed

    labels = list(context.task.labels)
    of = {label: at for at, label in enumerate(labels)}
    weights = {one.id: one.weight for one in judged.draws}
    checked: dict[str, tuple[int, float, str | None]] = {}
    for one, (row, target) in judged.known.items():
        label = target.get("label")
        if label in of:
            checked[_read(row)] = (of[label], weights.get(one, float("nan")), row.get("label"))
    for row in gold.table(["text", "text_b", "label"]).to_pylist() if gold is not None else ():
        if row["label"] in of:
            checked.setdefault(_read(row), (of[row["label"]], float("nan"), None))
    weak, rest, covered = _others(records, set(checked), of, context.seed)
    parts = [list(checked), [one[0] for one in weak], [one[0] for one in rest]]
    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    whole = embed([text for part in parts for text in part], folder, cache=context.cache, progress=context.progress)
    a, b = len(checked), len(checked) + len(weak)
    moved = whole - whole[a:].mean(0) if len(whole) > a else whole
    moved = (moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    weight = np.array([one for _, one, _ in checked.values()], dtype=np.float64)
    drawn = ~np.isnan(weight)
    weight = np.where(drawn, weight, weight[drawn].mean() if drawn.any() else 1.0)
    return Pool(
        labels=labels, texts=parts[0], vectors=moved[:a], truth=np.array([one for one, _, _ in checked.values()], dtype=np.int64),
        weight=weight / weight.mean() if len(weight) else weight, given=[one for _, _, one in checked.values()],
        weak_texts=parts[1], weak_ids=[one[1] for one in weak], weak=moved[a:b],
        soft=np.array([one[2] for one in weak]).reshape(len(weak), len(labels)), rest_texts=parts[2], rest=moved[b:],
        covered=covered,
    )  # fmt: skip


def _read(row: Mapping[str, Any]) -> str:
    return "\n".join(filter(None, (row.get("text"), row.get("text_b"))))


def _others(
    records: Records, checked: set[str], of: Mapping[str, int], seed: int
) -> tuple[list[tuple[str, str, np.ndarray]], list[tuple[str, str]], float]:
    """Records that nobody checked: (text, id, soft label) of those with a target, (text, id) of those without, drawn at
    random where there are many; and the share of all that have a target. No text of a checked record is among them."""
    columns = ["id", "text", "text_b", "label", "probs", "keep", "label_from"]
    ids: list[list[str]] = [[], []]
    for batch in records.batches(["id", "label", "keep"]):
        for row in batch.to_pylist():
            if row["keep"]:
                ids[row["label"] not in of].append(row["id"])
    chosen: set[str] = set()
    for some in ids:
        order = design.order(some, seed=seed)
        chosen |= {some[at] for at in np.argsort(order, kind="stable")[:MOST_WEAK]}
    weak: list[tuple[str, str, np.ndarray]] = []
    rest: list[tuple[str, str]] = []
    for batch in records.batches(columns):
        for row in batch.to_pylist():
            text = _read(row)
            if row["id"] not in chosen or text in checked or not text:
                continue
            if row["label"] in of:
                soft = (
                    np.eye(len(of))[of[row["label"]]] if len(row["probs"] or ()) != len(of) else np.array(row["probs"])
                )
                weak.append((text, row["id"], soft / soft.sum()))
            else:
                rest.append((text, row["id"]))
    total = len(ids[0]) + len(ids[1])
    return weak, rest, len(ids[0]) / max(total, 1)


def _said(numbers: Mapping[str, Any], language: str) -> str:
    """Whether the weak labels are worth it, and what to do next, in two or three sentences."""
    last = numbers["curves"][-1]
    words = TOLD[language]
    said = []
    if gap := numbers.get("difference"):
        way = "helps" if gap["low"] > 0 else "hurts" if gap["high"] < 0 else "open"
        said.append(
            words[way].format(
                gold=last["gold"], last=last["gold_last"]["value"], only=last["gold_only"]["value"],
                gap=100 * gap["value"], low=100 * gap["low"], high=100 * gap["high"],
            )
        )  # fmt: skip
        helped = [one["gold"] for one in numbers["curves"] if one["gain"]["low"] > 0]
        if way != "helps" and helped:
            said.append(words["until"].format(gold=max(helped)))
    return ("" if language == "zh" else " ").join([*said, numbers["action"]["said"][language]])


TOLD = {
    "en": {
        "helps": "The weak data is worth it: with {gold} checked records {last:.1%} are right, {only:.1%} without it ({gap:+.1f} points, {low:+.1f} to {high:+.1f}).",
        "until": "It helped up to {gold} checked records.",
        "hurts": "The weak data hurts: with {gold} checked records {last:.1%} are right, {only:.1%} without it ({gap:+.1f} points, {low:+.1f} to {high:+.1f}).",
        "open": "Whether the weak data is worth it is open: with {gold} checked records {last:.1%} are right, {only:.1%} without it ({gap:+.1f} points, {low:+.1f} to {high:+.1f}).",
    },
    "zh": {
        "helps": "弱标注数据值得用：有 {gold} 条检查过的记录时正确率 {last:.1%}，不用它为 {only:.1%}（{gap:+.1f} 个百分点，{low:+.1f} 至 {high:+.1f}）。",
        "until": "检查过的记录不超过 {gold} 条时它有帮助。",
        "hurts": "弱标注数据有害：有 {gold} 条检查过的记录时正确率 {last:.1%}，不用它为 {only:.1%}（{gap:+.1f} 个百分点，{low:+.1f} 至 {high:+.1f}）。",
        "open": "弱标注数据是否值得用尚无定论：有 {gold} 条检查过的记录时正确率 {last:.1%}，不用它为 {only:.1%}（{gap:+.1f} 个百分点，{low:+.1f} 至 {high:+.1f}）。",
    },
}
