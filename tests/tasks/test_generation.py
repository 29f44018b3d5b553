"""Translation, summarization and chat: what is learnt, what is answered, how it is scored; and one run from file to answer."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.records import Record, SeenCounts, assign_ids, to_table
from burnish.core.stage import TaskSpec
from burnish.nn.examples import IGNORED
from burnish.nn.fresh import fresh
from burnish.tasks._generation import said
from burnish.tasks.chat import Task as Chat
from burnish.tasks.summarization import Task as Summarization
from burnish.tasks.summarization import lead
from burnish.tasks.translation import Task as Translation
from burnish.testing import check_task

PAIRS = [
    ("The dog sleeps.", "狗在睡觉。"),
    ("A red car.", "一辆红色的车。"),
    ("Good morning 😀", "早上好 😀"),
    ("The dog eats.", "狗在吃饭。"),
]
TALKS = [
    [("user", "Hello"), ("assistant", "Hi there")],
    [("system", "简短"), ("user", "你好"), ("assistant", "你好！"), ("user", "再见"), ("assistant", "再会。")],
    [("user", "Hello again"), ("assistant", "Hi there")],
]


def pairs_table() -> pa.Table:
    return assign_ids(to_table([Record(text=a, output=b) for a, b in PAIRS]), SeenCounts())


def talks_table(*, open_end: bool = False) -> pa.Table:
    talks = [[{"role": role, "content": words} for role, words in talk] for talk in TALKS]
    if open_end:
        talks.append([{"role": "user", "content": "And now?"}])
    return assign_ids(to_table([Record(messages=talk) for talk in talks]), SeenCounts())


def spec(kind: str, **options) -> TaskSpec:
    return TaskSpec(kind, (), {}, ("en", "zh"), options)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    texts = [text for pair in PAIRS for text in pair]
    return {
        shape: fresh(tmp_path_factory.mktemp(shape), texts, architecture=shape, hidden=32, layers=1, vocabulary=300)
        for shape in ("decoder", "encoder-decoder")
    }


def reader(task, folder: Path):
    from transformers import AutoTokenizer

    return task.tokenizer(AutoTokenizer.from_pretrained(folder))


@pytest.mark.parametrize("kind", ["translation", "summarization"])
def test_the_contract_holds(kind: str) -> None:
    assert check_task(kind, spec(kind), pairs_table(), exports=False) == 8


def test_the_contract_holds_for_chat() -> None:
    assert check_task("chat", spec("chat"), talks_table(open_end=True), exports=False) == 8


def test_a_section_that_makes_no_sense_is_refused() -> None:
    wrong = {
        "architecture": "encoder",
        "beams": 0,
        "temperature": -1,
        "prompt": "translate",
        "hidden": 100,
        "rank": True,
    }
    assert {key for key, _, _ in Translation.problems(spec("translation", **wrong))} == set(wrong)
    assert not Translation.problems(spec("translation", prompt="to German: {text}", beams=4, architecture="decoder"))
    assert [key for key, _, _ in Chat.problems(spec("chat", prompt="{text}", system=3))] == ["prompt", "system"]


def test_a_decoder_reads_the_prompt_and_learns_the_answer(folders: dict[str, Path]) -> None:
    task = Translation(spec("translation", prompt="auf Deutsch: {text}"))
    tokenizer = reader(task, folders["decoder"])
    made = task.examples(pairs_table(), tokenizer, max_length=200)
    for row, (source, target) in enumerate(PAIRS):
        window = made.window(row)
        learnt = made.token_targets[window]
        assert tokenizer.decode(learnt[learnt != IGNORED].tolist()) == target + "<|im_end|>"
        assert f"auf Deutsch: {source}" in tokenizer.decode(made.tokens[window].tolist())
    prompts = task.encode(task.inputs(pairs_table()), tokenizer, max_length=200)
    assert made.tokens[made.window(1)][: prompts.lengths[1]].tolist() == prompts.tokens[prompts.window(1)].tolist()


def test_an_encoder_decoder_learns_the_output_and_its_end(folders: dict[str, Path]) -> None:
    task = Summarization(spec("summarization"))
    tokenizer = reader(task, folders["encoder-decoder"])
    made = task.examples(pairs_table(), tokenizer, max_length=200)
    for row, (source, target) in enumerate(PAIRS):
        assert tokenizer.decode(made.output.tokens[made.output.window(row)].tolist()) == target + "</s>"
        assert tokenizer.decode(made.tokens[made.window(row)].tolist()) == source + "</s>"
    answers = task.decode(
        task.inputs(pairs_table()), made, [made.output.tokens[made.output.window(i)] for i in range(4)], {}
    )
    assert [one["text"] for one in answers.items] == [target for _, target in PAIRS]


def test_an_epoch_is_judged_by_the_next_tokens_it_tells(folders: dict[str, Path]) -> None:
    import torch

    from burnish.nn.models import build
    from burnish.train.teach import next_tokens

    task = Translation(spec("translation"))
    tokenizer = reader(task, folders["encoder-decoder"])
    made = task.examples(pairs_table(), tokenizer, max_length=200)
    model = build(folders["encoder-decoder"], task.head(), seed=0)
    right = count = 0
    losses = []
    for source, target in PAIRS:  # one at a time, by transformers' own labels
        labels = tokenizer(target, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            out = model.plain.eval()(**tokenizer(source, return_tensors="pt"), labels=labels)
        right += int((out.logits.argmax(-1) == labels).sum())
        count += labels.numel()
        losses.append(float(out.loss) * labels.numel())
    share, loss = next_tokens(model, task.objective(), made)
    assert share == pytest.approx(right / count) and loss == pytest.approx(sum(losses) / count, rel=1e-4)


def test_every_answer_of_a_conversation_is_learnt_and_the_last_one_judges(folders: dict[str, Path]) -> None:
    task = Chat(spec("chat", system="Be kind."))
    tokenizer, table = reader(task, folders["decoder"]), talks_table(open_end=True)
    assert task.labelled(table).tolist() == [True, True, True, False]
    made = task.examples(table, tokenizer, max_length=200)
    learnt = made.token_targets[made.window(1)]
    assert tokenizer.decode(learnt[learnt != IGNORED].tolist()) == "你好！<|im_end|>再会。<|im_end|>"
    texts = [tokenizer.decode(made.tokens[made.window(row)].tolist()) for row in range(3)]
    assert [text.count("Be kind.") for text in texts] == [1, 0, 1]
    assert task.wanted(table)[:2] == ["Hi there", "再会。"]
    assert [len(one["messages"]) for one in task.inputs(table)] == [1, 4, 1, 1]


def test_what_a_caller_may_send_to_chat() -> None:
    task = Chat(spec("chat"))
    asked = {"messages": [{"role": "user", "content": "Hi"}]}
    assert task.input("Hi") == task.input({"text": "Hi"}) == task.input(asked) == asked
    assert task.input({"messages": [*asked["messages"], {"role": "assistant", "content": "x"}]}) == asked
    for bad, why in (
        ({"messages": [{"role": "boss", "content": "x"}]}, "role must be one of"),
        ({"messages": [{"role": "user"}]}, "content must be a string"),
        ({"messages": [{"role": "system", "content": "x"}]}, "nobody asks"),
        ({"messages": "  "}, "missing"),
        ({"messages": [3]}, "list of"),
    ):
        with pytest.raises(ValueError, match=why):
            task.input(bad)
    assert Translation(spec("translation")).input({"source": "a dog"}) == {"text": "a dog"}


def test_figures_are_the_packages_own_and_right_for_chinese() -> None:
    table = pairs_table()
    perfect, poor = said([b for _, b in PAIRS]), said(["狗在睡觉。", "", "早上", "cat"])
    for task in (Translation(spec("translation")), Summarization(spec("summarization"))):
        best, worse = (task.figures(task.tally(table, one).sum(0)) for one in (perfect, poor))
        assert best[task.figure] * task.points == pytest.approx(100)
        assert all(0 <= worse[name] < best[name] for name in best)
        losses = task.losses(table, poor)
        assert losses[0] == 0 and losses[1] == pytest.approx(1) and losses[3] == pytest.approx(1) and 0 < losses[2] < 1
    assert set(best) == {"rougeL", "rouge1", "rouge2"}
    assert set(Translation(spec("translation")).figures(np.zeros(28))) == {"chrf", "bleu"}


def test_simple_means_to_be_compared_with() -> None:
    table = pairs_table()
    found = {
        name: answers for name, answers, _ in Translation(spec("translation")).baselines(table, table, table, seed=0)
    }
    assert [one["text"] for one in found["the source, copied"].items] == [a for a, _ in PAIRS]
    assert [one["text"] for one in found["translation of the nearest training text"].items] == [b for _, b in PAIRS]
    found = {
        name: answers
        for name, answers, _ in Chat(spec("chat")).baselines(talks_table(), talks_table(), talks_table(), seed=0)
    }
    assert [one["text"] for one in found["the commonest answer"].items] == ["Hi there"] * 3
    assert [one["text"] for one in found["answer to the nearest training question"].items] == [
        "Hi there",
        "再会。",
        "Hi there",
    ]
    assert (
        lead("天气好。我们走。好！", 2) == "天气好。我们走。" and lead("One. Two.", 1) == "One." and lead("", 2) == ""
    )


def test_the_prompt_names_the_languages() -> None:
    task = Translation(spec("translation"))
    assert "from English to Chinese" in task.prompt("x") and "英语" in task.prompt("x", language="zh")


def test_weights_that_auto_means(tmp_path: Path) -> None:
    assert Chat(TaskSpec("chat", languages=("en",))).automatic() == "smollm2"
    assert Chat(TaskSpec("chat", languages=("zh",))).automatic() == "fresh"
    assert Translation(TaskSpec("translation", languages=("en", "de"))).automatic() == "fresh"
    meant = {"en": "smollm2", "zh": "e5-small-zhen", "de": "fresh"}
    for language, name in meant.items():
        assert Summarization(TaskSpec("summarization", languages=(language,))).automatic() == name
    reads_first = {"architecture": "encoder-decoder"}
    task = Summarization(TaskSpec("summarization", languages=("en",), options=reads_first))
    assert (task.automatic(), task.shape_of("auto"), task.shape_of("smollm2")) == (
        "minilm",
        "encoder-decoder",
        "decoder",
    )
    task = Translation(spec("translation", hidden=32, layers=1, vocabulary=300))
    made = [task.backbone("auto", pairs_table(), folder=tmp_path / name, seed=1, progress=Silent()) for name in "ab"]
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (made[0] / file).read_bytes() == (made[1] / file).read_bytes()
    with pytest.raises(BurnishError, match="no classes"):
        task.objective(class_weights=np.ones(2))


def test_from_a_file_to_answers(tmp_path: Path, monkeypatch) -> None:
    """`burnish run` and `burnish predict` on a language whose words are spelt backwards."""
    import random

    from typer.testing import CliRunner

    import burnish
    from burnish.cli import app

    draw = random.Random(0)
    words = ["abc", "bcd", "cab", "dab"]
    lines = [" ".join(draw.choices(words, k=draw.randint(1, 3))) for _ in range(160)]
    with (tmp_path / "pairs.jsonl").open("w") as file:
        for number, line in enumerate(lines):
            file.write(json.dumps({"id": str(number), "source": line, "target": line.upper(), "group": line}) + "\n")
    (tmp_path / "burnish.yaml").write_text(
        "burnish: 1\nname: x\n"
        "task: {type: translation, languages: [en], hidden: 32, layers: 1, vocabulary: 300, max_new_tokens: 12}\n"
        "sources: [{use: jsonl, path: pairs.jsonl}]\nsplit: {use: stratified, test: 0.1, validation: 0.1}\n"
        "train: {use: tune, epochs: 3, precision: fp32}\ncompress: onnx\nevaluate: {use: report, draws: 50}\n"
    )
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run"])
    assert done.exit_code == 0, done.output + str(done.exception)
    report = json.loads((tmp_path / "runs/x/evaluation/report.json").read_text())
    assert {"n", "bleu", "chrf", "intervals", "baselines"} <= set(report) and 0 <= report["bleu"] <= 100
    assert report["model"] == "onnx fp32"
    card = json.loads((tmp_path / "runs/x/model/burnish.json").read_text())
    assert card["head"]["kind"] == "generator" and card["backbone"] == "fresh"
    served = burnish.load("runs/x")
    assert served.info["format"] == "onnx" and not list(served.engine.network.parameters())  # torch has no weights here
    (tmp_path / "in.jsonl").write_text('{"text": "abc"}\n{"text": "dab"}\n{"x": 1}\n')
    done = CliRunner().invoke(app, ["predict", "runs/x", "-i", "in.jsonl", "-o", "out.jsonl"])
    said_of = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [isinstance((one["prediction"] or {}).get("text"), str) for one in said_of] == [True, True, False], (
        done.output
    )


def test_an_encoder_as_backbone_gets_a_decoder_behind_it(tmp_path: Path, monkeypatch) -> None:
    """`burnish run` from the folder of an encoder; what is loaded again answers as what was tuned."""
    from transformers import AutoConfig
    from typer.testing import CliRunner

    import burnish
    from burnish.cli import app
    from burnish.nn.architectures import config, make
    from burnish.nn.pieces import learn

    lines = [f"the {colour} {thing}" for colour in ("red", "blue", "old") for thing in ("cat", "dog", "hat", "sun")] * 8
    tokenizer = learn([*lines, "over there"] * 5, kind="wordpiece", vocabulary=90, architecture="encoder")
    size = config("encoder", "2x32", vocabulary=len(tokenizer), positions=64, tokenizer=tokenizer)
    make(tmp_path / "reader", size, tokenizer, seed=0)
    with (tmp_path / "pairs.jsonl").open("w") as file:
        for number, line in enumerate(lines):
            file.write(json.dumps({"id": str(number), "source": line, "target": line[4:]}) + "\n")
    text = (
        "burnish: 1\nname: x\ntask: {type: summarization, languages: [en], layers: 1, max_new_tokens: 8}\n"
        "sources: [{use: jsonl, path: pairs.jsonl}]\nsplit: {use: stratified, test: 0.1, validation: 0.1}\n"
        "train: {use: tune, backbone: reader, epochs: 2, learning_rate: 0.003, precision: fp32}\n"
        "evaluate: {use: report, draws: 20}\n"
    )
    (tmp_path / "burnish.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run"])
    assert done.exit_code == 0, done.output + str(done.exception)
    card = json.loads((tmp_path / "runs/x/model/burnish.json").read_text())
    assert card["backbone"] == "reader" and card["strategy"] == "full"
    assert "label_smoothing" in card["history"]["tune"]["reasons"]
    assert AutoConfig.from_pretrained(tmp_path / "runs/x/model").model_type == "encoder-decoder"
    asked = ["the red cat", "the old sun"]
    first, again = (burnish.load("runs/x").predict(asked) for _ in "ab")
    assert first == again and all(isinstance(one["text"], str) for one in first)
    (tmp_path / "burnish.yaml").write_text(text.replace("layers: 1", "layers: 1, architecture: decoder"))
    done = CliRunner().invoke(app, ["run"])
    assert isinstance(done.exception, BurnishError) and "reader is an encoder" in str(done.exception)


def test_a_decoder_is_shown_the_nearest_records(tmp_path):
    """In context: with `demonstrations` the prompt holds the nearest training records as turns, and the weights stand still."""
    import pyarrow as pa
    from transformers import AutoTokenizer

    from burnish.core.records import Record, to_table
    from burnish.core.stage import TaskSpec
    from burnish.core.tasktypes import open_task
    from burnish.nn.architectures import is_fresh
    from burnish.nn.generators import fresh

    rows = [
        ("the red cat", "die rote Katze"),
        ("a blue house", "ein blaues Haus"),
        ("the black dog", "der schwarze Hund"),
    ]
    table: pa.Table = to_table(Record(text=text, output=output) for text, output in rows)
    folder = fresh(
        tmp_path / "decoder", [*map(" ".join, rows)] * 20, architecture="decoder", hidden=32, layers=1, vocabulary=500
    )
    assert is_fresh(folder)
    task = open_task(
        TaskSpec("translation", languages=("en", "de"), options={"demonstrations": 2, "architecture": "decoder"})
    )
    tokenizer = task.tokenizer(AutoTokenizer.from_pretrained(folder))
    task.collect(table)
    task.furnish(tmp_path, None)
    again = open_task(task.spec)
    again.opened(tmp_path)
    said = tokenizer.decode(again.encode([{"text": "the black cat"}], tokenizer, max_length=500).tokens)
    assert said.index("die rote Katze") < said.index("the black cat") and said.index("der schwarze Hund") < said.index(
        "the black cat"
    )
    assert "blaues" not in said
    short = tokenizer.decode(again.encode([{"text": "the black cat"}], tokenizer, max_length=60).tokens)
    assert "the black cat" in short and "die rote Katze" not in short
