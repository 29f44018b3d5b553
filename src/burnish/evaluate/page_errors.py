"""The worst errors on a page: what was asked for beside what was answered, their neighbours, and what pulled them there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import named, say

Pieces = Sequence[Sequence[Any]]  # [text, mark or None] each

BRIEF = 60  # characters of an answer that stands in a line with its facts
BESIDE = 90  # characters that stay of a long text on each side of a mark; the whole is behind a line that opens
LONG_INPUT = 360  # characters of what a model that writes has read, past which the rest is behind a line that opens
LONG_SIDE = 600  # characters of one text of a pair, past which they stand one below the other


def worst_errors(numbers: Mapping[str, Any]) -> list[p.Part]:
    errors = numbers["errors"]
    if not errors["items"]:
        return [say("No error on this test set.")]
    doubtful = sum(one["doubtful"] for one in errors["items"])
    remark = say(f"{doubtful} of these {len(errors['items'])} may be wrong labels of the test set itself.")
    near = say(f"Nearest training records by {errors['nearest_by']}.")
    return [f"{near} {remark}" if doubtful else near, error_list(errors, shown=8)]


def error_list(errors: Mapping[str, Any], *, shown: int, most: int | None = None) -> p.Html:
    """Errors with what they were taken for, and their neighbours behind a line that opens."""
    hues = p.hues_of(sorted(_marks(errors["items"])))
    items = [
        p.Example(
            _shown(one, hues),
            [
                *_said(one),
                *([(say("confidence"), one["score"])] if one["score"] is not None else []),
                *([(say("source"), one["source"])] if one.get("source") else []),
                (say("id"), one["id"]),
            ],
            p.together(_neighbours(one, hues), _pulled(one)),
            tone="look" if one["doubtful"] else "plain",
        )
        for one in errors["items"][:most]
    ]
    return p.examples(items, shown=shown, what=say("errors"))


def _marks(items: Iterable[Mapping[str, Any]]) -> set[str]:
    """The names of all marks among the errors and their neighbours."""
    readings = [one[name] for one in items for name in ("input", "expected", "answered")]
    readings += [near["pieces"] for one in items for near in one["neighbours"]]
    return {named("mark", mark) for reading in readings for _, mark in reading if mark}


def _marked(pieces: Pieces, hues: Mapping[str, int], loud: Collection[int] = (), *, room: int = p.MAX_TEXT) -> p.Html:
    """Pieces with their marks; those that burnish puts itself (the answer, a relation) in the language being spoken."""
    return p.marked([(text, mark and named("mark", mark)) for text, mark in pieces], hues=hues, loud=loud, room=room)


def made_by(step: str | None) -> str | None:
    """Where a label comes from: "given", "aggregate:weighted" and their kind, the step in words."""
    kind, colon, how = (step or "").partition(":")
    return step and named("label", kind) + colon + how


def _brief(one: Mapping[str, Any]) -> bool:
    """Whether target and answer are a few words each, and stand nowhere in the text."""
    placed = any(mark for name in ("expected", "answered") for _, mark in one[name])
    return (
        not placed
        and not one.get("written")
        and all(len(one[name] or "") <= BRIEF for name in ("target", "prediction"))
    )


def _said(one: Mapping[str, Any]) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = [
        (say("expected"), _answer(one["target"])),
        (say("predicted"), _answer(one["prediction"])),
    ]
    return pairs if _brief(one) else []


def _answer(said: str | None) -> str:
    """An answer in a few words: burnish's own for none in its language."""
    return named("part", said) if said else said or ""


def _shown(one: Mapping[str, Any], hues: Mapping[str, int]) -> p.Part:
    """The input, and the answer asked for beside the one given, unless a few words below say both."""
    if _brief(one):
        return _input(one["input"], hues) if one.get("text_b") else one["text"]
    if not any(mark for name in ("expected", "answered") for _, mark in one[name]):
        reference, answer = p.differences(_answer(one["target"]), _answer(one["prediction"]))
        names = [*map(say, ("reference", "answer") if one.get("written") else ("expected", "predicted"))]
        both: list[tuple[p.Part, p.Tone]] = [
            (reference, "good"),
            (answer if one["prediction"] else say("nothing"), "bad"),
        ]
        sides = p.compared([(name, *side) for name, side in zip(names, both, strict=True)], beside=True)
        return p.together(_opening(one["input"], hues), sides)
    same = _common(one["input"], one["expected"], one["answered"])
    asked, said = (_rest(one["input"], one[name], same) for name in ("expected", "answered"))
    good = _against(asked, said, one["target"], hues)
    bad = _against(said, asked, one["prediction"], hues)
    sides = p.compared([(say("expected"), good, "good"), (say("predicted"), bad, "bad")])
    rest = one["input"][same:]
    whole = p.fold(say("The whole text"), _input(rest, hues)) if sum(len(text) for text, _ in rest) > 3 * BESIDE else ""
    return p.together(_input(one["input"][:same], hues) if same else "", sides, whole)


