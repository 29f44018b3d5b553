"""Makers of translation, summarization and ranking records against what is known: planted, simulated or given.

    python benchmarks/construct_texts.py align filter summaries faithful clicks movielens   (or some of them)

align      known sentence pairs shuffled into pseudo-documents with merged, split and dropped sentences; the beads found
           beside those planted (strict: both sides of a bead must be right). Peers: lengths alone (Gale & Church 1993),
           margin alone (Artetxe & Schwenk 2019, mutual best), Vecalign's costs without length are ours with weight 0
filter     known pairs with planted faults; how many of the faults are set aside, how many of the sound ones
catalogue  JupyterLab's published English-Chinese catalogue through the filter as it is
summaries  ROUGE of titles, leads, principal sentences and the oracle beside given summaries
faithful   given summaries with a number or a name swapped; how many are set aside, and how many untouched ones
clicks     clicks simulated on lists of known relevance; nDCG@10 of what is recovered, with and without correction
movielens  a behaviour log to lists by leave-one-out; HR@10 and nDCG@10 of popularity, and of a tuned ranker with --tune

`prepare` writes the data of examples/made-*. Results go to benchmarks/results/construct-texts.json. What was tuned was tuned on the training side of tatoeba.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import re
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import movielens
import sets_en
import sets_zh

from burnish.core.artifacts import Records
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec

RESULTS = Path(__file__).parent / "results" / "construct-texts.json"
BACKBONE: Any = "e5-small-zhen"
Row = dict[str, Any]


def context(task: TaskSpec, folder: Path) -> Context:
    for name in ("scratch", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Context(task, 0, folder, folder / "scratch", Path(tempfile.gettempdir()) / "burnish-bench-cache", Silent())


def saved(records: Records, folder: Path, name: str) -> tuple[list[Record], Row]:
    place = folder / name
    place.mkdir(parents=True)
    records.save(place)
    found = Records.open(place)
    return list(found), found.facts


def prf(right: int, said: int, wanted: int) -> Row:
    p, r = right / max(said, 1), right / max(wanted, 1)
    return {"precision": round(p, 4), "recall": round(r, 4), "f1": round(2 * p * r / max(p + r, 1e-9), 4)}


# -- translation


def pairs_of(data: Path, name: str) -> tuple[list[tuple[str, str]], tuple[str, str]]:
    """Known pairs that nothing was tuned on."""
    if name == "tatoeba":
        rows = [*sets_zh.tatoeba(data).test, *sets_zh.tatoeba(data).validation]
        return [(row["source"], row["target"]) for row in rows if len(row["source"]) > 12], ("en", "zh")
    sides = [sets_zh.lines(data / "multi30k-en-de" / f"test_2016_flickr.{code}.gz") for code in ("en", "de")]
    return list(zip(*sides, strict=True)), ("en", "de")


def planted(pairs: Sequence[tuple[str, str]], blank: str, rng: random.Random, size: int = 40) -> Iterator[Any]:
    """(source, target, beads) of pseudo-documents: 8% dropped from either side, 10% merged on either side."""
    for start in range(0, len(pairs) - size + 1, size):
        part, at = pairs[start : start + size], 0
        source: list[str] = []
        target: list[str] = []
        beads = []
        while at < len(part):
            i, j, kind = len(source), len(target), rng.random()
            if kind < 0.16:
                (source if kind < 0.08 else target).append(part[at][int(kind >= 0.08)])
                at += 1
                continue
            two = kind < 0.36 and at + 1 < len(part)
            said, told = zip(*part[at : at + 1 + two], strict=True)
            source += [" ".join(said)] if two and kind >= 0.26 else said
            target += [blank.join(told)] if two and kind < 0.26 else told
            at += 1 + two
            beads.append(((i, len(source)), (j, len(target))))
        yield source, target, beads


def align(data: Path, folder: Path) -> list[Row]:
    from burnish.construct.texts import align as room
    from burnish.measures import sentence_alignment as measures

    rows = []
    for name in ("tatoeba", "multi30k"):
        pairs, languages = pairs_of(data, name)
        rng = random.Random(0)
        rng.shuffle(pairs)
        documents = list(planted(pairs[:1200], "" if languages[1] == "zh" else " ", rng))
        wanted = sum(len(beads) for *_, beads in documents)
        own = context(TaskSpec("translation", languages=languages), folder)
        listed = [(room.Document((), tuple(a)), room.Document((), tuple(b))) for a, b, _ in documents]

        def margin_alone(listed: Any = listed, own: Any = own) -> list[list[Any]]:
            sides = [room._vectors([list(one[side].sentences) for one in listed], 1, own, BACKBONE) for side in (0, 1)]
            return [
                [measures.Bead((a, a + 1), (b, b + 1), m) for a, b, m in measures.mine(x[1], y[1])]
                for x, y in zip(*sides, strict=True)
            ]

        def without_length(listed: Any = listed, own: Any = own) -> list[list[Any]]:
            weight, measures.LENGTH_WEIGHT = measures.LENGTH_WEIGHT, 0.0
            try:
                return list(room._by_meaning(listed, own, BACKBONE, 2))
            finally:
                measures.LENGTH_WEIGHT = weight

        ways: dict[str, Callable[[], list[list[Any]]]] = {
            "meaning and length (burnish)": lambda listed=listed, own=own: list(
                room._by_meaning(listed, own, BACKBONE, 2)
            ),
            "meaning alone (Vecalign's cost)": without_length,
            "length alone (Gale & Church)": lambda listed=listed: list(room._by_length(listed)),
            "margin alone, mutual best": margin_alone,
        }
        for way, run in ways.items():
            began = time.process_time()
            found = run()
            right = said = 0
            for beads, (_, _, truth) in zip(found, documents, strict=True):
                made = [one for one in beads if one.source[0] < one.source[1] and one.target[0] < one.target[1]]
                if "meaning" in way:
                    made = [one for one in made if one.score >= 0.3]
                said += len(made)
                right += len({(one.source, one.target) for one in made} & set(truth))
            rows.append({"set": name, "way": way, "documents": len(documents), "beads": wanted, **prf(right, said, wanted),
                         "cpu_s": round(time.process_time() - began, 1)})  # fmt: skip
            print(rows[-1], flush=True)
    return rows


FAULTS = ("shifted", "copy", "number", "cut", "language", "duplicate", "address")


def spoilt(
    sound: list[tuple[str, str]], others: list[tuple[str, str]], rng: random.Random
) -> Iterator[tuple[str, str, str]]:
    """(source, target, fault or ""): the sound pairs, and each of the others with a fault; a duplicate is of a sound one."""
    foreign = [
        "Это предложение написано совсем на другом языке, чем нужно",
        "Ceci est une phrase dans une tout autre langue",
    ]
    yield from ((source, target, "") for source, target in sound)
    for at, (source, target) in enumerate(others):
        fault = FAULTS[at % len(FAULTS)]
        if fault == "shifted":
            yield source, others[(at + len(FAULTS)) % len(others)][1], fault
        elif fault == "copy":
            yield source, source.rstrip("."), fault
        elif fault == "number":
            yield f"{source} ({rng.randrange(20, 90)})", f"{target} ({rng.randrange(100, 900)})", fault
        elif fault == "cut":
            yield " ".join(one for one, _ in rng.sample(others, 5)), target, fault
        elif fault == "language":
            yield source, f"{foreign[at % 2]} {at}.", fault
        elif fault == "duplicate":
            yield sound[at % len(sound)][0], target, fault
        elif fault == "address":
            yield f"{source} https://a.org/{at}", f"{target} https://b.org/{at}", fault


def filter_(data: Path, folder: Path) -> list[Row]:
    from burnish.construct.texts.pair_filter import pair_filter

    rows = []
    for name in ("tatoeba", "multi30k"):
        pairs, languages = pairs_of(data, name)
        first: dict[str, tuple[str, str]] = {}
        for pair in pairs:  # a set with repeats of either side would count its own as mistakes
            if all(one not in first for one in pair):
                first |= {pair[0]: pair, pair[1]: pair}
        kept = list({pair: None for pair in first.values()})[:970]
        rng = random.Random(0)
        rng.shuffle(kept)
        made = list(spoilt(kept[:690], kept[690:], rng))
        rng.shuffle(made)
        faults = [fault for *_, fault in made]
        for unlike in (0.0, 0.02):
            own = context(TaskSpec("translation", languages=languages), folder)
            began = time.process_time()
            records = Records.from_rows(Record(a, output=b, id=str(at)) for at, (a, b, _) in enumerate(made))
            out, facts = saved(pair_filter(records, own, unlike=unlike, backbone=BACKBONE), folder, f"{name}{unlike}")
            gone = [not one.keep for one in out]
            why = Counter(
                one.findings[0]["reason"].split(":")[0]
                for one, f in zip(out, faults, strict=True)
                if not one.keep and not f
            )
            # of a planted duplicate and its original, whichever came second goes: either is right
            swapped_for = why["duplicate source"]
            right = sum(a and bool(f) for a, f in zip(gone, faults, strict=True)) + swapped_for
            wrong, total = sum(why.values()) - swapped_for, sum(map(bool, faults))
            by_fault = {
                f: sum(a for a, g in zip(gone, faults, strict=True) if g == f) + swapped_for * (f == "duplicate")
                for f in FAULTS
            }
            rows.append({
                "set": name, "unlike": unlike, "pairs": len(made), "faults": total, **prf(right, right + wrong, total),
                "recall_by_fault": {f: round(count / faults.count(f), 3) for f, count in by_fault.items()},
                "sound_lost": dict(why - Counter({"duplicate source": swapped_for})), "refused": facts["filters"][-1]["refused"],
                "cpu_s": round(time.process_time() - began, 1),
            })  # fmt: skip
            print(rows[-1], flush=True)
    return rows


# -- summarization


def bbc(data: Path) -> list[tuple[str, str, str]]:
    """(title, text, extractive summary) of 2,225 articles; the first line is the title. Written once a repeated article."""
    found: dict[str, dict[str, str]] = {}
    with tarfile.open(data / "bbc-news-en" / "bbc_news_summary.tar.xz") as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(".txt"):
                kind, *rest = member.name.split("/")
                read = tar.extractfile(member)
                assert read is not None
                found.setdefault("/".join(rest), {})[kind] = read.read().decode("utf-8", "replace")
    rows: dict[str, tuple[str, str, str]] = {}
    for one in found.values():
        if len(one) == 2:
            title, _, text = one["News Articles"].strip().partition("\n")
            rows.setdefault(text.strip(), (title.strip(), text.strip(), one["Summaries"].strip()))
    return list(rows.values())


def summary_sets(data: Path) -> dict[str, tuple[str, list[Row]]]:
    bbc_rows = [
        {"text": f"{title}\n\n{text}", "body": text, "output": given, "title": title}
        for title, text, given in bbc(data)
    ]
    csl = [{"text": row["text"], "body": row["text"], "output": row["output"]} for row in sets_zh.csl(data).test]
    dialogues = [
        {"text": row["text"], "body": row["text"], "output": row["output"]} for row in sets_en.dialogsum(data).test
    ]
    return {"bbc-news-en": ("en", bbc_rows), "csl-zh": ("zh", csl), "dialogsum-en": ("en", dialogues)}


def summaries(data: Path, folder: Path) -> list[Row]:
    from burnish.construct.texts.extractive import extractive
    from burnish.construct.texts.faithful import faithful
    from burnish.construct.texts.summaries import summaries as make
    from burnish.measures.generation import rouge

    rows = []
    for name, (language, given) in summary_sets(data).items():
        own = context(TaskSpec("summarization", languages=(language,)), folder)
        began = time.process_time()
        reference = {str(at): row["output"] for at, row in enumerate(given)}
        whole = Records.from_rows(Record(row["body"], id=str(at), output=row["output"]) for at, row in enumerate(given))
        found = {"oracle": saved(extractive(whole, own, min_rouge=0.0), folder, f"{name}-oracle")}
        # a sentence taken out may be any length here: the figure is of the way, not of its filters
        loose = {"min_words": 1, "min_compression": 1.0, "min_support": 0.0, "most_repeats": 10**6}
        ways = {"title": {"way": "title"}, "lead 1": {"way": "lead"}, "lead 3": {"way": "lead", "num_sentences": 3},
                "gap 1": {"way": "gap"}, "gap 3": {"way": "gap", "num_sentences": 3}}  # fmt: skip
        for way, settings in ways.items():
            text = "text" if way == "title" else "body"
            plain = Records.from_rows(Record(row[text], id=str(at)) for at, row in enumerate(given))
            found[way] = saved(make(plain, own, **settings, **loose), folder, f"{name}-{way}")  # type: ignore[arg-type]
        measured = saved(faithful(whole, own, numbers=False, names=False, min_support=0.0), folder, f"{name}-measured")[
            1
        ]["filters"][0]["before"]
        for way, (out, _) in found.items():
            said = [(one.output, reference[one.meta["made_from"][0]]) for one in out if one.label_from]
            if not said:
                rows.append({"set": name, "way": way, "made": 0})
                continue
            scores = rouge([a for a, _ in said], [[b] for _, b in said])
            rows.append({"set": name, "way": way, "of": len(given), "made": len(said),
                         **{key: round(float(value[:, 2].mean()), 4) for key, value in scores.items()}})  # fmt: skip
            print(rows[-1], flush=True)
        rows.append({"set": name, "given summaries": {key: value["median"] for key, value in measured.items()},
                     "cpu_s": round(time.process_time() - began, 1)})  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def swapped(rows: list[Row], rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """(text, summary, fault): every summary as it is, and once with a number or a name that stands in another text."""
    from burnish.measures.summaries import names

    pool = [name for row in rows for name in names(row["output"])]
    for row in rows:
        text, output = row["body"], row["output"]
        yield text, output, ""
        numbers = re.findall(r"\d+", output)
        if numbers:
            old = rng.choice(numbers)
            new = str(int(old) + rng.randrange(1, 40))
            if new not in text:
                yield text, output.replace(old, new, 1), "number"
        if own := names(output):
            old, new = rng.choice(own), rng.choice(pool)
            if new.lower() not in text.lower() and new.lower() not in output.lower():
                yield text, output.replace(old, new, 1), "name"


def faithful_(data: Path, folder: Path) -> list[Row]:
    from burnish.construct.texts.faithful import faithful

    rows = []
    for name, (language, given) in summary_sets(data).items():
        own = context(TaskSpec("summarization", languages=(language,)), folder)
        rng = random.Random(0)
        made = list(swapped(given[:600], rng))
        began = time.process_time()
        records = Records.from_rows(
            Record(text, output=output, id=str(at)) for at, (text, output, _) in enumerate(made)
        )
        out, facts = saved(faithful(records, own, min_support=0.3), folder, f"faithful-{name}")
        gone = [not one.keep for one in out]
        faults = [fault for *_, fault in made]
        right, wrong = (sum(a for a, f in zip(gone, faults, strict=True) if bool(f) is sign) for sign in (True, False))
        total = sum(map(bool, faults))
        rows.append({
            "set": name, "summaries": faults.count(""), "swapped": dict(Counter(filter(None, faults))), **prf(right, right + wrong, total),
            "recall_by_fault": {f: round(float(np.mean([a for a, g in zip(gone, faults, strict=True) if g == f])), 3) for f in ("number", "name") if f in faults},
            "untouched_set_aside": round(wrong / max(faults.count(""), 1), 4), "refused": facts["filters"][-1]["refused"],
            "cpu_s": round(time.process_time() - began, 1),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def catalogue(data: Path, folder: Path) -> list[Row]:
    """A published English-Chinese catalogue as it is: what share is set aside, and why."""
    from burnish.construct.texts.pair_filter import pair_filter

    pairs = catalogue_pairs()
    own = context(TaskSpec("translation", languages=("en", "zh")), folder)
    began = time.process_time()
    records = Records.from_rows(Record(a, output=b, id=str(at)) for at, (a, b) in enumerate(pairs))
    out, facts = saved(pair_filter(records, own, duplicates="source"), folder, "catalogue")
    examples = {}
    for one in out:
        if not one.keep and not one.findings[0]["reason"].startswith(("copy", "duplicate")):
            examples.setdefault(
                one.findings[0]["reason"].split(":")[0],
                f"{one.findings[0]['reason']}: {one.text[:50]} / {one.output[:40]}",
            )
    row = {"pairs": len(pairs), "kept": sum(one.keep for one in out), "refused": facts["filters"][-1]["refused"],
           "examples": examples, "cpu_s": round(time.process_time() - began, 1)}  # fmt: skip
    print(row, flush=True)
    return [row]


def catalogue_pairs() -> list[tuple[str, str]]:
    """English and Chinese of JupyterLab's interface, out of its language pack (BSD-3), opened as an archive."""
    from burnish.core.packages import fetch_package

    path = fetch_package(
        "jupyterlab-language-pack-zh-CN==4.5.post3",
        sha256="47cdb0c41c6b066e795c867786c9c29fde527e2bf15aa6b3e9b2bab9929304b5",
        member="jupyterlab_language_pack_zh_CN/locale/zh_CN/LC_MESSAGES/jupyterlab.json", progress=Silent(),
    )  # fmt: skip
    said = json.loads(path.read_text("utf-8"))
    return list({(key.split("\x04")[-1], told[0]): None for key, told in said.items() if key and told and told[0]})


