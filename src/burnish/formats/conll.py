"""CoNLL columns: a token a line, an empty line between sentences; texts with exact character spans, both ways."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

from burnish.core.artifacts import Records
from burnish.core.formats import SUFFIXES, find_files
from burnish.core.lines import Lines, bare_suffix, lines, unpacked_size
from burnish.core.records import Record, Reject
from burnish.core.rows import MAX_CHARS
from burnish.formats.base import FORMATS, Format, Look, Parsed, Told, Unfit, about, used, whole

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
Join = Literal["auto", "blank", "none"]
Scheme = Literal["BIO", "IOB1", "BIOES"]
TAG = re.compile(r"O|[BIESMLU]-\S+")
LOOKED_AT = 20_000  # lines
# a Chinese character; a run of letters and digits; any other character that is seen
PIECES = re.compile(rf"{HAN.pattern}|[^\W\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]+|[^\w\s]")
RECORD = "# record = "


@FORMATS.part("conll")
@dataclass(frozen=True)
class Conll(Format):
    """A token a line with its tag in a column. IOB1, BIO, BIOES, BMES and BILOU are read as they come.

    token: column of the token, counted from 0; negative from the end.
    tag: column of the tag.
    join: what stands between two tokens that are read: "blank", "none", or "auto" (nothing in Chinese, else a blank).
    columns: names of all columns in place of token and tag: one is token, one is tag, the others are kept in meta, a list of
    strings each, and written again.
    scheme: of the tags that are written.
    comments: write "# record = {...}" above a sentence, with its id, exact text and what else columns cannot hold; readers
    of CoNLL-U take it for a comment, others for a token.
    """

    token: int = 0
    tag: int = -1
    join: Join = "auto"
    columns: tuple[str, ...] = ()
    scheme: Scheme = "BIO"
    comments: bool = False

    suffix: ClassVar[str] = ".conll"

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        text = lines(path, shown=shown, max_bytes=1 << 20)
        yield from sentences(text, shown, self.token, self.tag, self.join, max_chars, columns=self.columns)

    def write(self, records: Records, out: Path, told: Told) -> None:
        have = used(records)
        group: str | None = None
        with whole(out) as file:
            for record in records:
                try:
                    said = self._sentence(record, have, told)
                except Unfit as error:
                    told.leave(record, str(error))
                    continue
                if not self.comments and record.group is not None and record.group != group:
                    file.write("-DOCSTART-" + "\t".join([" -X-", "O"] if self._extra() else ["\tO"]) + "\n\n")
                    group = record.group
                file.write(said + "\n\n")
        told.files.append(out.name)

    def _extra(self) -> list[str]:
        return [name for name in self.columns if name not in ("token", "tag")]

    def _sentence(self, record: Record, have: frozenset[str], told: Told) -> str:
        if not record.text:
            raise Unfit("no text: a conversation has no tokens")
        text, spans = record.text, sorted(record.spans or (), key=lambda one: (one["start"], one["end"]))
        if any(one["end"] > two["start"] for one, two in pairwise(spans)):
            raise Unfit("overlapping spans: a token has one tag")
        if any(re.search(r"[\t\n]", one["label"]) for one in spans):
            raise Unfit("label: it holds a tab or a line break")
        places = pieces(text, [edge for one in spans for edge in (one["start"], one["end"])])
        tags = tags_of(places, spans, self.scheme)
        tokens = [text[start:end] for start, end in places]
        extra = {name: record.meta.get(name) for name in self._extra()}
        rows = []
        for at, (token, tag) in enumerate(zip(tokens, tags, strict=True)):
            others = {n: cells[at] if isinstance(cells, list) and len(cells) == len(tokens) else "_"
                      for n, cells in extra.items()}  # fmt: skip
            cells = others | {"token": token, "tag": tag}
            rows.append("\t".join(cells[name] for name in self.columns or ("token", "tag")))
        held = {"text", "spans"}
        if self.comments:
            kept = about(record, have, but=extra) | {"text": text}
            kept |= {
                n: v for n in ("text_b", "label", "labels", "value", "output") if (v := getattr(record, n)) is not None
            }
            if record.spans is None:
                kept["spans"] = None
            rows.insert(
                0,
                RECORD
                + json.dumps({k: v for k, v in kept.items() if v is not None or k == "spans"}, ensure_ascii=False),
            )
            held |= kept.keys()
        elif joined(tokens, self.join)[0] != text:
            told.changed["text: blanks between tokens come back otherwise"] += 1
        told.wrote(record, held)
        return "\n".join(rows)

    @classmethod
    def fits(cls, look: Look) -> str:
        rows = [line.split("\t") if "\t" in line else line.split() for line in look.lines if _is_token(line)]
        tags = [cells[-1].strip() for cells in rows if len(cells) > 1]
        if not tags or len(tags) < len(rows) or not all(map(TAG.fullmatch, tags)) or set(tags) == {"O"}:
            return ""
        return "the last column of its lines holds tags such as " + next(tag for tag in tags if tag != "O")


def pieces(text: str, cuts: list[int]) -> list[tuple[int, int]]:
    """Tokens as places (start, end): words, Chinese characters, signs, cut where a span begins or ends."""
    found: list[tuple[int, int]] = []
    borders = sorted(set(cuts))
    for match in PIECES.finditer(text):
        start = match.start()
        for cut in (one for one in borders if match.start() < one < match.end()):
            found.append((start, cut))
            start = cut
        found.append((start, match.end()))
    return found


def tags_of(places: list[tuple[int, int]], spans: list[dict[str, Any]], scheme: Scheme) -> list[str]:
    """A tag for every token; spans in order, none over another. Unfit where a span has no token."""
    tags = ["O"] * len(places)
    before: tuple[str, int] | None = None  # label of the last span and the token behind it
    for one in spans:
        inside = [at for at, (start, end) in enumerate(places) if one["start"] <= start and end <= one["end"]]
        if not inside or places[inside[0]][0] != one["start"] or places[inside[-1]][1] != one["end"]:
            raise Unfit("span: it begins or ends with a blank")
        label = one["label"]
        for at in inside:
            tags[at] = f"I-{label}"
        if scheme == "BIO" or (scheme == "IOB1" and before == (label, inside[0])):
            tags[inside[0]] = f"B-{label}"
        elif scheme == "BIOES":
            tags[inside[0]] = f"B-{label}"
            tags[inside[-1]] = f"E-{label}" if len(inside) > 1 else f"S-{label}"
        before = (label, inside[-1] + 1)
    return tags


@dataclass
class _Sentence:
    start: int
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    rest: list[list[str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    known: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    broken: str = ""


def sentences(
    text: Iterator[Lines | Reject], shown: str, token: int, tag: int, join: Join, max_chars: int,
    *, columns: tuple[str, ...] = (),
) -> Iterator[tuple[int, dict[str, Any], str] | Reject]:  # fmt: skip
    """Sentences as rows of text, spans and group (a -DOCSTART- line begins a document)."""
    if columns:
        token, tag = columns.index("token"), columns.index("tag")
    sentence, document = _Sentence(1), 0
    for run in text:
        if isinstance(run, Reject):
            # a token is lost, and with it every offset behind it
            sentence.broken = sentence.broken or f"{run.reason} (line {run.line})"
            sentence.lines.append(run.raw)
            continue
        for number, line in zip(run.numbers, run.texts, strict=True):
            if not line.strip():
                yield from _finished(sentence, shown, document, join, columns)
                sentence = _Sentence(number + 1)
            elif line.startswith("-DOCSTART-"):
                document += 1
            elif line.startswith(RECORD) and not sentence.tokens:
                _remember(sentence, line)
            elif not (line.startswith("# ") and " = " in line):  # a comment of CoNLL-U
                _add(sentence, line, number, token, tag, max_chars, columns)
    yield from _finished(sentence, shown, document, join, columns)


def _remember(sentence: _Sentence, line: str) -> None:
    try:
        known = json.loads(line.removeprefix(RECORD))
        if not isinstance(known, dict) or not isinstance(known.get("text"), str):
            raise ValueError("no object with a text")
        sentence.known = known
    except ValueError as error:
        sentence.broken = sentence.broken or f"broken JSON: {error} in the comment"


def _add(
    sentence: _Sentence, line: str, number: int, token: int, tag: int, max_chars: int, columns: tuple[str, ...]
) -> None:
    cells = line.split("\t") if "\t" in line else line.split()
    sentence.size += len(line)
    if sentence.size > 4 * max_chars + 1000:
        sentence.broken = (
            f"too long: a sentence of more than {max_chars:,} characters, or without an empty line after it"
        )
        return
    sentence.lines.append(line)
    needed = len(columns) or max(token + 1 if token >= 0 else -token, tag + 1 if tag >= 0 else -tag, 2)
    if len(cells) < needed or not cells[token].strip():
        sentence.broken = sentence.broken or f"columns: {len(cells)} in line {number} where {needed} are needed"
        return
    sentence.tokens.append(cells[token].strip())
    sentence.tags.append(cells[tag].strip())
    if columns:
        sentence.rest.append(cells)


def _finished(
    sentence: _Sentence, shown: str, document: int, join: Join, columns: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, Any], str] | Reject]:
    raw = "\n".join(sentence.lines)
    if sentence.broken:
        yield Reject(shown, sentence.start, sentence.broken, raw[:2000])
        return
    if not sentence.tokens:
        return
    known = dict(sentence.known)
    said, places = known.get("text"), None
    if said is None:
        said, places = joined(sentence.tokens, join)
    else:
        places = _placed(sentence.tokens, said)
        if places is None:
            yield Reject(
                shown, sentence.start, "columns: the tokens do not stand in the text of the comment", raw[:2000]
            )
            return
    row: dict[str, Any] = known | {"text": said}
    if "spans" not in known:
        row["spans"] = spans(sentence.tags, places)
    if document and "group" not in row:
        row["group"] = f"{shown}#{document}"
    if columns:
        others = {name: [cells[at] for cells in sentence.rest] for at, name in enumerate(columns)}
        meta = json.loads(row["meta"]) if isinstance(row.get("meta"), str) else row.get("meta") or {}
        row["meta"] = meta | {name: cells for name, cells in others.items() if name not in ("token", "tag")}
    yield sentence.start, row, raw


def _placed(tokens: list[str], text: str) -> list[tuple[int, int]] | None:
    """Where the tokens stand in a text, one behind the other; None where one does not."""
    places, at = [], 0
    for token in tokens:
        start = text.find(token, at)
        if start < 0:
            return None
        at = start + len(token)
        places.append((start, at))
    return places


def joined(tokens: list[str], join: Join = "auto") -> tuple[str, list[tuple[int, int]]]:
    """Tokens to a text, and where each of them lies in it (start, end)."""
    chinese = join == "none" or (join == "auto" and any(map(HAN.search, tokens)))
    said, length = [], 0
    places = []
    before = ""
    for token in tokens:
        words = before[-1:].isascii() and before[-1:].isalnum() and token[:1].isascii() and token[:1].isalnum()
        # in a file of one character a line even Latin words come in single letters
        whole = len(before) > 1 and len(token) > 1
        if before and (not chinese or (join == "auto" and words and whole)):
            said.append(" ")
            length += 1
        said.append(token)
        places.append((length, length + len(token)))
        length += len(token)
        before = token
    return "".join(said), places


def spans(tags: list[str], places: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Tags of one sentence to {start, end, label}."""
    found: list[dict[str, Any]] = []
    open_label = ""
    for tag, (start, end) in zip(tags, places, strict=True):
        prefix, dash, label = tag.partition("-")
        if not dash or prefix not in ("B", "I", "O", "E", "S", "M", "L", "U"):
            prefix, label = ("O", "") if tag in ("O", "o", "_", "") else ("I", tag)
        if prefix == "O":
            open_label = ""
            continue
        if prefix not in ("B", "S", "U") and label == open_label:
            found[-1]["end"] = end
        else:
            found.append({"start": start, "end": end, "label": label})
        open_label = "" if prefix in ("E", "L", "S", "U") else label
    return found


