"""Questions in English and Chinese: what they ask for, and which sentence has their words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from burnish.text.normalise import normalise
from burnish.text.sentences import sentences
from burnish.text.words import words

# The kind of a question by the first word that asks, in English and Chinese; the longer ones first where one holds another.
ASKING = (
    ("how many", r"\bhow (?:many|much|long|old|far|often|big|large|high)\b|多少|几|多[长久大高远]"),
    ("why", r"\bwhy\b|为什么|为何|为啥|缘何|原因"),
    (
        "when",
        r"\bwhen\b|\b(?:what|which) (?:year|month|day|date|century|decade|time)\b|什么时候|何时|什么时间|哪一?[年月日天]",
    ),
    ("where", r"\bwhere\b|哪里|哪儿|何处|何地|什么地方|哪一?[个座]?(?:国家|城市|省|市|县|地方|地区)"),
    ("who", r"\bwho(?:m|se)?\b|谁|何人|什么人|哪位|哪一?[个名]人"),
    ("how", r"\bhow\b|怎么|怎样|如何|怎"),
    ("which", r"\bwhich\b|哪"),
    ("what", r"\bwhat\b|什么|啥|何"),
)
_ASKING = re.compile("|".join(f"(?P<k{i}>{pattern})" for i, (_, pattern) in enumerate(ASKING)), re.IGNORECASE)


def kind_of(question: str) -> str:
    """The kind of a question by the first word that asks, "other" without one; English and Chinese share the names."""
    found = _ASKING.search(question)
    return ASKING[int((found.lastgroup or "k0")[1:])][0] if found else "other"


def rarity(contexts: Sequence[str | None]) -> dict[str, float]:
    """How rare each word is among the distinct contexts: ln((n + 1) / (count + 1)), as inverse document frequency; 0 up."""
    distinct = {text for text in contexts if text}
    counts = Counter(word for text in distinct for word in set(words(normalise(text), han="both")))
    return {word: math.log((len(distinct) + 1) / (count + 1)) for word, count in counts.items()} | {
        "": math.log(len(distinct) + 1)
    }


def best_sentence(question: str, context: str, rare: Mapping[str, float]) -> tuple[int, int, float]:
    """Start and end of the sentence that shares most with the question, the first of equal ones, and how much, 0..1.

    rare: how rare words are, of `rarity`. The share is of the question's words, each as heavy as it is rare.
    """
    asked = set(words(normalise(question), han="both"))
    weight = {word: rare.get(word, rare[""]) for word in asked}
    total = sum(weight.values()) or 1.0
    best = (0, 0, 0.0)
    for start, end in sentences(context):
        held = asked & set(words(normalise(context[start:end]), han="both"))
        share = sum(weight[word] for word in held) / total
        if share > best[2] or best[1] == 0:
            best = (start, end, share)
    return best
