"""Images made here: squares of one colour with noise, and files that are not what they say."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path

import numpy as np

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 210)}


def square(colour: str, *, seed: int, size: int = 32):
    """An image of one colour under noise: the mean of its pixels says which."""
    from PIL import Image

    draw = np.random.default_rng(seed)
    pixels = np.asarray(COLOURS[colour]) + draw.normal(0, 40, (size, size, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image, kind: str = "PNG") -> bytes:
    held = io.BytesIO()
    image.save(held, kind)
    return held.getvalue()


def url(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def bomb(path: Path, *, side: int = 30_000) -> Path:
    """A PNG of a few kilobytes whose header promises side x side pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path
