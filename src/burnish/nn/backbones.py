"""Where pretrained weights come from: a known name, a folder, or a name on the Hugging Face hub.

Known names are pinned in pins.yaml and come out of registry packages, so that a machine without a hub has real
weights; each becomes a transformers folder in the cache, once. Listing and naming (`known`, `describe`, `identify`)
cost milliseconds and wake neither torch nor transformers.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from burnish.core.errors import MissingExtra, WeightsError
from burnish.core.packages import extract, fetch_archives, home, locked, scratch, sha256_of
from burnish.core.progress import Progress
from burnish.core.stage import TaskSpec
from burnish.core.tasktypes import open_task

__all__ = ["Backbone", "Known", "describe", "have", "home", "known", "pull", "resolve"]

CONVERSION = 1  # goes up when a converted folder changes, so that old ones are made anew and keys change
AUTO, FRESH, PRETRAINED = "auto", "fresh", "pretrained"
Kind = Literal["encoder", "decoder"]
_BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?")


@dataclass(frozen=True)
class Known:
    """Weights that can be had by a short name; `packages` and `files` map names to their pinned sha256."""

    name: str
    what: str
    languages: tuple[str, ...]
    parameters: int
    download_bytes: int
    licence: str
    trust: str
    kind: Kind
    source: str
    max_length: int
    centred: bool
    note: str
    layout: Literal["files", "parts", "e5q4", "gguf"]
    folder: str
    packages: dict[str, str]
    files: dict[str, str]

    @property
    def identity(self) -> str:
        """16 hex digits that change when the weights change, known before they are here."""
        rows = [sha256_of(Path(__file__).with_name("e5_rows.txt"))] if self.layout == "e5q4" else []
        pinned = json.dumps([CONVERSION, self.layout, self.files, *rows], sort_keys=True)
        return hashlib.sha256(pinned.encode()).hexdigest()[:16]

    @property
    def home(self) -> Path:
        """Where its transformers folder lies, or will."""
        return home() / "backbones" / self.name


@cache
def _pins() -> dict[str, Known]:
    listed = yaml.safe_load(Path(__file__).with_name("pins.yaml").read_text("utf-8"))
    return {name: Known(name=name, **{**pin, "languages": tuple(pin["languages"])}) for name, pin in listed.items()}


EMBEDDED_TOKENS_PER_S = 12_000  # MiniLM or 4-bit e5 on two cores with bf16 products; a third of it without


def known() -> list[Known]:
    """Every backbone with a short name, the default ones first."""
    return list(_pins().values())


def have(name: str) -> bool:
    """Whether the known backbone `name` lies whole in the cache, as this version would make it."""
    pin = _pin(name)
    try:
        made = json.loads((pin.home / "backbone.json").read_text("utf-8"))
    except FileNotFoundError:
        return False
    return bool(made["identity"] == pin.identity)


def describe() -> list[dict[str, Any]]:
    """The table of `burnish backbones`: one dictionary a backbone, in plain JSON types."""
    return [
        {
            "name": pin.name,
            "what": pin.what,
            "languages": list(pin.languages),
            "parameters": pin.parameters,
            "download_mb": round(pin.download_bytes / 1e6),
            "licence": pin.licence,
            "trust": pin.trust,
            "kind": pin.kind,
            "there": have(pin.name),
            "folder": str(pin.home),
        }
        for pin in known()
    ]


def _pin(name: str) -> Known:
    if name in _pins():
        return _pins()[name]
    raise WeightsError(f"no backbone is known as {name!r}", hint=f"known are {', '.join(_pins())}")


def pull(name: str, *, progress: Progress) -> Path:
    """Fetch a known backbone once, check it, and give its transformers folder (config, safetensors, tokenizer).

    Safe when two processes do it at once: one fetches, the other waits and finds it there.
    Raises WeightsError when a hash differs, the registry cannot be reached, or a conversion does not behave.
    """
    pin = _pin(name)
    if have(name):
        return pin.home
    shelf = pin.home.parent
    with locked(shelf / f".{name}.lock"):
        if have(name):
            return pin.home
        for left in shelf.glob(f".{name}-*"):  # of a pull that was killed; the lock says nobody is in it
            shutil.rmtree(left, ignore_errors=True)
        progress.tell(_announcement(pin))
        with scratch(shelf, prefix=f".{name}-") as tmp:
            made = tmp / "made"
            made.mkdir()
            (tmp / "fetched").mkdir()
            archives = fetch_archives(pin.packages, tmp / "fetched", progress=progress, total_bytes=pin.download_bytes)
            _MAKE[pin.layout](pin, archives, made)
            (made / "backbone.json").write_text(json.dumps(_manifest(pin, made), indent=2, ensure_ascii=False), "utf-8")
            if pin.home.exists():  # made by another version
                pin.home.rename(tmp / "old")
            made.rename(pin.home)  # the last act: a folder that exists is whole
        progress.tell(f"{name} is in {pin.home}")
    return pin.home


def _announcement(pin: Known) -> str:
    packages = ", ".join(package.partition("==")[0] for package in pin.packages)
    return (
        f"fetching {pin.name}: {pin.what}; {pin.licence}; {pin.download_bytes / 1e6:.0f} MB from the package registry "
        f"({packages}), opened as archives, not installed"
    )


def _make_from_files(pin: Known, archives: list[Path], made: Path) -> None:
    (archive,) = archives
    with zipfile.ZipFile(archive) as bundle:
        names = set(bundle.namelist())
    wanted = [name for name in ("model.safetensors", *_BESIDE) if f"{pin.folder}/{name}" in names]
    for name in wanted:
        extract(archive, f"{pin.folder}/{name}", made / name, sha256=pin.files.get(name, ""))
    _unpad(made / "tokenizer.json")


def _make_from_parts(pin: Known, archives: list[Path], made: Path) -> None:
    whole = made.parent / "whole.zip"
    with whole.open("wb") as sink:
        for archive in archives:
            with zipfile.ZipFile(archive) as bundle:
                (part,) = [name for name in bundle.namelist() if re.search(r"\.zip\.\d+$", name)]
                with bundle.open(part) as source:
                    shutil.copyfileobj(source, sink, 1 << 20)
            archive.unlink()  # so that the disk holds the bytes once
    _make_from_files(pin, [whole], made)


def _make_from_e5(pin: Known, archives: list[Path], made: Path) -> None:
    from burnish.nn import e5  # numpy, then torch for the check

    opened: list[Path] = []
    for archive, (member, sha256) in zip(archives, pin.files.items(), strict=True):
        opened.append(made.parent / f"{len(opened)}-{Path(member).name}")
        extract(archive, member, opened[-1], sha256=sha256)
    e5.convert(opened[0], opened[1], made)
    e5.check(made)


def _make_from_gguf(pin: Known, archives: list[Path], made: Path) -> None:
    from burnish.nn import generators, gguf  # torch, for the check

    (archive,), ((member, sha256),) = archives, pin.files.items()
    extract(archive, member, made.parent / "model.gguf", sha256=sha256)
    gguf.convert(made.parent / "model.gguf", made)
    gguf.check(made, generators.answer_of)


_MAKE = {"files": _make_from_files, "parts": _make_from_parts, "e5q4": _make_from_e5, "gguf": _make_from_gguf}


def _unpad(tokenizer: Path) -> None:
    """Forget the length the file cuts and pads to (128 in these models): who encodes decides that."""
    content = json.loads(tokenizer.read_text("utf-8"))
    content |= {"truncation": None, "padding": None}
    tokenizer.write_text(json.dumps(content, ensure_ascii=False), "utf-8")


def _manifest(pin: Known, made: Path) -> dict[str, Any]:
    return {
        "name": pin.name,
        "identity": pin.identity,
        "source": pin.source,
        "packages": pin.packages,
        "files": pin.files,
        "made": {path.name: sha256_of(path) for path in sorted(made.iterdir())},
        "licence": pin.licence,
        "languages": list(pin.languages),
        "trust": pin.trust,
        "max_length": pin.max_length,
        "pooling": "mean",
        "centred": pin.centred,
        "note": pin.note,
    }


def resolve(backbone: str, *, languages: Sequence[str], progress: Progress, kind: Kind = "encoder") -> Path:
    """Give the transformers folder that a spec's `backbone` means, fetching it when it is not there.

    "auto" is chosen by language; then a known name, a folder (relative to the working directory), a hub name,
    which may pin a revision: "org/name@commit". kind: of what "auto" may choose.
    Raises WeightsError with what else would do.
    """
    name = choose(languages, kind=kind) if backbone == AUTO else backbone
    if backbone == AUTO:
        progress.tell(f"backbone auto: {name} for {', '.join(languages)}, {'there' if have(name) else 'to be fetched'}")
    if name in _pins():
        return pull(name, progress=progress)
    if Path(name).expanduser().is_dir():
        return _checked_folder(_of_run(Path(name).expanduser()))
    if not _HUB_NAME.fullmatch(name):
        raise WeightsError(f"no folder {name!r}", hint=f"name a folder, a hub model, or one of {', '.join(_pins())}")
    return _from_hub(name, progress=progress)


def choose(languages: Sequence[str], *, kind: Kind = "encoder") -> str:
    """The known backbone that "auto" means: the smallest download of this kind that speaks all `languages`."""
    for pin in sorted(known(), key=lambda pin: (len(pin.languages), pin.download_bytes)):
        if pin.kind == kind and languages and set(languages) <= set(pin.languages):
            return pin.name
    spoken = "; ".join(f"{pin.name}: {', '.join(pin.languages)}" for pin in known() if pin.kind == kind)
    raise WeightsError(
        f"no known {kind} speaks {', '.join(languages) or 'no language'}",
        hint=f"name a hub model or a folder as backbone ({spoken})",
    )


def _of_run(folder: Path) -> Path:
    """Of a run folder the backbone that `pretrain` made there; any other folder is itself."""
    return folder / "backbone" if (folder / "backbone" / "config.json").is_file() else folder


def _checked_folder(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder} holds no config.json", hint="name a folder made by save_pretrained")
    if _weights(folder):
        return folder
    if list(folder.glob("*.bin")) or list(folder.glob("*.pt")):
        raise WeightsError(
            f"{folder} holds its weights as a pickle, which can run any code when it is read",
            hint="ask its author for model.safetensors, or convert it on a machine that may be lost",
        )
    raise WeightsError(f"{folder} holds no .safetensors", hint="name a folder made by save_pretrained")


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _from_hub(name: str, *, progress: Progress) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise MissingExtra(f"backbone {name!r} on the Hugging Face hub", "hub") from error
    progress.tell(f"looking for {name} on the Hugging Face hub (safetensors only)")
    patterns = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model"]
    repository, _, revision = name.partition("@")
    try:
        folder = snapshot_download(
            repository, revision=revision or None, allow_patterns=patterns, ignore_patterns=["*/*"]
        )
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        close = difflib.get_close_matches(name, list(_pins()), 1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise WeightsError(
            f"{name} could not be had from the Hugging Face hub: {str(error).splitlines()[0]}",
            hint=f"{meant}without a hub, name a folder or one of {', '.join(_pins())} (`burnish backbones`)",
        ) from error
    return _checked_folder(Path(folder))


class Backbone(str):
    """A setting that names a backbone: "auto", a known name, a folder, or a hub name."""

    __slots__ = ()

    @staticmethod
    def identify(value: str, languages: Sequence[str]) -> str:
        """What the weights are, for a step's key: the name and a hash of its content. No network, no torch.

        A folder is read whole once (about a second per gigabyte). A hub name stands for itself: it is as exact as
        the revision it pins ("org/name@commit"), and the same before the download as after it.
        """
        name = choose(languages) if value == AUTO else value
        if name in _pins():
            return f"{name}@{_pins()[name].identity}"
        folder = _of_run(Path(name).expanduser())
        return f"folder@{_folder_identity(folder)}" if folder.is_dir() else f"hub:{name}"


class Start(Backbone):
    """The weights that training starts from: a backbone, where "auto" is what the task says, "fresh" random weights and
    "pretrained" what the step before made (which is in the key as what the step takes)."""

    __slots__ = ()

    @staticmethod
    def identify_for(value: str, task: TaskSpec) -> str:
        """As `Backbone.identify`, for a task."""
        name = open_task(task).automatic() if value == AUTO else value
        return name if name in (FRESH, PRETRAINED) else Backbone.identify(name, task.languages)


def _folder_identity(folder: Path) -> str:
    """By content, wherever it lies: configuration, tokenizer and weights."""
    digest = hashlib.sha256()
    for path in sorted({*folder.glob("*.json"), *folder.glob("*.txt"), *folder.glob("*.model"), *_weights(folder)}):
        if path.name != "backbone.json":
            stat = path.stat()
            digest.update(f"{path.name} {_file_hash(path, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=256)
def _file_hash(path: Path, size: int, mtime_ns: int) -> str:
    """sha256 of a file; size and time are there for the cache to notice a change."""
    return sha256_of(path)


def embedding_seconds(records: int, tokens: int, settings: Mapping[str, Any]) -> float:
    """What embedding texts costs on two cores: for `burnish plan`. Later steps find the vectors in the cache."""
    return 3.0 + tokens / EMBEDDED_TOKENS_PER_S
