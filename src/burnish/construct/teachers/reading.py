"""Make use of what a teacher wrote: mend its JSON, find its labels among the task's, find its quotes in the text.

Coerce, then validate: what can be understood one way only is taken, everything else raises ValueError in words that can be
said to the teacher.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

_THOUGHT = re.compile(r"\s*(?:<think(?:ing)?>)?.*?</think(?:ing)?>", re.DOTALL)
_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_OF = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*(?:/|out of|分之)\s*\d+(?:\.\d+)?", re.IGNORECASE)
_NOT = re.compile(r"(?:\b(?:not|no|never|neither|nor|isn't|isnt|non)\s+(?:\w+\s+)?|[不非没無无]是?)$", re.IGNORECASE)
UNDECIDED = {
    "unknown", "none", "n/a", "na", "unclear", "undecided", "unsure", "uncertain", "abstain", "cannot tell", "not sure",
    "不确定", "未知", "无法判断", "不知道", "无", "都不是", "没有",
}  # fmt: skip
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "「": '"', "」": '"', "‘": "'", "’": "'",
                         "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-"})  # fmt: skip


class Partly(ValueError):
    """Some of an answer can be used and some cannot: `value` is what can. It is taken when asking again does no better."""

    def __init__(self, value: Any, why: str) -> None:
        super().__init__(why)
        self.value = value


def without_thoughts(text: str) -> str:
    """An answer without what a reasoning model thought before it."""
    return _THOUGHT.sub("", text, count=1).strip() if "</think" in text else text.strip()


def as_json(text: str, wanted: type = dict) -> Any:
    """The JSON value in an answer: whole, in a code fence, or among words; broken JSON is mended (json-repair).

    wanted: dict or list. A list of one object is that object; an object with one list is that list.
    """
    found = _parsed(text)
    if wanted is dict and isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict):
        return found[0]
    if wanted is list and isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        return lists[0] if len(lists) == 1 else [found]
    if not isinstance(found, wanted):
        raise ValueError(f"a JSON {'object' if wanted is dict else 'list'} is wanted")
    return found


def _parsed(text: str) -> Any:
    import json_repair

    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    among = text[min(starts) : max(text.rfind("}"), text.rfind("]")) + 1] if starts else ""
    places = [text, *_FENCE.findall(text), among]
    for place in places:
        try:
            return json.loads(place)
        except (ValueError, RecursionError):
            continue
    for place in [*_FENCE.findall(text), text[min(starts) :] if starts else ""]:
        if "{" in place or "[" in place:
            mended = json_repair.loads(place)
            if isinstance(mended, dict | list) and mended:
                return mended
    raise ValueError("there is no JSON in it")


def fold(text: str) -> str:
    """A text less what does not tell labels apart: width, case, quotes, dashes, underscores, runs of blanks."""
    plain = unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold()
    return " ".join(re.sub(r"[\s_\-]+", " ", plain).split())


def as_label(
    said: Any, labels: Sequence[str], *, synonyms: Mapping[str, str] | None = None, undecided: bool = False
) -> str | None:
    """The one label of the task that an answer names.

    synonyms: other words for labels. undecided: whether "unknown", "不确定" and the like are an answer: None.
    """
    if isinstance(said, Mapping):
        values = [
            said[name] for name in ("label", "answer", "class", "category", "标签", "类别", "答案") if name in said
        ]
        values = values or (list(said.values()) if len(said) == 1 else [])
        if not values:
            raise ValueError(f"one of these labels is wanted: {_named(labels)}")
        said = values[0]
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if undecided and said is None:
        return None
    if isinstance(said, bool):
        said = "true" if said else "false"
    if not isinstance(said, str | int | float):
        raise ValueError(f"one of these labels is wanted: {_named(labels)}")
    text = str(said).strip()
    if text in labels:
        return text
    if text[:1] in "{[" or "```" in text:
        try:
            return as_label(as_json(text), labels, synonyms=synonyms, undecided=undecided)
        except ValueError:
            pass
    names = {fold(label): label for label in labels}
    names |= {fold(word): label for word, label in (synonyms or {}).items() if fold(word) not in names}
    bare = fold(text).strip(" .。,，:：;；!！?？\"'`*#()（）[]【】<>《》")
    if bare in names:
        return names[bare]
    if undecided and bare in UNDECIDED:
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    for part in dict.fromkeys((*lines[-1:], *lines[:1], text)):
        mentioned = _mentioned(fold(part), names)
        if len(mentioned) == 1:
            return mentioned.pop()
    if len(bare) <= 40 and (near := _nearly(bare, names)):
        return near
    raise ValueError(f"one of these labels is wanted, got {text[:80]!r}: {_named(labels)}")


def _mentioned(text: str, names: Mapping[str, str]) -> set[str]:
    """Labels that stand in a folded text as words, the longest first, and are not denied there."""
    found: set[str] = set()
    for name in sorted(names, key=len, reverse=True):
        if not name:
            continue
        edges = (r"(?<![^\W_])" if _latin(name[0]) else "", r"(?![^\W_])" if _latin(name[-1]) else "")
        pattern = re.compile(edges[0] + re.escape(name) + edges[1])
        for one in pattern.finditer(text):
            found.add("" if _NOT.search(text[: one.start()]) else names[name])  # a denied one makes it unclear
        text = pattern.sub("\n", text)
    return found if "" not in found else {"", *found, "denied"}


def _latin(character: str) -> bool:
    """Whether words of this script stand apart: ideographs and kana do not."""
    return character.isalnum() and not "\u2e80" <= character <= "\u9fff"


def _nearly(said: str, names: Mapping[str, str]) -> str | None:
    """The label of which this is a slip of the pen, where no other is nearly as near."""
    scored = sorted(((difflib.SequenceMatcher(None, said, name).ratio(), name) for name in names), reverse=True)
    others = [score for score, name in scored if names[name] != names[scored[0][1]]]
    clear = scored and scored[0][0] >= 0.85 and (not others or others[0] <= scored[0][0] - 0.2)
    return names[scored[0][1]] if clear else None


def as_labels(said: Any, labels: Sequence[str], *, synonyms: Mapping[str, str] | None = None) -> list[str]:
    """All labels that an answer names, in the task's order; [] when it says that none fits."""
    if isinstance(said, str):
        text = said.strip()
        if text[:1] in "{[" or "```" in text:
            said = _parsed(text)
        elif fold(text).strip(" .。") in UNDECIDED:
            said = []
        else:
            said = [part for part in re.split(r"[,，、;；\n]+", text) if part.strip(" -*•.。")]
    if isinstance(said, Mapping):
        lists = [value for value in said.values() if isinstance(value, list)]
        said = lists[0] if len(lists) == 1 else [name for name, value in said.items() if value is True]
    if not isinstance(said, list):
        raise ValueError(f"a list of labels is wanted: {_named(labels)}")
    found = {as_label(one, labels, synonyms=synonyms, undecided=True) for one in said}
    return [label for label in labels if label in found]


