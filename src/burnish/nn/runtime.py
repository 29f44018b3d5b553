"""An exported encoder that answers: tokenizers, ONNX Runtime and numpy, nothing heavier.

This file is what a serving process imports, so it must not wake torch or transformers: a process that holds
one small model starts in half a second and lives in under 200 MiB.
Shapes: N texts, B rows of a batch, S tokens, C outputs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np

from burnish.core.errors import BurnishError
from burnish.nn.examples import Examples
from burnish.nn.models import Head, gathered, per_window
from burnish.nn.pictures import Sight

CARD = "burnish.json"
GRAPH = "model.onnx"
ENCODER, DECODER, BEGIN = "encoder.onnx", "decoder.onnx", "begin.npz"  # of a network that writes (`writing_graphs`)
BATCH_TOKENS = 512  # per-channel int8 on one core: 676 texts/s at 512 tokens a batch, 631 at 1,024, 574 at 2,048
# Padded tokens that may be added to the shorter rows to spare a batch of its own. One more batch costs half a
# millisecond, a token 55 microseconds. Groups of 16 texts of 5-60 words, int8, texts per CPU-second: 318 at 40,
# 383 at 10, 409 at 5, 410 at 0; all texts sorted: 483.
STRETCH_TOKENS = 5


def read_card(folder: Path) -> dict[str, Any]:
    """Read the `burnish.json` of a model folder: task, labels, version, max_length, temperature."""
    path = Path(folder) / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BurnishError(
            f"no {CARD} in {folder}", where=str(path), hint="name the model folder of a run, such as runs/NAME/deploy"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BurnishError(f"{CARD} is not JSON: {error}", where=str(path), hint="export the model again") from error
    if not isinstance(card, dict) or not isinstance(card.get("task"), dict):
        raise BurnishError(f"{CARD} has no task", where=str(path), hint="export the model again")
    return card


def sealed(folder: Path) -> dict[str, dict[str, Any]]:
    """{name: {bytes, sha256}} of the files of a bundle but its card, for the card's `files`."""
    made = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == CARD or not path.is_file():
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        made[name] = {"bytes": path.stat().st_size, "sha256": digest}
    return made


def check_whole(folder: Path, card: Mapping[str, Any]) -> None:
    """Raise BurnishError where a file that the card names is missing or cut short; hashes are for who copies a bundle."""
    for name, said in card.get("files", {}).items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != said["bytes"]:
            state = "is missing" if found is None else f"has {found:,} bytes"
            raise BurnishError(
                f"{name} {state}, and {CARD} says {said['bytes']:,}",
                where=str(folder),
                hint="copy the whole folder, or export the model again",
            )


def plan_batches(lengths: Sequence[int], *, batch_tokens: int, stretch_tokens: int = STRETCH_TOKENS) -> list[list[int]]:
    """Group texts of like length: indices of each batch, longest text last.

    lengths: tokens of each text. batch_tokens: most padded tokens a batch may hold; one longer text is a batch alone.
    stretch_tokens: most padding that a text may add to the shorter rows of the batch it joins.
    """
    batches: list[list[int]] = []
    size = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[index]
        rows = batches[-1] if batches else []
        fits = (len(rows) + 1) * length <= batch_tokens and (length - size) * len(rows) <= stretch_tokens
        if rows and fits:
            rows.append(index)
        else:
            batches.append([index])
        size = length
    return batches


class OnnxRuntimeEngine:
    """The network of a deployed folder (`model.onnx`, `tokenizer.json`, `burnish.json`) as one function.

    sessions: batches of one call that run at the same time; "auto" is one per core this process may use.
    threads: threads inside one batch; one thread in each of several sessions beats several threads in one.
    batch_tokens: padded tokens in one batch.
    Safe to call from several threads at once. One copy of the weights serves all of them: `run` is reentrant, and
    with one thread a batch is computed by the thread that asks for it.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        sessions: int | Literal["auto"] = "auto",
        threads: int = 1,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        self.folder = Path(folder)
        self.card = read_card(self.folder)
        check_whole(self.folder, self.card)
        self.sight = Sight.of(self.card["sight"]) if "sight" in self.card else None
        self.max_length = int(self.card.get("max_length", 512))
        self.batch_tokens = batch_tokens
        self.head = Head.of(self.card)
        self.tokenizer, self.pad_id = _load_tokenizer(self.folder, self.card)
        self.session = open_session(self.folder / GRAPH, threads)
        self.inputs = {node.name for node in self.session.get_inputs()}
        self.sessions = usable_cores() if sessions == "auto" else sessions

    def outputs(self, examples: Examples) -> Any:
        """Compute raw outputs of all windows, in order: float32 (W, C), or a list of one array a window (`models`)."""
        return gathered(len(examples), self.stream(examples))

    def stream(self, examples: Examples) -> Iterator[tuple[list[int], Any]]:
        """Compute batch after batch, short windows first: their indices, and their outputs."""
        lengths = examples.lengths.tolist()
        beside = self.sight.tokens if self.sight else 0  # an image costs the tokens it becomes
        read = [length + beside for length in lengths] if beside else lengths
        batches = plan_batches(read, batch_tokens=self.batch_tokens)

        def run(rows: list[int]) -> Any:
            return self._run(examples, rows, lengths[rows[-1]])

        if self.sessions > 1 and len(batches) > 1:
            with ThreadPoolExecutor(self.sessions) as pool:
                yield from zip(batches, pool.map(run, batches), strict=True)
        else:
            yield from ((rows, run(rows)) for rows in batches)

    @property
    def num_outputs(self) -> int:
        """The last axis of the first output."""
        return int(self.session.get_outputs()[0].shape[-1])

    def _run(self, examples: Examples, rows: list[int], length: int) -> Any:
        ids = np.full((len(rows), length), self.pad_id, np.int64)
        mask = np.zeros_like(ids)
        types = np.zeros_like(ids)
        for at, row in enumerate(rows):
            window = examples.window(row)
            size = window.stop - window.start
            ids[at, :size] = examples.tokens[window]
            mask[at, :size] = 1
            if examples.types is not None:
                types[at, :size] = examples.types[window]
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        if self.sight is not None:
            if examples.images is None:
                raise ValueError("an image is wanted for every text")
            feed["pixel_values"] = self.sight.pixels(examples.images[rows])
        found = self.session.run(None, {name: feed[name] for name in self.inputs})
        names = [node.name for node in self.session.get_outputs()]
        outputs = found[0] if self.head.kind != "several" else dict(zip(names, found, strict=True))
        return per_window(outputs, self.head, examples.lengths[rows])


def usable_cores() -> int:
    """Count the cores this process may run on, which in a container is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load_tokenizer(folder: Path, card: dict[str, Any]) -> tuple[Any, int]:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise BurnishError("no tokenizer.json", where=str(folder), hint="export the model again")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()  # rows are padded here, to the longest of their batch
    known = [tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>", "<|padding|>")]
    pad_id = card.get("pad_token_id", next((found for found in known if found is not None), 0))
    return tokenizer, int(pad_id)


def open_session(path: Path, threads: int) -> Any:
    """A graph ready to compute; its threads wait without spinning."""
    import onnxruntime

    if not path.is_file():
        raise BurnishError(
            f"no {path.name}", where=str(path.parent), hint="this folder is not deployed: run compress first"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # a thread that spins while it waits takes the core from the session beside it
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
