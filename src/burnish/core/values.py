"""Values of one field, checked a column at a time: what fits passes unlooked at, what does not gets a reason.

Every function takes the values of n rows and `bad` (row -> first reason), adds to `bad`, and returns n clean values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

Bad = dict[int, str]
NONE = type(None)


def texts(
    values: list[Any], bad: Bad, max_chars: int, optional: Sequence[bool] | None, absent: Callable[[int], str] | None
) -> list[str | None]:
    """Text that is there, is a string, is not blank and is not too long. optional: rows that may go without."""
    if set(map(type, values)) == {str} and all(map(str.strip, values)) and max(map(len, values)) <= max_chars:
        return values
    clean: list[str | None] = []
    for i, value in enumerate(values):
        clean.append(value if isinstance(value, str) else None)
        if value is None:
            if not (optional and optional[i]):
                bad.setdefault(i, absent(i) if absent else "missing field: text")
        elif not isinstance(value, str):
            bad.setdefault(i, f"wrong type: text is {_kind(value)}, not a string")
        elif not value.strip():
            bad.setdefault(i, "empty text: nothing but blanks")
        elif len(value) > max_chars:
            bad.setdefault(i, f"too long: {len(value):,} characters, the limit is {max_chars:,}")
    return clean


def labels(
    values: list[Any], bad: Bad, mapping: Mapping[str, str] | None
) -> tuple[list[str | None], list[list[str] | None]]:
    """One label (string, number, boolean) or a list of them; an empty string is no label.

    mapping: what is found, as a string -> label; "" for no label. Booleans are "true" and "false", 1.0 is "1".
    """
    if not mapping and set(map(type, values)) <= {str, NONE}:
        return [value or None for value in values], [None] * len(values)
    one: list[str | None] = []
    many: list[list[str] | None] = []
    for i, value in enumerate(values):
        try:
            if isinstance(value, list | tuple):
                many.append([said for each in value if (said := _label(each, mapping)) is not None])
                one.append(None)
            else:
                one.append(_label(value, mapping))
                many.append(None)
        except ValueError as error:
            bad.setdefault(i, str(error))
            one.append(None)
            many.append(None)
    return one, many


def _label(value: Any, mapping: Mapping[str, str] | None) -> str | None:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str | bool | int | float):
        raise ValueError(f"wrong type: label is {_kind(value)}, not a string, number or list")
    said = plain(value)
    if not mapping:
        return said
    if said not in mapping:
        raise ValueError(f"no such label: {said!r} is not in label_names ({', '.join(mapping)})"[:300])
    return mapping[said] or None


def plain(value: str | bool | int | float) -> str:
    """A scalar as a label or a name: true, 3, 2.5; 3.0 is 3, as a column with gaps makes floats of counts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def names(values: list[Any], what: str, bad: Bad) -> list[str | None]:
    """Ids, groups, languages, licences: strings or numbers; blank is none."""
    if set(map(type, values)) <= {str, NONE}:
        return [value or None for value in values]
    clean: list[str | None] = []
    for i, value in enumerate(values):
        fits = value is None or isinstance(value, str | bool | int | float)
        nothing = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
        clean.append(plain(value) if fits and not nothing else None)
        if not fits:
            bad.setdefault(i, f"wrong type: {what} is {_kind(value)}, not a string or number")
    return clean


def numbers(values: list[Any], bad: Bad) -> list[float | None]:
    """Finite numbers; a string that is one counts."""
    clean: list[float | None] = []
    for i, value in enumerate(values):
        try:
            number = None if value is None or value == "" else float(value)
            if number is not None and not math.isfinite(number):
                raise ValueError
            clean.append(number)
        except (TypeError, ValueError, OverflowError):
            clean.append(None)
            bad.setdefault(i, f"wrong type: value {_short(value)} is not a finite number")
    return clean


def times(values: list[Any], bad: Bad) -> list[datetime | None]:
    """Moments in UTC. Unreadable ones are bad rows: a split by time must not lose them in silence."""
    clean: list[datetime | None] = []
    for i, value in enumerate(values):
        try:
            clean.append(moment(value))
        except (ValueError, OverflowError, OSError, TypeError):
            clean.append(None)
            bad.setdefault(i, f"time: {_short(value)} is neither ISO 8601 nor seconds or milliseconds since 1970")
    return clean


_DATE = re.compile(
    r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?(?:[T\s]*(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?))?"
)


def moment(value: Any) -> datetime | None:
    """Read ISO 8601, 2024/3/1 12:30, 2024年3月1日, RFC 5322, or epoch seconds, milliseconds or microseconds.

    No zone means UTC. A number is seconds below 1e11 (the year 5138), milliseconds below 1e14, else microseconds.
    """
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return _utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("no time")
    if isinstance(value, int | float):
        size = abs(value)
        return datetime.fromtimestamp(value / (1 if size < 1e11 else 1e3 if size < 1e14 else 1e6), tz=UTC)
    said = value.strip()
    if not said:
        return None
    if re.fullmatch(r"-?\d{9,}(\.\d+)?", said):  # shorter ones are ISO dates (20240301) or years
        return moment(float(said))
    try:
        return _utc(datetime.fromisoformat(said))
    except ValueError:
        pass
    if found := _DATE.fullmatch(said):
        year, month, day, clock = found.groups()
        clock = clock or "00:00"
        clock = f"0{clock}" if clock[1] == ":" else clock
        return _utc(datetime.fromisoformat(f"{year}-{int(month):02d}-{int(day):02d}T{clock}"))
    return _utc(parsedate_to_datetime(said))


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def messages(values: list[Any], bad: Bad, max_chars: int) -> list[list[dict[str, str]] | None]:
    """Conversations: lists of {role, content} of strings."""
    clean: list[list[dict[str, str]] | None] = []
    for i, value in enumerate(map(parsed, values)):
        clean.append(None)
        if value is None:
            continue
        if not isinstance(value, list) or not all(_is_turn(turn) for turn in value):
            bad.setdefault(i, f"wrong type: messages is {_kind(value)}, not a list of {{role, content}} of strings")
        elif not any(turn["content"].strip() for turn in value):
            bad.setdefault(i, "empty text: no message says anything")
        elif sum(len(turn["content"]) for turn in value) > max_chars:
            bad.setdefault(i, f"too long: messages of more than {max_chars:,} characters together")
        else:
            clean[i] = [{"role": turn["role"], "content": turn["content"]} for turn in value]
    return clean


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)


