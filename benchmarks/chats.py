"""What the makers of chat data are worth: personal data found, instructions kept, like questions gathered.

    python benchmarks/chats.py pii      --data ../shared/data     # against argus-redact, where it is installed
    python benchmarks/chats.py filter   --data ../shared/data     # against the published ROUGE-L filter (rouge-score)
    python benchmarks/chats.py faq      --data ../shared/data     # against sentence-transformers' community_detection

pii: presidio-pii-en, split by template into a half that was looked at while the rules were written and a half that was
not (reported); and messages of CrossWOZ (test) into which values were planted by the templates below, decoys among them. A
value counts as found when all its letters and figures are masked, whatever it is taken for. Precision: of masked stretches,
those that touch a personal value. Figures of masked stretches a hundred clean messages are told beside them.
filter: Self-Instruct's filter (ROUGE-L of rouge-score under 0.7, and its rules on length and first letter) and ours on
Chinese questions that people wrote (BUSTM, one of each group of the same meaning), on near-copies planted among them, and on the
same sentence pairs in English and Chinese (STS-B): the same threshold should take out the same share.
faq: questions of bitext-support-en (test split) with their 27 intents; thresholds are chosen on the train split for both.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import random
import re
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from burnish.core.progress import Silent
from burnish.text.checksums import luhn, resident_identity
from burnish.text.pii import find

RESULTS = Path(__file__).parent / "results"
Stretch = tuple[int, int]
Finder = Callable[[str], list[Stretch]]

# -- personal data

WANTED = {
    "PERSON": "name", "STREET_ADDRESS": "address", "CREDIT_CARD": "bank_card", "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email", "IBAN_CODE": "iban", "US_SSN": "ssn", "IP_ADDRESS": "ip",
}  # fmt: skip
PLANTED = {
    "phone": ["我的手机是{}", "打{}找我", "联系电话：{}，白天都在", "号码{}，麻烦回个电话", "有事发短信到{}"],
    "email": ["发到{}就行", "邮箱{}", "请把发票寄到 {} 谢谢"],
    "id_number": ["身份证{}", "证件号码：{}", "用{}这个身份证登记的"],
    "bank_card": ["卡号{}", "退到我的银行卡{}", "尾款打{}这张卡"],
    "address": ["地址是{}", "请送到{}", "我住{}，送上门吗", "收货地址改成{}可以吗"],
    "name": ["我叫{}", "收货人：{}", "联系人是{}", "姓名{}，订了两间"],
    "account": ["加我微信{}", "QQ：{}"],
    "plate": ["车牌{}", "开的是{}，能停吗"],
}
DECOYS = ["订单号{16}", "快递单号{12}查不到", "价格{5}元", "评分4.{1}分", "人均{3}元的店", "热线400-{3}-{4}", "房间{4}号", "{4}年{1}月去的", "取件码{6}", "流水号{19}"]  # fmt: skip
FAMILY = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许邓冯韩曹曾彭萧蔡潘田董袁于余叶蒋杜苏魏程吕丁沈任姚卢傅钟姜崔谭廖范汪陆金石戴贾韦夏邱方侯邹熊孟秦白江阎薛尹段雷黎史龙陶贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
GIVEN = ["伟", "芳", "娜", "秀英", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "娟", "涛", "明", "超", "秀兰", "霞", "平", "刚", "桂英", "子涵", "浩然", "欣怡", "梓萱", "宇轩", "一诺", "晓东", "建国", "海燕"]  # fmt: skip
CITIES = ["北京市朝阳区", "上海市徐汇区", "广东省深圳市南山区", "浙江省杭州市西湖区", "四川省成都市武侯区", "江苏省南京市鼓楼区", "湖北省武汉市洪山区", "西安市雁塔区", "青岛市市南区", "南山区", "海淀区", ""]  # fmt: skip
ROADS = [
    "建国路",
    "淮海中路",
    "科技南十二路",
    "文三西路",
    "人民南路四段",
    "中山北路",
    "珞喻路",
    "长安南路",
    "香港中路",
    "学院路",
]
ENDS = ["{}号", "{}号院3号楼", "{}号2单元501室", "{}号阳光花园7栋1203", "{}弄12号602", "{}号国贸大厦B座1805室"]


def planted(rng: random.Random) -> dict[str, str]:
    """One value of each kind."""

    def digits(count: int) -> str:
        return "".join(rng.choice("0123456789") for _ in range(count))

    def card() -> str:
        start = rng.choice(["622202", "621700", "622848", "4", "5"])
        body = start + digits(rng.choice([16, 19]) - len(start) - 1 if start[0] == "6" else 15 - len(start))
        number = next(body + last for last in "0123456789" if luhn(body + last))
        return rng.choice([number, " ".join(number[at : at + 4] for at in range(0, len(number), 4))])

    def identity() -> str:
        body = (
            rng.choice(["110105", "310104", "440305", "510107", "420111"])
            + f"{rng.randint(1950, 2010)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
            + digits(3)
        )
        return next(body + last for last in "0123456789X" if resident_identity(body + last))

    mobile = rng.choice(["13", "15", "18", "17", "19"]) + digits(9)
    phone = rng.choice(
        [
            mobile,
            f"{mobile[:3]} {mobile[3:7]} {mobile[7:]}",
            f"{mobile[:3]}-{mobile[3:7]}-{mobile[7:]}",
            "+86 " + mobile,
            f"0{rng.randint(10, 29)}-{rng.randint(2, 8)}{digits(7)}",
        ]
    )
    letters = "".join(rng.choice("abcdefghkmnpqrstwxyz") for _ in range(6))
    return {
        "phone": phone, "id_number": identity(), "bank_card": card(), "name": rng.choice(FAMILY) + rng.choice(GIVEN),
        "email": f"{letters}{digits(2)}@{rng.choice(['qq.com', '163.com', 'gmail.com', 'sina.com.cn'])}",
        "address": rng.choice(CITIES) + rng.choice(ROADS) + rng.choice(ENDS).format(rng.randint(1, 999)),
        "account": letters + digits(3) if rng.random() < 0.5 else str(rng.randint(1, 9)) + digits(8),
        "plate": rng.choice("京沪粤浙川苏鄂陕鲁") + rng.choice("ABCDE") + rng.choice("ABCDE0123456789") + digits(4),
    }  # fmt: skip


def chinese(data: Path, count: int, seed: int) -> tuple[list[tuple[str, list[tuple[int, int, str]]]], list[str]]:
    """(texts with planted values and decoys, the same messages without): CrossWOZ (test), the users' side."""
    with zipfile.ZipFile(data / "crosswoz-zh" / "test.json.zip") as archive:
        talks = json.loads(archive.read("test.json"))
    said = [one["content"] for talk in talks.values() for one in talk["messages"] if one["role"] == "usr"]
    said = [text for text in dict.fromkeys(said) if not re.search(r"\d{5}", text)]
    rng = random.Random(seed)
    rng.shuffle(said)
    made = []
    for text in said[:count]:
        values = planted(rng)
        kinds = rng.sample(list(PLANTED), rng.choice([1, 1, 2]))
        spans: list[tuple[int, int, str]] = []
        whole = text
        for kind in kinds:
            before, after = rng.choice(PLANTED[kind]).split("{}")
            whole += rng.choice(["，", "。", " ", "；"]) + before
            spans.append((len(whole), len(whole) + len(values[kind]), kind))
            whole += values[kind] + after
        if rng.random() < 0.5:
            decoy = re.sub(
                r"\{(\d+)\}",
                lambda found: (
                    str(rng.randint(1, 9)) + "".join(rng.choice("0123456789") for _ in range(int(found[1]) - 1))
                ),
                rng.choice(DECOYS),
            )
            whole += "，" + decoy
        made.append((whole, spans))
    return made, said[:count]


