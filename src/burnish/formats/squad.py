"""SQuAD 1.1 and 2.0: articles of paragraphs with questions and answers (Rajpurkar et al. 2016, 2018)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from burnish.core.artifacts import Records
from burnish.core.records import Record, Reject
from burnish.core.rows import MAX_CHARS
from burnish.formats.base import FORMATS, Format, Look, Parsed, Told, Unfit, about, about_of, used, whole
from burnish.formats.json_items import objects

ARTICLE_CHARS = 64 << 20  # an article is read whole: the longest of SQuAD's has 0.5 MB


@FORMATS.part("squad")
@dataclass(frozen=True)
class Squad(Format):
    """Questions on contexts: the nested file of the data set, or flat rows as its users write them.

    version: of what is written; 1 has no room for a question without an answer.
    """

    version: Literal[1, 2] = 2

    suffix: ClassVar[str] = ".json"

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        found = objects(path, shown=shown, key="data", max_chars=max_chars, item_chars=ARTICLE_CHARS)
        for item in found:
            if isinstance(item, Reject):
                yield item
                continue
            line, row, raw = item
            for one, said in _questions(row) if isinstance(row.get("paragraphs"), list) else [(row, raw)]:
                try:
                    yield line, _record(one), said
                except ValueError as error:
                    yield Reject(shown, line, str(error), said[:2000])

    def write(self, records: Records, out: Path, told: Told) -> None:
        columns = used(records)
        context: str | None = None
        title: str | None = None
        with whole(out) as file:
            file.write('{"version": "%s", "data": [' % ("v2.0" if self.version == 2 else "1.1"))
            opened = False
            for record in records:
                try:
                    asked, held = self._asked(record, columns)
                except Unfit as error:
                    told.leave(record, str(error))
                    continue
                own = record.meta.get("title") or record.group or ""
                text = json.dumps(asked, ensure_ascii=False)
                if opened and (own, record.text_b) == (title, context):
                    file.write(",\n  " + text)
                else:
                    start = '{"context": ' + json.dumps(record.text_b, ensure_ascii=False) + ', "qas": [\n  ' + text
                    if opened and own == title:
                        file.write("]},\n " + start)
                    else:
                        head = '{"title": ' + json.dumps(str(own), ensure_ascii=False) + ', "paragraphs": [\n ' + start
                        file.write(("]}]},\n" if opened else "\n") + head)
                opened, title, context = True, own, record.text_b
                told.wrote(record, held)
            file.write("]}]}]}\n" if opened else "]}\n")
        told.files.append(out.name)

    def _asked(self, record: Record, columns: frozenset[str]) -> tuple[dict[str, Any], set[str]]:
        if not record.text or not record.text_b:
            raise Unfit("no question with a context")
        answers = [] if record.answer is None or not record.answer["text"] else [record.answer]
        answers += [one for one in record.meta.get("answers") or () if isinstance(one, dict) and one not in answers]
        if record.answer is None and not answers:
            raise Unfit("unlabelled: nothing says whether there is an answer")
        placed = []
        for one in answers:
            start = one.get("start")
            start = record.text_b.find(one["text"]) if start is None else start
            if start < 0:
                raise Unfit("answer: it does not stand in the context")
            placed.append({"text": one["text"], "answer_start": start})
        if self.version == 1 and not placed:
            raise Unfit("unanswerable: version 1 has no room for it")
        asked: dict[str, Any] = {"id": record.id, "question": record.text, "answers": placed}
        if self.version == 2:
            asked["is_impossible"] = not placed
        own = about(record, columns, but=("answers", "title", "is_impossible"))
        return asked | own, {"text", "text_b", "answer"} | own.keys()

    @classmethod
    def fits(cls, look: Look) -> str:
        if "data" in look.keys and look.every("paragraphs"):
            return "its data are articles with paragraphs"
        if look.every("question", "context", "answers"):
            return "its rows have question, context and answers"
        return ""


def _questions(article: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """The questions of an article as flat rows. Their raw text is cut short: an article may be long."""
    for paragraph in article["paragraphs"]:
        if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
            yield {}, json.dumps(paragraph, ensure_ascii=False)[:2000]
            continue
        for asked in paragraph["qas"]:
            row = asked if isinstance(asked, dict) else {}
            flat = {"context": paragraph.get("context")} | row
            if article.get("title"):
                flat.setdefault("title", article["title"])
            yield flat, json.dumps(row, ensure_ascii=False)[:2000]


def _record(row: dict[str, Any]) -> dict[str, Any]:
    answers = row.get("answers")
    if isinstance(answers, dict) and isinstance(answers.get("text"), list):
        starts = answers.get("answer_start") or [None] * len(answers["text"])
        answers = [{"text": text, "answer_start": at} for text, at in zip(answers["text"], starts, strict=False)]
    if not isinstance(row.get("question"), str) or not isinstance(row.get("context"), str):
        raise ValueError("wrong type: there is no question with a context")
    if answers is None:
        answers = [] if row.get("is_impossible") is True else None
    if answers is not None and not (
        isinstance(answers, list) and all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in answers)
    ):
        raise ValueError("wrong type: answers is not a list of {text, answer_start}")
    taken = ("question", "context", "answers", "is_impossible", "plausible_answers", "title")
    made = about_of(row, taken)
    meta = made.get("meta", {})
    if row.get("title"):
        meta["title"] = row["title"]
        made.setdefault("group", str(row["title"]))
    made |= {"text": row["question"], "text_b": row["context"]}
    if answers is not None:
        said = [{"text": one["text"], "start": one.get("answer_start")} for one in answers if one["text"]]
        made["answer"] = said[0] if said else {"text": "", "start": None}
        more = [one for at, one in enumerate(said) if one not in said[:at]]
        if len(more) > 1:
            meta["answers"] = more
    if row.get("plausible_answers"):
        meta["plausible_answers"] = row["plausible_answers"]
    return made | ({"meta": meta} if meta else {})
