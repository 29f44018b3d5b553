"""The data card of a run: where its records come from, how they got their labels, how good they are, what they are for.

Markdown after the data statements of Bender and Friedman (2018) and the datasheets of Gebru et al. (2021), with Croissant
metadata beside it; every figure is one that the run has measured, and what nobody measured is said to be unknown.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish import croissant
from burnish.core.artifacts import write_json
from burnish.core.chinese import named_in, said_in
from burnish.core.pipeline import read_run

Facts = Mapping[str, Any]
Words = Mapping[str, str]
SIDES = ("train", "validation", "test")
COUNTED = ("source", "licence", "language", "label_from")
SENSITIVE = ("pii", "memorisation", "toxicity", "licences", "groups")
MOST = 20
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "unsaid": "not said by the sources", "records": "records", "purpose": "What it is for", "task": "Task: {task}, in {languages}.",
        "use": "Made to train and judge models for this task alone. For another use, look at sources, licences and findings first.",
        "labels": "Labels", "sources": "Sources and licences", "source": "source", "licence": "licence", "language": "language",
        "label_from": "target set by", "made": "How the labels were made", "given": "The targets came with the records.",
        "method": "{count} labellers; votes became targets by {method}: {why}.", "covered": "{share} of the records have a vote; {gold} gold records weighed the labellers.",
        "labeller": "labeller", "kind": "kind", "votes": "votes", "accuracy": "accuracy", "makers": "Made records: {maker} made {made:,} of {material:,} ({seen:,} seen).",
        "certificate": "Certificate", "no_certificate": "No certificate: people have not checked a sample.",
        "stale": "It is older than the labels: they were made anew since.", "quality": "Quality", "unaudited": "No audit has looked at these records.",
        "check": "finding", "dimension": "dimension", "effect": "effect of its remedy", "points": "{value:+.2f} points ({low:+.2f} to {high:+.2f})",
        "aside": "Set aside: {said}.", "splits": "Splits", "side": "side", "sensitive": "Sensitive data", "looked": "{check}: {count:,} records ({share}).",
        "nobody": "Nobody has looked for personal data, toxic language or consent: take it that there is some.", "missing": "Not looked for: {checks}.",
        "limits": "Limits", "limit": "Texts in {languages}; other languages, registers and times may look different.", "by": "Made by burnish {burnish}, run {id}. `burnish lineage ID` tells the story of a record.",
    },
    "zh": {
        "unsaid": "来源未注明", "records": "记录", "purpose": "用途", "task": "任务：{task}，语言：{languages}。",
        "use": "仅为训练和评判此任务的模型而制作。用于其他目的之前，请先查看来源、许可和问题。",
        "labels": "标签", "sources": "来源与许可", "source": "来源", "licence": "许可", "language": "语言",
        "label_from": "目标由谁给出", "made": "标签如何产生", "given": "目标随记录而来。",
        "method": "{count} 个标注者；投票以 {method} 合成目标：{why}。", "covered": "{share} 的记录有投票；{gold} 条金标记录用于衡量标注者。",
        "labeller": "标注者", "kind": "种类", "votes": "票数", "accuracy": "准确率", "makers": "生成的记录：{maker} 由 {material:,} 条（共看 {seen:,} 条）生成 {made:,} 条。",
        "certificate": "质量证书", "no_certificate": "没有证书：尚无人检查抽样。",
        "stale": "证书早于现有标签：标签在此之后已重新生成。", "quality": "质量", "unaudited": "尚未审查这些记录。",
        "check": "问题", "dimension": "维度", "effect": "补救的效果", "points": "{value:+.2f} 个百分点（{low:+.2f} 至 {high:+.2f}）",
        "aside": "已搁置：{said}。", "splits": "划分", "side": "部分", "sensitive": "敏感数据", "looked": "{check}：{count:,} 条记录（{share}）。",
        "nobody": "尚未查找个人信息、有害语言或同意情况：请假定其中存在。", "missing": "未查找：{checks}。",
        "limits": "局限", "limit": "文本语言为 {languages}；其他语言、语体和时期可能不同。", "by": "由 burnish {burnish} 制作，运行 {id}。`burnish lineage ID` 给出一条记录的经历。",
    },
}  # fmt: skip


def write(folder: Path) -> Path | None:
    """Write `quality/DATA_CARD.md` and `quality/croissant.json` of a run folder; None where it has no records yet."""
    files = _files(folder)
    if not files:
        return None
    run, told = read_run(folder), _told(folder, files)
    out = folder / "quality"
    out.mkdir(exist_ok=True)
    write_json(out / "croissant.json", described(folder, run, files, told))
    half = out / f".DATA_CARD.md.{os.getpid()}"
    half.write_text(text(folder, run, told), encoding="utf-8")
    os.replace(half, out / "DATA_CARD.md")
    return out / "DATA_CARD.md"


def text(folder: Path, run: Facts, told: Facts) -> str:
    """The whole card, in the language of the task."""
    name = run.get("name") or folder.name
    by = WORDS[told["language"]]["by"].format(burnish=run.get("burnish") or "", id=run.get("id", ""))
    return "\n\n".join([f"# {_flat(name)}", *sections(folder, run, told), by]) + "\n"


def sections(folder: Path, run: Facts | None = None, told: Facts | None = None) -> list[str]:
    """Its chapters in Markdown, for a card of another kind: purpose, sources, labels, certificate, quality, splits, ethics."""
    run = run or read_run(folder)
    told = told or _told(folder, _files(folder))
    words, task = WORDS[told["language"]], run.get("task") or {}
    languages = ", ".join(named_in(told["language"], "language", one) for one in task.get("languages") or ())
    languages = languages or words["unsaid"]
    parts = [
        (words["purpose"], _purpose(task, languages, words)),
        (words["sources"], "\n\n".join(_counts(words[key], told["counts"][key], words) for key in COUNTED)),
        (words["made"], _made(told["construct"], told["language"], words)),
        (words["certificate"], _certificate(told["certificate"], told["language"], words)),
        (words["quality"], _quality(told["quality"], told["language"], words)),
        (words["splits"], _table([words["side"], words["records"]], [(side, f"{count:,}") for side, count in told["sides"].items()])),
        (words["sensitive"], _sensitive(told["quality"], told["language"], words)),
        (words["limits"], "\n".join([f"- {words['limit'].format(languages=languages)}", *(f"- {_flat(one)}" for one in _grounds(told["quality"], told["language"]))])),
    ]  # fmt: skip
    return [f"## {title}\n\n{body}" for title, body in parts if body]


def described(folder: Path, run: Facts, files: Mapping[str, Path], told: Facts) -> dict[str, Any]:
    """The Croissant metadata, in English."""
    task, words = run.get("task") or {}, WORDS["en"]
    languages = task.get("languages") or []
    name = run.get("name") or folder.name
    return croissant.metadata(
        name, about=f"{sum(told['sides'].values()):,} records for {task.get('type')} in {', '.join(languages)}, made by burnish.",
        files=files, base=f"../{next(iter(files.values())).parent.name}",
        licences=[one for one in told["counts"]["licence"] if one is not None], languages=languages, made=run.get("started", 0.0),
        version=f"1.0.0+{str(run.get('id', '0')).replace('_', '-')}",
        responsible={
            "dataCollection": ", ".join(f"{one or words['unsaid']} ({count:,})" for one, count in told["counts"]["source"].most_common(MOST)),
            "dataAnnotationProtocol": _made(told["construct"], "en", words), "dataUseCases": f"{words['task'].format(task=task.get('type'), languages=', '.join(languages))} {words['use']}",
            "dataLimitations": " ".join(_grounds(told["quality"], "en")), "personalSensitiveInformation": _sensitive(told["quality"], "en", words),
            "dataPreprocessingProtocol": ", ".join(f"{step['room']}.{step['use']}" for step in run.get("steps", ())),
        },
    )  # fmt: skip


def _files(folder: Path) -> dict[str, Path]:
    """Side -> file: the sides of the split, else the newest records as one."""
    sides = {side: folder / "split" / f"{side}.parquet" for side in SIDES}
    found = {side: path for side, path in sides.items() if path.is_file()}
    rooms = (folder / room / "records.parquet" for room in ("review", "quality", "construct", "sources"))
    newest = next((path for path in rooms if path.is_file()), None)
    return found or ({"records": newest} if newest else {})


def _told(folder: Path, files: Mapping[str, Path]) -> dict[str, Any]:
    """What the card is made of: counts of the records that teach and judge, and what each room has written."""
    import pyarrow.parquet as parquet

    from burnish.certify import newest

    counts: dict[str, Counter[Any]] = {name: Counter() for name in COUNTED}
    sides: dict[str, int] = {}
    for side, path in files.items():
        file = parquet.ParquetFile(path)
        for batch in file.iter_batches(columns=[*COUNTED, "keep"]):
            kept = batch.filter(batch["keep"])
            sides[side] = sides.get(side, 0) + kept.num_rows
            for name in COUNTED:
                counts[name].update({one["values"].as_py(): one["counts"].as_py() for one in kept[name].value_counts()})
    task = read_run(folder).get("task") or {}
    return {
        "counts": counts, "sides": sides, "construct": _json(folder / "construct" / "labellers.json"),
        "quality": _json(folder / "quality" / "report.json"), "certificate": newest(folder),
        "language": "zh" if list(task.get("languages") or [])[:1] == ["zh"] else "en",
    }  # fmt: skip


def _purpose(task: Facts, languages: str, words: Words) -> str:
    about = task.get("descriptions") or {}
    lines = [words["task"].format(task=task.get("type"), languages=languages), words["use"]]
    named = [
        f"- `{_flat(one)}`" + (f": {_flat(about[one])}" if about.get(one) else "")
        for one in (task.get("labels") or [])[:100]
    ]
    return "\n\n".join([" ".join(lines), *(["\n".join(named)] if named else [])])


def _counts(title: str, counts: Counter[Any], words: Words) -> str:
    rows = [
        (_flat(words["unsaid"] if name is None else name), f"{count:,}") for name, count in counts.most_common(MOST)
    ]
    return _table([title, words["records"]], rows)


def _made(facts: Facts, language: str, words: Words) -> str:
    """Who labelled and how right each of them was; makers and teachers where there are some."""
    labellers = facts.get("labellers") or []
    lines = [words["given"]] if not labellers else [
        words["method"].format(count=len(labellers), method=facts.get("method"), why=_flat(said_in(language, facts.get("why") or ""))),
        words["covered"].format(share=_share(facts.get("coverage")), gold=facts.get("gold") or 0),
    ]  # fmt: skip
    for one in facts.get("makers") or ():
        lines.append(words["makers"].format(**{"seen": 0, "material": 0, **one}))
    rows = [
        (_flat(one["name"]), one.get("kind", ""), f"{one.get('votes') or 0:,}", _right(one)) for one in labellers[:MOST]
    ]
    heads = [words[name] for name in ("labeller", "kind", "votes", "accuracy")]
    return "\n\n".join([" ".join(lines), *([_table(heads, rows)] if rows else [])])


def _right(one: Facts) -> str:
    if one.get("accuracy") is None:
        return ""
    interval = one.get("interval")
    return f"{one['accuracy']:.3f}" + (f" ({interval[0]:.2f}–{interval[1]:.2f})" if interval else "")


def _certificate(numbers: Facts, language: str, words: Words) -> str:
    said = (numbers.get("said") or {}).get(language)
    if not said or not numbers.get("accuracy"):
        return words["no_certificate"]
    return " ".join([said["verdict"], *([words["stale"]] if numbers.get("stale") else [])])


def _quality(report: Facts, language: str, words: Words) -> str:
    checks = report.get("checks") or {}
    if not checks:
        return words["unaudited"]
    from burnish.quality.page_words import WORDS as PAGE
    from burnish.quality.page_words import chief, title_of

    rows = []
    for name, one in sorted(checks.items(), key=lambda item: -item[1]["count"]):
        if one["count"]:
            effect = one.get("effect") or {}
            gain = effect.get(chief(effect)) if effect else None
            told = words["points"].format(**{end: 100 * gain[end] for end in ("value", "low", "high")}) if gain else ""
            rows.append(
                (
                    title_of(name, language),
                    PAGE[language].get(one["dimension"], one["dimension"]),
                    f"{one['count']:,}",
                    told,
                )
            )
    aside = ", ".join(
        f"{title_of(name, language)} {count:,}" for name, count in (report.get("set_aside") or {}).items()
    )
    said = (report.get("said") or {}).get(language, {}).get("verdict") or report.get("verdict", "")
    heads = [words[name] for name in ("check", "dimension", "records", "effect")]
    return "\n\n".join(
        [said, *([_table(heads, rows)] if rows else []), *([words["aside"].format(said=aside)] if aside else [])]
    )


def _sensitive(report: Facts, language: str, words: Words) -> str:
    from burnish.quality.page_words import title_of

    checks = report.get("checks") or {}
    looked = [name for name in SENSITIVE if name in checks and not checks[name].get("skipped")]
    if not looked:
        return words["nobody"]
    lines = [
        "- "
        + words["looked"].format(
            check=title_of(name, language), count=checks[name]["count"], share=_share(checks[name]["share"])
        )
        for name in looked
    ]
    missing = [title_of(name, language) for name in SENSITIVE if name not in looked]
    return "\n".join([*lines, *([f"- {words['missing'].format(checks=', '.join(missing))}"] if missing else [])])


def _grounds(report: Facts, language: str) -> Sequence[str]:
    found: Sequence[str] = (report.get("said") or {}).get(language, {}).get("grounds") or []
    return found


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _flat(said: object) -> str:
    """A text of the data inside Markdown: one line, no bars, no markup."""
    flat = " ".join(str(said).split()).replace("\\", "\\\\").replace("|", "\\|").replace("`", "'")
    return flat.replace("<", "&lt;").replace("[", "\\[")


def _share(value: Any) -> str:
    return "–" if value is None else f"{value:.1%}"


def _json(path: Path) -> dict[str, Any]:
    held = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return held if isinstance(held, dict) else {}