def look(path: Path, *, encoding: str = "utf-8", sure: bool = False) -> dict[str, Any] | None:
    """What a file, folder or glob of tagged tokens holds, from its first 20,000 lines; None when it holds none.

    sure: it is one, whatever its tags look like. Gives files, rows (sentences of all files, estimated from their sizes),
    labels (label -> spans in the lines looked at), samples (texts), mean_characters.
    """
    found = [file for file, _ in find_files(path, "text")]
    if not sure and SUFFIXES.get(bare_suffix(found[0]), "text") not in ("text", "tsv"):
        return None
    first = _first_lines(found[0], encoding)
    columns = [line.split("\t") if "\t" in line else line.split() for line in first if _is_token(line)]
    tags = [cells[-1].strip() for cells in columns if len(cells) > 1]
    if not sure and (
        not tags or len(tags) < len(columns) or not all(map(TAG.fullmatch, tags)) or not any(one != "O" for one in tags)
    ):
        return None
    numbered = iter([Lines(list(range(1, len(first) + 1)), first)])
    found_rows = [one[1] for one in sentences(numbered, "", 0, -1, "auto", MAX_CHARS) if not isinstance(one, Reject)]
    if not found_rows:
        return None
    size = sum(len(line.encode()) + 1 for line in first)
    whole = len(first) < LOOKED_AT and len(found) == 1
    rows = len(found_rows) if whole else round(len(found_rows) * sum(map(unpacked_size, found)) / max(size, 1))
    texts = [one["text"] for one in found_rows]
    labels = Counter(span["label"] for one in found_rows for span in one["spans"])
    return {
        "files": len(found), "rows": rows, "labels": dict(labels.most_common()), "samples": texts[:50],
        "mean_characters": round(sum(map(len, texts)) / len(texts), 1),
    }  # fmt: skip


def _first_lines(file: Path, encoding: str) -> list[str]:
    first: list[str] = []
    for run in lines(file, shown=file.name, encoding=encoding, max_bytes=1 << 20):
        if isinstance(run, Lines):
            first += run.texts
        if len(first) >= LOOKED_AT:
            break
    return first[:LOOKED_AT]


def _is_token(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("-DOCSTART-") and not (line.startswith("# ") and " = " in line)