def spans(values: list[Any], over: Sequence[str | None], bad: Bad) -> list[list[dict[str, Any]] | None]:
    """{start, end, label} in characters of the text, end exclusive."""
    clean: list[list[dict[str, Any]] | None] = []
    for i, value in enumerate(map(parsed, values)):
        clean.append(None)
        if value is None:
            continue
        if not isinstance(value, list) or not all(_has_types(one, start=int, end=int, label=str) for one in value):
            bad.setdefault(i, "wrong type: spans is not a list of {start, end, label}")
            continue
        length = len(over[i] or "")
        outside = next((one for one in value if not 0 <= one["start"] < one["end"] <= length), None)
        if outside:
            where = f"{_short(outside['start'])}..{_short(outside['end'])}"
            bad.setdefault(i, f"span: {where} ({_short(outside['label'])}) is not inside a text of {length} characters")
        else:
            clean[i] = [{key: one[key] for key in ("start", "end", "label")} for one in value]
    return clean


def relations(values: list[Any], over: Sequence[list[Any] | None], bad: Bad) -> list[list[dict[str, Any]] | None]:
    """{head, tail, label}, head and tail being positions in the record's spans."""
    clean: list[list[dict[str, Any]] | None] = []
    for i, value in enumerate(map(parsed, values)):
        clean.append(None)
        if value is None:
            continue
        if not isinstance(value, list) or not all(_has_types(one, head=int, tail=int, label=str) for one in value):
            bad.setdefault(i, "wrong type: relations is not a list of {head, tail, label}")
            continue
        count = len(over[i] or ())
        outside = next((one for one in value if not (0 <= one["head"] < count and 0 <= one["tail"] < count)), None)
        if outside:
            ends = f"{_short(outside['head'])} and {_short(outside['tail'])}"
            bad.setdefault(i, f"relation: spans {ends} of a record with {count} spans")
        else:
            clean[i] = [{key: one[key] for key in ("head", "tail", "label")} for one in value]
    return clean


def answers(values: list[Any], over: Sequence[str | None], bad: Bad) -> list[dict[str, Any] | None]:
    """{text, start}: start in characters of the context, None for an answer that is not quoted from it."""
    clean: list[dict[str, Any] | None] = []
    for i, value in enumerate(map(parsed, values)):
        clean.append(None)
        if value is None:
            continue
        if isinstance(value, str):
            value = {"text": value}
        start = value.get("start") if isinstance(value, dict) else None
        if not _has_types(value, text=str) or not (start is None or type(start) is int):
            bad.setdefault(i, "wrong type: answer is not {text, start}")
        elif start is not None and start >= 0 and (over[i] or "")[start : start + len(value["text"])] != value["text"]:
            bad.setdefault(i, f"answer: {_short(value['text'])} does not stand at {_short(start)} of the context")
        else:
            clean[i] = {"text": value["text"], "start": start if start is not None and start >= 0 else None}
    return clean


def votes(values: list[Any], bad: Bad) -> list[list[dict[str, Any]] | None]:
    """What labellers said: {labeller, confidence} and of label, start, end, tail_start, tail_end, text what they say."""
    clean: list[list[dict[str, Any]] | None] = []
    for i, value in enumerate(map(parsed, values)):
        clean.append(None)
        if value is None:
            continue
        if not isinstance(value, list) or not all(_has_types(one, labeller=str) for one in value):
            bad.setdefault(i, "wrong type: votes is not a list of objects with a labeller")
        else:
            clean[i] = value
    return clean


def _has_types(value: Any, **types: type) -> bool:
    return isinstance(value, dict) and all(type(value.get(key)) is kind for key, kind in types.items())


def parsed(value: Any) -> Any:
    """A structure that a flat format (CSV, SQL) holds as JSON text; "" is none."""
    if not isinstance(value, str):
        return value
    if value[:1] not in ("[", "{"):
        return value or None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def json_text(value: Any) -> str:
    """JSON that any reader takes: no NaN, and what JSON does not have becomes text."""
    try:
        return _encode(value)
    except ValueError:
        return _encode(_finite(value))


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False, default=str).encode


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def without(row: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """A copy of the row less the values at dotted paths; an object that is then empty goes too."""
    copy = dict(row)
    for path in paths:
        head, _, rest = path.partition(".")
        inner = copy.get(head)
        if not isinstance(inner, Mapping):
            continue
        left = without(inner, [rest]) if rest not in inner else {k: one for k, one in inner.items() if k != rest}
        copy[head] = left or None
    return copy


def _kind(value: Any) -> str:
    known = {dict: "an object", list: "a list", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return known.get(type(value), type(value).__name__)


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 60 else said[:57] + "..."
