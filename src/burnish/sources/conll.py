"""CoNLL columns: a token a line, an empty line between sentences; out come texts with exact character spans."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from burnish.core.artifacts import Records
from burnish.core.formats import SUFFIXES, find_files, shown_name
from burnish.core.lines import Lines, bare_suffix, lines, unpacked_size
from burnish.core.records import Reject
from burnish.core.rows import MAX_CHARS, Chunk, Wanted, chunks, to_records
from burnish.core.stage import Context, Count, Positive, stage

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
Join = Literal["auto", "blank", "none"]
TAG = re.compile(r"O|[BIESMLU]-\S+")
LOOKED_AT = 20_000  # lines


@stage("sources.conll")
def conll(
    context: Context,
    *,
    path: Path,
    token: int = 0,
    tag: int = -1,
    join: Join = "auto",
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    max_chars: Positive = MAX_CHARS,
    encoding: str = "utf-8",
) -> Records:
    """Read tagged tokens in columns as texts with spans; IOB1, BIO, BIOES, BMES and BILOU are all understood.

    A -DOCSTART- line begins a document, and its sentences share a group. The tags are those of the file: a B begins a
    span, any other prefix continues an open span of the same label, else begins one (as conlleval counts).

    path: a file, a folder (every file in it) or a glob; read in sorted order.
    token: column of the token, counted from 0; negative from the end.
    tag: column of the tag.
    join: what stands between two tokens: "blank", "none", or "auto": a blank, but in a sentence with Chinese characters
    nothing, except between two words in Latin letters.
    name: of this source, in every record; the path when empty.
    licence: of the records.
    limit: records at most; 0 for all.
    max_chars: a longer sentence is set aside.
    encoding: of the files.
    """
    wanted = Wanted({}, name or shown_name(path, context.base), licence, None, max_chars)

    def every() -> Iterator[Chunk | Reject]:
        for file, _ in find_files(path, "text"):
            shown = shown_name(file, context.base)
            text = lines(file, shown=shown, encoding=encoding, max_bytes=1 << 20)
            yield from chunks(shown, _sentences(text, shown, token, tag, join, max_chars))

    return Records.stream(to_records(every(), wanted, limit=limit))


@dataclass
class _Sentence:
    start: int
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    size: int = 0
    broken: str = ""


def _sentences(
    text: Iterator[Lines | Reject], shown: str, token: int, tag: int, join: Join, max_chars: int
) -> Iterator[tuple[int, dict[str, Any], str] | Reject]:
    sentence, document = _Sentence(1), 0
    for run in text:
        if isinstance(run, Reject):
            # a token is lost, and with it every offset behind it
            sentence.broken = sentence.broken or f"{run.reason} (line {run.line})"
            sentence.lines.append(run.raw)
            continue
        for number, line in zip(run.numbers, run.texts, strict=True):
            if not line.strip():
                yield from _finished(sentence, shown, document, join)
                sentence = _Sentence(number + 1)
            elif line.startswith("-DOCSTART-"):
                document += 1
            elif not (line.startswith("# ") and " = " in line):  # a comment of CoNLL-U
                _add(sentence, line, number, token, tag, max_chars)
    yield from _finished(sentence, shown, document, join)


def _add(sentence: _Sentence, line: str, number: int, token: int, tag: int, max_chars: int) -> None:
    columns = line.split("\t") if "\t" in line else line.split()
    sentence.size += len(line)
    if sentence.size > 4 * max_chars + 1000:
        sentence.broken = (
            f"too long: a sentence of more than {max_chars:,} characters, or without an empty line after it"
        )
        return
    sentence.lines.append(line)
    needed = max(token + 1 if token >= 0 else -token, tag + 1 if tag >= 0 else -tag, 2)
    if len(columns) < needed or not columns[token].strip():
        sentence.broken = sentence.broken or f"columns: {len(columns)} in line {number} where {needed} are needed"
        return
    sentence.tokens.append(columns[token].strip())
    sentence.tags.append(columns[tag].strip())


def _finished(
    sentence: _Sentence, shown: str, document: int, join: Join
) -> Iterator[tuple[int, dict[str, Any], str] | Reject]:
    raw = "\n".join(sentence.lines)
    if sentence.broken:
        yield Reject(shown, sentence.start, sentence.broken, raw[:2000])
    elif sentence.tokens:
        said, places = joined(sentence.tokens, join)
        row: dict[str, Any] = {"text": said, "spans": spans(sentence.tags, places)}
        if document:
            row["group"] = f"{shown}#{document}"
        yield sentence.start, row, raw


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
    sentences = [one[1] for one in _sentences(numbered, "", 0, -1, "auto", MAX_CHARS) if not isinstance(one, Reject)]
    if not sentences:
        return None
    size = sum(len(line.encode()) + 1 for line in first)
    whole = len(first) < LOOKED_AT and len(found) == 1
    rows = len(sentences) if whole else round(len(sentences) * sum(map(unpacked_size, found)) / max(size, 1))
    texts = [one["text"] for one in sentences]
    labels = Counter(span["label"] for one in sentences for span in one["spans"])
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
