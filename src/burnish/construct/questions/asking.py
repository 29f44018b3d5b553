"""What can be asked of a text without a teacher: answers that stand in it, and the sentence about them as a question.

Answers are dates, numbers, names and titles. English names are runs of capitalised words; Chinese ones are what the
segmenter tags as people, places and organisations. A sentence becomes a question by putting the word that asks in the place
of the answer (Lewis, Denoyer & Riedel 2019, "Unsupervised question answering by cloze translation", by rules): in Chinese
that is how questions are asked; in English the word goes to the front where the answer is the subject or an auxiliary can
be moved, else it stays where it is, as in a quiz ("The tower was moved to which place?").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from burnish.text.scripts import HAN_CLASS
from burnish.text.sentences import sentences

_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_EN = (
    ("date", rf"\b(?:\d{{1,2}} {_MONTH}(?: \d{{4}})?|{_MONTH} \d{{1,2}}(?:, ?\d{{4}})?|{_MONTH} \d{{4}})\b"),
    ("year", r"(?<=\b[Ii]n )(?:1\d{3}|20\d{2})\b(?![,.]\d)|(?<=\b[Ss]ince )(?:1\d{3}|20\d{2})\b"),
    (
        "number",
        r"(?<![\w.,-])[$€£]?\d[\d,.]*\d(?:%| percent| million| billion)?\b|(?<![\w.,-])\d(?:%| percent| million| billion)",
    ),
    (
        "name",
        r"\b[A-Z][\w’'-]*[a-z](?:(?: (?:of|de|the|van|von|der|and(?= [A-Z]\w+ (?:University|Institute|Company)))){0,2} [A-Z][\w’'-]*\w)*\b|\b[A-Z]{2,6}\b",
    ),
)
_ZH = (
    ("date", r"(?:公元前?)?\d{1,4}年(?:\d{1,2}月(?:\d{1,2}[日号])?)?|\d{1,2}月\d{1,2}[日号]"),
    ("title", r"《[^《》]{1,30}》"),
    (
        "number",
        r"(?:约|近|超过)?\d[\d,.]*\d?(?:多|余)?(?:万|亿)?(?:平方公里|公里|千米|平方米|公顷|米|人|座|个|次|名|岁|元|美元|吨|所|家|部|首|集|间|条|%|％)",
    ),
)
_TAGS = {"nr": "person", "nrt": "person", "nrfg": "person", "ns": "place", "nt": "organisation"}
_AUXILIARY = re.compile(r"\b(is|are|was|were|can|could|will|would|may|might|must|should|did|does|do)\b", re.IGNORECASE)
_PREPOSITION = re.compile(
    r"\b(in|on|at|near|from|to|into|of|by|for|with|since|until|during|around|about)\s+(?:the\s+)?$", re.IGNORECASE
)
_STARTERS = frozenset(
    ["The", "A", "An", "In", "On", "At", "He", "She", "It", "They", "This", "That", "These", "Those", "But", "And", "Or", "As", "By", "For", "From", "If", "When", "While", "Although", "After", "Before", "Since", "With", "However", "There", "His", "Her", "Its", "Their", "Many", "Most", "Some", "Several", "One", "Two", "Three", "During", "Because", "Such", "Other", "Another"]
)  # fmt: skip
_AFTER_NAMES = frozenset(
    [
        "is",
        "are",
        "was",
        "were",
        "has",
        "have",
        "had",
        "and",
        "or",
        "of",
        "in",
        "on",
        "at",
        "to",
        "by",
        "for",
        "from",
        "with",
        "as",
        "who",
        "which",
        "that",
        "when",
        "where",
        "while",
        "during",
        "after",
        "before",
        "since",
        "until",
        "into",
        "over",
        "under",
        "between",
        "did",
        "does",
        "can",
        "could",
        "will",
        "would",
        "may",
        "might",
        "must",
        "should",
        "also",
        "became",
        "began",
    ]
)
_PEOPLE = re.compile(r"\b(?:born|died|wrote|married|said|argued|invented|he|she|his|her|who)\b", re.IGNORECASE)
_PART_OF = frozenset("府队区市县镇乡村路街站州省国语族党军杯奖社报大学院馆城山河湖岛式教派")
_CLAUSE_ZH = re.compile(r"[，；,;]")
_PRONOUN_EN = re.compile(r"^(?:it|he|she|they|this|these|that|those|his|her|its|their|such|there)\b", re.IGNORECASE)
_PRONOUN_ZH = re.compile(r"^(?:它|他|她|此|该|这|其|并|而|但|也|还|又|后|因|同时|随后|另)")
LONGEST_EN, LONGEST_ZH = 220, 90  # characters of a sentence that is asked about


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer that stands in a text. kind: date, year, number, name, person, place, organisation, title."""

    start: int
    end: int
    kind: str


