"""Files as others wrote them: dialects, broken rows, hostile ones; which format a file is of; the commands and the source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.cli import main
from burnish.core.artifacts import Records
from burnish.core.errors import DataError, UsageError
from burnish.core.progress import Silent
from burnish.core.records import Record, Reject
from burnish.core.stage import Context, TaskSpec, find
from burnish.formats.base import FORMATS, Told
from burnish.formats.guess import guessed, read_records
from burnish.formats.json_items import objects


def read(form: Any, path: Path, **settings: Any) -> tuple[list[Record], list[Reject]]:
    [part] = FORMATS.open(form)
    records: list[Record] = []
    rejects: list[Reject] = []
    for item in read_records(path, part, **settings):
        rejects.append(item) if isinstance(item, Reject) else records.extend(Records.from_table(item))
    return records, rejects


def put(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def test_every_setting_of_every_format_is_documented() -> None:
    for name, made in FORMATS.parts().items():
        assert made.__doc__ and made.__doc__.strip().endswith((".", "…")), name
        assert all(setting.about for setting in FORMATS.settings(name).values()), name


# JSON of any size, an item at a time


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=4), st.recursive(st.none() | st.integers() | st.text(max_size=6), lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(max_size=2), one, max_size=2), max_leaves=4), max_size=3), max_size=5),
    st.sampled_from([None, 1]), st.booleans(),
)  # fmt: skip
def test_an_array_is_cut_into_its_items_wherever_blocks_end(
    items: list[Any], indent: int | None, escaped: bool
) -> None:
    import tempfile

    from burnish.formats import json_items

    kept, json_items.BLOCK = json_items.BLOCK, 7  # every item crosses several blocks
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.json"
            path.write_text(json.dumps(items, indent=indent, ensure_ascii=escaped), encoding="utf-8")
            found = list(objects(path, shown="x"))
            lines = path.read_text("utf-8").split("\n")
    finally:
        json_items.BLOCK = kept
    assert not [one for one in found if isinstance(one, Reject)]
    assert [one[1] for one in found if not isinstance(one, Reject)] == items
    for one in found:
        assert not isinstance(one, Reject) and one[0] and one[2].split("\n")[0] in lines[one[0] - 1]


def test_a_broken_item_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    good = '{"instruction": "a", "output": "b"}'
    path.write_bytes(
        f'[{good},\n{{"instruction": "x", "output": }},\n'.encode()
        + b'{"instruction": "\xff\xfe", "output": "b"},\n'
        + f'7,\n"words",\n{{"instruction": "\\ud800", "output": "b"}},\n{{"instruction": NaN}},\n{good}\n]'.encode()
    )
    records, rejects = read("alpaca", path)
    assert [one.messages[0]["content"] for one in records if one.messages] == ["a", "a"]
    assert [(one.line, one.reason.split(":")[0]) for one in rejects] == [
        (2, "broken JSON"), (3, "not UTF-8"), (4, "not an object"), (5, "not an object"), (6, "not Unicode"), (7, "broken JSON"),
    ]  # fmt: skip


def test_an_item_too_long_is_refused_without_being_held(tmp_path: Path) -> None:
    path = put(
        tmp_path / "x.json", [{"instruction": "x" * 200_000, "output": "b"}, {"instruction": "a", "output": "b"}]
    )
    records, rejects = read("alpaca", path, max_chars=1000)
    assert len(records) == 1 and [one.reason.split(":")[0] for one in rejects] == ["too long"]
    cut = path.read_text("utf-8")[:-30]
    records, rejects = read("alpaca", put(tmp_path / "y.json", cut))
    assert len(records) == 1 and "broken file" in rejects[0].reason


# dialects


def test_dataset_info_names_columns_and_tags(tmp_path: Path) -> None:
    put(
        tmp_path / "talk.json",
        [{"talk": [{"who": "me", "says": "Hi"}, {"who": "bot", "says": "Yo"}], "rules": "Short."}],
    )
    entry = {"file_name": "talk.json", "formatting": "sharegpt", "columns": {"messages": "talk", "system": "rules"},
             "tags": {"role_tag": "who", "content_tag": "says", "user_tag": "me", "assistant_tag": "bot"}}  # fmt: skip
    put(tmp_path / "dataset_info.json", {"mine": entry})
    [record], rejects = read("sharegpt", tmp_path / "talk.json")
    assert not rejects and record.messages == [
        {"role": "system", "content": "Short."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"},
    ]  # fmt: skip


def test_tool_calls_and_parts_of_openai_come_back(tmp_path: Path) -> None:
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
    }
    rows = [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, call,
                      {"role": "tool", "content": "3", "tool_call_id": "1"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "stranger", "content": "a"}]},
    ]  # fmt: skip
    path = put(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows)))
    [record], rejects = read("openai", path)
    assert record.messages and record.messages[0]["content"] == "a\nb" and record.messages[1]["content"] == ""
    assert record.meta["turns"]["1"]["tool_calls"] == call["tool_calls"]
    assert [one.reason.split(":")[0] for one in rejects] == ["parts", "role"]


def test_pairs_without_a_prompt_are_cut_where_they_differ(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "q"}]
    rows: list[dict[str, Any]] = [
        {"chosen": [*turns, {"role": "assistant", "content": "good"}], "rejected": [*turns, {"role": "assistant", "content": "bad"}]},
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"input": {"messages": turns}, "preferred_output": [{"role": "assistant", "content": "good"}],
         "non_preferred_output": [{"role": "assistant", "content": "bad"}]},
    ]  # fmt: skip
    records, rejects = read("dpo", put(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows))))
    assert not rejects and [one.meta["rejected"] for one in records] == ["bad"] * 3
    assert records[0].messages == records[2].messages == [*turns, {"role": "assistant", "content": "good"}]
    assert (records[1].text, records[1].output) == ("q", "good")


def test_label_studio_takes_the_newest_annotation_and_votes_with_the_rest(tmp_path: Path) -> None:
    def choice(name: str) -> list[dict[str, Any]]:
        return [{"from_name": "l", "to_name": "t", "type": "choices", "value": {"choices": [name]}}]

    tasks = [{
        "id": 7, "data": {"review": "Fine."},
        "annotations": [
            {"result": choice("bad"), "completed_by": 1, "updated_at": "2024-01-01"},
            {"result": choice("good"), "completed_by": 2, "updated_at": "2024-01-02"},
            {"result": choice("odd"), "completed_by": 3, "updated_at": "2024-01-03", "was_cancelled": True},
        ],
        "predictions": [{"model_version": "m1", "score": 0.4, "result": choice("good")}],
    }]  # fmt: skip
    [record], rejects = read("label_studio", put(tmp_path / "x.json", tasks))
    assert not rejects and (record.id, record.text, record.label) == ("7", "Fine.", "good")
    votes = [(vote["labeller"], vote["label"], round(vote["confidence"], 2)) for vote in record.votes]
    assert votes == [("annotator 1", "bad", 1.0), ("m1", "good", 0.4)]


def test_span_votes_of_predictions_go_both_ways(tmp_path: Path) -> None:
    """A labeller that says nothing makes no prediction; spans keep their places."""
    [part] = FORMATS.open("label_studio")
    votes = [{"labeller": "rules", "label": "PER", "confidence": 0.5, "start": 0, "end": 3}]
    out = tmp_path / "x.json"
    part.write(Records.from_rows([Record(id="a", text="Ada met Bob", votes=votes)]), out, Told())
    [record], rejects = read("label_studio", out)
    assert not rejects and record.spans is None  # a prediction is no annotation
    assert [(v["labeller"], v["label"], v["start"], v["end"], v["confidence"]) for v in record.votes] == [
        ("rules", "PER", 0, 3, 0.5)
    ]


def test_squad_with_several_answers_is_what_the_task_judges_by(tmp_path: Path) -> None:
    from burnish.tasks.question_answering import gold_answers

    answers = [
        {"text": "Bob", "answer_start": 7},
        {"text": "Bob", "answer_start": 7},
        {"text": "It", "answer_start": 0},
    ]
    asked = [{"id": "1", "question": "Who?", "answers": answers}, {"id": "2", "question": "Why?", "answers": [], "is_impossible": True},
             {"id": "3", "question": "Wrong?", "answers": [{"text": "Bob", "answer_start": 0}]}]  # fmt: skip
    data = {"version": "v2.0", "data": [{"title": "T", "paragraphs": [{"context": "It was Bob.", "qas": asked}]}]}
    records, rejects = read("squad", put(tmp_path / "x.json", data))
    assert [one.reason.split(":")[0] for one in rejects] == ["answer"]
    golds = [gold_answers({"answer": one.answer, "meta": one.meta}) for one in records]
    assert golds == [[{"text": "Bob", "start": 7}, {"text": "It", "start": 0}], []]
    flat = {"id": "1", "question": "Who?", "context": "It was Bob.", "answers": {"text": ["Bob"], "answer_start": [7]}}
    [record], _ = read("squad", put(tmp_path / "y.jsonl", json.dumps(flat) + "\n"))
    assert record.answer == {"text": "Bob", "start": 7}


def test_columns_of_conll_are_kept_by_name(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O O\n\nAda NNP B-NP B-PER\nran VBD B-VP O\n\nbad line\n\n"
    form = {"use": "conll", "columns": ["token", "pos", "chunk", "tag"]}
    [record], rejects = read(form, put(tmp_path / "x.conll", text))
    assert record.text == "Ada ran" and record.meta == {"pos": ["NNP", "VBD"], "chunk": ["B-NP", "B-VP"]}
    assert record.spans == [{"start": 0, "end": 3, "label": "PER"}] and len(rejects) == 1


def test_a_docbin_that_is_none_or_a_bomb_is_set_aside(tmp_path: Path) -> None:
    pytest.importorskip("spacy")
    (tmp_path / "x.spacy").write_bytes(b"not a DocBin")
    records, rejects = read("docbin", tmp_path / "x.spacy")
    assert not records and "no DocBin" in rejects[0].reason


# which format

SAMPLES: dict[str, tuple[str, Any]] = {
    "alpaca": ("x.json", [{"instruction": "a", "input": "", "output": "b"}]),
    "sharegpt": ("x.json", [{"conversations": [{"from": "human", "value": "a"}]}]),
    "openai": ("x.jsonl", '{"messages": [{"role": "user", "content": "a"}]}\n'),
    "prompt_completion": ("x.jsonl", '{"prompt": "a", "completion": "b"}\n'),
    "dpo": ("x.jsonl", '{"prompt": "a", "chosen": "b", "rejected": "c"}\n'),
    "kto": ("x.jsonl", '{"prompt": "a", "completion": "b", "label": true}\n'),
    "squad": ("x.json", {"version": "v2.0", "data": [{"title": "t", "paragraphs": []}]}),
    "doccano": ("x.jsonl", '{"id": 1, "text": "abc", "label": [[0, 1, "A"]]}\n'),
    "label_studio": ("x.json", [{"id": 1, "data": {"text": "a"}, "annotations": []}]),
    "conll": ("x.txt", "Ada B-PER\nran O\n\n"),
    "fasttext": ("x.txt", "__label__a some words\n"),
    "csv": ("x.csv", "text,label\na,b\n"),
    "tsv": ("x.tsv", "text\tlabel\na\tb\n"),
    "jsonl": ("x.jsonl", '{"text": "a", "label": "b"}\n'),
    "text": ("x.txt", "Some words.\n"),
}


@pytest.mark.parametrize("form", SAMPLES)
def test_a_file_says_what_it_is(form: str, tmp_path: Path) -> None:
    name, value = SAMPLES[form]
    part, why = guessed(put(tmp_path / name, value))
    assert part.name == form and why


def test_nothing_to_guess_by_is_an_error_that_lists_the_formats(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match="alpaca"):
        guessed(tmp_path / "x")


# commands and the source


def test_import_writes_records_and_the_quarantine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "x.json", [{"id": "one", "instruction": "a", "output": "b"}, {"instruction": 3, "output": "b"}])
    assert main(["import", str(tmp_path / "x.json"), "-o", str(tmp_path / "out.jsonl"), "--licence", "MIT"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["format"] == "alpaca" and told["records"] == 1 and told["quarantined"] == 1
    assert "its rows have instruction" in told["because"]
    [row] = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert (
        row["id"] == "one" and row["licence"] == "MIT" and row["messages"][1] == {"role": "assistant", "content": "b"}
    )
    aside = json.loads((tmp_path / "out.jsonl.quarantine.jsonl").read_text("utf-8"))
    assert aside["reason"].startswith("wrong type") and aside["line"] == 1
    assert main(["import", str(tmp_path / "x.json"), "-F", "squad", "-o", str(tmp_path / "no.jsonl")]) == 1
    assert main(["import", str(tmp_path / "x.json"), "-F", "alpacca", "-o", str(tmp_path / "no.jsonl")]) == 2
    assert "did you mean 'alpaca'" in capsys.readouterr().err


def test_export_of_a_file_counts_what_finds_no_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": "a", "text": "x", "label": "b"}, {"id": "c", "messages": [{"role": "user", "content": "q"}]}]
    put(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows)))
    assert main(["export", str(tmp_path / "x.jsonl"), "-F", "doccano", "-o", str(tmp_path / "y.jsonl")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["records"] == 1 and told["left_out"] == {"no text": 1}
    listed = json.loads((tmp_path / "y.jsonl.left_out.jsonl").read_text("utf-8"))
    assert listed["id"] == "c"
    assert (
        main(["export", str(tmp_path / "x.jsonl"), "-F", "conll", "--with", "scheme=BILUO", "-o", str(tmp_path / "z")])
        == 2
    )


def test_export_of_a_run_asks_which_side(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from burnish.convert import export
    from burnish.core.records import to_table

    run = tmp_path / "run"
    (run / "split").mkdir(parents=True)
    steps = [{"room": "sources", "use": "jsonl", "counts": {"records": 3}}]
    put(run / "run.json", {"name": "towns", "steps": steps})
    for side in ("train", "validation", "test"):
        kept = [Record(id=f"{side}1", text="a", label="x"), Record(id=f"{side}2", text="b", label="x", keep=False)]
        pq.write_table(to_table(kept), run / "split" / f"{side}.parquet")
    with pytest.raises(UsageError, match="--side train"):
        export(run, tmp_path / "x.csv", format="csv")
    told = export(run, tmp_path / "x.csv", format="csv", side="test")
    assert told["records"] == 1 and told["left_out"] == {"set aside by curation": 1}
    assert (tmp_path / "x.csv").read_text("utf-8") == "id,text,label\ntest1,a,x\n"
    assert export(run, tmp_path / "all", format="csv")["files"] == ["train.csv", "validation.csv", "test.csv"]
    told = export(run, tmp_path / "hf", format="huggingface")
    assert told["records"] == 3 and "`sources.jsonl`: 3 records" in (tmp_path / "hf" / "README.md").read_text("utf-8")
    with pytest.raises(UsageError, match="not empty"):
        export(run, tmp_path / "hf", format="huggingface")


def test_a_spec_reads_other_tools_files(tmp_path: Path) -> None:
    put(
        tmp_path / "x.jsonl",
        '{"id": "7", "text": "abc def", "label": [[0, 3, "A"]]}\n{"text": "abc", "label": [[0, 9, "A"]]}\n',
    )
    context = Context(TaskSpec("tagging", ("A",)), 0, tmp_path, tmp_path / "s", tmp_path / "c", Silent())
    source = find("sources", "import")
    made = source.run(context, path=tmp_path / "x.jsonl", format={"use": "doccano", "kind": "spans"}, name="labelled")
    folder = tmp_path / "made"
    folder.mkdir()
    assert made.save(folder) == {"records": 1, "labelled": 1, "quarantined": 1, "reasons": {"span": 1}}
    [record] = Records.open(folder)
    assert (record.id, record.file, record.source, record.spans) == (
        "7",
        "x.jsonl",
        "labelled",
        [{"start": 0, "end": 3, "label": "A"}],
    )
    assert next(iter(source.run(context, path=tmp_path / "x.jsonl"))).spans == record.spans  # told by what stands in it
