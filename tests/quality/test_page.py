"""The page of the quality room: what stands first, what is drawn, what leads where, in which language; and what never gets out."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from burnish.core import plots
from burnish.core.artifacts import Records, Report
from burnish.core.chinese import said_in
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.measures.places import names, places
from burnish.quality.audit import audit
from burnish.quality.curate import curate
from burnish.quality.report import report

from .conftest import reviews, turned

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> \u202ereversed'
KEYS = {
    "verdict",
    "headline",
    "records",
    "kept",
    "labelled",
    "labels",
    "findings",
    "set_aside",
    "checks",
    "curate",
    "gate",
}


class Seen(HTMLParser):
    """Tags, ids and links of a page, and what is open when it ends."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")
            assert not name.startswith("on"), (tag, name)


MADE: list[Report] = []  # once for all tests that only look


@pytest.fixture
def done(context: Context, bag_of_words: None) -> Report:
    if not MADE:
        MADE.append(_made(context))
    return MADE[0]


def _made(context: Context) -> Report:
    """160 reviews: 12 wrong, near copies in English and Chinese, a hostile text, half of them with times."""
    rows = [replace(row, language="en", source="shop" if at % 3 else "mail") for at, row in enumerate(reviews(160))]
    rows = [replace(row, label=turned(row.label or "")) if at < 12 else row for at, row in enumerate(rows)]
    rows += [replace(rows[40], id="near", text=rows[40].text + " indeed")]
    zh = reviews(20, seed=5, language="zh")
    rows += [replace(one, id=f"zh{at}", source="mail") for at, one in enumerate(zh)]
    rows += [replace(zh[0], id="zhnear", text=zh[0].text.replace("顺便", "顺口"), source="mail")]
    rows += [
        Record(text=HOSTILE, id="h1", label="positive", source=HOSTILE),
        Record(text=HOSTILE, id="h2", label="positive"),
    ]
    made = curate(audit(Records.from_rows(rows), context, effect="probe"), context)
    return report(made, context)


def test_the_verdict_and_what_to_do_next_stand_before_everything_else(done: Report) -> None:
    html = done.page or ""
    first = html.index('class="verdict')
    assert html.index(done.numbers["next"].split("“")[0]) > first
    assert first < html.index("<h2>At a glance") < html.index("<h2>Findings by effect") < html.index("<h2>Distribution")


@pytest.mark.parametrize(("label_from", "said"), [("label_model", True), ("given", False), ("review", False)])
def test_the_page_says_that_labellers_mistakes_are_not_in_the_estimate(
    context: Context, bag_of_words: None, label_from: str, said: bool
) -> None:
    rows = [replace(row, label_from=label_from) for row in reviews(80)]
    made = report(audit(Records.from_rows(rows), context, checks=["label_errors"], effect="none"), context)
    assert ("labellers made 100.0% of the labels" in unescape(made.page or "")) == said


def test_findings_come_in_the_order_of_their_effect_with_their_interval(done: Report) -> None:
    checks = done.numbers["checks"]
    measured = [name for name, one in checks.items() if one["effect"]]
    assert measured and done.numbers["by_effect"]
    html = done.page or ""
    drawn = re.search(r'<table class="bars whiskers">(.*?)</table>', html, re.DOTALL)
    assert drawn
    order = re.findall(r'href="#check-([a-z_]+)"', drawn[1])
    assert order == done.numbers["by_effect"]
    effect = checks[order[0]]["effect"]
    gain = effect[effect["figure"]]
    assert f"{100 * gain['value']:+.2f} ({100 * gain['low']:+.2f} – {100 * gain['high']:+.2f})" in drawn[1]


def test_every_link_on_the_page_leads_somewhere(done: Report) -> None:
    seen = Seen(done.page or "")
    inside = {link.removeprefix("#") for link in seen.links if link.startswith("#")}
    assert inside and inside <= set(seen.ids) and len(seen.ids) == len(set(seen.ids))
    assert {link for link in seen.links if not link.startswith("#")} <= {"findings.jsonl"}
    assert "burnish lineage " in (done.page or "")


