"""Documents as sections: what stands under which heading, on which page; tables stay readable; bad files are set aside."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from burnish.core.artifacts import Records
from burnish.core.errors import DataError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.spec import expand
from burnish.core.stage import Context, TaskSpec
from burnish.sources.blocks import of_markdown, unbroken
from burnish.sources.documents import documents

MARKDOWN = """---
title: hidden
---
# Guide

Welcome to the *guide* of [burnish](http://example.com/x), which is long enough.

## Install

Run `pip install burnish` in a
new environment of your own.

```sh
# not a heading
pip install burnish
```

### On Windows

| system | works |
|--------|-------|
| ten | yes |
| eleven | not yet |

## 退货

七天之内可以
退货，**运费**由买家承担。需要保持商品完好，并附上原来的包装和发票才可以受理。
"""

HTML = """<html><head><title>x</title><style>p {color: red}</style><script>alert('run')</script></head><body>
<h1>Shop</h1><p>We sell tea and coffee to everybody in town.</p><h2>Hours</h2>
<table><tr><th>day</th><th>open</th></tr><tr><td>Monday</td><td>9 to 5</td></tr></table>
<p>On holidays we are closed all day long. <img src="http://example.com/x.png" alt="pic"></p></body></html>"""


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec("question_answering", languages=("en", "zh"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


def read(context: Context, path: Path, folder: Path, **settings: int) -> tuple[list[Record], list[str]]:
    """Records, and the reasons of what was set aside."""
    folder.mkdir()
    documents(context, path=path, **settings).save(folder)  # type: ignore[arg-type]
    aside = Records.open(folder).quarantine()
    return list(Records.open(folder)), aside.read_text("utf-8").splitlines() if aside else []


def docx(path: Path, *, inside: str = "") -> Path:
    """A small Word file: a heading, a paragraph, a table."""

    def paragraph(text: str, style: str = "") -> str:
        styled = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
        return f"<w:p>{styled}<w:r><w:t>{text}</w:t></w:r></w:p>"

    rows = "".join(
        "<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>"
        for row in (("item", "price"), ("green tea", "12"))
    )
    body = (
        paragraph("保修政策", "Heading1")
        + paragraph("所有商品保修一年，人为损坏除外，请保留好购买凭证以便查询，否则不予受理。")
        + f"<w:tbl>{rows}</w:tbl>"
        + inside
    )
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
        )
        packed.writestr(
            "_rels/.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>',
        )
        packed.writestr("word/document.xml", f"<w:document {space}><w:body>{body}</w:body></w:document>")
        packed.writestr(
            "word/styles.xml",
            f'<w:styles {space}><w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style></w:styles>',
        )
    return path  # fmt: skip


def pdf(path: Path, pages: list[list[tuple[int, int, str]]]) -> Path:
    """A PDF with lines of text at (size, height from the bottom)."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        drawn = "".join(f"BT /F1 {size} Tf 72 {height} Td ({text}) Tj ET\n" for size, height, text in lines)
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}endstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    made, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(made))
        made += f"{number} 0 obj\n{one}\nendobj\n".encode()
    table = len(made)
    made += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode() + b"".join(
        f"{at:010d} 00000 n \n".encode() for at in places
    )
    made += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF".encode()
    path.write_bytes(made)
    return path  # fmt: skip


