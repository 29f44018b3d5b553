"""Which task a file was made for, told by its columns: spans speak of tagging, a question with a context of answering.

Each shape is a function that looks at columns and what stands in them, and says what it found or nothing. They are
asked in the order of SHAPES; with a task given, only that task's shapes are asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from burnish.core.files import NAMES
from burnish.core.values import parsed

Columns = Mapping[str, Sequence[Any]]  # name -> what stands in it, empty cells left out
MANY_VALUES = 10  # numbers with a fraction that take more values than this are measured, not classes

QUESTION, CONTEXT, ANSWER = (
    ("question", "问题"),
    ("context", "passage", "上下文", "原文", "材料"),
    ("answer", "答案"),
)
QUERY = ("query", "查询", "问句")
CANDIDATE = ("candidate", "document", "passage", "doc", "候选", "文档")
RELEVANCE = ("value", "relevance", "relevant", "score", "label", "相关性", "相关度")
SOURCE, TRANSLATED = ("source", "src", "原文", "源文"), ("target", "translation", "tgt", "译文", "翻译")
DOCUMENT = (
    "document",
    "article",
    "text",
    "dialogue",
    "content",
    "body",
    "source",
    "文档",
    "文章",
    "正文",
    "原文",
    "内容",
)
SUMMARY = ("summary", "highlights", "output", "摘要", "总结")
SPANS, RELATIONS, MESSAGES = ("spans", "entities", "实体"), ("relations", "关系"), ("messages", "conversation", "对话")
NUMBERS = ("value", "score", "similarity", "rating", "分数", "得分", "相似度", "评分")
PAIRS = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("text1", "text2"), ("question1", "question2"),
    ("text_a", "text_b"), ("句子1", "句子2"), ("前提", "假设"),
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a file speaks for. fields: record field -> column, of input and target; options: of the task section."""

    task: str
    fields: dict[str, str]
    labels: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def recognise(columns: Columns, guessed: Mapping[str, str], *, task: str | None = None) -> Seen | None:
    """The first shape that fits; None where nothing but one label a text may be meant.

    guessed: record field -> column, as `core.files.sniff` says. task: only the shapes of this one.
    """
    for kind, shape in SHAPES:
        if task in (None, kind) and (found := shape(columns, guessed)):
            return found
    return None


def paired(columns: Columns) -> dict[str, str]:
    """The two texts of a pair, where their columns have the usual names."""
    return next(({"text": one, "text_b": two} for one, two in PAIRS if {one, two} <= columns.keys()), {})


def _relations(columns: Columns, guessed: Mapping[str, str]) -> Seen | None:
    spans, relations = _placed(columns), _named(columns, RELATIONS)
    if not spans or not relations or not _dicts(columns[relations], ("head", "tail", "label")):
        return None
    fields = _texts(columns, guessed, but=(spans, relations)) | {"spans": spans, "relations": relations}
    return Seen("relation_extraction", fields, _labels_in(columns[relations]))


def _several(columns: Columns, guessed: Mapping[str, str]) -> Seen | None:
    """Targets of two kinds in one file: each becomes a task."""
    found: dict[str, tuple[dict[str, Any], str, str]] = {}
    if spans := _placed(columns):
        found["spans"] = {"type": "tagging", "labels": list(_labels_in(columns[spans]))}, "spans", spans
    label = guessed.get("label", "")
    if label.lower() in NAMES["label"].split():
        several = _listed(columns[label])
        labels = sorted({str(one) for cell in columns[label] for one in _cell(cell)})
        if len(labels) > 1:
            kind = {"type": "classification", "labels": labels} | ({"multi_label": True} if several else {})
            found["label"] = kind, "labels" if several else "label", label
    if "value" in columns and label != "value" and _numbers(columns["value"]):
        found["value"] = {"type": "regression"}, "value", "value"
    if len(found) < 2:
        return None
    targets = {target: column for _, target, column in found.values()}
    fields = _texts(columns, guessed, but=tuple(targets.values())) | targets
    return Seen("multitask", fields, (), {"tasks": {name: task for name, (task, _, _) in found.items()}})


def _tagging(columns: Columns, guessed: Mapping[str, str]) -> Seen | None:
    spans = _placed(columns)
    if not spans:
        return None
    return Seen("tagging", _texts(columns, guessed, but=(spans,)) | {"spans": spans}, _labels_in(columns[spans]))


def _answering(columns: Columns, guessed: Mapping[str, str]) -> Seen | None:
    question, context = _named(columns, QUESTION), _named(columns, CONTEXT)
    if not question or not context:
        return None
    answer = _named(columns, ANSWER)
    return Seen("question_answering", {"text": question, "text_b": context} | ({"answer": answer} if answer else {}))


def _chat(columns: Columns, guessed: Mapping[str, str]) -> Seen | None:
    messages = _named(columns, MESSAGES)
    if not messages or not _dicts(columns[messages], ("role", "content")) or guessed.get("label"):
        return None
    return Seen("chat", {"messages": messages})