def test_every_finding_of_every_record_is_listed_beside_the_page(done: Report) -> None:
    lines = [json.loads(line) for line in done.files["findings.jsonl"].read_text("utf-8").splitlines()]
    counts: dict[str, int] = {}
    for one in lines:
        counts[one["check"]] = counts.get(one["check"], 0) + 1
        assert one["id"] and 0 <= one["score"] <= 1 and one["reason"]
    assert counts == done.numbers["findings"]


def test_hostile_texts_are_shown_and_do_nothing(done: Report) -> None:
    html = done.page or ""
    assert Seen(html).tags.count("script") == 1 and "<img" not in html and "\u202e" not in html
    assert "&lt;script&gt;alert(1)" in html and "⟨U+202E⟩" in html
    assert "http" not in html.replace("http://www.w3.org", "")


def test_the_map_has_a_point_a_text_that_leads_to_its_row_and_rings_the_suspects(done: Report) -> None:
    html = done.page or ""
    field = html[html.index('<figure class="map">') : html.index("</figure>", html.index('<figure class="map">'))]
    kept = sum(done.numbers["labels"].values())
    assert field.count('<a href="#m-') == kept == html.count('<tr id="m-')
    assert 'ring"' in field and 'class="name"' in field


def test_near_copies_stand_side_by_side_with_words_marked_in_english_and_characters_in_chinese(done: Report) -> None:
    html = done.page or ""
    assert "<ins> indeed</ins>" in html
    assert "<ins>口</ins>" in html and "<del>便</del>" in html


def test_labels_are_laid_against_sources_and_curation_shows_before_and_after(done: Report) -> None:
    html = done.page or ""
    assert "<h3>Labels by source</h3>" in html and 'class="heat"' in html
    assert "<h2>Before and after curation</h2>" in html
    assert done.numbers["slices"]["source"]["shop"] + done.numbers["slices"]["source"]["mail"] <= done.numbers["kept"]


def test_the_keys_of_the_numbers_stay(done: Report) -> None:
    assert done.numbers.keys() >= KEYS
    assert done.numbers["headline"].keys() >= {"records", "kept", "with_findings"}
    assert done.numbers["said"]["en"]["verdict"] == done.numbers["verdict"]


@pytest.mark.parametrize(("first", "setting", "title"), [("zh", "auto", "数据质量"), ("en", "auto", "Data quality"), ("en", "zh", "数据质量"), ("zh", "en", "Data quality")])  # fmt: skip
def test_the_page_speaks_the_language_of_the_task_or_the_one_asked_for(
    context: Context, bag_of_words: None, first: str, setting: str, title: str
) -> None:
    own = replace(context, task=TaskSpec(labels=("negative", "positive"), languages=(first,)))
    made = audit(Records.from_rows(reviews(80, language=first)), own, effect="none")
    done = report(made, own, language=setting)  # type: ignore[arg-type]
    assert f"<h1>{title}</h1>" in (done.page or "")
    assert f'<html lang="{"zh" if title == "数据质量" else "en"}">' in (done.page or "")


def test_a_chinese_page_says_reasons_and_remarks_in_chinese_and_records_keep_the_english(
    context: Context, bag_of_words: None
) -> None:
    own = replace(context, task=TaskSpec(labels=("negative", "positive"), languages=("zh",)))
    rows = reviews(120, seed=5, language="zh")
    rows = [replace(row, label=turned(row.label or "")) if at < 9 else row for at, row in enumerate(rows)]
    rows += [
        Record(text=text, id=f"f{at}", label="positive", source="shop")
        for at, text in enumerate(
            (rows[20].text, rows[21].text + "。", "！！！", "烫烫烫烫烫烫", "<p>很好</p> &nbsp; 谢谢", "好" * 400, "暂无",
             "请拨打 13812345678 或写信到 li@example.com", "This hotel was really wonderful and I would come again",
             "房间很大，服务态度也很好，早餐的种类很多，位置离地铁站很近，周边吃饭很方便……阅读全文")
        )
    ]  # fmt: skip
    made = audit(Records.from_rows(rows), own, effect="none", purpose="commercial")
    done = report(made, own, examples=200)
    html = unescape(done.page or "")
    findings = [one for record in made for one in record.findings]
    assert len({one["check"] for one in findings}) >= 10
    for one in findings:
        chinese = said_in("zh", one["reason"])
        assert re.search("[\u4e00-\u9fff]", re.sub("“[^”]*”", "", chinese)), one
        assert chinese in html and one["reason"] not in html, one
    facts = made.facts["audit"]["checks"].values()
    remarks = [said for one in facts for said in (one["skipped"], *one["facts"].get("notes", ())) if said]
    assert remarks and not [said for said in remarks if said in html or said_in("zh", said) not in html]