def english(data: Path, half: int) -> list[tuple[str, list[tuple[int, int, str]]]]:
    """presidio-pii-en, the templates of one half; kinds we do not look for are left out."""
    with lzma.open(data / "presidio-pii-en" / "data" / "synth_dataset_v2.json.xz", "rt") as file:
        rows = json.load(file)
    return [
        (
            row["full_text"],
            [(one["start_position"], one["end_position"], WANTED.get(one["entity_type"], "-")) for one in row["spans"]],
        )
        for row in rows
        if row["template_id"] % 2 == half
    ]


def score(texts: Sequence[tuple[str, list[tuple[int, int, str]]]], finder: Finder) -> dict[str, Any]:
    found_of: dict[str, list[bool]] = {}
    right = total = 0
    began = time.process_time()
    all_found = [finder(text) for text, _ in texts]
    seconds = time.process_time() - began
    for (text, spans), found in zip(texts, all_found, strict=True):
        masked = {at for start, end in found for at in range(start, end)}
        for start, end, kind in spans:
            if kind != "-":
                signs = [at for at in range(start, end) if text[at].isalnum()]
                found_of.setdefault(kind, []).append(all(at in masked for at in signs))
        personal = {at for start, end, kind in spans if kind != "-" for at in range(start, end)}
        total += len(found)
        right += sum(any(at in personal for at in range(start, end)) for start, end in found)
    every = [one for kind in found_of.values() for one in kind]
    return {
        "recall": {kind: round(float(np.mean(one)), 3) for kind, one in sorted(found_of.items())} | {"all": round(float(np.mean(every)), 3)},
        "values": {kind: len(one) for kind, one in sorted(found_of.items())},
        "precision": round(right / total, 3) if total else None,
        "texts_per_cpu_s": round(len(texts) / max(seconds, 1e-9)),
    }  # fmt: skip


