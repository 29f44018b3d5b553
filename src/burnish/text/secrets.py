"""Secrets: keys, tokens and passwords, by the form their makers give them and by how random what is assigned looks.

Prefixes are those that the makers document. A value without one counts where a name such as "api_key" or "password" stands
before it and its characters are spread as in a random string: Shannon entropy of 3.0 bits a character and more (hexadecimal
2.5), which words and placeholders do not reach (truffleHog, 2017).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

Stretch = tuple[int, int]
BITS, HEX_BITS = 3.0, 2.5

_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    + "|".join(
        (
            r"(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z2-7]{16}",  # Amazon
            r"gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{60,255}",  # GitHub
            r"glpat-[\w-]{20,}",  # GitLab
            r"xox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
            r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
            r"sk-(?:ant-|proj-|or-v1-)?[A-Za-z0-9_-]{20,}",  # model providers
            r"AIza[\w-]{35}",  # Google
            r"ya29\.[\w-]{20,}",
            r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
            r"npm_[A-Za-z0-9]{36}",
            r"pypi-[\w-]{50,}",
            r"SG\.[\w-]{16,32}\.[\w-]{16,64}",  # SendGrid
            r"LTAI[A-Za-z0-9]{12,20}",  # Alibaba Cloud
            r"AKID[A-Za-z0-9]{13,40}",  # Tencent Cloud
            r"\d{8,10}:AA[\w-]{33}",  # Telegram
            r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",  # JSON web token
        )
    )
    + r")(?![A-Za-z0-9_-])"
)
_PRIVATE = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END (?P=kind)-----|\Z)", re.DOTALL
)
_IN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:(?P<value>[^\s/@]{3,})@")
_ASSIGNED = re.compile(
    r"(?i:(?:api|access|secret|private|auth|client|encryption|signing)[ _-]?(?:key|token|secret)s?|\btoken|\bsecret|\bpass(?:word|wd|code|phrase)?"
    r"|\bpwd|\bbearer|密码|口令|密钥|令牌)(?:\s*(?:is|was|为|是))?\s*[\"'“]?\s*(?:[:=：]|\bis\b|为|是|\s)\s*[\"'“]?(?P<value>[^\s\"'“”,;，；。<>]{8,200})"
)
_HEX = re.compile(r"[0-9a-fA-F]+")
_EMPTY = re.compile(r"(?i:x{4,}|\*{3,}|\.{3,}|<|\$\{|\{\{|your|example|changeme|placeholder|redacted)")


def entropy(text: str) -> float:
    """Shannon entropy of its characters, bits a character; 0 of nothing."""
    counts, size = Counter(text), len(text)
    return -sum(count / size * math.log2(count / size) for count in counts.values()) if size else 0.0


def secrets(text: str) -> Iterator[Stretch]:
    """Stretches that are secrets, in no order; they may overlap."""
    for pattern in (_PRIVATE, _PREFIXED):
        yield from (one.span() for one in pattern.finditer(text))
    yield from (one.span("value") for one in _IN_ADDRESS.finditer(text))
    for one in _ASSIGNED.finditer(text):
        if random_looking(one["value"]):
            yield one.span("value")


def random_looking(value: str) -> bool:
    """Whether a value looks drawn and not written: mixed kinds of signs, and entropy as above."""
    if _EMPTY.search(value) or not value.isascii():
        return False
    mixed = sum((any(map(str.isdigit, value)), any(map(str.islower, value)), any(map(str.isupper, value)),
                 any(not sign.isalnum() for sign in value)))  # fmt: skip
    bits = HEX_BITS if _HEX.fullmatch(value) else BITS
    return (mixed >= 2 and any(map(str.isdigit, value)) and entropy(value) >= bits) or (
        mixed >= 3 and entropy(value) >= bits
    )