def test_markdown_is_cut_at_its_headings_and_nothing_else(context: Context, tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text(MARKDOWN, "utf-8")
    records, aside = read(context, tmp_path / "guide.md", tmp_path / "out", min_chars=20)
    assert [one.meta["headings"] for one in records] == [
        ["Guide"],
        ["Guide", "Install"],
        ["Guide", "Install", "On Windows"],
        ["Guide", "退货"],
    ]
    assert records[0].text == "Welcome to the guide of burnish, which is long enough."
    assert "# not a heading\npip install burnish" in (records[1].text or "")
    assert records[2].text == "system | works\nten | yes\neleven | not yet" and records[2].meta["kinds"] == ["table"]
    assert (records[3].text or "").startswith("七天之内可以退货，运费由买家承担。")
    assert {one.group for one in records} == {"guide.md"} and records[1].line == 10 and not aside
    assert [one.meta["section"] for one in records] == [1, 2, 3, 4]


def test_html_is_read_without_its_scripts(context: Context, tmp_path: Path) -> None:
    (tmp_path / "shop.html").write_text(HTML, "utf-8")
    records, _ = read(context, tmp_path / "shop.html", tmp_path / "out")
    assert [one.meta["headings"] for one in records] == [["Shop"], ["Shop", "Hours"]]
    assert "Monday | 9 to 5" in (records[1].text or "")
    assert not any(word in (one.text or "") for one in records for word in ("alert", "color", "example.com"))


def test_a_page_in_gb18030_is_read_as_it_declares(context: Context, tmp_path: Path) -> None:
    page = '<html><head><meta charset="gbk"></head><body><h1>退货</h1><p>七天之内可以退货，运费由买家承担，需要保持商品完好，附上原来的包装和发票才可以受理。</p></body></html>'
    (tmp_path / "a.html").write_bytes(page.encode("gb18030"))
    records, _ = read(context, tmp_path / "a.html", tmp_path / "out")
    assert records[0].meta["headings"] == ["退货"] and (records[0].text or "").startswith("七天之内")


def test_word_files_keep_headings_and_tables(context: Context, tmp_path: Path) -> None:
    records, _ = read(context, docx(tmp_path / "policy.docx"), tmp_path / "out")
    assert records[0].meta["headings"] == ["保修政策"]
    assert "保修一年" in (records[0].text or "") and "green tea | 12" in (records[0].text or "")


def test_pdf_headings_are_told_by_size_and_pages_are_kept(context: Context, tmp_path: Path) -> None:
    body = "The committee met on Monday and agreed"
    pages = [
        [(9, 770, "Annual report 2024"), (20, 720, "Annual meeting"), (11, 690, body), (11, 676, "to build a new hall near the old sta-"), (11, 662, "tion."), (9, 30, "Page 1")],
        [(9, 770, "Annual report 2024"), (15, 720, "Budget"), (11, 690, "The budget of the year is two million in all."), (9, 30, "Page 2")],
        [(9, 770, "Annual report 2024"), (11, 700, "It was spent on the hall and on its garden."), (9, 30, "Page 3")],
    ]  # fmt: skip
    records, _ = read(context, pdf(tmp_path / "report.pdf", pages), tmp_path / "out")
    assert [one.meta["headings"] for one in records] == [["Annual meeting"], ["Annual meeting", "Budget"]]
    assert records[0].text == f"{body} to build a new hall near the old station."
    assert records[1].meta["pages"] == [2, 3] and "Annual report" not in (records[1].text or "")


def test_what_cannot_be_read_is_set_aside_with_its_reason(context: Context, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("# A\n\nThis one is fine, and as long as it has to be here.", "utf-8")
    (folder / "b.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / "c.docx").write_bytes(b"no zip")
    (folder / "d.html").write_text("<div>" * 3000 + "x" * 60 + "</div>" * 3000, "utf-8")
    (folder / "e.md").write_text("# E\n\nshort", "utf-8")
    pdf(folder / "f.pdf", [[]])
    (folder / "g.md").write_text("x" * 5000, "utf-8")
    docx(folder / "h.docx", inside="<w:p/>" * 2_000_000)
    records, aside = read(context, folder, tmp_path / "out", max_bytes=40_000)
    assert [one.group for one in records][:1] == ["docs/a.md"]
    said = "\n".join(aside)
    for reason in ("broken PDF", "broken DOCX", "too deep", "too short", "no text", "it unpacks to"):
        assert reason in said, (reason, said)


def test_alternatives_in_braces_and_folders_without_documents(context: Context, tmp_path: Path) -> None:
    for name in ("a.md", "b.html", "c.txt"):
        (tmp_path / name).write_text("# T\n\nA text that is long enough to be a section of its own here.", "utf-8")
    records, _ = read(context, tmp_path / "*.{md,html}", tmp_path / "out")
    assert {one.group for one in records} == {"a.md", "b.html"}
    assert [one.name for one in expand(tmp_path / "*.{md,html}")] == [
        "a.md",
        "b.html",
    ]  # what the key of the step hashes
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "x.bin").write_bytes(b"x")
    with pytest.raises(DataError, match="holds no document"):
        documents(context, path=tmp_path / "none")


def test_long_sections_are_cut_between_paragraphs(context: Context, tmp_path: Path) -> None:
    parts = [f"Paragraph {i} says something that is not very long." for i in range(10)]
    (tmp_path / "a.md").write_text("# T\n\n" + "\n\n".join(parts), "utf-8")
    records, _ = read(context, tmp_path / "a.md", tmp_path / "out", max_chars=120)
    assert len(records) == 5 and all(one.meta["headings"] == ["T"] for one in records)
    assert "\n\n".join(one.text or "" for one in records) == "\n\n".join(parts)


def test_line_ends_between_chinese_characters_are_no_blanks() -> None:
    assert unbroken("今天\n天气 好\nvery good\nday") == "今天天气 好 very good day"
    assert [block.kind for block in of_markdown("- a\n- b\n\n> said\n\n<!-- x -->\n")] == ["list", "text"]
