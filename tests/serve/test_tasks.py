"""Every task behind one server, by three protocols."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

HERE = Path(__file__).parent


class Fakes:
    """The models of `fakes`, after one real one, served by a process of their own."""

    def __init__(self, folder: Path, pause_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "fakes.py"), str(pause_s), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(self.process.communicate(timeout=10)[1])
        self.client = httpx.Client(base_url=self.url, timeout=20, trust_env=False)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})

    def end(self) -> None:
        self.client.close()
        self.process.terminate()
        _, said = self.process.communicate(timeout=20)
        assert "Traceback" not in said, said


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[Fakes]:
    started = Fakes(model, 0.02)
    yield started
    started.end()


# -- /v1/predict


def test_every_task_answers_its_own_inputs_in_order(served: Fakes) -> None:
    def ask(model: str, *inputs: Any) -> list[Any]:
        body = served.post("/v1/predict", {"model": model, "inputs": inputs}).json()
        assert body["model"] == model
        return list(body["predictions"])

    first, none = ask("tagging", "😀 鲁迅出生于绍兴", "nothing")
    assert [(one["start"], one["end"]) for one in first["spans"]] == [(2, 4), (7, 9)] and none == {"spans": []}
    found, absent = ask(
        "question_answering", {"question": "when?", "context": "in 1889"}, {"text": "when?", "text_b": "never"}
    )
    assert (found["text"], found["start"]) == ("1889", 3) and absent["text"] == ""
    (ranked,) = ask("ranking", {"query": "a b", "candidates": ["c", "a b"]})
    assert [one["index"] for one in ranked["ranking"]] == [1, 0]
    spans = [{"start": 0, "end": 1, "label": "X"}, {"start": 2, "end": 3, "label": "Y"}]
    (related,) = ask("relation_extraction", {"text": "a b", "spans": spans})
    assert related["relations"][0]["label"] == "born_in"
    (said,) = ask("chat", {"messages": [{"role": "user", "content": "hello"}]})
    assert said["text"] == "you said : hello"
    (several,) = ask("multitask", "Warsaw")
    assert several["tone"]["label"] == "good" and several["names"]["spans"][0]["label"] == "LOC"


@pytest.mark.parametrize(
    ("task", "value", "says"),
    [
        ("question_answering", "when?", "inputs[1]: context is missing or empty"),
        ("question_answering", {"question": 3, "context": "x"}, "inputs[1]: text must be a string, not int"),
        ("ranking", {"query": "x"}, 'inputs[1]: give {"query", "candidates": [...]}'),
        ("tagging", {"text": "x", "text_b": "y"}, 'inputs[1]: unknown field "text_b"'),
        ("relation_extraction", "x", "inputs[1]: spans are missing"),
        ("ranking", {"query": "x", "candidates": ["\ud800"]}, "inputs[1].candidates[0] has half of a surrogate pair"),
    ],
)
def test_what_a_task_refuses_is_said_with_its_place(served: Fakes, task: str, value: Any, says: str) -> None:
    goods = {"tagging": "x", "ranking": {"query": "x", "candidates": ["y"]}, "question_answering": {"question": "x", "context": "y"}}  # fmt: skip
    good = goods.get(task) or {"text": "x y", "spans": [{"start": 0, "end": 1, "label": "X"}]}
    answer = served.post("/v1/predict", {"model": task, "inputs": [good, value]})
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == "invalid_inputs" and says in answer.json()["error"]["message"]


def test_models_are_listed_with_what_they_take_and_give(served: Fakes) -> None:
    models = {one["id"]: one for one in served.get("/v1/models").json()["data"]}
    assert [*models][:2] == ["letters", "tagging"]
    letters, chat = models["letters"], models["chat"]
    assert letters["labels"] == ["a", "b", "c"] and letters["version"] == "v-letters" and letters["format"] == "onnx"
    assert letters["answers"] == ["label", "score", "scores"]
    assert [one["name"] for one in letters["inputs"]] == ["text", "pair"]
    assert [one["fields"] for one in models["question_answering"]["inputs"]] == [["question", "context"]]
    assert "/v1/chat/completions" in chat["endpoints"] and "/v1/embeddings" in models["embedding"]["endpoints"]
    assert served.get("/v1/models/chat").json() == chat
    assert served.get("/v1/models/none").json()["error"]["code"] == "unknown_model"


def test_each_model_is_counted_by_itself(served: Fakes) -> None:
    served.post("/v1/predict", {"model": "tagging", "inputs": ["x"]})
    served.post("/v1/predict", {"model": "tagging", "inputs": [3]})
    page = served.get("/metrics").text
    for status in (200, 422):
        pattern = rf'burnish_model_requests_total\{{model="tagging",route="/v1/predict",status="{status}"\}} [1-9]'
        assert re.search(pattern, page), status
    assert re.search(r'burnish_model_request_seconds_count\{model="tagging"\} [1-9]', page)
    assert 'burnish_queue_texts{model="chat"} 0' in page


# -- Open Inference Protocol


def tensor(name: str, *data: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": list(data)} | more


def test_the_protocol_describes_server_and_models(served: Fakes) -> None:
    assert served.get("/v2").json()["name"] == "burnish"
    assert served.get("/v2/health/live").json() == {"live": True}
    assert served.get("/v2/health/ready").json()["ready"] is True
    about = served.get("/v2/models/letters").json()
    assert about == served.get("/v2/models/letters/versions/v-letters").json()
    assert about["versions"] == ["v-letters"] and about["platform"] == "onnx_onnxruntime"
    assert about["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    shapes = {one["name"]: (one["datatype"], one["shape"]) for one in about["outputs"]}
    assert shapes == {"answer": ("BYTES", [-1]), "label": ("BYTES", [-1]), "score": ("FP64", [-1]), "scores": ("FP64", [-1, 3])}  # fmt: skip
    assert served.get("/v2/models/letters/ready").json() == {"name": "letters", "ready": True}
    assert served.get("/v2/models/letters/versions/v-letters/ready").status_code == 200
    names = [one["name"] for one in served.get("/v2/models/ranking").json()["inputs"]]
    assert names == ["query", "candidates"]


def test_tensors_of_bytes_are_answered_by_tensors(served: Fakes) -> None:
    body = served.post("/v2/models/letters/infer", {"id": "7", "inputs": [tensor("text", "a", "b b")]}).json()
    assert (body["model_name"], body["model_version"], body["id"]) == ("letters", "v-letters", "7")
    outputs = {one["name"]: one for one in body["outputs"]}
    assert outputs["label"]["data"] == ["a", "b"] and outputs["scores"]["shape"] == [2, 3]
    assert outputs["score"]["data"][1] == outputs["scores"]["data"][4]
    assert json.loads(outputs["answer"]["data"][0])["label"] == "a"
    asked = {"inputs": [tensor("text", "c", shape=[1, 1], data=[["c"]])], "outputs": [{"name": "label"}]}
    body = served.post("/v2/models/letters/versions/v-letters/infer", asked).json()
    assert body["outputs"] == [{"name": "label", "datatype": "BYTES", "shape": [1], "data": ["c"]}]


def test_fields_are_tensors_and_whole_inputs_are_json(served: Fakes) -> None:
    two = [tensor("question", "when?"), tensor("context", "in 1889")]
    body = served.post("/v2/models/question_answering/infer", {"inputs": two}).json()
    assert {one["name"]: one["data"] for one in body["outputs"]}["text"] == ["1889"]
    two = [tensor("query", "a"), tensor("candidates", '["b", "a"]')]
    columns = served.post("/v2/models/ranking/infer", {"inputs": two}).json()
    whole = [tensor("inputs", json.dumps({"query": "a", "candidates": ["b", "a"]}))]
    assert served.post("/v2/models/ranking/infer", {"inputs": whole}).json() == columns
    assert json.loads(columns["outputs"][0]["data"][0])["ranking"][0]["text"] == "a"


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v2/models/none/infer", {}, 404, "no model"),
        ("/v2/models/letters/versions/3/infer", {}, 404, "no version"),
        ("/v2/models/letters/infer", {}, 400, "inputs"),
        ("/v2/models/letters/infer", {"inputs": [{"name": "text"}]}, 400, "datatype must be BYTES"),
        ("/v2/models/letters/infer", {"inputs": [tensor("text", "a", shape=[2])]}, 400, "asks for 2 elements"),
        ("/v2/models/letters/infer", {"inputs": [tensor("text", "a", shape=[1, 2])]}, 400, "shape must be"),
        ("/v2/models/letters/infer", {"inputs": [tensor("text", "a", data=[1])]}, 400, "data must be strings"),
        ("/v2/models/letters/infer", {"inputs": [tensor("text", "a"), tensor("text", "a")]}, 400, "two tensors"),
        ("/v2/models/letters/infer", {"inputs": [tensor("text", "a"), tensor("text_b", "a", "b")]}, 400, "differ"),
        ("/v2/models/letters/infer", {"inputs": [tensor("inputs", "{")]}, 400, "inputs[0] is not JSON"),
        ("/v2/models/letters/infer", {"inputs": [tensor("text", " ")]}, 400, "inputs[0]"),
        ("/v2/models/letters/infer", {"inputs": [tensor("txt", "x")]}, 400, "txt"),
        ("/v2/models/letters/infer", {"inputs": [tensor("text", *["a"] * 300)]}, 413, "256"),
        ("/v2/models/letters/infer", {"inputs": [tensor("text", "a")], "outputs": [{"name": "x"}]}, 400, "no output"),
        ("/v2/models/letters/infer", {"inputs": [tensor("text", "a")], "x": 1}, 400, "unknown field"),
        ("/v2/nowhere", {}, 404, "there is no"),
    ],
)
def test_errors_of_the_protocol_are_one_string(served: Fakes, path: str, body: Any, status: int, says: str) -> None:
    answer = served.post(path, body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and says in answer.json()["error"]


# -- OpenAI


def chat(*said: str, **more: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": one} for one in said], **more}


def events(answer: httpx.Response) -> list[Any]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    return [json.loads(one.removeprefix("data: ")) for one in answer.text.split("\n\n")[:-2]]


def test_a_conversation_is_answered_whole(served: Fakes) -> None:
    body = served.post("/v1/chat/completions", chat("one two")).json()
    assert body["object"] == "chat.completion" and body["id"].startswith("chatcmpl-") and body["model"] == "chat"
    (choice,) = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "you said : one two", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}
    cut = served.post("/v1/chat/completions", chat("one two", max_tokens=2)).json()["choices"][0]
    assert (cut["message"]["content"], cut["finish_reason"]) == ("you said", "length")
    parts = {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": " two"}]}
    same = served.post("/v1/chat/completions", {"model": "chat", "messages": [parts]}).json()["choices"]
    assert same == body["choices"]


def test_a_stream_says_the_same_piece_by_piece(served: Fakes) -> None:
    whole = served.post("/v1/chat/completions", chat("one two three")).json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    first, *more, last, usage = events(served.post("/v1/chat/completions", chat("one two three", **options)))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len(more) > 3 and all(one["id"] == first["id"] for one in more)
    said = "".join(one["choices"][0]["delta"]["content"] for one in more)
    assert said == whole["choices"][0]["message"]["content"]
    assert last["choices"][0]["finish_reason"] == "stop" and last["usage"] is None
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] == 6


def test_a_stop_ends_the_text_before_it_in_a_stream_too(served: Fakes) -> None:
    for stop in ("two three", ["x", " two"]):
        whole = served.post("/v1/chat/completions", chat("one two three four", stop=stop)).json()["choices"][0]
        *more, last = events(served.post("/v1/chat/completions", chat("one two three four", stop=stop, stream=True)))
        said = "".join(one["choices"][0]["delta"]["content"] for one in more)
        assert said == whole["message"]["content"] and said.strip() == "you said : one"
        assert last["choices"][0]["finish_reason"] == whole["finish_reason"] == "stop"
    cut = events(served.post("/v1/chat/completions", chat("one two three four", max_tokens=3, stream=True)))
    assert cut[-1]["choices"][0]["finish_reason"] == "length"


def test_prompts_are_completed_one_choice_each(served: Fakes) -> None:
    body = served.post("/v1/completions", {"model": "chat", "prompt": ["one", "two three"]}).json()
    assert [one["text"] for one in body["choices"]] == ["you said : one", "you said : two three"]
    assert [one["index"] for one in body["choices"]] == [0, 1] and body["usage"]["completion_tokens"] == 9
    streamed = events(served.post("/v1/completions", {"model": "chat", "prompt": ["one", "two"], "stream": True}))
    said = ["".join(e["choices"][0]["text"] for e in streamed if e["choices"][0]["index"] == n) for n in (0, 1)]
    assert said == ["you said : one", "you said : two"]


def test_who_hangs_up_ends_the_writing(served: Fakes) -> None:
    long = chat(*["one two three four five " * 50], max_tokens=250, stream=True)  # over five seconds of pauses
    with served.client.stream("POST", "/v1/chat/completions", json=long) as answer:
        next(answer.iter_bytes())
    began = time.monotonic()
    assert served.post("/v1/chat/completions", chat("one")).status_code == 200
    assert time.monotonic() - began < 3


def test_vectors_come_as_numbers_or_bytes_and_can_be_shortened(served: Fakes) -> None:
    body = served.post("/v1/embeddings", {"model": "embedding", "input": ["the cat", "cat cat sat"]}).json()
    assert body["object"] == "list" and [one["index"] for one in body["data"]] == [0, 1]
    assert body["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    vectors = np.array([one["embedding"] for one in body["data"]])
    assert vectors.shape == (2, 8) and vectors.sum() == 5
    packed = {"model": "embedding", "input": "the cat", "encoding_format": "base64"}
    data = served.post("/v1/embeddings", packed).json()["data"][0]["embedding"]
    assert np.array_equal(np.frombuffer(base64.b64decode(data), "<f4"), vectors[0].astype(np.float32))
    short = served.post("/v1/embeddings", {"model": "embedding", "input": "the cat", "dimensions": 4}).json()
    assert np.linalg.norm(short["data"][0]["embedding"]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/chat/completions", chat(), 400, "invalid_messages"),
        ("/v1/chat/completions", {"model": "chat", "messages": [{"role": "bot"}]}, 400, "invalid_messages"),
        ("/v1/chat/completions", chat("x") | {"model": "none"}, 404, "unknown_model"),
        ("/v1/chat/completions", chat("x") | {"model": "letters"}, 400, "not_a_generator"),
        ("/v1/chat/completions", chat("x", n=2), 400, "unsupported"),
        ("/v1/chat/completions", chat("x", tools=[{}]), 400, "unsupported"),
        ("/v1/chat/completions", chat("x", temprature=1), 400, "unknown_field"),
        ("/v1/chat/completions", chat("x", temperature=3), 400, "invalid_request"),
        ("/v1/chat/completions", chat("x", top_p="1"), 400, "invalid_request"),
        ("/v1/chat/completions", chat("x", max_tokens=0), 400, "invalid_request"),
        ("/v1/chat/completions", chat("x", seed=1.5), 400, "invalid_request"),
        ("/v1/chat/completions", chat("x", stop=[""]), 400, "invalid_request"),
        ("/v1/chat/completions", chat("x", stream=1), 400, "invalid_request"),
        ("/v1/chat/completions", chat("x", stream_options={}), 400, "invalid_request"),
        ("/v1/chat/completions", chat("refuse"), 400, "invalid_request"),
        ("/v1/completions", {"model": "chat", "prompt": [1, 2]}, 400, "invalid_prompt"),
        ("/v1/embeddings", {"model": "letters", "input": "x"}, 400, "no_embeddings"),
        ("/v1/embeddings", {"model": "embedding", "input": []}, 400, "invalid_input"),
        ("/v1/embeddings", {"model": "embedding", "input": [" "]}, 400, "invalid_inputs"),
        ("/v1/embeddings", {"model": "embedding", "input": "x", "dimensions": 9}, 400, "invalid_request"),
        ("/v1/embeddings", {"model": "embedding", "input": ["x"] * 300}, 413, "too_many_inputs"),
    ],
)
def test_errors_are_in_the_shape_of_openai(served: Fakes, path: str, body: Any, status: int, code: str) -> None:
    answer = served.post(path, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["type"] == "invalid_request_error" and error["message"]


def test_neutral_values_change_nothing(served: Fakes) -> None:
    neutral = {"n": 1, "presence_penalty": 0, "logprobs": False, "user": "me", "response_format": {"type": "text"}}
    assert served.post("/v1/chat/completions", chat("one", **neutral)).status_code == 200


def test_the_client_of_openai_is_content(served: Fakes) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=served.url + "/v1", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": "hello"}]
    said = client.chat.completions.create(model="chat", messages=messages, temperature=0)
    assert said.choices[0].message.content == "you said : hello"
    parts = client.chat.completions.create(model="chat", messages=messages, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == "you said : hello"
    assert client.completions.create(model="chat", prompt="one").choices[0].text == "you said : one"
    assert len(client.embeddings.create(model="embedding", input="the cat").data[0].embedding) == 8
    assert next(iter(client.models.list())).id == "letters"
    with pytest.raises(openai.NotFoundError, match="no model"):
        client.chat.completions.create(model="none", messages=messages)
