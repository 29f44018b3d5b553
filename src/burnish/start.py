"""`burnish init`: look at the data, ask what cannot be guessed, write a commented spec that runs."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from burnish.core.errors import UsageError

MIN_LANGUAGE_SHARE = 0.1  # a language in fewer of the sampled texts is not named
MAX_LABELS = 200


def ask_and_write(
    data: Path | None,
    out: Path,
    *,
    labels: Sequence[str] | None = None,
    text: str | None = None,
    gold: Path | None = None,
    languages: Sequence[str] | None = None,
    name: str | None = None,
    ask: bool = False,
) -> str:
    """Write a spec for `data` to `out`; return what was guessed and what to do next.

    What is given is not asked. Without `ask`, every guess is taken; labels that cannot be guessed are an error.
    Raises UsageError when `out` is there already.
    """
    from burnish.core.files import sniff

    if out.exists():
        raise UsageError(f"{out} is there already", hint="write elsewhere with -o, or move it away")
    if data is None:
        given = _question("Where is your raw text (a file, a folder, or a glob)?", "") if ask else ""
        if not given:
            raise UsageError("say where your raw text is", hint="burnish init raw/*.jsonl")
        data = Path(given)
    seen = sniff(data)
    fields = dict(seen["fields"])
    if text:
        if text not in seen["columns"]:
            raise UsageError(f"{data} has no field {text!r}", hint=f"it has: {', '.join(seen['columns'])}")
        fields["text"] = text
    if "text" not in fields and seen["format"] != "text":
        columns = ", ".join(seen["columns"])
        fields["text"] = _question(f"Which field holds the text ({columns})?", "") if ask else ""
        if fields["text"] not in seen["columns"]:
            raise UsageError(
                f"cannot tell which field of {data} holds the text", hint=f"--text FIELD, one of: {columns}"
            )
    found = list(languages or _languages(seen["samples"]))
    if ask and not languages:
        found = _listed(_question("Languages?", ", ".join(found)))
    chosen = list(labels or _guessed_labels(seen["labels"]))
    if ask and not labels:
        chosen = _listed(_question("Labels?", ", ".join(chosen)))
    if len(chosen) < 2:
        raise UsageError("the labels cannot be guessed from the data", hint="--labels negative,positive")
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
    spec = _spec(data, out, seen, fields, found, chosen, descriptions, gold, name or _name(data))
    out.parent.mkdir(parents=True, exist_ok=True)
    half = out.with_name(f".{out.name}.{os.getpid()}")
    half.write_text(spec, encoding="utf-8")
    os.replace(half, out)
    return _told(out, seen, fields, found, chosen)


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
    seen: dict[str, Any],
    fields: dict[str, str],
    languages: Sequence[str],
    labels: Sequence[str],
    descriptions: dict[str, str],
    gold: Path | None,
    name: str,
) -> str:
    base = out.parent.resolve()
    labelled = bool(seen["labels"]) and set(labels) <= set(seen["labels"])
    mapping = {
        field: column for field, column in fields.items() if field != column and not (field == "label" and not labelled)
    }
    source = {"use": _reader(seen["format"]), "path": _relative(data, base)} | ({"fields": mapping} if mapping else {})
    named = "\n".join(
        f"    - {_value(one)}: {_value(descriptions[one])}" if descriptions.get(one) else f"    - {_value(one)}"
        for one in labels
    )
    rules = _rules(labels, labelled, "zh" in languages)
    gold_line = (
        f"gold: {_value({'path': _relative(gold, base)})}"
        if gold
        else "# A few records that a person checked make everything better: they weigh the labellers and judge the model.\n"
        '# One JSON object a line: {"text": "...", "label": "..."}; 8 a label are a good start.\n'
        "# gold: {path: gold.jsonl}"
    )
    return f"""\
# burnish: from raw text to a model you can trust. `burnish check` reads this file, `burnish plan` prices it,
# `burnish run` does it. `burnish stages` lists what each section can hold, `burnish fill` writes every default.
burnish: 1
name: {_value(name)}            # results lie in runs/{name}
seed: 0

task:
  type: classification
  # a description after a label ("{labels[0]}: what it means") lets burnish label by meaning
  labels:
{named}
  languages: {_value(list(languages))}

sources:                        # about {seen["rows"]:,} records; bad rows go to quarantine.jsonl with their reason
  - {_value(source)}

{gold_line}

construct:                      # labellers vote or abstain; a label keeps its votes
{rules}
  - {{use: aggregate, method: auto}}          # chosen on evidence, compared with majority vote and the best single labeller
  - {{use: self_training, rounds: 2}}         # labels what no rule covers, where it is sure

quality:
  - {{use: audit, checks: all}}               # duplicates, suspected label errors, languages, lengths
  - {{use: curate, actions: auto}}            # sets aside what hurts, each with its reason

split: {{use: stratified, test: 0.1, validation: 0.1}}    # near-duplicates stay on one side

train:
  - {{use: tune, backbone: auto, epochs: auto, learning_rate: auto}}

compress: {{use: int8, max_drop: 0.5}}        # for serving; refused when it costs more than half a point

evaluate:
  - {{use: report}}                           # data: test.jsonl judges on a test set of your own
  # - {{use: gate, macro_f1: 0.85}}           # exit code 3 when it does not hold

serve: {{use: http, host: 127.0.0.1, port: 8080}}
"""


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


def _told(
    out: Path, seen: dict[str, Any], fields: dict[str, str], languages: Sequence[str], labels: Sequence[str]
) -> str:
    read = {field: column for field, column in fields.items() if field != "label" or set(labels) <= set(seen["labels"])}
    shown = ", ".join(f"{field} <- {column}" for field, column in read.items()) or "text <- the whole line"
    more = f" ({seen['rejects']} of the rows looked at cannot be parsed)" if seen["rejects"] else ""
    return f"""\
wrote {out}
  data       {seen["files"]} {seen["format"]} file{"s" if seen["files"] != 1 else ""}, about {seen["rows"]:,} records{more}
  fields     {shown}
  languages  {", ".join(languages)}
  labels     {", ".join(labels)}
next: burnish check {out} && burnish plan {out} && burnish run {out}"""
