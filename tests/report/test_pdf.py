"""The PDF: which browser prints it, what becomes of one that does not, and that nothing of it is left.

The switches, and what `--print-to-pdf` does: https://developer.chrome.com/docs/chromium/headless. The fake one is a
shell script, with a child of its own that would outlive it.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

from gameday.cli.report import command
from gameday.report import pdf
from gameday.report.pdf import VARIABLE, Browser, BrowserError, find_browser, print_pdf
from gameday.report.render import Format, write_report
from tests.browser import find_chromium, needs_browser

from . import journals

WAIT_S = 20.0  # longer than anything here takes; nothing waits for all of it unless it fails

# Says what it was called with, who it is, and what it knows; then does as it is told.
FAKE = """\
#!/bin/sh
for argument; do
  case "$argument" in --print-to-pdf=*) output="${argument#*=}";; esac
  case "$argument" in --user-data-dir=*) mkdir -p "${argument#*=}";; esac
done
printf '%s\\n' "$@" > "HERE/arguments"
env > "HERE/environment"
cp "$(dirname "$output")/report.html" "HERE/page.html"
sleep 600 &
echo "$$ $!" > "HERE/pids.new"; mv "HERE/pids.new" "HERE/pids"
"""
PRINTS = "printf '%%PDF-1.4 fake\\n%%%%EOF\\n' > \"$output\"\n"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go. The name is short: Chromium puts a socket there, whose path may have 107 bytes."""
    with TemporaryDirectory(prefix="gd-", dir="/tmp") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr("tempfile.tempdir", name)
        yield Path(name)