# -- data of the examples


def prepare(data: Path) -> None:
    """Write the data of examples/made-*."""
    home = Path(__file__).parents[1] / "examples"

    def write(name: str, file: str, rows: Sequence[Row]) -> None:
        folder = home / f"made-{name}" / "data"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        print(f"{len(rows):,} rows -> {folder / file}")

    pairs, rng = (
        [(row["source"], row["target"]) for row in sets_zh.tatoeba(data).train if len(row["source"]) > 12],
        random.Random(0),
    )
    rng.shuffle(pairs)
    sides = [({"group": str(at), "language": "en", "text": " ".join(a)}, {"group": str(at), "language": "zh", "text": "".join(b)})
             for at, (a, b, _) in enumerate(planted(pairs[:8000], "", rng))]  # fmt: skip
    write("align-tatoeba", "documents.jsonl", [row for pair in sides for row in pair])
    write("titles-bbc", "articles.jsonl", [{"text": f"{title}\n\n{text}"} for title, text, _ in bbc(data)])
    write("leads-zhwiki", "articles.jsonl", list(zhwiki(data, 3000)))
    write("catalogue-zh", "catalogue.jsonl", [{"source": a, "target": b} for a, b in catalogue_pairs()])
    films(data, home / "made-movielens-log" / "data")


