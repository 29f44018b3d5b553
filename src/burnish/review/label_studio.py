"""Verdicts as Label Studio's tasks and annotations, and back.

One control a target: Choices, Labels with Relations, Number, TextArea; beside them a Choices `verdict` to reject a record.
What the record holds goes along as a prediction, so that people there correct as they do here. A conversation's assistant
turns are the lines of a TextArea, in order. Each annotation carries the verdict it was made of; one that was not changed
there comes back as it went, with its time and reviewer.

Places: Label Studio counts characters (code points) since 1.4, halves of some (UTF-16) before; the `text` of a region says
which, where the two differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from burnish.review.targets import shown
from burnish.review.verdicts import Verdict, canonical
from burnish.tasks.editors import Editor, put, reach

TALK = "conversation"  # the name of what a conversation is shown by
OURS = "burnish"  # what we add to an annotation; Label Studio's import leaves it out
VERDICT, REJECT = "verdict", "reject"
NO_ANSWER = "no answer"
Rows = Mapping[str, Mapping[str, Any]]  # record id -> open row


def name_of(editor: Editor) -> str:
    """The name of a control: of its kind, after its task's among several."""
    return f"{editor.name}_{editor.kind}" if editor.name else editor.kind


def config(editors: Sequence[Editor], marks: Sequence[str] = ()) -> str:
    """The labelling interface for a project, in Label Studio's XML. marks: labels of spans that the records have."""
    talk = any(editor.kind == "messages" for editor in editors)
    pair = any(editor.over == "text_b" or "text_b" in editor.panes for editor in editors)
    parts = ['<Paragraphs name="conversation" value="$messages" nameKey="role" textKey="content" layout="dialogue"/>'] if talk else ['<Text name="text" value="$text"/>']  # fmt: skip
    if pair:
        parts.append('<Text name="text_b" value="$text_b"/>')
    for editor in editors:
        name, to = quoteattr(name_of(editor)), quoteattr(TALK if talk else editor.over)
        labels = editor.labels or tuple(marks)
        match editor.kind:
            case "label" | "labels":
                choice = "single" if editor.kind == "label" else "multiple"
                inside = "".join(f"<Choice value={quoteattr(one)}/>" for one in labels)
                parts.append(f'<Choices name={name} toName={to} choice="{choice}">{inside}</Choices>')
            case "spans":
                inside = "".join(f"<Label value={quoteattr(one)}/>" for one in labels or ("span",))
                parts.append(f"<Labels name={name} toName={to}>{inside}</Labels>")
            case "relations":
                parts.append(
                    "<Relations>" + "".join(f"<Relation value={quoteattr(one)}/>" for one in labels) + "</Relations>"
                )
            case "answer":
                parts.append(f'<Labels name={name} toName={to}><Label value="answer"/></Labels>')
                none = quoteattr(f"{name_of(editor)}_none")
                parts.append(
                    f'<Choices name={none} toName={to} choice="single"><Choice value="{NO_ANSWER}"/></Choices>'
                )
            case "value":
                ends = {"min": editor.low, "max": editor.high, "step": editor.step}
                told = "".join(f' {key}="{value:g}"' for key, value in ends.items() if value is not None)
                parts.append(f"<Number name={name} toName={to}{told}/>")
            case "output" | "messages":
                parts.append(f'<TextArea name={name} toName={to} editable="true"/>')
    to = quoteattr(TALK if talk else "text")
    parts.append(f'<Choices name="{VERDICT}" toName={to} choice="single"><Choice value="{REJECT}"/></Choices>')
    return "<View>\n  " + "\n  ".join(parts) + "\n</View>\n"


def export(
    rows: Rows, editors: Sequence[Editor], said: Mapping[str, Mapping[str, Verdict]]
) -> Iterator[dict[str, Any]]:
    """Tasks of open rows with their annotations: one a reviewer, and a prediction where the record has a target."""
    for one, row in rows.items():
        target = shown(row, editors)
        data = {"id": one, **{name: row[name] for name in ("text", "text_b", "messages") if row.get(name) is not None}}
        result = regions(target, row, editors)
        made: dict[str, Any] = {
            "data": data,
            "annotations": [annotation(v, row, editors) for v in said.get(one, {}).values()],
        }
        if result:
            made["predictions"] = [{"model_version": "burnish", "score": row.get("confidence"), "result": result}]
        yield made


