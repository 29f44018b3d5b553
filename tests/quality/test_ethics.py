"""The checks of ethics: what they find, what they leave alone, and that no value of a person gets into a report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record
from burnish.core.stage import Context
from burnish.measures.licences import terms_of, together
from burnish.quality.audit import audit
from burnish.text.obfuscation import Hidden

from .conftest import reviews

Findings = Callable[[Records, str], dict[str, dict[str, Any]]]


def looked(rows: list[Record], context: Context, *checks: str, **told: Any) -> Records:
    return audit(Records.from_rows(rows), context, checks=list(checks), effect="none", **told)


def test_personal_data_is_found_told_by_place_and_never_repeated(context: Context, findings: Findings) -> None:
    rows = [
        *reviews(60),
        Record(text="我叫王小明，电话13812345678。", id="zh"),
        Record(text="key AKIAIOSFODNN7EXAMPLE, ask Maria Lopez", id="en"),
    ]
    made = looked(rows, context, "pii")
    found = findings(made, "pii")
    assert found.keys() == {"zh", "en"}
    assert found["zh"]["reason"] == "personal data: 1 name, 1 phone" and found["zh"]["action"] == "redact"
    assert found["en"]["score"] > 0.99 > found["zh"]["score"] > 0.5
    facts = made.facts["audit"]["checks"]["pii"]["facts"]
    assert facts["spans"]["zh"] == [[2, 5, "name"], [8, 19, "phone"]]
    assert "13812345678" not in json.dumps(made.facts) and "Lopez" not in json.dumps(made.facts)


def test_what_is_repeated_and_random_may_be_learnt_by_heart(context: Context, findings: Findings) -> None:
    secret = "mail anna.k@posteo.de with 9f8aK2mQ7xLpW4zT"
    rows = [
        *reviews(80),
        *(Record(text=f"{secret} no {at}", id=f"s{at}") for at in range(6)),
        Record(text="once: 4111 1111 1111 1111", id="o"),
    ]
    made = looked(rows, context, "memorisation")
    found = findings(made, "memorisation")
    assert found.keys() == {"o", *(f"s{at}" for at in range(6))}
    assert found["s0"]["score"] > found["o"]["score"] and "stands in 6 records" in found["s0"]["reason"]


def test_licences_are_judged_by_source_and_purpose(context: Context, findings: Findings) -> None:
    rows = [
        Record(text="one fine text", id="nc", source="a", licence="CC BY-NC 4.0"),
        Record(text="two fine texts", id="by", source="b", licence="CC-BY-4.0"),
        Record(text="three fine texts", id="none", source="c"),
        Record(text="the same text", id="x", source="d", licence="MIT"),
        Record(text="the same text", id="y", source="e", licence="CC BY-SA 3.0"),
        Record(text="four fine texts", id="no", source="b", licence="CC-BY-4.0", meta={"consent": False}),
    ]
    found = findings(looked(rows, context, "licences", purpose="commercial"), "licences")
    assert found["nc"]["action"] == "drop" and "forbids commercial use" in found["nc"]["reason"]
    assert found["no"]["action"] == "drop" and "consent" in found["no"]["reason"]
    assert "by" not in found and found["none"]["action"] == "review"
    assert "other terms" in found["x"]["reason"] and "other terms" in found["y"]["reason"]
    assert "nc" not in findings(looked(rows, context, "licences", purpose="research"), "licences")


@pytest.mark.parametrize(
    ("name", "commercial", "share_alike"),
    [("CC BY-NC-SA 3.0", False, True), ("cc-by-sa-4.0", True, True), ("Apache-2.0", True, False), ("CC0-1.0", True, False),
     ("知识共享署名-非商业性使用-相同方式共享 4.0", False, True), ("GPL-3.0", True, True), ("academic use only", False, None)],
)  # fmt: skip
def test_terms_of_a_licence(name: str, commercial: bool, share_alike: bool | None) -> None:
    terms = terms_of(name)
    assert terms.known and (terms.commercial, terms.share_alike) == (commercial, share_alike)


def test_licences_that_cannot_be_put_together() -> None:
    assert any("cannot be shared" in one for one in together([terms_of("CC BY-SA 4.0"), terms_of("GPL-3.0")], None))
    assert not any("cannot" in one for one in together([terms_of("CC BY-SA 4.0"), terms_of("MIT")], None))


@pytest.mark.parametrize("text", ["what an idiot", "IDIOT!", "i d i o t", "1d10t", "i.d.i.o.t.", "idiiiiot", "ｉｄｉｏｔ", "id\u200biot", "ídiot", "你这个笨蛋", "笨*蛋", "笨 蛋"])  # fmt: skip
def test_listed_words_are_found_in_disguise(text: str) -> None:
    (found,) = Hidden(["idiot", "笨蛋"]).find(text)
    assert text[found.start : found.end]


@pytest.mark.parametrize("text", ["idiotic", "a studio 1 d", "it is hit and miss", "笨 鸡蛋", "pass the class"])
def test_words_that_only_look_like_listed_ones_stay(text: str) -> None:
    assert Hidden(["idiot", "shit", "ass", "笨蛋"]).find(text) == []


def test_toxicity_wants_a_judge_and_learns_from_a_labelled_file(
    context: Context, bag_of_words: None, findings: Findings
) -> None:
    rows = reviews(40)
    skipped = looked(rows, context, "toxicity").facts["audit"]["checks"]["toxicity"]
    assert "nobody to judge it" in skipped["skipped"]
    file = context.base / "labelled.jsonl"
    lines = [
        {"text": one.text, "label": "offensive" if one.label == "negative" else "fine"} for one in reviews(200, seed=3)
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    (context.base / "words.txt").write_text("# ours\nrotten\n")
    made = looked(rows, context, "toxicity", toxicity=file, toxic_words=context.base / "words.txt")
    found, facts = findings(made, "toxicity"), made.facts["audit"]["checks"]["toxicity"]["facts"]
    bad = {one.id for one in rows if one.label == "negative"}
    assert (
        facts["accuracy"] > 0.8
        and len(found.keys() & bad) / len(found) > 0.8
        and len(found.keys() & bad) / len(bad) > 0.8
    )
    assert any("1 listed word" in one["reason"] for one in found.values())
    with pytest.raises(BurnishError, match=r"which of .* is toxic"):
        file.write_text("\n".join(json.dumps({"text": one.text, "label": one.label}) for one in reviews(50)))
        looked(rows, context, "toxicity", toxicity=file)


def test_a_label_that_goes_with_a_group_is_found(context: Context, findings: Findings) -> None:
    draw = np.random.default_rng(0)
    rows = []
    for at in range(400):
        woman, good = bool(draw.integers(2)), bool(draw.random() < 0.5)
        if woman and at % 2:
            good = False
        who = ("她" if at % 4 == 0 else "she") if woman else ("他" if at % 4 == 0 else "he")
        rows.append(
            Record(
                text=f"{who} {'与其他人' if at % 8 == 0 else 'said'} {at}",
                id=f"r{at}",
                label="positive" if good else "negative",
            )
        )
    made = looked(rows, context, "groups")
    facts = made.facts["audit"]["checks"]["groups"]["facts"]
    women = next(one for one in facts["groups"] if one["group"] == "women")
    told = women["labels"]["negative"]
    assert women["records"] == sum("she" in (one.text or "") or "她" in (one.text or "") for one in rows)
    assert told["low"] < told["value"] < told["high"] and told["p_adjusted"] < 0.01
    assert told["value"] - told["rest_value"] > 0.1 and facts["balance"]["texts"] == 400
    flagged = findings(made, "groups")
    assert flagged and {one["action"] for one in flagged.values()} == {"reweigh"}
    labels = {record.id: record.label for record in rows}
    assert all("women" in one["reason"] for name, one in flagged.items() if labels[name] == "negative")


def test_groups_of_your_own_and_a_broken_file(context: Context) -> None:
    file = context.base / "groups.tsv"
    file.write_text("job\tnurses\tnurse|护士\njob\tsmiths\tsmith\n")
    rows = [Record(text=f"the nurse {at}" if at % 3 else f"护士 {at}", id=f"n{at}") for at in range(50)]
    facts = looked(rows, context, "groups", groups=file).facts["audit"]["checks"]["groups"]["facts"]
    assert [one["records"] for one in facts["groups"]] == [50, 0] and "smiths: 0 records" in facts["notes"][0]
    file.write_text("job nurses nurse\n")
    with pytest.raises(BurnishError, match=r"groups\.tsv:1"):
        looked(rows, context, "groups", groups=Path(file))
