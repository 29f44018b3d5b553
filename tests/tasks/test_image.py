"""Classification of texts with images: what is read, what is refused, and a run from files to answers."""

from __future__ import annotations

import json
import random

import numpy as np
import pictures_made as made
import pytest
import tiny_bert

from burnish.core.errors import DataError
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.tasks.classification import Task
from burnish.testing import check_task

pytest.importorskip("PIL")
IMAGE = {"field": "meta.image", "folder": "images", "size": 32}
LABELS = ("red cheap", "red dear", "blue cheap", "blue dear")


def write(folder, count: int) -> list[dict]:
    """Records whose label is half in the image and half in the words."""
    (folder / "images").mkdir(parents=True)
    rows = []
    draw = random.Random(0)
    for i in range(count):
        price = i % 2
        text = " ".join([*draw.choices(tiny_bert.OTHERS, k=6), *[("awful", "lovely")[price]] * 3])
        colour = ("red", "blue")[i // 2 % 2]
        (folder / "images" / f"{i}.png").write_bytes(made.encoded(made.square(colour, seed=i)))
        label = f"{colour} {('cheap', 'dear')[price]}"
        rows.append({"text": text, "label": label, "image": f"images/{i}.png"})
    return rows


def spec(base, **options) -> TaskSpec:
    return TaskSpec("classification", LABELS, languages=("en", "zh"), options={"image": IMAGE, **options}, base=base)


def table(rows) -> object:
    return to_table(
        Record(text=row["text"], label=row["label"], id=str(at), meta={"image": row["image"]})
        for at, row in enumerate(rows)
    )


def test_passes_the_suite_of_tasks(tmp_path) -> None:
    assert check_task("classification", spec(tmp_path), table(write(tmp_path, 12)), exports=False) == 8


def test_the_section_is_checked() -> None:
    wrong: list[tuple[object, str | None]] = [
        ("image", "image is a place in meta, got 'image'"),
        (3, "image is a place in meta, got 3"),
        ("meta.image", None),
        ({"folder": "../x"}, "image.folder is a folder below the spec's, got '../x'"),
        ({"folder": "."}, "image.folder is a folder below the spec's, got '.'"),
        ({"size": 65}, "image.size is a multiple of 8 from 16 to 512, got 65"),
        ({"size": 64, "encoder": "org/vit"}, "image.size is of the small encoder; another one has its own"),
        ({"colour": 1}, "image has no setting 'colour'"),
    ]
    for image, message in wrong:
        found = Task.problems(TaskSpec("classification", ("a", "b"), options={"image": image}))
        assert [one[1] for one in found] == ([message] if message else []), image


def test_images_that_cannot_be_read_are_named_together_and_cannot_judge(tmp_path) -> None:
    rows = write(tmp_path, 6)
    (tmp_path / "images" / "1.png").write_bytes(b"broken")
    (tmp_path / "images" / "2.png").unlink()
    made.bomb(tmp_path / "images" / "3.png")
    rows[4]["image"] = "../outside.png"
    rows[5]["image"] = None
    task, records = Task(spec(tmp_path)), table(rows)
    with pytest.raises(DataError) as caught:
        task.inputs(records)
    said = str(caught.value)
    assert "5 of 6 images cannot be read" in said
    for part in (
        "record 1: images/1.png: it is no image",
        "record 2: images/2.png: there is no such image",
        "record 3: images/3.png: it has too many pixels",
        "record 4: ../outside.png: it is not in the folder of images",
        "record 5: it names no image",
    ):
        assert part in said
    reasons = [task.problem(Record.from_row(row)) for row in records.to_pylist()]
    assert reasons[0] is None and all(one.startswith("unreadable image (") for one in reasons[1:])


@pytest.mark.parametrize("variant", ["multi_label", "ordinal", "hierarchical"])
def test_every_kind_of_classification_takes_images(variant: str, tmp_path) -> None:
    write(tmp_path, 1)
    labels = ("a/x", "a/y", "b")
    task = Task(TaskSpec("classification", labels, options={"image": IMAGE, variant: True}, base=tmp_path))
    assert type(task).problems(task.spec) == [] and task.head().kind == "vision"
    assert task.problem(Record(text="x", meta={"image": "images/none.png"})).startswith("unreadable image")
    assert task.problem(Record(text="x", meta={"image": "images/0.png"})) is None


def test_several_tasks_on_one_encoder_do_not_take_images() -> None:
    from burnish.core.tasktypes import task_class

    parts = {"one": {"type": "classification", "labels": ["a", "b"], "image": "meta.image"}}
    parts["two"] = {"type": "classification", "labels": ["c", "d"], "field": "meta.other"}
    found = task_class("multitask").problems(TaskSpec("multitask", options={"tasks": parts}))
    assert any("cannot share an encoder" in message for _, message, _ in found)


def test_a_stranger_sends_pixels_and_never_names_a_file(tmp_path) -> None:
    from burnish.serve.inputs import Inputs

    write(tmp_path, 1)
    task = Task(spec(None))
    reader = Inputs(task)
    assert "image" in reader.fields and reader.forms[0].name == "text"
    content = (tmp_path / "images" / "0.png").read_bytes()
    assert reader.read({"text": "x", "image": made.url(content)})["image"].source == content
    file = str(tmp_path / "images" / "0.png")
    for sent, message in (
        (file, "not a data URL"),
        (None, "image is missing"),
        (["x"], "image is missing"),
        (made.url(b"broken"), "no image that can be read"),
    ):
        with pytest.raises(ValueError, match=message):
            reader.read({"text": "x", "image": sent})
    with pytest.raises(ValueError, match="image is missing"):
        reader.read("x")
    row = {"text": "x", "image": "images/0.png"}
    assert reader.of_row(row, text="text", folder=tmp_path)["image"].source == tmp_path / "images" / "0.png"
    with pytest.raises(ValueError, match=r"images/1.png: there is no such file"):
        reader.of_row({**row, "image": "images/1.png"}, text="text", folder=tmp_path)


def test_a_changed_image_is_another_model(tmp_path) -> None:
    from burnish.core.pipeline import plan
    from burnish.core.spec import load

    path = _spec(tmp_path, write(tmp_path, 8), tiny_bert.make(tmp_path / "tiny"))
    key = {one.step.address: one.key for one in plan(load(path))}
    assert key == {one.step.address: one.key for one in plan(load(path))}
    (tmp_path / "images" / "3.png").write_bytes(made.encoded(made.square("green", seed=3)))
    now = {one.step.address: one.key for one in plan(load(path))}
    changed = {address for address in key if key[address] != now[address]}
    assert changed == {"train.tune", "evaluate.report"}


@pytest.mark.slow
def test_from_files_to_answers_an_image_and_a_text_beat_a_text_alone(tmp_path) -> None:
    """Half of the label is in the image: words alone are right on half of the records."""
    from burnish.batch import predict_file
    from burnish.core.pipeline import run
    from burnish.core.spec import load
    from burnish.tasks import predictor

    rows = write(tmp_path, 220)
    path = _spec(tmp_path, rows, tiny_bert.make(tmp_path / "tiny"), "compress: {use: onnx}\n")
    folder = run(load(path))
    compared = json.loads((folder / "deploy" / "report.json").read_text())
    assert compared["accepted"] and compared["agreement"] == 1 and compared["max_difference"] < 1e-4
    report = json.loads((folder / "evaluation" / "report.json").read_text())
    words = max(one["accuracy"] for one in report["baselines"])
    assert report["accuracy"] > 0.85 > 0.7 > words, (report["accuracy"], words)
    opened = predictor.load(folder)
    assert opened.info["format"] == "onnx"
    content = (tmp_path / "images" / "0.png").read_bytes()
    by_file, by_url = opened.predict(
        [{"text": rows[0]["text"], "image": one} for one in (str(tmp_path / "images" / "0.png"), made.url(content))]
    )
    assert by_file == by_url and by_file["label"] == rows[0]["label"]
    streamed = list(opened.stream([opened.task.input({"text": rows[0]["text"], "image": made.url(content)})]))
    assert streamed[0][1][0]["label"] == by_file["label"]
    with pytest.raises(ValueError, match=r"input 0: image none.png: there is no such file"):
        opened.predict([{"text": "x", "image": "none.png"}])
    lines = [{"text": row["text"], "image": row["image"]} for row in rows[:4]] + [{"text": "x", "image": "no.png"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = predict_file(folder, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert done["not_answered"] == 1
    said = [json.loads(line)["prediction"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert np.mean([one["label"] == row["label"] for one, row in zip(said[:4], rows, strict=False)]) >= 0.75


def _spec(folder, rows, backbone, more: str = ""):
    (folder / "raw.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    path = folder / "burnish.yaml"
    path.write_text(
        f"""burnish: 1
name: goods
task:
  type: classification
  labels: [{", ".join(LABELS)}]
  languages: [en, zh]
  image: {{field: meta.image, folder: images, size: 32}}
sources:
  - {{use: jsonl, path: raw.jsonl}}
split: {{use: stratified, test: 0.2, validation: 0.15}}
train:
  - {{use: tune, backbone: {backbone}, epochs: 6, learning_rate: 0.0015, batch_tokens: 600, precision: fp32}}
{more}evaluate:
  - {{use: report, draws: 50, errors: 5}}
"""
    )
    return path


def test_a_server_warms_up_and_answers_for_pixels(tmp_path) -> None:
    from transformers import AutoTokenizer

    from burnish.nn import models
    from burnish.serve.metrics import Metrics
    from burnish.serve.models import ServedModel

    write(tmp_path, 1)
    backbone, task, folder = tiny_bert.make(tmp_path / "tiny"), Task(spec(tmp_path)), tmp_path / "model"
    models.save(
        models.build(backbone, task.head(), seed=0),
        folder,
        task.head(),
        tokenizer=AutoTokenizer.from_pretrained(backbone),
    )
    card = {"task": task.spec.plain(), "head": task.head().plain(), "max_length": 32, "temperature": 1.0}
    (folder / "burnish.json").write_text(json.dumps(card))
    limits = {"sessions": 1, "max_batch_tokens": 256, "max_queue": 8, "max_wait_s": 0.0}
    served = ServedModel(folder, metrics=Metrics(), **limits)
    try:
        assert set(served.sample["scores"]) == set(LABELS)
        assert served.describe()["inputs"][0] == {"name": "text", "fields": ["text", "image"]}
        content = (tmp_path / "images" / "0.png").read_bytes()
        given = served.inputs.read({"text": "the film", "image": made.url(content)})
        [(rows, [answer])] = list(served.compute([given]))
        assert list(rows) == [0] and answer["label"] in LABELS
        assert answer == served.predictor.predict([{"text": "the film", "image": made.url(content)}])[0]
    finally:
        served.stop()
