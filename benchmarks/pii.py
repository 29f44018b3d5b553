"""Personal data found, and how fast: burnish beside Presidio (spaCy) and argus-redact, in one run on the same texts.

    python benchmarks/pii.py --data ../shared/data --spacy FOLDER_OF_EN_CORE_WEB_SM

English: presidio-pii-en (synthetic sentences with marked values), split by template: the half with even numbers was looked
at while the rules were written, the other half is reported. Chinese: values planted in messages of CrossWOZ (chats.py).
recall: values of which every letter and figure is found. precision: found stretches that touch a marked value; those that
touch a value of a kind nobody here looks for (a city, a firm, a date) count neither way. Both Presidio's own model of
language (en_core_web_sm 3.8, `--spacy`) and its patterns alone (a blank model) are run. CPU seconds of this process, one
thread. Writes results/pii.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chats import argus, chinese, english

from burnish.text.people import lists
from burnish.text.pii import find

Stretch = tuple[int, int]
Texts = Sequence[tuple[str, list[tuple[int, int, str]]]]
Finder = Callable[[str], list[Stretch]]
RESULTS = Path(__file__).parent / "results"
PRESIDIO = ["PERSON", "LOCATION", "CREDIT_CARD", "PHONE_NUMBER", "EMAIL_ADDRESS", "IBAN_CODE", "US_SSN", "IP_ADDRESS"]


def burnish(*, likely: bool) -> Finder:
    lists()
    return lambda text: [(one.start, one.end) for one in find(text, likely=likely)]


def presidio(folder: str | None, *, places: bool) -> Finder:
    """Its analyzer with the kinds of the test. folder: a model of spaCy; None leaves patterns alone."""
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    nlp = spacy.load(folder) if folder else spacy.blank("en")

    class Given(SpacyNlpEngine):
        def __init__(self) -> None:
            super().__init__(ner_model_configuration=NerModelConfiguration(labels_to_ignore=["CARDINAL", "ORDINAL"]))
            self.nlp = {"en": nlp}

    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    engine = AnalyzerEngine(nlp_engine=Given(), registry=registry, supported_languages=["en"])
    kinds = PRESIDIO if places else [one for one in PRESIDIO if one != "LOCATION"]

    def finder(text: str) -> list[Stretch]:
        return [(one.start, one.end) for one in engine.analyze(text, language="en", entities=kinds)]

    return finder


def score(texts: Texts, finder: Finder, *, but: Sequence[str] = ()) -> dict[str, Any]:
    """Recall by kind, precision, F1 and texts a CPU-second. but: kinds that count neither way."""
    for text, _ in texts[:20]:
        finder(text)
    began = time.process_time()
    every = [finder(text) for text, _ in texts]
    seconds = time.process_time() - began
    hits: dict[str, list[bool]] = {}
    right = wrong = 0
    for (text, spans), found in zip(texts, every, strict=True):
        covered = {at for start, end in found for at in range(start, end)}
        for start, end, kind in spans:
            if kind != "-" and kind not in but:
                hits.setdefault(kind, []).append(all(at in covered for at in range(start, end) if text[at].isalnum()))
        personal = {at for start, end, kind in spans if kind != "-" and kind not in but for at in range(start, end)}
        other = {at for start, end, kind in spans if kind == "-" or kind in but for at in range(start, end)}
        for start, end in found:
            stretch = set(range(start, end))
            right += bool(stretch & personal)
            wrong += not stretch & (personal | other)
    values = [one for of in hits.values() for one in of]
    recall, precision = sum(values) / len(values), right / max(right + wrong, 1)
    return {
        "texts": len(texts), "values": len(values), "precision": round(precision, 3), "recall": round(recall, 3),
        "f1": round(2 * precision * recall / max(precision + recall, 1e-9), 3),
        "recall_by_kind": {kind: round(sum(of) / len(of), 3) for kind, of in sorted(hits.items())},
        "records_per_cpu_s": round(len(texts) / max(seconds, 1e-9), 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--spacy", help="folder of en_core_web_sm 3.8")
    parser.add_argument("--limit", type=int, default=None)
    asked = parser.parse_args()
    report, looked_at = english(asked.data, 1)[: asked.limit], english(asked.data, 0)
    made, clean = chinese(asked.data, 2000, seed=7)
    rows: dict[str, Any] = {}
    systems: dict[str, Finder] = {
        "burnish, likely names": burnish(likely=True),
        "burnish, marked names": burnish(likely=False),
    }
    if asked.spacy:
        systems |= {
            "presidio, spaCy": presidio(asked.spacy, places=True),
            "presidio, spaCy, without LOCATION": presidio(asked.spacy, places=False),
        }
    systems["presidio, patterns alone"] = presidio(None, places=False)
    peer = argus(["en", "zh"])
    for name, finder in systems.items():
        rows[name] = {
            "english": score(report, finder),
            "english, addresses aside": score(report, finder, but=("address",)),
        }
        print(name, json.dumps(rows[name]), flush=True)
    rows["burnish, likely names"]["english, templates looked at"] = score(looked_at, systems["burnish, likely names"])
    for name in ("burnish, likely names", "burnish, marked names"):
        rows[name]["chinese"] = score(made, systems[name])
        rows[name]["hits_in_100_clean_chinese"] = round(
            100 * sum(len(systems[name](text)) for text in clean) / len(clean), 2
        )
    if peer:
        chinese_peer = argus("zh")
        assert chinese_peer is not None
        rows["argus-redact"] = {
            "english": score(report, peer), "english, addresses aside": score(report, peer, but=("address",)), "chinese": score(made, chinese_peer),
            "hits_in_100_clean_chinese": round(100 * sum(len(chinese_peer(text)) for text in clean) / len(clean), 2),
        }  # fmt: skip
    told = {"command": "python benchmarks/pii.py --spacy FOLDER", "python": platform.python_version(), "systems": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "pii.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / "pii.md").write_text(table(rows))
    print(table(rows))


def table(rows: dict[str, Any]) -> str:
    lines = ["# Personal data", "", "`python benchmarks/pii.py --spacy FOLDER`; what is counted stands at its head.", "",
             "| | set | precision | recall | F1 | records/CPU-s | recall by kind |", "|---|---|--:|--:|--:|--:|---|"]  # fmt: skip
    for name, sets in rows.items():
        for which, one in sets.items():
            if isinstance(one, dict):
                kinds = ", ".join(f"{kind} {value}" for kind, value in one["recall_by_kind"].items())
                lines.append(
                    f"| {name} | {which} ({one['texts']:,}) | {one['precision']} | {one['recall']} | {one['f1']} | {one['records_per_cpu_s']:,} | {kinds} |"
                )
            else:
                lines.append(f"| {name} | {which.replace('_', ' ')}: {one} | | | | | |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