def ours(text: str) -> list[Stretch]:
    return [(one.start, one.end) for one in find(text)]


def argus(language: Any) -> Finder | None:
    try:
        from argus_redact import redact
    except ImportError:
        return None
    skipped = {"self_reference", "date", "organization", "age", "gender", "medical", "religion", "financial"}

    def finder(text: str) -> list[Stretch]:
        told = redact(text, lang=language, mode="fast", detailed=True)[2]["entities"]
        found = []
        for one in told:
            value, kind = one.get("original", one.get("text")), one.get("type")
            at = text.find(value) if value and kind not in skipped else -1
            if at >= 0:
                found.append((at, at + len(value)))
        return found

    return finder


def pii(data: Path) -> dict[str, Any]:
    made, clean = chinese(data, 2000, seed=7)
    report = english(data, 1)
    rows: dict[str, Any] = {}
    for name, zh, en in (("burnish", ours, ours), ("argus-redact 0.8.22, fast", argus("zh"), argus(["en", "zh"]))):
        if zh is None or en is None:
            continue
        rows[name] = {
            "presidio-pii-en, unseen templates": score(report, en),
            "CrossWOZ test + planted": score(made, zh),
            "hits_a_hundred_clean_messages": round(100 * sum(len(zh(text)) for text in clean) / len(clean), 1),
        }
    rows["burnish"]["presidio-pii-en, templates looked at"] = score(english(data, 0), ours)
    return rows


# -- instructions


def same_meaning(data: Path) -> tuple[list[str], list[str]]:
    """(one wording of each group, the others) of BUSTM: commands to a phone's assistant, pairs said to mean the same."""
    pairs: list[tuple[str, str, str]] = []
    for name in ("train_few_all.json", "dev_few_all.json", "test_public.json"):
        path = data / "fewclue-zh" / "bustm" / name
        raw = path.read_bytes() if path.exists() else lzma.decompress(Path(f"{path}.xz").read_bytes())
        rows = map(json.loads, raw.decode("utf-8").splitlines())
        pairs += [(one["sentence1"], one["sentence2"], str(one["label"])) for one in rows]
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        while parent.setdefault(text, text) != text:
            text = parent[text]
        return text

    for a, b, label in pairs:
        if label == "1":
            parent[root(a)] = root(b)
        else:
            root(a), root(b)
    groups: dict[str, list[str]] = {}
    for text in parent:
        groups.setdefault(root(text), []).append(text)
    return [group[0] for group in groups.values()], [text for group in groups.values() for text in group[1:]]


