"""What may be sent, and what is said about the rest."""

from __future__ import annotations

import json
import re
import socket
import time
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = {"Content-Type": "application/json"}


def ask(server: Any, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(server.url + "/v1/predict", content=content, headers={**JSON, **headers})


def raw(server: Any, sent: bytes, *, timeout: float = 5.0) -> bytes:
    """Send bytes, read until the server hangs up or falls silent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as client:
        client.sendall(sent)
        got = b""
        try:
            while more := client.recv(65536):
                got += more
        except TimeoutError:
            pass
        return got


def test_texts_are_answered_in_order_with_label_score_and_scores(server: Any) -> None:
    answer = ask(server, {"inputs": ["c", "a b b", {"text": "b", "text_b": "a a"}, "甲"]})
    assert answer.status_code == 200
    body = answer.json()
    assert [each["label"] for each in body["predictions"]] == ["c", "b", "a", "a"]
    assert body["model"] == "letters" and body["version"] == "v-letters"
    first = body["predictions"][0]
    assert first["score"] == max(first["scores"].values()) == pytest.approx(0.576117)  # e / (e + 2)
    assert sum(first["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_a_model_is_chosen_by_name(server: Any) -> None:
    assert ask(server, {"inputs": ["a"], "model": "other"}).json()["version"] == "v-other"
    listed = httpx.get(server.url + "/v1/models").json()["data"]
    assert [each["id"] for each in listed] == ["letters", "other"]


@pytest.mark.parametrize(
    ("body", "status", "kind", "says"),
    [
        (b'{"inputs": [\n"a",]}', 400, "bad_json", "line 2, column 5"),
        (b"", 400, "bad_json", "line 1"),
        (b'{"inputs": ["\xff"]}', 400, "bad_json", "byte 13"),
        (b"[" * 5000, 400, "bad_json", "JSON"),
        (b'{"inputs": [' + b"9" * 5000 + b"]}", 400, "bad_json", "JSON"),
        ([], 422, "invalid_request", "object"),
        ({}, 422, "invalid_inputs", "inputs"),
        ({"inputs": []}, 422, "invalid_inputs", "at least one"),
        ({"inputs": "a"}, 422, "invalid_inputs", "list"),
        ({"inputs": ["a", 3]}, 422, "invalid_inputs", "inputs[1]"),
        ({"inputs": ["a", "a", " "]}, 422, "invalid_inputs", "inputs[2]"),
        ({"inputs": [{"text": None}]}, 422, "invalid_inputs", "inputs[0].text"),
        ({"inputs": [{"texte": "a"}]}, 422, "invalid_inputs", '"texte"'),
        ({"inputs": [{"text": "a", "text_b": 1}]}, 422, "invalid_inputs", "inputs[0].text_b"),
        (b'{"inputs": ["\\ud800"]}', 422, "invalid_inputs", "surrogate"),
        ({"inputs": ["a"], "modle": "x"}, 422, "invalid_request", '"modle"'),
        ({"inputs": ["a"], "model": 7}, 422, "invalid_request", "string"),
        ({"inputs": ["a"], "model": "nope"}, 404, "unknown_model", "letters, other"),
        ({"inputs": ["a"] * 65}, 413, "too_many_inputs", "64"),
        (b" " * 20_001, 413, "body_too_large", "20000"),
    ],
)
def test_every_mistake_has_its_status_and_says_where(server: Any, body: Any, status: int, kind: str, says: str) -> None:
    answer = ask(server, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, kind)
    assert says in error["message"]


def test_wrong_routes_methods_and_types(server: Any) -> None:
    assert httpx.get(server.url + "/nowhere").json()["error"]["type"] == "not_found"
    wrong = httpx.get(server.url + "/v1/predict")
    assert wrong.status_code == 405 and wrong.headers["allow"] == "POST"
    assert httpx.post(server.url + "/v1/predict", content=b"{}").status_code == 415
    bare = raw(server, b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert bare.startswith(b"HTTP/1.1 411")


def test_a_page_elsewhere_cannot_reach_a_server_without_token(server: Any) -> None:
    rebound = ask(server, {"inputs": ["a"]}, Host="evil.example:8080")
    assert rebound.status_code == 421


def test_bodies_in_chunks_and_requests_in_a_row(server: Any) -> None:
    body = json.dumps({"inputs": ["b"]}).encode()
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunked = (
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    )
    last = head + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    got = raw(server, chunked * 20 + last)
    assert got.count(b"HTTP/1.1 200") == 21
    assert got.count(b'"label":"b"') == 21


def test_head_answers_without_body_and_expect_is_met(server: Any) -> None:
    got = raw(server, b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200") and got.endswith(b"\r\n\r\n")
    body = b'{"inputs":["a"]}'
    got = raw(
        server,
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
    )
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_what_is_not_http_is_refused(server: Any) -> None:
    assert raw(server, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400")
    long = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000
    assert raw(server, long).startswith(b"HTTP/1.1 431")
    both = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert raw(server, both).startswith(b"HTTP/1.1 400")  # the two lengths that smuggle a request past a proxy


def test_too_large_a_body_is_refused_before_it_has_come(server: Any) -> None:
    began = time.monotonic()
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"
    assert raw(server, head + b"x" * 50_000).startswith(b"HTTP/1.1 413")
    assert time.monotonic() - began < 4


def test_the_page_is_offline_and_allows_only_its_own_script(server: Any) -> None:
    page = httpx.get(server.url + "/")
    assert not re.search(r"(src|href)=.https?:", page.text) and "innerHTML" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "sha256-" in policy and "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"


def test_metrics_count_requests_errors_and_batches(server: Any) -> None:
    ask(server, {"inputs": ["a", "b"]})
    ask(server, b"{")
    page = httpx.get(server.url + "/metrics").text
    for pattern in (
        r'burnish_requests_total\{route="/v1/predict",status="200"\} [1-9]',
        r'burnish_errors_total\{type="bad_json"\} [1-9]',
        r'burnish_request_seconds_bucket\{le="\+Inf"\} [1-9]',
        r'burnish_batch_texts_count\{model="letters"\} [1-9]',
        r'burnish_queue_texts\{model="letters"\} 0',
    ):
        assert re.search(pattern, page), pattern


wild = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["text", "text_b", "x"]), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60) | st.fixed_dictionaries({"inputs": st.lists(wild, max_size=4) | wild}))
def test_no_body_makes_the_server_fail(server: Any, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with httpx.Client(trust_env=False) as client:
        answer = client.post(server.url + "/v1/predict", content=content, headers=JSON)
    assert answer.status_code in (200, 400, 413, 422)
    if answer.status_code != 200:
        assert set(answer.json()["error"]) == {"type", "message"}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(min_size=1, max_size=200), cut=st.integers(0, 120))
def test_no_bytes_make_the_server_fail(server: Any, junk: bytes, cut: int) -> None:
    good = (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(good[:cut] + junk)
    assert httpx.get(server.url + "/healthz").json() == {"status": "alive"}
    assert server.process.poll() is None
