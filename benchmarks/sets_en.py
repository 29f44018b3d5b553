"""Readers of the English data sets (see `sets`): official splits where there are some, else drawn by content."""

from __future__ import annotations

import csv
import io
import json
import re
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sets import Row, Sides, drawn, lines, unpacked

SENTIMENT = ("negative", "positive")


def conll2003(data: Path) -> Sides:
    """Reuters sentences with people, places, organisations and others; IOB1 tags, tokens joined by blanks."""
    dirt: Counter[str] = Counter()
    train, dev, test = (_conll(data / f"conll2003-en/eng.{name}.xz", dirt) for name in ("train", "testa", "testb"))
    return Sides(train, test, dev, dirt, ["tokens are joined by blanks, as the file has them"])


def _conll(path: Path, dirt: Counter[str]) -> list[Row]:
    from burnish.formats.conll import joined, spans

    rows: list[Row] = []
    document = 0
    for block in unpacked(path).split("\n\n"):
        columns = [line.split() for line in block.split("\n") if line.strip()]
        if columns and columns[0][0] == "-DOCSTART-":
            document += 1
            columns = columns[1:]
        if not columns:
            continue
        if any(len(one) != 4 for one in columns):
            dirt["broken rows"] += 1
            continue
        tags = [one[3] for one in columns]
        text, places = joined([one[0] for one in columns], "blank")
        before = ["O", *tags]
        dirt["B- tags (IOB1: an entity right behind one of its kind)"] += sum(tag.startswith("B-") for tag in tags)
        dirt["B- tags that IOB1 does not ask for"] += sum(
            tag.startswith("B-") and last[2:] != tag[2:] for last, tag in zip(before, tags, strict=False)
        )
        rows.append({"text": text, "spans": spans(tags, places), "group": f"{path.stem}-{document}"})
    return rows


def sst2(data: Path) -> Sides:
    """Sentences of film reviews, liked or not."""

    def side(name: str) -> list[Row]:
        rows = [line.rsplit("\t", 1) for line in lines(data / "sst2-en" / name)]
        return [{"text": text, "label": SENTIMENT[int(label)]} for text, label in rows]

    return Sides(side("train.tsv.xz"), side("test.tsv"), side("dev.tsv"))


def banking77(data: Path) -> Sides:
    """Questions to a bank, 77 intents."""
    folder = data / "banking77-en/banking_data"
    known = set(json.loads(unpacked(folder / "categories.json")))
    dirt: Counter[str] = Counter()

    def side(name: str) -> list[Row]:
        rows = list(csv.DictReader(io.StringIO(unpacked(folder / name))))
        dirt["labels that categories.json does not have"] += sum(row["category"] not in known for row in rows)
        dirt["texts with line breaks"] += sum("\n" in row["text"].strip() for row in rows)
        return [{"text": row["text"].strip(), "label": row["category"]} for row in rows]

    return Sides(side("train.csv.xz"), side("test.csv"), dirt=dirt)


def phrasebank(data: Path) -> Sides:
    """Financial news sentences on whose sentiment all annotators agree."""
    return _phrasebank(data, "Sentences_AllAgree.txt")


def phrasebank50(data: Path) -> Sides:
    """Financial news sentences on whose sentiment at least half of the annotators agree: labels with known noise."""
    return _phrasebank(data, "Sentences_50Agree.txt.xz")


def _phrasebank(data: Path, name: str) -> Sides:
    rows, dirt = [], Counter[str]()
    for line in lines(data / "financial-phrasebank-en" / name, "latin-1"):
        text, at, label = line.rpartition("@")
        if not at or label not in ("negative", "neutral", "positive"):
            dirt["broken rows"] += 1
        else:
            rows.append({"text": text.strip(), "label": label})
    train, test = drawn(rows, {"train": 0.8, "test": 0.2})
    return Sides(train, test, dirt=dirt, notes=["no official split: 80/20 by content, near-duplicates together"])