def near_copy(text: str, rng: random.Random) -> str:
    """One change as a teacher makes it: a word of courtesy, a mark, one character left out or doubled."""
    at = rng.randrange(1, max(2, len(text) - 1))
    return rng.choice(
        [
            "请" + text,
            text + "吧",
            text + "。",
            "帮我" + text,
            text[:at] + text[at + 1 :],
            text[:at] + text[at] + text[at:],
        ]
    )


def published(known: Sequence[str], text: str, scorer: Any, *, rules: bool) -> bool:
    """Whether Self-Instruct keeps it (bootstrap_instructions.py, release 2023-03)."""
    if rules and (len(text.split()) <= 3 or len(text.split()) > 150 or not text[0].isascii()):
        return False
    return all(scorer.score(one, text)["rougeL"].fmeasure < 0.7 for one in known)


def filters(data: Path) -> dict[str, Any]:
    from rouge_score import rouge_scorer

    from burnish.construct.chats.instructions import instruction_problem
    from burnish.measures.generation import rouge
    from burnish.measures.novelty import Novelty

    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    rng = random.Random(0)
    good, _ = same_meaning(data)
    good = [text for text in good if len(text) >= 5]
    rng.shuffle(good)
    good = good[:800]
    copies = [near_copy(text, rng) for text in good[:300]]
    rows: dict[str, Any] = {}

    def told(name: str, keep: Callable[[Sequence[str], str], bool]) -> None:
        kept, pool = 0, []
        for text in good:
            if keep(pool, text):
                kept, pool = kept + 1, [*pool, text]
        removed = sum(not keep(good[:300], text) for text in copies)
        rows[name] = {"good_kept": round(kept / len(good), 3), "near_copies_removed": round(removed / len(copies), 3)}

    def novel(*, rules: bool) -> Callable[[Sequence[str], str], bool]:
        memory: dict[int, Novelty] = {}

        def keep(pool: Sequence[str], text: str) -> bool:
            if rules and instruction_problem(text, language="zh"):
                return False
            if len(memory) > 2:
                memory.clear()
            known = memory.get(len(pool)) or Novelty(pool, threshold=0.7)
            memory[len(pool)] = known
            return known.nearest(text)[1] is None

        return keep

    told("Self-Instruct as published", lambda pool, text: published(pool, text, scorer, rules=True))
    told("its ROUGE-L alone", lambda pool, text: published(pool, text, scorer, rules=False))
    told("burnish", novel(rules=True))
    told("burnish, novelty alone", novel(rules=False))
    pairs = {
        name: list(csv.reader((data / "stsb-en-zh" / f"stsb-{name}-test.csv").open(encoding="utf-8")))
        for name in ("en", "zh")
    }
    alike = {
        name: rouge([a for a, *_ in rows_], [[b] for _, b, *_ in rows_])["rougeL"][:, 2] >= 0.7
        for name, rows_ in pairs.items()
    }
    theirs = [scorer.score(a, b)["rougeL"].fmeasure >= 0.7 for a, b, *_ in pairs["zh"]]
    rows["STS-B test, share of pairs at or above 0.7"] = {
        "English": round(float(alike["en"].mean()), 3), "Chinese, ours": round(float(alike["zh"].mean()), 3),
        "Chinese, rouge-score": round(float(np.mean(theirs)), 3),
        "English and Chinese agree, ours": round(float((alike["en"] == alike["zh"]).mean()), 3),
        "pairs": len(theirs),
    }  # fmt: skip
    rows["texts"] = {"good": len(good), "near_copies": len(copies)}
    return rows


