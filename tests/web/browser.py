"""
Debian's Chromium, driven through its DevTools protocol.

::

    with Browser() as browser:
        page = browser.open("http://127.0.0.1:5000/ui")
        page.wait("document.querySelector('h1')", "a heading")
        page.type("#user", "admin")
        page.press("Enter")
        page.screenshot(Path("light.png"))
        assert not page.complaints

The browser speaks it over two pipes (``--remote-debugging-pipe``): JSON messages with a zero byte after each.  So no
driver, no port and no library is needed.  Calls block; use them in a ``SynchronousTestCase``.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE_S = 60.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--lang=en-GB",
)


def chromium() -> str | None:
    """Where it is, if it is installed."""
    return shutil.which("chromium")


class BrowserError(Exception):
    """The browser ended, did not answer, or refused a call; or a script on the page failed."""


class Browser:
    """One browser process with an empty profile of its own; ``close`` ends it and removes that."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cloudd-browser-"))
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The browser wants them as 3 and 4; higher copies cannot be in the way of each other.
        passed = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 20) for descriptor in (to_browser, from_browser)]
        command = [chromium() or "chromium", *FLAGS, f"--user-data-dir={self._folder}", "--remote-debugging-pipe"]
        script = f'exec "$@" 3<&{passed[0]} 4>&{passed[1]} {passed[0]}<&- {passed[1]}>&-'
        with (self._folder / "browser.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", script, "bash", *command, "about:blank"],
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(self._folder), "TZ": "UTC"},
                start_new_session=True,
            )
        for descriptor in (to_browser, from_browser, *passed):
            os.close(descriptor)
        self._changed = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self._pages: dict[str, Page] = {}
        self._number = 0
        self._ended = False
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open(self, url: str, *, width: int = 1280, height: int = 900) -> Page:
        """A page in a browser context of its own: no cookies are shared."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session, context)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.go(url)
        return page

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """
        :raises BrowserError: it refuses, or does not answer in time
        """
        with self._changed:
            self._number += 1
            number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        with self._changed:
            self._changed.wait_for(lambda: number in self._answers or self._ended, PATIENCE_S)
            answer = self._answers.pop(number, None)
        if answer is None:
            raise BrowserError(f"{method}: no answer\n{self.log()}")
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        found: dict[str, Any] = answer["result"]
        return found

    def log(self) -> str:
        """The end of what the browser printed."""
        return (self._folder / "browser.log").read_text(errors="replace")[-2000:]

    def close(self) -> None:
        """End the browser with all its processes."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._write)
        self._reader.join(PATIENCE_S)
        os.close(self._read)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> None:
        received = b""
        while data := os.read(self._read, 1 << 20):
            received += data
            *messages, received = received.split(b"\0")
            for message in messages:
                self._take(json.loads(message))
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        with self._changed:
            if "id" in message:
                self._answers[message["id"]] = message
                self._changed.notify_all()
                return
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None:
            page.happened(message["method"], message["params"])


class Page:
    """
    One page.

    :ivar complaints: what no page should give rise to: errors on the console, exceptions, requests that failed or were
        answered with 400 or more; one line each
    :ivar loads: how often a document was loaded in its main frame
    :ivar requests: URLs in the order in which they were asked for
    """

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context
        self._asked: dict[str, str] = {}
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.loads = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A call of the DevTools protocol for this page."""
        return self._browser.call(method, self._session, **parameters)

    def close(self) -> None:
        """Close it, and forget its cookies."""
        self._browser.call("Target.disposeBrowserContext", browserContextId=self._context)

    def happened(self, method: str, facts: dict[str, Any]) -> None:
        """The browser tells of an event; called in its thread."""
        if method == "Network.requestWillBeSent":
            self._asked[facts["requestId"]] = facts["request"]["url"]
            self.requests.append(facts["request"]["url"])
        elif method == "Network.responseReceived" and facts["response"]["status"] >= 400:
            self.complaints.append(f"{facts['response']['status']} {facts['response']['url']}")
        elif method == "Network.loadingFailed" and not facts.get("canceled"):
            self.complaints.append(f"{facts['errorText']} {self._asked.get(facts['requestId'], '')}")
        elif method == "Runtime.exceptionThrown":
            details = facts["exceptionDetails"]
            self.complaints.append(f"exception: {details.get('exception', {}).get('description', details['text'])}")
        elif method == "Runtime.consoleAPICalled" and facts["type"] in {"error", "warning", "assert"}:
            self.complaints.append(f"console: {[one.get('value') for one in facts['args']]}")
        elif method == "Log.entryAdded" and facts["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"log: {facts['entry']['text']} {facts['entry'].get('url', '')}")
        elif method == "Page.frameNavigated" and "parentId" not in facts["frame"]:
            self.loads += 1

    def go(self, url: str) -> None:
        """Load another document; returns when its loading has begun."""
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")

    def run(self, script: str) -> Any:
        """
        The value of an expression on the page, awaited where it is a promise.

        :raises BrowserError: it throws
        """
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script[:200]}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, script: str, what: str, patience_s: float = PATIENCE_S) -> None:
        """
        Wait until an expression is true; what it throws means: not yet.

        :raises AssertionError: it does not become true
        """
        deadline = time.monotonic() + patience_s
        thrown = ""
        while time.monotonic() < deadline:
            try:
                if self.run(f"Boolean({script})"):
                    return
            except BrowserError as error:  # the document is not there yet, or another one comes
                thrown = str(error)
            time.sleep(0.03)
        raise AssertionError(f"waited in vain for {what}: {self.text()[:3000]}\n{self.complaints}\n{thrown}")

    def text(self, selector: str = "body") -> str:
        """What a person reads there."""
        found = self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return str(found)

    def type(self, selector: str, text: str) -> None:
        """Put the focus into a field, select what it holds, and type over it."""
        self.run(f"(field => {{ field.focus(); field.select(); }})(document.querySelector({json.dumps(selector)}))")
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """One key: ``Enter``, ``Tab`` or another named one."""
        codes = {"Enter": (13, "\r"), "Tab": (9, ""), " ": (32, " ")}
        code, text = codes[key]
        facts = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def resize(self, width: int, height: int) -> None:
        """The size of the window's content, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def prefer(self, **media: str) -> None:
        """Media features, ``_`` for ``-``: ``prefers_color_scheme="dark"``."""
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        taken = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))
