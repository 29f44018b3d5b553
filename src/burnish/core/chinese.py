"""What burnish wrote in English beside records, said in Chinese where a page is read in Chinese.

Checks, labellers and filters write one English sentence, and that is what records and facts keep: one language of record,
the same whoever looks. A page that speaks Chinese finds the sentence again in the catalogue: the files `zh/*.txt` of each
room, pairs of lines, English above Chinese.

    labelled {label} ({own:#} likely); {better} is {chance:#} likely
    标为“{label}”（可能性 {own}），而“{better}”的可能性是 {chance}

{name}         anything; stands in the Chinese as it is
{name:#}       a number, a share, a day
{name:~}       a phrase that the catalogue has by itself, else as it is
{name:WORD}    a name of burnish: what the catalogue has for the entry "WORD name", else as it is
{name:~*}      several phrases, parted by ", ", " and ", " or "; so with WORD* and *
[, and more]   may be missing; brackets in the Chinese stand only where all of their holes were filled

A sentence that no entry fits, of a plug-in say, stays as it is. tests/contract/test_chinese.py looks at the code: a
reason without its Chinese one fails there.

A page is drawn in one language from its verdict to its last cell: `with speaking(language_of(task.languages)):` around
the drawing, and `say` around every sentence of burnish's own. What a user's data holds is never said, only shown.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOMS = Path(__file__).parent.parent
LONGEST, LONG = 4000, 400  # characters of a sentence that is looked for; of one that may have many holes
MANY = 2  # holes that hold any text: with more of them, whoever wrote the data could make a long sentence take minutes
_HOLE = re.compile(r"\{(\w+)(?::(#|~\*?|\*|[a-z]+\*?))?\}")
_PIECE = re.compile(r"\{\w+(?::(?:#|~\*?|\*|[a-z]+\*?))?\}|[\[\]]|(?:(?!\{\w+(?::(?:#|~\*?|\*|[a-z]+\*?))?\})[^\[\]])+")
_OPTIONAL = re.compile(r"\[([^\]]*)\]")
_NUMBER = r"(?:[+-]?(?:\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf)%?|\d{4}-\d\d-\d\d)"
_STAGE = re.compile(r"([\w.]+(?::\w[\w. -]*)?): (.+)", re.DOTALL)  # "quality.clean: …", a line of a trail
_PARTED = re.compile(r"(, | and | or )")
_SIGNS = {", ": "、", " and ": "和", " or ": "或"}


_SPOKEN: ContextVar[str] = ContextVar("spoken", default="en")  # of the page that is being drawn


def language_of(languages: Sequence[str], asked: str = "auto") -> str:
    """Of a page about a task in these languages: what is asked for, else Chinese where that comes first."""
    if asked != "auto":
        return asked
    return "zh" if tuple(languages[:1]) == ("zh",) else "en"


@contextlib.contextmanager
def speaking(language: str) -> Iterator[None]:
    """Everything drawn inside says its own words in this language ("en", "zh")."""
    before = _SPOKEN.set(language)
    try:
        yield
    finally:
        _SPOKEN.reset(before)


def spoken() -> str:
    """The language of the page that is being drawn, English outside of any."""
    return _SPOKEN.get()


def say(sentence: str) -> str:
    """A sentence of burnish's own in the language of the page that is being drawn."""
    return said_in(spoken(), sentence)


def named(kind: str, of: str) -> str:
    """A name of burnish in the language of the page that is being drawn; itself where the catalogue has none."""
    return named_in(spoken(), kind, of)


def sentence(*parts: str) -> str:
    """Parts of a sentence, said already, as one with its period."""
    return "；".join(parts) + "。" if spoken() == "zh" else "; ".join(parts) + "."


