"""Folders of Hugging Face data sets: read without their library, written with a card that says how the data was made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from burnish.core.artifacts import Records
from burnish.core.errors import DataError
from burnish.core.formats import from_arrow, parquet_batches
from burnish.core.lines import BROKEN_STREAM
from burnish.core.records import SCHEMA, Reject
from burnish.core.rows import MAX_CHARS
from burnish.core.stage import nearest
from burnish.formats.base import FORMATS, Format, Look, Parsed, Told, used, whole
from burnish.formats.tables import rows_of

# https://github.com/huggingface/hub-docs/blob/main/datasetcard.md: how many records, as the hub's filter knows it
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


@FORMATS.part("huggingface")
@dataclass(frozen=True)
class HuggingFace(Format):
    """A folder of a data set: Parquet files a split, and README.md with features, splits, licence, languages and how the data
    was made. Folders that `save_to_disk` wrote are read too; names of classes are the labels, -1 is none.

    split: one split to read; all of them when empty.
    """

    split: str = ""

    suffix: ClassVar[str] = ""
    folder: ClassVar[bool] = True

    def files(self, path: Path) -> list[Path]:
        return data_files(path, self.split)

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        names, row = class_names(features(path), "label") or {}, 0
        try:
            for batch in arrow_batches(path):
                for item in from_arrow(batch, shown, first=row, columns=tuple(batch.schema.names)):
                    if isinstance(item, Reject):
                        yield item
                        continue
                    for number, one, raw in rows_of(item):
                        if names and isinstance(one.get("label"), int):
                            one["label"] = names.get(str(one["label"])) or None
                        yield number, one, raw
                row += batch.num_rows
        except FileNotFoundError as error:
            raise DataError("a file of the data set is missing", where=shown, hint="copy the whole folder") from error
        except BROKEN_STREAM as error:
            yield Reject(shown, None, f"broken file: {error}; what follows row {row} is lost")

    def write(self, records: Records, out: Path, told: Told) -> None:
        self.write_sides({"train": records}, out, told)

    def write_sides(self, sides: Mapping[str, Records], out: Path, told: Told) -> None:
        """Every side as a split of one data set; a side without a record is left away."""
        columns = frozenset().union(*(used(records) for records in sides.values())) | {"id"}
        schema = pa.schema([SCHEMA.field(name) for name in SCHEMA.names if name in columns])
        splits, seen = [], _Seen()
        for side, records in sides.items():
            file, count = out / "data" / f"{side}-00000-of-00001.parquet", 0
            with whole(file, "wb") as target, pq.ParquetWriter(target, schema, compression="zstd") as writer:
                for batch in records.batches(list(dict.fromkeys([*schema.names, *seen.counts]))):
                    seen.add(batch)
                    writer.write_table(batch.select(schema.names))
                    count += len(batch)
            if not count:
                file.unlink()
                continue
            splits.append({"name": side, "num_bytes": file.stat().st_size, "num_examples": count})
            told.files.append(f"data/{file.name}")
            told.records += count
        with whole(out / "README.md") as card:
            card.write(_card(out.name, schema, splits, seen, told.facts))
        told.files.append("README.md")

    @classmethod
    def fits(cls, look: Look) -> str:
        if not look.path.is_dir():
            return ""
        if any((look.path / name).exists() for name in ("dataset_dict.json", "state.json")):
            return "save_to_disk wrote the folder"
        if next(look.path.rglob("*.parquet"), None) or next(look.path.rglob("*.arrow"), None):
            return "the folder holds Parquet or Arrow files"
        return ""


class _Seen:
    """Counts of what the card tells."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("source", "licence", "language", "label_from", "label")
        }

    def add(self, batch: pa.Table) -> None:
        for name, counter in self.counts.items():
            if name in batch.column_names:
                counter.update(one for one in batch[name].to_pylist() if one is not None)


