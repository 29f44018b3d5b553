"""Readers of the Chinese data sets (see `sets`): official splits where there are some, else drawn by content."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from sets import Row, Sides, by_content, drawn, lines, unpacked
from sets_en import SENTIMENT, chatter_sides, squad_rows, sts_sides

THREE = {"train": 0.7, "validation": 0.1, "test": 0.2}
FEW = "the few-shot train of FewCLUE (all five draws together) teaches; its test_public judges"


def chnsenticorp(data: Path) -> Sides:
    """酒店、图书、电脑评论：满意还是不满意。"""
    dirt: Counter[str] = Counter()

    def side(name: str) -> list[Row]:
        rows = []
        for line in lines(data / "chnsenticorp-zh" / name)[1:]:
            label, tab, text = line.partition("\t")
            if not tab or label not in ("0", "1") or not text.strip():
                dirt["broken rows"] += 1
            else:
                dirt["texts with a tab inside"] += "\t" in text
                rows.append({"text": text.strip(), "label": SENTIMENT[int(label)]})
        return rows

    return Sides(side("train.tsv.xz"), side("test.tsv"), side("dev.tsv"), dirt)


def thucnews(data: Path) -> Sides:
    """十类新闻标题。"""
    folder = data / "thucnews-titles-zh"
    names = unpacked(folder / "class.txt").split()
    dirt: Counter[str] = Counter()

    def side(name: str) -> list[Row]:
        rows = []
        for line in lines(folder / name):
            text, tab, label = line.rpartition("\t")
            if not tab or not label.isdigit() or not text.strip():
                dirt["broken rows"] += 1
            else:
                rows.append({"text": text.strip(), "label": names[int(label)]})
        return rows

    return Sides(
        side("dev.txt"), side("test.txt"), dirt=dirt, notes=["train (180,000) is absent: dev (10,000) teaches"]
    )


def tnews(data: Path) -> Sides:
    """今日头条新闻标题，十五类，少量标注。"""
    folder = data / "fewclue-zh/tnews"

    def side(name: str) -> list[Row]:
        rows = map(json.loads, lines(folder / name))
        return [{"text": row["sentence"].strip(), "label": row["label_desc"].removeprefix("news_")} for row in rows]

    return Sides(side("train_few_all.json"), side("test_public.json"), side("dev_few_all.json"), notes=[FEW])


def bustm(data: Path) -> Sides:
    """两句对话是不是一个意思，少量标注。"""
    folder = data / "fewclue-zh/bustm"

    def side(name: str) -> list[Row]:
        rows = map(json.loads, lines(folder / name))
        return [_pair(row["sentence1"], row["sentence2"], SAME[str(row["label"])]) for row in rows]

    return Sides(side("train_few_all.json"), side("test_public.json"), side("dev_few_all.json"), notes=[FEW])


SAME = {"0": "different", "1": "same"}


def _pair(first: str, second: str, label: str) -> Row:
    return {"text": first.strip(), "text_b": second.strip(), "label": label}


def webank(data: Path) -> Sides:
    """两个向银行客服提的问题是不是一个意思。"""
    rows, dirt = [], Counter[str]()
    text = unpacked(data / "webank-sim-zh/sim_webank.csv.xz", "gb18030")
    for row in csv.DictReader(io.StringIO(text)):
        if row["label"] not in SAME or not row["sentence1"].strip() or not row["sentence2"].strip():
            dirt["broken rows"] += 1
            continue
        rows.append(_pair(row["sentence1"], row["sentence2"], SAME[row["label"]]))
    dirt["pairs of equal questions"] = sum(row["text"] == row["text_b"] for row in rows)
    train, test = _by_questions(rows, 0.2, dirt)
    note = "no official split: 80/20, pairs that share a question stay together"
    return Sides(train, test, dirt=dirt, notes=[note])


def _by_questions(rows: list[Row], share: float, dirt: Counter[str]) -> tuple[list[Row], list[Row]]:
    """Pairs that share a question, directly or through others, on one side; `share` of all pairs to test.

    Chains of shared questions join a large part of the pairs into one component, which no hash can share out: it teaches.
    """
    root = _components(rows)
    sizes = Counter(root[row["text"]] for row in rows)
    largest, size = sizes.most_common(1)[0]
    whole = size > 0.05 * len(rows)
    dirt["pairs that hang together through shared questions (all teach)"] = size if whole else 0
    free = [row for row in rows if not (whole and root[row["text"]] == largest)]
    share = share * len(rows) / len(free)
    train, test = drawn(free, {"train": 1 - share, "test": share}, group=lambda row: root[row["text"]])
    return [row for row in rows if whole and root[row["text"]] == largest] + train, test


def _components(rows: list[Row]) -> dict[str, str]:
    """Question -> the first of all that it hangs together with."""
    parent: dict[str, str] = {}

    def root(one: str) -> str:
        while parent.setdefault(one, one) != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for row in rows:
        first, second = sorted((root(row["text"]), root(row["text_b"])))
        parent[second] = first
    return {one: root(one) for one in list(parent)}


def webank_faq(data: Path) -> Sides:
    """客户的问题和哪一个已有的问题是一个意思：一个对的，九个看起来像的。"""
    pairs = webank(data)
    sides = (_lists(rows, most) for rows, most in ((pairs.train, 3000), (pairs.test, 600)))
    notes = [
        "made from the pairs labelled the same: the other question, and the nine of the same side that share most character "
        "pairs with the query and hang together with it by no pair; unlabelled paraphrases among them count as wrong",
        "at most 3,000 queries teach and 600 judge, by content",
    ]
    return Sides(next(sides), next(sides), dirt=pairs.dirt, notes=[*pairs.notes, *notes])


def _lists(pairs: list[Row], most: int) -> list[Row]:
    """Ten candidates for each of at most `most` queries."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    same = [row for row in pairs if row["label"] == "same" and row["text"] != row["text_b"]]
    root = _components(same)
    queries = sorted({row["text"]: row for row in same}.values(), key=lambda row: by_content(row["text"]))[:most]
    pool = sorted({row["text_b"] for row in same})
    terms = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    near = (terms.fit_transform([row["text"] for row in queries] + pool))[:]
    likeness = (near[: len(queries)] @ near[len(queries) :].T).toarray()
    made: list[Row] = []
    for row, order in zip(queries, np.argsort(-likeness, axis=1, kind="stable"), strict=True):
        others = [pool[i] for i in order if root[pool[i]] != root[row["text"]]][:9]
        asked = {"text": row["text"], "group": row["text"]}
        candidates = sorted([row["text_b"], *others], key=by_content)  # in an order that says nothing
        made += [asked | {"text_b": one, "value": float(one == row["text_b"])} for one in candidates]
    return made


