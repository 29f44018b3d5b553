"""Objects out of JSON files of any size, one at a time: JSON Lines, an array, or an array under a key of one object.

An array is cut into its items by counting brackets outside strings, so that a broken item costs that item alone; memory
holds one of them. Reasons of rejects: broken JSON, not an object, not UTF-8, not Unicode, too long, broken file.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.core.errors import DataError
from burnish.core.formats import parse
from burnish.core.lines import BLOCK, BROKEN_STREAM, open_bytes
from burnish.core.records import Reject
from burnish.core.rows import MAX_CHARS

Item = tuple[int | None, dict[str, Any], str]
_OUTSIDE, _INSIDE, _ANY = re.compile(r'["\[\]{},]'), re.compile(r'["\\]'), re.compile(r"\S")


def objects(
    path: Path, *, shown: str, key: str = "", max_chars: int = MAX_CHARS, item_chars: int = 0
) -> Iterator[Item | Reject]:
    """The objects of a file as (line, object, as it stands).

    key: the array stands under this key of one object, unless the file is an array or JSON Lines.
    max_chars: of a text; item_chars: of an item, 12 times as much and some by default (JSON may write 12 bytes for one).
    """
    kind = shape(path, key)
    if kind == "lines":
        for chunk in parse(path, "jsonl", shown=shown, max_chars=max_chars):
            if isinstance(chunk, Reject):
                yield chunk
            else:
                yield from zip(chunk.numbers, chunk.rows, chunk.raws or (), strict=True)
        return
    most = item_chars or 12 * max_chars + (1 << 16)
    for found in _items(path, shown, key if kind == "object" else "", most):
        yield found if isinstance(found, Reject) else _read(shown, *found)


def shape(path: Path, key: str = "") -> str:
    """What a JSON file is, by its beginning: "array", "object" (with `key`), or "lines"."""
    head = beginning(path)
    first = head.lstrip()
    if first.startswith("["):
        return "array"
    if not key or not re.search(rf'"{re.escape(key)}"\s*:\s*\[', head):
        return "lines"
    line = first.split("\n", 1)[0]
    try:
        row = json.loads(line)
    except ValueError:
        return "object"
    return "object" if isinstance(row.get(key), list) and not first[len(line) :].strip() else "lines"


def beginning(path: Path, size: int = 1 << 16) -> str:
    """The first characters of a text file; what is not UTF-8 is replaced."""
    try:
        with open_bytes(path) as stream:
            raw: bytes = stream.read(size)
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=str(path)) from error
    except BROKEN_STREAM:
        return ""
    codec = "utf-16" if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return raw.decode(codec, "replace")


def _read(shown: str, line: int, raw: str) -> Item | Reject:
    try:
        raw.encode()
        row = json.loads(raw, parse_constant=_no_constant)
        if not isinstance(row, dict):
            return Reject(shown, line, "not an object: the item is a list, a text or a number", raw[:2000])
        if "\\ud" in raw or "\\uD" in raw:
            json.dumps(row, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        return Reject(shown, line, f"broken JSON: {error.msg} at character {error.pos} of the item", raw[:2000])
    except UnicodeEncodeError:
        why = "not Unicode: an escape stands for half a character" if raw.isprintable() else "not UTF-8: in this item"
        return Reject(shown, line, why, raw[:2000])
    except (ValueError, RecursionError) as error:
        return Reject(shown, line, f"broken JSON: {error}"[:300], raw[:2000])
    return line, row, raw


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _items(path: Path, shown: str, key: str, most: int) -> Iterator[tuple[int, str] | Reject]:
    """(line, item as it stands) of the array."""
    opening = re.compile(rf'(?<!\\)"{re.escape(key)}"\s*:\s*\[' if key else r"\[")
    held, at, line = "", 0, 1  # at: what was looked at of what is held
    counted = 0  # lines of held were counted up to here
    start: int | None = None
    opened = inside = skipping = False
    depth = 0
    for piece in _texts(path, shown):
        if isinstance(piece, Reject):
            yield piece
            break
        held += piece
        if not opened:
            found = opening.search(held)
            if not found:
                continue
            opened, at = True, found.end()
        while mark := (_INSIDE if inside else _ANY if start is None else _OUTSIDE).search(held, at):
            place, said = mark.start(), mark[0]
            if said == "\\":
                if place + 1 >= len(held):
                    at = place
                    break
                at = place + 2
                continue
            at = place + 1
            if inside:
                inside = said != '"'
                continue
            if said == ",":
                if depth == 0:
                    if start is not None and not skipping:
                        line += held.count("\n", counted, start)
                        counted = start
                        yield line, held[start:place]
                    start, skipping = None, False
                continue
            if start is None and said not in "]}":
                start = place
                if said not in '"[{':
                    continue  # a number or a name
            if said == '"':
                inside = True
            elif said in "[{":
                depth += 1
            elif depth == 0:
                if start is not None and not skipping:
                    line += held.count("\n", counted, start)
                    yield line, held[start:place]
                return
            else:
                depth -= 1
        else:
            at = len(held)
        if start is not None and len(held) - start > most and not skipping:
            line += held.count("\n", counted, start)
            yield Reject(shown, line, f"too long: an item of more than {most:,} characters", held[start : start + 2000])
            counted, skipping = start, True
        cut = at if start is None or skipping else start
        line += held.count("\n", counted, cut)
        held, at = held[cut:], at - cut
        counted, start = 0, None if start is None else 0
    left = held[start:] if start is not None else held
    yield Reject(shown, line, "broken file: it ends before its array does", left[:2000])


def _texts(path: Path, shown: str) -> Iterator[str | Reject]:
    """Pieces of a text file; bytes that are not UTF-8 become lone surrogates, which condemn the item they are in."""
    try:
        with open_bytes(path) as stream:
            raw = stream.read(BLOCK)
            wide = raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8-sig")(
                "replace" if wide else "surrogateescape"
            )
            while raw:
                yield decoder.decode(raw)
                raw = stream.read(BLOCK)
            yield decoder.decode(b"", final=True)
    except BROKEN_STREAM as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise DataError(f"cannot be read: {error.strerror}", where=shown) from error
        yield Reject(shown, None, f"broken file: {error}; what follows is lost")
