"""Every text is embedded once: a frozen encoder, mean pooling, and a cache by content that outlives the run.

The vector of a text depends on the weights and files of the backbone folder, on max_length and on the text alone, so that
is the key. The cache is one SQLite file a backbone (write-ahead log: two processes may write at once, a torn write is
undone on the next opening); what it holds can always be made again. torch and transformers wake up only for a text that
is not in it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from burnish.core.errors import BurnishError, WeightsError
from burnish.core.packages import locked
from burnish.core.progress import Progress

Array = np.ndarray[Any, np.dtype[Any]]

# Texts of one chunk are sorted, embedded and committed together: a killed run goes on at a chunk's start and meets the
# same batches, so it ends with the same bits. 4,096 tokens a batch are the fastest on an AMX processor (benchmarks).
CHUNK = 4096
BATCH_TOKENS = 4096
LENGTH_STEP = 8  # batches are padded to a multiple: few shapes, few kernels to build
CHECK_TEXTS = 16
LEAST_COSINE = 0.999  # of a bf16 vector to its fp32 twin; below it, fp32 is used
IDENTITY_FILES = ("config.json", "backbone.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


def embed(
    texts: Sequence[str],
    folder: Path,
    *,
    cache: Path | None,
    progress: Progress,
    max_length: int = 256,
    prefix: str | None = None,
) -> Array:
    """Vectors (n, d) float32 of length 1, in input order: the mean of the last layer over a text's real tokens.

    folder: a backbone in transformers' save_pretrained layout; cache: context.cache, None to keep nothing.
    max_length: tokens read of each text. prefix: put before every text; None: what backbone.json asks for ("query: ").
    Equal texts are embedded once. Memory: the result, plus one chunk. bf16 where the processor computes it and where
    CHECK_TEXTS texts agree with fp32 at LEAST_COSINE.
    """
    said = about(folder).get("prefix", "") if prefix is None else prefix
    keys = [_key(said + text) for text in texts]
    first = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))  # key -> its first position
    unique = sorted(first.values())
    encoder: _Encoder | None = None
    out: Array | None = None
    with (
        closing(_Cache(cache, f"{identity(folder)}-{max_length}", progress)) as store,
        progress.bar("embed", len(unique), "texts") as bar,
    ):
        for at in range(0, len(unique), CHUNK):
            rows = unique[at : at + CHUNK]
            known = store.get([keys[row] for row in rows])
            missing = [row for row in rows if keys[row] not in known]
            bar.advance(len(rows) - len(missing))
            if missing:
                encoder = encoder or _Encoder(folder, max_length)
                fresh = encoder([said + texts[row] for row in missing], bar)
                made = {keys[row]: vector for row, vector in zip(missing, fresh, strict=True)}
                store.put(made)
                known |= made
            for row in rows:
                vector = known[keys[row]]
                if out is None:
                    out = np.empty((len(texts), len(vector)), dtype=np.float32)
                out[row] = vector
    if out is None:
        return np.zeros((0, _dimension(folder)), dtype=np.float32)
    for row, key in enumerate(keys):
        if first[key] != row:
            out[row] = out[first[key]]
    return out


def centre(vectors: Array) -> Array:
    """Subtract the mean and bring every row back to length 1 (n, d).

    The vectors of some encoders (e5) fill a narrow cone, where every cosine is above 0.7; centred, cosines tell texts apart.
    """
    moved = vectors - vectors.mean(axis=0, keepdims=True)
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    scaled: Array = (moved / np.maximum(length, 1e-9)).astype(np.float32)
    return scaled


def identity(folder: Path) -> str:
    """16 hexadecimal digits of a backbone folder's weights, configuration and tokenizer."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise WeightsError(
            f"no model.safetensors in {folder}", hint="give a folder in transformers' save_pretrained layout"
        )
    files = [*weights, *(folder / name for name in IDENTITY_FILES if (folder / name).exists())]
    return _identity(tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@functools.lru_cache(maxsize=16)
def _identity(files: tuple[tuple[str, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for path, _, _ in files:
        with open(path, "rb") as file:
            whole.update(Path(path).name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]


def about(folder: Path) -> dict[str, Any]:
    """backbone.json: what whoever made the folder says about it (prefix, pooling, licence)."""
    file = folder / "backbone.json"
    said: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return said


def _dimension(folder: Path) -> int:
    """d, from config.json."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return int(config.get("hidden_size") or config["dim"])


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


class _Cache:
    """key (16 bytes) -> vector, in `cache/embeddings/NAME.sqlite`; without a folder it keeps nothing."""

    def __init__(self, cache: Path | None, name: str, progress: Progress) -> None:
        self.progress = progress
        self.base: sqlite3.Connection | None = None
        if cache is None:
            return
        self.path = cache / "embeddings" / f"{name}.sqlite"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.base = sqlite3.connect(self.path, timeout=120, isolation_level=None)
        # the change to WAL does not wait for another process as other statements do: one opens it at a time
        with locked(self.path.with_suffix(".lock")), self._readable():
            self.base.execute("PRAGMA page_size=16384")  # ten vectors of 384 a page
            self.base.execute("PRAGMA journal_mode=WAL")
            self.base.execute("PRAGMA synchronous=NORMAL")
            self.base.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Array]:
        found: dict[bytes, Array] = {}
        for at in range(0, len(keys) if self.base else 0, 500):
            some = keys[at : at + 500]
            marks = ",".join("?" * len(some))
            with self._readable():
                assert self.base
                rows = self.base.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some).fetchall()
            found |= {key: np.frombuffer(blob, dtype="<f4") for key, blob in rows}
        return found

    def put(self, made: dict[bytes, Array]) -> None:
        """One transaction; the vector that was there first stays. A disk that is full costs the cache, not the run."""
        if self.base is None:
            return
        rows = [(key, np.ascontiguousarray(vector, dtype="<f4").tobytes()) for key, vector in made.items()]
        try:
            self.base.execute("BEGIN IMMEDIATE")
            self.base.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
            self.base.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self.base.in_transaction:
                self.base.execute("ROLLBACK")
            self.progress.tell(f"the embedding cache takes nothing more ({error}): {self.path}")

    def close(self) -> None:
        if self.base:
            self.base.close()

    def _readable(self) -> _Readable:
        return _Readable(self.path)


class _Readable:
    """Turns a damaged cache file into a message that says what to do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, sqlite3.DatabaseError):
            raise BurnishError(
                f"the embedding cache cannot be read: {error}",
                where=str(self.path),
                hint="delete that file: what it held is made again",
            ) from error


class _Encoder:
    """A loaded backbone: texts in, vectors out."""

    def __init__(self, folder: Path, max_length: int) -> None:
        from transformers import AutoTokenizer

        self.folder = folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model = self._load()
        self.max_length = min(max_length, self.tokenizer.model_max_length)
        self.fast: bool | None = None

    def _load(self) -> Any:
        from transformers import AutoModel

        from burnish.nn.quiet import silent_loading

        # silent, for its report of a pooler that is not there tells nobody anything; what is missing beside it is an error
        with silent_loading():
            model, said = AutoModel.from_pretrained(self.folder, local_files_only=True, output_loading_info=True)
        missing = sorted(name for name in said["missing_keys"] if "pooler" not in name)
        if missing:
            raise WeightsError(
                f"{self.folder} lacks {len(missing)} of its tensors, {missing[0]} among them",
                hint="its config.json and its weights are of two models: fetch the folder again",
            )
        return model.eval()

    def __call__(self, texts: Sequence[str], bar: Any) -> Array:
        """(n, d) float32 in the order of `texts`; moves `bar` by the texts done."""
        import torch

        ids = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]
        with torch.inference_mode():
            if self.fast is None:
                self._choose_format(ids[:CHECK_TEXTS])
            out: Array | None = None
            for rows in _batches([len(one) for one in ids]):
                vectors = self._vectors([ids[row] for row in rows])
                if out is None:
                    out = np.empty((len(texts), vectors.shape[1]), dtype=np.float32)
                out[rows] = vectors
                bar.advance(len(rows))
        assert out is not None
        return out

    def _choose_format(self, ids: Sequence[list[int]]) -> None:
        """bf16 weights and activations, three times as fast with AMX, if vectors stay where they were."""
        import torch

        self.fast = False
        if torch.cpu._is_avx512_bf16_supported():
            exact = self._vectors(ids)
            self.model = self.model.bfloat16()
            self.fast = float((self._vectors(ids) * exact).sum(axis=1).min()) >= LEAST_COSINE
            if not self.fast:
                self.model = self._load()

    def _vectors(self, ids: Sequence[list[int]]) -> Array:
        import torch

        length = -(-max(map(len, ids)) // LENGTH_STEP) * LENGTH_STEP
        length = min(length, max(self.max_length, max(map(len, ids))))
        pad = self.tokenizer.pad_token_id or 0
        tokens_BL = torch.tensor([[*one, *[pad] * (length - len(one))] for one in ids])
        real_BL = torch.tensor([[1] * len(one) + [0] * (length - len(one)) for one in ids])
        hidden_BLD = self.model(input_ids=tokens_BL, attention_mask=real_BL).last_hidden_state.float()
        real_BL1 = real_BL.unsqueeze(-1).float()
        mean_BD = (hidden_BLD * real_BL1).sum(1) / real_BL1.sum(1).clamp(min=1)
        vectors: Array = torch.nn.functional.normalize(mean_BD, dim=1).numpy()
        return vectors


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Row numbers of texts of like length, at most BATCH_TOKENS padded tokens together; longest first, so that memory
    and time are known from the first batch on."""
    rows: list[int] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if rows and (len(rows) + 1) * longest > BATCH_TOKENS:
            yield rows
            rows = []
        longest = longest if rows else -(-lengths[row] // LENGTH_STEP) * LENGTH_STEP
        rows.append(row)
    if rows:
        yield rows