@pytest.fixture
def run(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one run, from whose root the verb is called."""
    (tmp_path / "gameday.yaml").write_text("project: shop\n")
    monkeypatch.chdir(tmp_path)
    return journals.rich(tmp_path / ".gameday" / "runs" / "20260306-100000-shop").directory


def fake(tmp_path: Path, then: str, name: str = "Fake Chromium") -> Path:
    path = tmp_path / name
    path.write_text(FAKE.replace("HERE", str(tmp_path)) + then)
    path.chmod(0o755)
    return path


def pids(tmp_path: Path) -> list[int]:
    """Of the fake browser and its child, as soon as it has written them."""
    until = time.monotonic() + WAIT_S
    while not (tmp_path / "pids").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    return [int(pid) for pid in (tmp_path / "pids").read_text().split()]


def is_there(pid: int) -> bool:
    """Whether it runs: a dead one whose parent has not asked after it does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False


def assert_gone(tmp_path: Path) -> None:
    """Nothing of the browser runs, and nothing that it wrote for itself is left."""
    until = time.monotonic() + WAIT_S
    while left := [pid for pid in pids(tmp_path) if is_there(pid)]:
        assert time.monotonic() < until, left
        time.sleep(0.01)
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


def test_it_prints(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(fake(tmp_path, PRINTS)))
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    done = CliRunner().invoke(command, ["--format", "pdf"])
    assert done.exit_code == 0, done.output
    assert done.stderr == "printing with Chromium ...\n"
    path = tmp_path / "reports" / "20260306-100000-shop.pdf"
    assert done.stdout.splitlines() == [str(path)]
    assert path.read_bytes() == b"%PDF-1.4 fake\n%%EOF\n"
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert_gone(tmp_path)
    (page,) = write_report(run, [Format.HTML], tmp_path / "html")
    assert (tmp_path / "page.html").read_text() == page.read_text()
    assert "xoxb-secret" not in (tmp_path / "environment").read_text()


def test_it_has_a_profile_of_its_own_and_no_network(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(fake(tmp_path, PRINTS))
    given = []
    for user in (0, 1000):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        print_pdf("<p>", browser)
        given.append((tmp_path / "arguments").read_text().splitlines())
    root, other = given
    assert ("--no-sandbox" in root, "--no-sandbox" in other) == (True, False)
    assert {"--headless=new", "--no-pdf-header-footer", "--host-resolver-rules=MAP * ~NOTFOUND"} <= set(other)
    assert "--proxy-server=http://127.0.0.1:9" in other
    profiles = [one for arguments in given for one in arguments if one.startswith("--user-data-dir=")]
    assert len(set(profiles)) == 2
    assert all(os.environ["TMPDIR"] in one for one in profiles)
    assert other[-1].startswith("file:///")


def refused(*arguments: str) -> str:
    """The one line that the verb says."""
    done = CliRunner().invoke(command, ["--format", "pdf", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("printing with ")]
    assert len(lines) == 1, done.stderr
    assert not Path("reports").exists() or list(Path("reports").iterdir()) == []
    return lines[0]


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("echo first >&2; echo no display >&2; exit 21\n", "ended with status 21: no display"),
        ("kill -9 $$\n", "ended with status -9"),
        ("exit 0\n", "wrote no PDF"),
        ('echo half > "$output"\n', "wrote no PDF"),
        ("printf '%%PDF-1.4 cut off' > \"$output\"\n", "wrote no PDF"),
    ],
)
def test_one_that_fails(then: str, message: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(fake(tmp_path, then)))
    assert message in refused()
    assert_gone(tmp_path)


def test_what_it_says_cannot_steer_a_terminal(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(fake(tmp_path, "printf 'x\\033[2Jy\\n' >&2; exit 1\n")))
    assert "\x1b" not in refused()


def test_one_that_hangs(run: Path, tmp_path: Path) -> None:
    browser = Browser(fake(tmp_path, "trap '' TERM INT HUP\nwait\n"))
    with pytest.raises(BrowserError, match=r"did not print within 0\.5 s"):
        print_pdf("<p>", browser, timeout_s=0.5)
    if (tmp_path / "pids").exists():  # a busy machine may not have come to that
        assert_gone(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_gameday_is_interrupted(number: signal.Signals, run: Path, tmp_path: Path) -> None:
    """A real process, in a group of its own: the signal is for that process alone."""
    fake(tmp_path, "trap '' TERM INT HUP\nwait\n")
    with subprocess.Popen(
        [sys.executable, "-m", "gameday.cli.main", "report", "--format", "pdf"],
        env=os.environ | {VARIABLE: str(tmp_path / "Fake Chromium")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert all(map(is_there, pids(tmp_path)))
            process.send_signal(number)
            out, said = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert process.returncode not in (0, None)
    assert out == ""
    assert "Traceback" not in said
    assert_gone(tmp_path)
    assert not (tmp_path / "reports").exists()


def test_only_the_group_that_it_leads_is_killed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    real = os.killpg
    monkeypatch.setattr(os, "killpg", lambda group, number: killed.append(group) or real(group, number))
    print_pdf("<p>", Browser(fake(tmp_path, PRINTS)))
    assert killed == pids(tmp_path)[:1]
    assert os.getpgrp() not in killed


def test_a_group_that_is_not_its_own_is_never_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _: killed.append(group))
    process = subprocess.Popen(["true"])
    for group in (os.getpgrp(), 0, 1, -1):
        with monkeypatch.context() as patch:
            patch.setattr(process, "pid", group)
            with pytest.raises(AssertionError):
                pdf._end(process)
    process.wait()
    pdf._end(process)  # reaped: its number may be another's
    assert killed == []


# -- which


def test_there_is_none(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(pdf, "_LINUX", ())
    monkeypatch.setattr(pdf, "_MACOS", ())
    said = refused("--format", "html,pdf")
    assert said == (
        "error: --format pdf needs Chromium, Chrome or Edge; none was found on PATH or in the usual places; "
        "set GAMEDAY_BROWSER"
    )


@pytest.mark.parametrize("asked", ["/nowhere/chrome", "no-such-browser", "\x1b[2J"])
def test_the_one_that_was_named_is_missing(asked: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not silently another one."""
    monkeypatch.setenv(VARIABLE, asked)
    said = refused()
    assert said.startswith("error: GAMEDAY_BROWSER names `")
    assert said.endswith("`, which is no program that can be run")
    assert "\x1b" not in said


def test_one_that_cannot_be_started(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "chrome"
    program.write_bytes(b"\x7fELF and nothing else")
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    assert "cannot be started: Exec format error" in refused()


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(path: str) -> Path:
        program = tmp_path / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        return program

    home = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    monkeypatch.setattr(pdf, "_LINUX", (str(tmp_path / "opt"),))
    mac = put("Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    edge = put("opt/microsoft-edge")
    assert find_browser(home, "darwin").program == mac
    assert find_browser(home, "darwin").name == "Chrome"
    assert find_browser(home, "linux").program == edge
    assert find_browser(home, "linux").name == "Edge"
    on_path = put("bin/chromium-browser")
    assert find_browser(home, "linux").program == on_path
    assert find_browser(home, "linux").name == "Chromium"
    assert find_browser(home | {VARIABLE: str(edge)}, "linux").program == edge
    other = put("bin/brave")
    assert find_browser(home | {VARIABLE: "brave"}, "linux").program == other


# -- the real one


@needs_browser
def test_chromium_prints_pages_that_can_be_read_aloud(
    run: Path, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, find_chromium())
    (path,) = write_report(run, [Format.PDF], tmp_path / "reports")
    data = path.read_bytes()
    assert data.startswith(b"%PDF-")
    assert b"/StructTreeRoot" in data  # PDF 32000-1, §14.7.2 and §14.8: tagged
    assert re.search(rb"/Marked true", data)
    assert re.search(rb"/Lang \(en", data)
    assert b"/Outlines" in data
    assert len(re.findall(rb"/Type /Page\b", data)) > 5
    assert len(data) < 5_000_000
    assert list(temporary.iterdir()) == []


@needs_browser
def test_nothing_of_chromium_is_left_when_it_takes_too_long(temporary: Path) -> None:
    """Its processes say which profile they are of, on their command lines: those that are left would, too."""
    endless = "<script>setTimeout(() => { for (;;); }, 0)</script>"
    with pytest.raises(BrowserError, match="did not print"):
        print_pdf(endless, Browser(Path(find_chromium())), timeout_s=4)
    commands = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(temporary) in _read(path)]
    assert [path for path in commands if int(path.parent.name) != os.getpid()] == []


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