def ohsumed(data: Path) -> Sides:
    """Abstracts of medicine, 23 groups of diseases."""
    sides: dict[str, list[Row]] = {"training": [], "test": []}
    seen: set[str] = set()
    dirt: Counter[str] = Counter()
    with tarfile.open(data / "ohsumed-en/ohsumed_single_23.tar.xz") as tar:
        for member in tar:
            parts = Path(member.name).parts
            if not member.isfile() or len(parts) < 3 or parts[-3] not in sides or not re.fullmatch(r"C\d\d", parts[-2]):
                continue
            side, label, number = parts[-3:]
            text = " ".join(tar.extractfile(member).read().decode("latin-1").split())  # type: ignore[union-attr]
            dirt["same number twice"] += number in seen
            seen.add(number)
            sides[side].append({"text": text, "label": label, "id": number})
    return Sides(sides["training"], sides["test"], dirt=dirt)


def atis(data: Path) -> Sides:
    """Questions about flights: the intent as label, the slots as spans, in one record."""
    dirt: Counter[str] = Counter()
    train, dev, test = (_slots(data / "atis-snips-slots-en/atis" / name, dirt) for name in ("train", "valid", "test"))
    return Sides(train, test, dev, dirt)


def atis_slots(data: Path) -> Sides:
    """Questions about flights with their slots alone."""
    both = atis(data)
    train, dev, test = (
        [{"text": row["text"], "spans": row["spans"]} for row in rows]
        for rows in (both.train, both.validation, both.test)
    )
    return Sides(train, test, dev, both.dirt)


def _slots(folder: Path, dirt: Counter[str]) -> list[Row]:
    from burnish.formats.conll import joined, spans

    rows = []
    for said, tagged, label in zip(*(lines(folder / name) for name in ("seq.in", "seq.out", "label")), strict=True):
        tokens, tags = said.split(), tagged.split()
        if len(tokens) != len(tags) or not tokens:
            dirt["broken rows"] += 1
            continue
        dirt["I- tags that begin a slot"] += sum(
            tag.startswith("I-") and last[2:] != tag[2:] for last, tag in zip(["O", *tags], tags, strict=False)
        )
        dirt["several intents in one label (joined by #)"] += "#" in label
        text, places = joined(tokens, "blank")
        rows.append({"text": text, "label": label.strip(), "spans": spans(tags, places)})
    return rows


MARK = re.compile(r"</?e([12])>")


def semeval2010(data: Path) -> Sides:
    """Sentences with two marked nouns: nine directed relations, or another (no relation)."""
    dirt: Counter[str] = Counter()
    base = "SemEval2010_task8_all_data/SemEval2010_task8_"
    with tarfile.open(data / "semeval2010-t8-en/SemEval2010_task8_all_data.tar.gz") as tar:
        texts = [
            tar.extractfile(base + name).read().decode("utf-8")  # type: ignore[union-attr]
            for name in ("training/TRAIN_FILE.TXT", "testing_keys/TEST_FILE_FULL.TXT")
        ]
    train, test = ([row for row in _semeval(text, dirt)] for text in texts)
    return Sides(train, test, dirt=dirt, notes=["'Other' is a record without a relation"])


def _semeval(text: str, dirt: Counter[str]) -> Iterator[Row]:
    for block in re.split(r"\r?\n\r?\n", text.strip()):
        first, relation, *_ = [*block.splitlines(), ""]
        number, _, said = first.partition("\t")
        said = said.strip().removeprefix('"').removesuffix('"')
        ends: dict[str, list[int]] = {"1": [], "2": []}
        plain, last = "", 0
        for mark in MARK.finditer(said):
            plain += said[last : mark.start()]
            ends[mark[1]].append(len(plain))
            last = mark.end()
        plain += said[last:]
        named = re.fullmatch(r"(?:Other|([\w-]+)\((e[12]),(e[12])\))", relation.strip())
        if not named or [len(one) for one in ends.values()] != [2, 2]:
            dirt["broken rows"] += 1
            continue
        spans = [{"start": a, "end": b, "label": f"e{name}"} for name, (a, b) in ends.items()]
        for span in spans:
            dirt["marks round a blank"] += (
                plain[span["start"] : span["end"]] != plain[span["start"] : span["end"]].strip()
            )
        head = 0 if named[2] == "e1" else 1
        relations = [{"head": head, "tail": 1 - head, "label": named[1]}] if named[1] else []
        yield {"id": number, "text": plain, "spans": spans, "relations": relations}