def in_both(tell: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is told in English, and under `said` in each language: for JSON, whoever reads it."""
    said = {}
    for language in ("en", "zh"):
        with speaking(language):
            said[language] = tell()
    return {**said["en"], "said": said}


def said_in(language: str, sentence: str) -> str:
    """The sentence as a page in `language` ("en", "zh") says it: itself in English, and where nobody translated it."""
    return _chinese(sentence) if language == "zh" and sentence else sentence


def named_in(language: str, kind: str, name: str) -> str:
    """A name of burnish (a check, a figure, a language) in the words of a page; itself where the catalogue has none."""
    return catalogue().names.get(f"{kind} {name}", name) if language == "zh" else name


@dataclass(frozen=True)
class Entry:
    """An English sentence with holes, and what it is in Chinese. kinds: hole -> what it holds."""

    english: str
    chinese: str
    kinds: Mapping[str, str]
    pattern: re.Pattern[str]
    anchor: str  # its longest piece without a hole: what no fitting sentence lacks

    def fits(self, sentence: str) -> dict[str, str | None] | None:
        """Hole -> what fills it, where the sentence is one of these."""
        if self.anchor not in sentence or (len(sentence) > LONG and self.loose > MANY):
            return None
        found = self.pattern.fullmatch(sentence)
        return found.groupdict() if found else None

    @functools.cached_property
    def loose(self) -> int:
        """Holes that hold any text."""
        return sum(kind != "#" for kind in self.kinds.values())

    def say(self, held: Mapping[str, str | None]) -> str:
        filled = {name: None if one is None else _filled(self.kinds[name], one) for name, one in held.items()}

        def optional(found: re.Match[str]) -> str:
            return found[1] if all(filled[hole[1]] is not None for hole in _HOLE.finditer(found[1])) else ""

        return _HOLE.sub(lambda hole: filled[hole[1]] or "", _OPTIONAL.sub(optional, self.chinese))


@dataclass(frozen=True)
class Catalogue:
    """names: sentences and names without a hole -> Chinese. entries: those with holes, the most particular first.

    begun: first word -> the entries that a sentence with that first word may fit; "" -> those that begin with a hole.
    """

    names: Mapping[str, str]
    entries: tuple[Entry, ...]
    begun: Mapping[str, tuple[Entry, ...]]

    def may_fit(self, sentence: str) -> tuple[Entry, ...]:
        return self.begun.get(sentence.partition(" ")[0], self.begun[""])


@functools.cache
def catalogue() -> Catalogue:
    """The pairs of all rooms."""
    names: dict[str, str] = {}
    entries = []
    for path in files():
        for english, chinese in pairs(path):
            if "{" in english and _HOLE.search(english):
                entries.append(_entry(english, chinese))
            else:
                names[english] = chinese
    entries.sort(key=lambda one: -len(_HOLE.sub("", _OPTIONAL.sub("", one.english))))
    first = [one.english.partition(" ")[0] for one in entries]
    first = ["" if set(word) & set("{[") else word for word in first]
    begun = {
        word: tuple(one for one, own in zip(entries, first, strict=True) if own in (word, "")) for word in {"", *first}
    }
    return Catalogue(names, tuple(entries), begun)


def files() -> list[Path]:
    """The files of pairs: of each room, and of the pages of a whole run."""
    return sorted([*ROOMS.glob("zh/*.txt"), *ROOMS.glob("*/zh/*.txt")])


def pairs(path: Path) -> Iterator[tuple[str, str]]:
    """(English, Chinese) of a file; ValueError names the line of one without the other, or of a hole nobody fills."""
    lines = [(at, line.rstrip()) for at, line in enumerate(path.read_text("utf-8").splitlines(), 1)]
    held = [(at, line) for at, line in lines if line and not line.startswith("#")]
    if len(held) % 2:
        raise ValueError(f"{path.name}:{held[-1][0]}: {held[-1][1]!r} stands alone")
    for (at, english), (under, chinese) in zip(held[::2], held[1::2], strict=True):
        unknown = {hole[1] for hole in _HOLE.finditer(chinese)} - {hole[1] for hole in _HOLE.finditer(english)}
        if under != at + 1 or unknown:
            raise ValueError(f"{path.name}:{at}: {english!r} is not with its Chinese, or that has holes of its own")
        yield english, chinese


def _entry(english: str, chinese: str) -> Entry:
    kinds: dict[str, str] = {}
    made, fixed, depth = [], [""], 0
    for piece in _PIECE.findall(english):
        hole = _HOLE.fullmatch(piece)
        if hole:
            name, kind = hole[1], hole[2] or ""
            made.append(f"(?P={name})" if name in kinds else f"(?P<{name}>{_NUMBER if kind == '#' else '.*?'})")
            kinds[name] = kind
        elif piece in "[]":
            made.append("(?:" if piece == "[" else ")?")
            depth += 1 if piece == "[" else -1
        else:
            made.append(re.escape(piece))
        fixed.append(piece if not hole and piece not in "[]" and not depth else "")
    return Entry(english, chinese, kinds, re.compile("".join(made), re.DOTALL), max(fixed, key=len))


@functools.lru_cache(4096)
def _chinese(sentence: str) -> str:
    known = catalogue()
    line = " ".join(sentence.split()) if "\n" in sentence else sentence  # a docstring
    if line in known.names:
        return known.names[line]
    if len(sentence) > LONGEST:
        return sentence
    for entry in known.may_fit(sentence):
        held = entry.fits(sentence)
        if held is not None:
            return entry.say(held)
    by = _STAGE.fullmatch(sentence)
    done = _chinese(by[2]) if by else ""
    return f"{by[1]}：{done}" if by and done != by[2] else sentence


def _filled(kind: str, held: str) -> str:
    """What a hole holds, as the Chinese says it."""
    if not kind or kind == "#":
        return held
    if kind.endswith("*"):
        whole = _filled(kind[:-1], held)
        if whole != held:
            return whole
        parts = _PARTED.split(held)
        return "".join(_SIGNS.get(part) or _filled(kind[:-1], part) for part in parts)
    return _chinese(held) if kind == "~" else catalogue().names.get(f"{kind} {held}", held)
