"""Checks of ethics: personal data, what a model may learn by heart, licences and consent."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from burnish.measures.licences import Terms, terms_of, together
from burnish.quality.checks import Found, Material, check
from burnish.quality.material import measured
from burnish.quality.traits import Block, told
from burnish.text.pii import Found as Place
from burnish.text.pii import find
from burnish.text.scripts import HAN_CLASS
from burnish.text.secrets import entropy

# How much of a person each kind gives away, 0..1: what opens an account or is one for life weighs most.
WEIGHTS = {
    "secret": 1.0, "id_number": 1.0, "ssn": 1.0, "passport": 1.0, "bank_card": 1.0, "iban": 0.9, "phone": 0.7, "email": 0.7,
    "address": 0.6, "account": 0.6, "plate": 0.6, "ip": 0.4, "name": 0.3,
}  # fmt: skip
MOST_SPANS = 50  # told for each record in the facts
MOST_RECORDS = 200  # records whose spans the facts hold, worst first
_TOKEN = re.compile(r"(?<![A-Za-z0-9_+/=-])[A-Za-z0-9_+/=-]{16,}(?![A-Za-z0-9_+/=-])")
RANDOM_BITS = 3.5  # bits a character from which a long token looks drawn: words joined by hyphens lie below
_HAN = re.compile(f"[{HAN_CLASS}]")
VERBATIM = ("secret", "id_number", "ssn", "passport", "bank_card", "iban", "phone", "email", "account")


def personal(block: Block) -> pa.Array:
    """Personal data of each record; names by lists where the dictionary is there, and those a model found (`people`)."""
    made = [[one._asdict() for one in of] or None for of in block.once(_places)]
    return pa.array(made, pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("kind", pa.string())])))


def strings(block: Block) -> pa.Array:
    """What of each record a model could give away word for word: exact values and long random tokens, sorted."""
    made = [sorted(_strings(text, of)) or None for text, of in zip(block.texts, block.once(_places), strict=True)]
    return pa.array(made, pa.list_(pa.string()))


def _places(block: Block) -> list[list[Place]]:
    names: Sequence[Sequence[str] | None] = block.column("people")
    likely_chinese = _has_dictionary()
    return [
        find(text, names=tuple(told or ()), likely=likely_chinese or not _HAN.search(text))
        for text, told in zip(block.texts, names, strict=True)
    ]


def _has_dictionary() -> bool:
    try:
        import rjieba  # noqa: F401
    except ImportError:
        return False
    return True


@check("pii", dimension="ethics", auto="report", reads=[personal, strings])
def pii(material: Material) -> Found:
    """Personal data: names, phones, e-mail, identity numbers, cards, passports, plates, addresses, accounts, IPs, secrets.

    Rules with checksums (resident identity numbers GB 11643, cards Luhn, IBAN modulo 97), marks, prefixes and entropy of
    secrets, lists of names; English and Chinese. Score: 1 - product of (1 - weight of each value), weights from 0.3 (a
    name) to 1 (a key, an identity number). Facts hold kind and position of what was found, never the value.
    """
    found = {row: [Place(**one) for one in of] for row, of in told(material.trait(personal))}
    score = np.zeros(len(material))
    kinds: Counter[str] = Counter()
    records: Counter[str] = Counter()
    for row, of in found.items():
        own = dict.fromkeys(one.kind for one in of)
        score[row] = 1 - np.prod([1 - WEIGHTS[kind] for kind in own])
        kinds.update(one.kind for one in of)
        records.update([*own])
    worst = [int(row) for row in np.argsort(-score, kind="stable")[:MOST_RECORDS] if score[row] > 0]
    facts = {
        "kinds": dict(kinds.most_common()),
        "records": dict(records.most_common()),
        "spans": {material.ids[row]: [[*place] for place in found[row][:MOST_SPANS]] for row in worst},
        "names": "by marks and lists" if _has_dictionary() else "Chinese names by marks alone: pip install burnish[chinese] for likely ones",
    }  # fmt: skip

    def reason(row: int) -> str:
        counts = Counter(one.kind.replace("_", " ") for one in found[row])
        return "personal data: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common())

    return Found(score, score > 0, reason, lambda row: "redact", facts)


@check("memorisation", dimension="ethics", auto="report", reads=[personal, strings])
def memorisation(material: Material) -> Found:
    """Records that a model may learn by heart and give away: rare secrets, and the same one again and again.

    Strings that count: personal values that are exact (numbers, keys, e-mail) and tokens of 16 characters or more with 3.5
    bits a character or more. What is repeated is learnt first: extraction grows with the logarithm of the repeats
    (Carlini et al. 2023). Score: 1 - 0.5 ^ (sum over its strings of 1 + log2(records that hold it) / 4). Planting canaries
    (quality.canaries) and evaluate.exposure measure what a tuned generator really kept (Carlini et al. 2019).
    """
    held = dict(told(material.trait(strings)))
    spread = Counter(one for of in held.values() for one in of)
    # a token that half of the records share is a template's, not a secret
    common = {one for one, count in spread.items() if count > max(20, len(material) // 10)}
    score, most = np.zeros(len(material)), np.zeros(len(material), dtype=int)
    for row, of in held.items():
        if left := [one for one in of if one not in common]:
            score[row] = 1 - 0.5 ** sum(1 + np.log2(spread[one]) / 4 for one in left)
            most[row] = max(spread[one] for one in left)
    flagged, named = score > 0, material.trait(personal).is_valid().to_numpy()
    repeated = {one: count for one, count in spread.items() if count > 1 and one not in common}
    facts = {
        "strings": len(spread) - len(common), "repeated": len(repeated), "most_repeats": max(repeated.values(), default=1),
        "left_out_as_common": len(common), "bits": round(float(np.mean([entropy(one) * len(one) for one in spread])), 1) if spread else 0.0,
    }  # fmt: skip

    def reason(row: int) -> str:
        count = len({*held[row]} - common)
        said = f"{count} string{'s' if count > 1 else ''} that a model could give away word for word"
        return f"{said}; one of them stands in {most[row]} records" if most[row] > 1 else said

    return Found(score, flagged, reason, lambda row: "redact" if named[row] else "review", facts)


def _strings(text: str, of: Sequence[Place]) -> set[str]:
    exact = {re.sub(r"[\s-]", "", text[one.start : one.end]).lower() for one in of if one.kind in VERBATIM}
    return exact | {one for one in _TOKEN.findall(text) if any(map(str.isdigit, one)) and entropy(one) >= RANDOM_BITS}


@check("licences", dimension="ethics", auto="report", reads=[measured])
def licences(material: Material) -> Found:
    """Licences and consent by source: missing, contradictory, forbidden for the purpose, not to be put together.

    A licence is read as its terms (commercial use, derivatives, share-alike; SPDX names and the usual ways of writing
    them). Against `purpose` (commercial or research) terms that forbid it are findings to drop. Equal texts under licences
    with other terms contradict each other, as do several licences in one source. Consent: `meta.consent` or
    `meta.opt_out`; withdrawn is a finding to drop. Score: 1 forbidden or withdrawn, 0.6 contradictory, 0.4 missing.
    """
    given, sources = material.column("licence"), [one or "(unnamed)" for one in material.column("source")]
    meta = [json.loads(one) if one else {} for one in material.column("meta")]
    known = {one: terms_of(one) for one in {*given}}
    purpose = material.told.purpose
    asked = purpose is not None or len(known) > 1  # whether a licence that nobody knows is worth a word
    score, why = np.zeros(len(material)), {}
    by_source: dict[str, Counter[str]] = defaultdict(Counter)
    for row, licence in enumerate(given):
        by_source[sources[row]][licence or "(none)"] += 1

    def note(row: int, value: float, said: str) -> None:
        if value > score[row]:
            score[row], why[row] = value, said

    for row, licence in enumerate(given):
        terms = known[licence]
        if withdrawn := _withdrawn(meta[row]):
            note(row, 1.0, f"consent is not given: {withdrawn}")
        if terms.forbidden or (purpose == "commercial" and terms.commercial is False):
            note(row, 1.0, f"licence {licence} forbids {'reuse' if terms.forbidden else 'commercial use'}")
        elif terms.derivatives is False:
            note(row, 0.7, f"licence {licence} forbids derived works, and a model or an edited data set may be one")
        if asked and not terms.known:
            none = f"source {sources[row]} has no licence"
            note(
                row, 0.4, none if licence is None else f"source {sources[row]} has a licence nobody knows, {licence!r}"
            )
    for source, counts in by_source.items():
        if len({terms_of(None if one == "(none)" else one) for one in counts}) > 1:
            said = " and ".join(sorted(counts))
            for row in (at for at, one in enumerate(sources) if one == source):
                note(row, 0.3, f"source {source} is under several licences: {said}")
    for group in _copies(material):
        if len({known[given[row]] for row in group}) > 1:
            for row in group:
                note(
                    row,
                    0.6,
                    "the same text stands under licences with other terms: "
                    + " and ".join(sorted({given[one] or "none" for one in group})),
                )
    facts = {
        "purpose": purpose,
        "sources": {name: dict(counts.most_common()) for name, counts in by_source.items()},
        "terms": {name or "(none)": terms.plain() for name, terms in known.items()},
        "notes": together([terms for name, terms in known.items() if name], purpose),
        "consent": dict(Counter("withdrawn" if _withdrawn(one) else "given" if "consent" in one else "not said" for one in meta)),
    }  # fmt: skip
    return Found(score, score > 0, lambda row: why[row], lambda row: "drop" if score[row] >= 1 else "review", facts)


def _withdrawn(meta: dict[str, object]) -> str:
    """What says that a person did not agree."""
    no = (False, 0, "false", "no", "0", "withdrawn", "refused", "none", "否", "不同意", "撤回")
    consent, out = meta.get("consent", True), meta.get("opt_out", False)
    said = consent.strip().lower() if isinstance(consent, str) else consent
    if said in no and said is not None:
        return f"meta.consent is {consent}"
    return f"meta.opt_out is {out}" if str(out).lower() in ("true", "1", "yes", "是") else ""


def _copies(material: Material) -> list[list[int]]:
    """Rows of equal texts, of groups with more than one."""
    groups: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(material.same.label):
        groups[int(group)].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


__all__ = ["Terms", "licences", "memorisation", "pii"]
