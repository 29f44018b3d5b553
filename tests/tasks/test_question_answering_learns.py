"""A network small enough to learn in seconds finds the word that decides, and says when there is none."""

import random

import numpy as np
import pytest
import tiny_bert

from burnish.core.progress import Silent
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.nn import models
from burnish.nn.loop import fit
from burnish.nn.predict import predict_outputs
from burnish.nn.training import Training
from burnish.tasks.question_answering import Task

pytest.importorskip("burnish.nn.token_heads", reason="there is no token head yet")


def records(count, *, seed):
    """Contexts of 10 to 80 words with one that is asked for, in English or Chinese; every fourth has none."""
    draw = random.Random(seed)
    wanted = [word for words in tiny_bert.WORDS.values() for word in words]
    made = []
    for at in range(count):
        words = draw.choices(tiny_bert.OTHERS, k=draw.randint(10, 80))
        answer = {"text": "", "start": None}
        if at % 4:
            place = draw.randrange(len(words))
            words[place] = draw.choice(wanted)
            answer = {"text": words[place], "start": sum(len(word) + 1 for word in words[:place])}
        made.append(Record(text="the room was", text_b=" ".join(words), answer=answer))
    return to_table(made)


def test_it_learns_where_the_answer_stands_and_when_there_is_none(tmp_path):
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    folder = tiny_bert.make(tmp_path / "backbone")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    task = Task(TaskSpec("question_answering", languages=("en", "zh"), options={"stride": 8}))
    train, validation, test = (records(count, seed=seed) for seed, count in enumerate((400, 60, 120)))
    head, length = task.head(), 40
    model = models.build(folder, head, seed=0)
    settings = Training(epochs=8, learning_rate=3e-3, batch_tokens=1024, precision="fp32")
    examples = task.examples(train, tokenizer, max_length=length)
    assert len(examples) > len(train)  # long contexts have several windows
    fit(model, examples, None, settings=settings, scratch=None, progress=Silent(), seed=0, objective=task.objective())

    def outputs(table):
        read = task.encode(task.inputs(table), tokenizer, max_length=length)
        return read, predict_outputs(model, read, head)

    card = task.calibrate(validation, *outputs(validation))
    read, said = outputs(test)
    answers = task.decode(task.inputs(test), read, said, card)
    figures = task.figures(task.tally(test, answers).sum(0))
    best = max(
        float(task.figures(task.tally(test, one).sum(0))["f1"])
        for _, one, _ in task.baselines(train, validation, test, seed=0)
    )
    assert figures["f1"] > 0.9 > best
    details = task.details(test, answers)
    assert details["by_answerable"]["unanswerable"]["f1"] > 0.8
    assert details["by_answerable"]["answerable"]["f1"] > 0.8

    out = tmp_path / "model"
    models.save(model, out, head, tokenizer=tokenizer)
    stock = AutoModelForQuestionAnswering.from_pretrained(out).eval()
    import torch

    ids = torch.tensor(read.tokens[read.window(0)][None].astype(np.int64))
    types = torch.tensor(read.types[read.window(0)][None].astype(np.int64))
    with torch.no_grad():
        theirs = stock(input_ids=ids, token_type_ids=types, attention_mask=torch.ones_like(ids))
    assert np.allclose(theirs.start_logits[0], said[0][:, 0], atol=1e-4)
    assert np.allclose(theirs.end_logits[0], said[0][:, 1], atol=1e-4)
