"""Pages that stand alone: one HTML file with its style, its charts and a few lines of script inside, nothing fetched.

    html = page(
        "Evaluation",
        section("Scores", tiles([Tile("accuracy", 0.91, (0.89, 0.93))]), bars([("sport", 0.95), ("arts", 0.87)])),
        verdict=verdict("good", "Right 91 times in 100 on 1,000 texts nobody trained on."),
    )

Every function returns `Html`: finished markup that may go into any other. Everything else that is put on a page, a `str`
or a number, is escaped; control characters, lone surrogates and characters that reorder text are made visible.
The few words that a piece says by itself ("yes", "true ↓ predicted →") are in the language being spoken: `core.chinese`.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from burnish.core.chinese import say, spoken
from burnish.core.figures import between

Tone = Literal["good", "look", "bad", "plain"]
Show = Callable[[float], str]

MAX_ROWS = 500  # of a table: a page must open at once
MAX_TEXT = 1200  # characters of one text
TILES_A_ROW = 6
MAX_DOTS = 60  # of one curve; past them dots hide it
LIKE = 0.3  # of two texts that they must share before their differences say anything
MAX_CLASSES = 20  # of a confusion matrix that a person can still read

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
_HAN, _KANA = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"), re.compile("[\u3040-\u30ff]")
_PIECE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]|\w+|\s+|.", re.DOTALL)


class Html(str):
    """Markup that is finished: put into a page as it is, where any other string is escaped."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


Part = Html | str


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it; a page lists its sections at the side."""

    title: str
    body: Html
    lead: str = ""


@dataclass(frozen=True)
class Tile:
    """One figure a person should not miss. interval: (low, high) around the value, drawn on 0..whole
    where it lies in that; note: a few words below."""

    name: str
    value: object
    interval: tuple[float, float] | None = None
    note: str = ""
    tone: Tone = "plain"
    whole: float = 1.0


@dataclass(frozen=True)
class Example:
    """A text with facts about it, and what unfolds below it."""

    text: Part
    facts: Sequence[tuple[str, object]] = ()
    more: Part = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Axis:
    """One of several upright axes. ticks: (place 0..1 from below, what stands there)."""

    name: str
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Line:
    """A line across axes. places: 0..1 on each, None where it passes one by; strength: of its colour, 0..1; loud: drawn
    thick; broken: drawn in dashes."""

    places: Sequence[float | None]
    strength: float
    name: str
    loud: bool = False
    broken: bool = False


def page(
    title: str,
    *sections: Section,
    verdict: Part = "",
    subtitle: str = "",
    facts: Sequence[tuple[str, object]] = (),
    language: str = "",
) -> str:
    """A whole HTML document. facts: name and value pairs under the title. language: of the page's own words, "" for the
    one being spoken."""
    return str(_templates().get_template("page.html").render(
        title=title, sections=sections, verdict=verdict, subtitle=subtitle, facts=facts,
        language=language or spoken(),
        css=_read("page.css"), script=_read("page.js"),
    ))  # fmt: skip


def section(title: str, *parts: Part, lead: str = "") -> Section:
    """A heading, one sentence of what it is about, and parts below; a bare string becomes a paragraph."""
    return Section(title, together(*parts), lead)


def together(*parts: Part) -> Html:
    """Parts one below the other; a bare string becomes a paragraph, an empty one nothing."""
    return Html("\n".join(part if isinstance(part, Html) else prose(part) for part in parts if part))


def side_by_side(*parts: Part) -> Html:
    """Parts beside each other where there is room, one below the other where there is not."""
    return _render("side_by_side", parts=[together(part) for part in parts if part])


def prose(*paragraphs: str) -> Html:
    """Plain paragraphs."""
    return _render("prose", paragraphs=paragraphs)


def lead(said: str) -> Html:
    """A sentence below a heading that says what stands there."""
    return _render("lead", said=said)


def heading(title: str) -> Html:
    """A smaller heading inside a section."""
    return _render("heading", title=title)


def verdict(tone: Tone, sentence: str, *details: str) -> Html:
    """What a person reads first: good, look (worth a look) or bad, in one sentence, then its grounds."""
    return _render("verdict", tone=tone, sentence=sentence, details=[d for d in details if d])


def note(text: Part, tone: Tone = "look") -> Html:
    """A remark that must not be missed."""
    return _render("note", text=text, tone=tone)


def code(text: str) -> Html:
    """Text in columns as it is: a command, a console table."""
    return _render("code", text=text)


def fold(summary: str, *parts: Part, open: bool = False) -> Html:
    """Parts behind one line that opens; all of them are printed."""
    return _render("fold", summary=summary, body=together(*parts), open=open)


def tiles(figures: Iterable[Tile]) -> Html:
    """Figures in a row, each with its interval drawn on 0..1 where it has one."""
    drawn = list(figures)
    rows = math.ceil(len(drawn) / TILES_A_ROW)
    columns = max(math.ceil(len(drawn) / max(rows, 1)), 4)  # rows of equal length; a lone tile is no banner
    return _render("tiles", figures=drawn, columns=columns)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    limit: int = MAX_ROWS,
    sort: bool = True,
    show: Show | None = None,
) -> Html:
    """Rows under a header that stays and sorts. A column is set right when all its cells are numbers or absent.

    show: how floats are written. Past `limit` rows the table says how many it leaves out.
    """
    rows = [list(row) for row in rows]
    shown = rows[:limit]
    numeric = [bool(shown) and all(_is_number(r[i]) or r[i] is None for r in shown) for i in range(len(columns))]
    numeric = [is_number and any(row[i] is not None for row in shown) for i, is_number in enumerate(numeric)]
    cells = [[(_cell(value, show), value if _is_number(value) else None) for value in row] for row in shown]
    return _render(
        "table", columns=columns, numeric=numeric, rows=cells, caption=caption, sort=sort and len(shown) > 2,
        more=len(rows) - len(shown),
    )  # fmt: skip


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Names with their values, in two columns."""
    return _render("facts", pairs=[(name, _cell(value, None)) for name, value in pairs])


