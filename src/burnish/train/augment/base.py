"""An augmentation writes further training records out of those there are; a spec names any number in `augment:`.

Files of this folder declare augmentations as parts (`core.parts`) and wake nothing heavy on top. An augmentation proposes
edits of passages: it knows nothing of tasks or records. `train.making` makes the records: it moves spans and answers with
the text, gives provenance, drops what is there already; `train.worth` judges which are kept. The validation and test
sides are read only to leave out what is in them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from burnish.core.errors import BurnishError
from burnish.core.parts import Family
from burnish.core.progress import Progress
from burnish.core.records import Record
from burnish.core.stage import Positive, Share, TaskSpec
from burnish.text.edits import Edit, Stretch

Write = Callable[["Sequence[Passage]"], list[list[Edit]]]


class Augmentations(Family):
    """The family; files and models that its parts name go into the key by content."""

    def identify_for(self, value: Any, task: TaskSpec) -> Any:
        """The parts as written, with what their files and models hold."""
        parts = self.open(value)
        outside = [
            {name: identity for name, identity in one.outside(task.base or Path()).items() if identity} for one in parts
        ]
        return [self.plain(value), outside] if any(outside) else None


augmentations = Augmentations("augmentation", "burnish.train.augment")


@dataclass(frozen=True)
class Passage:
    """One text of a record, as an augmentation sees it.

    kept: stretches that must stay as they are (an answer, spans), sorted. spans: (start, end, type) of all spans, whether
    they may change or not. draw: the dice of this passage alone; equal passages throw alike.
    """

    text: str
    kept: tuple[Stretch, ...]
    spans: tuple[tuple[int, int, str | None], ...]
    draw: random.Random

    def free(self, stretches: Sequence[Stretch]) -> list[Stretch]:
        """Those of the stretches that touch nothing kept."""
        return [one for one in stretches if not any(one[0] < end and one[1] > start for start, end in self.kept)]


@dataclass(frozen=True)
class Ground:
    """What an augmentation may know of the run. passages: those of the whole training side, for what is learnt from them.

    base: the spec's folder.
    """

    task: Any
    passages: Sequence[Passage]
    base: Path
    seed: int
    progress: Progress


@dataclass(frozen=True)
class Augmentation:
    """What writes records.

    share: of the training records that get copies, 0..1.
    copies: of each of them.
    keep: auto keeps them where the validation side says that they help by more than chance; always does not ask.
    trial: how auto asks: a probe on frozen vectors, or tuning on a part of the data; auto is the probe where a text has
        one label.

    needs: record columns that it works on. rewrites: it says the whole text anew, so nothing in it can be found again.
    touches: spans may change inside, and move along.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    rewrites: ClassVar[bool] = False

    share: Share = 1.0
    copies: Positive = 1
    keep: Literal["auto", "always"] = "auto"
    trial: Literal["auto", "probe", "tune"] = "auto"

    @property
    def touches(self) -> bool:
        """Whether spans may change."""
        return False

    def problem(self, task: Any) -> str:
        """What is wrong with its settings for this task, or ""."""
        return ""

    def outside(self, base: Path) -> Mapping[str, str]:
        """Setting -> identity of the file or model it names."""
        return {}

    def begin(self, ground: Ground) -> Write:
        """Read files, load models; give what writes edits: one list for each passage, [] where nothing changes."""
        raise NotImplementedError

    def target(self, made: Record, parent: Record, *, task: Any, num_edits: int) -> Record | None:
        """The record with its target, where the edits change it; None where it would not be known."""
        return made


def lines_of(path: str, base: Path, *, least: int = 1) -> list[list[str]]:
    """Cells of a file with tabs between them; empty lines and those that begin with # say nothing.

    BurnishError where it cannot be read, or a line has fewer than `least` cells.
    """
    found = []
    try:
        text = (base / path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BurnishError(
            f"{path} cannot be read: {error}", hint="a UTF-8 file, found from the spec's folder"
        ) from error
    for number, line in enumerate(text.splitlines(), start=1):
        cells = [cell.strip() for cell in line.split("\t") if cell.strip()]
        if not cells or line.startswith("#"):
            continue
        if len(cells) < least:
            raise BurnishError(
                f"a line has {least} words, with a tab between", where=f"{path}:{number}", hint="a<TAB>b"
            )
        found.append(cells)
    return found


def digest(path: str, base: Path) -> str:
    """Identity of a file's content. BurnishError where it is not there."""
    from burnish.core.packages import sha256_of

    if not (base / path).is_file():
        raise BurnishError(f"no file {path}", hint="paths are found from the spec's folder")
    return sha256_of(base / path)[:16]


def weights(name: str, base: Path) -> str:
    """Identity of a model: a folder by content, a known or hub name by itself."""
    from burnish.nn.backbones import Backbone

    return Backbone.identify(found(name, base), ())


def found(name: str, base: Path) -> str:
    """What a setting that names a model means: a run's model, a folder from the spec's folder, or the name as it is."""
    for folder in (base / name / "model", base / name):
        if (folder / "config.json").is_file():
            return str(folder)
    return name
