"""The text of a pre-training as windows of tokens on disk: written once, mapped into memory, never loaded whole.

    FOLDER/corpus.json                 settings, counts, the checksum of every shard
    FOLDER/{train,validation}/tokens   uint16 or uint32: all windows, one behind the other
                             /windows  int64: where each begins, and the end of the last
                             /documents, /sentences   int64: where in `tokens` each begins

A file is written in shards of about `shard_tokens` tokens; the end of each is flushed and noted with its checksum, so that
a build that was killed goes on behind its last shard and ends with the same bytes, and damage is found shard by shard.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from burnish.core.artifacts import write_json
from burnish.core.errors import BurnishError, DataError
from burnish.core.progress import Progress, Silent
from burnish.nn.examples import Examples
from burnish.nn.packing import Frame, Packer, Packing, Windows, frame_of, packer
from burnish.text.sentences import sentences as sentences_of_text

VERSION = 1  # of the layout; another number is another corpus
SIDES = ("train", "validation")
FILES: dict[str, Any] = {"tokens": None, "windows": np.int64, "documents": np.int64, "sentences": np.int64}
BATCH_CHARS, BATCH_DOCUMENTS = 1 << 20, 4096  # what one call of the tokenizer is given
MANIFEST, NOTED = "corpus.json", "noted.json"


@dataclass(frozen=True)
class Packed(Examples):
    """Windows whose tokens lie on disk (`Corpus.examples`). What is asked of a few windows reads only those.

    begins: documents and sentences, as Examples.offsets. tokens_digest: of tokens and offsets.
    """

    tokens_digest: str = ""
    document_begins: np.ndarray | None = None
    sentence_begins: np.ndarray | None = None

    def plain(self) -> Examples:
        """Without what is known of documents and sentences."""
        return Examples(**{one.name: getattr(self, one.name) for one in fields(Examples)})

    def take(self, rows: Sequence[int] | np.ndarray) -> Examples:
        """The windows at `rows`, read into memory."""
        return self.plain().take(rows)

    def digest(self) -> str:
        """A checksum of everything that can change what training does with them; reads no tokens."""
        rest = {one.name: getattr(self, one.name) for one in fields(Examples)}
        rest |= {"tokens": np.zeros(0, np.int32), "offsets": np.zeros(1, np.int64)}
        return hashlib.sha256(f"{self.tokens_digest}:{Examples(**rest).digest()}".encode()).hexdigest()

    def documents_of(self, rows: np.ndarray, *, length: int) -> np.ndarray:
        """(B, length) int64: the number of the document each token is of, -1 on padding. Costs B length log D."""
        assert self.document_begins is not None
        begins, ends = self.offsets[rows], self.offsets[np.asarray(rows) + 1]
        where_BL = begins[:, None] + np.arange(length)[None, :]
        found_BL = np.searchsorted(self.document_begins, where_BL, side="right") - 1
        return np.where(where_BL < ends[:, None], found_BL, -1)

    @cached_property
    def document_ids(self) -> np.ndarray:
        """(W) int64: the number of the document the first token of each window is of."""
        assert self.document_begins is not None
        found: np.ndarray = np.searchsorted(self.document_begins, self.offsets[:-1], side="right") - 1
        return found

    def sentences_of(self, row: int) -> np.ndarray:
        """(S) int64: tokens of window `row` at which a sentence begins, counted from the start of the window."""
        assert self.sentence_begins is not None
        begin, end = int(self.offsets[row]), int(self.offsets[row + 1])
        first, last = np.searchsorted(self.sentence_begins, [begin, end])
        return np.asarray(self.sentence_begins[first:last]) - begin


@dataclass(frozen=True)
class Corpus:
    """A folder that `build` made."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        """Raises DataError when a file is missing, or not as long as it was written."""
        folder = Path(folder)
        try:
            manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DataError("is no finished corpus", where=str(folder), hint="build it again") from error
        for side in SIDES:
            for name, size in manifest["sizes"][side].items():
                path = folder / side / name
                if not path.is_file() or path.stat().st_size != size:
                    raise DataError(f"is not the {size:,} bytes it was", where=str(path), hint="build it again")
        return cls(folder, manifest)

    @property
    def facts(self) -> dict[str, Any]:
        """Counts: documents, characters, tokens, windows of both sides, what was dropped and why."""
        return dict(self.manifest["facts"])

    @property
    def frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tokens before and behind the content of every window."""
        kept = self.manifest["settings"]["frame"]
        return tuple(kept["before"]), tuple(kept["behind"])

    def digest(self) -> str:
        """A checksum of all of it, from those of the shards."""
        decisive = {key: self.manifest[key] for key in ("settings", "shards")}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def verify(self) -> list[str]:
        """Read everything; the shards that are not what was written, as sentences."""
        found = []
        for side in SIDES:
            for name in FILES:
                with (self.folder / side / name).open("rb") as file:
                    for number, shard in enumerate(self.manifest["shards"][side]):
                        size, expected = shard[name]
                        if _digest_of(file, size) != expected:
                            found.append(
                                f"{side}/{name}: shard {number} does not have the checksum it was written with"
                            )
        return found

    def examples(self, side: str = "train") -> Packed:
        """The windows of a side, their tokens mapped into memory."""
        kind = np.dtype(self.manifest["settings"]["dtype"])
        arrays = {name: _mapped(self.folder / side / name, kind if name == "tokens" else FILES[name]) for name in FILES}
        return Packed(
            tokens=arrays["tokens"],
            offsets=arrays["windows"],
            tokens_digest=f"{self.digest()}:{side}",
            document_begins=arrays["documents"],
            sentence_begins=arrays["sentences"] if self.manifest["settings"]["packing"] == "sentences" else None,
        )


