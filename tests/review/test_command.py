"""`burnish review` as people type it: the page of a run, a killed server, the files of other tools, the next run."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import httpx
import pytest

SPEC = """\
burnish: 1
name: shop
task: {type: classification, labels: [negative, positive], languages: [en, zh]}
sources: {use: jsonl, path: raw.jsonl, fields: {text: text, label: label}}
"""
TEXTS = ["kettle is fine", "broke at once", "很好用", "第二天就坏了"]


@pytest.fixture
def run(tmp_path: Path, burnish) -> Path:
    """A run without a review section: its page opens all the same."""
    rows = [{"id": f"r{at}", "text": text, "label": "positive"} for at, text in enumerate(TEXTS)]
    (tmp_path / "raw.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    (tmp_path / "burnish.yaml").write_text(SPEC, "utf-8")
    done = burnish("run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


def address(process) -> str:
    for line in process.stderr:
        if found := re.search(r"open (http://\S+)", line):
            return found[1]
    raise AssertionError("it told no address")


def test_a_decision_outlives_a_killed_server_and_goes_into_the_next_run(run: Path, burnish) -> None:
    server = burnish("review", "runs/shop", "--port", "0", cwd=run, wait=False)
    try:
        at = address(server)
        assert at.startswith("http://127.0.0.1:") and "token" not in at
        given = {"id": "r1", "reviewer": "安", "verdict": "change", "target": {"label": "negative"}}
        with httpx.Client(base_url=at) as client:
            assert client.get("/api/about").json()["queues"]["review"] == 4
            assert client.post("/api/verdict", json=given, headers={"X-Burnish": "review"}).status_code == 200
    finally:
        server.send_signal(signal.SIGKILL)
        server.communicate()
    (line,) = (run / "shop.verdicts.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["target"] == {"label": "negative"}
    (run / "burnish.yaml").write_text(SPEC + "review: queue\n", "utf-8")
    done = burnish("run", cwd=run)
    assert done.returncode == 0 and "1 decided: 0 accepted, 1 changed" in done.stderr
    told = burnish("lineage", "r1", cwd=run)
    assert "review: negative by 安, was positive" in told.stdout
    again = burnish("review", "runs/shop", "--to-label-studio", "out.json", cwd=run)
    assert again.returncode == 0 and "1 verdicts" in again.stdout
    tasks = {one["data"]["id"]: one for one in json.loads((run / "out.json").read_text("utf-8"))}
    # what is shown is what was constructed, not what the verdict made of it
    assert tasks["r1"]["predictions"][0]["result"][0]["value"]["choices"] == ["positive"]
    (run / "shop.verdicts.jsonl").rename(run / "kept.jsonl")
    back = burnish("review", "runs/shop", "--from-label-studio", "out.json", cwd=run)
    assert back.stdout.startswith("1 verdicts taken")
    assert json.loads((run / "shop.verdicts.jsonl").read_text("utf-8")) == json.loads(
        (run / "kept.jsonl").read_text("utf-8")
    )


def test_beyond_this_machine_the_address_carries_a_token(run: Path, burnish) -> None:
    server = burnish("review", "runs/shop", "--port", "0", "--host", "0.0.0.0", cwd=run, wait=False)
    try:
        at, token = address(server).split("#token=")
        assert len(token) >= 24
        at = at.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(at + "api/about").status_code == 401
        assert httpx.get(at + "api/about", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=20)


def test_what_cannot_be_opened_says_what_to_do(run: Path, burnish) -> None:
    for arguments, says in (
        (["runs/nowhere"], "burnish runs"), (["runs/shop", "--guidelines", "no.md"], "no file of guidelines"),
        (["runs/shop", "--from-argilla", "raw.jsonl"], "no export of argilla"), (["runs/shop", "--verdicts", "no/v.jsonl"], "no folder"),
    ):  # fmt: skip
        done = burnish("review", *arguments, cwd=run)
        assert done.returncode in (1, 2) and says in done.stderr and "Traceback" not in done.stderr, done.stderr
