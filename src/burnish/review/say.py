"""Why a record stands in the queue, in a sentence a person reads, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from burnish.core.chinese import named_in, said_in

FEW = 3  # labellers that a sentence names


def reasons(why: Iterable[Mapping[str, Any]], language: str = "en") -> list[dict[str, Any]]:
    """The parts of a place in the queue, each with its share and its sentence."""
    say = _chinese if language == "zh" else _english
    return [{"part": one["part"], "share": one.get("share", 0.0), "sentence": say(one)} for one in why]


def _sides(one: Mapping[str, Any], label: str, by: str, more: str, comma: str) -> str:
    told = []
    for said, names in sorted(one.get("sides", {}).items(), key=lambda pair: -len(pair[1])):
        distinct = list(dict.fromkeys(names))
        few = comma.join(distinct[:FEW]) + (more.format(len(distinct) - FEW) if len(distinct) > FEW else "")
        told.append(f"{label.format(said)}{by.format(few)}")
    return "; ".join(told) if comma == ", " else "；".join(told)


def _english(one: Mapping[str, Any]) -> str:
    match one["part"]:
        case "nothing":
            return "Nothing speaks against it; it stands here because nothing likelier is left."
        case "disputed":
            return "Reviewers do not agree about it."
        case "disagreement":
            sides = _sides(one, "{}", " ({})", " and {} more", ", ")
            return f"Labellers contradict each other in {one['score']:.0%} of the pairs that can be compared: {sides}."
        case "uncertainty" if not one.get("targeted", True):
            return "It has no target yet: nothing that votes reached it."
        case "uncertainty":
            return f"Its label is not sure: {one['score']:.0%} of the way to a coin toss."
        case "suspicion":
            return f"The audit suspects it ({one.get('check', 'audit')}, score {one['score']:.2f}): {one.get('reason', '')}."
        case "slice":
            where = f"{one['column']} {one['value']}"
            if not one["looked"]:
                return f"Nobody has looked at anything with {where} yet."
            return f"Of {one['looked']} looks at records with {where}, {one['changed']} changed something."
        case "diversity":
            return f"It shares {1 - one['score']:.0%} with the nearest record that was looked at or stands before it."
    return str(one["part"])


def _chinese(one: Mapping[str, Any]) -> str:
    match one["part"]:
        case "nothing":
            return "没有任何迹象表明它有误；排在这里是因为没有更可疑的记录了。"
        case "disputed":
            return "审核者意见不一致。"
        case "disagreement":
            sides = _sides(one, "{}", "（{}）", "等另外 {} 个", "、")
            return f"在可比较的标注者组合中，{one['score']:.0%} 互相矛盾：{sides}。"
        case "uncertainty" if not one.get("targeted", True):
            return "它还没有标注：没有任何投票覆盖到它。"
        case "uncertainty":
            return f"标签不确定：距离“抛硬币”已有 {one['score']:.0%}。"
        case "suspicion":
            check, reason = named_in("zh", "check", one.get("check", "audit")), said_in("zh", one.get("reason") or "")
            return f"质检怀疑它有误（{check}，得分 {one['score']:.2f}）：{reason}。"
        case "slice":
            where = f"{named_in('zh', 'field', one['column'])}为“{one['value']}”"
            if not one["looked"]:
                return f"还没有人看过{where}的记录。"
            return f"{where}的记录看过 {one['looked']} 条，其中 {one['changed']} 条被修改。"
        case "diversity":
            return f"与已看过或排在前面的最相近记录只有 {1 - one['score']:.0%} 相同。"
    return str(one["part"])
