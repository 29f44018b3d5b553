"""What every format of conversations shares: a record as turns, a row's columns as turns, preference pairs.

A preference pair is a record with `meta.rejected`, the text of the worse answer; the better one is `output`, or the last
message where there is no output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.core.records import Record
from burnish.formats.base import Told, Unfit

Turns = list[dict[str, str]]
REJECTED = "rejected"  # its place in meta


def turns_of(record: Record) -> tuple[Turns, set[str]]:
    """The conversation of a record, its answer at the end where it has one, and the fields it took.

    A text is the user's turn, with its second text below; the answer is its output, answer, label, labels or value.
    """
    if record.messages:
        turns = [dict(turn) for turn in record.messages]
        if record.output is None:
            return turns, {"messages"}
        if turns[-1]["role"] == "assistant":
            turns.pop()  # the output is the better answer to the same question
        return [*turns, turn("assistant", record.output)], {"messages", "output"}
    if record.text is None:
        raise Unfit("nothing asked: there is neither text nor messages")
    asked, held = record.text, {"text"}
    if record.text_b:
        asked, held = f"{asked}\n{record.text_b}", held | {"text_b"}
    said, by = answer_of(record)
    return [turn("user", asked), *([turn("assistant", said)] if said is not None else [])], held | by


def answer_of(record: Record) -> tuple[str | None, set[str]]:
    """What a record without messages answers, in words, and the field that says it."""
    if record.output is not None:
        return record.output, {"output"}
    if record.answer is not None:
        return record.answer["text"], {"answer"}
    if record.label is not None:
        return record.label, {"label"}
    if record.labels is not None:
        return ", ".join(record.labels), {"labels"}
    if record.value is not None:
        return f"{record.value:g}", {"value"}
    return None, set()


def tell(record: Record, told: Told, *, turns: bool, joined: bool = True) -> None:
    """Count what comes back otherwise than it stood. turns: a text is written as a turn, so it comes back as messages.

    joined: the second text stands below the first.
    """
    if record.messages is not None:
        return
    if turns:
        told.changed["text: written as a turn"] += 1
    if record.text_b and joined:
        told.changed["text_b: joined to the text"] += 1
    by = answer_of(record)[1] - {"output"}
    if by:
        told.changed[f"{next(iter(by))}: written as the answer's text"] += 1


def pair_of(record: Record) -> tuple[Turns, str, str, set[str]]:
    """A preference pair: the turns before the answer, the better answer, the worse one, and the fields it took."""
    worse = record.meta.get(REJECTED)
    if not isinstance(worse, str):
        raise Unfit("no pair: meta.rejected holds no text")
    turns, held = turns_of(record)
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        raise Unfit("no pair: there is no better answer, neither output nor a last message of the assistant")
    return turns[:-1], turns[-1]["content"], worse, held


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def plain_turns(
    value: Any, *, role: str = "role", content: str = "content", roles: Mapping[str, str] | None = None
) -> tuple[Turns, dict[str, dict[str, Any]]]:
    """A list of turns of any dialect as ours, and what else its turns hold, by position. ValueError says what is wrong."""
    if not isinstance(value, list):
        raise ValueError("wrong type: a conversation is not a list of turns")
    turns, more = [], {}
    for at, one in enumerate(value):
        if not isinstance(one, Mapping) or not isinstance(one.get(role), str):
            raise ValueError(f"wrong type: turn {at + 1} is no object with {role!r}")
        name = one[role]
        if roles is not None and name not in roles:
            raise ValueError(f"role: turn {at + 1} is by {name[:60]!r}, who is none of {', '.join(roles)}")
        turns.append(turn(roles[name] if roles else name, _words(one.get(content), at)))
        if left := {key: left for key, left in one.items() if key not in (role, content) and left is not None}:
            more[str(at)] = left
    return turns, more


def _words(value: Any, at: int) -> str:
    """The text of a turn; of several parts of text, one a line; nothing for a turn that only calls tools."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, Mapping) for part in value):
        other = next((part.get("type") for part in value if part.get("type") != "text"), None)
        if other is None and all(isinstance(part.get("text"), str) for part in value):
            return "\n".join(part["text"] for part in value)
        raise ValueError(f"parts: turn {at + 1} holds {other or 'an odd part'}, and only text can be read")
    raise ValueError(f"wrong type: turn {at + 1} says no text")


def alternating(turns: Sequence[Mapping[str, str]], *, whole: bool) -> tuple[str, Turns]:
    """A leading system turn's text, and the rest, where user (or tool) and assistant take turns. whole: it ends with an answer.

    Unfit says where they do not: readers of Alpaca and ShareGPT skip such a conversation without a word.
    """
    system = turns[0]["content"] if turns and turns[0]["role"] == "system" else ""
    rest = [dict(one) for one in turns[1 if turns and turns[0]["role"] == "system" else 0 :]]
    for at, one in enumerate(rest):
        if (one["role"] == "assistant") != bool(at % 2):
            raise Unfit(
                f"turns: {one['role']} speaks at place {at + 1}, where {'an' if at % 2 else 'no'} answer belongs"
            )
    if not rest or (whole and len(rest) % 2):
        raise Unfit("turns: the last question has no answer")
    return system, rest


def common_prompt(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """(prompt, chosen, rejected) of two answers that both begin with what was asked, as trl cuts them."""
    size = next(
        (at for at, (one, two) in enumerate(zip(chosen, rejected, strict=False)) if one != two),
        min(len(chosen), len(rejected)),
    )
    if isinstance(chosen, str) and size and chosen[size - 1 : size] == " ":
        size -= 1
    return chosen[:size], chosen[size:], rejected[size:]
