"""Verdicts as Argilla's records with responses, and back.

One question a target: label, multi-label, span, rating or text; beside them an optional label question `verdict` to reject a
record. Argilla has no question for relations: they are lines of a text question, "START-END LABEL START-END" in characters.
Of a conversation the last answer of the assistant is asked. A response of a user is that user's verdict: discarded ones
are skipped records. The verdicts they were made of go along in the metadata; a response that was not changed there comes
back as it went.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from burnish.review.label_studio import REJECT, VERDICT, Rows, name_of
from burnish.review.targets import shown
from burnish.review.verdicts import Verdict, canonical
from burnish.tasks.editors import Editor, put, reach

OURS = "burnish_verdicts"  # metadata: verdicts as JSON, by user
MOST_RATING = 10  # Argilla's ratings are whole numbers from 0 to this
_RELATION = re.compile(r"(\d+)-(\d+) (.+) (\d+)-(\d+)")


def user_of(reviewer: str) -> str:
    """The id of a user for a reviewer's name: Argilla's are UUIDs."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"burnish:reviewer:{reviewer}"))


def settings(editors: Sequence[Editor], marks: Sequence[str] = ()) -> dict[str, Any]:
    """Fields and questions of a data set: {"fields": [{"name", "type"}], "questions": [{"name", "type", ...}]}."""
    talk = any(editor.kind == "messages" for editor in editors)
    pair = any(editor.over == "text_b" or "text_b" in editor.panes for editor in editors)
    fields = [{"name": "messages", "type": "chat"}] if talk else [{"name": "text", "type": "text"}]
    fields += [{"name": "text_b", "type": "text"}] if pair else []
    questions = [_question(editor, tuple(editor.labels) or tuple(marks)) for editor in editors]
    return {
        "fields": fields,
        "questions": [*questions, {"name": VERDICT, "type": "label", "labels": [REJECT], "required": False}],
    }


def _question(editor: Editor, labels: tuple[str, ...]) -> dict[str, Any]:
    about: dict[str, Any] = {"name": name_of(editor), "required": False}
    match editor.kind:
        case "label":
            return about | {"type": "label", "labels": list(labels)}
        case "labels":
            return about | {"type": "multi_label", "labels": list(labels)}
        case "spans":
            return about | {
                "type": "span",
                "field": editor.over,
                "labels": list(labels) or ["span"],
                "allow_overlapping": editor.nested,
            }
        case "answer":
            return about | {"type": "span", "field": editor.over, "labels": ["answer"], "allow_overlapping": False}
        case "value" if _rated(editor):
            return about | {
                "type": "rating",
                "values": list(range(round(editor.low or 0), round(editor.high or 0) + 1)),
            }
    return about | {"type": "text"}


def _rated(editor: Editor) -> bool:
    """Whether a number is one of Argilla's ratings."""
    return editor.step == 1 and editor.low == 0 and editor.high is not None and editor.high <= MOST_RATING


def said(target: Mapping[str, Any] | None, row: Mapping[str, Any], editors: Sequence[Editor]) -> dict[str, Any]:
    """A target as values of questions, by name; questions without a value are left out."""
    made = {name_of(one): _value(one, reach(target or {}, one.path), target or {}) for one in editors}
    return {name: value for name, value in made.items() if value is not None}