def as_number(said: Any, *, low: float | None = None, high: float | None = None) -> float:
    """The one number in an answer, within low..high."""
    if isinstance(said, str) and said.strip()[:1] == "{":
        said = as_json(said)
    if isinstance(said, Mapping):
        said = next((one for one in said.values() if isinstance(one, int | float | str)), None)
    if isinstance(said, bool) or not isinstance(said, int | float | str):
        raise ValueError("one number is wanted")
    text = unicodedata.normalize("NFKC", str(said)).translate(_QUOTES)
    text = _OF.sub(r"\1", re.sub(r"(?<=\d),(?=\d{3}\b)", "", text))
    numbers = {float(one) for one in _NUMBER.findall(text)}
    if len(numbers) != 1:
        raise ValueError(f"one number is wanted, got {text[:80]!r}")
    number = numbers.pop()
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(
            f"a number from {low if low is not None else '-∞'} to {high if high is not None else '∞'} is wanted"
        )
    return number


def find_quote(text: str, quote: str, *, near: int | None = None) -> tuple[int, int]:
    """Where a quote stands in a text: (start, end) in characters, end exclusive; the nearest to `near`, else the first.

    Offsets that a teacher counted are only a hint: see `find_quotes` for what counts as standing there.
    """
    places = find_quotes(text, quote)
    return min(places, key=lambda place: abs(place[0] - near)) if near is not None else places[0]


def find_quotes(text: str, quote: str) -> list[tuple[int, int]]:
    """All places (start, end) where a quote stands in a text, in order; ValueError where there is none.

    Letter for letter; else whatever the width of characters, kind of quotes and dashes, and blanks; else whatever the case.
    Places where it stands as whole words are taken alone, where there are any.
    """
    quote = quote.strip()
    if not quote:
        raise ValueError("an empty quote stands nowhere")
    places = _places(text, quote)
    for loose in (False, True):
        if places:
            break
        folded, at = _folded(text, loose)
        sought = _folded(quote, loose)[0]
        for wanted in (sought, sought.strip("\"'`.,;:!?。，；：！？…()[]")):
            if wanted and not places:
                places = [(at[start][0], at[end - 1][1]) for start, end in _places(folded, wanted)]
    if not places:
        raise ValueError(f"{quote[:80]!r} does not stand in the text: quote it letter for letter")
    return [place for place in places if _stands_apart(text, *place)] or places


def _places(text: str, quote: str) -> list[tuple[int, int]]:
    return [(one.start(), one.start() + len(quote)) for one in re.finditer(f"(?={re.escape(quote)})", text)]


def _folded(text: str, loose: bool) -> tuple[str, list[tuple[int, int]]]:
    """The text less width, quotes and blanks (loose: and case), and for each of its characters where it comes from."""
    made: list[str] = []
    at: list[tuple[int, int]] = []
    for place, character in enumerate(text):
        plain = unicodedata.normalize("NFKC", character).translate(_QUOTES)
        for one in plain.casefold() if loose else plain:
            if not one.isspace() and unicodedata.category(one) != "Cf":
                made.append(one)
                at.append((place, place + 1))
    return "".join(made), at


def _stands_apart(text: str, start: int, end: int) -> bool:
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    return not (_latin(before) and _latin(text[start])) and not (_latin(after) and _latin(text[end - 1]))


def _named(labels: Sequence[str]) -> str:
    return ", ".join(labels[:40]) + (" …" if len(labels) > 40 else "")