def _ranking(columns: Columns, guessed: Mapping[str, str]) -> Seen | None:
    query = _named(columns, QUERY)
    candidate = _named(columns, CANDIDATE) if query else None
    if not query or not candidate:
        return None
    relevance = _named(columns, RELEVANCE)
    target = {} if relevance is None else {"label" if relevance == "label" else "value": relevance}
    return Seen("ranking", {"text": query, "text_b": candidate, **target})


def _translation(columns: Columns, guessed: Mapping[str, str]) -> Seen | None:
    source, target = _named(columns, SOURCE), _named(columns, TRANSLATED)
    if source and target and _strings(columns[source]) and _strings(columns[target]):
        return Seen("translation", {"text": source, "output": target})
    nested = [parsed(cell) for cell in columns.get("translation", ())]
    if nested and all(isinstance(cell, Mapping) and len(cell) == 2 for cell in nested):
        one, two = list(nested[0])
        return Seen("translation", {"text": f"translation.{one}", "output": f"translation.{two}"})
    if {"en", "zh"} <= columns.keys():
        return Seen("translation", {"text": "en", "output": "zh"})
    return None


def _summarization(columns: Columns, guessed: Mapping[str, str]) -> Seen | None:
    summary = _named(columns, SUMMARY)
    document = _named(columns, DOCUMENT)
    if not summary or not document or not _strings(columns[summary]) or not _strings(columns[document]):
        return None
    return Seen("summarization", {"text": document, "output": summary})


def _multi_label(columns: Columns, guessed: Mapping[str, str]) -> Seen | None:
    column = "labels" if "labels" in columns else guessed.get("label", "")
    if not column or not _listed(columns[column]):
        return None
    labels = sorted({str(one) for cell in columns[column] for one in _cell(cell)})
    fields = _texts(columns, guessed, but=(column,)) | {"labels": column}
    return Seen("classification", fields, tuple(labels), {"multi_label": True})


def _regression(columns: Columns, guessed: Mapping[str, str]) -> Seen | None:
    column = _named(columns, NUMBERS)
    if column is None or not _numbers(columns[column]):
        return None
    label = guessed.get("label")
    measured = len({float(one) for one in columns[column]}) > MANY_VALUES
    fraction = any(not float(one).is_integer() for one in columns[column])
    if not (column == "value" and label in (None, column)) and not (measured and fraction and label in (None, column)):
        return None
    return Seen("regression", _texts(columns, guessed, but=(column,)) | {"value": column})


SHAPES: tuple[tuple[str, Callable[[Columns, Mapping[str, str]], Seen | None]], ...] = (
    ("relation_extraction", _relations),
    ("multitask", _several),
    ("tagging", _tagging),
    ("question_answering", _answering),
    ("chat", _chat),
    ("ranking", _ranking),
    ("translation", _translation),
    ("summarization", _summarization),
    ("classification", _multi_label),
    ("regression", _regression),
)


def _named(columns: Columns, names: Sequence[str]) -> str | None:
    """The column with the first of these names, case aside."""
    by_name = {name.lower().strip(): name for name in columns if len(columns[name])}
    return next((by_name[name] for name in names if name in by_name), None)


def _texts(columns: Columns, guessed: Mapping[str, str], *, but: Sequence[str]) -> dict[str, str]:
    """The columns of text: a pair under its usual names, else what was guessed."""
    pair = paired(columns)
    if pair:
        return pair
    return {name: guessed[name] for name in ("text", "text_b") if name in guessed and guessed[name] not in but}


def _placed(columns: Columns) -> str | None:
    """The column of spans {start, end, label}."""
    name = _named(columns, SPANS)
    return name if name and _dicts(columns[name], ("start", "end", "label")) else None


def _dicts(cells: Sequence[Any], keys: Sequence[str]) -> bool:
    """Whether every cell is a list of objects with these keys, and one of them is not empty."""
    lists = [parsed(cell) for cell in cells]
    items = [one for cell in lists if isinstance(cell, list | tuple) for one in cell]
    return bool(items) and all(isinstance(cell, list | tuple) for cell in lists) and all(
        isinstance(one, Mapping) and set(keys) <= set(one) for one in items
    )  # fmt: skip


def _labels_in(cells: Sequence[Any]) -> tuple[str, ...]:
    counts = Counter(str(one["label"]) for cell in cells for one in parsed(cell))
    return tuple(sorted(counts))


def _cell(cell: Any) -> list[Any]:
    value = parsed(cell)
    return list(value) if isinstance(value, list | tuple) else [value]


def _listed(cells: Sequence[Any]) -> bool:
    """Whether the cells are lists of names."""
    lists = [parsed(cell) for cell in cells]
    return bool(lists) and all(
        isinstance(cell, list | tuple) and all(isinstance(one, str | int) for one in cell) for cell in lists
    )


def _strings(cells: Sequence[Any]) -> bool:
    return bool(cells) and all(isinstance(one, str) for one in cells)


def _numbers(cells: Sequence[Any]) -> bool:
    try:
        return bool(cells) and all(not isinstance(one, bool) and float(one) == float(one) for one in cells)
    except (TypeError, ValueError):
        return False
