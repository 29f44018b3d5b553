"""The data card and the Croissant metadata of a run: what they say, what they never make up, that others can read them."""

import hashlib
import json

import pytest

from burnish import construct_chapter, data_card
from burnish.core.artifacts import Records, write_json
from burnish.core.records import Record

CHECK = {"dimension": "noise", "count": 3, "share": 0.3, "actions": {"drop": 3}, "skipped": "", "facts": {}}
EFFECT = {"figure": "accuracy", "accuracy": {"value": 0.021, "low": 0.004, "high": 0.038}}
REPORT = {
    "verdict": "Usable.", "said": {"en": {"verdict": "Usable.", "grounds": ["Some labels are wrong."]}, "zh": {"verdict": "可用。", "grounds": ["有些标签有误。"]}},
    "checks": {"label_errors": {**CHECK, "effect": EFFECT}, "empty": {**CHECK, "count": 0, "effect": None}}, "set_aside": {"label_errors": 3},
}  # fmt: skip
LABELLERS = {"method": "majority", "why": "it is best | on gold", "coverage": 0.9, "gold": 8, "labellers": [{"name": "keywords:<b>", "kind": "keywords", "votes": 7, "accuracy": 0.9, "interval": [0.8, 1.0]}]}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A run of ten records, split in two sides, a licence of SPDX's and one that is not."""

    def make(*languages):
        folder = tmp_path / "runs" / "wares"
        for side, count in (("train", 8), ("test", 2)):
            rows = [Record(text=f"text {at}", id=f"{side}{at}", label="good", source="shop|1", licence="CC-BY-4.0" if at % 2 else "own terms", meta={"a": 1}) for at in range(count)]  # fmt: skip
            (folder / "split" / side).mkdir(parents=True, exist_ok=True)
            Records.from_rows(rows).save(folder / "split" / side)
            (folder / "split" / side / "records.parquet").rename(folder / "split" / f"{side}.parquet")
        task = {"type": "classification", "labels": ["good"], "descriptions": {"good": "<i>fine</i>"}, "languages": list(languages)}  # fmt: skip
        (folder / "quality").mkdir()
        (folder / "construct").mkdir()
        write_json(folder / "run.json", {"name": "wares", "id": "r1", "burnish": "0.1", "started": 1.7e9, "status": "done", "task": task, "steps": []})  # fmt: skip
        write_json(folder / "quality" / "report.json", REPORT)
        write_json(folder / "construct" / "labellers.json", LABELLERS)
        return folder

    return make


def test_it_says_sources_licences_labellers_findings_splits_and_what_nobody_looked_for(run):
    card = data_card.write(run("en")).read_text("utf-8")
    for said in (
        "## What it is for", "## Sources and licences", "| shop\\|1 | 10 |", "| CC-BY-4.0 | 5 |", "| own terms | 5 |",
        "| keywords:&lt;b> | keywords | 7 | 0.900 (0.80–1.00) |", "No certificate", "Usable.", "+2.10 points (+0.40 to +3.80)",
        "| train | 8 |", "| test | 2 |", "Nobody has looked for personal data", "Some labels are wrong.", "it is best \\| on gold",
    ):  # fmt: skip
        assert said in card, said
    assert "<b>" not in card and "<i>" not in card and "Empty texts" not in card


def test_it_speaks_chinese_where_the_task_does(run):
    folder = run("zh", "en")
    write_json(
        folder / "construct" / "labellers.json", {**LABELLERS, "why": "no gold records, and the others are refused"}
    )
    card = data_card.write(folder).read_text("utf-8")
    assert "没有金标记录，其他方式不适用" in card and "语言：中文, 英语" in card
    assert (
        "and the others are refused"
        in json.loads((folder / "quality" / "croissant.json").read_text("utf-8"))["rai:dataAnnotationProtocol"]
    )
    assert "## 来源与许可" in card and "可用。" in card and "+2.10 个百分点" in card and "## Sources" not in card


def test_what_was_looked_for_is_counted_in_place_of_the_warning(run):
    folder = run("en")
    looked = {**REPORT, "checks": {**REPORT["checks"], "pii": {**CHECK, "dimension": "ethics", "effect": None}}}
    write_json(folder / "quality" / "report.json", looked)
    card = data_card.write(folder).read_text("utf-8")
    assert "Personal data: 3 records (30.0%)." in card and "Nobody has looked" not in card and "Not looked for:" in card


def test_a_run_without_records_has_no_card(tmp_path):
    write_json(tmp_path / "run.json", {"name": "x", "started": 0.0})
    assert data_card.write(tmp_path) is None


