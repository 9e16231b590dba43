"""Drives a real, headless Chromium: opens a file, asks it, points, touches, types, takes pictures.

Over the DevTools protocol, https://chromedevtools.github.io/devtools-protocol/tot/. Tests that use it bear
`needs_browser`, and take a `Browser` from `launch`, which ends the one process that it started, and waits for it,
whatever happens.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
import websocket

START_S = 30.0  # for Chromium to say where it listens
ANSWER_S = 20.0  # for each command
CLOSE_S = 10.0
_ALT, _CONTROL, _META, _SHIFT = 1, 2, 4, 8  # Input.dispatchKeyEvent, `modifiers`
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it runs as root in containers, and opens nothing but our own files
    "--remote-debugging-port=0",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # nothing is reached by name
)
_KEYS = {  # key: (code, Windows' virtual key code)
    "Tab": ("Tab", 9),
    "Enter": ("Enter", 13),
    "Escape": ("Escape", 27),
    " ": ("Space", 32),
    "End": ("End", 35),
    "Home": ("Home", 36),
    "ArrowLeft": ("ArrowLeft", 37),
    "ArrowUp": ("ArrowUp", 38),
    "ArrowRight": ("ArrowRight", 39),
    "ArrowDown": ("ArrowDown", 40),
    "0": ("Digit0", 48),
    "+": ("Equal", 187),
    "-": ("Minus", 189),
}

needs_browser = pytest.mark.skipif(
    os.environ.get("GAMEDAY_TEST_BROWSER") != "1",
    reason="drives a real Chromium: set GAMEDAY_TEST_BROWSER=1 where there is one",
)


class BrowserError(Exception):
    """Chromium did not start, did not answer in time, or refused a command."""


class _Socket:
    """One connection: commands are answered in turn, and what happens meanwhile is told to `hear`."""

    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(url, timeout=ANSWER_S, suppress_origin=True)
        self._last = 0

    def post(self, method: str, parameters: dict[str, Any]) -> int:
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        return self._last

    def receive(self, until: float) -> dict[str, Any]:
        """The next message. Raises BrowserError when none comes until then (`time.monotonic`)."""
        left = until - time.monotonic()
        if left <= 0:
            raise BrowserError("no answer in time")
        self._socket.settimeout(left)
        try:
            message: dict[str, Any] = json.loads(self._socket.recv())
        except websocket.WebSocketTimeoutException:
            raise BrowserError("no answer in time") from None
        except (websocket.WebSocketException, OSError) as error:
            raise BrowserError(f"the connection is lost: {error}") from error
        return message

    def close(self) -> None:
        with suppress(websocket.WebSocketException, OSError):
            self._socket.close(timeout=1)


class Page:
    """A tab. `complaints`: errors, warnings, exceptions and violated policies; `dialogs`: the texts of those that a
    script opened, each dismissed; `requests`: every URL that was asked for, the page's own among them."""

    def __init__(self, browser: "Browser", target: str, url: str) -> None:
        self._browser, self._target, self._socket = browser, target, _Socket(url)
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        self.requests: list[str] = []
        self._loads = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()
        with suppress(BrowserError):
            self._browser.send("Target.closeTarget", targetId=self._target)

    # -- the protocol

    def send(self, method: str, *, timeout_s: float = ANSWER_S, **parameters: Any) -> dict[str, Any]:
        """The result of a command. Raises BrowserError when there is none."""
        number, until = self._socket.post(method, parameters), time.monotonic() + timeout_s
        try:
            while (message := self._socket.receive(until)).get("id") != number:
                self._hear(message)
        except BrowserError as error:
            raise BrowserError(f"{method}: {error}") from None
        if "error" in message:
            raise BrowserError(f"{method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    def _hear(self, message: dict[str, Any]) -> None:
        what = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loads += 1
            case "Page.javascriptDialogOpening":
                self.dialogs.append(what["message"])
                self._socket.post("Page.handleJavaScriptDialog", {"accept": False})
            case "Runtime.exceptionThrown":
                details = what["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description", details["text"]))
            case "Runtime.consoleAPICalled" if what["type"] in ("error", "warning", "assert"):
                self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in what["args"]))
            case "Log.entryAdded" if what["entry"]["level"] in ("error", "warning"):
                self.complaints.append(what["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(what["request"]["url"])

    def open(self, where: Path | str) -> None:
        """Load a file or a URL, to its `load` event."""
        loads, until = self._loads, time.monotonic() + ANSWER_S
        done = self.send("Page.navigate", url=where.resolve().as_uri() if isinstance(where, Path) else where)
        if "errorText" in done:
            raise BrowserError(f"{where}: {done['errorText']}")
        while self._loads == loads:
            self._hear(self._socket.receive(until))

    def evaluate(self, expression: str) -> Any:
        """The value of this JavaScript, awaited if it is a promise. Raises BrowserError with what it throws."""
        done = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            details = done["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return done["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """Its value as soon as that is true. Raises BrowserError when it does not become so in time."""
        until = time.monotonic() + ANSWER_S
        while not (value := self.evaluate(expression)):
            if time.monotonic() > until:
                raise BrowserError(f"{expression} did not become true")
            self.settle()
        return value

    def settle(self) -> None:
        """Until what has been done is drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    # -- how it is looked at

    def resize(self, width: int, height: int = 900, *, touch: bool = False) -> None:
        """The window's inside, in CSS pixels; `touch`: as of a telephone."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch, maxTouchPoints=5 if touch else 1)

    def media(self, kind: str = "", **features: str) -> None:
        """`kind`: "print" or "screen"; features by name, `prefers_color_scheme="dark"`. What is not named is reset."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", media=kind, features=named)

    def allow_scripts(self, allowed: bool) -> None:
        """Of pages that are opened from now on."""
        self.send("Emulation.setScriptExecutionDisabled", value=not allowed)

    def screenshot(self, path: Path, *, whole: bool = False, clip: Sequence[float] | None = None) -> Path:
        """A PNG of the window, of the whole page, or of a part: left, top, width, height in the page."""
        more: dict[str, Any] = {}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            clip = (0, 0, size["width"], size["height"])
        if clip:
            box = dict(zip(("x", "y", "width", "height"), clip, strict=True), scale=1)
            more = {"clip": box, "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png", **more)["data"]))
        return path

    def pdf(self, path: Path) -> Path:
        """The page as it is printed, on the paper that its style asks for."""
        done = self.send("Page.printToPDF", printBackground=True, preferCSSPageSize=True, timeout_s=60.0)
        path.write_bytes(base64.b64decode(done["data"]))
        return path

    # -- hands

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of the first that is selected, which is brought to the window's middle."""
        look = f"""(() => {{ const one = document.querySelector({json.dumps(selector)}); if (!one) return null;
            one.scrollIntoView({{block: "center", behavior: "instant"}}); const box = one.getBoundingClientRect();
            return [box.left, box.top, box.width, box.height]; }})()"""
        found, before = self.evaluate(look), None
        while found != before:  # as long as the page scrolls smoothly to somewhere
            self.settle()
            found, before = self.evaluate(look), found
        if found is None:
            raise BrowserError(f"there is no {selector}")
        left, top, width, height = found
        return left, top, width, height

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """One event as the protocol has it (Input.dispatchMouseEvent)."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def move(self, x: float, y: float) -> None:
        self.mouse("mouseMoved", x, y)
        self.settle()

    def click(self, x: float, y: float, *, times: int = 1) -> None:
        self.mouse("mouseMoved", x, y)
        for count in range(1, times + 1):
            self.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=count)
            self.mouse("mouseReleased", x, y, button="left", buttons=0, clickCount=count)
        self.settle()

    def drag(self, *points: tuple[float, float], shift: bool = False, release: bool = True) -> None:
        """Press at the first, move over the others, release at the last."""
        held = _SHIFT if shift else 0
        self.mouse("mouseMoved", *points[0], modifiers=held)
        self.mouse("mousePressed", *points[0], button="left", buttons=1, clickCount=1, modifiers=held)
        for point in points[1:]:
            self.mouse("mouseMoved", *point, button="left", buttons=1, modifiers=held)
        if release:
            self.mouse("mouseReleased", *points[-1], button="left", buttons=0, clickCount=1, modifiers=held)
        self.settle()

    def wheel(self, x: float, y: float, down: float, *, control: bool = False) -> None:
        """`down` in CSS pixels."""
        self.mouse("mouseWheel", x, y, deltaX=0, deltaY=down, modifiers=_CONTROL if control else 0)
        self.settle()

    def touch(self, *moments: Sequence[tuple[float, float]]) -> None:
        """Where the fingers are from moment to moment, then lifted."""
        for number, points in enumerate(moments):
            fingers = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
            self.send("Input.dispatchTouchEvent", type="touchMove" if number else "touchStart", touchPoints=fingers)
            self.settle()
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.settle()

    def press(self, key: str, *, shift: bool = False, control: bool = False) -> None:
        """One key, by its name (UI Events, `key`)."""
        code, number = _KEYS[key]
        more: dict[str, Any] = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        more["modifiers"] = (_SHIFT if shift else 0) | (_CONTROL if control else 0)
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        if text and not control:
            more["text"] = text
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **more)
        self.send("Input.dispatchKeyEvent", type="keyUp", **{name: one for name, one in more.items() if name != "text"})
        self.settle()

    def focused(self) -> str:
        """What has the focus: its role or element, and its name or text."""
        said: str = self.evaluate(
            """(() => { const one = document.activeElement; return (one.getAttribute("role") ?? one.localName) + " " +
            (one.getAttribute("aria-label") ?? one.textContent).trim().replace(/\\s+/g, " ").slice(0, 80); })()"""
        )
        return said


class Browser:
    """A Chromium of our own, with nothing kept. Only `launch` makes one."""

    def __init__(self, port: int, path: str) -> None:
        self._port, self._socket = port, _Socket(f"ws://127.0.0.1:{port}{path}")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number, until = self._socket.post(method, parameters), time.monotonic() + ANSWER_S
        while (message := self._socket.receive(until)).get("id") != number:
            pass
        if "error" in message:
            raise BrowserError(f"{method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    def page(self, width: int = 1280, height: int = 900, *, touch: bool = False) -> Page:
        """A new, empty tab that shares nothing with the others."""
        context = self.send("Target.createBrowserContext", disposeOnDetach=True)["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        page = Page(self, target, f"ws://127.0.0.1:{self._port}/devtools/page/{target}")
        page.resize(width, height, touch=touch)
        return page

    def close(self) -> None:
        with suppress(BrowserError):
            self.send("Browser.close")
        self._socket.close()


def find_chromium() -> str:
    """The program. Raises BrowserError when there is none: a test that was asked for is never passed over."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise BrowserError("GAMEDAY_TEST_BROWSER=1, and neither chromium, chromium-browser nor google-chrome is on PATH")


@contextmanager
def launch() -> Iterator[Browser]:
    """A browser for the time of the block."""
    program = find_chromium()
    with tempfile.TemporaryDirectory(prefix="gameday-chromium-", ignore_cleanup_errors=True) as profile:
        directory = Path(profile)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        browser: Browser | None = None
        try:
            browser = Browser(*_where(process, directory))
            yield browser
        finally:
            if browser:
                browser.close()
            _end(process)


def _where(process: "subprocess.Popen[bytes]", directory: Path) -> tuple[int, str]:
    """The port and the path that it listens on: it writes them to a file in its profile."""
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError, ValueError):
            port, path = (directory / "DevToolsActivePort").read_text().splitlines()
            return int(port), path
        time.sleep(0.02)
    log = (directory / "log").read_text(errors="replace")[-2000:]
    raise BrowserError(f"Chromium did not start (status {process.poll()}): {log}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Its own processes end when it does: they lose their connection to it."""
    try:
        process.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(CLOSE_S)