def bars(
    items: Sequence[tuple[str, float]],
    *,
    maximum: float | None = None,
    intervals: Sequence[tuple[float, float] | None] | None = None,
    notes: Sequence[str] | None = None,
    marks: Mapping[str, float] | None = None,
    show: Show | None = None,
    caption: str = "",
) -> Html:
    """Horizontal bars of values >= 0, each with its value and, where given, an interval and a note.

    maximum: value of a full bar (default: the largest). marks: name -> value of a dashed line across all bars.
    """
    ends = [value for _, value in items] + [end for pair in intervals or () if pair for end in pair]
    top = maximum or max([*ends, *(marks or {}).values()], default=0) or 1.0
    rows = [
        {
            "name": name,
            "width": _percent(value, top),
            "value": _cell(value, show),
            "interval": [_percent(end, top) for end in pair] if (pair := intervals[i] if intervals else None) else None,
            "said": f"{_cell(pair[0], show)}–{_cell(pair[1], show)}" if pair else "",
            "note": notes[i] if notes else "",
        }
        for i, (name, value) in enumerate(items)
    ]
    lines = [(name, _percent(value, top), _cell(value, show)) for name, value in (marks or {}).items()]
    return _render("bars", rows=rows, marks=lines, caption=caption)


def stacked(
    rows: Sequence[tuple[str, Mapping[str, float]]], *, series: Sequence[str] | None = None, caption: str = ""
) -> Html:
    """One bar a row, filled by its parts; every bar is the whole of its row, the sum stands beside it."""
    names = list(series or dict.fromkeys(name for _, parts in rows for name in parts))
    drawn = []
    for name, parts in rows:
        total, at, pieces = sum(parts.values()), 0.0, []
        for index, part in enumerate(names):
            width = _percent(parts.get(part, 0), total or 1)
            if width:
                pieces.append({"x": at, "width": width, "colour": index % 8, "name": part, "value": parts[part]})
            at = round(at + width, 3)
        drawn.append({"name": name, "total": _cell(total, None), "pieces": pieces})
    return _render("stacked", rows=drawn, names=names, caption=caption)


