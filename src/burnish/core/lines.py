"""Bytes of a file become numbered lines of text, in bounded memory; what is not text becomes a reject.

A line ends at LF; a CR before it is dropped. Lone CR, form feed and U+2028 are text, as they are for JSON.
"""

from __future__ import annotations

import bz2
import codecs
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from burnish.core.errors import DataError
from burnish.core.records import Reject

BLOCK = 1 << 20
RAW_CHARS = 2000
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
# what a stream of bytes raises when it is cut short or is not what its name says
BROKEN_STREAM = (OSError, EOFError, lzma.LZMAError, pa.ArrowInvalid, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Lines:
    """A run of lines with their 1-based numbers."""

    numbers: list[int]
    texts: list[str]


@contextmanager
def open_bytes(path: Path) -> Iterator[Any]:
    """Open for reading, decompressed when the name ends in .gz, .zst, .bz2 or .xz. Gives an object with read(n)."""
    with path.open("rb") as file, _unpacked(file, path.suffix.lower()) as stream:
        yield stream


def _unpacked(file: Any, suffix: str) -> Any:
    if suffix == ".xz":
        return lzma.open(file)
    if suffix == ".bz2":
        return bz2.open(file)
    if suffix in (".gz", ".zst"):
        return pa.CompressedInputStream(file, "gzip" if suffix == ".gz" else "zstd")
    return file


def unpacked_size(path: Path) -> int:
    """Bytes after decompression, estimated from the first 4 MiB of them."""
    size = path.stat().st_size
    if path.suffix.lower() not in COMPRESSED:
        return size
    try:
        with path.open("rb") as file, _unpacked(file, path.suffix.lower()) as stream:
            out = 0
            while out < 4 << 20 and (piece := stream.read(BLOCK)):
                out += len(piece)
            return round(out * size / max(min(file.tell(), size), 1))
    except BROKEN_STREAM:
        return size


def bare_suffix(path: Path) -> str:
    """The suffix under a compression suffix: a.jsonl.gz is .jsonl."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return name.suffix.lower()


def lines(path: Path, *, shown: str, encoding: str = "utf-8", max_bytes: int) -> Iterator[Lines | Reject]:
    """Read a text file as runs of lines.

    shown: the file's name in rejects. encoding: any codec of Python; UTF-8 may begin with a byte order mark, and a
    file that begins with one of UTF-16 is read as that. max_bytes: a longer line is rejected, without holding it.
    Needs memory for one block of 1 MiB and one line of max_bytes.
    """
    try:
        codec = codecs.lookup(encoding).name
    except LookupError as error:
        raise DataError(f"no encoding {encoding!r}", where=shown, hint="utf-8, gb18030, latin-1, utf-16 …") from error
    number = 1
    try:
        with open_bytes(path) as stream:
            first = stream.read(BLOCK)
            if codec == "utf-8" and first[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                codec = "utf-16"
            source: Any = _Rejoined(first, stream)
            if codec.startswith(("utf-16", "utf-32")):  # a newline is not one byte there: go by way of UTF-8
                source, codec = _Transcoded(source, codec), "utf-8"
            for block in _blocks(source, max_bytes):
                number = block.number
                if block.too_long:
                    yield Reject(
                        shown, number, f"too long: a line of more than {max_bytes:,} bytes", _lossy(block.data)
                    )
                else:
                    yield from _decoded(block, codec, shown)
                    number += block.data.count(b"\n") + 1
    except BROKEN_STREAM as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise DataError(f"cannot be read: {error.strerror}", where=shown) from error
        yield Reject(shown, number, f"broken file: {error}; what follows line {number} is lost")


@dataclass(frozen=True, slots=True)
class _Block:
    """Whole lines without their last newline; or, when too_long, the first bytes of one line."""

    offset: int
    number: int
    data: bytes
    too_long: bool = False


def _blocks(stream: Any, max_bytes: int) -> Iterator[_Block]:
    held: list[bytes] = []  # the beginning of a line that has not ended
    size = offset = 0
    number, head = 1, b""  # head: set while the rest of a line too long is skipped
    while piece := stream.read(BLOCK):
        if head:
            end = piece.find(b"\n")
            offset += len(piece) if end < 0 else end + 1
            if end < 0:
                continue
            yield _Block(offset, number, head, too_long=True)
            piece, number, head = piece[end + 1 :], number + 1, b""
        cut = piece.rfind(b"\n")
        if cut < 0:
            held.append(piece)
            size += len(piece)
            if size > max_bytes:
                head = b"".join(held)[: 4 * RAW_CHARS]
                offset, size, held = offset + size, 0, []
            continue
        data = b"".join([*held, piece[:cut]])
        yield _Block(offset, number, data)
        number += data.count(b"\n") + 1
        offset += len(data) + 1
        held, size = [piece[cut + 1 :]], len(piece) - cut - 1
    if head:
        yield _Block(offset, number, head, too_long=True)
    elif size:
        yield _Block(offset, number, b"".join(held))


def _decoded(block: _Block, codec: str, shown: str) -> Iterator[Lines | Reject]:
    """Decode at once; line by line only where a block is not text."""
    data, number, offset = block.data, block.number, block.offset
    if offset == 0 and codec == "utf-8" and data.startswith(codecs.BOM_UTF8):
        data, offset = data[3:], 3
    try:
        texts = data.decode(codec).split("\n")
        yield Lines(list(range(number, number + len(texts))), [text.removesuffix("\r") for text in texts])
        return
    except UnicodeDecodeError:
        pass
    good = Lines([], [])
    for at, raw in enumerate(data.split(b"\n"), start=number):
        try:
            good.texts.append(raw.decode(codec).removesuffix("\r"))
            good.numbers.append(at)
        except UnicodeDecodeError as error:
            yield good  # in order: a reader of sentences or paragraphs must know what was lost between which lines
            good = Lines([], [])
            where = f"byte 0x{raw[error.start]:02x} at offset {offset + error.start:,} of the file"
            yield Reject(shown, at, f"not {codec.upper()}: {where} ({error.reason})", _lossy(raw))
        offset += len(raw) + 1
    yield good


def _lossy(raw: bytes) -> str:
    """For the quarantine: bytes that are not UTF-8 become lone surrogates, which Records.save escapes."""
    return raw[: 4 * RAW_CHARS].decode("utf-8", "surrogateescape")[:RAW_CHARS]


class _Rejoined:
    """A stream whose first block was looked at."""

    def __init__(self, first: bytes, stream: Any) -> None:
        self.first, self.stream = first, stream

    def read(self, size: int) -> bytes:
        if self.first:
            first, self.first = self.first, b""
            return first
        return bytes(self.stream.read(size))


class _Transcoded(io.RawIOBase):
    """UTF-16 or UTF-32 read as UTF-8."""

    def __init__(self, stream: Any, codec: str) -> None:
        self.stream, self.decoder = stream, codecs.getincrementaldecoder(codec)()

    def read(self, size: int = BLOCK) -> bytes:
        while raw := self.stream.read(size):
            if text := self.decoder.decode(raw):
                return text.encode("utf-8", "surrogatepass")
        return self.decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
