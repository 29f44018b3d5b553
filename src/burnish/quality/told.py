"""What a person tells the ethics checks and no data can say: what the data is for, which groups, who judges toxicity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Purpose = Literal["research", "commercial"]


@dataclass(frozen=True)
class Told:
    """Settings of `quality.audit` for the dimension ethics; None where nothing was said."""

    purpose: Purpose | None = None
    groups: Path | None = None
    toxicity: Path | None = None
    toxic_label: str | None = None
    toxic_words: Path | None = None
    names_model: Path | None = None
