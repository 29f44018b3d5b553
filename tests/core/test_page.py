"""Pages: whole HTML, hostile text made harmless, nothing fetched, numbers where the data says."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.core import page as p

VOID = {"meta", "br", "img", "input", "link", "hr"}
HOSTILE = "<script>alert(1)</script>\"'&\x00\u202eabc\ud800</style>{{ 7*7 }}"


class Reader(HTMLParser):
    """Checks that every element that opens closes, in order, and keeps what a person and a browser see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


def everything(text: str) -> list[p.Html]:
    """Every piece, with `text` wherever a text may stand."""
    return [
        p.prose(text),
        p.heading(text),
        p.side_by_side(text, p.code(text)),
        p.note(text, "bad"),
        p.fold(text, text),
        p.tiles([p.Tile(text, text, note=text), p.Tile("share", 0.5, (0.4, 0.6))]),
        p.table([text, "n"], [[text, 1], [text, 2], [text, None]], caption=text),
        p.facts([(text, text)]),
        p.bars([(text, 0.5)], intervals=[(0.4, 0.6)], notes=[text], marks={text: 0.7}, caption=text),
        p.stacked([(text, {text: 3, "other": 1})], caption=text),
        p.histogram([1, 2, 3], x=text, caption=text, mark=2),
        p.lines({text: [(0, 1), (1, 2)], "b": [(0, 1)]}, x=text, y=text, caption=text, diagonal=True, dots=True),
        p.heat([text], [text], [[3]], corner=text, caption=text),
        p.confusion([text, "b"], [[3, 1], [0, 2]], caption=text),
        p.confused_pairs([text, "b"], [[3, 1], [0, 2]]),
        p.diff(text, text + "!"),
        p.examples([p.Example(text, [(text, text)], p.quote(text))] * 3, shown=1, what=text),
    ]


def whole(text: str) -> str:
    sections = [p.section(text, piece, lead=text) for piece in everything(text)]
    return p.page(text, *sections, verdict=p.verdict("good", text, text), subtitle=text, facts=[(text, text)])


def test_every_element_that_opens_closes():
    reader = read(whole("plain"))
    assert [tag for tag, _ in reader.tags].count("section") == len(everything("plain"))


def test_hostile_text_is_shown_and_never_run():
    html = whole(HOSTILE)
    html.encode("utf-8")
    reader = read(html)
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert [tag for tag, _ in reader.tags].count("style") == 1
    assert "<script>alert(1)</script>\"'&⟨U+0000⟩⟨U+202E⟩abc⟨U+D800⟩" in reader.text
    assert "49" not in reader.text
    assert not re.search("[\x00\u202e\ud800]", html)


def test_hostile_text_stays_inside_its_attribute():
    reader = read(str(p.histogram([1, 2], x='" onload="alert(1)')))
    assert not [attrs for _, attrs in reader.tags if "onload" in attrs]


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=40))
def test_any_text_makes_a_whole_page(text):
    read(whole(text)).text.encode("utf-8")


def test_nothing_is_fetched():
    html = whole("中文")
    reader = read(html)
    for tag, attrs in reader.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed"), tag
        assert "src" not in attrs
        assert all(value and value.startswith("#") for name, value in attrs.items() if name in ("href", "xlink:href"))
    assert not re.search(r"https?://|url\(|@import", html)


def test_an_empty_page_is_small():
    assert len(p.page("x", p.section("y", "z"))) < 20_000


def test_a_long_table_says_what_it_leaves_out():
    made = p.table(["n"], [[i] for i in range(100_000)])
    assert len(made) < 60_000
    assert "99,500 more rows" in made


def test_a_long_text_says_what_it_leaves_out():
    made = p.examples([p.Example("字" * 50_000)])
    assert len(made) < 2_000
    assert "48,800 more characters" in made


def test_chinese_and_japanese_text_say_their_language():
    assert 'lang="zh"' in p.quote("这家店很好")
    assert 'lang="ja"' in p.quote("とても良い店")
    assert "lang" not in p.quote("a good shop")


