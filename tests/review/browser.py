"""A real browser without a driver: Debian's chromium, spoken to over the DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--remote-debugging-port=0", "--force-device-scale-factor=1", "--hide-scrollbars"]  # fmt: skip
WAIT_S = 15.0
KEYS = {"Enter": 13, "Tab": 9, "Escape": 27, "Delete": 46, "Backspace": 8, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}  # fmt: skip
SHIFT, CTRL, ALT = 8, 2, 1


class Browser:
    """One tab. Input goes in where a person's would: keys and mouse as events of the browser itself."""

    def __init__(self, width: int = 1440, height: int = 900) -> None:
        websocket = pytest.importorskip("websockets.sync.client")
        if not CHROMIUM.exists():
            pytest.skip(f"no {CHROMIUM}: the page is not driven by a real browser")
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        flags = [*FLAGS, f"--user-data-dir={self.folder.name}", f"--window-size={width},{height}", "about:blank"]
        self.process = subprocess.Popen([CHROMIUM, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = Path(self.folder.name) / "DevToolsActivePort"
        end = time.monotonic() + 30
        while not (port_file.exists() and port_file.read_text().count("\n")):
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                pytest.skip("chromium does not start here")
            time.sleep(0.05)
        port = port_file.read_text().split("\n")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            tabs = json.load(answer)
        tab = next(one for one in tabs if one["type"] == "page")
        self.open_ends = contextlib.ExitStack()
        self.socket = self.open_ends.enter_context(websocket.connect(tab["webSocketDebuggerUrl"], max_size=2**26))
        self.number = itertools.count(1)
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def call(self, method: str, **parameters: Any) -> Any:
        number = next(self.number)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self.socket.recv(timeout=WAIT_S))
            if told.get("id") == number:
                if "error" in told:
                    raise AssertionError(f"{method}: {told['error']}")
                return told["result"]
            self._hear(told)

    def _hear(self, told: dict[str, Any]) -> None:
        if told["method"] == "Runtime.exceptionThrown":
            detail = told["params"]["exceptionDetails"]
            self.errors.append(detail.get("exception", {}).get("description") or detail["text"])
        elif told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
            self.errors.append(told["params"]["entry"]["text"])
        elif told["method"] == "Network.requestWillBeSent":
            self.requests.append(told["params"]["request"]["url"])

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.until("document.body?.dataset.ready === 'true'")

    def eval(self, script: str) -> Any:
        made = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in made, made["exceptionDetails"]
        return made["result"].get("value")

    def until(self, script: str, wait_s: float = WAIT_S) -> Any:
        end = time.monotonic() + wait_s
        while not (value := self.eval(script)):
            assert time.monotonic() < end, (
                f"never came true: {script}\n{self.errors}\n{self.eval('document.body.innerText')[:1500]}"
            )
            time.sleep(0.02)
        return value

    def text(self, selector: str) -> str:
        return str(self.eval(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def press(self, *keys: str, held: int = 0) -> None:
        """Keys as a person presses them: "a", "3", "Enter"."""
        for key in keys:
            code = KEYS.get(key) or ord(key.upper())
            named = {
                "key": key,
                "code": key if key in KEYS else f"Digit{key}" if key.isdigit() else f"Key{key.upper()}",
                "windowsVirtualKeyCode": code,
            }
            said = {} if key in KEYS and key != "Enter" else {"text": "\r" if key == "Enter" else key}
            self.call(
                "Input.dispatchKeyEvent", type="keyDown" if said else "rawKeyDown", modifiers=held, **named, **said
            )
            self.call("Input.dispatchKeyEvent", type="keyUp", modifiers=held, **named)

    def write(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def mouse(self, kind: str, x: float, y: float, *, buttons: int = 0) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left" if kind != "mouseMoved" or buttons else "none", buttons=buttons, clickCount=0 if kind == "mouseMoved" else 1)  # fmt: skip

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, buttons=1)
        for step in range(1, 6):
            self.mouse("mouseMoved", *(a + (b - a) * step / 5 for a, b in zip(start, end, strict=True)), buttons=1)
        self.mouse("mouseReleased", *end)

    def click(self, selector: str) -> None:
        x, y = self.middle(selector)
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, buttons=1)
        self.mouse("mouseReleased", x, y)

    def middle(self, selector: str) -> tuple[float, float]:
        box = self.until(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); if (!one) return null; one.scrollIntoView({{block: 'nearest'}}); const r = one.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        )
        return box[0], box[1]

    def words(self, text: str, within: str = ".marked") -> tuple[tuple[float, float], tuple[float, float]]:
        """Where words stand on the screen: the points before their first and behind their last letter."""
        script = f"""(() => {{
          const root = document.querySelector({json.dumps(within)}), walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), range = document.createRange();
          for (let node; (node = walk.nextNode());) {{
            const at = node.data.indexOf({json.dumps(text)});
            if (at < 0) continue;
            range.setStart(node, at); range.setEnd(node, at + {len(text.encode("utf-16-le")) // 2});
            const boxes = [...range.getClientRects()], first = boxes[0], last = boxes.at(-1);
            return [[first.left + 1, first.top + first.height / 2], [last.right - 1, last.top + last.height / 2]];
          }}
          return null;
        }})()"""
        start, end = self.until(script)
        return tuple(start), tuple(end)

    def shoot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        if hasattr(self, "open_ends"):
            self.open_ends.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()