def test_without_times_nothing_is_drawn_over_time_and_with_them_it_is(context: Context, bag_of_words: None) -> None:
    from datetime import UTC, datetime

    plain = reviews(60)
    dated = [replace(row, time=datetime(2024, 1 + at % 12, 3, tzinfo=UTC)) for at, row in enumerate(plain)]
    without, with_times = (
        report(audit(Records.from_rows(rows), context, effect="none"), context).page or "" for rows in (plain, dated)
    )
    assert "Records by time" not in without and "Records by time" in with_times
    assert "2024-01-03: " in with_times


def test_a_page_of_a_hundred_thousand_records_stays_under_three_megabytes(context: Context, bag_of_words: None) -> None:
    found = [{"check": "label_errors", "score": 0.9, "reason": "labelled positive", "action": "review"}]
    rows = [
        Record(id=f"r{at}", text=f"review number {at} of a shop {'很好的商品 ' * 30}", label=("positive", "negative")[at % 2], findings=found)
        for at in range(100_000)
    ]  # fmt: skip
    records = Records.from_rows(rows)
    one = {"dimension": "noise", "about": "Labels.", "method": "", "count": 100_000, "share": 1.0, "skipped": "", "actions": {"review": 100_000}, "effect": None}  # fmt: skip
    records.facts = {
        "audit": {"checks": {"label_errors": {**one, "facts": {"rate": {"value": 0.1, "low": 0.05, "high": 0.2}}}}}
    }
    done = report(records, context)
    assert done.page and len(done.page.encode()) < 3_000_000
    assert done.numbers["records"] == 100_000 and 'class="map"' in done.page


def test_places_are_the_same_again_and_lie_in_the_frame() -> None:
    import numpy as np

    random = np.random.default_rng(0)
    middle = np.eye(4, 16)[np.arange(120) % 4] * 3
    vectors = (middle + random.normal(0, 0.1, (120, 16))).astype(np.float32)
    texts = [f"{('apple', 'river', '电池', 'opera')[at % 4]} {at}" for at in range(120)]
    one, other = places(vectors, texts, seed=3), places(vectors, texts, seed=3)
    assert (one.at == other.at).all() and one.names == other.names
    assert one.at.min() >= 0 and one.at.max() <= 1
    assert names(["apple pie", "apple tart", "new car", "old car"], [0, 0, 1, 1])[:2] == ["apple", "car"]


def test_a_whisker_is_drawn_to_scale_around_zero() -> None:
    html = str(plots.whiskers([plots.Difference("a<b", 1.0, -1.0, 3.0, "plain", "+1.00")]))
    [zero] = re.findall(r'class="mark" x1="([\d.]+)%', html)
    low, high = re.findall(r'class="reach" x1="([\d.]+)%" x2="([\d.]+)%"', html)[0]
    [dot] = re.findall(r'cx="([\d.]+)%', html)
    zero, low, high, dot = (float(one) for one in (zero, low, high, dot))
    assert (
        low < zero < dot < high and abs((zero - low) - (dot - zero)) < 0.1 and abs(high - dot - 2 * (dot - zero)) < 0.1
    )
    assert "a&lt;b" in html


def test_names_on_a_map_do_not_lie_on_each_other() -> None:
    html = str(plots.places([plots.Place(0.5, 0.5, 0, "x")], [(f"name {at}", 0.5, 0.5) for at in range(5)], ["kind"]))
    tops = [float(one) for one in re.findall(r'class="name" style="left:[\d.]+%;top:([\d.]+)%', html)]
    assert len(tops) == 5 and min(abs(a - b) for at, a in enumerate(tops) for b in tops[:at]) > 5
