"""What is exported is loaded by the libraries it is for, by their own code, and says the same there."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from burnish.core.artifacts import Records
from burnish.core.records import Record
from burnish.formats.base import FORMATS, Told

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How much is it?"},
    {"role": "assistant", "content": "3 euros."},
    {"role": "user", "content": "便宜点？"},
    {"role": "assistant", "content": "不行。"},
]
CHATS = [
    Record(id="a", messages=TALK, meta={"rejected": "好吧。"}),
    Record(id="b", messages=TALK[1:3], meta={"rejected": "Guess!"}, licence="MIT"),
]
WRITTEN = [Record(id="w", text="Translate: rain", output="雨", meta={"rejected": "雪"})]
TAGGED = [
    Record(id="t1", text="Ada Lovelace met Babbage in London .", language="en", label="history",
           spans=[{"start": 0, "end": 12, "label": "PER"}, {"start": 17, "end": 24, "label": "PER"}, {"start": 28, "end": 34, "label": "LOC"}]),
    Record(id="t2", text="张三在北京大学读书", language="zh", label="school",
           spans=[{"start": 0, "end": 2, "label": "PER"}, {"start": 3, "end": 7, "label": "ORG"}]),
]  # fmt: skip


def written(form: Any, records: list[Record], out: Path) -> Told:
    [part] = FORMATS.open(form)
    told = Told()
    part.write(Records.from_rows(records), out, told)
    return told


def test_datasets_loads_a_folder_and_its_card(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    told = Told(facts={"name": "towns", "pipeline": "token-classification", "steps": ["`sources.jsonl`: 2 records"]})
    folder = tmp_path / "towns"
    [part] = FORMATS.open("huggingface")
    sides = {"train": Records.from_rows([*TAGGED, *CHATS]), "test": Records.from_rows(TAGGED[:1])}
    part.write_sides(sides, folder, told)
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {name: len(side) for name, side in loaded.items()} == {"train": 4, "test": 1}
    assert loaded["train"]["id"][:2] == ["t1", "t2"]
    assert loaded["train"][1]["spans"][1] == {"start": 3, "end": 7, "label": "ORG"}
    assert loaded["train"][2]["messages"] == TALK
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard.load(folder / "README.md")
    assert card.data.language == ["en", "zh"] and card.data.task_categories == ["token-classification"]
    assert "sources.jsonl" in card.text and "| train | 4 |" in card.text
    info = datasets.load_dataset_builder(str(folder), cache_dir=str(tmp_path / "cache")).info
    assert info.splits["train"].num_examples == 4 and set(info.features) == set(loaded["train"].features)


@pytest.mark.parametrize("form", ["alpaca", "sharegpt", "openai", "prompt_completion", "dpo", "kto", "jsonl"])
def test_datasets_loads_every_json(form: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    out = tmp_path / f"x{FORMATS.parts()[form].suffix}"
    told = written(form, CHATS, out)
    loaded = datasets.load_dataset("json", data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["id"][0] == "a" and len(loaded) == told.records * (2 if form == "kto" else 1)


def test_trl_takes_pairs_verdicts_and_conversations(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl.data_utils")
    for records, conversational in ((CHATS, True), (WRITTEN, False)):
        for form in ("dpo", "kto", "prompt_completion"):
            written(form, records, tmp_path / "x.jsonl")
            rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text("utf-8").splitlines()]
            assert all(trl.is_conversational(row) is conversational for row in rows)
            if form == "kto":
                assert [row["label"] for row in rows] == [True, False] * len(records)
            else:
                assert trl.maybe_extract_prompt(rows[0]) == rows[0]  # the prompt is said already
    written("openai", CHATS, tmp_path / "x.jsonl")
    row = json.loads((tmp_path / "x.jsonl").read_text("utf-8").splitlines()[0])
    assert trl.is_conversational(row) and row["messages"] == TALK


@pytest.fixture
def llama_factory(monkeypatch: pytest.MonkeyPatch) -> Any:
    """LLaMA-Factory's own converter and parser of dataset_info.json; its other imports (training) stay outside."""
    spec = __import__("importlib.util", fromlist=["find_spec"]).find_spec("llamafactory")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("LLaMA-Factory is not installed")
    root = Path(next(iter(spec.submodule_search_locations)))
    logging = types.SimpleNamespace(
        get_logger=lambda name: types.SimpleNamespace(warning_rank0=_fail, warning_rank0_once=_fail)
    )
    roles = {name.upper(): types.SimpleNamespace(value=name) for name in ("user", "assistant", "system", "observation")}
    shells: dict[str, dict[str, Any]] = {
        "llamafactory": {"__path__": [str(root)]},
        "llamafactory.extras": {"logging": logging, "__path__": []},
        "llamafactory.extras.constants": {"DATA_CONFIG": "dataset_info.json"},
        "llamafactory.extras.misc": {"use_modelscope": lambda: False, "use_openmind": lambda: False},
        "llamafactory.data": {"__path__": [str(root / "data")]},
        "llamafactory.data.data_utils": {
            "Role": types.SimpleNamespace(**roles, FUNCTION=types.SimpleNamespace(value="function"))
        },
    }
    for name, inside in shells.items():
        module = types.ModuleType(name)
        vars(module).update(inside)
        monkeypatch.setitem(sys.modules, name, module)
    import importlib

    for name in ("converter", "parser"):
        monkeypatch.delitem(sys.modules, f"llamafactory.data.{name}", raising=False)
    return importlib.import_module("llamafactory.data.converter"), importlib.import_module("llamafactory.data.parser")