def build(
    folder: str | Path,
    documents: Iterable[str | Mapping[str, Any] | Any],
    tokenizer: Any,
    *,
    length: int = 512,
    packing: Packing = "concatenate",
    held_out: float = 0.01,
    free: int = 0,
    least: int = 4,
    shard_tokens: int = 1 << 24,
    processes: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> Corpus:
    """Write the windows of all documents into `folder`, or give the corpus that is there when it is of the same ones.

    documents: texts, or mappings or records with `text` and perhaps `group`. tokenizer: of transformers, a fast one; what
    looks like a special token in a text is read as text. length: tokens of a window. packing: see `nn.packing`.
    held_out: share of the documents for validation, drawn by content (equal texts, or texts of one `group`, fall on one
    side whatever their order). free: tokens of `length` that stay empty, for what an objective puts in.
    least: tokens of content under which a window is dropped; it is counted. shard_tokens: between two flushes.
    processes: that tokenise; what is written does not depend on it. Each holds two batches of documents (about 10 MB) and
    the longest document. A build that was killed goes on, reading the documents again but tokenising only what is new.
    """
    folder = Path(folder)
    frame = frame_of(tokenizer, packing=packing)
    backend = tokenizer.backend_tokenizer.to_str()
    settings = {
        "version": VERSION,
        "tokenizer": hashlib.sha256(backend.encode()).hexdigest(),
        "dtype": "uint16" if len(tokenizer) <= 1 << 16 else "uint32",
        "frame": {one.name: list(getattr(frame, one.name)) for one in fields(Frame)},
    }
    settings |= {"length": length, "packing": packing, "held_out": held_out, "free": free, "least": least}
    settings |= {"shard_tokens": shard_tokens, "seed": seed}
    if (folder / MANIFEST).is_file():
        return _same(Corpus.open(folder), settings, documents)
    work = _Build(folder, settings, frame)
    work.take_up()
    said = progress or Silent()
    with said.bar("tokens", None, "tokens") as bar, _encoder(backend, packing == "sentences", processes) as encoded:
        for batch in encoded(work.unread(_batches(documents))):
            before = work.tokens
            work.add(batch, unknown=tokenizer.unk_token_id)
            bar.advance(work.tokens - before)
    return work.finish()


@dataclass(frozen=True)
class _Document:
    """One document on its way: its text (None where it is dropped, and why), what decides its side, its tokens."""

    text: str | None
    why: str
    key: bytes  # of the text
    side_key: bytes  # of the group, else of the text
    tokens: np.ndarray | None = None
    sentences: np.ndarray | None = None  # lengths of its sentences, in tokens


def _batches(documents: Iterable[Any]) -> Iterator[list[_Document]]:
    """Documents in the order they came, cut by what they are and by nothing else, so that a resumed build cuts alike."""
    batch: list[_Document] = []
    size = 0
    for one in documents:
        document = _document(one)
        batch.append(document)
        size += len(document.text or "")
        if size >= BATCH_CHARS or len(batch) >= BATCH_DOCUMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _document(one: Any) -> _Document:
    if isinstance(one, Mapping):
        text, group = one.get("text"), one.get("group")
    else:
        text, group = (one, None) if isinstance(one, str) else (getattr(one, "text", None), getattr(one, "group", None))
    if not isinstance(text, str):
        return _Document(None, "no text", b"", b"")
    if not text.strip():
        return _Document(None, "empty text", b"", b"")
    try:
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
    except UnicodeEncodeError:
        return _Document(None, "not Unicode", b"", b"")
    return _Document(text, "", key, key if group is None else hashlib.blake2b(f"group:{group}".encode()).digest())


def _chained(before: bytes, batch: Sequence[_Document]) -> bytes:
    """A checksum of all documents up to the end of a batch, from that of those before it."""
    return hashlib.blake2b(before + b"".join(one.key + one.why.encode() for one in batch), digest_size=16).digest()


def _same(corpus: Corpus, settings: Mapping[str, Any], documents: Iterable[Any]) -> Corpus:
    """The corpus that is there, when these settings and these documents made it."""
    seen, read = b"", 0
    if corpus.manifest["settings"] == settings:
        for batch in _batches(documents):
            seen, read = _chained(seen, batch), read + len(batch)
    if (seen.hex(), read) != (corpus.manifest["chain"], corpus.manifest["read"]):
        raise _others(corpus.folder)
    return corpus


def _others(folder: Path) -> BurnishError:
    return BurnishError(
        "holds a corpus of other documents or settings",
        where=str(folder),
        hint="remove it, or build into another folder",
    )


class _Build:
    """The state of one `build`: what is noted at the end of each shard."""

    def __init__(self, folder: Path, settings: dict[str, Any], frame: Frame) -> None:
        self.folder, self.settings = folder, settings
        self.making = folder.with_name(f".making-{folder.name}")
        room = {"length": settings["length"] - settings["free"], "least": settings["least"]}
        self.packers: dict[str, Packer] = {side: packer(settings["packing"], frame, **room) for side in SIDES}
        self.sides: dict[str, _Side] = {}
        self.counts: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.shards: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        self.chain, self.read = b"", 0  # of all documents so far
        self.noted = (b"", 0)

    @property
    def tokens(self) -> int:
        return sum(side.tokens for side in self.sides.values())

    def take_up(self) -> None:
        """Open the files, cut back to the end of the last shard that was noted; begin anew where there is none."""
        try:
            noted = json.loads((self.making / NOTED).read_text("utf-8"))
        except (OSError, ValueError):
            noted = {}
        if noted.get("settings") != self.settings:
            shutil.rmtree(self.making, ignore_errors=True)
            noted = {}
        for side in SIDES:
            sizes = noted["sizes"][side] if noted else dict.fromkeys(FILES, 0)
            self.sides[side] = _Side(self.making / side, self.settings["dtype"], sizes)
        if noted:
            self.counts, self.dropped = Counter(noted["counts"]), Counter(noted["dropped"])
            self.shards = noted["shards"]
            self.noted = (bytes.fromhex(noted["chain"]), noted["read"])
            for side in SIDES:
                self.packers[side].restore(noted["pending"][side])

    def unread(self, batches: Iterator[list[_Document]]) -> Iterator[list[_Document]]:
        """The batches behind the last shard that was noted. Raises BurnishError when those before it are others."""
        seen, read = b"", 0
        while read < self.noted[1] and (batch := next(batches, None)) is not None:
            seen, read = _chained(seen, batch), read + len(batch)
        if (seen, read) != self.noted:
            raise _others(self.making)
        self.chain, self.read = self.noted
        yield from batches

    def add(self, batch: Sequence[_Document], *, unknown: int | None) -> None:
        """Pack and write one batch; note the end of a shard where one is full."""
        found = {side: Windows() for side in SIDES}
        for document in batch:
            if document.text is None or document.tokens is None:
                self.dropped[document.why] += 1
                continue
            side = SIDES[_drawn(document.side_key, self.settings["seed"]) < self.settings["held_out"]]
            if not len(document.tokens):
                self.dropped["no tokens"] += 1
                continue
            parts = [document.tokens]
            if document.sentences is not None:
                parts = np.split(document.tokens, np.cumsum(document.sentences)[:-1])
            self.counts[f"{side}_documents"] += 1
            self.counts["characters"] += len(document.text)
            self.counts["content_tokens"] += len(document.tokens)
            if unknown is not None:
                self.counts["unknown_tokens"] += int((document.tokens == unknown).sum())
            self.packers[side].add(parts, found[side])
        for side in SIDES:
            self._write(side, found[side])
        self.chain, self.read = _chained(self.chain, batch), self.read + len(batch)
        if any(side.fresh_tokens >= self.settings["shard_tokens"] for side in self.sides.values()):
            self._note()

    def finish(self) -> Corpus:
        """Write what has not filled a window, the last shard and the manifest; the folder's name is the last act."""
        for side in SIDES:
            last = Windows()
            self.packers[side].finish(last)
            self._write(side, last)
            self.sides[side].close_windows()
            self.shards[side].append(self.sides[side].shard())
            self.sides[side].close()
        if not self.sides["train"].tokens:
            raise DataError(
                f"no text is left for training of {self.read:,} documents ({dict(self.dropped)})",
                hint="lower `held_out` or `least`, or give more text",
            )
        manifest = {name: self._state()[name] for name in ("settings", "sizes", "shards", "chain", "read")}
        write_json(self.making / MANIFEST, manifest | {"facts": self._facts()})
        for path in (self.making / MANIFEST, self.making):
            _flush(path)
        os.replace(self.making, self.folder)
        _flush(self.folder.parent)
        (self.folder / NOTED).unlink(missing_ok=True)
        return Corpus.open(self.folder)

    def _write(self, side: str, windows: Windows) -> None:
        self.sides[side].append(windows)
        self.counts[f"{side}_windows"] += len(windows.lengths)
        self.counts[f"{side}_tokens"] += sum(windows.lengths)
        self.counts["dropped_windows"] += windows.dropped_windows
        self.counts["dropped_tokens"] += windows.dropped_tokens

    def _note(self) -> None:
        for side in SIDES:
            self.shards[side].append(self.sides[side].shard())
        write_json(self.making / NOTED, self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "sizes": {side: self.sides[side].sizes for side in SIDES},
            "shards": self.shards,
            "chain": self.chain.hex(),
            "read": self.read,
            "counts": dict(self.counts),
            "dropped": dict(self.dropped),
            "pending": {side: self.packers[side].pending() for side in SIDES},
        }

    def _facts(self) -> dict[str, Any]:
        count = self.counts
        kept = count["content_tokens"]
        return {
            "documents": count["train_documents"] + count["validation_documents"],
            "held_out": count["validation_documents"],
            "characters": count["characters"],
            "tokens": kept,
            "tokens_per_character": kept / max(count["characters"], 1),
            "unknown_rate": count["unknown_tokens"] / max(kept, 1),
            "vocabulary_used": self._used(),
            "windows": {side: count[f"{side}_windows"] for side in SIDES},
            "window_tokens": {side: count[f"{side}_tokens"] for side in SIDES},
            "dropped": dict(self.dropped),
            "dropped_windows": count["dropped_windows"],
            "dropped_tokens": count["dropped_tokens"],
        }

    def _used(self) -> int:
        """Different tokens in all windows, those of the frame among them."""
        seen = np.zeros(0, bool)
        for side in SIDES:
            tokens = _mapped(self.making / side / "tokens", np.dtype(self.settings["dtype"]))
            for at in range(0, len(tokens), 1 << 22):
                some = np.bincount(tokens[at : at + (1 << 22)]) > 0
                longer, shorter = (some, seen) if len(some) > len(seen) else (seen, some)
                longer[: len(shorter)] |= shorter
                seen = longer
        return int(seen.sum())


class _Side:
    """The four files of one side, written at their ends."""

    def __init__(self, folder: Path, dtype: str, sizes: Mapping[str, int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.kinds = {name: np.dtype(kind or dtype) for name, kind in FILES.items()}
        self.files = {name: (folder / name).open("ab") for name in FILES}
        for name, file in self.files.items():
            file.truncate(sizes[name])
        self.sizes = dict(sizes)
        self.fresh = dict.fromkeys(FILES, 0)  # bytes since the last shard
        self.sums = {name: hashlib.sha256() for name in FILES}

    @property
    def tokens(self) -> int:
        return self.sizes["tokens"] // self.kinds["tokens"].itemsize

    @property
    def fresh_tokens(self) -> int:
        return self.fresh["tokens"] // self.kinds["tokens"].itemsize

    def append(self, windows: Windows) -> None:
        begins = np.cumsum([self.tokens, *windows.lengths])[:-1]
        for name, values in (("windows", begins), ("documents", windows.documents), ("sentences", windows.sentences)):
            self._put(name, np.asarray(values))
        for tokens in windows.tokens:
            self._put("tokens", tokens)

    def close_windows(self) -> None:
        """Write where the last window ends."""
        self._put("windows", np.array([self.tokens]))

    def _put(self, name: str, values: np.ndarray) -> None:
        data = values.astype(self.kinds[name]).tobytes()
        self.files[name].write(data)
        self.sums[name].update(data)
        self.sizes[name] += len(data)
        self.fresh[name] += len(data)

    def shard(self) -> dict[str, Any]:
        """Flush the files, and say of each how many bytes are new and their checksum."""
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())
        done = {name: [self.fresh[name], self.sums[name].hexdigest()] for name in FILES}
        self.fresh = dict.fromkeys(FILES, 0)
        self.sums = {name: hashlib.sha256() for name in FILES}
        return done

    def close(self) -> None:
        for file in self.files.values():
            file.close()


def _drawn(key: bytes, seed: int) -> float:
    """Where a document stands in line, 0..1: the same in every order and every corpus."""
    return int.from_bytes(hashlib.blake2b(key + seed.to_bytes(8, "big"), digest_size=8).digest(), "big") / 2**64


Encoded = Callable[[Iterator[list[_Document]]], Iterator[list[_Document]]]


@contextmanager
def _encoder(backend: str, by_sentence: bool, processes: int) -> Iterator[Encoded]:
    """A function that gives every document of every batch its tokens, the batches in order."""
    if processes == 1:
        one = _Tokenise(backend, by_sentence)
        yield lambda batches: (_told(batch, one(_texts(batch))) for batch in batches)
        return
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_start, initargs=(backend, by_sentence)
    )
    try:
        yield lambda batches: _ahead(pool, batches, 2 * processes)
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(pool: ProcessPoolExecutor, batches: Iterator[list[_Document]], most: int) -> Iterator[list[_Document]]:
    """Batches in order, at most `most` of them on their way."""
    waiting: deque[tuple[list[_Document], Future[Any]]] = deque()
    for batch in batches:
        waiting.append((batch, pool.submit(_in_process, _texts(batch))))
        if len(waiting) >= most:
            first, found = waiting.popleft()
            yield _told(first, found.result())
    for first, found in waiting:
        yield _told(first, found.result())


def _texts(batch: Sequence[_Document]) -> list[str]:
    return [one.text for one in batch if one.text is not None]


def _told(batch: Sequence[_Document], found: Sequence[tuple[np.ndarray, np.ndarray | None]]) -> list[_Document]:
    each = iter(found)
    made = []
    for one in batch:
        if one.text is not None:
            tokens, sentences = next(each)
            one = replace(one, tokens=tokens, sentences=sentences)
        made.append(one)
    return made


class _Tokenise:
    """Texts -> tokens of each, and how many each of its sentences has where that is asked for."""

    def __init__(self, backend: str, by_sentence: bool) -> None:
        from tokenizers import Tokenizer

        self.backend, self.by_sentence = Tokenizer.from_str(backend), by_sentence
        self.backend.no_truncation()
        self.backend.no_padding()
        self.backend.encode_special_tokens = True  # a text that says [MASK] says six letters

    def __call__(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray | None]]:
        cut = [_sentences(text) if self.by_sentence else [text] for text in texts]
        encoded = self.backend.encode_batch_fast(list(chain.from_iterable(cut)), add_special_tokens=False)
        ids = [one.ids for one in encoded]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        tokens = np.fromiter(chain.from_iterable(ids), np.uint32, int(lengths.sum()))
        ends = np.concatenate([[0], np.cumsum(lengths)])
        at, made = 0, []
        for parts in cut:
            told = lengths[at : at + len(parts)]
            whole = tokens[ends[at] : ends[at + len(parts)]]
            made.append((whole, told[told > 0] if self.by_sentence else None))
            at += len(parts)
        return made


def _sentences(text: str) -> list[str]:
    """The sentences of a text with the blanks behind them; joined they are the text."""
    begins = [start for start, _ in sentences_of_text(text)]
    begins[:1] = [0]
    return [text[start:end] for start, end in zip(begins, [*begins[1:], len(text)], strict=True)]


_worker: _Tokenise | None = None  # of a process that tokenises


def _start(backend: str, by_sentence: bool) -> None:
    global _worker
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    _worker = _Tokenise(backend, by_sentence)


def _in_process(texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray | None]]:
    assert _worker is not None
    return _worker(texts)


def _mapped(path: Path, kind: Any) -> np.ndarray:
    """An array on disk; an empty file cannot be mapped."""
    if not path.stat().st_size:
        return np.zeros(0, kind)
    return np.memmap(path, dtype=kind, mode="r")


def _digest_of(file: Any, size: int) -> str:
    whole = hashlib.sha256()
    while size > 0 and (piece := file.read(min(size, 1 << 22))):
        whole.update(piece)
        size -= len(piece)
    return whole.hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
