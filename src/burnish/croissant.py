"""Croissant metadata of a run's records: JSON-LD that data set search and loaders read (MLCommons Croissant 1.0, RAI 1.0)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/", "dct": "http://purl.org/dc/terms/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty", "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract",
    "field": "cr:field", "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5",
    "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex",
    "repeated": "cr:repeated", "replace": "cr:replace", "samplingRate": "cr:samplingRate", "separator": "cr:separator", "source": "cr:source",
    "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip
SPDX = re.compile(
    r"^(?:MIT|Apache-2\.0|BSD-[23]-Clause|CC0-1\.0|CC-BY(?:-(?:NC|SA|ND))*-[1-4]\.0|ODC-By-1\.0|ODbL-1\.0|PDDL-1\.0)$"
)
TYPES = (
    ("int", "sc:Integer"),
    ("float", "sc:Float"),
    ("double", "sc:Float"),
    ("bool", "sc:Boolean"),
    ("timestamp", "sc:DateTime"),
)


def metadata(
    name: str, *, about: str, files: Mapping[str, Path], base: str, licences: Sequence[str], languages: Sequence[str],
    made: float, version: str, responsible: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """The metadata as JSON. files: side -> Parquet file; base: their folder as seen from the metadata ("../split").

    made: seconds since 1970. responsible: RAI properties, `dataLimitations` -> text and so on. Columns of plain values (and
    lists of them) that hold something are described; spans, relations, votes and messages lie in the files beside them.
    """
    distribution, record_sets = [], []
    for side, path in files.items():
        distribution.append({
            "@type": "cr:FileObject", "@id": path.name, "name": path.name, "contentUrl": f"{base}/{path.name}",
            "contentSize": f"{path.stat().st_size} B", "encodingFormat": "application/x-parquet", "sha256": _digest(path),
        })  # fmt: skip
        record_sets.append(_record_set(side, path))
    return {
        "@context": CONTEXT, "@type": "sc:Dataset", "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": name, "description": about, "version": version, "datePublished": datetime.fromtimestamp(made, UTC).date().isoformat(),
        "license": [licence(one) for one in licences] or ["unknown"], "url": f"{base}/", "inLanguage": list(languages),
        "citeAs": f"{name}, data version {version}, made by burnish", "isLiveDataset": False,
        **{f"rai:{key}": text for key, text in responsible.items() if text},
        "distribution": distribution, "recordSet": record_sets,
    }  # fmt: skip


def licence(said: str) -> str:
    """Its page at SPDX where the name is one of SPDX's, else as the source says it."""
    return f"https://spdx.org/licenses/{said}.html" if SPDX.match(said) else said


def _record_set(side: str, path: Path) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    file, fields = parquet.ParquetFile(path), []
    filled = _filled(file)
    for column in file.schema_arrow:
        inner = column.type.value_type if pa.types.is_list(column.type) else column.type
        if column.name not in filled or pa.types.is_struct(inner):
            continue
        one: dict[str, Any] = {
            "@type": "cr:Field", "@id": f"{side}/{column.name}", "name": column.name,
            "dataType": next((said for start, said in TYPES if str(inner).startswith(start)), "sc:Text"),
            "source": {"fileObject": {"@id": path.name}, "extract": {"column": column.name}},
        }  # fmt: skip
        fields.append(one | ({"repeated": True} if inner is not column.type else {}))
    about = f"{file.metadata.num_rows:,} records"
    return {
        "@type": "cr:RecordSet",
        "@id": side,
        "name": side,
        "description": about,
        "key": {"@id": f"{side}/id"},
        "field": fields,
    }


def _filled(file: Any) -> set[str]:
    """Columns with a value in some row, by the statistics of the file; those without statistics count as filled."""
    found: set[str] = set()
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group)
        for at in range(rows.num_columns):
            column = rows.column(at)
            stats = column.statistics
            if stats is None or not stats.has_null_count or stats.null_count < column.num_values:
                found.add(column.path_in_schema.split(".")[0])
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
