"""Find names of a knowledge base in texts that have no spans: windows of words, looked up by hash.

Memory is 8 bytes a name, so millions of names cost no more than their hashes. Of names that overlap, the one that begins
first is kept, of those the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from burnish.construct.relations.triples import Triples, name_keys
from burnish.text.words import placed

TEXTS = 256  # looked through at once
_WIDE = frozenset(".。!！?？;；:：,，、\n\t")  # what does not stand inside a name


def find_names(texts: Sequence[str], known: Triples) -> list[list[dict[str, Any]]]:
    """Spans {start, end, label: None} of names in each text; single letters and characters are no names."""
    found: list[list[dict[str, Any]]] = []
    for start in range(0, len(texts), TEXTS):
        found += _find(texts[start : start + TEXTS], known)
    return found


def _find(texts: Sequence[str], known: Triples) -> list[list[dict[str, Any]]]:
    owner: list[int] = []
    places: list[tuple[int, int]] = []
    windows: list[str] = []
    for at, text in enumerate(texts):
        cut = placed(text)
        for i, (start, _) in enumerate(cut):
            for j in range(i, min(i + known.longest, len(cut))):
                if j > i and not _joined(text[cut[j - 1][1] : cut[j][0]]):
                    break
                end = cut[j][1]
                if end - start > 1:
                    owner.append(at)
                    places.append((start, end))
                    windows.append(text[start:end])
    hits = np.flatnonzero(known.known(name_keys(windows))).tolist()
    made: list[list[dict[str, Any]]] = [[] for _ in texts]
    by_text: dict[int, list[tuple[int, int]]] = {}
    for hit in hits:
        by_text.setdefault(owner[hit], []).append(places[hit])
    for at, spans in by_text.items():
        last = -1
        for start, end in sorted(spans, key=lambda one: (one[0], -one[1])):
            if start >= last:
                made[at].append({"start": start, "end": end, "label": None})
                last = end
    return made


def _joined(gap: str) -> bool:
    """Whether what stands between two words may stand inside a name: a blank, a middle dot, a hyphen, a dot behind an initial."""
    return len(gap) <= 2 and (gap in (". ", ".") or not any(one in _WIDE for one in gap))
