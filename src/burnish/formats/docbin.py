"""spaCy's DocBin: tokens, entities, categories, with the rest of the record in the document's user data."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from burnish.core.artifacts import Records
from burnish.core.errors import DataError, MissingExtra
from burnish.core.records import Record, Reject
from burnish.core.rows import MAX_CHARS
from burnish.formats.base import FORMATS, Format, Look, Parsed, Told, about, used, whole
from burnish.formats.conll import PIECES

KEY = "burnish"  # of the user data: what documents of spaCy have no place for, as JSON
MOST_BYTES = 2 << 30  # of an unpacked file: a DocBin is read whole
REST = ("text_b", "value", "output", "answer", "relations", "messages")


@FORMATS.part("docbin")
@dataclass(frozen=True)
class DocBinFile(Format):
    """Training data of spaCy: spans become entities, or a span group where they overlap; labels become categories. Words are
    cut by spaCy's rules for the language, and finer where a span asks for it. A file is held in memory whole, so a name
    without a suffix is a folder of files of `shard` documents each.

    group: name of the span group.
    shard: documents of a file of a folder.
    """

    group: str = "sc"
    shard: int = 10_000

    suffix: ClassVar[str] = ".spacy"

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        spacy, bins = _spacy()
        raw = path.read_bytes()
        try:
            unpacked = zlib.decompressobj().decompress(raw, MOST_BYTES)
            if len(unpacked) == MOST_BYTES:
                raise DataError(f"more than {MOST_BYTES >> 30} GB when unpacked", where=shown, hint="split it")
            docs = bins(store_user_data=True).from_bytes(raw)
            vocabulary = spacy.blank("xx").vocab
            for number, doc in enumerate(docs.get_docs(vocabulary), start=1):
                row = self._record(doc)
                yield number, row, doc.text[:2000]
        except (zlib.error, ValueError, KeyError, TypeError) as error:  # what its msgpack and checks raise
            yield Reject(shown, None, f"broken file: no DocBin of spaCy ({error})"[:300])

    def _record(self, doc: Any) -> dict[str, Any]:
        stored = doc.user_data.get(KEY)
        row: dict[str, Any] = json.loads(stored) if isinstance(stored, str) else {}
        row["text"] = doc.text
        group = doc.spans.get(self.group)
        found = group if group is not None else doc.ents
        if found or row.pop("spans", None):
            row["spans"] = [{"start": one.start_char, "end": one.end_char, "label": one.label_} for one in found]
        several = row.pop("several", None)
        if doc.cats or several:
            chosen = [name for name, score in doc.cats.items() if score >= 0.5]
            row |= {"labels": chosen} if several or (several is None and len(chosen) != 1) else {"label": chosen[0]}
        return row

    def write(self, records: Records, out: Path, told: Told) -> None:
        spacy, bins = _spacy()
        columns, labels = used(records), _labels(records)
        makers: dict[str, Any] = {}
        single = out.suffix != ""
        docs, number = bins(store_user_data=True), 0
        for record in records:
            if not record.text:
                told.leave(record, "no text: a conversation is no document")
                continue
            docs.add(self._doc(record, columns, labels, makers, spacy, told))
            if not single and len(docs) == self.shard:
                self._save(docs, out / f"{number:05d}.spacy", told)
                docs, number = bins(store_user_data=True), number + 1
        if single or len(docs) or not number:
            self._save(docs, out if single else out / f"{number:05d}.spacy", told)

    def _save(self, docs: Any, path: Path, told: Told) -> None:
        with whole(path, "wb") as file:
            file.write(docs.to_bytes())
        told.files.append(path.name)

    def _doc(
        self, record: Record, columns: frozenset[str], labels: list[str], makers: dict[str, Any], spacy: Any, told: Told
    ) -> Any:
        text, spans = record.text or "", record.spans or []
        language = record.language or "xx"
        if language not in makers:
            try:
                makers[language] = spacy.blank(language)
            except ImportError:  # a language that spaCy does not know, or whose segmenter is not installed
                makers[language] = spacy.blank("xx")
        doc = makers[language].make_doc(text)
        placed = [doc.char_span(one["start"], one["end"], label=one["label"]) for one in spans]
        if doc.text != text or any(one is None for one in placed):
            doc = _cut(makers[language].vocab, text, spans)
            placed = [doc.char_span(one["start"], one["end"], label=one["label"]) for one in spans]
        ordered = sorted(placed, key=lambda one: one.start)
        if any(one.end > two.start for one, two in pairwise(ordered)) or ordered != placed:
            doc.spans[self.group] = placed  # entities are sorted and do not overlap; a group keeps any
        else:
            doc.set_ents(placed)
        rest = {name: value for name in REST if (value := getattr(record, name)) is not None}
        rest |= {name: value for name, value in about(record, columns).items() if value is not None}
        if record.spans is not None:
            rest["spans"] = True
        if record.labels is not None or record.label is not None:
            own = record.labels if record.labels is not None else [record.label]
            doc.cats = {name: float(name in own) for name in labels}
            rest["several"] = record.labels is not None
        doc.user_data[KEY] = json.dumps(rest, ensure_ascii=False)
        told.wrote(record, {"text", "spans", "label", "labels", *rest})
        return doc

    @classmethod
    def fits(cls, look: Look) -> str:
        return "its suffix is .spacy" if look.suffix == ".spacy" else ""


def _spacy() -> tuple[Any, Any]:
    try:
        import spacy
        from spacy.tokens import DocBin
    except ImportError as error:
        raise MissingExtra("format docbin", "spacy") from error
    return spacy, DocBin


def _labels(records: Records) -> list[str]:
    """All labels of all records, for categories must name those that are absent too."""
    found: set[str] = set()
    for batch in records.batches(["label", "labels"]):
        found.update(one for one in batch["label"].to_pylist() if one is not None)
        found.update(one for several in batch["labels"].to_pylist() for one in several or ())
    return sorted(found)


def _cut(vocabulary: Any, text: str, spans: list[dict[str, Any]]) -> Any:
    """A document of words, signs and blanks, cut at every border of a span, whose text is the text to the character."""
    from spacy.tokens import Doc

    borders = {0, len(text), *(edge for one in spans for edge in (one["start"], one["end"]))}
    for match in PIECES.finditer(text):
        borders |= {match.start(), match.end()}
    ordered = sorted(borders)
    words: list[str] = []
    spaces: list[bool] = []
    for start, end in pairwise(ordered):
        word = text[start:end]
        inner = start in {one["start"] for one in spans} or end in {one["end"] for one in spans}
        if word == " " and words and not spaces[-1] and not inner and not words[-1].isspace():
            spaces[-1] = True
        else:
            words.append(word)
            spaces.append(False)
    return Doc(vocabulary, words=words, spaces=spaces)
