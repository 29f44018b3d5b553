"""Images that a record comes with: named or sent, checked before they are believed, decoded when a batch needs them.

A file from outside can be a bomb (a few kilobytes that decode to gigabytes), a broken download, or no image at all. So only
PNG, JPEG and WebP are opened, the header is judged before anything is decoded, and every refusal names the file.
Nothing here wakes torch; Pillow is the extra `vision`.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from burnish.core.errors import DataError, MissingExtra

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 20_000_000  # of a file, or of what a data URL holds
MAX_PIXELS = 25_000_000  # 75 MB once decoded; a camera's 24 megapixels pass
DATA_URL = re.compile(r"data:image/(?:png|jpeg|jpg|webp);base64,", re.IGNORECASE)
HINT = f"images are PNG, JPEG or WebP of at most {MAX_PIXELS // 10**6} megapixels and {MAX_BYTES // 10**6} MB"


@dataclass(frozen=True)
class Picture:
    """One image that is decoded when it is asked for. source: a file, or the bytes of one; name: what messages call it."""

    source: Path | bytes
    name: str = "image"

    @classmethod
    def below(cls, folder: Path, base: Path, path: Any) -> Picture:
        """The image that a record names. base: what its path starts from; folder: below base, and nothing outside it is opened.

        Raises DataError for a path that is none, leaves the folder (links followed), or leads to no file.
        """
        if not isinstance(path, str) or not path.strip() or "\0" in path:
            raise DataError(f"the path of an image is wanted, got {path!r}")
        inside = (base / folder).resolve()
        found = (base / path).resolve()
        if Path(path).is_absolute() or not found.is_relative_to(inside):
            raise DataError("it is not in the folder of images", where=path, hint=f"that folder is {folder}")
        if not found.is_file():
            raise DataError("there is no such image", where=path, hint="paths start from the spec's folder")
        return cls(found, path)

    @classmethod
    def sent(cls, url: str) -> Picture:
        """The image in a data URL. Raises DataError when it is none."""
        head = DATA_URL.match(url[:64])
        if head is None:
            raise DataError("it is not a data URL such as data:image/png;base64,...", hint=HINT)
        if len(url) > MAX_BYTES * 4 // 3 + 64:
            raise DataError(f"it is larger than {MAX_BYTES:,} bytes", hint=HINT)
        try:
            return cls(base64.b64decode(url[head.end() :], validate=True))
        except (binascii.Error, ValueError) as error:
            raise DataError(f"it is not base64: {error}", hint=HINT) from error

    def digest(self) -> str:
        """sha256 of the content, wherever it lies."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def check(self) -> None:
        """Decode it once. DataError says what is wrong; a file that did not change is not decoded again."""
        if isinstance(self.source, bytes):
            self.pixels(8)
            return
        try:
            stat = self.source.stat()
        except OSError as error:
            raise DataError(f"it cannot be read: {error.strerror}", where=self.name, hint=HINT) from error
        problem = _problem(self, stat.st_size, stat.st_mtime_ns)
        if problem:
            raise DataError(problem, where=self.name, hint=HINT)

    def pixels(self, size: int) -> np.ndarray:
        """(size, size, 3) uint8 RGB: turned as the camera was held, white behind what is transparent, squeezed to a square."""
        image = _module()
        content = self._bytes()
        try:
            with image.open(io.BytesIO(content), formats=FORMATS) as opened:
                width, height = opened.size
                if width * height > MAX_PIXELS:
                    raise DataError(f"it has {width:,} x {height:,} pixels", where=self.name, hint=HINT)
                opened.draft("RGB", (size, size))  # a JPEG is decoded at a fraction of its size where that is enough
                made = np.asarray(_flat(opened).resize((size, size), image.Resampling.BICUBIC))
        except DataError:
            raise
        except image.UnidentifiedImageError as error:
            raise DataError("it is no image that can be read", where=self.name, hint=HINT) from error
        except (image.DecompressionBombError, image.DecompressionBombWarning) as error:
            raise DataError("it has too many pixels", where=self.name, hint=HINT) from error
        except (
            Exception
        ) as error:  # decoders raise a dozen kinds for broken files, SyntaxError and struct.error among them
            raise DataError(f"it is broken: {error}", where=self.name, hint=HINT) from error
        return made

    def _bytes(self) -> bytes:
        if isinstance(self.source, bytes):
            content = self.source
        else:
            try:
                with self.source.open("rb") as file:
                    content = file.read(MAX_BYTES + 1)
            except OSError as error:
                raise DataError(f"it cannot be read: {error.strerror}", where=self.name, hint=HINT) from error
        if len(content) > MAX_BYTES:
            raise DataError(f"it is larger than {MAX_BYTES:,} bytes", where=self.name, hint=HINT)
        return content


def column(pictures: list[Picture]) -> np.ndarray:
    """(n,) of objects, as `Examples.images` holds them."""
    made = np.empty(len(pictures), dtype=object)
    made[:] = pictures
    return made


@dataclass(frozen=True)
class Sight:
    """How a network sees an image: `size` pixels of a side; (channel 0..1 - mean) / spread, for red, green and blue.

    tokens: that an image takes in a batch beside those of its text.
    """

    size: int
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    tokens: int

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Sight:
        """From the JSON of one."""
        return cls(int(plain["size"]), tuple(plain["mean"]), tuple(plain["spread"]), int(plain["tokens"]))

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """(B, 3, size, size) float32 of a batch's images, decoded now. DataError names one that cannot be read."""
        made_BSS3 = np.stack([picture.pixels(self.size) for picture in images]).astype(np.float32) / np.float32(255)
        scaled_BSS3 = (made_BSS3 - np.array(self.mean, np.float32)) / np.array(self.spread, np.float32)
        return np.ascontiguousarray(scaled_BSS3.transpose(0, 3, 1, 2))


def _flat(opened: Any) -> Any:
    """RGB, upright, on white."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(opened)
    if upright.mode.startswith("I;16"):  # conversion would cut off what is above 255
        grey = (np.asarray(upright, dtype=np.uint16) >> 8).astype(np.uint8)
        upright = _module().fromarray(grey)
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    clear = upright.convert("RGBA")
    white = _module().new("RGB", clear.size, "white")
    white.paste(clear, mask=clear.getchannel("A"))
    return white


@functools.lru_cache(maxsize=100_000)
def _problem(picture: Picture, size: int, mtime_ns: int) -> str | None:
    """What is wrong with a file; size and time are there for the cache to notice a change."""
    try:
        picture.pixels(8)
    except DataError as error:
        return error.message
    return None


def _module() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("reading images", "vision") from error
    return Image