def zhwiki(data: Path, most: int) -> Iterator[Row]:
    """Articles of the Chinese Wikipedia: text without its first line, the title, which goes to meta."""
    count = 0
    with tarfile.open(data / "zhwiki-part-zh" / "zhwiki_part1.tar.xz") as tar:
        for member in tar:
            read = tar.extractfile(member) if member.isfile() else None
            text = read.read().decode("utf-8", "replace") if read else ""
            for title, body in re.findall(r'<doc [^>]*title="([^"]*)"[^>]*>\n(.*?)</doc>', text, flags=re.DOTALL):
                body = body.strip().removeprefix(title).strip()
                if len(body) > 200:
                    yield {"title": title, "text": body[:4000], "licence": "CC-BY-SA"}
                    count += 1
                if count == most:
                    return


def films(data: Path, folder: Path, users: int | None = None) -> tuple[list[Row], list[list[str]]]:
    """MovieLens-100k as a catalogue and a log (of the first `users`), written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    titles = movielens.read_titles(data / "movielens-100k" / "u.item")
    rows = [{"text": title, "item": item} for item, title in titles.items() if title != "unknown"]
    (folder / "films.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    with lzma.open(data / "movielens-100k" / "u.data.xz", "rt", encoding="utf-8") as lines:
        log = [line.rstrip("\n").split("\t") for line in lines]
    log = [row for row in log if users is None or int(row[0]) <= users]
    (folder / "log.tsv").write_text("\n".join("\t".join(row) for row in log), "utf-8")
    return rows, log


# -- ranking


def clicks(data: Path, folder: Path) -> list[Row]:
    """Queries of 20 items whose relevance is known; an old ranker with noise shows them; people look at place k with
    chance (1/k)^eta and click what is relevant, now and then what is not (Joachims et al. 2017)."""
    from burnish.construct.rankings.behaviour import behaviour
    from burnish.measures import ranking

    rows = []
    for eta in (0.5, 1.0, 2.0):
        rng = np.random.default_rng(0)
        truth: dict[tuple[str, str], float] = {}
        log = []
        theta = (1 / np.arange(1, 11)) ** eta
        for q in range(200):
            grades = rng.choice([0.0, 0.3, 1.0], size=20, p=[0.6, 0.25, 0.15])
            quality = 0.4 * grades + rng.normal(0, 0.3, 20)
            for item in range(20):
                truth[f"query {q}", f"i{q}-{item}"] = grades[item]
            for page in range(60):
                order = np.argsort(-(quality + rng.normal(0, 0.15, 20)))[:10]
                for place, item in enumerate(order):
                    click = rng.random() < theta[place] * (0.05 + 0.85 * grades[item])
                    log.append({"query": f"query {q}", "item": f"i{q}-{item}", "text": f"item {q} {item}", "list": f"{q}/{page}",
                                "position": place + 1, "action": "click" if click else "impression"})  # fmt: skip
        path = folder / f"log{eta}.jsonl"
        path.write_text("\n".join(map(json.dumps, log)), "utf-8")
        own = context(TaskSpec("ranking", languages=("en",)), folder)
        records = [
            Record(row["query"], text_b=row["text"], meta={k: row[k] for k in ("item", "position", "action", "list")})
            for row in log
        ]
        shown = {(row["query"], row["item"]) for row in log}
        naive = Counter((row["query"], row["item"]) for row in log if row["action"] == "click")
        rate = {key: naive[key] / count for key, count in Counter((row["query"], row["item"]) for row in log).items()}
        scored: dict[str, Any] = {"clicks counted": dict(naive), "click rate": rate}
        true = theta / theta[0]
        errors = {}
        for how in ("em", "harvest"):
            items = [Record(f"item {q} {i}", id=f"i{q}-{i}") for q in range(200) for i in range(20)]
            out, facts = saved(
                behaviour(Records.from_rows(items), own, log=path, position_bias=how), folder, f"clicks{eta}{how}"
            )
            scored[how] = {(one.text, one.meta["item"]): one.value for one in out if one.label_from}
            found = np.array(facts["made"]["construct.behaviour"]["position_bias"]["propensity"])
            errors[how] = round(float(np.abs(found - true).mean()), 4)
        del records
        keys = sorted(shown)
        row: Row = {"eta": eta, "clicks": sum(naive.values()), "showings": len(log), "propensity_error": errors}
        for name, scores in scored.items():
            order = ranking.ranked(
                [scores.get(key, 0.0) for key in keys], [truth[key] for key in keys], [key[0] for key in keys]
            )
            row[f"ndcg@10 {name}"] = round(ranking.mean(ranking.ndcg(order, 10))[0], 4)
        rows.append(row)
        print(row, flush=True)
    return rows


MOVIES = """\
burnish: 1
name: movielens-log
seed: 0
task: {type: ranking, model: two-tower, loss: listwise, languages: [en]}
sources:
  - {use: jsonl, path: films.jsonl, licence: GroupLens}