def _value(editor: Editor, value: Any, target: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    match editor.kind:
        case "spans":
            return [{"start": one["start"], "end": one["end"], "label": one["label"]} for one in value]
        case "relations":
            spans = target.get("spans") or []
            ends = [f"{one['start']}-{one['end']}" for one in spans]
            return "\n".join(f"{ends[one['head']]} {one['label']} {ends[one['tail']]}" for one in value)
        case "answer":
            start = value.get("start")
            there = value.get("text") and start is not None and start >= 0
            return [{"start": start, "end": start + len(value["text"]), "label": "answer"}] if there else []
        case "value":
            return (
                round(value)
                if _rated(editor) and float(value).is_integer()
                else None
                if _rated(editor)
                else f"{value!r}"
            )
        case "messages":
            return value[-1]["content"] if value and value[-1]["role"] == "assistant" else None
        case "labels":
            return list(value)
    return value


def export(
    rows: Rows, editors: Sequence[Editor], verdicts: Mapping[str, Mapping[str, Verdict]]
) -> Iterator[dict[str, Any]]:
    """Records as `argilla.Record.from_dict` takes them: fields, suggestions, responses by question, metadata."""
    for one, row in rows.items():
        fields = {name: row[name] for name in ("text", "text_b", "messages") if row.get(name) is not None}
        hints = {
            name: {"value": value, "score": row.get("confidence"), "agent": row.get("label_from")}
            for name, value in said(shown(row, editors), row, editors).items()
        }
        responses: dict[str, list[dict[str, Any]]] = {}
        for verdict in verdicts.get(one, {}).values():
            for name, value in _responses(verdict, row, editors).items():
                status = "discarded" if verdict.verdict == "skip" else "submitted"
                responses.setdefault(name, []).append(
                    {"value": value, "user_id": user_of(verdict.reviewer), "status": status}
                )
        kept = {user_of(v.reviewer): json.loads(v.line()) for v in verdicts.get(one, {}).values()}
        metadata = {OURS: json.dumps(kept, ensure_ascii=False)} if kept else {}
        yield {"id": one, "fields": fields, "metadata": metadata, "suggestions": hints, "responses": responses}


def _responses(verdict: Verdict, row: Mapping[str, Any], editors: Sequence[Editor]) -> dict[str, Any]:
    """What a verdict answers to each question. A skipped record is a discarded answer that says what was shown."""
    if verdict.verdict == "reject":
        return {VERDICT: REJECT}
    target = verdict.decided if verdict.verdict != "skip" else verdict.was
    return said(target, row, editors) or {name_of(editors[0]): ""}


def read(records: Sequence[Mapping[str, Any]], rows: Rows, editors: Sequence[Editor]) -> Iterator[Verdict]:
    """The verdicts of exported records; drafts are none. ValueError names the record that is none."""
    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping) or not isinstance(record.get("fields"), Mapping):
            raise ValueError(f"record {number} has no fields: export with dataset.records.to_json")
        one = str(record.get("id"))
        row = rows.get(one)
        if row is None:
            continue
        kept = json.loads((record.get("metadata") or {}).get(OURS) or "{}")
        by: dict[str, dict[str, Any]] = {}
        status: dict[str, str] = {}
        for name, responses in (record.get("responses") or {}).items():
            for response in responses:
                user = str(response["user_id"])
                by.setdefault(user, {})[name] = response["value"]
                status[user] = str(response.get("status") or "submitted").rsplit(".", 1)[-1]
        for user, answers in by.items():
            if status[user] != "draft":
                yield _verdict(one, user, answers, status[user] == "discarded", kept.get(user), row, editors)


def _verdict(
    one: str,
    user: str,
    answers: Mapping[str, Any],
    discarded: bool,
    ours: Mapping[str, Any] | None,
    row: Mapping[str, Any],
    editors: Sequence[Editor],
) -> Verdict:
    if ours is not None:
        kept = Verdict.of({**ours, "id": one})
        # a plain export of Argilla's (`Record.to_dict`) leaves the status out: a discarded answer is known by what it says
        if _responses(kept, row, editors) == dict(answers) and (kept.verdict == "skip" or not discarded):
            return kept
    was = shown(row, editors)
    told = {"id": one, "reviewer": str((ours or {}).get("reviewer") or user), "was": was}
    if discarded:
        return Verdict.of({**told, "verdict": "skip"})
    if answers.get(VERDICT) == REJECT:
        return Verdict.of({**told, "verdict": "reject"})
    target = target_of(answers, row, editors)
    return Verdict.of(
        {**told, "verdict": "accept" if canonical(target) == canonical(was) else "change", "target": target}
    )


def target_of(answers: Mapping[str, Any], row: Mapping[str, Any], editors: Sequence[Editor]) -> dict[str, Any]:
    """The target that answers say."""
    made: dict[str, Any] = {}
    for editor in editors:
        put(made, editor.path, _read(editor, answers.get(name_of(editor)), row, made))
    return made


def _read(editor: Editor, value: Any, row: Mapping[str, Any], made: Mapping[str, Any]) -> Any:
    text = row.get(editor.over) or ""
    match editor.kind:
        case "spans" | "labels":
            return list(value or ())
        case "relations":
            places = {(one["start"], one["end"]): at for at, one in enumerate(made.get("spans") or ())}
            found = [_RELATION.fullmatch(line.strip()) for line in (value or "").splitlines() if line.strip()]
            if None in found:
                raise ValueError(f"a relation is START-END LABEL START-END, not {value!r}")
            ends = [((int(one[1]), int(one[2])), one[3], (int(one[4]), int(one[5]))) for one in found if one]
            return [
                {"head": places[a], "tail": places[b], "label": label}
                for a, label, b in ends
                if a in places and b in places
            ]
        case "answer" if value is not None:
            if not value:
                return {"text": "", "start": None}
            return {"text": text[value[0]["start"] : value[0]["end"]], "start": value[0]["start"]}
        case "value" if value is not None:
            return float(value)
        case "messages":
            turns = [dict(one) for one in row.get("messages") or ()]
            if value is not None and turns and turns[-1]["role"] == "assistant":
                return [*turns[:-1], {"role": "assistant", "content": value}]
            return [*turns, {"role": "assistant", "content": value}] if value is not None else turns
    return value