def ocnli(data: Path) -> Sides:
    """前提和假设：蕴含、矛盾还是无关。"""
    dirt: Counter[str] = Counter()

    def side(name: str) -> list[Row]:
        rows = []
        for row in map(json.loads, lines(data / "ocnli-zh" / name)):
            if row["label"] not in ("entailment", "neutral", "contradiction"):
                dirt["rows on which the annotators did not agree ('-')"] += 1
                continue
            said = Counter(row[f"label{i}"] for i in range(5) if row.get(f"label{i}"))
            dirt["rows with fewer than 4 of 5 votes for the label (kept)"] += bool(said) and said[row["label"]] < 4
            rows.append(_pair(row["sentence1"], row["sentence2"], row["label"]) | {"group": row["prem_id"]})
        return rows

    note = "train.10k teaches (30k and 50k are absent), dev judges: test has no labels"
    return Sides(side("train.10k.json.xz"), side("dev.json.xz"), dirt=dirt, notes=[note])


def cluener(data: Path) -> Sides:
    """十类实体：人名、地址、公司、书、电影、游戏……"""
    dirt: Counter[str] = Counter()

    def side(name: str) -> list[Row]:
        rows = []
        for row in _objects(unpacked(data / "cluener-zh" / name)):
            text, spans = row["text"], []
            for label, names in row["label"].items():
                for said, places in names.items():
                    for start, last in places:  # both ends are inside
                        if text[start : last + 1] == said:
                            spans.append({"start": start, "end": last + 1, "label": label})
                        else:
                            dirt["spans whose text is not what they say (dropped)"] += 1
            spans.sort(key=lambda one: (one["start"], one["end"]))
            pairs = pairwise(spans)
            dirt["spans that overlap the one before (kept)"] += sum(b["start"] < a["end"] for a, b in pairs)
            twice = Counter((one["start"], one["end"]) for one in spans)
            dirt["spans with two labels (kept)"] += sum(count > 1 for count in twice.values())
            rows.append({"text": text, "spans": spans})
        return rows

    return Sides(side("train.json.xz"), side("dev.json"), dirt=dirt, notes=["dev judges: test has no labels"])


