"""What is installed, which weights can be had, what is missing and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# distribution -> what stops working without it, and how to get it
WANTED = {
    "torch": ("training, embeddings", "pip install burnish"),
    "transformers": ("training, embeddings", "pip install burnish"),
    "onnxruntime": ("fast serving", "pip install burnish"),
    "pyarrow": ("everything", "pip install burnish"),
    "polars": ("quality checks", "pip install burnish"),
    "scikit-learn": ("baselines", "pip install burnish"),
    "datasets": ("Hugging Face data sets by hub name", "pip install 'burnish[hub]'"),
}
OPTIONAL = {"datasets"}


@dataclass(frozen=True)
class Finding:
    """One line of the examination. state: ok, note (works, could be better) or bad (something cannot work)."""

    what: str
    state: str
    said: str
    hint: str = ""


def examine() -> list[Finding]:
    """Look at this machine; nothing is fetched or changed."""
    return [*_machine(), *_libraries(), *_weights()]


def _machine() -> Iterator[Finding]:
    from burnish.core.pipeline import machine

    yield Finding(
        "python",
        "ok" if sys.version_info >= (3, 11) else "bad",
        platform.python_version(),
        "burnish needs 3.11 or newer",
    )
    yield Finding("processor", "ok", machine())
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        yield Finding(
            "memory",
            "ok" if memory >= 3.5 else "note",
            f"{memory:.1f} GiB",
            "the bilingual backbone wants about 3 GiB while it is converted",
        )
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield Finding(
        "disk here", "ok" if free >= 2 else "note", f"{free:.1f} GiB free", "a run with its model needs about 1 GiB"
    )


def _libraries() -> Iterator[Finding]:
    for name, (why, how) in WANTED.items():
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "note" if name in OPTIONAL else "bad", f"missing: {why}", how)
    yield _accelerator()


def _accelerator() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("accelerator", "note", "unknown without torch")
    if torch.cuda.is_available():
        return Finding("accelerator", "ok", torch.cuda.get_device_name(0))
    return Finding(
        "accelerator",
        "ok",
        "none: burnish picks the fastest number format and kernels of this processor when it trains",
    )


def _weights() -> Iterator[Finding]:
    from burnish.nn.backbones import describe

    for row in describe():
        said = f"here, {row['folder']}" if row["there"] else f"can be fetched, {row['download_mb']:.0f} MB"
        yield Finding(
            f"weights {row['name']}",
            "ok" if row["there"] else "note",
            said,
            "" if row["there"] else f"burnish backbones pull {row['name']}",
        )


def table(found: list[Finding]) -> str:
    """The examination as people read it."""
    signs = {"ok": "ok ", "note": "-- ", "bad": "BAD"}
    lines = [
        f"{signs[one.state]} {one.what:<24} {one.said}" + (f"   ({one.hint})" if one.hint and one.state != "ok" else "")
        for one in found
    ]
    return "\n".join(lines)
