"""Read files of records: the one reader behind sources, gold, seeds, outside test sets and `burnish predict`."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from burnish.core.errors import DataError
from burnish.core.formats import Format, Unit, find_files, parse, shown_name
from burnish.core.lines import unpacked_size
from burnish.core.records import SCHEMA, Reject
from burnish.core.rows import MAX_CHARS, Wanted, layout, to_records
from burnish.core.values import plain, times


def read(
    path: Path,
    *,
    format: Format = "auto",
    fields: Mapping[str, str] | None = None,
    source: str = "",
    licence: str | None = None,
    limit: int | None = None,
    max_chars: int = MAX_CHARS,
    label_names: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    unit: Unit = "line",
    delimiter: str = "",
    columns: list[str] | None = None,
    base: Path | None = None,
    targets: tuple[str, ...] = (),
) -> Iterator[pa.Table | Reject]:
    """Read records from a file, a folder or a glob, as tables of at most 8,192 rows and rejects between them.

    format: "auto" goes by the suffix under .gz, .zst, .bz2, .xz. fields: record field -> name in the file (dotted for
    nested JSON); an empty name means "do not read it"; a field it does not mention is found under its own name.
    source: goes into every record; the path by default. licence: of records that do not carry their own.
    limit: records at most. max_chars: a longer text is rejected. label_names: label as found -> label.
    encoding: of text formats. unit: what one record of a text file is. delimiter, columns: of CSV, `columns` for a
    file without a header. base: file names are told relative to this folder. targets: record fields of the task's
    target, found under their own names.
    Files are read in sorted order. Memory: one chunk of rows (about 4 MB of text) and 12 bytes a record for its id.
    Raises DataError when there is no such file, no format for it, or a header lacks what `fields` asks for.
    """
    wanted = Wanted(fields or {}, source or shown_name(path, base), licence, label_names, max_chars, targets)
    found = find_files(path, format)
    parsed = (
        parse(
            file,
            its_format,
            shown=shown_name(file, base),
            max_chars=max_chars,
            encoding=encoding,
            unit=unit,
            delimiter=delimiter,
            columns=columns,
        )
        for file, its_format in found
    )
    return to_records(itertools.chain.from_iterable(parsed), wanted, limit=limit)


def read_table(path: Path, **settings: Any) -> pa.Table:
    """Read a small file whole (gold, seeds): settings as for `read`. Any reject raises a DataError that lists the first ones."""
    tables: list[pa.Table] = []
    rejects: list[Reject] = []
    for item in read(path, **settings):
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            tables.append(item)
    if rejects:
        raise DataError(
            problems([f"{at(r.file, r.line)}: {r.reason}" for r in rejects]), hint="mend or remove these rows"
        )
    return pa.concat_tables([SCHEMA.empty_table(), *tables]).combine_chunks()


def problems(found: list[str], most: int = 20) -> str:
    """Many mistakes of a file as one message."""
    more = [f"  … and {len(found) - most} more"] if len(found) > most else []
    head = f"{len(found)} row{'s' if len(found) != 1 else ''} cannot be used"
    return "\n".join([head, *(f"  {one}" for one in found[:most]), *more])


def at(file: str | None, line: int | None) -> str:
    """file:line, as editors understand it."""
    return f"{file}:{line}" if line is not None else str(file)


# What columns are called, the surest names first; a name counts when it is the column's whole name.
NAMES = {
    "text": "text sentence content review comment message body tweet post utterance document abstract headline title query question 文本 内容 正文 评论 句子 留言 消息 评价 摘要 标题 问题",
    "label": "label labels class category sentiment intent topic polarity target tag stars rating score y 标签 类别 分类 情感 意图 主题 星级 评分",
    "time": "time timestamp date datetime created_at posted_at published published_at created updated_at 时间 日期 发布时间 创建时间",
    "group": "group group_id user user_id author author_id customer_id document_id doc_id conversation_id thread_id session_id 用户 作者 文档 会话",
    "id": "id uid uuid guid record_id 编号 序号",
    "language": "language lang 语言 语种",
    "licence": "licence license 许可",
}
SNIFFED_ROWS = 2000
MOST_CLASSES = 200


def sniff(path: Path, *, format: Format = "auto", encoding: str = "utf-8") -> dict[str, Any]:
    """Guess what a file, folder or glob holds from its first 2,000 rows: for `burnish init` and `burnish plan`.

    Gives format; columns; fields (record field -> column, only those that were recognised); labels (value -> count in
    the rows looked at); samples (up to 50 texts); values (column -> its cells in the rows looked at, empty ones left
    out); rows (of all files, estimated from their sizes; `exact` when counted); mean_characters of a text; rejects
    (rows looked at that cannot be parsed).
    """
    found = find_files(path, format)
    rows, rejects, size, whole = _first_rows(*found[0], encoding)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    values = {name: [row[name] for row in rows if row.get(name) not in (None, "")] for name in columns}
    fields = _recognise(values)
    texts = [one for one in values.get(fields.get("text", ""), []) if isinstance(one, str)]
    labels = Counter(
        plain(one) for one in values.get(fields.get("label", ""), []) if isinstance(one, str | int | float)
    )
    counted = _row_counts(found, len(rows), size, whole)
    return {
        "format": found[0][1],
        "files": len(found),
        "columns": columns,
        "fields": fields,
        "values": values,
        "labels": dict(labels.most_common()),
        "samples": texts[:50],
        "rows": counted,
        "exact": whole and len(found) == 1,
        "mean_characters": round(sum(map(len, texts)) / len(texts), 1) if texts else 0.0,
        "rejects": rejects,
    }


def _first_rows(file: Path, format: Format, encoding: str) -> tuple[list[dict[str, Any]], int, int, bool]:
    """Rows, rejects among them, their size in bytes, and whether that is the whole file."""
    rows: list[dict[str, Any]] = []
    rejects = size = 0
    for item in parse(file, format, shown=file.name, encoding=encoding):
        if isinstance(item, Reject):
            rejects += 1
            size += len(item.raw.encode("utf-8", "replace")) + 1
        else:
            rows += item.rows
            size += sum(len(raw.encode()) + 1 for raw in item.raws or ())
        if len(rows) + rejects >= SNIFFED_ROWS:
            return rows, rejects, size, False
    return rows, rejects, size, True


def _row_counts(found: list[tuple[Path, Format]], rows: int, size: int, whole: bool) -> int:
    if found[0][1] == "parquet":
        return sum(pq.read_metadata(file).num_rows for file, _ in found)
    if whole and len(found) == 1:
        return rows
    return round(rows * sum(unpacked_size(file) for file, _ in found) / max(size, 1))


def _recognise(values: dict[str, list[Any]]) -> dict[str, str]:
    """Record field -> column: by the names this house reads anyway, then by usual names, then by what the values look like."""
    contract = layout(tuple(values), {}).keys
    fields = {name: key for name, key in contract.items() if name not in ("label",) or _is_label(values[key])}
    free = [name for name in values if name not in fields.values()]
    for field, known in NAMES.items():
        fits = [name for name in free if _fits(field, values[name])]
        named = [name for word in known.split() for name in fits if name.lower().strip() == word]
        if field not in fields and named and not (field == "text" and "messages" in fields):
            fields[field] = named[0]
            free.remove(named[0])
    if "text" not in fields and "messages" not in fields:
        lengths = {
            name: sum(map(len, values[name])) / len(values[name]) for name in free if _fits("text", values[name])
        }
        if lengths:
            fields["text"] = max(lengths, key=lambda name: lengths[name])
            free.remove(fields["text"])
    if "label" not in fields:
        # without a telling name only a column of few short words, each met often, is called a label
        few = [name for name in free if _is_label(values[name]) and len(set(map(str, values[name]))) <= 50]
        if len(few) == 1 and all(isinstance(one, str) for one in values[few[0]]):
            fields["label"] = few[0]
    return fields


def _fits(field: str, values: list[Any]) -> bool:
    if not values:
        return False
    if field == "text":
        return all(isinstance(one, str) for one in values) and not _all_times(values)
    if field == "label":
        return _is_label(values)
    if field == "time":
        return _all_times(values)
    if field == "id":
        return len(set(map(str, values))) == len(values)
    return all(isinstance(one, str | int) for one in values)


def _is_label(values: list[Any]) -> bool:
    if not values or not all(isinstance(one, str | int | float | list) for one in values):
        return False
    flat = [str(each) for one in values for each in (one if isinstance(one, list) else [one])]
    classes = set(flat)
    often = len(flat) / max(len(classes), 1)
    return len(classes) <= MOST_CLASSES and (often >= 2 or len(values) < 20) and max(map(len, classes), default=0) <= 80


def _all_times(values: list[Any]) -> bool:
    bad: dict[int, str] = {}
    looked = values[:200]
    times(looked, bad)
    years = all(
        isinstance(one, str) or (isinstance(one, int | float) and one > 1e8) or hasattr(one, "year") for one in looked
    )
    return years and len(bad) <= 0.02 * len(looked)