def squad2(data: Path) -> Sides:
    """Questions on Wikipedia articles, half of them without an answer; the halved official dev set, by article."""
    dirt: Counter[str] = Counter()
    rows = squad_rows(json.loads(unpacked(data / "squad2-dev-en/dev-v2.0.json.xz")), dirt)
    # 16 articles: a hash of so few titles is no share, so every fifth article judges and every eighth chooses
    titles = sorted({row["group"] for row in rows})
    sides = {title: "test" if i % 5 == 2 else "validation" if i % 8 == 0 else "train" for i, title in enumerate(titles)}
    train, dev, test = ([r for r in rows if sides[r["group"]] == name] for name in ("train", "validation", "test"))
    return Sides(train, test, dev, dirt, ["no official train here: 6,078 questions of dev, split by article"])


def squad_rows(squad: dict[str, Any], dirt: Counter[str]) -> list[Row]:
    """SQuAD's layout as rows; `answers` keeps every answer that was accepted. An offset that lies is mended or dropped."""
    rows = []
    for article in squad["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            for asked in paragraph["qas"]:
                answers = [one for given in asked["answers"] if (one := _placed(given, context, dirt))]
                if asked["answers"] and not answers:
                    dirt["questions whose answers do not stand in the text"] += 1
                    continue
                counted = Counter((one["text"], one["start"]) for one in answers)
                (said, start), _ = counted.most_common(1)[0] if counted else (("", None), 0)
                rows.append(
                    {
                        "id": asked["id"],
                        "text": asked["question"].strip(),
                        "text_b": context,
                        "answer": {"text": said, "start": start},
                        "answers": list(dict.fromkeys(one["text"] for one in answers)),
                        "group": article["title"],
                    }
                )
    return rows


def _placed(given: Row, context: str, dirt: Counter[str]) -> Row | None:
    said, start = given["text"], given["answer_start"]
    if said and context[start : start + len(said)] == said:
        return {"text": said, "start": start}
    places = [found.start() for found in re.finditer(re.escape(said), context)] if said else []
    if not places:
        dirt["answers that do not stand in the text"] += 1
        return None
    dirt["answers with a wrong offset, mended to the nearest place"] += 1
    return {"text": said, "start": min(places, key=lambda place: abs(place - start))}


def stsb(data: Path) -> Sides:
    """How alike are two sentences, 0 to 5."""
    return sts_sides(data, "en")


def sts_sides(data: Path, language: str) -> Sides:
    """STS-B of one language: value 0..5."""
    dirt: Counter[str] = Counter()

    def side(name: str) -> list[Row]:
        rows = []
        for row in csv.reader(io.StringIO(unpacked(data / "stsb-en-zh" / name))):
            if len(row) != 3 or not row[0].strip() or not row[1].strip() or not 0 <= float(row[2]) <= 5:
                dirt["broken rows"] += 1
                continue
            dirt["equal sentences valued below 5"] += row[0] == row[1] and float(row[2]) < 5
            rows.append({"text": row[0], "text_b": row[1], "value": float(row[2])})
        return rows

    names = (f"stsb-{language}-{side}" for side in ("train.csv.xz", "dev.csv", "test.csv"))
    train, dev, test = map(side, names)
    return Sides(train, test, dev, dirt)


def multi30k(data: Path) -> Sides:
    """Captions of photographs, English to German."""
    dirt: Counter[str] = Counter()

    def side(name: str) -> list[Row]:
        folder = data / "multi30k-en-de"
        rows = []
        pairs = zip(lines(folder / f"{name}.en.gz"), lines(folder / f"{name}.de.gz"), strict=True)
        for said, target in pairs:
            if not said.strip() or not target.strip():
                dirt["empty rows"] += 1
            else:
                dirt["source equals target"] += said.strip() == target.strip()
                rows.append({"source": said.strip(), "target": target.strip()})
        return rows

    return Sides(side("train"), side("test_2016_flickr"), side("val"), dirt)


def dialogsum(data: Path) -> Sides:
    """Summaries of dialogues; test has three references each."""
    folder = data / "dialogsum-en"
    rows = [json.loads(line) for line in lines(folder / "dialogsum.dev.jsonl")]
    given = [{"text": row["dialogue"], "output": row["summary"], "id": row["fname"]} for row in rows]
    judged = [json.loads(line) for line in lines(folder / "dialogsum.test.jsonl.xz")]
    test = [
        {
            "text": row["dialogue"],
            "output": row["summary1"],
            "references": [row[f"summary{i}"] for i in (1, 2, 3)],
            "id": row["fname"],
        }
        for row in judged
    ]
    train, dev = drawn(given, {"train": 0.9, "validation": 0.1})
    note = "the official train is absent: the 500 dialogues of dev teach and choose (90/10 by content); output is the first of three references"
    return Sides(train, test, dev, notes=[note])


def support(data: Path) -> Sides:
    """Customers' questions to support: the group of the intent, then the intent."""
    return _bitext(data, lambda row: {"label": f"{row['category']}/{row['intent']}"})


def support_style(data: Path) -> Sides:
    """Customers' questions to support: how they are put (polite, colloquial, with mistakes ...), several at once."""
    return _bitext(data, lambda row: {"label": [STYLES[one] for one in row["tags"] if one in STYLES]})


# TAGS.md of the data set. Left out: L and M, which say that words vary, and letters that TAGS.md does not explain.
STYLES = {
    "B": "basic", "I": "question", "C": "coordinated", "D": "indirect", "P": "polite", "Q": "colloquial",
    "W": "offensive", "K": "keywords", "E": "abbreviated", "Z": "misspelt",
}  # fmt: skip


def _bitext(data: Path, target: Callable[[dict[str, str]], Row]) -> Sides:
    dirt: Counter[str] = Counter()

    def side(name: str, file: str) -> list[Row]:
        path = data / f"bitext-support-en/data/{name}/Bitext_Sample_Customer_Service_{file}_Dataset.csv"
        found: dict[str, Row] = {}
        for row in csv.DictReader(io.StringIO(unpacked(path))):
            text = row["utterance"].strip()
            dirt["rows of one utterance with several entities, joined"] += text in found
            found.setdefault(text, {"text": text, **target(row)})
        return list(found.values())

    sides = (side(*pair) for pair in (("train", "Training"), ("dev", "Validation"), ("test", "Testing")))
    train, dev, test = sides
    return Sides(train, test, dev, dirt, ["utterances are made from templates: read the report's leaks"])


def chatter(data: Path) -> Sides:
    """Small talk in English: a question, an answer."""
    return chatter_sides(data, "english")


def chatter_sides(data: Path, language: str) -> Sides:
    """Conversations of chatterbot-corpus; 80/20 by content of the question."""
    import yaml

    rows, dirt = [], Counter[str]()
    for path in sorted((data / "chatterbot-corpus" / language).glob("*.yml")):
        for turns in yaml.safe_load(path.read_text("utf-8"))["conversations"]:
            said = [str(turn).strip() for turn in turns if turn is not None and str(turn).strip()]
            if len(said) < 2:
                dirt["conversations of fewer than two turns"] += 1
                continue
            said = said[: len(said) // 2 * 2]
            roles = ("user", "assistant")
            rows.append(
                {"messages": [{"role": roles[i % 2], "content": one} for i, one in enumerate(said)], "topic": path.stem}
            )
    asked = {row["messages"][0]["content"]: row for row in rows}
    dirt["questions asked again (kept)"] = len(rows) - len(asked)
    train, test = drawn(rows, {"train": 0.8, "test": 0.2}, group=lambda row: row["messages"][0]["content"])
    return Sides(train, test, dirt=dirt, notes=["no official split: 80/20 by the first question"])


def movielens(data: Path) -> Sides:
    """Which film does a user watch next, of those never watched? The films before are the query (see movielens.py)."""
    import movielens as films

    sides = []
    with tempfile.TemporaryDirectory() as folder:
        films.prepare(data / "movielens-100k", Path(folder))
        for side in ("train", "test"):
            rows = [json.loads(line) for line in lines(Path(folder) / f"{side}.jsonl")]
            sides.append([{"text": row.pop("query"), "text_b": row.pop("candidate"), **row} for row in rows])
    note = "a user's last film judges, among 100 never rated (He et al. 2017); the four before it teach, among 4 each"
    return Sides(*sides, notes=[note])


READERS = {
    "sst2-supervised": sst2,
    "banking77": banking77,
    "phrasebank": phrasebank,
    "phrasebank-50": phrasebank50,
    "ohsumed": ohsumed,
    "support": support,
    "support-style": support_style,
    "conll2003": conll2003,
    "atis": atis,
    "atis-slots": atis_slots,
    "semeval2010": semeval2010,
    "squad2": squad2,
    "stsb": stsb,
    "multi30k": multi30k,
    "dialogsum": dialogsum,
    "chatter": chatter,
    "movielens": movielens,
}
