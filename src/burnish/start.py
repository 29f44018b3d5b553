"""`burnish init`: look at the data, ask what cannot be guessed, write a commented spec that runs."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from burnish.core.errors import UsageError
from burnish.core.stage import TaskSpec, nearest
from burnish.core.tasktypes import known_types, open_task, targets_of, task_class
from burnish.core.values import parsed
from burnish.recognise import Seen, paired, recognise

MIN_LANGUAGE_SHARE = 0.1  # a language in fewer of the sampled texts is not named
MAX_LABELS = 200
ABOUT = ("id", "time", "group", "language", "licence")  # fields of a record beside its input and target


def ask_and_write(
    data: Path | None,
    out: Path,
    *,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    text: str | None = None,
    gold: Path | None = None,
    languages: Sequence[str] | None = None,
    name: str | None = None,
    ask: bool = False,
) -> str:
    """Write a spec for `data` to `out`; return what was guessed and what to do next.

    The task is told by the columns (`recognise`); one label a text is meant where they say nothing else. What is given is
    not asked. Without `ask`, every guess is taken; labels that cannot be guessed are an error.
    Raises UsageError when `out` is there already, and when `task` is not what the columns can hold.
    """
    if out.exists():
        raise UsageError(f"{out} is there already", hint="write elsewhere with -o, or move it away")
    if task is not None and task not in known_types():
        raise UsageError(f"unknown task type {task!r}", hint=nearest(task, known_types(), "types are"))
    if data is None:
        given = _question("Where is your raw text (a file, a folder, or a glob)?", "") if ask else ""
        if not given:
            raise UsageError("say where your raw text is", hint="burnish init raw/*.jsonl")
        data = Path(given)
    looked, found = _look(data, task, text, ask)
    spoken = list(languages or _languages(looked["samples"]))
    if ask and not languages:
        spoken = _listed(_question("Languages?", ", ".join(spoken)))
    chosen = list(labels or found.labels)
    least = task_class(found.task).least_labels
    if least and ask and not labels:
        chosen = _listed(_question("Labels?", ", ".join(chosen)))
    if len(chosen) < least:
        raise UsageError(
            f"the labels cannot be guessed from the data; {found.task} needs {'two' if least > 1 else 'one'} or more",
            hint="--labels negative,positive" if least > 1 else "--labels PER,ORG",
        )
    descriptions = (
        {one: _question(f"What is {one!r}, in a few words (helps label without rules)?", "") for one in chosen}
        if ask
        else {}
    )
    gold = gold or (
        Path(answer)
        if ask and (answer := _question("A file of a few checked records (gold), if you have one?", ""))
        else None
    )
    if "label" in found.fields and not set(chosen) <= set(looked["labels"]):
        found = replace(found, fields={key: column for key, column in found.fields.items() if key != "label"})
    found = replace(found, labels=tuple(chosen))
    spec = _spec(data, out, looked, found, spoken, descriptions, gold, name or _name(data))
    out.parent.mkdir(parents=True, exist_ok=True)
    half = out.with_name(f".{out.name}.{os.getpid()}")
    half.write_text(spec, encoding="utf-8")
    os.replace(half, out)
    return _told(out, looked, found, spoken)


def _look(data: Path, task: str | None, text: str | None, ask: bool) -> tuple[dict[str, Any], Seen]:
    """What the files hold (as `sniff` says it, and the labels that stand in them), and what task they are for."""
    from burnish.core.files import sniff
    from burnish.formats.conll import look

    tokens = look(data) if task in (None, "tagging") and text is None else None
    if tokens is not None:
        return tokens | {"format": "conll", "rejects": 0}, Seen("tagging", {}, tuple(sorted(tokens["labels"])))
    seen = sniff(data)
    if text and text not in seen["columns"]:
        raise UsageError(f"{data} has no field {text!r}", hint=f"it has: {', '.join(seen['columns'])}")
    guessed = {**seen["fields"], **({"text": text} if text else {})}
    found = recognise(seen["values"], guessed, task=task)
    if found is not None:
        found = replace(found, fields={**found.fields, **({"text": text} if text else {})})
    else:
        found = _one_label(seen, guessed, task or "classification")
    about = {key: guessed[key] for key in ABOUT if key in guessed and guessed[key] not in found.fields.values()}
    found = replace(found, fields={**found.fields, **about})
    if "text" not in found.fields and "messages" not in found.fields and seen["format"] != "text":
        columns = ", ".join(seen["columns"])
        chosen = _question(f"Which field holds the text ({columns})?", "") if ask else ""
        if chosen not in seen["columns"]:
            raise UsageError(
                f"cannot tell which field of {data} holds the text", hint=f"--text FIELD, one of: {columns}"
            )
        found = replace(found, fields={"text": chosen, **found.fields})
    read = [found.fields[key] for key in ("text", "text_b", "output", "messages") if key in found.fields]
    return seen | {"samples": _samples(seen["values"], read) or seen["samples"]}, found


def _one_label(seen: Mapping[str, Any], guessed: Mapping[str, str], task: str) -> Seen:
    """What is meant where no shape fits: one label a text, or the task that was asked for, yet without targets."""
    pair = paired(seen["values"])
    fields = {**{key: guessed[key] for key in ("text", "text_b") if key in guessed}, **pair}
    labels = tuple(_guessed_labels(seen["labels"]))
    if task_class(task).target != ("label",):
        return Seen(task, fields)
    if labels or "label" in guessed:
        fields["label"] = guessed["label"]
    return Seen(task, fields, labels)


def _samples(values: Mapping[str, Sequence[Any]], columns: Sequence[str]) -> list[str]:
    """Up to 50 cells of each column as text; the turns of a conversation one by one."""
    samples: list[str] = []
    for column in columns:
        head, _, inner = column.partition(".")
        for cell in [parsed(cell) for cell in values.get(column, values.get(head, ()))[:50]]:
            if isinstance(cell, Mapping):
                cell = cell.get(inner)
            turns = [turn.get("content") for turn in cell] if isinstance(cell, list) else [cell]
            samples += [one for one in turns if isinstance(one, str)]
    return samples


def _question(text: str, default: str) -> str:
    """Ask on stderr, so that stdout stays the result."""
    print(f"{text} [{default}] " if default else f"{text} ", end="", file=sys.stderr, flush=True)
    return input().strip() or default


def _listed(text: str) -> list[str]:
    return [one.strip() for one in re.split("[,，、]", text) if one.strip()]


def _languages(samples: Sequence[str]) -> list[str]:
    """Languages of the sampled texts, most frequent first; English when none can be told."""
    from burnish.text.language import languages

    counts = Counter(str(code) for code in languages(samples).code if code != "und")
    total = sum(counts.values())
    return [code for code, count in counts.most_common() if count >= MIN_LANGUAGE_SHARE * total] or ["en"]


def _guessed_labels(counts: dict[str, int]) -> list[str]:
    return sorted(counts) if 2 <= len(counts) <= MAX_LABELS else []


def _name(data: Path) -> str:
    stem = re.sub(r"[^\w.-]+", "-", data.name.split(".")[0]).strip("-.")
    return stem if re.fullmatch(r"\w[\w.-]*", stem) else "run"


def _value(value: Any) -> str:
    """A YAML value on one line."""
    text: str = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, sort_keys=False, width=10_000)
    return text.strip().removesuffix("...").strip()


def _spec(
    data: Path,
    out: Path,
    seen: Mapping[str, Any],
    found: Seen,
    languages: Sequence[str],
    descriptions: Mapping[str, str],
    gold: Path | None,
    name: str,
) -> str:
    base = out.parent.resolve()
    task = open_task(TaskSpec(found.task, found.labels, {}, tuple(languages), found.options))
    source: dict[str, Any] = {"use": _reader(seen["format"]), "path": _relative(data, base)}
    if mapping := _mapping(seen, found):
        source["fields"] = mapping
    gold_line = (
        f"gold: {_value({'path': _relative(gold, base)} | ({'fields': mapping} if mapping else {}))}"
        if gold
        else f"""\
