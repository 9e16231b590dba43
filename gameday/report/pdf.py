"""The page on paper: a browser of the machine prints it to PDF, without a window and without any network.

The switches are Chromium's, which Chrome and Edge share: https://developer.chrome.com/docs/chromium/headless. What it
prints is tagged for screen readers, and has an outline.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NoReturn

from gameday.report import format as fmt
from gameday.report.render import RenderError

VARIABLE = "GAMEDAY_BROWSER"
TIMEOUT_S = 120.0
_POLL_S = 0.05
_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
)
_LINUX = ("/usr/bin", "/usr/local/bin", "/snap/bin", "/opt/google/chrome", "/opt/microsoft/msedge")
_MACOS = (
    "Chromium.app/Contents/MacOS/Chromium",
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_FLAGS = (
    "--headless=new",
    "--no-pdf-header-footer",
    "--generate-pdf-document-outline",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # /dev/shm is 64 MiB in a container
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--password-store=basic",
    "--use-mock-keychain",
    # Nothing is reached: no name is found, and every connection is to go by a proxy that is not there.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
)
# What a browser needs of the environment; tokens are not among it.
_ENVIRONMENT = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|XDG_\w+|FONTCONFIG_\w+|LD_LIBRARY_PATH|DBUS_SESSION_BUS_ADDRESS"
)


class BrowserError(RenderError):
    """There is no browser, or it did not print."""


class Browser:
    """A program that prints. `name` is for people."""

    def __init__(self, program: Path) -> None:
        self.program = program
        word = program.name.lower()
        kinds = {"chromium": "Chromium", "edge": "Edge", "chrome": "Chrome"}
        self.name = next((name for part, name in kinds.items() if part in word), fmt.clean(program.name, 60))


def find_browser(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Browser:
    """The one that GAMEDAY_BROWSER names (a path, or a name on PATH), else the first on PATH, else in the usual places.

    Raises BrowserError when there is none.
    """
    path = environment.get("PATH", os.defpath)
    if asked := environment.get(VARIABLE):
        if found := shutil.which(asked, path=path):
            return Browser(Path(found))
        raise BrowserError(f"{VARIABLE} names `{fmt.clean(asked, 200)}`, which is no program that can be run")
    for name in _NAMES:
        if found := shutil.which(name, path=path):
            return Browser(Path(found))
    for place in _usual_places(environment, platform):
        if found := shutil.which(place):
            return Browser(Path(found))
    raise BrowserError(
        f"--format pdf needs Chromium, Chrome or Edge; none was found on PATH or in the usual places; set {VARIABLE}"
    )


def _usual_places(environment: Mapping[str, str], platform: str) -> Iterator[str]:
    if platform == "darwin":
        for applications in ("/Applications", f"{environment.get('HOME', '')}/Applications"):
            yield from (f"{applications}/{name}" for name in _MACOS)
    else:
        for directory in _LINUX:
            yield from (f"{directory}/{name}" for name in _NAMES)


def print_pdf(
    html: str, browser: Browser, *, say: Callable[[str], None] = lambda _: None, timeout_s: float = TIMEOUT_S
) -> bytes:
    """The page as PDF. `say` is told, once, that it takes a while.

    The browser has a profile and a process group of its own, and neither is there any more when this returns or
    raises: BrowserError, or OSError when the page cannot be put into a file for it.
    """
    say(f"printing with {browser.name} ...")
    with TemporaryDirectory(prefix="gameday-pdf-", ignore_cleanup_errors=True) as temporary:
        directory = Path(temporary)
        page, output, log = directory / "report.html", directory / "report.pdf", directory / "log"
        page.write_text(html, "utf-8", errors="replace")
        command = [
            str(browser.program),
            *_FLAGS,
            f"--user-data-dir={directory / 'profile'}",
            f"--print-to-pdf={output}",
            page.as_uri(),
        ]
        if os.geteuid() == 0:
            # Chromium will not start as root with its sandbox. The page is our own, and may load nothing.
            command.insert(1, "--no-sandbox")
        status = _run(command, log, browser, timeout_s)
        data = output.read_bytes() if output.is_file() else b""
        if status != 0:
            raise BrowserError(f"{browser.name} ({browser.program}) ended with status {status}{_last_words(log)}")
        if not (data.startswith(b"%PDF-") and b"%%EOF" in data[-1024:]):
            hint = "; one from snap can only read files below your home: set TMPDIR to a directory there"
            raise BrowserError(f"{browser.name} ({browser.program}) wrote no PDF{hint}{_last_words(log)}")
        return data


def _last_words(log: Path) -> str:
    """The last thing that it wrote, for a message: what was fatal, if it says so, and not the report of its crash."""
    with suppress(OSError):
        if lines := log.read_text("utf-8", errors="replace").strip().splitlines():
            fatal = [line for line in lines if "FATAL" in line]
            return f": {fmt.clean((fatal or lines)[-1].strip(), 200)}"
    return ""


# -- its processes


def _run(command: list[str], log: Path, browser: Browser, timeout_s: float) -> int:
    """Its exit status. Nothing of it runs any more afterwards, however that comes about."""
    environment = {name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)}
    with _ended_like_ctrl_c(), log.open("wb") as words:
        try:
            # A session of its own: its process group is exactly what it has started, and a Ctrl-C is ours alone.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                env=environment,
                cwd=log.parent,
                start_new_session=True,
            )
        except OSError as error:
            raise BrowserError(f"{browser.program} cannot be started: {error.strerror}") from error
        try:
            until = time.monotonic() + timeout_s
            while not _has_ended(process):
                if time.monotonic() > until:
                    raise BrowserError(f"{browser.name} ({browser.program}) did not print within {timeout_s:g} s")
                time.sleep(_POLL_S)
        finally:
            _end(process)
        return process.returncode


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """It is not reaped where that can be had: as long as it is not, its number is nobody else's."""
    if hasattr(os, "waitid"):  # macOS has it from Python 3.13 on
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL the group that it leads, and reap it. One that is reaped already has no number that is surely its own."""
    if process.returncode is None:
        group = process.pid
        if group <= 1 or group == os.getpgrp():  # not an assert statement, which -O takes out
            raise AssertionError(f"{group} is not a process group of the browser's own")
        with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM where only a zombie is left
            os.killpg(group, signal.SIGKILL)
        process.wait()


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """While this lasts, SIGTERM and SIGHUP end gameday by an exception, so that nothing stays behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in signals}
    for number in signals:
        if before[number] is signal.SIG_DFL:  # who ignores one, or hears it, goes on to
            signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in signals:
            if before[number] is signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