def is_chinese(text: str) -> bool:
    return bool(re.search(f"[{HAN_CLASS}]", text))


def candidates(text: str) -> list[Candidate]:
    """Answers that may be asked for, in order, none inside another."""
    found = _chinese(text) if is_chinese(text) else _english(text)
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def _english(text: str) -> list[Candidate]:
    begins = {start for start, _ in sentences(text)}
    found: list[Candidate] = []
    for kind, pattern in _EN:
        for match in re.finditer(pattern, text):
            start, end = match.span()
            if kind == "name":
                first = match[0].split()[0]
                if first in _STARTERS:
                    start += len(first) + 1
                    if start >= end or not text[start].isupper():
                        continue
                elif start in begins and " " not in match[0]:
                    continue  # the first word of a sentence is no name by its capital
            if kind == "name" and " " not in text[start:end] and _describes(text, start, end):
                continue
            if not any(one.start < end and start < one.end for one in found):
                found.append(Candidate(start, end, kind))
    return found


def _describes(text: str, start: int, end: int) -> bool:
    """Whether a name only describes the word behind it: the British lace industry."""
    follows = re.match(r"\s+([a-z]+)", text[end:])
    return bool(
        follows
        and re.search(r"\b(?:the|an?|this|their|his|its)\s+$", text[:start], re.IGNORECASE)
        and follows[1] not in _AFTER_NAMES
    )


def _chinese(text: str) -> list[Candidate]:
    found = [Candidate(*match.span(), kind) for kind, pattern in _ZH for match in re.finditer(pattern, text)]
    tagged = [one for one in _tagged(text) if not _part_or_listed(text, one)]
    return found + [one for one in tagged if not any(o.start < one.end and one.start < o.end for o in found)]


def _part_or_listed(text: str, one: Candidate) -> bool:
    """Whether a name is a part of a longer one (东京府, 奥克兰队), or one of several that a list names, all of them answers."""
    before, after = text[max(one.start - 1, 0) : one.start], text[one.end : one.end + 1]
    return after in _PART_OF or "、" in (before, after) or before in ("·", "•") or after in ("·", "•")


def _tagged(text: str) -> list[Candidate]:
    """People, places and organisations by the segmenter's tags, neighbours of one kind as one."""
    from burnish.core.errors import MissingExtra

    try:
        import rjieba
    except ImportError as error:
        raise MissingExtra("names in Chinese", "chinese") from error
    found: list[Candidate] = []
    at = 0
    for word, tag in rjieba.tag(text):
        at = text.index(word, at)
        kind = _TAGS.get(tag)
        if kind and len(word) > 1:
            if found and found[-1].end == at and found[-1].kind == kind == "place":
                found[-1] = Candidate(found[-1].start, at + len(word), kind)
            else:
                found.append(Candidate(at, at + len(word), kind))
        at += len(word)
    return found


def cloze(text: str, answer: Candidate, sentence: tuple[int, int]) -> str | None:
    """The sentence about an answer as a question; None where it would say too little or lean on what stands before."""
    start, end = sentence
    said = text[start:end]
    place = (answer.start - start, answer.end - start)
    return _cloze_zh(said, place, answer.kind) if is_chinese(said) else _cloze_en(said, place, answer.kind)


