"""Changes to a text as a list of edits, and where every character that stays is afterwards.

Positions are characters (code points), end exclusive. Edits are in order and do not overlap; an insertion has start ==
end. A span is moved by what stands before it and grows or shrinks by what is changed inside it; an insertion at either of
its borders stays outside.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Stretch = tuple[int, int]

# An extended cluster, near enough: a sign with the marks, joiners, selectors, skin tones and tags that belong to it;
# two regional indicators are a flag. Cutting inside one would make another sign of it.
_CLUSTER = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}|.(?:\u200d.|[\u200c\ufe00-\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|MARK)*",
    re.DOTALL,
)
_MARKS = (r"\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0e31\u0e34-\u0e3a"
          r"\u0e47-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe20-\ufe2f")  # fmt: skip
_CLUSTER = re.compile(_CLUSTER.pattern.replace("MARK", f"[{_MARKS}]"), re.DOTALL)


class Edit(NamedTuple):
    """What stands at start..end becomes `text`."""

    start: int
    end: int
    text: str

    @property
    def growth(self) -> int:
        return len(self.text) - (self.end - self.start)


def clusters(text: str) -> list[Stretch]:
    """(start, end) of what a reader takes for one sign: a letter with its accents, a family emoji, a flag."""
    return [found.span() for found in _CLUSTER.finditer(text)]


def sound(edits: Iterable[Edit], *, kept: Sequence[Stretch] = (), spans: Sequence[Stretch] = ()) -> list[Edit]:
    """Those of the edits that can be made together, in order: the first of those that overlap.

    kept: stretches that stay as they are. spans: stretches that may change inside, but whose borders nothing crosses.
    """
    made: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        after = not made or edit.start > made[-1].end or (edit.start == made[-1].end and _apart(made[-1], edit))
        if after and not any(_touches(edit, one) for one in kept) and all(_fits(edit, one) for one in spans):
            made.append(edit)
    return made


def applied(text: str, edits: Sequence[Edit]) -> str:
    """The text after `sound` edits."""
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def moved(start: int, end: int, edits: Sequence[Edit]) -> Stretch:
    """Where start..end stands after `sound` edits."""
    return (
        start + sum(edit.growth for edit in edits if edit.end <= start),
        end + sum(edit.growth for edit in edits if edit.end <= end and edit.start < end),
    )


def is_letter(sign: str) -> bool:
    """Whether a cluster is one letter without anything that belongs to it."""
    return len(sign) == 1 and unicodedata.category(sign)[0] == "L"


def _apart(before: Edit, edit: Edit) -> bool:
    """Two edits that meet at one point: two insertions there have no order."""
    return before.start < before.end or edit.start < edit.end


def _touches(edit: Edit, kept: Stretch) -> bool:
    start, end = kept
    return edit.start < end and edit.end > start  # an insertion at a border does not


def _fits(edit: Edit, span: Stretch) -> bool:
    start, end = span
    return edit.end <= start or edit.start >= end or (start <= edit.start and edit.end <= end)
