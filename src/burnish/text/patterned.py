"""What has a form of its own: addresses of the net, sums of money, dates, times, shares, measures, and numbers that check themselves.

`find` gives places by the name of a kind; kinds of personal data are those of `text.pii`, so that what is masked in one
place and marked in another is the same. Positions are characters, end exclusive; full-width signs count as narrow ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from burnish.text import checksums, pii

Span = tuple[int, int]

_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_HAN_NUMBER = r"[〇零一二两三四五六七八九十百千万亿半几数]+"
_MONTHS = (
    "January|February|March|April|May|June|July|August|September|October|November|December|"
    r"Jan\.?|Feb\.?|Mar\.?|Apr\.?|Jun\.?|Jul\.?|Aug\.?|Sept?\.?|Oct\.?|Nov\.?|Dec\.?"
)
_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_CURRENCY = "USD|US dollars?|dollars?|EUR|euros?|GBP|pounds?|JPY|yen|CNY|RMB|yuan|renminbi|HKD|Hong Kong dollars?|cents?|francs?|rupees?|won"
_MONEY_ZH = "元人民币|人民币|美元|欧元|英镑|日元|港元|港币|新台币|台币|韩元|卢布|元|块钱|万元|亿元"

_PATTERNS: dict[str, str] = {
    "url": r"(?i:https?://|www\.)[^\s<>\"'，。！？；：、（）【】《》“”一-鿿]+[^\s<>\"'.,;:!?)\]}，。！？；：、（）【】《》“”一-鿿]",
    "money": rf"(?:(?:US|HK|A|C|NT|R)?[$€£¥￥]|(?:USD|EUR|GBP|CNY|RMB|HKD) ?) ?(?:{_NUMBER})(?: ?(?:million|billion|trillion|thousand|[mMbBkK])\b|[万亿千百]+)?"
    rf"|(?<![0-9A-Za-z_.,])(?:{_NUMBER})(?: (?:million|billion|trillion|thousand))? (?:{_CURRENCY})\b"
    rf"|(?:人民币 ?)?(?:(?<![\d.,])(?:{_NUMBER})|{_HAN_NUMBER}) ?[余多]?[百千万亿]*[余多]?(?:{_MONEY_ZH})",
    "date": r"(?<!\d)(?:1[5-9]|20)\d{2}[-/.](?:1[0-2]|0?[1-9])[-/.](?:3[01]|[12]\d|0?[1-9])(?!\d)"
    r"|(?<!\d)(?:3[01]|[12]\d|0?[1-9])/(?:1[0-2]|0?[1-9])/(?:1[5-9]|20)\d{2}(?!\d)|(?<!\d)(?:1[0-2]|0?[1-9])/(?:3[01]|[12]\d|0?[1-9])/(?:1[5-9]|20)\d{2}(?!\d)"
    rf"|\b(?:(?:{_DAYS}),? )?(?:{_MONTHS}) (?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?(?:,? (?:1[5-9]|20)\d{{2}}(?![-/]\d))?\b"
    rf"|\b(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?(?: of)? (?:{_MONTHS})(?:,? (?:1[5-9]|20)\d{{2}})?\b|\b(?:{_MONTHS}),? (?:1[5-9]|20)\d{{2}}\b"
    r"|(?:(?<!\d)(?:\d{4}|\d{2})|[一二三四五六七八九〇零○]{4}|[今明去前后]) ?年(?: ?(?:1[0-2]|0?[1-9]|十[一二]?|[一二三四五六七八九]) ?月(?:份)?(?: ?(?:3[01]|[12]\d|0?[1-9]|[一二三]?十?[一二三四五六七八九十]) ?[日号])?)?"
    r"|(?<!\d)(?:1[0-2]|0?[1-9]|十[一二]?|[一二三四五六七八九]) ?月 ?(?:3[01]|[12]\d|0?[1-9]|[一二三]?十?[一二三四五六七八九十]) ?[日号]",
    "time": r"(?<![\d:])(?:2[0-4]|[01]?\d):[0-5]\d(?::[0-5]\d)?(?: ?[aApP]\.?[mM]\.?)?(?![\d:])|(?<!\d)(?:1[0-2]|[1-9]) ?[aApP]\.?[mM]\b\.?"
    r"|(?:凌晨|早上|上午|中午|下午|傍晚|晚上|夜里|今晚|明早)?(?:(?<!\d)(?:2[0-4]|1?\d)|十[一二]?|[一二两三四五六七八九])[点時时](?:[0-5]?\d分?|半|一刻|三刻|[一二三四五]?十[一二三四五六七八九]?分?|整)",
    "percent": rf"(?<![0-9A-Za-z_.,])[-+]?(?:{_NUMBER}) ?(?:%|％|‰|percent\b|per cent\b|个百分点)|百分之(?:{_HAN_NUMBER}|(?:{_NUMBER}))(?:点{_HAN_NUMBER})?",
    "measure": rf"(?<![0-9A-Za-z_.,])(?:{_NUMBER}) ?(?:kilomet(?:re|er)s?|met(?:re|er)s?|miles?|feet|inch(?:es)?|kilograms?|grams?|tons?|tonnes?|lit(?:re|er)s?|acres?|hectares?|km²?|cm|mm|kg|mg|ml|GB|MB|TB|kW|MW|GHz|MHz|°[CF])(?![A-Za-z])"
    rf"|(?:(?<![\d.,])(?:{_NUMBER})|{_HAN_NUMBER}) ?[余多]?(?:平方公里|平方米|立方米|公里|千米|厘米|毫米|公斤|千克|英里|英尺|海里|公顷|摄氏度|兆瓦|千瓦|米|吨|斤|亩|升)",
    "hashtag": r"(?<![\w&#])#[^\s#@，。！？；：、（）]{1,60}#|(?<![\w&#])#\w+",
    "mention": r"(?<![0-9A-Za-z_@.])@[\w.-]{2,30}(?<![.-])",
    "version": r"(?<![0-9A-Za-z_.])[vV]?\d+\.\d+(?:\.\d+)+(?:-?(?:alpha|beta|rc|dev|post)\.?\d*)?(?![\w.])",
    "stock": r"(?<![\d.])(?:[036]\d{5}|68\d{4})(?:\.(?:SH|SZ|SS))(?![\w])|(?<!\w)(?:NYSE|NASDAQ|HKEX|SSE|SZSE): ?[A-Z0-9]{1,6}(?!\w)",
    "title": r"《[^《》\n]{1,60}》",
}
_COMPILED = {kind: re.compile(pattern) for kind, pattern in _PATTERNS.items()}

_PHONE_ZH = re.compile(r"(?<![0-9A-Za-z_.-])(?:(?:\+|00)86[ -]?)?(?:1[3-9]\d(?:[ -]?\d{4}){2}|\(?0(?:10|2\d|[3-9]\d{2})\)?[ -]?[2-9]\d{6,7}(?:(?:-|转)\d{1,6})?|[48]00[ -]?\d{3}[ -]?\d{4})(?![\d-])")  # fmt: skip
_PHONE_EN = re.compile(r"(?<![0-9A-Za-z_.-])(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}(?: ?(?:x|ext\.?) ?\d{1,5})?(?![\d-])|(?<![0-9A-Za-z_.-])\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,5}\)?){2,6}(?![\d-])")  # fmt: skip
_BOOK = re.compile(r"(?<![\d-])(?:97[89][- ]?)?\d(?:[- ]?\d){8}[- ]?[\dXx](?![\d-])")
_CREDIT_CODE = re.compile(r"(?<![0-9A-Za-z])[1-9A-HJ-NPQRTUWXY]{2}\d{6}[0-9A-HJ-NPQRTUWXY]{10}(?![0-9A-Za-z])")
_EAN = re.compile(r"(?<![\d.-])\d{13}(?![\d.-])")


def _holding(pattern: re.Pattern[str], check: Callable[[str], bool]) -> Callable[[str], Iterator[Span]]:
    def find(text: str) -> Iterator[Span]:
        return (one.span() for one in pattern.finditer(text) if check(one[0]))

    return find


def _personal(kind: str) -> Callable[[str], Iterator[Span]]:
    return lambda text: ((one.start, one.end) for one in pii.find(text, (kind,)))


def isbn(number: str) -> bool:
    """Whether an ISBN of 10 or 13 signs holds (ISO 2108)."""
    signs = number.replace("-", "").replace(" ", "").upper()
    if len(signs) == 13:
        return signs.isdigit() and signs[:3] in ("978", "979") and ean(signs)
    values = [10 if sign == "X" else int(sign) for sign in signs] if re.fullmatch(r"\d{9}[\dX]", signs) else []
    return bool(values) and sum(value * (10 - place) for place, value in enumerate(values)) % 11 == 0


def ean(number: str) -> bool:
    """Whether the last of 13 digits of an article number holds (GS1: weights 1 and 3)."""
    if not re.fullmatch(r"\d{13}", number) or not number.isascii():
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(number)) % 10 == 0


_CREDIT_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def credit_code(number: str) -> bool:
    """Whether a Chinese unified social credit code holds: its 18th sign (GB 32100: weights 3^i mod 31)."""
    if len(number) != 18 or any(sign not in _CREDIT_SIGNS for sign in number):
        return False
    total = sum(_CREDIT_SIGNS.index(sign) * pow(3, place, 31) for place, sign in enumerate(number[:17]))
    return _CREDIT_SIGNS[(31 - total % 31) % 31] == number[17]


FINDERS: dict[str, Callable[[str], Iterable[Span]]] = {
    **{kind: _holding(pattern, lambda found: True) for kind, pattern in _COMPILED.items()},
    **{kind: _personal(kind) for kind in pii.KINDS},
    "phone_zh": _holding(_PHONE_ZH, lambda found: True),
    "phone_en": _holding(_PHONE_EN, lambda found: 8 <= sum(map(str.isdigit, found)) <= 15),
    "isbn": _holding(_BOOK, isbn),
    "credit_code": _holding(_CREDIT_CODE, credit_code),
    "ean": _holding(_EAN, ean),
}
KINDS = tuple(sorted(FINDERS))
CHECKED = {
    "id_number": checksums.resident_identity, "bank_card": checksums.luhn, "iban": checksums.iban,
    "ssn": checksums.social_security, "isbn": isbn, "ean": ean, "credit_code": credit_code,
}  # fmt: skip


def find(text: str, kind: str) -> list[Span]:
    """Places of one kind, in order, none of which overlap. ValueError for a kind that is none."""
    if kind not in FINDERS:
        raise ValueError(f"no kind {kind!r}; there are {', '.join(KINDS)}")
    made: list[Span] = []
    for start, end in sorted(FINDERS[kind](text.translate(_NARROW))):
        if not made or start >= made[-1][1]:
            made.append((start, end))
    return made