def annotation(verdict: Verdict, row: Mapping[str, Any], editors: Sequence[Editor]) -> dict[str, Any]:
    """A verdict as an annotation; a skipped record is a cancelled one."""
    to = TALK if any(editor.kind == "messages" for editor in editors) else "text"
    result = regions(verdict.decided, row, editors)
    if verdict.verdict == "reject":
        result = [_region(VERDICT, to, "choices", {"choices": [REJECT]}, "v")]
    return {
        "result": result,
        "was_cancelled": verdict.verdict == "skip",
        "lead_time": verdict.seconds,
        OURS: {
            name: getattr(verdict, name)
            for name in ("reviewer", "verdict", "at", "target", "was", "draw", "adjudicates")
        },
    }


def _region(name: str, to: str, kind: str, value: Mapping[str, Any], at: str) -> dict[str, Any]:
    return {"id": f"{name}-{at}", "from_name": name, "to_name": to, "type": kind, "value": dict(value)}


def regions(
    target: Mapping[str, Any] | None, row: Mapping[str, Any], editors: Sequence[Editor]
) -> list[dict[str, Any]]:
    """A target as a list of regions; [] of none."""
    made: list[dict[str, Any]] = []
    spans_of: Editor | None = None
    talk = any(editor.kind == "messages" for editor in editors)
    for editor in editors:
        name, to, value = name_of(editor), TALK if talk else editor.over, reach(target or {}, editor.path)
        text = row.get(editor.over) or ""
        if editor.kind == "spans":
            spans_of = editor
        if value is None:
            continue
        match editor.kind:
            case "label":
                made.append(_region(name, to, "choices", {"choices": [value]}, "0"))
            case "labels" if value:
                made.append(_region(name, to, "choices", {"choices": list(value)}, "0"))
            case "spans":
                for at, one in enumerate(value):
                    where = {"start": one["start"], "end": one["end"], "text": text[one["start"] : one["end"]]}
                    made.append(_region(name, to, "labels", {**where, "labels": [one["label"]]}, str(at)))
            case "relations" if spans_of is not None:
                own = name_of(spans_of)
                made += [
                    {"type": "relation", "from_id": f"{own}-{one['head']}", "to_id": f"{own}-{one['tail']}", "direction": "right", "labels": [one["label"]]}
                    for one in value
                ]  # fmt: skip
            case "answer" if not value.get("text"):
                made.append(_region(f"{name}_none", to, "choices", {"choices": [NO_ANSWER]}, "0"))
            case "answer":
                start = value["start"] if value.get("start") is not None else text.find(value["text"])
                where = {"start": start, "end": start + len(value["text"]), "text": value["text"]}
                made.append(_region(name, to, "labels", {**where, "labels": ["answer"]}, "0"))
            case "value":
                made.append(_region(name, to, "number", {"number": value}, "0"))
            case "output":
                made.append(_region(name, to, "textarea", {"text": [value]}, "0"))
            case "messages":
                turns = [one["content"] for one in value if one["role"] == "assistant"]
                if turns:
                    made.append(_region(name, to, "textarea", {"text": turns}, "0"))
    return made


def read(tasks: Sequence[Mapping[str, Any]], rows: Rows, editors: Sequence[Editor]) -> Iterator[Verdict]:
    """The verdicts of exported tasks. Tasks of other records are left out. ValueError names the task that is none."""
    for number, task in enumerate(tasks, 1):
        data = task.get("data") if isinstance(task, Mapping) else None
        if not isinstance(data, Mapping):
            raise ValueError(f"task {number} has no data: export as JSON, not as JSON_MIN")
        row = rows.get(str(data.get("id")))
        for one in task.get("annotations") or () if row is not None else ():
            yield _verdict(str(data["id"]), one, row or {}, editors)