def test_columns_of_numbers_are_set_right_and_sort_by_value():
    made = p.table(["name", "n", "share"], [["a", 1200, 0.5], ["b", 3, None], ["c", 20, 0.25]])
    assert made.count('class="number"') == 2 + 6
    assert 'data-value="1200">1,200<' in made
    assert ">–<" in made


def test_bars_are_drawn_to_scale():
    widths = re.findall(r'class="fill" width="([\d.]+)%"', p.bars([("a", 2.0), ("b", 1.0), ("c", 0.0)]))
    assert [float(width) for width in widths] == [100, 50, 0]


def test_stacked_parts_fill_the_bar_in_order():
    made = p.stacked([("a", {"x": 1, "y": 3})])
    assert re.findall(r'class="c(\d)" x="([\d.]+)%" width="([\d.]+)%"', made) == [
        ("0", "0.0", "25.0"),
        ("1", "25.0", "75.0"),
    ]


def test_histogram_counts_every_value_once():
    made = p.histogram([0, 0, 0.5, 1, 7], bins=2, low=0, high=1)
    assert re.findall(r"<title>([^<]*)</title>", made) == ["0 to 0.5: 2", "0.5 to 1: 3"]


def test_curves_hit_the_corners_of_their_frame():
    made = p.lines({"a": [(0, 0), (1, 1)]}, x_range=(0, 1), y_range=(0, 1))
    assert 'points="0.0,100.0 100.0,0.0"' in made


def test_curves_leave_out_what_is_not_finite():
    assert "nan" not in p.lines({"a": [(0, float("nan")), (1, 2), (2, 3)]})
    assert "No points" in p.lines({"a": []})


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_and_inside(low, span):
    start, end, ticks = p._ticks(low, low + span, exact=False)
    assert 2 <= len(ticks) <= 8 or span < 1e-6 * abs(low)
    assert start <= low + 1e-6 * max(span, abs(low)) and end >= low + span - 1e-6 * max(span, abs(low))


def test_many_classes_become_the_pairs_confused_most():
    labels = [f"class {i}" for i in range(30)]
    matrix = [[9 if i == j else 0 for j in range(30)] for i in range(30)]
    matrix[3][7] = 6
    made = p.confusion(labels, matrix)
    assert "30 classes are too many" in made and "class 3</td><td>class 7" in made and "40.0%" in made
    assert '<table class="heat"' not in made


def test_diff_marks_words_in_english_and_characters_in_chinese():
    assert "<del>bad</del><ins>good</ins> shop" in p.diff("a bad shop", "a good shop")
    assert "很<del>差</del><ins>好</ins>" in p.diff("这家店很差", "这家店很好")


def test_no_error_is_said_in_words():
    assert "No text was taken" in p.confused_pairs(["a", "b"], [[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("value", "said"),
    [(1234567, "1,234,567"), (0.5, "0.500"), (1.0, "1.000"), (0.91234, "0.912"), (3.14159, "3.14"), (0.000123, "0.000123"), (12345.6, "12,346"), (float("nan"), "–"), (-2.0, "-2.00"), (25.34, "25.3"), (0.0, "0.000")],
)  # fmt: skip
def test_figures_read_well(value, said):
    assert p.figure(value) == said


def test_finished_markup_is_not_escaped_again():
    inner = p.quote("a < b")
    assert str(inner) in p.table(["x"], [[inner]])
    assert "&amp;lt;" not in p.fold("more", inner)


@pytest.mark.parametrize(
    "target", ["https://x.org", "//x.org/a", "javascript:alert(1)", "../up.html", "/etc/passwd", "a\\b"]
)
def test_links_stay_beside_the_page(target):
    assert p.link("errors <all>", "evaluation/report.html") == '<a href="evaluation/report.html">errors &lt;all&gt;</a>'
    with pytest.raises(ValueError, match="beside"):
        p.link("x", target)