def histogram(
    values: Sequence[float], *, bins: int = 24, low: float | None = None, high: float | None = None,
    x: str = "", mark: float | None = None, caption: str = "",
) -> Html:  # fmt: skip
    """How often values fall into equal bins of low..high (default: their range); what lies outside counts at the ends.

    mark: a value to draw a line at.
    """
    finite = [float(value) for value in values if math.isfinite(value)]
    if not finite:
        return prose(say("No values to draw."))
    start, end = min(finite) if low is None else low, max(finite) if high is None else high
    width = (end - start) / bins or 1.0
    counts = [0] * bins
    for value in finite:
        counts[min(max(int((value - start) / width), 0), bins - 1)] += 1
    top = max(counts)
    columns = [
        {
            "x": round(100 * i / bins, 3),
            "width": round(100 / bins, 3),
            "height": _percent(count, top),
            "said": f"{between(_tick(start + i * width), _tick(start + (i + 1) * width))}: {count:,}",
        }
        for i, count in enumerate(counts)
    ]
    at = None if mark is None else round(min(max((mark - start) / (width * bins), 0), 1) * 100, 3)
    return _render(
        "histogram", columns=columns, low=_tick(start), high=_tick(start + width * bins), top=f"{top:,}", x=x,
        mark=at, caption=caption,
    )  # fmt: skip


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x: str = "",
    y: str = "",
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
    dots: bool = False,
    square: bool = False,
    caption: str = "",
) -> Html:
    """Curves through (x, y) points, in a frame with round ticks. Points that are not finite are left out.

    diagonal: draw y = x, for a reliability diagram. dots: mark the points of curves of at most MAX_DOTS. square: as high as wide.
    """
    clean = {n: [(a, b) for a, b in pts if math.isfinite(a) and math.isfinite(b)] for n, pts in series.items()}
    points = [point for pts in clean.values() for point in pts]
    if not points:
        return prose(say("No points to draw."))
    across = _ticks(*(x_range or (min(a for a, _ in points), max(a for a, _ in points))), exact=True)
    up = _ticks(*(y_range or (min(b for _, b in points), max(b for _, b in points))), exact=y_range is not None)

    def place(value: float, axis: tuple[float, float, list[float]]) -> float:
        return round(100 * (value - axis[0]) / ((axis[1] - axis[0]) or 1), 2)

    drawn = [
        {
            "name": name,
            "colour": index % 8,
            "path": " ".join(f"{place(a, across)},{round(100 - place(b, up), 2)}" for a, b in pts),
            "dots": [(place(a, across), round(100 - place(b, up), 2), f"{_tick(a)}: {_tick(b)}") for a, b in pts]
            if (dots and len(pts) <= MAX_DOTS) or len(pts) == 1
            else [],
        }
        for index, (name, pts) in enumerate(clean.items())
    ]
    return _render(
        "lines", series=drawn, x=x, y=y, diagonal=diagonal, square=square, caption=caption,
        x_ticks=[(place(value, across), _tick(value)) for value in across[2]],
        y_ticks=[(round(100 - place(value, up), 2), _tick(value)) for value in up[2]],
    )  # fmt: skip


def parallel(axes: Sequence[Axis], rows: Sequence[Line], *, caption: str = "") -> Html:
    """Parallel coordinates: a line for each row, through its place on every axis. The last rows lie on top."""
    gap = 100 / max(len(axes) - 1, 1)
    upright = [
        (round(gap * at, 2), axis.name, [(round(100 - 100 * place, 2), said) for place, said in axis.ticks])
        for at, axis in enumerate(axes)
    ]
    drawn = [
        {
            "path": " ".join(f"{gap * at:.2f},{100 - 100 * y:.2f}" for at, y in enumerate(row.places) if y is not None),
            "strength": round(0.15 + 0.85 * min(max(row.strength, 0.0), 1.0), 3),
            "name": row.name,
            "kind": " ".join(kind for kind, on in (("loud", row.loud), ("broken", row.broken)) if on),
        }
        for row in rows
    ]
    return _render("parallel", axes=upright, rows=drawn, caption=caption)


def heat(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]], *,
    shade: Sequence[Sequence[float]] | None = None, corner: str = "", show: Show | None = None, caption: str = "",
) -> Html:  # fmt: skip
    """A table whose cells are shaded. shade: 0..1 for each cell (default: its value over the largest)."""
    top = max((value for row in values for value in row), default=0) or 1
    cells = [
        [(_cell(value, show), round(shade[i][j] if shade else value / top, 3), value) for j, value in enumerate(row)]
        for i, row in enumerate(values)
    ]
    return _render("heat", rows=list(zip(rows, cells, strict=True)), columns=columns, corner=corner, caption=caption)


def confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]], *, caption: str = "", top: int = 15) -> Html:
    """Rows are the true labels, columns what was predicted. Past MAX_CLASSES labels: the most confused pairs instead."""
    if len(labels) <= MAX_CLASSES:
        shade = [[value / (sum(row) or 1) for value in row] for row in matrix]
        return heat(labels, labels, matrix, shade=shade, corner=say("true ↓  predicted →"), caption=caption)
    return together(
        say(
            f"{len(labels)} classes are too many for a readable matrix; these are the pairs taken for each other most often."
        ),
        confused_pairs(labels, matrix, top=top, caption=caption),
    )


def confused_pairs(
    labels: Sequence[str], matrix: Sequence[Sequence[int]], *, top: int = 15, caption: str = "", what: str = ""
) -> Html:
    """The cells off the diagonal that hold most, largest first, each with its share of the true class."""
    pairs = [
        (count, i, j) for i, row in enumerate(matrix) for j, count in enumerate(row) if i != j and count
    ]  # fmt: skip
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    rows = [(labels[i], labels[j], count, count / sum(matrix[i])) for count, i, j in pairs[:top]]
    if not rows:
        return prose(say("No text was taken for another class."))
    heads = [say("true"), say("predicted as"), what or say("records"), say("of the true class")]
    return table(heads, rows, caption=caption, show=share)


def diff(before: str, after: str) -> Html:
    """One text with what went out and what came in marked: by words, by characters where the script has no blanks."""
    return _render("diff", pieces=[one for one in _changes(before, after) if one[1]], lang=_lang(after))


def differences(before: str, after: str) -> tuple[Html, Html]:
    """Two texts to stand beside each other: what only the first has is marked in it, what only the second has in that.

    Texts that share less than LIKE of their words are shown without marks, which would be everywhere.
    """
    changes = _changes(before, after)
    same = sum(len(said) for kind, said in changes if kind == "same")
    if same < LIKE * max(len(_clip(before)), len(_clip(after))):
        return quote(before), quote(after)
    sides = ([one for one in changes if one[0] != other and one[1]] for other in ("in", "out"))
    first, second = (_render("diff", pieces=side, lang=_lang(after)) for side in sides)
    return first, second


def _changes(before: str, after: str) -> list[tuple[str, str]]:
    """(same, out or in, stretch of text) from one text to the other."""
    old, new = _PIECE.findall(_clip(before)), _PIECE.findall(_clip(after))
    pieces: list[tuple[str, str]] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(("same", "".join(old[a:b])))
        else:
            pieces += [("out", "".join(old[a:b])), ("in", "".join(new[c:d]))]
    return pieces


def examples(items: Iterable[Example], *, shown: int = 5, what: str = "examples") -> Html:
    """Texts with their facts; past `shown` the rest is behind one line that opens."""
    drawn = [
        {
            "text": item.text if isinstance(item.text, Html) else _clip(item.text),
            "block": isinstance(item.text, Html),
            "lang": _lang(str(item.text)),
            "facts": [(name, _cell(value, None)) for name, value in item.facts],
            "more": item.more,
            "tone": item.tone,
        }
        for item in items
    ]
    left = len(drawn) - shown
    more = say(f"{left:,} more {what}")
    return _render("examples", first=drawn[:shown], rest=drawn[shown:], more=more)


def quote(text: str) -> Html:
    """A text as data, in its own language, shortened when it is long."""
    return _render("quote", text=_clip(text), lang=_lang(text))