def _opening(pieces: Pieces, hues: Mapping[str, int]) -> p.Html:
    """What was read; of a long text its beginning, and the whole behind a line that opens."""
    text = "".join(text for text, _ in pieces)
    if len(text) <= LONG_INPUT:
        return _input(pieces, hues)
    return p.together(p.quote(f"{text[:LONG_INPUT].rstrip()} …"), p.fold(say("The whole text"), _input(pieces, hues)))


def _input(pieces: Pieces, hues: Mapping[str, int]) -> p.Html:
    """A record as it came in; the two texts of a pair beside each other."""
    texts = [text.strip() for text, _ in pieces]
    if len(texts) == 2 and not any(mark for _, mark in pieces) and max(map(len, texts)) <= LONG_SIDE:
        return p.side_by_side(*(p.quote(text) for text in texts))
    return _marked([(text.strip() if len(pieces) == 1 else text, mark) for text, mark in pieces], hues)


def _common(*readings: Pieces) -> int:
    """How many pieces all begin with."""
    return next((at for at, same in enumerate(zip(*readings, strict=False)) if any(one != same[0] for one in same)), min(map(len, readings)))  # fmt: skip


def _rest(given: Pieces, reading: Pieces, same: int) -> Pieces:
    """What a reading adds to the pieces that all share; of an answer below the input, the answer alone."""
    return reading[len(given) :] if reading[: len(given)] == given else reading[same:]


def _against(reading: Pieces, other: Pieces, said: str, hues: Mapping[str, int]) -> p.Part:
    """A reading with those marks loud that the other one does not have; one that marks nothing in its own words."""
    if not any(mark for _, mark in reading):
        return _answer(said) or say("nothing")
    told = {place for place in _places(other) if place is not None}
    places = _places(reading)
    loud = {at for at, place in enumerate(places) if place is not None and place not in told}
    lines = [(text.lstrip("\n") if not at else text, mark) for at, (text, mark) in enumerate(reading)]
    return _marked(lines, hues, loud or {-1}, room=BESIDE)


def _places(reading: Pieces) -> list[tuple[int, str, str] | None]:
    """(first character, text, mark) of each marked piece, None for the others."""
    places: list[tuple[int, str, str] | None] = []
    at = 0
    for text, mark in reading:
        places.append((at, text, mark) if mark else None)
        at += len(text)
    return places


def _neighbours(one: Mapping[str, Any], hues: Mapping[str, int]) -> p.Part:
    around = one["neighbours"]
    if not around:
        return ""
    placed = any(mark for each in around for _, mark in each["pieces"])
    labels = [say("label")] if not placed else []
    rows = [
        (
            _marked(each["pieces"], hues, room=BESIDE)
            if placed
            else p.quote(" | ".join(filter(None, (each["text"], each.get("text_b"))))),
            *([_answer(each["label"])] if labels else []),
            made_by(each["label_from"]),
            each["confidence"],
            each["similarity"],
            each["id"],
        )
        for each in around
    ]
    heads = [say("nearest training text"), *labels, *map(say, ("label from", "confidence", "similarity", "id"))]
    told = f"{len(around)} nearest training texts"
    if _brief(one):
        counts = Counter(_answer(each["label"]) for each in around)
        told += ": " + ", ".join(f"{count} × {label or '–'}" for label, count in counts.most_common())
    doubt = p.note(
        say("The label of this test record may be wrong: the model is sure and its neighbours agree with it.")
    )
    return p.together(p.fold(say(told), p.table(heads, rows, sort=False)), doubt if one["doubtful"] else "")


def _pulled(one: Mapping[str, Any]) -> p.Part:
    """The training records without which the answer would lean less to where it went."""
    if not one.get("pulled_by"):
        return ""
    rows = [
        (p.quote(" | ".join(filter(None, (each["text"], each.get("text_b"))))), each["label"], each["pull"], each["id"])
        for each in one["pulled_by"]
    ]
    against = sum(each["label"] == one["prediction"] for each in one["pulled_by"])
    told = say(f"{len(rows)} training records pulled it there, {against} of them labelled {one['prediction']}")
    return p.fold(told, p.table([*map(say, ("training text", "label", "pull, logits", "id"))], rows, sort=False))
