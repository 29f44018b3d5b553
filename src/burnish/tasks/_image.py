"""The `image` of a task section: where a record names its image, and which encoder sees it.

image: meta.image                                   the path of the image, from the spec's folder
image: {field: meta.photo, folder: photos, encoder: small, size: 64}

folder: that all images are in; its content is part of a model's key. encoder: small (a ViT with random weights), or a
folder or hub name. size: pixels of a side that the small one sees.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from burnish.core.errors import DataError
from burnish.core.stage import TaskSpec, nearest
from burnish.nn.pictures import Picture

SMALL = "small"
SHOWN = 5  # unreadable images that an error names


@dataclass(frozen=True)
class Section:
    """What the section says, with defaults filled in."""

    field: str = "meta.image"
    folder: str = "images"
    encoder: str = SMALL
    size: int = 64

    @classmethod
    def of(cls, given: Any) -> Section:
        return cls(**given) if isinstance(given, Mapping) else cls(str(given))

    def more(self) -> dict[str, Any]:
        """Settings of the head."""
        return {"encoder": self.encoder} | ({"size": self.size} if self.encoder == SMALL else {})

    def files(self) -> dict[str, str]:
        """What a model is made of beside its records: the images, and weights that lie in a folder."""
        weights = Path(self.encoder).expanduser().absolute()
        return {"image.folder": self.folder} | ({"image.encoder": str(weights)} if weights.is_dir() else {})

    def path(self, meta: Any) -> Any:
        """Where a record's meta (an object, or the JSON of one) says that its image lies; None where it does not."""
        found = json.loads(meta) if isinstance(meta, str) else meta
        for name in self.field.split(".")[1:]:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def picture(self, meta: Any, spec: TaskSpec) -> Picture:
        """The image of a record; it is not opened yet. DataError says why there is none."""
        path = self.path(meta)
        if path is None:
            raise DataError("it names no image", hint=f"task.image reads {self.field}")
        if spec.base is None:
            raise DataError("images are found from the spec's folder, and this task came from none", where=str(path))
        return Picture.below(Path(self.folder), spec.base, path)


def problems(given: Any) -> list[tuple[str, str, str]]:
    """(key, message, hint) for what is wrong with the setting."""
    known = Section()
    if not isinstance(given, str | Mapping):
        return [("image", f"image is a place in meta, got {given!r}", "image: meta.image")]
    section: dict[str, Any] = {"field": given} if isinstance(given, str) else dict(given)
    names = tuple(vars(known))
    found = [
        ("image", f"image has no setting {name!r}", nearest(str(name), names, "it has"))
        for name in section
        if name not in names
    ]
    if found:
        return found
    made = Section(**section)
    if not isinstance(made.field, str) or not re.fullmatch(r"meta(\.[^.]+)+", made.field):
        found.append(("image", f"image is a place in meta, got {made.field!r}", "image: meta.image"))
    folder = PurePosixPath(made.folder) if isinstance(made.folder, str) else None
    if folder is None or folder.is_absolute() or ".." in folder.parts or not folder.parts:
        found.append(("image", f"image.folder is a folder below the spec's, got {made.folder!r}", "folder: images"))
    if not isinstance(made.encoder, str) or not made.encoder:
        found.append(("image", f"image.encoder is small, a folder or a hub name, got {made.encoder!r}", ""))
    if isinstance(made.size, bool) or not isinstance(made.size, int) or not 16 <= made.size <= 512 or made.size % 8:
        found.append(("image", f"image.size is a multiple of 8 from 16 to 512, got {made.size!r}", "size: 64"))
    elif "size" in section and made.encoder != SMALL:
        found.append(("image", "image.size is of the small encoder; another one has its own", "leave size out"))
    return found


def checked(pictures: list[tuple[str, Picture | DataError]]) -> list[Picture]:
    """Images of (record, image or why it has none), each decoded once. DataError names those that cannot be read."""
    good, bad = [], []
    for record, picture in pictures:
        try:
            if isinstance(picture, DataError):
                raise picture
            picture.check()
            good.append(picture)
        except DataError as error:
            bad.append(f"record {record}: {error.where + ': ' if error.where else ''}{error.message}")
    if bad:
        more = f"; and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
        raise DataError(
            f"{len(bad):,} of {len(pictures):,} images cannot be read: {'; '.join(bad[:SHOWN])}{more}",
            where="task.image",
            hint="mend these files, or take their records out of the source",
        )
    return good
