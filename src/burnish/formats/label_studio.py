"""Label Studio's JSON: tasks with annotations, predictions out of votes, and the labelling interface that shows them."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from burnish.core.artifacts import Records
from burnish.core.records import Record, Reject
from burnish.core.rows import MAX_CHARS
from burnish.formats.base import FORMATS, Format, Look, Parsed, Told, Unfit, about, about_of, used, whole, write_objects
from burnish.formats.json_items import objects

LOOKED_AT = 2000  # tasks
INPUTS = ("text", "text_b", "messages")


@FORMATS.part("label_studio")
@dataclass(frozen=True)
class LabelStudio(Format):
    """Tasks of Label Studio. The interface is written beside them, NAME.config.xml: paste it into the project's settings.

    Read: the newest annotation that nobody skipped is the target (the one marked as ground truth before all), the other
    annotations and all predictions become votes. Offsets are in characters.

    text: the key of a task's data that holds the text; the only one that is a text when there is no such key.
    choices: what a choice is: "label", or "labels" where one may make several; "auto" tells by the first tasks.
    predictions: write the votes of the records as predictions, one a labeller.
    """

    text: str = "text"
    choices: Literal["auto", "label", "labels"] = "auto"
    predictions: bool = True

    suffix: ClassVar[str] = ".json"

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        found = objects(path, shown=shown, max_chars=max_chars, item_chars=16 * max_chars)
        if self.choices == "auto":
            first = itertools.islice(objects(path, shown=shown, item_chars=16 * max_chars), LOOKED_AT)
            several = any(_several(one[1]) for one in first if not isinstance(one, Reject))
            yield from replace(self, choices="labels" if several else "label").read(
                path, shown=shown, max_chars=max_chars
            )
            return
        for item in found:
            if isinstance(item, Reject):
                yield item
                continue
            line, task, raw = item
            try:
                yield line, self._record(task), raw
            except ValueError as error:
                yield Reject(shown, line, str(error), raw[:2000])

    def _record(self, task: dict[str, Any]) -> dict[str, Any]:
        data = task.get("data")
        if not isinstance(data, dict):
            raise ValueError("wrong type: the task has no data")
        text = data.get(self.text)
        if text is None and not data.get("messages"):
            texts = [key for key, value in data.items() if isinstance(value, str) and key != "id"]
            if len(texts) != 1:
                raise ValueError(
                    f"missing field: no {self.text!r} in data; there are: {', '.join(data)[:200] or 'none'}"
                )
            text = data[texts[0]]
        made = about_of(data, (*INPUTS, self.text, "question", "context"))
        made |= {"text": text} | {name: data[name] for name in ("text_b", "messages") if data.get(name)}
        if made.get("id") is None and task.get("id") is not None:
            made["id"] = task["id"]
        done = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
        done.sort(key=lambda one: (bool(one.get("ground_truth")), str(one.get("updated_at") or "")))
        if done:
            made |= self._target(done[-1])
        votes = [
            vote
            for one, name in [
                *((one, f"annotator {one.get('completed_by') or at}") for at, one in enumerate(done[:-1])),
                *((one, str(one.get("model_version") or "prediction")) for one in task.get("predictions") or ()),
            ]
            for vote in _votes(self._target(one), name, one.get("score"))
        ]
        return made | ({"votes": votes} if votes else {})

    def _target(self, one: dict[str, Any]) -> dict[str, Any]:
        made = _target(one.get("result") or [])
        if self.choices == "label" and len(names := made.get("labels", ())) == 1:
            made["label"] = names[0]
            del made["labels"]
        return made

    def write(self, records: Records, out: Path, told: Told) -> None:
        columns, seen = used(records), _Seen()

        def tasks() -> Iterator[dict[str, Any]]:
            for number, record in enumerate(records, start=1):
                try:
                    task, held = self._task(number, record, columns, seen)
                except Unfit as error:
                    told.leave(record, str(error))
                    continue
                told.wrote(record, held)
                if self.predictions and any(vote.get("tail_start") is not None for vote in record.votes):
                    told.changed["votes on relations: no prediction says them"] += 1
                if record.spans == [] or record.relations == []:
                    told.changed["spans or relations: an empty list comes back as none said"] += 1
                yield task

        write_objects(tasks(), out, told)
        with whole(out.with_suffix(".config.xml")) as file:
            file.write(seen.interface())
        told.files.append(out.with_suffix(".config.xml").name)

    def _task(
        self, number: int, record: Record, columns: frozenset[str], seen: _Seen
    ) -> tuple[dict[str, Any], set[str]]:
        if record.text is None and not record.messages:
            raise Unfit("nothing to show: there is neither text nor messages")
        data = about(record, columns) | {name: value for name in INPUTS if (value := getattr(record, name)) is not None}
        seen.inputs.update(name for name in INPUTS if name in data)
        task: dict[str, Any] = {"id": number, "data": data}
        if result := _result(record, seen):
            task["annotations"] = [
                {"result": result, "was_cancelled": False, "ground_truth": record.label_from == "gold"}
            ]
        if self.predictions and record.votes:
            task["predictions"] = _predictions(record, seen)
        targets = {"label", "labels", "value", "spans", "relations", "output"}
        return task, {*data, *INPUTS, *targets, *(("answer",) if seen.answer(record) else ())}

    @classmethod
    def fits(cls, look: Look) -> str:
        if look.every("data") and all(isinstance(row["data"], dict) for row in look.rows):
            return "its items are tasks with data"
        return ""


def _several(task: dict[str, Any]) -> bool:
    """Whether an annotation of a task makes several choices, or none."""
    results = [one for done in task.get("annotations") or () for one in done.get("result") or ()]
    return any(
        len((one.get("value") or {}).get("choices", [0])) != 1 for one in results if one.get("type") == "choices"
    )


class _Seen:
    """What the records had, for the interface that shows them."""

    def __init__(self) -> None:
        self.inputs: set[str] = set()
        self.choices: dict[str, None] = {}
        self.spans: dict[str, None] = {}
        self.relations: dict[str, None] = {}
        self.several = self.written = self.number = False

    @staticmethod
    def answer(record: Record) -> bool:
        return record.answer is not None and record.answer.get("start") is not None

    def interface(self) -> str:
        """The labelling configuration (XML)."""
        shown = "text_b" if "text_b" in self.inputs and "text" not in self.inputs else "text"
        lines = ["<View>"]
        if "messages" in self.inputs:
            lines.append(
                '  <Paragraphs name="messages" value="$messages" layout="dialogue" nameKey="role" textKey="content"/>'
            )
        if "text" in self.inputs or not self.inputs:
            lines.append(f'  <Text name="text" value="${shown}"/>')
        if "text_b" in self.inputs:
            lines.append('  <Text name="text_b" value="$text_b"/>')
        to = "text" if "text" in self.inputs or not self.inputs else "messages"

        def listed(tag: str, names: dict[str, None]) -> list[str]:
            return [f'    <{tag} value="{html.escape(name)}"/>' for name in sorted(names)]

        if self.choices:
            many = "multiple" if self.several else "single"
            lines += [
                f'  <Choices name="label" toName="{to}" choice="{many}">',
                *listed("Choice", self.choices),
                "  </Choices>",
            ]
        if self.spans:
            lines += [f'  <Labels name="spans" toName="{to}">', *listed("Label", self.spans), "  </Labels>"]
        if self.relations:
            lines += ["  <Relations>", *listed("Relation", self.relations), "  </Relations>"]
        if self.written:
            lines.append(f'  <TextArea name="output" toName="{to}" editable="true"/>')
        if self.number:
            lines.append(f'  <Number name="value" toName="{to}"/>')
        return "\n".join([*lines, "</View>", ""])


def _item(name: str, to: str, kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": to, "type": kind, "value": value} | more


def _result(record: Record, seen: _Seen) -> list[dict[str, Any]]:
    to = "text" if record.text is not None else "messages"
    made: list[dict[str, Any]] = []
    if record.label is not None or record.labels is not None:
        names = record.labels if record.labels is not None else [record.label or ""]
        seen.choices |= dict.fromkeys(names)
        seen.several = seen.several or record.labels is not None
        made.append(_item("label", to, "choices", {"choices": names}))
    for at, one in enumerate(record.spans or ()):
        seen.spans[one["label"]] = None
        made.append(_mark(one, record.text or "", at, to))
    for one in record.relations or ():
        seen.relations[one["label"]] = None
        made.append({"type": "relation", "from_id": f"s{one['head']}", "to_id": f"s{one['tail']}",
                     "direction": "right", "labels": [one["label"]]})  # fmt: skip
    if record.answer is not None and record.answer.get("start") is not None:
        seen.spans["answer"] = None
        start = record.answer["start"]
        span = {"start": start, "end": start + len(record.answer["text"]), "label": "answer"}
        made.append(
            _mark(span, record.text_b or record.text or "", 0, "text_b" if record.text_b else to) | {"id": "answer"}
        )
    if record.output is not None:
        seen.written = True
        made.append(_item("output", to, "textarea", {"text": [record.output]}))
    if record.value is not None:
        seen.number = True
        made.append(_item("value", to, "number", {"number": record.value}))
    return made


def _mark(one: dict[str, Any], text: str, at: int, to: str) -> dict[str, Any]:
    value = {
        "start": one["start"],
        "end": one["end"],
        "text": text[one["start"] : one["end"]],
        "labels": [one["label"]],
    }
    return _item("spans", to, "labels", value, id=f"s{at}")


def _predictions(record: Record, seen: _Seen) -> list[dict[str, Any]]:
    """Votes as predictions, one a labeller."""
    to = "text" if record.text is not None else "messages"
    made: dict[str, dict[str, Any]] = {}
    for vote in record.votes:
        if vote.get("tail_start") is not None:
            continue  # a vote on a relation: counted in `write`
        one = made.setdefault(
            vote["labeller"], {"model_version": vote["labeller"], "score": vote.get("confidence"), "result": []}
        )
        if vote.get("start") is not None and vote.get("label") is not None:
            seen.spans[vote["label"]] = None
            span = {"start": vote["start"], "end": vote["end"], "label": vote["label"]}
            one["result"].append(_mark(span, record.text or "", len(one["result"]), to))
        elif vote.get("label") is not None:
            seen.choices[vote["label"]] = None
            one["result"].append(_item("label", to, "choices", {"choices": [vote["label"]]}))
        elif vote.get("text") is not None:
            seen.written = True
            one["result"].append(_item("output", to, "textarea", {"text": [vote["text"]]}))
    return list(made.values())


def _target(result: list[dict[str, Any]]) -> dict[str, Any]:
    """The target fields that a result says."""
    made: dict[str, Any] = {}
    places: dict[Any, int] = {}
    for one in result:
        value = one.get("value") or {}
        if one.get("type") == "choices":
            names = value.get("choices") or []
            made["labels"] = names
        elif one.get("type") in ("labels", "hypertextlabels") and one.get("id") == "answer":
            made["answer"] = {"text": value.get("text", ""), "start": value.get("start")}
        elif one.get("type") in ("labels", "hypertextlabels"):
            start, end = value.get("start"), value.get("end")
            for label in value.get("labels") or value.get("hypertextlabels") or ():
                places.setdefault(one.get("id"), len(made.setdefault("spans", [])))
                made["spans"].append({"start": start, "end": end, "label": label})
        elif one.get("type") == "textarea":
            said = value.get("text")
            made["output"] = said if isinstance(said, str) else "\n".join(said or ())
        elif one.get("type") in ("number", "rating"):
            made["value"] = value.get("number", value.get("rating"))
    for one in result:
        if one.get("type") == "relation":
            ends = places.get(one.get("from_id")), places.get(one.get("to_id"))
            if None in ends:
                raise ValueError("relation: it names a region that is not there")
            label = (one.get("labels") or ["related"])[0]
            made.setdefault("relations", []).append({"head": ends[0], "tail": ends[1], "label": label})
    return made


def _votes(target: dict[str, Any], labeller: str, score: Any) -> list[dict[str, Any]]:
    confidence = float(score) if isinstance(score, int | float) and not isinstance(score, bool) else 1.0
    base = {"labeller": labeller, "confidence": min(max(confidence, 0.0), 1.0)}
    names = [target["label"]] if "label" in target else target.get("labels", [])
    votes = [base | {"label": name} for name in names]
    votes += [base | one for one in target.get("spans", ())]
    return votes + ([base | {"text": target["output"]}] if "output" in target else [])