def _fail(said: str) -> None:
    raise AssertionError(said)


@pytest.mark.parametrize("form", ["alpaca", "sharegpt"])
@pytest.mark.parametrize("preferences", [False, True])
def test_llama_factory_reads_what_its_dataset_info_names(
    llama_factory: Any, form: str, preferences: bool, tmp_path: Path
) -> None:
    converter, parser = llama_factory
    written({"use": form, "preferences": preferences}, CHATS, tmp_path / "talks.json")
    [known] = parser.get_dataset_list(["talks"], str(tmp_path))
    assert (known.dataset_name, known.formatting, known.ranking) == ("talks.json", form, preferences)
    convert = converter.get_dataset_converter(known.formatting, known, types.SimpleNamespace(media_dir=""))
    rows = [convert(row) for row in json.loads((tmp_path / "talks.json").read_text("utf-8"))]
    assert rows[0]["_system"] == "Be brief." and not rows[1]["_system"]
    assert rows[0]["_prompt"] == TALK[1:4]
    worse = [{"role": "assistant", "content": "好吧。"}] if preferences else []
    assert rows[0]["_response"] == [TALK[4], *worse]


def test_spacy_trains_on_the_entities(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    from spacy.training import Corpus

    told = written({"use": "docbin", "shard": 1}, TAGGED, tmp_path / "docs")
    assert told.files == ["00000.spacy", "00001.spacy"]
    nlp = spacy.blank("xx")
    examples = list(Corpus(tmp_path / "docs")(nlp))
    assert [[(ent.text, ent.label_) for ent in one.reference.ents] for one in examples] == [
        [("Ada Lovelace", "PER"), ("Babbage", "PER"), ("London", "LOC")],
        [("张三", "PER"), ("北京大学", "ORG")],
    ]
    assert examples[1].reference.cats == {"history": 0.0, "school": 1.0}
    assert "O" not in set(examples[0].get_aligned_ner()[:2])


@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "IOB1"])
def test_seqeval_counts_the_entities_of_conll(scheme: str, tmp_path: Path) -> None:
    pytest.importorskip("seqeval")
    from seqeval.metrics.sequence_labeling import get_entities
    from seqeval.scheme import IOB1, IOB2, IOBES, Entities

    written({"use": "conll", "scheme": scheme}, TAGGED, tmp_path / "x.conll")
    sentences = [part.splitlines() for part in (tmp_path / "x.conll").read_text("utf-8").strip().split("\n\n")]
    tags = [[line.split()[-1] for line in sentence] for sentence in sentences]
    strict = Entities(tags, {"BIO": IOB2, "BIOES": IOBES, "IOB1": IOB1}[scheme])
    assert [[one.tag for one in sentence] for sentence in strict.entities] == [["PER", "PER", "LOC"], ["PER", "ORG"]]
    assert [kind for kind, *_ in get_entities(tags[1])] == ["PER", "ORG"]


