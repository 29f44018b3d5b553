"""Hugging Face data sets: a folder on disk, read without their library, or a name of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.core.artifacts import Records
from burnish.core.errors import DataError, MissingExtra
from burnish.core.formats import from_arrow, shown_name
from burnish.core.lines import BROKEN_STREAM
from burnish.core.records import Reject
from burnish.core.rows import MAX_CHARS, Chunk, Wanted, to_records
from burnish.core.stage import Context, Count, Positive, stage
from burnish.core.tasktypes import targets_of
from burnish.formats.huggingface import arrow_batches, class_names, data_files, features


@stage("sources.huggingface")
def huggingface(
    context: Context,
    *,
    path: Path,
    split: str = "",
    fields: dict[str, str] | None = None,
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    label_names: dict[str, str] | None = None,
    max_chars: Positive = MAX_CHARS,
) -> Records:
    """Read a data set that `save_to_disk` wrote, or a folder of its Parquet or Arrow files.

    Names of classes in the data set's features are the labels; -1 is no label, as is usual there.

    path: the folder.
    split: one split (train); all of them when empty.
    fields: record field -> column, dotted for structs; "" leaves a field unread.
    name: of this source, in every record; the path when empty.
    licence: of the records that do not carry their own.
    limit: records at most; 0 for all.
    label_names: label as it stands in the data -> label, in place of the features' names; "" for none.
    max_chars: a text of more characters is set aside.
    """
    found = data_files(path, split)
    names = label_names or class_names(features(found[0]), (fields or {}).get("label", "label"))
    wanted = Wanted(
        fields or {}, name or shown_name(path, context.base), licence, names, max_chars, targets_of(context.task)
    )
    return Records.stream(to_records(_local(found, context.base), wanted, limit=limit))


@stage("sources.hub")
def hub(
    context: Context,
    *,
    dataset: str,
    split: str,
    config: str = "",
    revision: str = "",
    fields: dict[str, str] | None = None,
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    label_names: dict[str, str] | None = None,
    max_chars: Positive = MAX_CHARS,
) -> Records:
    """Stream a data set of the Hugging Face hub; needs the extra `hub` and a network.

    dataset: owner/name.
    split: train, test, …; as the data set names it.
    config: of a data set that has several.
    revision: a commit or tag. Say one: the key of the step knows no other change of the data.
    fields: record field -> column, dotted for structs; "" leaves a field unread.
    name: of this source, in every record; the data set's when empty.
    licence: of the records that do not carry their own.
    limit: records at most; 0 for all.
    label_names: label as it stands in the data -> label, in place of the features' names; "" for none.
    max_chars: a text of more characters is set aside.
    """
    rows = _open_hub(dataset, config, split, revision)
    names = label_names or class_names(_as_json(rows.features), (fields or {}).get("label", "label"))
    wanted = Wanted(fields or {}, name or dataset, licence, names, max_chars, targets_of(context.task))
    return Records.stream(to_records(_streamed(rows, dataset), wanted, limit=limit))


def _local(found: list[Path], base: Path) -> Iterator[Chunk | Reject]:
    for file in found:
        shown, row = shown_name(file, base), 0
        try:
            for batch in arrow_batches(file):
                yield from from_arrow(batch, shown, first=row, columns=tuple(batch.schema.names))
                row += batch.num_rows
        except FileNotFoundError as error:
            raise DataError("a file of the data set is missing", where=shown, hint="copy the whole folder") from error
        except BROKEN_STREAM as error:
            yield Reject(shown, None, f"broken file: {error}; what follows row {row} is lost")


def _open_hub(dataset: str, config: str, split: str, revision: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("sources.hub", "hub") from error
    try:
        return datasets.load_dataset(dataset, config or None, split=split, revision=revision or None, streaming=True)
    except FileNotFoundError as error:  # DatasetNotFoundError is one
        raise DataError(
            f"the hub has no data set {dataset!r}, or it is private: {error}", where="sources.hub"
        ) from error
    except OSError as error:
        hint = "check the network, or save it elsewhere with `save_to_disk` and give its folder as path"
        raise DataError(f"the hub cannot be reached: {error}", where="sources.hub", hint=hint) from error
    except ValueError as error:  # an unknown split or config; the message lists those there are
        raise DataError(str(error), where=f"sources.hub: {dataset}") from error


def _as_json(features: Any) -> Any:
    return features.to_dict() if features is not None else {}


def _streamed(rows: Any, dataset: str) -> Iterator[Chunk | Reject]:
    held: list[dict[str, Any]] = []
    number = 0
    for row in rows:
        held.append(row)
        if len(held) == 1000:
            yield Chunk(dataset, list(range(number + 1, number + 1001)), held, columns=tuple(held[0]))
            held, number = [], number + 1000
    if held:
        yield Chunk(dataset, list(range(number + 1, number + len(held) + 1)), held, columns=tuple(held[0]))
