"""A labeller of what has a form of its own: phones, money, dates, identity numbers and cards that check themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from burnish.construct.forms import checks, votes_on
from burnish.construct.spans.words import Place, each, vote_on_places
from burnish.construct.voting import check_label, label_problems
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.stage import Context, Share, stage

Kind = Literal[
    "account", "address", "bank_card", "credit_code", "date", "ean", "email", "hashtag", "iban", "id_number", "ip", "isbn",
    "measure", "mention", "money", "name", "passport", "percent", "phone", "phone_en", "phone_zh", "plate", "secret", "ssn", "stock",
    "time", "title", "url", "version",
]  # fmt: skip


@stage("construct.patterns", check=checks(votes_on("spans"), label_problems))
def patterns(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    label: str,
    kind: Kind,
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Vote for every place of a kind that has a form of its own, English and Chinese.

    label: the label it votes for.
    kind: of personal data (phone, email, id_number by GB 11643, bank_card by Luhn, iban, ssn, plate, address, name where the text
        marks one …), of numbers that check themselves (isbn, ean, credit_code by GB 32100), or of form alone (date, time, money,
        percent, measure, url, title in 《》, hashtag, mention, version, stock); phone_zh and phone_en are hotlines too.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; the kind by default.
    """
    from burnish.text import patterned

    check_label(label, context, "construct.patterns: label")

    def find(text: str) -> Iterable[Place]:
        return ((start, end, label, 1.0) for start, end in patterned.find(text, kind))

    about = f"the form of {kind.replace('_', ' ')}" + (", checked" if kind in patterned.CHECKED else "")
    return vote_on_places(
        records, gold, Labeller(name or f"patterns:{kind}", "patterns", (label,), about, trust), each(find)
    )
