"""The certificate as a page, and as the chapter of a run's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.core import page as p

MOST_LABELS = 40
TITLES = {
    "en": {
        "certificate": "Certificate", "right": "Targets that are right", "checked": "Records checked", "half": "Half the width",
        "any_look": "At any look", "powered": "Prediction-powered", "labels": "By label", "label": "label", "seen": "checked",
        "precision": "right of those given it", "recall": "given it of those that are it", "noise": "What is taken for what",
        "true": "is", "given": "labelled", "of_all": "of all records", "given_of_true": "P(labelled | is)",
        "true_of_given": "P(is | labelled)", "mentions": "Mentions", "f1": "F1", "strata": "How it was drawn",
        "stratum": "stratum", "records": "records", "ok": "right", "guess": "guessed before", "worth": "Is the weak data worth it?",
        "gold": "checked records", "score": "accuracy", "weak_only": "weak only", "gold_only": "checked only", "both": "both",
        "stale": "The records were made anew since: certify again.", "gold_last": "weak first, checked last", "next": "What to do next", "of": "95%",
    },
    "zh": {
        "certificate": "质量证书", "right": "正确的标注", "checked": "已检查记录", "half": "区间半宽", "any_look": "随时查看",
        "powered": "预测增强推断", "labels": "按标签", "label": "标签", "seen": "已检查", "precision": "标为它的当中正确的",
        "recall": "真是它的当中标为它的", "noise": "哪些被误认", "true": "实际", "given": "标注", "of_all": "占全部记录",
        "given_of_true": "P(标注 | 实际)", "true_of_given": "P(实际 | 标注)", "mentions": "提及", "f1": "F1", "strata": "抽样方式",
        "stratum": "层", "records": "记录数", "ok": "正确", "guess": "事先估计", "worth": "弱标注数据值得用吗？",
        "gold": "检查过的记录", "score": "准确率", "weak_only": "只用弱标注", "gold_only": "只用检查过的", "both": "合并",
        "stale": "记录在此之后已重新生成：请重新出具证书。", "gold_last": "先弱标注、后检查过的", "next": "下一步", "of": "95%",
    },
}  # fmt: skip


def story(numbers: Mapping[str, Any]) -> list[str]:
    """What the terminal says."""
    return [numbers["verdict"], *numbers["grounds"], *numbers["next"]]


def page(numbers: Mapping[str, Any], *, title: str) -> str:
    """The whole page, in the certificate's language."""
    words = TITLES[numbers["language"]]
    sections = [one for one in _sections(numbers, words) if one.body]
    verdict = p.verdict(numbers["tone"], numbers["verdict"], *numbers["grounds"])
    return p.page(title, *sections, verdict=verdict, subtitle=words["certificate"], language=numbers["language"])


def chapter(numbers: Mapping[str, Any], target: str = "") -> p.Section:
    """The same in short, as one section of another page. target: where the page lies, from there."""
    if numbers.get("kind") != "certificate":
        return p.section("Certificate")
    words = TITLES[numbers["language"]]
    inside = _sections(numbers, words)
    return p.section(
        words["certificate"],
        p.note(words["stale"], "bad") if numbers.get("stale") else "",
        p.note(" ".join([numbers["verdict"], *numbers["grounds"]]), numbers["tone"]),
        *(part for one in inside[:3] for part in (one.body,) if part),
        *numbers["next"],
        p.link(words["certificate"], target) if target else "",
    )


def _sections(numbers: Mapping[str, Any], words: Mapping[str, str]) -> list[p.Section]:
    return [
        p.section(words["right"], _tiles(numbers, words)),
        p.section(words["labels"], _labels(numbers, words), _mentions(numbers, words)),
        p.section(words["worth"], *_worth(numbers.get("worth") or {}, words)),
        p.section(words["noise"], _noise(numbers, words)),
        p.section(words["strata"], _strata(numbers, words)),
        p.section(words["next"], *numbers["next"]),
    ]


def between(one: Mapping[str, float]) -> str:
    return f"{one['low']:.1%}–\u2060{one['high']:.1%}"