def _verdict(one: str, given: Mapping[str, Any], row: Mapping[str, Any], editors: Sequence[Editor]) -> Verdict:
    ours = given.get(OURS)
    if isinstance(ours, Mapping):
        kept = Verdict.of({**ours, "id": one, "seconds": given.get("lead_time")})
        same = annotation(kept, row, editors)
        if same["result"] == given.get("result") and same["was_cancelled"] == bool(given.get("was_cancelled")):
            return kept
    who = given.get("completed_by")
    who = who.get("email") or who.get("id") if isinstance(who, Mapping) else who
    who = str(who if who is not None else (ours or {}).get("reviewer") or "label studio")
    told = {
        "id": one,
        "reviewer": who,
        "at": str(given.get("updated_at") or given.get("created_at") or ""),
        "seconds": given.get("lead_time") or 0,
    }
    was = shown(row, editors)
    result = given.get("result") or []
    if given.get("was_cancelled"):
        return Verdict.of({**told, "verdict": "skip", "was": was})
    if any(
        region.get("from_name") == VERDICT and REJECT in (region.get("value") or {}).get("choices", ())
        for region in result
    ):
        return Verdict.of({**told, "verdict": "reject", "was": was})
    target = target_of(result, row, editors)
    verdict = "accept" if canonical(target) == canonical(was) else "change"
    return Verdict.of({**told, "verdict": verdict, "target": target, "was": was})


def target_of(result: Sequence[Mapping[str, Any]], row: Mapping[str, Any], editors: Sequence[Editor]) -> dict[str, Any]:
    """The target that regions say. Where spans, labels of several and relations have no region there are none of them."""
    by: dict[str, list[Mapping[str, Any]]] = {}
    for region in result:
        by.setdefault(str(region.get("from_name") or region.get("type")), []).append(region)
    made: dict[str, Any] = {}
    places: dict[str, int] = {}
    for editor in editors:
        own = by.get(name_of(editor), [])
        value: Any = None
        match editor.kind:
            case "label":
                value = own[0]["value"]["choices"][0] if own and own[0]["value"].get("choices") else None
            case "labels":
                value = [
                    one for one in editor.labels if any(one in region["value"].get("choices", ()) for region in own)
                ]
            case "spans":
                value = []
                for region in own:
                    places[str(region.get("id"))] = len(value)
                    value.append(_placed(region["value"], row.get(editor.over) or ""))
            case "relations":
                value = [
                    {"head": places[one["from_id"]], "tail": places[one["to_id"]], "label": label}
                    for one in by.get("relation", [])
                    if one["from_id"] in places and one["to_id"] in places
                    for label in one.get("labels") or ()
                ]
            case "answer" if own:
                placed = _placed(own[0]["value"], row.get(editor.over) or "")
                words = (row.get(editor.over) or "")[placed["start"] : placed["end"]]
                value = {"text": words, "start": placed["start"]}
            case "answer":
                value = {"text": "", "start": None} if by.get(f"{name_of(editor)}_none") else None
            case "value":
                value = float(own[0]["value"]["number"]) if own else None
            case "output":
                value = "\n".join(own[0]["value"]["text"]) if own else None
            case "messages":
                value = rewritten(row.get("messages") or [], own[0]["value"]["text"] if own else [])
        put(made, editor.path, value)
    return made


def rewritten(turns: Sequence[Mapping[str, str]], said: Sequence[str]) -> list[dict[str, str]]:
    """A conversation with the assistant's turns as they are said, in order; one more is put behind its end."""
    left = list(said)
    made = [
        {"role": one["role"], "content": left.pop(0) if one["role"] == "assistant" and left else one["content"]}
        for one in turns
    ]
    return [*made, *({"role": "assistant", "content": one} for one in left[:1])]


def _placed(value: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A region's place in characters, whichever it was counted in."""
    start, end, words = int(value["start"]), int(value["end"]), value.get("text")
    if isinstance(words, str) and text[start:end] != words:
        halves = text.encode("utf-16-le", "surrogatepass")
        try:
            before = halves[: 2 * start].decode("utf-16-le")
            if halves[2 * start : 2 * end].decode("utf-16-le") == words:
                start, end = len(before), len(before) + len(words)
        except UnicodeDecodeError:
            pass
    return {"start": start, "end": end, "label": (value.get("labels") or [""])[0]}