def _card(name: str, schema: pa.Schema, splits: list[dict[str, Any]], seen: _Seen, facts: dict[str, Any]) -> str:
    """README.md: a head that the hub and `datasets` read, and a page for people."""
    total = sum(one["num_examples"] for one in splits)
    licences = sorted(seen.counts["licence"])
    head: dict[str, Any] = {"pretty_name": facts.get("name") or name}
    if len(licences) == 1:
        head["license"] = licences[0].lower()
    elif licences:
        head |= {"license": "other", "license_name": "several", "license_details": ", ".join(licences)}
    head["language"] = sorted(seen.counts["language"]) or None
    head["task_categories"] = [facts["pipeline"]] if facts.get("pipeline") else None
    head["size_categories"] = [next((said for most, said in SIZES if total < most), "n>10M")]
    head["tags"] = ["burnish"]
    size = sum(one["num_bytes"] for one in splits)
    head["dataset_info"] = {
        "features": [_feature(field.name, field.type) for field in schema],
        "splits": splits, "download_size": size, "dataset_size": size,
    }  # fmt: skip
    head["configs"] = [
        {
            "config_name": "default",
            "data_files": [{"split": one["name"], "path": f"data/{one['name']}-*"} for one in splits],
        }
    ]
    dumped = yaml.safe_dump({k: v for k, v in head.items() if v}, sort_keys=False, allow_unicode=True)
    parts = [f"---\n{dumped}---", f"# {facts.get('name') or name}"]
    parts.append("## Splits\n\n" + _counted("split", {one["name"]: one["num_examples"] for one in splits}))
    for title, key, absent in (
        ("Sources", "source", ""), ("Licences", "licence", "No source states a licence."),
        ("Languages", "language", ""), ("Labels", "label", ""), ("Who set the target", "label_from", ""),
    ):  # fmt: skip
        if seen.counts[key] or absent:
            parts.append(f"## {title}\n\n" + (_counted(title, dict(seen.counts[key].most_common())) or absent))
    if steps := facts.get("steps"):
        parts.append("## How it was made\n\n" + "\n".join(f"{at}. {one}" for at, one in enumerate(steps, start=1)))
    parts += facts.get("chapters", [])
    parts.append("Written by `burnish export`; `burnish import` reads it back, ids included.")
    return "\n\n".join(parts) + "\n"


def _counted(title: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    rows = [f"| {_cell(name)} | {count:,} |" for name, count in counts.items()]
    return "\n".join([f"| {title.lower()} | records |", "|---|--:|", *rows])


def _cell(said: str) -> str:
    """A text of the data inside a table of Markdown: no bars, no markup."""
    flat = " ".join(said.split()).replace("\\", "\\\\").replace("|", "\\|")
    return flat.replace("<", "&lt;").replace("[", "\\[")


def _feature(name: str, kind: pa.DataType) -> dict[str, Any]:
    """A column as dataset_info describes it."""
    return {"name": name, **_kind(kind)}


def _kind(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        inner = _kind(kind.value_type)
        return {"list": inner.get("dtype") or inner["struct"]}
    if pa.types.is_struct(kind):
        return {"struct": [_feature(field.name, field.type) for field in kind]}
    return {"dtype": {"double": "float64", "float": "float32"}.get(str(kind), str(kind))}


def data_files(path: Path, split: str) -> list[Path]:
    """The files in their own order. A cache file beside them is not data: state.json names those that are."""
    if (path / "dataset_dict.json").exists():
        splits = json.loads((path / "dataset_dict.json").read_text("utf-8"))["splits"]
        if split and split not in splits:
            raise DataError(f"there is no split {split!r}", where=str(path), hint=nearest(split, splits, "splits"))
        return [file for one in ([split] if split else splits) for file in data_files(path / one, "")]
    if (path / "state.json").exists():
        state = json.loads((path / "state.json").read_text("utf-8"))
        return [path / one["filename"] for one in state["_data_files"]]
    files = [path] if path.is_file() else sorted([*path.rglob("*.parquet"), *path.rglob("*.arrow")])
    # the hub's layouts: data/train-00000-of-00001.parquet, and config/train/0000.parquet
    chosen = [
        one for one in files if not split or one.name.startswith((f"{split}-", f"{split}.")) or one.parent.name == split
    ]
    if not chosen:
        what = f"no Parquet or Arrow file of the split {split!r}" if split else "no Parquet or Arrow file"
        raise DataError(
            f"{what} here", where=str(path), hint="path is a save_to_disk folder, or holds .parquet or .arrow"
        )
    return chosen


def features(file: Path) -> dict[str, Any]:
    """The data set's own description of its columns, which lies in the schema's metadata."""
    try:
        schema = pq.read_schema(file) if file.suffix == ".parquet" else _open_arrow(file).schema
    except BROKEN_STREAM:
        return {}  # reading it will say so
    stored = (schema.metadata or {}).get(b"huggingface")
    return json.loads(stored).get("info", {}).get("features", {}) if stored else {}


def class_names(features: Any, column: str) -> dict[str, str] | None:
    feature = features.get(column, {}) if isinstance(features, dict) else {}
    for one in (feature, feature.get("feature", {}) if isinstance(feature, dict) else {}):
        if isinstance(one, dict) and one.get("_type") == "ClassLabel" and one.get("names"):
            return {"-1": ""} | {str(number): label for number, label in enumerate(one["names"])}
    return None


def _open_arrow(file: Path) -> Any:
    """`datasets` writes the stream format; other writers of .arrow write the file format."""
    source = pa.memory_map(str(file))
    if source.read(6) == b"ARROW1":
        return pa.ipc.open_file(source)
    source.seek(0)
    return pa.ipc.open_stream(source)


def arrow_batches(file: Path) -> Iterator[pa.RecordBatch]:
    if file.suffix == ".parquet":
        with pq.ParquetFile(file) as parquet:
            yield from parquet_batches(parquet)
        return
    reader = _open_arrow(file)
    if hasattr(reader, "num_record_batches"):
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        yield from reader