# -- FAQ


def faq(data: Path) -> dict[str, Any]:
    from burnish.construct.chats.answers import question_vectors
    from burnish.measures.clusters import agreement, alike
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import embed

    def side(name: str, file: str, count: int) -> tuple[list[str], list[str]]:
        path = data / "bitext-support-en" / "data" / name / f"Bitext_Sample_Customer_Service_{file}_Dataset.csv"
        rows = list(csv.DictReader(path.open(encoding="utf-8")))
        random.Random(0).shuffle(rows)
        return [row["utterance"] for row in rows[:count]], [row["intent"] for row in rows[:count]]

    cache = Path("/tmp/burnish-benchmark")
    task = SimpleNamespace(languages=("en",))
    context = SimpleNamespace(task=task, cache=cache, progress=Silent())
    sides = {"train": side("train", "Training", 2000), "test": side("test", "Testing", 2000)}
    folder = resolve("minilm", languages=("en",), progress=Silent())

    def by_ours(texts: list[str], threshold: float) -> Any:
        return alike(question_vectors(texts, "minilm", context), threshold=threshold)  # type: ignore[arg-type]

    def by_peer(texts: list[str], threshold: float) -> Any:
        import torch
        from sentence_transformers.util import community_detection

        vectors = embed(texts, folder, cache=cache, progress=Silent())
        label = np.arange(len(texts)) + len(texts)
        for number, members in enumerate(
            community_detection(torch.tensor(vectors), threshold=threshold, min_community_size=2)
        ):
            label[members] = number
        return label

    def by_k_means(texts: list[str], _: float) -> Any:
        from sklearn.cluster import KMeans

        vectors = embed(texts, folder, cache=cache, progress=Silent())
        return KMeans(n_clusters=len(set(sides["test"][1])), n_init=4, random_state=0).fit_predict(vectors)

    rows: dict[str, Any] = {}
    for name, method, grid in (
        ("burnish: average linkage of centred vectors", by_ours, (0.15, 0.2, 0.25, 0.3, 0.35, 0.4)),
        ("sentence-transformers community_detection", by_peer, (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)),
        ("k-means told the true number of intents", by_k_means, (0.0,)),
    ):
        tried = {
            threshold: agreement(method(*[sides["train"][0]], threshold), sides["train"][1])["f1"] for threshold in grid
        }
        best = max(tried, key=lambda one: tried[one])
        found = method(sides["test"][0], best)
        scores = agreement(found, sides["test"][1])
        rows[name] = {
            "threshold": best,
            **{key: round(value, 3) for key, value in scores.items()},
            "groups": len(set(np.asarray(found).tolist())),
        }
    found = by_ours(sides["test"][0], 0.3)
    rows["burnish, default threshold 0.3"] = {
        key: round(value, 3) for key, value in agreement(found, sides["test"][1]).items()
    }
    rows["texts"] = {"test": len(sides["test"][0]), "intents": len(set(sides["test"][1]))}
    return rows


PARTS = {"pii": pii, "filter": filters, "faq": faq}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    args = parser.parse_args()
    path = RESULTS / "chats.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known[args.part] = {"command": f"python benchmarks/chats.py {args.part}", **PARTS[args.part](args.data)}
    path.write_text(json.dumps(known, ensure_ascii=False, indent=1) + "\n", "utf-8")
    (RESULTS / "chats.md").write_text(page(known), "utf-8")
    print(json.dumps(known[args.part], ensure_ascii=False, indent=1))


def page(known: dict[str, Any]) -> str:
    """The results as Markdown: a list a part, figures as they are."""
    lines = ["# Makers of chat data", ""]
    for part, rows in known.items():
        lines += [f"## {part}", "", f"`{rows['command']}`", ""]
        lines += [
            f"- **{name}**: {json.dumps(value, ensure_ascii=False)}"
            for name, value in rows.items()
            if name != "command"
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