_ASK_ZH = {
    "date": "什么时候", "year": "哪一年", "person": "谁", "place": "哪里", "organisation": "哪个机构", "title": "什么作品", "name": "什么",
}  # fmt: skip


def _cloze_zh(said: str, place: tuple[int, int], kind: str) -> str | None:
    start, end = place
    if len(said) > LONGEST_ZH:  # only the clause, with the one before it where it is short
        cuts = [0, *(found.end() for found in _CLAUSE_ZH.finditer(said)), len(said) + 1]
        low = max(cut for cut in cuts if cut <= start)
        high = min(cut for cut in cuts if cut > end or cut == len(said) + 1)
        if high - low < 14:
            low = max((cut for cut in cuts if cut < low), default=low)
        said, start, end = said[low : high - 1], start - low, end - low
    if _PRONOUN_ZH.match(said) or len(said) - (end - start) < 6:
        return None
    answer = said[start:end]
    if kind == "date" and re.fullmatch(r"\d{1,4}年", answer):
        kind = "year"
    unit = re.search(
        r"(?:平方公里|公里|千米|平方米|公顷|美元|米|人|座|个|次|名|岁|元|吨|所|家|部|首|集|间|条)$", answer
    )
    ask = ("多少" + (unit[0] if unit else "")) if kind == "number" else _ASK_ZH[kind]
    asked = (said[:start] + ask + said[end:]).strip().rstrip("。！；，;,.!")
    return asked + "？"


def _cloze_en(said: str, place: tuple[int, int], kind: str) -> str | None:
    start, end = place
    said = said.rstrip(" .!;")
    if _PRONOUN_EN.match(said) or len(said) > LONGEST_EN or len(said.split()) < 6:
        return None
    before, after = said[:start], said[end:]
    preposition = _PREPOSITION.search(before)
    who = "who" if kind == "name" and _PEOPLE.search(after[:40]) else "what"
    if not before.strip() or before.strip() in ("The", "the"):
        return _mark(f"{'How many' if kind == 'number' else who.capitalize()}{after}")
    asks = {"date": "when", "year": "when", "number": "how many"}.get(kind, who)
    moved = before[: preposition.start()] if preposition and kind in ("date", "year") else before
    auxiliary = _AUXILIARY.search(moved)
    if auxiliary and "," not in moved and kind in ("date", "year"):
        subject = moved[: auxiliary.start()].strip()
        rest = f"{moved[auxiliary.end() :].strip()} {after.strip(' ,')}".strip()
        return _mark(f"When {auxiliary[0]} {_lowered(subject)} {rest}")
    if kind in ("date", "year"):
        return _mark(f"{before}what {'year' if kind == 'year' else 'date'}{after}")
    if auxiliary and "," not in moved and not after.strip() and not preposition and kind == "name":
        subject = moved[: auxiliary.start()].strip()
        verb = moved[auxiliary.end() :].strip()
        return _mark(f"{who.capitalize()} {auxiliary[0]} {_lowered(subject)} {verb}".strip())
    if preposition and preposition[1].lower() in ("in", "at", "near") and kind == "name":
        asks = "which place"
    return _mark(f"{before}{asks}{after}")


def _lowered(subject: str) -> str:
    first = subject.split(" ", 1)[0]
    return subject[0].lower() + subject[1:] if first in _STARTERS else subject


def _mark(question: str) -> str:
    return " ".join(question.split()).rstrip(" ,;:.") + "?"


# -- definitions and headings

