"""Personal data taken out of the records: masked, removed, or replaced by pseudonyms that only a key turns back."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, TaskSpec, nearest, stage
from burnish.text.edits import Edit, applied
from burnish.text.pii import KINDS, Found, Masker, find
from burnish.text.pseudonyms import Key, Pseudonyms

How = Literal["mask", "remove", "pseudonym"]
TABLE = "pseudonyms.enc"
CHANGED = ("text", "text_b", "messages", "spans", "relations", "answer", "output", "meta", "trail")


class KeyName(str):
    """The name of an environment variable that holds a key; a step's key knows which one by its fingerprint."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return handler(str)

    @staticmethod
    def identify(value: str | None, languages: Sequence[str]) -> str | None:
        return Key.of(value).fingerprint if value and os.environ.get(value) else None


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`."""
    found = []
    kinds = settings["kinds"]
    for kind in () if kinds == "all" else kinds:
        if kind not in KINDS:
            found.append(("kinds", f"no kind {kind!r}", nearest(kind, KINDS, "kinds are")))
    if settings["how"] == "pseudonym" and not settings["key_env"]:
        found.append(("key_env", "pseudonyms are drawn with a key", "key_env: NAME of an environment variable"))
    if settings["how"] != "pseudonym" and settings["key_env"]:
        found.append(("key_env", f"how: {settings['how']} needs no key", "how: pseudonym, or leave key_env out"))
    return found


@stage("quality.redact", check=_problems)
def redact(
    records: Records,
    context: Context,
    *,
    kinds: Literal["all"] | list[str] = "all",
    how: How = "mask",
    key_env: KeyName | None = None,
    names: Literal["likely", "marked"] = "likely",
    model: Path | None = None,
) -> Records:
    """Take personal data out of texts, conversations, outputs and meta; spans and answers stay where they belong.

    kinds: all, or some of email, id_number, passport, bank_card, iban, phone, ssn, ip, account, plate, secret, address, name.
    how: mask writes [PHONE], [PHONE 2]; remove leaves nothing; pseudonym writes another value of the same form, the same
        one for the same value in the whole data set.
    key_env: environment variable with the key (16 characters or more) that pseudonyms are drawn with; `burnish reveal`
        turns them back with it. It is written nowhere.
    names: marked finds names that the text marks as such; likely finds by lists too (Chinese needs the extra "chinese").
    model: a run folder of a tagging model whose labels for people (PER, name, ...) and places with numbers are taken too.

    Streams; with pseudonyms memory grows with the number of different values. The table that turns them back lies beside
    the records, encrypted: quality/pseudonyms.enc.
    """
    mistakes = _problems({"kinds": kinds, "how": how, "key_env": key_env}, context.task)
    if mistakes:
        key, message, hint = mistakes[0]
        raise BurnishError(f"quality.redact.{key}: {message}", hint=hint)
    pseudonyms = Pseudonyms(Key.of(key_env)) if key_env else None
    writer = Redactor(KINDS if kinds == "all" else tuple(kinds), how, pseudonyms, likely=names == "likely", model=model)
    facts: dict[str, Any] = {"how": how, "kinds": kinds, "names": names}

    def walk() -> Iterator[pa.Table]:
        for batch in records.batches():
            yield writer.batch(batch)
            facts["values"], facts["records"] = dict(writer.counts.most_common()), writer.records
            if pseudonyms:
                facts["different"] = {kind: len(one) for kind, one in pseudonyms.table.items()}
        if pseudonyms:
            made.files[TABLE] = pseudonyms.key.lock(pseudonyms.table)
        said = ", ".join(f"{count:,} {kind}" for kind, count in writer.counts.most_common())
        context.progress.tell(f"  {how}: {said or 'nothing'} in {writer.records:,} records")

    made = Records.stream(walk())
    made.facts = {**records.facts, "redact": facts}
    return made


class Redactor:
    """Rewrites rows of records. counts: values by kind; records: rows that changed."""

    def __init__(
        self, kinds: Sequence[str] = KINDS, how: How = "mask", pseudonyms: Pseudonyms | None = None, *, likely: bool = True,
        model: Path | None = None,
    ) -> None:  # fmt: skip
        self.kinds, self.how, self.likely, self.pseudonyms = tuple(kinds), how, likely, pseudonyms
        self.counts: Counter[str] = Counter()
        self.records = 0
        self._tagger = people_of(model) if model else None

    def batch(self, batch: pa.Table) -> pa.Table:
        """A batch of records with their personal data taken out."""
        rows = batch.select([*CHANGED]).to_pylist()
        told = self._told(rows)
        new = [self.row(row, told.get(at, ())) for at, row in enumerate(rows)]
        for name in CHANGED:
            at = batch.schema.get_field_index(name)
            field = batch.schema.field(name)
            batch = batch.set_column(at, field, pa.array([row[name] for row in new], field.type))
        return batch

    def _told(self, rows: Sequence[Mapping[str, Any]]) -> dict[int, tuple[str, ...]]:
        """Names that the model finds in each row."""
        if self._tagger is None or "name" not in self.kinds:
            return {}
        there = [at for at, row in enumerate(rows) if (row["text"] or "").strip()]
        return dict(zip(there, self._tagger([rows[at]["text"] for at in there]), strict=True))

    def row(self, row: Mapping[str, Any], names: Sequence[str] = ()) -> dict[str, Any]:
        """One row; `trail` says what was taken out, never the values."""
        counts: Counter[str] = Counter()
        masker = Masker(self.kinds)
        texts = [row["text"], row["text_b"], row["output"], *(turn["content"] for turn in row["messages"] or ())]
        known = {*names}
        if "name" in self.kinds:
            for text in filter(None, texts):
                known |= {text[one.start : one.end] for one in self._find(text, ("name",), ())}

        def edits(text: str | None) -> list[Edit]:
            made = []
            for one in self._find(text or "", self.kinds, known):
                counts[one.kind] += 1
                made.append(
                    Edit(one.start, one.end, self._instead(one.kind, (text or "")[one.start : one.end], masker))
                )
            return made

        new = dict(row)
        of = {name: edits(row[name]) for name in ("text", "text_b", "output")}
        for name, changes in of.items():
            if changes:
                new[name] = applied(row[name], changes)
        if row["messages"]:
            new["messages"] = [
                {**turn, "content": applied(turn["content"], edits(turn["content"]))} for turn in row["messages"]
            ]
        lost = _targets(new, row, of, lambda text: applied(text, edits(text)))
        if row["meta"]:
            new["meta"] = json.dumps(_inside(json.loads(row["meta"]), lambda text: applied(text, edits(text))), ensure_ascii=False, sort_keys=True)  # fmt: skip
        if counts:
            self.records += 1
            self.counts += counts
            said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            line = f"quality.redact: {self.how} {said}" + (f"; lost {lost}" if lost else "")
            new["trail"] = [*(row["trail"] or ()), line]
        return new

    def _find(self, text: str, kinds: Sequence[str], names: set[str] | Sequence[str]) -> list[Found]:
        return find(text, kinds, names=names, likely=self.likely) if text else []

    def _instead(self, kind: str, value: str, masker: Masker) -> str:
        if self.how == "remove":
            return ""
        return masker.placeholder(kind, value) if self.pseudonyms is None else self.pseudonyms.of(kind, value)


def people_of(folder: Path) -> Callable[[Sequence[str]], list[tuple[str, ...]]]:
    """Texts -> the names of people that a tagging model of another run finds in each. BurnishError where it tags none."""
    from burnish.tasks import predictor

    tagger = predictor.load(folder)
    labels = {
        one
        for one in tagger.labels
        if one.lower().split("-")[-1] in ("per", "person", "name", "people", "人名", "姓名", "nr")
    }
    if tagger.task.name != "tagging" or not labels:
        raise BurnishError(
            f"{folder.name} does not tag people: its labels are {', '.join(tagger.labels)}",
            hint="model: a run of task tagging with a label such as PER, person or name",
        )

    def names(texts: Sequence[str]) -> list[tuple[str, ...]]:
        return [
            tuple(text[one["start"] : one["end"]] for one in answer["spans"] if one["label"] in labels)
            for text, answer in zip(texts, tagger.predict(list(texts)), strict=True)
        ]

    return names


def _targets(
    new: dict[str, Any], row: Mapping[str, Any], of: Mapping[str, list[Edit]], rewrite: Callable[[str], str]
) -> str:
    """Move spans (of text) and the answer (of text_b, else text) along; what is lost because nothing of it is left."""
    lost = ""
    if row["spans"] and of["text"]:
        kept: dict[int, int] = {}
        spans: list[dict[str, Any]] = []
        for at, span in enumerate(row["spans"]):
            start, end = shifted(span["start"], span["end"], of["text"])
            if end > start:
                kept[at] = len(spans)
                spans.append({**span, "start": start, "end": end})
        if len(spans) < len(row["spans"]):
            lost = f"{len(row['spans']) - len(spans)} spans"
        new["spans"] = spans
        if row["relations"]:
            new["relations"] = [
                {**one, "head": kept[one["head"]], "tail": kept[one["tail"]]}
                for one in row["relations"]
                if one["head"] in kept and one["tail"] in kept
            ]
    answer = row["answer"]
    if answer and answer.get("text"):
        field = "text_b" if row["text_b"] is not None else "text"
        start = answer.get("start")
        if start is None or start < 0 or (row[field] or "")[start : start + len(answer["text"])] != answer["text"]:
            new["answer"] = {**answer, "text": rewrite(answer["text"])}
        elif of[field]:
            begin, end = shifted(start, start + len(answer["text"]), of[field])
            text = new[field][begin:end]
            new["answer"] = {"text": text, "start": begin} if text else None
            lost = lost if text else "the answer"
    return lost


def shifted(start: int, end: int, edits: Sequence[Edit]) -> tuple[int, int]:
    """Where a span stands after edits: a border inside what was replaced moves to the end of the replacement on its side."""
    grown_before = sum(one.growth for one in edits if one.end <= start)
    grown_until = sum(one.growth for one in edits if one.end <= end)
    for one in edits:
        if one.start < start < one.end:
            start = one.start  # the replacement belongs to the span as a whole
        if one.start < end < one.end:
            end = one.start + len(one.text)
    return start + grown_before, end + grown_until


def _inside(value: Any, rewrite: Callable[[str], str]) -> Any:
    """The strings of a JSON value rewritten."""
    if isinstance(value, str):
        return rewrite(value)
    if isinstance(value, list):
        return [_inside(one, rewrite) for one in value]
    return {key: _inside(one, rewrite) for key, one in value.items()} if isinstance(value, dict) else value