def test_croissant_names_files_by_their_content_and_fields_by_their_type(run):
    folder = run("en")
    data_card.write(folder)
    told = json.loads((folder / "quality" / "croissant.json").read_text("utf-8"))
    assert told["conformsTo"][0] == "http://mlcommons.org/croissant/1.0" and told["@type"] == "sc:Dataset"
    files = {one["name"]: one for one in told["distribution"]}
    for name, one in files.items():
        path = folder / "split" / name
        assert one["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (folder / "quality" / one["contentUrl"]).resolve() == path.resolve()
    train = next(one for one in told["recordSet"] if one["name"] == "train")
    fields = {one["name"]: one["dataType"] for one in train["field"]}
    assert (
        fields["text"] == "sc:Text" and fields["label"] == "sc:Text" and "spans" not in fields and "value" not in fields
    )
    assert "https://spdx.org/licenses/CC-BY-4.0.html" in told["license"] and "own terms" in told["license"]
    assert "keywords" in told["rai:dataAnnotationProtocol"] and told["rai:personalSensitiveInformation"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib inside their library
def test_croissant_is_valid_and_its_records_can_be_read_by_the_reference_library(run):
    croissant = pytest.importorskip("mlcroissant", reason="pip install mlcroissant: the reference reader of Croissant")
    folder = run("en")
    data_card.write(folder)
    dataset = croissant.Dataset(jsonld=str(folder / "quality" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    rows = list(dataset.records(record_set="test"))
    assert {row["test/id"] for row in rows} == {b"test0", b"test1"}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {"method": "by label", "by_label": [{"label": "wet", "method": "majority", "said": 4, "coverage": 0.5, "methods": [{"method": "majority", "accuracy": 0.75, "interval": [0.5, 0.9]}]}], "labellers": [{"name": "a → wet", "votes": 4}]},
            ["Label by label", "wet", "75.0% (50.0%–\u206090.0%)"],
        ),
        (
            {"method": "by fork", "forks": [{"fork": "(top)", "children": ["animal", "plant"], "method": "weighted", "why": "gold says so", "methods": []}], "labellers": [{"name": "a at (top)", "votes": 4}]},
            ["Fork by fork", "animal, plant", "gold says so"],
        ),
        (
            {"method": "hmm", "figure": "entity F1", "silence": {"belief": None, "why": "few gold records"}, "labels": {"PER": 7}, "methods": [{"method": "hmm", "accuracy": 0.8, "interval": [0.7, 0.9]}], "labellers": [{"name": "d", "votes": 7}]},
            ["entity F1 on covered gold", "Mentions by constructed label", "hmm (chosen)"],
        ),
        (
            {"method": "majority", "pairs": 12, "labels": {"born_in": 5}, "collapse": "only no_relation", "labellers": [{"name": "d", "votes": 5}]},
            ["pairs voted on", "Pairs by constructed label", "only no_relation"],
        ),
        (
            {"method": "agreement", "methods": [{"method": "agreement", "accuracy": 0.6, "f1": 0.6}], "labellers": [{"name": "patterns", "votes": 5}]},
            ["F1 of the answer on covered gold"],
        ),
        (
            {"makers": [{"maker": "construct.headings", "seen": 90, "material": 40, "made": 55, "refused": {"too short <b>": 6}}]},
            ["Records that were made", "construct.headings", "too short &lt;b&gt;", "55"],
        ),
        ({"filters": [{"filter": "pair_filter", "refused": {"copied": 3}, "seen": 20}]}, ["What filters set aside", "copied 3"]),
        (
            {"teacher": [{"teacher": "qwen", "questions": 30, "failures": 2, "asked_again": 1, "tokens_in": 900, "tokens_out": 300, "cost": 0.012, "reasons": {"no JSON": 2}}]},
            ["Teachers", "qwen", "28", "0.012", "no JSON"],
        ),
    ],
)  # fmt: skip
def test_the_chapter_tells_how_every_form_of_target_came_about(facts, said):
    body = construct_chapter.labelled(facts).body
    for one in said:
        assert one in body, one


def test_what_makers_and_teachers_wrote_is_gathered_from_the_steps_of_the_room(tmp_path):
    first = {"maker": "construct.leads", "seen": 9, "material": 9, "made": 9, "refused": {}}
    asked = {"teacher": "m", "questions": 5, "failures": 0, "cost": 0.5, "reasons": {}}
    write_json(tmp_path / "leads.json", {"makers": [first]})
    write_json(tmp_path / "preferences.json", {"makers": [first, {**first, "maker": "construct.preferences"}], "preferences": {"teacher": asked}})  # fmt: skip
    body = construct_chapter.labelled({}, tmp_path).body
    assert body.count("construct.leads") == 1 and "construct.preferences" in body and "Teachers" in body
