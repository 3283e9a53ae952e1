"""A Chromium without a window, for tests of pages: opened from a file, asked by JavaScript, looked at as a picture.

    with Chromium() as browser:
        browser.navigate("page.html")
        browser.evaluate("document.title")
        browser.key("ArrowDown")
        browser.screenshot("page.png", width=390, height=844, dark=True)
        assert browser.errors == [] and browser.left == []

Speaks the DevTools protocol over a pair of pipes, so that no port is opened, with the standard library alone. The browser's profile is a
folder of its own that goes with it, and no name resolves, so that a page which wants the network is caught and gets nothing.
"""
import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run", "--disable-extensions", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio",
         "--host-resolver-rules=MAP * ~NOTFOUND")
# What stays on the machine, or within the page.
LOCAL = ("file:", "data:", "blob:", "about:")
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "Backspace": 8, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35,
        "PageUp": 33, "PageDown": 34, " ": 32}
TEXTS = {"Enter": "\r", "Escape": ""}


def program() -> str | None:
    """The browser of this machine; None: there is none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def skip_without() -> None:
    """Ends the test as skipped where there is no browser."""
    if program() is None:
        print(f"gaze-skip: no browser: none of {', '.join(PROGRAMS)} is installed (apt-get install chromium)")
        raise SystemExit(0)


class Chromium:
    """@param seconds within which every answer must come; a page that hangs fails instead of waiting on."""

    def __init__(self, seconds: float = 60):
        self.seconds = seconds
        self.errors: list[str] = []  # of the console, uncaught exceptions and what the page's policy refused
        self.left: list[str] = []    # addresses that a page asked for beyond this machine
        self._number, self._buffer, self._events = 0, b"", []
        self._profile = tempfile.TemporaryDirectory(prefix="gaze-browser-", ignore_cleanup_errors=True)
        (inward, self._send), (self._receive, outward) = os.pipe(), os.pipe()

        def as_three_and_four():
            first, second = os.dup(inward), os.dup(outward)
            os.dup2(first, 3)
            os.dup2(second, 4)

        # All other files are closed at exec already: Python opens them so.
        self._process = subprocess.Popen([program(), *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"], preexec_fn=as_three_and_four,
                                         close_fds=False, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        os.close(inward)
        os.close(outward)
        try:
            pages = [each for each in self.call("Target.getTargets", session=None)["targetInfos"] if each["type"] == "page"]
            target = pages[0]["targetId"] if pages else self.call("Target.createTarget", session=None, url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", session=None, targetId=target, flatten=True)["sessionId"]
            self._watch(self._session)
            self.call("Page.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Ends the browser that this object started, and nothing else."""
        for end in (self._send, self._receive):
            os.close(end)
        try:
            self._process.wait(10)  # it ends when its pipe does
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._profile.cleanup()

    # ---- what a test does

    def navigate(self, file: Path | str) -> None:
        """Opens a file and waits until it is loaded. `#fragments` of a string are kept."""
        name, mark, fragment = str(file).partition("#")
        self.errors.clear()
        self.left.clear()
        self._events = [event for event in self._events if event["method"] != "Page.loadEventFired"]
        went = self.call("Page.navigate", url=Path(name).resolve().as_uri() + mark + fragment)
        if "errorText" in went:
            raise RuntimeError(f"{file}: {went['errorText']}")
        if "loaderId" in went:  # else only the fragment is another
            self._wait_for("Page.loadEventFired")

    def evaluate(self, script: str):
        """The value of an expression in the page; promises are waited for. What it throws is raised."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait_until(self, condition: str) -> None:
        """Waits, frame by frame of the page, until an expression is true."""
        self.evaluate(f"new Promise((done, failed) => {{ const end = performance.now() + {1000 * self.seconds / 2};"
                      f"const look = () => {{ let holds = false; try {{ holds = ({condition}); }} catch (error) {{ return failed(error); }}"
                      f"if (holds) done(true); else if (performance.now() > end) failed(new Error('never: ' + {json.dumps(condition)}));"
                      "else requestAnimationFrame(look); }; look(); })")

    def key(self, name: str, modifiers: int = 0) -> None:
        """Presses a key: a character, or a name as in KeyboardEvent.key. `modifiers`: 1 Alt, 2 Ctrl, 4 Meta, 8 Shift."""
        text = TEXTS.get(name, name if len(name) == 1 else "")
        code = KEYS.get(name, ord(name.upper()) if len(name) == 1 else 0)
        event = {"key": name, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)
        self._settle()

    def type(self, text: str) -> None:
        """Writes a text where the focus is."""
        self.call("Input.insertText", text=text)
        self._settle()

    def click(self, selector: str) -> None:
        """Clicks the middle of the first element that fits, scrolled into view."""
        box = self.evaluate(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null; e.scrollIntoView({{block: 'nearest'}});"
                            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        if box is None:
            raise RuntimeError(f"no element {selector}")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)
        self._settle()

    def window(self, width: int, height: int, dark: bool = False, scale: float = 1) -> None:
        """The size of the page in CSS pixels, and which colours are preferred."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self._settle()

    def screenshot(self, path: Path | str, width: int = 1440, height: int = 900, dark: bool = False) -> None:
        """A PNG of the window."""
        self.window(width, height, dark)
        self._settle()
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def pdf(self, path: Path | str) -> None:
        """The page as it is printed."""
        Path(path).write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))

    # ---- the protocol

    def call(self, method: str, session: str | None = "", **parameters) -> dict:
        """One command of the DevTools protocol. @throws RuntimeError with the browser's own words."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session or self._session
        self._write(message)
        number, end = self._number, time.monotonic() + self.seconds
        while True:
            answer = self._read(end, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _write(self, message: dict) -> None:
        raw = json.dumps(message).encode() + b"\0"
        while raw:
            raw = raw[os.write(self._send, raw):]

    def _watch(self, session: str) -> None:
        """Errors and requests of a page, or of a frame that has a process of its own."""
        for method in ("Runtime.enable", "Log.enable", "Network.enable"):
            self._number += 1
            self._write({"id": self._number, "method": method, "sessionId": session, "params": {}})
        self._number += 1
        self._write({"id": self._number, "method": "Target.setAutoAttach", "sessionId": session,
                     "params": {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True}})

    def _wait_for(self, event: str) -> None:
        end = time.monotonic() + self.seconds
        while not any(each["method"] == event for each in self._events):
            self._read(end, event)

    def _settle(self) -> None:
        """Two frames: the page has seen what was done, and is drawn."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def _read(self, end: float, what: str) -> dict:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._receive], [], [], max(0, end - time.monotonic()))
            more = os.read(self._receive, 1 << 20) if ready else b""
            if not more:
                raise RuntimeError(f"{what}: the browser " + (f"ended with {self._process.poll()}" if ready else f"did not answer in {self.seconds} s"))
            self._buffer += more
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(raw)
        if "method" in message:
            self._note(message["method"], message["params"])
            self._events.append({"method": message["method"]})
            del self._events[:-1000]
        return message

    def _note(self, event: str, what: dict) -> None:
        if event == "Runtime.exceptionThrown":
            details = what["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif event == "Runtime.consoleAPICalled" and what["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(each.get("value", each.get("description", ""))) for each in what["args"]))
        elif event == "Log.entryAdded" and what["entry"]["level"] == "error":
            self.errors.append(what["entry"]["text"] + " " + what["entry"].get("url", ""))
        elif event == "Network.requestWillBeSent" and not what["request"]["url"].startswith(LOCAL):
            self.left.append(what["request"]["url"])
        elif event == "Target.attachedToTarget":
            self._watch(what["sessionId"])