def cluener_types(data: Path) -> Sides:
    """一句话里提到了哪几类实体：多标签，由 CLUENER 的实体得来。"""
    both = cluener(data)
    train, test = (
        [{"text": row["text"], "label": sorted({span["label"] for span in row["spans"]})} for row in rows]
        for rows in (both.train, both.test)
    )
    return Sides(
        train, test, dirt=both.dirt, notes=[*both.notes, "labels are the kinds of entities of CLUENER in a text"]
    )


def _objects(text: str) -> Iterator[Any]:
    """JSON objects one after the other, over as many lines as they like."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found, at = decoder.raw_decode(text, at)
        yield found


RELATIONS = (
    "unknown",
    "夫妻",
    "父母",
    "兄弟姐妹",
    "上下级",
    "师生",
    "好友",
    "同学",
    "合作",
    "同人",
    "情侣",
    "祖孙",
    "同门",
    "亲戚",
)


def people(data: Path) -> Sides:
    """两个人是什么关系：十三种，或者不知道（没有关系）。"""
    folder, dirt = data / "people-relation-zh", Counter[str]()
    sheet = {}
    for first, second, said, text in _sheet(folder / "人物关系表.xlsx"):
        sheet[first, second, text.replace(first, "#" * len(first)).replace(second, "#" * len(second))] = (said, text)

    def side(name: str) -> list[Row]:
        rows = []
        for line in lines(folder / name):
            number, _, rest = line.partition(" ")
            first, second, masked = (one.strip() for one in rest.split("$"))
            said, text = sheet.get((first, second, masked), (None, None))
            if text is None:
                dirt["rows that the table of originals does not have (dropped)"] += 1
                continue
            label = RELATIONS[int(number)]
            dirt["rows labelled otherwise in the table of originals (kept as split)"] += said != label
            places = _two_places(text, first, second)
            if places is None:
                dirt["rows without a place of its own for each name (dropped)"] += 1
                continue
            spans = [
                {"start": at, "end": at + len(who), "label": "person"}
                for at, who in zip(places, (first, second), strict=True)
            ]
            relations = [{"head": 0, "tail": 1, "label": label}]
            rows.append({"text": text, "spans": spans, "relations": relations})
        return rows

    notes = [
        "names, which the split masks, come back from the table of originals",
        "unknown: the two have no relation that the text tells of",
    ]
    return Sides(side("train.txt"), side("test.txt"), dirt=dirt, notes=notes)


def _two_places(text: str, first: str, second: str) -> tuple[int, int] | None:
    """Where two names stand nearest to each other without sharing a character."""
    starts = [[found.start() for found in re.finditer(f"(?={re.escape(who)})", text)] for who in (first, second)]
    apart = [(a, b) for a in starts[0] for b in starts[1] if a + len(first) <= b or b + len(second) <= a]
    return min(apart, key=lambda pair: (abs(pair[0] - pair[1]), pair), default=None)


def _sheet(path: Path) -> list[list[str]]:
    """Rows of four cells of the first sheet, the header left out; the workbook is a zip of XML."""
    with zipfile.ZipFile(path) as book:
        shared, sheet = (book.read(f"xl/{name}.xml").decode() for name in ("sharedStrings", "worksheets/sheet1"))
    texts = [
        "".join(re.findall(r"<t[^>]*>(.*?)</t>", one, re.S)) for one in re.findall(r"<si>(.*?)</si>", shared, re.S)
    ]
    rows = []
    for row in re.findall(r"<row [^>]*>(.*?)</row>", sheet, re.S):
        cells = re.findall(r"<c r=\"[A-Z]+\d+\"([^>]*)>(?:<f>.*?</f>)?<v>(.*?)</v></c>", row, re.S)
        rows.append([html.unescape(texts[int(value)] if 't="s"' in kind else value).strip() for kind, value in cells])
    return [row for row in rows[1:] if len(row) == 4]


def cmrc2018(data: Path) -> Sides:
    """从维基百科的段落里找答案。"""
    dirt: Counter[str] = Counter()
    folder = data / "cmrc2018-zh/squad-style-data"
    squads = [json.loads(unpacked(folder / f"cmrc2018_{name}.json.xz")) for name in ("dev", "trial")]
    rows = [row for squad in squads for row in squad_rows(squad, dirt)]
    kept = {row["id"]: row for row in rows}
    dirt["questions that dev and trial share"] = len(rows) - len(kept)
    train, dev, test = drawn(kept.values(), THREE, group=lambda row: row["group"])
    note = "the official train is absent: 4,221 questions of dev and trial, split by document 70/10/20"
    return Sides(train, test, dev, dirt, [note])


def csl(data: Path) -> Sides:
    """论文摘要，写出标题。"""
    rows, dirt = [], Counter[str]()
    for name in ("dev", "test"):
        for line in lines(data / f"csl-zh/ts/{name}.tsv.xz"):
            cells = line.split("\t")
            if len(cells) != 3 or not all(map(str.strip, cells)):
                dirt["broken rows"] += 1
                continue
            rows.append({"text": cells[1].strip(), "output": cells[2].strip()})
    train, test = drawn(rows, {"train": 0.8, "test": 0.2})
    return Sides(train, test, dirt=dirt, notes=["the official train is absent: dev and test, 80/20 by content"])


def shopping(data: Path) -> Sides:
    """十类商品的评论：哪一类商品，满意还是不满意（两级标签）。"""
    dirt: Counter[str] = Counter()
    with zipfile.ZipFile(data / "online-shopping-10-zh/online_shopping_10_cats.zip") as packed:
        text = packed.read(packed.namelist()[0]).decode("utf-8-sig")
    rows: dict[str, Row] = {}
    for row in csv.DictReader(io.StringIO(text)):
        said = (row["review"] or "").strip().removeprefix("\ufeff").strip()
        if not said or row["label"] not in ("0", "1"):
            dirt["broken rows"] += 1
        elif said in rows:
            dirt["the same text again (dropped)"] += 1
        else:
            rows[said] = {"text": said, "label": f"{row['cat']}/{'差评' if row['label'] == '0' else '好评'}"}
    train, test = drawn(rows.values(), {"train": 0.8, "test": 0.2})
    return Sides(train, test, dirt=dirt, notes=["no official split: 80/20 by content, near-duplicates together"])


def cold(data: Path) -> Sides:
    """评论是否冒犯人。"""
    dirt: Counter[str] = Counter()

    def side(name: str) -> list[Row]:
        rows = []
        for row in csv.DictReader(io.StringIO(unpacked(data / "cold-zh" / name))):
            if row["label"] not in ("0", "1") or not row["TEXT"].strip():
                dirt["broken rows"] += 1
                continue
            rows.append(
                {"text": row["TEXT"].strip(), "label": ("safe", "offensive")[int(row["label"])], "topic": row["topic"]}
            )
        return rows

    return Sides(side("train.csv.xz"), side("test.csv.xz"), side("dev.csv.xz"), dirt)


def finfe(data: Path) -> Sides:
    """股民的帖子：消极、中性、积极（有次序的标签）。"""
    dirt: Counter[str] = Counter()

    def side(name: str) -> list[Row]:
        rows = []
        for row in json.loads(unpacked(data / "fincuge-zh/finfe" / name)):
            text, label = str(row[0]).strip(), row[1]
            if not text or label not in (0, 1, 2):
                dirt["broken rows"] += 1
            else:
                rows.append({"text": text, "label": ("negative", "neutral", "positive")[label]})
        return rows

    return Sides(side("train_list.json.xz"), side("eval_list.json"), dirt=dirt)


def smp(data: Path) -> Sides:
    """对助手说的话：领域、意图和槽位，一条记录里三样都有。"""
    rows, dirt = [], Counter[str]()
    for row in json.loads(unpacked(data / "smp2019-nlu-zh/SMP-2019-NLU/train.json")):
        text, spans = row["text"].strip(), []
        for label, said in sorted(row["slots"].items()):
            places = [found.start() for found in re.finditer(re.escape(said), text)] if said else []
            dirt["slots that stand in the text twice (the first is taken)"] += len(places) > 1
            if not places:
                dirt["slots that do not stand in the text (dropped)"] += 1
            else:
                spans.append({"start": places[0], "end": places[0] + len(said), "label": label})
        clear: list[Row] = []
        for span in sorted(spans, key=lambda one: (one["start"], -one["end"])):
            if clear and span["start"] < clear[-1]["end"]:
                dirt["slots inside another (dropped)"] += 1
            else:
                clear.append(span)
        rows.append({"text": text, "label": row["domain"], "spans": clear})
        if isinstance(row["intent"], str):
            rows[-1]["intent"] = row["intent"]
        else:
            dirt["intents that are NaN (left out)"] += 1
    train, test = drawn(rows, {"train": 0.8, "test": 0.2})
    note = "no official split: 80/20 by content, near-duplicates together"
    return Sides(train, test, dirt=dirt, notes=[note])


def tatoeba(data: Path) -> Sides:
    """短句，英译中。"""
    rows: dict[str, Row] = {}
    dirt: Counter[str] = Counter()
    for line in lines(data / "tatoeba-en-zh/cmn.txt.xz"):
        said, target, *_ = [*line.split("\t"), "", ""]
        if not said.strip() or not target.strip():
            dirt["broken rows"] += 1
        elif said in rows:
            dirt["the same English again: another reference"] += 1
            rows[said]["references"].append(target.strip())
        else:
            rows[said] = {"source": said.strip(), "target": target.strip(), "references": [target.strip()]}
    train, dev, test = drawn(rows.values(), {"train": 0.9, "validation": 0.04, "test": 0.06})
    note = (
        "no official split: 90/4/6 by the English side, near-duplicates together; traditional and simplified are mixed"
    )
    return Sides(train, test, dev, dirt, [note])


def stsb_zh(data: Path) -> Sides:
    """两句话有多像，0 到 5（机器翻译的 STS-B）。"""
    return sts_sides(data, "zh")


def chatter_zh(data: Path) -> Sides:
    """中文闲聊：一问一答。"""
    return chatter_sides(data, "chinese")


READERS = {
    "chnsenticorp-supervised": chnsenticorp,
    "thucnews-supervised": thucnews,
    "tnews": tnews,
    "cold": cold,
    "shopping": shopping,
    "finfe": finfe,
    "cluener-types": cluener_types,
    "ocnli": ocnli,
    "bustm": bustm,
    "webank": webank,
    "webank-faq": webank_faq,
    "stsb-zh": stsb_zh,
    "cluener": cluener,
    "smp": smp,
    "people": people,
    "cmrc2018": cmrc2018,
    "tatoeba": tatoeba,
    "csl": csl,
    "chatter-zh": chatter_zh,
}
