"""What a licence allows, as far as its name says: commercial use, derived works, the same licence for what is made of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Terms:
    """None: the name does not say. family: of share-alike licences, what derived works must be under."""

    known: bool = False
    commercial: bool | None = None
    derivatives: bool | None = None
    share_alike: bool | None = None
    attribution: bool | None = None
    forbidden: bool = False
    family: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


# Read in this order: the first that fits decides. Names after SPDX 3.
_OPEN = Terms(True, True, True, False, True)
_FREE = Terms(True, True, True, False, False)
_NAMES: tuple[tuple[str, Terms], ...] = (
    (r"all rights reserved|proprietary|copyright(?!.*free)|confidential|do not (?:use|distribute)|no (?:reuse|redistribution)|版权所有|保留所有权利|禁止转载|保密", Terms(True, False, False, None, None, True)),
    (r"cc[ -]?0|public ?domain|pddl|unlicense|wtfpl|0bsd|公有领域", _FREE),
    (r"odbl|open database", Terms(True, True, True, True, True, family="ODbL")),
    (r"cdla[ -]?sharing", Terms(True, True, True, True, True, family="CDLA-Sharing")),
    (r"cdla[ -]?permissive|odc[ -]?by|\bmit\b|apache|bsd|isc\b|zlib|mulan|木兰|ogl|open government", _OPEN),
    (r"\ba?l?gpl\b|gnu|\b[al]?gpl", Terms(True, True, True, True, True, family="GPL")),
    (r"gfdl|free documentation", Terms(True, True, True, True, True, family="GFDL")),
    (r"research|academic|non[ -]?commercial use|evaluation only|educational|ldc|学术|科研|研究", Terms(True, False, True, None, True)),
)  # fmt: skip
_CREATIVE = re.compile(
    r"(?:cc|creative commons|知识共享)[ -]*((?:by|attribution|署名|nc|non[ -]?commercial|非商业(?:性使用)?|sa|share[ -]?alike|相同方式共享|nd|no[ -]?deriv\w*|禁止演绎|[ -])+)"
)


def terms_of(licence: str | None) -> Terms:
    """Read a licence's name; unknown and missing ones give `Terms()`."""
    said = (licence or "").strip().lower().replace("_", "-")
    if not said or said in ("none", "unknown", "n/a", "none stated", "other", "无", "未知"):
        return Terms()
    if found := _CREATIVE.search(said):
        parts = found[1]
        commercial = not re.search(r"\bnc\b|non|非商业", parts)
        derivatives = not re.search(r"\bnd\b|no[ -]?deriv|禁止演绎", parts)
        share_alike = bool(re.search(r"\bsa\b|share|相同方式", parts))
        family = f"CC BY{'' if commercial else '-NC'}-SA" if share_alike else ""
        return Terms(True, commercial, derivatives, share_alike, True, family=family)
    return next((terms for pattern, terms in _NAMES if re.search(pattern, said)), Terms())


def together(terms: Sequence[Terms], purpose: str | None) -> list[str]:
    """What follows for a data set made of parts under these terms, in sentences."""
    notes = []
    families = sorted({one.family for one in terms if one.share_alike})
    if len(families) > 1:
        notes.append(
            f"parts ask for different licences of what is made of them: {', '.join(families)}; together they cannot be shared"
        )
    elif families:
        notes.append(f"share-alike: what is made of it and shared must be under {families[0]}")
    if families and any(one.commercial is False for one in terms) and any("NC" not in one for one in families):
        notes.append("a part asks for the same licence, another forbids commercial use: together they cannot be shared")
    if any(one.attribution for one in terms):
        notes.append("attribution is asked for: keep the sources in the data card")
    if purpose is None and any(one.commercial is False for one in terms):
        notes.append("a part forbids commercial use: say `purpose` and it is judged")
    return notes
