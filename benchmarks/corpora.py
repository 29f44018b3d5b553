"""Real text for pre-training, as JSONL that a `jsonl` source reads: one document a line, `text` and what is known of it.

    python benchmarks/corpora.py zhwiki --data ../shared/data --out zhwiki.jsonl --characters 20000000 --script simplified

What a reader drops or mends is counted under a name and printed; nothing is repaired in silence.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sets import unpacked

Row = dict[str, Any]
Reader = Callable[[Path, "Counter[str]"], Iterator[Row]]
_DOC = re.compile(r'<doc id="(?P<id>\d+)"[^>]*title="(?P<title>[^"]*)">\n(?P<body>.*?)\n?</doc>', re.DOTALL)
_TITLE = re.compile(r"^ = (?P<title>[^=].*?) = $", re.MULTILINE)
_JOINED = re.compile(r" @(?P<mark>[-,.])@ ")


def zhwiki(data: Path, dirt: Counter[str]) -> Iterator[Row]:
    """中文维基百科的条目：简体与繁体混排，`script` 说明以哪种为主。"""
    from burnish.text.language import traditional_share

    for archive in sorted((data / "zhwiki-part-zh").glob("*.tar.*")):
        for name, text in _files(archive, dirt):
            rows = []
            for found in _DOC.finditer(text):
                body = found["body"].split("\n\n", 1)[-1].strip()  # the first line is the title again
                if len(body) < 20:
                    dirt["articles that are a title and no text"] += 1
                else:
                    rows.append(
                        {"text": html.unescape(body), "id": found["id"], "title": html.unescape(found["title"])}
                    )
            shares = traditional_share([row["text"] for row in rows])
            for row, share in zip(rows, shares, strict=True):
                yield row | {"script": "traditional" if share >= 0.5 else "simplified", "file": name}


def wikitext2(data: Path, dirt: Counter[str]) -> Iterator[Row]:
    """English Wikipedia articles, tokenised and with <unk> for rare words as published; marks are joined again."""
    for side in ("valid", "test"):
        text = unpacked(data / "wikitext2-valtest-en" / f"{side}.txt.xz")
        begins = [found.start() for found in _TITLE.finditer(text)]
        for start, end in zip(begins, [*begins[1:], len(text)], strict=True):
            body = _JOINED.sub(lambda found: found["mark"], text[start:end])
            dirt["words that are <unk>"] += body.count("<unk>")
            yield {"text": "\n".join(line.strip() for line in body.splitlines() if line.strip()), "side": side}


def tinyshakespeare(data: Path, dirt: Counter[str]) -> Iterator[Row]:
    """Speeches of Shakespeare's plays, as many to a document as make about 2,000 characters."""
    held: list[str] = []
    for speech in unpacked(data / "tinyshakespeare-en" / "input.txt.xz").split("\n\n"):
        held.append(speech.strip())
        if sum(map(len, held)) >= 2000:
            yield {"text": "\n\n".join(held)}
            held = []
    if held:
        yield {"text": "\n\n".join(held)}


def rust_weekly(data: Path, dirt: Counter[str]) -> Iterator[Row]:
    """Issues of This Week in Rust, with their dates."""
    for name, text in _files(data / "this-week-in-rust-en" / "twir.tar.xz", dirt, suffix=".md"):
        dated = re.search(r"\d{4}-\d\d-\d\d", Path(name).name)
        row: Row = {"text": _linkless(text), "file": name}
        yield row | ({"time": dated[0]} if dated else {})


def ruanyf_weekly(data: Path, dirt: Counter[str]) -> Iterator[Row]:
    """科技爱好者周刊，按期号。"""
    for name, text in _files(data / "ruanyf-weekly-zh" / "weekly.tar.xz", dirt, suffix=".md"):
        number = re.search(r"issue-(\d+)", name)
        if not number:
            dirt["files that are no issue"] += 1
            continue
        yield {"text": _linkless(text), "issue": int(number[1]), "file": name}


def medical(data: Path, dirt: Counter[str]) -> Iterator[Row]:
    """Abstracts of OHSUMED: title and text, with the disease group. Test abstracts are left out."""
    for name, text in _files(data / "ohsumed-en" / "ohsumed_single_23.tar.xz", dirt):
        parts = Path(name).parts
        if "test" in parts or len(parts) < 2:
            dirt["abstracts of the test side"] += 1
            continue
        yield {"text": " ".join(text.split()), "category": parts[-2]}


def medical_all(data: Path, dirt: Counter[str]) -> Iterator[Row]:
    """All abstracts of OHSUMED, test side too: for speed, not for a score."""
    for _, text in _files(data / "ohsumed-en" / "ohsumed_single_23.tar.xz", dirt):
        yield {"text": " ".join(text.split())}


def finance_posts(data: Path, dirt: Counter[str]) -> Iterator[Row]:
    """投资者发帖（FinFE），只取训练一侧，重复的只留一条。"""
    seen: set[str] = set()
    for text, *_ in json.loads(unpacked(data / "fincuge-zh" / "finfe" / "train_list.json.xz")):
        if text.strip() in seen or not text.strip():
            dirt["repeated or empty posts"] += 1
            continue
        seen.add(text.strip())
        yield {"text": text.strip()}


READERS: dict[str, Reader] = {
    "zhwiki": zhwiki,
    "wikitext2": wikitext2,
    "tinyshakespeare": tinyshakespeare,
    "rust": rust_weekly,
    "ruanyf": ruanyf_weekly,
    "medical": medical,
    "medical-all": medical_all,
    "finance": finance_posts,
}


def documents(
    name: str, data: Path, *, characters: int | None = None, script: str = "all", dirt: Counter[str] | None = None
) -> Iterator[Row]:
    """Documents of a corpus in their order, until they hold `characters`. script: all, simplified or traditional."""
    total = 0
    dirt = Counter() if dirt is None else dirt
    for row in READERS[name](data, dirt):
        if script not in ("all", row.get("script", script)):
            dirt[f"documents that are not {script}"] += 1
            continue
        yield row
        total += len(row["text"])
        if characters is not None and total >= characters:
            return


def _files(archive: Path, dirt: Counter[str], *, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Text files of an archive in its order; parts of it that are cut short or held back are counted."""
    try:
        with tarfile.open(archive) as opened:
            for member in opened:
                file = opened.extractfile(member) if member.isfile() and member.name.endswith(suffix) else None
                if file is None:
                    continue
                raw = file.read()
                try:
                    yield member.name, raw.decode("utf-8")
                except UnicodeDecodeError:
                    dirt["files in Latin-1"] += 1
                    yield member.name, raw.decode("latin-1")
    except (tarfile.ReadError, EOFError) as error:
        dirt[f"archives that end early: {archive.name} ({error})"] += 1


def _linkless(text: str) -> str:
    """Markdown without the addresses of its links and pictures."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=READERS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--characters", type=int)
    parser.add_argument("--script", choices=["all", "simplified", "traditional"], default="all")
    asked = parser.parse_args()
    dirt: Counter[str] = Counter()
    count = total = 0
    with asked.out.open("w", encoding="utf-8") as file:
        for row in documents(asked.name, asked.data, characters=asked.characters, script=asked.script, dirt=dirt):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count, total = count + 1, total + len(row["text"])
    print(f"{count:,} documents, {total:,} characters; {dict(dirt)}", file=sys.stderr)


if __name__ == "__main__":
    main()