def test_fasttext_reads_labels_and_words(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("fasttext")
    records = [
        Record(id=str(at), text="good film" if at % 2 else "bad 天气", label="very good" if at % 2 else "bad")
        for at in range(20)
    ]
    written("fasttext", records, tmp_path / "x.txt")
    model = fasttext.train_supervised(str(tmp_path / "x.txt"), lr=0.0, dim=8, epoch=1, thread=1, verbose=0, minCount=1)
    assert sorted(model.labels) == ["__label__bad", "__label__very▁good"]
    assert {"good", "film", "bad", "天气"} <= set(model.words)


def test_label_studio_takes_tasks_under_the_interface(tmp_path: Path) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    vote = {"labeller": "rules", "label": "school", "confidence": 0.75}
    records = [
        Record(id="1", text="张三 met Ada", label="school", votes=[vote], output="A line.", value=2.0,
               spans=[{"start": 0, "end": 2, "label": "PER"}, {"start": 7, "end": 10, "label": "PER"}],
               relations=[{"head": 0, "tail": 1, "label": "met"}]),
        *TAGGED,
    ]  # fmt: skip
    written("label_studio", records, tmp_path / "x.json")
    config = interface.LabelInterface((tmp_path / "x.config.xml").read_text("utf-8"))
    config.validate()
    tasks = json.loads((tmp_path / "x.json").read_text("utf-8"))
    for task in tasks:
        assert config.validate_task({"data": task["data"]})
        assert all(config.validate_annotation(one) for one in task["annotations"])
    assert tasks[0]["predictions"][0]["model_version"] == "rules" and tasks[0]["predictions"][0]["score"] == 0.75
    assert config.validate_prediction(tasks[0]["predictions"][0])


def test_squad_is_scored_by_the_official_layout(tmp_path: Path) -> None:
    """Every answer stands where the file says, and ids are unique: what the evaluation script of the data set relies on."""
    asked = [
        Record(id="q1", text="Who?", text_b="It was Bob.", answer={"text": "Bob", "start": 7}, group="T"),
        Record(id="q2", text="When?", text_b="It was Bob.", answer={"text": "", "start": None}, group="T"),
        Record(id="q3", text="在哪里？", text_b="他住在北京。", answer={"text": "北京", "start": 3}, group="U"),
    ]
    told = written({"use": "squad", "version": 2}, asked, tmp_path / "x.json")
    whole = json.loads((tmp_path / "x.json").read_text("utf-8"))
    assert told.records == 3 and whole["version"] == "v2.0"
    assert [(one["title"], [len(p["qas"]) for p in one["paragraphs"]]) for one in whole["data"]] == [
        ("T", [2]),
        ("U", [1]),
    ]
    for article in whole["data"]:
        for paragraph in article["paragraphs"]:
            for one in paragraph["qas"]:
                assert one["is_impossible"] is (not one["answers"])
                for answer in one["answers"]:
                    at = answer["answer_start"]
                    assert paragraph["context"][at : at + len(answer["text"])] == answer["text"]
    assert written({"use": "squad", "version": 1}, asked, tmp_path / "y.json").left_out == {"unanswerable": 1}


def test_doccano_parses_what_we_write(tmp_path: Path) -> None:
    """The classes by which doccano reads an import (label.py of its data_import), less its database."""
    written({"use": "doccano", "kind": "spans"}, TAGGED, tmp_path / "x.jsonl")
    for line, record in zip((tmp_path / "x.jsonl").read_text("utf-8").splitlines(), TAGGED, strict=True):
        row = json.loads(line)
        columns = ("start_offset", "end_offset", "label")
        spans = [dict(zip(columns, one, strict=True)) for one in row["label"]]  # SpanLabel.parse
        assert all(0 <= one["start_offset"] < one["end_offset"] <= len(row["text"]) for one in spans)
        assert [(one["start_offset"], one["label"]) for one in spans] == [
            (s["start"], s["label"]) for s in record.spans or ()
        ]
