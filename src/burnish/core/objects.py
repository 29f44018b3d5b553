"""Files of object stores: s3://, gs://, abfs://, hdfs:// through pyarrow's own file systems, all others through fsspec.

An object is read as a stream and never copied to disk; what is written is whole on disk first. Who may read is what those libraries find by themselves
(environment, profile, instance role); nothing of it is in a spec.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from burnish.core.errors import DataError, MissingExtra


@dataclass(frozen=True)
class ObjectFile:
    """An object, with as much of Path as readers ask for. path: without the scheme, as its file system knows it."""

    system: Any
    path: PurePosixPath
    size: int
    changed: str

    @property
    def suffix(self) -> str:
        return self.path.suffix

    @property
    def name(self) -> str:
        return self.path.name

    def with_suffix(self, suffix: str) -> PurePosixPath:
        return self.path.with_suffix(suffix)

    def open(self, mode: str = "rb") -> Any:
        """For reading bytes, with seeking (Parquet reads its end first)."""
        return self.system.open_input_file(str(self.path))

    def __str__(self) -> str:
        return str(self.path)


class ObjectUrl(str):
    """A setting that names objects: a URL, which may end in a folder or hold a glob (s3://bucket/raw/*.jsonl.gz)."""

    __slots__ = ()

    @staticmethod
    def identify(value: str, languages: Sequence[str]) -> str:
        """For a step's key: names, sizes and times of the objects; their bytes are not read."""
        listed = [(str(one), one.size, one.changed) for one in find_objects(value)]
        return hashlib.sha256(repr((value, listed)).encode()).hexdigest()


def find_objects(url: str) -> list[ObjectFile]:
    """The objects behind a URL, sorted by path; hidden ones are left out. DataError when there is none."""
    from pyarrow import fs

    fixed = re.split(r"[*?\[]", url, maxsplit=1)[0]
    root = fixed if fixed == url else fixed.rsplit("/", 1)[0]
    system, base = _system(root)
    try:
        info = system.get_file_info(base)
        infos = [info] if info.type == fs.FileType.File else []
        if info.type == fs.FileType.Directory:
            infos = system.get_file_info(fs.FileSelector(base, recursive=True))
    except OSError as error:
        raise DataError(
            f"cannot be listed: {error}", where=url, hint="is the name right, and may you read it?"
        ) from error
    pattern = None if fixed == url else base.rstrip("/") + url[len(root) :]
    found = [
        ObjectFile(system, PurePosixPath(one.path), one.size, str(one.mtime))
        for one in infos
        if one.type == fs.FileType.File and not any(part.startswith(".") for part in PurePosixPath(one.path).parts)
        and (pattern is None or fnmatch.fnmatchcase(one.path, pattern))
    ]  # fmt: skip
    if not found:
        raise DataError("there is no such object", where=url, hint="a URL of an object, a folder or a glob")
    return sorted(found, key=lambda one: one.path)


def is_url(name: str) -> bool:
    """Whether a name is one of an object, and not of a file of this machine."""
    return "://" in name


def put_objects(folder: Path, url: str) -> None:
    """Write the files of a folder under a URL, as streams; objects of the same name are replaced. DataError where it fails."""
    system, base = _system(url)
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        path = f"{base.rstrip('/')}/{file.relative_to(folder).as_posix()}"
        try:
            try:
                sink = system.open_output_stream(path)
            except FileNotFoundError:  # a file system where folders are made first
                system.create_dir(path.rsplit("/", 1)[0], recursive=True)
                sink = system.open_output_stream(path)
            with sink, file.open("rb") as source:
                shutil.copyfileobj(source, sink, 1 << 20)
        except OSError as error:
            raise DataError(f"cannot be written: {error}", where=f"{url}/{file.name}", hint="may you write there?") from error  # fmt: skip


def _system(url: str) -> tuple[Any, str]:
    """A pyarrow file system and the path in it."""
    import pyarrow as pa
    from pyarrow import fs

    if "://" not in url:
        raise DataError(
            "this is no URL", where=url, hint="s3://bucket/folder/*.jsonl; for files of this machine: sources.jsonl"
        )
    scheme = url.split("://", 1)[0]
    if scheme in ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "file"):
        try:
            made: tuple[Any, str] = fs.FileSystem.from_uri(url)
            return made
        except pa.ArrowNotImplementedError:
            pass  # this build of pyarrow is without it
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"cannot be opened: {error}", where=url, hint="scheme://bucket/path") from error
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtra(f"{scheme}://", "objects") from error
    try:
        opened, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise DataError(
            f"{scheme}:// needs another library: {error}", where=url, hint="pip install what it names"
        ) from error
    except ValueError as error:
        raise DataError(f"nobody knows this scheme: {error}", where=url, hint="s3, gs, abfs, hdfs, file, …") from error
    return fs.PyFileSystem(fs.FSSpecHandler(opened)), path