def marked(
    pieces: Sequence[tuple[str, str | None]], *, loud: Collection[int] = (), hues: Mapping[str, int] | None = None,
    room: int = MAX_TEXT,
) -> Html:  # fmt: skip
    """A text as data with stretches marked and named: (text, name or None). Shortened when it is long: marks stay.

    loud: positions of the marks to look at; the others are drawn quietly. Without any, all are drawn alike.
    hues: of names, as `hues_of` gives them for all names of a page; else each name has one by itself, which others may share.
    room: characters that stay of a stretch without a mark, those beside the marks.
    """
    plain = max(1, sum(not mark for _, mark in pieces))
    room = min(room, max(40, (MAX_TEXT - sum(len(text) for text, mark in pieces if mark)) // plain))
    drawn = [
        (
            text if mark else _beside(text, room, before=at > 0, after=at + 1 < len(pieces)),
            mark,
            (hues or {}).get(mark or "", _hue(mark)),
            "" if not loud else "loud" if at in loud else "faint",
        )
        for at, (text, mark) in enumerate(pieces)
    ]
    return _render("marked", pieces=drawn, lang=_lang("".join(text for text, _ in pieces)))


def hues_of(names: Iterable[str]) -> dict[str, int]:
    """Colours for names, in degrees, as far from each other as so many can be."""
    return {name: round(at * 137.508 + 40) % 360 for at, name in enumerate(dict.fromkeys(names))}


def _beside(text: str, room: int, *, before: bool, after: bool) -> str:
    """A long text cut where no mark stands: of a first piece the end is left, of a last one the beginning."""
    if len(text) <= room:
        return text
    if not before and after:
        return f"… {text[-room:]}"
    return f"{text[: room // 2]} … {text[-room // 2 :]}" if before and after else f"{text[:room]} …"


def compared(rows: Iterable[tuple[str, Part, Tone]], *, beside: bool = False) -> Html:
    """Several readings of one thing, each under its name: what was asked for and what was said. beside: in columns."""
    return _render("compared", rows=list(rows), beside=beside)


def _hue(mark: str | None) -> int:
    """A colour for a name, always the same: degrees."""
    return zlib.crc32((mark or "").encode()) % 12 * 30


def link(text: str, target: str) -> Html:
    """A link to a file beside the page, or to a place on it. ValueError for anything that would leave the folder."""
    if ":" in target.split("/")[0] or target.startswith("/") or "\\" in target or ".." in target.split("/"):
        raise ValueError(f"a page links to files beside it, not to {target!r}")
    return _render("link", text=text, target=target)


def share(value: float | None) -> str:
    """0.9234 -> 92.3%."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.1f}%"


def figure(value: float | int) -> str:
    """A number as a person writes it: thousands set apart, floats with three digits and more so that they line up."""
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "–" if math.isnan(value) else str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) > 1:
        return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
    return f"{value:.3f}" if abs(value) >= 0.001 or not value else f"{value:.3g}"


def _tick(value: float) -> str:
    """A number at an axis: no more digits than it needs."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cell(value: object, show: Show | None) -> object:
    """What stands in a cell: numbers written for people, None as a dash, long texts shortened."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return say("yes" if value else "no")
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, int | float):
        return show(value) if show and isinstance(value, float) else figure(value)
    return value if isinstance(value, Html) else _clip(str(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _percent(value: float, top: float) -> float:
    return round(min(max(100 * value / top, 0.0), 100.0), 3) if math.isfinite(value) else 0.0


def _ticks(low: float, high: float, *, exact: bool, count: int = 5) -> tuple[float, float, list[float]]:
    """(start, end, ticks): round numbers 1, 2, 5 times a power of ten; exact keeps low and high as the ends."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if not exact:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(i * step, 12) for i in range(first, last + 1)]
    return (low, high, ticks) if exact else (ticks[0], ticks[-1], ticks)


def _clip(text: str, limit: int = MAX_TEXT) -> str:
    return text if len(text) <= limit else f"{text[:limit]} … {say(f'({len(text) - limit:,} more characters)')}"


def _lang(text: str) -> str:
    """So that a browser picks Chinese forms of Han characters for Chinese, Japanese ones for Japanese."""
    return "ja" if _KANA.search(text) else "zh" if _HAN.search(text) else ""


def _visible(value: Any) -> Any:
    """Make characters visible that hide or reorder others; jinja escapes the result."""
    if type(value) is str:
        return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", value)
    return value


@functools.cache
def _templates() -> Any:
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        finalize=_visible, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    templates.globals["say"] = say
    templates.filters |= {"shown": lambda value: _cell(value, None), "percent": lambda value: _percent(value, 1)}
    return templates


@functools.cache
def _pieces() -> Any:
    return _templates().get_template("pieces.html").module


def _render(piece: str, **values: Any) -> Html:
    return Html(str(getattr(_pieces(), piece)(**values)).strip())


@functools.cache
def _read(name: str) -> Html:
    return Html((Path(__file__).parent / name).read_text("utf-8").strip())
