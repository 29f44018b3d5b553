"""What a certificate says, in English and Chinese."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

WORDS: dict[str, dict[str, str]] = {
    "none_drawn": {
        "en": "Nothing is certified yet: no record was drawn for people to check.",
        "zh": "尚无结论：还没有抽取供人检查的记录。",
    },
    "none_checked": {
        "en": "Nothing is certified yet: {drawn:,} records were drawn and nobody has checked one.",
        "zh": "尚无结论：已抽取 {drawn:,} 条记录，还没有人检查。",
    },
    "found": {
        "en": "{value:.1%} of the {records:,} constructed targets are right ({low:.1%} to {high:.1%}), by {checked:,} checks.",
        "zh": "{records:,} 条构建的标注中有 {value:.1%} 正确（{low:.1%} 至 {high:.1%}），依据 {checked:,} 次人工检查。",
    },
    "fails": {
        "en": "At least {least:.1%} was asked, and the certificate cannot say so: {why}.",
        "zh": "要求至少 {least:.1%}，证书无法给出这一保证：{why}。",
    },
    "fails_below": {"en": "even the high end of the interval is below it", "zh": "连区间上限也低于要求"},
    "fails_low": {
        "en": "the low end of the interval is {low:.1%}",
        "zh": "区间下限只有 {low:.1%}",
    },
    "fails_early": {
        "en": "before the interval is narrow enough the low end that holds at every look counts, and it is {low:.1%}",
        "zh": "在区间足够窄之前，以随时查看都成立的下限为准，它是 {low:.1%}",
    },
    "fails_unknown": {"en": "nothing was checked", "zh": "还没有任何检查"},
    "holds": {
        "en": "The asked {least:.1%} holds with {confidence:.0%} confidence.",
        "zh": "要求的 {least:.1%} 在 {confidence:.0%} 置信度下成立。",
    },
    "narrow": {
        "en": "Stop: the interval is ±{half:.1%}, ±{width:.1%} was asked.",
        "zh": "可以停止：区间为 ±{half:.1%}，要求 ±{width:.1%}。",
    },
    "draw": {
        "en": "Draw the records to check: burnish certify RUN",
        "zh": "抽取要检查的记录：burnish certify RUN",
    },
    "check": {
        "en": "Check {more:,} more records (about {minutes:,} minutes) in `burnish review`, then certify again.",
        "zh": "在 `burnish review` 中再检查 {more:,} 条记录（约 {minutes:,} 分钟），然后重新出具证书。",
    },
    "sooner": {
        "en": "Certify again whenever you like, from some {least:,} checks on: good labels need fewer than were drawn.",
        "zh": "检查约 {least:,} 条之后即可随时重新出具证书：标注质量好时不必查完全部抽样。",
    },
    "construct": {
        "en": "The labels are not good enough: look at the pairs that are taken for each other, and mend the labellers.",
        "zh": "标注质量不够：请查看容易混淆的标签对，并修改标注规则。",
    },
    "simple": {
        "en": "Simple random sampling would need about {simple:,} checks for the same width.",
        "zh": "同样的宽度，简单随机抽样约需 {simple:,} 次检查。",
    },
    "after": {
        "en": "With what people corrected carried out: {value:.1%} ({low:.1%} to {high:.1%}).",
        "zh": "按人工更正修改之后：{value:.1%}（{low:.1%} 至 {high:.1%}）。",
    },
    "at_worst": {
        "en": "If all {records} records that nobody could decide were wrong: {value:.1%} ({low:.1%} to {high:.1%}).",
        "zh": "若 {records} 条无法裁定的记录全部有误：{value:.1%}（{low:.1%} 至 {high:.1%}）。",
    },
    "changed": {
        "en": "{count:,} checked targets changed since they were shown; they are judged as they are now.",
        "zh": "{count:,} 条已检查的标注在展示之后有变化；按现在的标注判断。",
    },
    "new": {
        "en": "{count:,} records came since the draw and were never in it: draw again to speak of them.",
        "zh": "抽样之后新增 {count:,} 条记录，不在抽样范围内：重新抽样才能覆盖它们。",
    },
    "gone": {"en": "{count:,} drawn or checked records are gone", "zh": "{count:,} 条抽取或检查过的记录已不存在"},
    "skipped": {"en": "{count:,} were skipped", "zh": "{count:,} 条被跳过"},
    "disputed": {
        "en": "{count:,} are disputed: reviewers contradict each other and nobody adjudicated ({ids})",
        "zh": "{count:,} 条有争议：检查者意见相反且无人裁定（{ids}）",
    },
    "stale": {
        "en": "{count:,} were refused as something that they are not any more",
        "zh": "{count:,} 条被拒绝时的标注与现在不同",
    },
    "chosen": {
        "en": "{count:,} were chosen for a look, not drawn at random: they do not count here",
        "zh": "{count:,} 条是挑选出来检查的，并非随机抽取：此处不计",
    },
    "unreadable": {
        "en": "{count:,} lines of the verdicts could not be read",
        "zh": "检查记录中有 {count:,} 行无法读取",
    },
    "aside": {"en": "Not counted: {reasons}.", "zh": "未计入：{reasons}。"},
}


def say(what: str, language: str, /, **values: Any) -> str:
    """One sentence in a language ("en" for any other than "zh")."""
    return WORDS[what]["zh" if language == "zh" else "en"].format(**values)


def minutes(records: float, seconds: float) -> int:
    """Whole minutes that so many records take."""
    return max(1, math.ceil(records * seconds / 60))


def sentences(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """verdict, tone, grounds, next and headline of a certificate in its own language, and all of it in both under `said`."""
    said = {language: _sentences(numbers, language) for language in ("en", "zh")}
    found = numbers.get("accuracy")
    headline = {"accuracy": round(found["value"], 4), "low": round(found["low"], 4), "high": round(found["high"], 4), "checked": found["checked"]} if found else {"checked": 0}  # fmt: skip
    return {**said[numbers["language"]], "headline": headline, "said": said}


def _sentences(numbers: Mapping[str, Any], language: str) -> dict[str, Any]:
    found, asked = numbers.get("accuracy"), numbers["asked"]
    least, width = asked["min_accuracy"], asked["width"]
    if found is None:
        verdict = say("none_checked" if numbers["drawn"] else "none_drawn", language, **numbers)
        first = _check(numbers["drawn"], numbers, language) if numbers["drawn"] else say("draw", language)
        if least is not None:
            verdict += " " + say("fails", language, least=least, why=say("fails_unknown", language))
        soon = [say("sooner", language, least=numbers["least"])] if numbers["drawn"] > numbers["least"] else []
        return {"verdict": verdict, "tone": "bad" if least is not None else "look", "grounds": _aside(numbers, language), "next": [first, *soon]}  # fmt: skip
    verdict = say("found", language, **found | {"records": numbers["records"]})
    tone = "good" if numbers["narrow"] else "look"
    then: list[str] = []
    if least is not None:
        tone = "good" if numbers["holds"] else "bad"
        verdict += ("" if language == "zh" else " ") + _held(numbers, language)
    if least is not None and not numbers["holds"] and (numbers["narrow"] or found["high"] < least):
        then.append(say("construct", language))
    elif numbers["narrow"]:
        then.append(say("narrow", language, half=found["half_width"], width=width))
    else:
        then.append(_check(numbers["more"], numbers, language))
    grounds = [say("simple", language, simple=numbers["simple"])]
    for name, key in (("after", "after_review"), ("at_worst", "at_worst")):
        if key in numbers:
            grounds.append(say(name, language, **numbers[key]))
    if numbers["changed_since"]:
        grounds.append(say("changed", language, count=numbers["changed_since"]))
    if numbers["new_since"]:
        grounds.append(say("new", language, count=numbers["new_since"]))
    worth = (numbers.get("worth") or {}).get("said", {}).get(language)
    return {"verdict": verdict, "tone": tone, "grounds": grounds + _aside(numbers, language), "next": then + ([worth] if worth else [])}  # fmt: skip


def _held(numbers: Mapping[str, Any], language: str) -> str:
    found, least = numbers["accuracy"], numbers["asked"]["min_accuracy"]
    if numbers["holds"]:
        return say("holds", language, least=least, confidence=numbers["asked"]["confidence"])
    if found["high"] < least:
        why = say("fails_below", language)
    elif numbers["narrow"]:
        why = say("fails_low", language, low=found["low"])
    else:
        why = say("fails_early", language, low=found["any_look"]["low"])
    return say("fails", language, least=least, why=why)


def _check(more: int, numbers: Mapping[str, Any], language: str) -> str:
    return say("check", language, more=more, minutes=minutes(more, numbers["seconds_a_record"]))


def _aside(numbers: Mapping[str, Any], language: str) -> list[str]:
    reasons = [
        say(name, language, count=one["count"], ids=", ".join(one["ids"][:5])) for name, one in numbers["set_aside"].items()
    ]  # fmt: skip
    if numbers["unreadable"]:
        reasons.append(say("unreadable", language, count=len(numbers["unreadable"])))
    return [say("aside", language, reasons=("；" if language == "zh" else "; ").join(reasons))] if reasons else []
