"""The records under review, opened once: any row at once, filters as arrays, the text on disk.

The file is copied into Arrow's own format, uncompressed, in a folder of its own, and mapped into memory: a row costs what it
holds, not a whole compressed group. In memory lie an id, a few numbers and the places of labels, labellers and slices: about
200 bytes a record, measured by benchmarks/review.py.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from burnish.core.artifacts import Records
from burnish.core.records import INPUT, labels_of
from burnish.review.targets import in_words, open_row, shown
from burnish.tasks.editors import Editor, reach

Rows = NDArray[np.int64]
SNIPPET = 160  # characters of a record in a list
REMEMBERED = 32  # searches
NONE = "∅"  # the name of "no label", "no language", in a filter


class Shelf:
    """n records. `labels`, `labellers`, `suspects` and `slices` tell in which rows each stands."""

    def __init__(self, records: Records, task: Any, editors: Sequence[Editor], slices: Sequence[str]) -> None:
        self.task, self.editors = task, tuple(editors)
        self._folder = Path(tempfile.mkdtemp(prefix="burnish-review-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.ids: list[str] = []
        labels: dict[str, list[int]] = defaultdict(list)
        labellers: dict[str, list[int]] = defaultdict(list)
        by_slice: dict[str, dict[str, list[int]]] = {one: defaultdict(list) for one in slices}
        suspects: list[int] = []
        self.marks: set[str] = set()  # labels of spans that the records have, for editors that leave them open
        self._batches: list[pa.RecordBatch] = []
        self._starts = [0]
        path = self._folder / "records.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, records_schema()) as writer:
            for table in records.batches():
                for batch in table.combine_chunks().to_batches():
                    self._index(batch, len(self.ids), labels, labellers, by_slice, suspects)
                    writer.write_batch(batch)
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            self._batches = [reader.get_batch(at) for at in range(reader.num_record_batches)]
        for batch in self._batches:
            self._starts.append(self._starts[-1] + len(batch))
        self.rows = {one: row for row, one in enumerate(self.ids)}
        self.labels, self.labellers = _places(labels), _places(labellers)
        self.slices = {name: _places(one) for name, one in by_slice.items()}
        self.suspects = np.array(suspects, dtype=np.int64)
        self._searches: OrderedDict[str, NDArray[np.bool_]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.ids)

    def _index(
        self,
        batch: pa.RecordBatch,
        first: int,
        labels: dict[str, list[int]],
        labellers: dict[str, list[int]],
        slices: Mapping[str, dict[str, list[int]]],
        suspects: list[int],
    ) -> None:
        self.ids += batch["id"].to_pylist()
        names = [one for one in (*self.task.target, "spans", "meta") if one in batch.schema.names]
        for at, row in enumerate(batch.select(list(dict.fromkeys(names))).to_pylist()):
            for label in self._labels(open_row(row)):
                labels[label].append(first + at)
            if self.editors[0].open:
                self.marks.update(one["label"] for one in row.get("spans") or ())
        offsets = np.repeat(
            np.arange(len(batch)), pc.fill_null(pc.list_value_length(batch["votes"]), 0).to_numpy(zero_copy_only=False)
        )
        who = pc.list_flatten(batch["votes"]).field("labeller").to_pylist() if len(offsets) else []
        for at, name in dict.fromkeys(zip(offsets.tolist(), who, strict=True)):
            labellers[name].append(first + at)
        for name, places in slices.items():
            values = batch["meta"].to_pylist() if name.startswith("meta.") else batch[name].to_pylist()
            for at, value in enumerate(values):
                if name.startswith("meta."):
                    value = open_row({"meta": value})["meta"].get(name.removeprefix("meta."))
                places[NONE if value is None else str(value)].append(first + at)
        for at, findings in enumerate(batch["findings"].to_pylist()):
            if any((one["action"] or "").split(":")[0] in ("review", "relabel") for one in findings or ()):
                suspects.append(first + at)

    def _labels(self, row: Mapping[str, Any]) -> set[str]:
        """The labels that an open row's target names; NONE where it has no target."""
        found: set[str] = set()
        nothing = True
        for editor in self.editors:
            value = editor.shown(row)
            if value is None:
                value = next((reach(row, one) for one in editor.clears if reach(row, one) is not None), None)
            nothing = nothing and value is None
            if editor.kind in ("label", "labels", "spans", "relations") and value is not None:
                kind = "label" if isinstance(value, str) else editor.kind
                own = labels_of({kind: value}, (kind,))
                found.update(f"{editor.name}: {one}" if editor.name else one for one in own)
        return {NONE} if nothing else found

    def row(self, at: int) -> dict[str, Any]:
        """The row at a place, its meta opened."""
        batch = int(np.searchsorted(self._starts, at, side="right")) - 1
        one: dict[str, Any] = self._batches[batch].slice(at - self._starts[batch], 1).to_pylist()[0]
        return open_row(one)

    def read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The input of an open row as the model reads it: with the text that `inputs` of the task makes."""
        given = {name: row.get(name) for name in INPUT}
        if self.task.plan is None:
            return given
        made = self.task.read(pa.Table.from_pylist([{**row, "meta": _as_json(row["meta"])}], schema=records_schema()))
        return {**given, **made.select(["text", "text_b"]).to_pylist()[0]}

    def item(self, at: int) -> dict[str, Any]:
        """A row as it stands in a list."""
        row = self.row(at)
        asked = [turn["content"] for turn in row["messages"] or () if turn["role"] == "user"]
        said = asked[-1] if asked else "".join(piece.text for piece in self.task.pieces(self.read(row), None))
        target = in_words(shown(row, self.editors), row, self.editors)
        return {"id": row["id"], "row": at, "text": " ".join(said[: 4 * SNIPPET].split())[:SNIPPET], "target": target}

    def search(self, words: str) -> NDArray[np.bool_]:
        """(n,) which records hold the words as they are written, large and small letters alike."""
        key = words.casefold()
        if key not in self._searches:
            found = np.concatenate([np.zeros(0, dtype=bool), *self._found(words)])
            found |= np.fromiter((words == one for one in self.ids), dtype=bool, count=len(self.ids))
            self._searches[key] = found
            while len(self._searches) > REMEMBERED:
                self._searches.popitem(last=False)
        self._searches.move_to_end(key)
        return self._searches[key]

    def _found(self, words: str) -> Iterator[NDArray[np.bool_]]:
        for batch in self._batches:
            found = np.zeros(len(batch), dtype=bool)
            for name in ("text", "text_b", "output"):
                if batch[name].null_count < len(batch):
                    hit = pc.match_substring(batch[name], words, ignore_case=True)
                    found |= pc.fill_null(hit, False).to_numpy(zero_copy_only=False)
            turns = batch["messages"]
            if turns.null_count < len(batch):
                of = pc.list_parent_indices(turns).to_numpy()
                hit = pc.match_substring(pc.list_flatten(turns).field("content"), words, ignore_case=True)
                found[of[pc.fill_null(hit, False).to_numpy(zero_copy_only=False)]] = True
            yield found


def records_schema() -> pa.Schema:
    """The schema of records."""
    from burnish.core.records import SCHEMA

    return SCHEMA


def _as_json(meta: Any) -> str | None:
    import json

    return json.dumps(meta, ensure_ascii=False) if meta else None


def _places(found: Mapping[str, list[int]]) -> dict[str, Rows]:
    """Names with the rows they stand in, the most frequent first."""
    ordered = sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return {name: np.array(rows, dtype=np.int64) for name, rows in ordered}