construct:
  - {use: behaviour, log: log.tsv, columns: [user, item, stars, time], query: history, per_user: 6, num_random: 4, judged: 100}
split: {use: leave_one_out}
train: {use: tune, max_length: 128}
evaluate: {use: report}
"""


def movielens_(data: Path, folder: Path, *, tune: bool = False) -> list[Row]:
    from burnish.construct.rankings.behaviour import behaviour
    from burnish.measures import ranking
    from burnish.split.leave_one_out import leave_one_out

    listed, log = films(data, folder, 200 if tune else None)
    (folder / "burnish.yaml").write_text(MOVIES, "utf-8")
    own = context(TaskSpec("ranking", languages=("en",)), folder)
    records = Records.from_rows(
        Record(one["text"], id=f"film{one['item']}", meta={"item": one["item"]}) for one in listed
    )
    began = time.process_time()
    place = folder / "lists"
    place.mkdir()
    behaviour(
        records, own, log=folder / "log.tsv", columns=["user", "item", "stars", "time"], query="history", per_user=6,
        num_random=4, judged=100,
    ).save(place)  # fmt: skip
    lists = Records.open(place)
    split = leave_one_out(lists, own)
    seconds = time.process_time() - began
    test = list(split.test)
    judged = {
        (one.meta["user"], one.meta["item"]) for side in (split.test, split.validation) for one in side if one.value
    }
    counts = Counter(item for user, item, *_ in log if (user, item) not in judged)
    order = ranking.ranked(
        [counts[one.meta["item"]] for one in test], [one.value for one in test], [one.group for one in test]
    )
    row: Row = {
        "way": "popularity" + (", first 200 users" if tune else ""), "lists": lists.facts["made"]["construct.behaviour"]["lists"], "test lists": split.facts["lists"]["test"],
        "hr@10": round(float(ranking.hit_rate(order, 10).mean()), 4), "ndcg@10": round(float(ranking.ndcg(order, 10).mean()), 4),
        "construct_cpu_s": round(seconds, 1),
    }  # fmt: skip
    print(row, flush=True)
    rows = [row]
    if tune:
        import subprocess

        began = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "burnish.cli", "run", str(folder / "burnish.yaml")], cwd=folder, check=False
        )
        report = (
            json.loads(next(folder.glob("runs/*/evaluation/report.json")).read_text("utf-8"))
            if done.returncode == 0
            else {}
        )
        rows.append({"way": "two towers (MiniLM), tuned, first 200 users", "seconds": round(time.time() - began),
                     **{name: report.get(name) for name in ("hr@10", "ndcg@10")}})  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    """Rows of results as Markdown tables, one for each set of columns."""
    made: list[str] = []
    last: list[str] = []
    for row in rows:
        if list(row) != last:
            last = list(row)
            made += ["", "| " + " | ".join(last) + " |", "|" + "---|" * len(last)]
        cells = (
            ", ".join(f"{k} {v}" for k, v in one.items()) if isinstance(one, dict) else str(one) for one in row.values()
        )
        made.append("| " + " | ".join(cells) + " |")
    return made


def page(kept: dict[str, Row]) -> str:
    """All results for a person to read."""
    lines = [
        "# Makers of translations, summaries and rankings",
        "",
        "What each part measures is said at the head of `benchmarks/construct_texts.py`. One thread of a 2-core machine.",
    ]
    for name, part in kept.items():
        lines += ["", f"## {name}", "", f"`{part['command']}`", *table(part["rows"])]
    return "\n".join(lines) + "\n"


PARTS: dict[str, Any] = {
    "align": align, "filter": filter_, "catalogue": catalogue, "summaries": summaries, "faithful": faithful_, "clicks": clicks, "movielens": movielens_,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=[*PARTS, "prepare", []])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument(
        "--tune",
        action="store_true",
        help="also tune a ranker, on the lists of the first 200 users of movielens: minutes",
    )
    args = parser.parse_args()
    kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    if "prepare" in args.parts:
        return prepare(args.data)
    for name in args.parts or list(PARTS):
        with tempfile.TemporaryDirectory() as folder:
            more = {"tune": True} if name == "movielens" and args.tune else {}
            rows = PARTS[name](args.data, Path(folder), **more)
        command = f"python benchmarks/construct_texts.py {name}" + (" --tune" if more else "")
        name += "-tuned" if more else ""
        kept[name] = {"command": command, "rows": rows}
        RESULTS.write_text(json.dumps(dict(sorted(kept.items())), indent=1, ensure_ascii=False) + "\n", "utf-8")
        RESULTS.with_suffix(".md").write_text(page(dict(sorted(kept.items()))), "utf-8")


if __name__ == "__main__":
    main()