# A few records that a person checked make everything better: they {"weigh the labellers and judge" if task.one_label else "judge"} the model.
# {_gold_shape(task)}
# gold: {{path: gold.jsonl}}"""
    )
    sections = [
        f"""\
# burnish: from raw text to a model you can trust. `burnish check` reads this file, `burnish plan` prices it,
# `burnish run` does it. `burnish stages` lists what each section can hold, `burnish fill` writes every default.
burnish: 1
name: {_value(name)}            # results lie in runs/{name}
seed: 0

{_task_section(found, languages, descriptions, task.one_label)}

sources:                        # about {seen["rows"]:,} records; bad rows go to quarantine.jsonl with their reason
  - {_value(source)}

{gold_line}""",
        _construct(found, seen, "zh" in languages) if task.one_label else "",
        f"""\
quality:
  - {{use: audit, checks: all}}               # duplicates, languages, lengths{", suspected label errors" if task.one_label else ""}
  - {{use: curate, actions: auto}}            # sets aside what hurts, each with its reason

split: {{use: stratified, test: 0.1, validation: 0.1}}    # near-duplicates stay on one side

train:
  - {{use: tune, backbone: auto, epochs: auto, learning_rate: auto}}""",
        "compress: {use: int8, max_drop: 0.5}        # for serving; refused when it costs more than half a point"
        if task.engine == "encoder"
        else "",
        f"""\
evaluate:
  - {{use: report}}                           # data: test.jsonl judges on a test set of your own
  # - {{use: gate, {_limit(task)}}}           # exit code 3 when it does not hold

serve: {{use: http, host: 127.0.0.1, port: 8080}}""",
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _mapping(seen: Mapping[str, Any], found: Seen) -> dict[str, str]:
    """The fields that a source would not find under their own names."""
    from burnish.core.rows import layout

    targets = targets_of(TaskSpec(found.task, found.labels, {}, ("en",), found.options))
    own = layout(tuple(seen.get("columns", ())), {}, targets).keys
    differs = any(own.get(key) != found.fields.get(key) for key in ("text", "text_b"))
    return {
        key: column
        for key, column in found.fields.items()
        if own.get(key) != column or (key in ("text", "text_b") and differs and key != column)
    }


def _task_section(found: Seen, languages: Sequence[str], descriptions: Mapping[str, str], one_label: bool) -> str:
    lines = ["task:", f"  type: {found.task}"]
    if found.labels and one_label:
        lines.append(
            f'  # a description after a label ("{found.labels[0]}: what it means") lets burnish label by meaning'
        )
    if found.labels:
        lines.append("  labels:                       # those that were seen; add what is missing")
        lines += [f"    - {_value({one: descriptions[one]} if descriptions.get(one) else one)}" for one in found.labels]
    for key, value in found.options.items():
        if isinstance(value, Mapping):
            lines.append(f"  {key}:")
            lines += [f"    {_value(inner)}: {_value(one)}" for inner, one in value.items()]
        else:
            lines.append(f"  {key}: {_value(value)}")
    lines.append(f"  languages: {_value(list(languages))}")
    if left := [key for key in task_class(found.task).options if key not in found.options]:
        lines.append(f"  # more settings: {', '.join(left)}")
    return "\n".join(lines)


def _construct(found: Seen, seen: Mapping[str, Any], chinese: bool) -> str:
    labels = found.labels
    rules = _rules(labels, bool(seen["labels"]) and set(labels) <= set(seen["labels"]), chinese)
    return f"""\
construct:                      # labellers vote or abstain; a label keeps its votes
{rules}
  - {{use: aggregate, method: auto}}          # chosen on evidence, compared with majority vote and the best single labeller
  - {{use: self_training, rounds: 2}}         # labels what no rule covers, where it is sure"""


def _gold_shape(task: Any) -> str:
    if task.one_label:
        return 'One JSON object a line: {"text": "...", "label": "..."}; 8 a label are a good start.'
    return "One JSON object a line, in the shape of your data."


def _limit(task: Any) -> str:
    return "macro_f1: 0.85" if task.one_label else f"at_least: {{{_value(task.figure)}: 0.8}}"


def _rules(labels: Sequence[str], labelled: bool, chinese: bool) -> str:
    example = "[词一, 词二]" if chinese else "[word, another word]"
    steps = []
    if labelled:
        steps.append(
            "  - {use: existing, field: label, trust: 0.9}       # the labels in your data, as one voice among others"
        )
    steps.append("  - {use: descriptions}                              # nearest label by meaning")
    steps.append(
        f"  # - {{use: keywords, label: {_value(labels[0])}, words: {example}}}   # rules: the more, the better; `burnish stages construct`"
    )
    steps.append(f"  # - {{use: regex, label: {_value(labels[-1])}, pattern: 'refund|broken'}}")
    return "\n".join(steps)


def _reader(format: str) -> str:
    return {"tsv": "csv"}.get(format, format)


def _relative(path: Path, base: Path) -> str:
    """As the spec wants it: from its own folder."""
    return Path(os.path.relpath(Path(os.path.abspath(path)), base)).as_posix()


def _told(out: Path, seen: Mapping[str, Any], found: Seen, languages: Sequence[str]) -> str:
    shown = ", ".join(f"{field} <- {column}" for field, column in found.fields.items())
    shown = shown or ("text, spans <- columns" if seen["format"] == "conll" else "text <- the whole line")
    more = f" ({seen['rejects']} of the rows looked at cannot be parsed)" if seen["rejects"] else ""
    kind = ", ".join([found.task, *(f"{key}: true" for key, value in found.options.items() if value is True)])
    labels = ", ".join(found.labels) or ", ".join(found.options.get("tasks", ())) or "none"
    return f"""\
wrote {out}
  data       {seen["files"]} {seen["format"]} file{"s" if seen["files"] != 1 else ""}, about {seen["rows"]:,} records{more}
  task       {kind} (--task says otherwise)
  fields     {shown}
  languages  {", ".join(languages)}
  {"tasks " if "tasks" in found.options else "labels"}     {labels}
next: burnish check {out} && burnish plan {out} && burnish run {out}"""