def _tiles(numbers: Mapping[str, Any], words: Mapping[str, str]) -> p.Part:
    found = numbers.get("accuracy")
    if found is None:
        return ""
    powered = found.get("prediction_powered")
    tiles = [
        p.Tile(words["right"], p.share(found["value"]), note=between(found), tone=numbers["tone"]),
        p.Tile(words["checked"], found["checked"], note=found["method"]),
        p.Tile(words["half"], f"±{found['half_width']:.1%}"),
        p.Tile(words["any_look"], between(found["any_look"])),
        *([p.Tile(words["powered"], p.share(powered["value"]), note=between(powered))] if powered else []),
    ]
    return p.tiles(tiles)


def _labels(numbers: Mapping[str, Any], words: Mapping[str, str]) -> p.Part:
    rows = [one for one in numbers.get("labels") or () if one["checked"] or one["of_it"]]
    if not rows:
        return ""
    rows = sorted(rows, key=lambda one: one["precision"]["low"])
    heads = [words["label"], words["seen"], words["precision"], words["of"], words["recall"], words["of"]]
    cells = [
        (one["label"], one["checked"], one["precision"]["value"], between(one["precision"]), one["recall"]["value"], between(one["recall"]))
        for one in rows
    ]  # fmt: skip
    return p.table(heads, cells, show=p.share, limit=MOST_LABELS)


def _mentions(numbers: Mapping[str, Any], words: Mapping[str, str]) -> p.Part:
    found = numbers.get("mentions")
    if not found:
        return ""
    rows = [("*", found), *((one["label"], one) for one in found.get("labels", ()))]
    heads = [
        words["label"],
        words["seen"],
        words["precision"],
        words["of"],
        words["recall"],
        words["of"],
        words["f1"],
        words["of"],
    ]
    cells = [
        (name, one["given"], *(cell for key in ("precision", "recall", "f1") for cell in (one[key]["value"], between(one[key]))))
        for name, one in rows
    ]  # fmt: skip
    return p.table(heads, cells, show=p.share, caption=words["mentions"], limit=MOST_LABELS)


def _noise(numbers: Mapping[str, Any], words: Mapping[str, str]) -> p.Part:
    pairs = (numbers.get("noise") or {}).get("pairs")
    if not pairs:
        return ""
    heads = [words["true"], words["given"], words["seen"], words["of_all"], words["given_of_true"], words["of"], words["true_of_given"], words["of"]]  # fmt: skip
    cells = [
        (one["true"], one["given"], one["checked"], one["share"], one["given_of_true"]["value"], between(one["given_of_true"]), one["true_of_given"]["value"], between(one["true_of_given"]))
        for one in pairs
    ]  # fmt: skip
    return p.table(heads, cells, show=p.share)


def _strata(numbers: Mapping[str, Any], words: Mapping[str, str]) -> p.Part:
    rows = numbers.get("strata")
    if not rows:
        return ""
    heads = [words["stratum"], words["records"], words["seen"], words["ok"], words["guess"]]
    return p.table(
        heads,
        [(one["stratum"], one["records"], one["checked"], one["right"], one["guess"]) for one in rows],
        show=p.share,
    )


def _worth(worth: Mapping[str, Any], words: Mapping[str, str]) -> list[p.Part]:
    if not worth.get("curves"):
        return [worth["why"]] if worth.get("why") else []
    ways = ("weak_only", "gold_only", "both", "gold_last")
    series = {
        words[way]: [(float(one["gold"]), one[way]["value"]) for one in worth["curves"] if way in one] for way in ways
    }  # fmt: skip
    heads = [words["gold"], *(cell for way in ways for cell in (words[way], words["of"]))]
    rows = [
        (one["gold"], *(cell for way in ways for cell in ((one[way]["value"], between(one[way])) if way in one else (None, ""))))
        for one in worth["curves"]
    ]  # fmt: skip
    return [
        p.lines(
            {name: points for name, points in series.items() if points}, x=words["gold"], y=words["score"], dots=True
        ),
        p.table(heads, rows, show=p.share, sort=False),
    ]