_IS_A = re.compile(
    r"^(?P<term>(?:The |An? )?[A-Z][\w’' ()-]{1,60}?)(?: \([^)]{1,40}\))? (?P<verb>is|are|was|were|refers to|means) "
    r"(?P<said>(?:an?|the|one of|any|a kind of)\b[^.;]{8,200})"
)
_SHI = re.compile(
    r"^(?P<term>[^，。；：、！？\s]{2,20}?)(?:（[^）]{1,60}）)?[，,]?(?P<verb>是指|指的是|是|为|即)(?P<said>(?:一|[^，。；]{0,25}的|位于|指|对|由|用)[^。；！？]{2,120})"
)
_EMPTY = re.compile(r"[（(]\s*[，,；;]?\s*[）)]")
_NOT_TERMS = re.compile(
    r"^(?:这|那|它|他|她|其|此|该|但|而|如果|可|不|也|只|就|都|最|主要|由于|因|所|若|虽|当|在|从|并|以|目前|There|It|This|That|These|He|She|They|Although|While|When|What|Many|Most|Such|Some|By|Another|An example|One|If|As)"
)


def definition(text: str, sentence: tuple[int, int]) -> tuple[str, int, int, str] | None:
    """(question, start and end of the answer, term) of a sentence that says what something is, or None."""
    start, end = sentence
    said = text[start:end]
    chinese = is_chinese(said)
    found = (_SHI if chinese else _IS_A).match(said)
    if not found or _NOT_TERMS.match(found["term"]) or "是" in found["term"]:
        return None
    term = _EMPTY.sub("", found["term"]).strip()
    if chinese:
        question = f"{term}是什么？" if found["verb"] in ("是", "为", "即") else f"{term}是指什么？"
    else:
        verb = found["verb"] if found["verb"] in ("is", "are", "was", "were") else "is"
        question = f"What {verb} {_lowered(term)}?"
    first, last = found.span("said")
    answer = said[first:last].rstrip(" ,，")
    return question, start + first, start + first + len(answer), term


_ASKING_HEADING = re.compile(
    r"[?？]\s*$|^(?:how|why|what|when|where|who|which|can|does|do|is|are|should)\b|^(?:如何|怎么|怎样|为什么|为何|什么是|谁|哪|是否|能否)",
    re.IGNORECASE,
)


def asking_heading(heading: str) -> str | None:
    """A heading that asks, as a question; None for one that does not."""
    plain = re.sub(r"^\s*(?:\d+(?:\.\d+)*[.)、]?|[一二三四五六七八九十]+、|[QＱ]\d*\s*[.:：])\s*", "", heading).strip()
    if len(plain) < 4 or not _ASKING_HEADING.search(plain):
        return None
    return plain if plain[-1] in "?？" else plain + ("？" if is_chinese(plain) else "?")


_FAQ = re.compile(
    r"(?:^|\n)\s*(?:[-*]\s*)?(?:Q(?:uestion)?\s*\d*|问题?|問)\s*\d*\s*[:：.．、]\s*(?P<q>[^\n]{4,300}?)\s*\n+\s*(?:[-*]\s*)?(?:A(?:nswer)?\s*\d*|答案?|答复)\s*\d*\s*[:：.．、]\s*"
    r"(?P<a>.+?)(?=\n\s*(?:[-*]\s*)?(?:Q(?:uestion)?\s*\d*|问题?|問)\s*\d*\s*[:：.．、]|\Z)",
    re.IGNORECASE | re.DOTALL,
)  # fmt: skip


def faq_pairs(text: str) -> list[tuple[str, str]]:
    """(question, answer) where a text writes them as Q: … A: …, 问：…答：…."""
    return [(" ".join(found["q"].split()), found["a"].strip()) for found in _FAQ.finditer(text) if found["a"].strip()]


def first_part(text: str, most: int) -> tuple[int, int]:
    """Start and end of the first paragraph, cut after a sentence where it is longer than `most` characters."""
    start = len(text) - len(text.lstrip())
    end = text.find("\n\n", start)
    end = len(text) if end < 0 else end
    if end - start > most:
        ends = [b for a, b in sentences(text[:end]) if b <= start + most]
        end = ends[-1] if ends else next((b for _, b in sentences(text[:end])), end)
    return start, len(text[:end].rstrip())
