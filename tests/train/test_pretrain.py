"""Pre-training through the command line: from random weights in two languages, then tuned; killed and resumed; on a domain;
what judges is never read."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from burnish.core.artifacts import Gold, Records, Split
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.train.budget import Budget
from burnish.train.texts import documents, readable

GOOD = [
    "I love this bright room.",
    "The staff were clever and warm.",
    "这家酒店的服务非常好。",
    "房间很干净，下次还会再来。",
]
BAD = [
    "A dull and broken story.",
    "Rude people spoiled the whole day.",
    "这本书让人非常失望。",
    "质量太差了，要求退货。",
]
PLAIN = ["We went on a Monday.", "The street is near the river.", "地铁站就在旁边。", "我们在这里住了三天。"]
PRETRAIN = {"use": "pretrain", "size": "2x32", "vocabulary": 400, "length": 32, "batch_tokens": 256, "steps": 30}
TASK = {"type": "classification", "labels": ["good", "bad"], "languages": ["en", "zh"]}


def texts(count: int, *, seed: int = 0) -> list[dict[str, str]]:
    draw = random.Random(seed)
    made = []
    for at in range(count):
        label = "good" if at % 2 else "bad"
        some = [*draw.choices(GOOD if at % 2 else BAD, k=2), *draw.choices(PLAIN, k=2), f"{draw.randint(0, 99999)}"]
        draw.shuffle(some)
        made.append({"text": " ".join(some), "label": label})
    return made


def write(folder: Path, *, train: list, rows: list | None = None, **sections) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = texts(200) if rows is None else rows
    raw = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "raw.jsonl").write_text(raw, "utf-8")
    spec = {"burnish": 1, "name": "it", "task": TASK, "sources": [{"use": "jsonl", "path": "raw.jsonl"}]}
    (folder / "burnish.yaml").write_text(
        yaml.safe_dump({**spec, **sections, "train": train}, allow_unicode=True), "utf-8"
    )
    return folder


def told(folder: Path) -> dict:
    return json.loads((folder / "runs/it/backbone/pretraining.json").read_text("utf-8"))


def run(burnish, folder: Path, *more: str):
    done = burnish("run", *more, cwd=folder, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory, request):
    """A run of sources, split, pretrain and tune, on 200 texts of both languages and 40 without a label."""
    burnish = request.getfixturevalue("burnish_of_module")
    rows = texts(200) + [{"text": one["text"]} for one in texts(40, seed=9)]
    folder = write(
        tmp_path_factory.mktemp("run"),
        rows=rows,
        train=[PRETRAIN, {"use": "tune", "epochs": 8, "learning_rate": 5e-3, "batch_tokens": 256}],
        split={"use": "stratified", "test": 0.2, "validation": 0.2},
        evaluate=[{"use": "report"}],
    )
    run(burnish, folder)
    return folder


@pytest.fixture(scope="module")
def burnish_of_module(plugin):
    import os
    import subprocess
    import sys

    root = Path(__file__).parents[2]

    def call(*arguments: str, cwd: Path, **environment: str):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(plugin)]), **environment}
        command = [sys.executable, "-m", "burnish.cli", *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)

    return call


def test_a_tune_behind_it_starts_from_what_it_made(made):
    import torch
    from safetensors.torch import load_file

    card = json.loads((made / "runs/it/model/burnish.json").read_text("utf-8"))
    assert card["backbone"] == "pretrained"
    config = json.loads((made / "runs/it/model/config.json").read_text("utf-8"))
    assert config["hidden_size"] == 32 and not (made / "runs/it/model/pretraining.json").exists()
    before, after = (load_file(made / "runs/it" / name / "model.safetensors") for name in ("backbone", "model"))
    table = "bert.embeddings.word_embeddings.weight"
    # tuning moves the table of the backbone a little; another draw of weights would lie nowhere near
    assert torch.nn.functional.cosine_similarity(before[table].flatten(), after[table].flatten(), dim=0) > 0.5
    report = json.loads((made / "runs/it/evaluation/report.json").read_text("utf-8"))
    assert report["accuracy"] > 0.8


def test_the_folder_is_a_stock_one_and_a_backbone_by_the_name_of_its_run(made):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from burnish.nn.backbones import Backbone, resolve

    folder = resolve(str(made / "runs/it"), languages=["en"], progress=Silent())
    assert folder == made / "runs/it/backbone"
    assert Backbone.identify(str(made / "runs/it"), ["en"]) == Backbone.identify(str(folder), ["en"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network, said = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not said["missing_keys"] and network.config.vocab_size >= len(tokenizer)
    ids = tokenizer("这家酒店的服务非常好", return_tensors="pt")
    assert network(**ids).logits.shape[:2] == ids["input_ids"].shape


def test_the_loss_falls_the_probe_is_shown_and_the_page_draws_them(made):
    info = told(made)
    losses = info["history"]["losses"]
    assert len(losses) == info["steps"] == 30 and np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3
    looks = info["history"]["epochs"]
    assert [one["step"] for one in looks] == list(range(3, 31, 3))
    assert all(0 < one["more"]["probe"] <= 1 for one in looks) and "training side" in info["probe"]
    page = (made / "runs/it/report.html").read_text("utf-8")
    assert "Pre-training" in page and "accuracy of a linear probe" in page and "learning rate" in page


def test_what_judges_is_not_read(made):
    import pyarrow.parquet as pq

    info = told(made)
    sides = {side: pq.read_table(made / f"runs/it/split/{side}.parquet") for side in ("train", "validation", "test")}
    judges = len(sides["validation"]) + len(sides["test"])
    assert info["texts"]["left_out"]["of the validation or test side"] == judges
    assert info["corpus"]["documents"] + sum(info["texts"]["left_out"].values()) == 240


def record(text: str, **more) -> Record:
    return Record(text=text, id=text, **more)


def test_unlabelled_texts_are_read_and_what_resembles_a_judge_is_not():
    train, validation, test = (
        [record(f"{side} text number {at} of many words") for at in range(3)] for side in ("a", "b", "c")
    )
    near = record("c text number 1 of many words !")
    new, aside = record("something else entirely was said here"), record("set aside for a reason", keep=False)
    checked = record("a checked text that nobody may learn from, whatever it says")
    everything = Records.from_rows([*train, *validation, *test, near, new, aside, record(f"{checked.text}!")])
    split = Split(*(Records.from_rows(side) for side in (train, validation, test)))
    gold = Gold.from_rows([checked])
    gold.facts = {"train": False}
    kept, about = readable(everything, split, gold, progress=Silent())
    assert [one["text"] for one in documents(kept)] == [*(one.text for one in train), new.text]
    assert about["left_out"] == {"set aside": 1, "like a text that judges": 2, "of the validation or test side": 6}
    gold.facts = {"train": True}
    assert len(list(documents(readable(everything, split, gold, progress=Silent())[0]))) == 5
    alone, _ = readable(everything, None, None, progress=Silent())
    assert len(list(documents(alone))) == 12


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_bytes(tmp_path, burnish):
    spec = [{**PRETRAIN, "steps": 40, "checkpoint_every_s": 0.01, "objective": {"use": "masked", "whole_words": True}}]
    whole, killed = write(tmp_path / "whole", train=spec), write(tmp_path / "killed", train=spec)
    run(burnish, whole)
    process = burnish("run", cwd=killed, wait=False, OMP_NUM_THREADS="1")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(
            int(path.name.split("-")[1]) >= 5 for path in killed.glob("runs/.store/scratch/*/checkpoints/checkpoint-*")
        ):
            break
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run(burnish, killed)
    assert told(killed)["history"]["resumed"]
    files = [(folder / "runs/it/backbone/model.safetensors").read_bytes() for folder in (whole, killed)]
    assert files[0] == files[1]


def stage_of(folder: Path, rows: list, **settings):
    """What the stage makes of some texts, without the command line."""
    from burnish.core.stage import Context, TaskSpec
    from burnish.train.pretrain import pretrain

    common = {name: value for name, value in PRETRAIN.items() if name not in ("use", "steps")}
    if "start" in settings:
        common = {name: value for name, value in common.items() if name not in ("size", "vocabulary")}
    records = Records.from_rows([record(one["text"]) for one in rows])
    context = Context(TaskSpec(languages=("en", "zh")), 0, folder, folder / "s", folder / "c", Silent(), "k" * 32)
    return pretrain(records, None, None, context, **common, **settings)


@pytest.mark.parametrize("keep_head", [True, False])
def test_a_domain_goes_on_from_a_backbone_with_a_new_head_and_more_pieces(made, tmp_path, keep_head):
    import torch
    from transformers import AutoModel, AutoModelForMaskedLM

    from burnish.nn.quiet import silent_loading

    bare = tmp_path / "bare"  # as MiniLM comes: a body and no head
    shutil.copytree(made / "runs/it/backbone", bare)
    with silent_loading():
        AutoModel.from_pretrained(bare, add_pooling_layer=False).save_pretrained(bare)
    said = "Patients with cardiomyopathy and thrombocytopenia got anticoagulants."
    rows = [{"text": f"{said} {one['text']}"} for one in texts(100)]
    out = stage_of(tmp_path, rows, start=str(bare), steps=12, extend=20, keep_head=keep_head)
    facts = out.info["corpus"]["extended"]
    assert out.info["from"] == "bare" and facts["added"] > 0 and facts["tokens_after"] < facts["tokens_before"]
    with silent_loading():
        network, told = AutoModelForMaskedLM.from_pretrained(out.folder, output_loading_info=True)
        first = AutoModel.from_pretrained(bare, add_pooling_layer=False)
    assert bool(told["missing_keys"]) is not keep_head
    before, after = (one.encoder.layer[0].output.dense.weight.detach() for one in (first, network.bert))
    moved = float(torch.linalg.norm(after - before) / torch.linalg.norm(before))
    assert 0 < moved < 0.5  # it went on from there, and did not begin anew


@pytest.mark.parametrize(
    ("settings", "architecture"),
    [
        ({"objective": "causal", "optimiser": "muon"}, "LlamaForCausalLM"),
        ({"objective": "spans", "schedule": "cosine"}, "PegasusForConditionalGeneration"),
        ({"objective": ["masked", "sentence_order"]}, "BertForPreTraining"),
        ({"objective": ["masked", "next_sentence"], "accumulate": 2}, "BertForPreTraining"),
    ],
)
def test_every_kind_of_network_learns(tmp_path, settings, architecture):
    import transformers

    made = stage_of(tmp_path, texts(120), tokens=256 * 16, learning_rate=3e-3, **settings)
    losses = made.info["history"]["losses"]
    assert len(losses) == 16 // settings.get("accumulate", 1) == made.info["steps"]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    network, said = getattr(transformers, architecture).from_pretrained(made.folder, output_loading_info=True)
    assert type(network).__name__ == architecture and not said["missing_keys"]


def test_pairs_are_half_right_half_wrong_and_wrong_as_asked(tmp_path):
    from burnish.nn import corpus, pieces
    from burnish.nn.sentence_pairs import pairs_of

    rows = texts(150)
    tokenizer = pieces.learn([one["text"] for one in rows], kind="wordpiece", vocabulary=400, architecture="encoder")
    built = corpus.build(tmp_path / "c", rows, tokenizer, length=48, packing="sentences", free=1, held_out=0.0)
    windows = built.examples()
    texts_of = [tokenizer.decode(windows.tokens[windows.window(i)][1:-1].tolist()) for i in range(len(windows))]
    for ask in ("order", "next"):
        pairs = pairs_of(windows, ask=ask, separator=tokenizer.sep_token_id, length=48, seed=0)
        assert 0.35 < pairs.targets.mean() < 0.65 and pairs.lengths.max() <= 48
        for i in range(len(pairs)):
            tokens, types = pairs.tokens[pairs.window(i)], pairs.types[pairs.window(i)]
            assert tokens[0] == tokenizer.cls_token_id and tokens[-1] == tokenizer.sep_token_id
            cut = int(np.flatnonzero(types)[0])
            assert tokens[cut - 1] == tokenizer.sep_token_id and (tokens == tokenizer.sep_token_id).sum() == 2
            first, second = (tokenizer.decode(part.tolist()) for part in (tokens[1 : cut - 1], tokens[cut:-1]))
            right, turned = f"{first} {second}", f"{second} {first}"
            among = {text.replace(" ", "") for text in texts_of}
            if pairs.targets[i] == 0:
                assert right.replace(" ", "") in among
            elif ask == "order":
                assert turned.replace(" ", "") in among
            else:
                assert right.replace(" ", "") not in among


def test_minutes_become_steps_once(tmp_path, monkeypatch):
    from burnish.core.stage import Context, TaskSpec
    from burnish.nn import loop
    from burnish.train import budget

    class Model:
        start = "nothing"
        config = type("Config", (), {"hidden_size": 32})

    class Windows:
        offsets = np.arange(0, 32_001, 32)
        lengths = np.full(1000, 32)

    fits = []

    def fit(*given, settings, **more):
        fits.append(settings.steps)
        return loop.History(losses=[1.0] * settings.steps, seconds=0.5 * settings.steps)

    monkeypatch.setattr(loop, "fit", fit)
    context = Context(TaskSpec(), 0, tmp_path, tmp_path, tmp_path, Silent(), "k")

    def steps(**wanted):
        all_of_it = {"steps": None, "tokens": None, "minutes": None, "epochs": "auto"} | wanted
        settings, reasons = budget.settled(
            loop.Training(learning_rate=0.0, batch_tokens=256, accumulate=2),
            Windows(), Budget(**all_of_it),
            model=Model(), objective=None, look_every="auto", fresh_rate=1e-3, context=context,
        )  # fmt: skip
        assert reasons["steps"]
        return settings.steps

    assert steps(minutes=2) == steps(minutes=2) == 240 and fits == list(budget.MEASURED)  # measured once
    assert steps(tokens=51_200) == 100 and steps(epochs=2) == 125 and steps(steps=7) == 7
    assert steps() == round(32_000 * 20 / 512)


def test_mistakes_are_told_before_anything_runs(tmp_path, burnish):
    wrong = {"objective": "causal", "kind": "encoder", "steps": 3, "minutes": 2, "extend": 5, "size": "huge"}
    folder = write(tmp_path, train=[{"use": "pretrain", **wrong}])
    done = burnish("check", cwd=folder)
    assert done.returncode == 2
    for said in (
        "causal is for kind: decoder",
        "steps and minutes both say when to stop",
        "`from` names none",
        "no size 'huge'",
    ):
        assert said in done.stderr + done.stdout
    folder = write(tmp_path / "more", train=[{"use": "pretrain", "objective": "maskd"}])
    assert "did you mean 'masked'" in (done := burnish("check", cwd=folder)).stderr + done.stdout


def test_a_spec_of_sources_and_pretrain_needs_no_task(tmp_path, burnish):
    folder = write(tmp_path, train=[PRETRAIN])
    text = (folder / "burnish.yaml").read_text("utf-8")
    for task in (None, {"languages": ["en", "zh"]}):
        spec = yaml.safe_load(text) | {"task": task}
        (folder / "burnish.yaml").write_text(yaml.safe_dump(spec), "utf-8")
        done = burnish("check", cwd=folder)
        assert done.returncode == 0, done.stderr
    spec["train"].append({"use": "tune"})
    (folder / "burnish.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    assert burnish("check", cwd=folder).returncode == 2  # what tunes has a task


def test_the_plan_prices_it(tmp_path, burnish):
    folder = write(tmp_path, train=[{**PRETRAIN, "minutes": 5, "steps": None}])
    line = next(one for one in burnish("plan", cwd=folder).stdout.splitlines() if "train.pretrain" in one)
    assert "5.3 min" in line


def test_a_tune_that_wants_a_pretrained_backbone_says_where_it_would_come_from(tmp_path, burnish):
    folder = write(tmp_path, train=[{"use": "tune", "backbone": "pretrained"}], split="stratified")
    done = burnish("run", cwd=folder)
    assert done.returncode == 1 and "put {use: pretrain} before it" in done.stderr
