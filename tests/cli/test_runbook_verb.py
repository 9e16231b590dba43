"""`gameday runbook`: lint's exit status and document; following one, recorded or not; checks run only on request."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gameday.cli.run_check import run_check
from gameday.cli.runbook import command
from gameday.engine.runs import WRITER_LOCK, MessageKind, Run, new_run
from gameday.journal.events import StepOutcome
from gameday.spec.runbook import SECTIONS, source_of
from tests.coverage.test_lint import GOOD
from tests.monitoring_stack import start_stack

RUNBOOK = """\
---
title: Payments is down
alerts: [PaymentsDown]
owner: team-payments
---
## Diagnosis
Look first.
1. Which are up?

   ```check
   echo "$GREETING"; echo "token: $SHOP_TOKEN"; exit 3
   ```
2. Who is on call?
## Mitigation
1. Restart it.
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "gameday.yaml").write_text("project: shop\n")
    (tmp_path / "runbooks" / "payments-down.md").write_text(RUNBOOK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GREETING", "hello")
    monkeypatch.setenv("SHOP_TOKEN", "s3cr3t-value")
    return tmp_path


def invoke(*arguments: str, said: str = "") -> Result:
    return CliRunner().invoke(command, arguments, input=said)


def follow(root: Path, said: str, *arguments: str) -> tuple[Result, list[dict]]:
    """What came of it, and what was kept of it."""
    kept = root / "kept.jsonl"
    kept.unlink(missing_ok=True)
    result = invoke("follow", "payments-down", "--record", str(kept), *arguments, said=said)
    return result, [json.loads(line) for line in kept.read_text().splitlines()]


def test_lint_says_what_and_where(shop: Path) -> None:
    result = invoke("lint", "--offline")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "runbooks/payments-down.md:1:1: error: found no section Symptoms, Impact, Rollback, Escalation, expected "
        f"each of {', '.join(SECTIONS)}, or what they are called elsewhere [section-missing]",
        "1 | ---",
        "  | ^",
        "runbooks/payments-down.md:1:1: warning: found no date of a review, expected `reviewed`: one within the last "
        "180 days [review-old]",
        "1 | ---",
        "  | ^",
        "1 runbook: 1 error, 1 warning; no alerting rules known, so alerts were not compared.",
    ]
    assert invoke("lint", "--offline", "--ignore", "section-missing").exit_code == 0


def test_lint_as_json(shop: Path) -> None:
    (shop / "docs").mkdir()
    (shop / "docs" / "page.md").write_text("# A page\n")
    result = invoke("lint", "--offline", "--json", "runbooks", "docs")
    document = json.loads(result.stdout)
    names = ", ".join(SECTIONS)
    assert (document["schema"], len(document["runbooks"]), document["passed_over"]) == (1, 1, ["docs/page.md"])
    assert document["remarks"][0] == {
        "rule": "section-missing",
        "severity": "error",
        "file": "runbooks/payments-down.md",
        "line": 1,
        "column": 1,
        "found": "no section Symptoms, Impact, Rollback, Escalation",
        "expected": f"each of {names}, or what they are called elsewhere",
        "nearest": None,
    }


def test_wrong_input(shop: Path) -> None:
    assert invoke("lint", "nowhere.md").exit_code == 2
    assert "did you mean `link-dead`?" in invoke("lint", "--ignore", "link-ded").stderr
    assert "did you mean `payments-down`?" in invoke("follow", "payments-dwn").stderr
    assert invoke("follow", "payments-down", "--run", "x").exit_code == 2
    assert invoke("follow", "payments-down#nowhere").exit_code == 2


def test_which_one_is_followed(shop: Path) -> None:
    assert "One of payments-down, a path or a URL" in invoke("follow").stderr
    assert "did you mean `PaymentsDown`?" in invoke("follow", "PaymentsDwn").stderr


def test_the_rules_of_the_project_are_those_it_names(shop: Path) -> None:
    rules = 'groups: [{rules: [{alert: X, expr: up, annotations: {runbook_url: "https://r/payments-down"}}]}]'
    (shop / "ours.yaml").write_text(rules)
    (shop / "others.yaml").write_text(rules.replace("alert: X", "alert: Y"))
    (shop / "gameday.yaml").write_text("rules: [ours.yaml]\n")
    said = invoke("lint", "--offline").stderr
    assert ("no alert `X`" in said, "no alert `Y`" in said) == (True, False)
    assert "1 alerting rule known" in said


@pytest.mark.lab
def test_compared_with_the_rules_that_a_server_has_loaded(shop: Path) -> None:
    (shop / "stack").mkdir()
    with start_stack(shop / "stack") as stack:
        (shop / "gameday.yaml").write_text(
            "environments:\n"
            "  real:\n"
            f'    alerts: {{source: alertmanager, url: "{stack.alertmanager}", rules-url: "{stack.prometheus}"}}\n'
            "  gone:\n"
            '    alerts: {source: alertmanager, url: "http://127.0.0.1:1", rules-url: "http://127.0.0.1:1"}\n'
            "  none: {}\n"
        )
        (shop / "runbooks" / "payments-down.md").write_text(RUNBOOK.replace("[PaymentsDown]", "[AtOnec, Slow]"))
        (shop / "runbooks" / "a.md").write_text(GOOD.replace("[PaymentsDown]", "[Watchdog]"))  # AtOnce leads to it
        result = invoke("lint", "--offline", "--env", "real", "--json")
        document = json.loads(result.stdout)
        told = [item for item in document["remarks"] if item["rule"].startswith("alert")]
        assert (result.exit_code, document["alerting_rules"]) == (1, 13)
        assert [(Path(item["file"]).name, item["found"], item["nearest"]) for item in told] == [
            ("a.md", "no alert `AtOnce`, whose rule leads here (loaded in `real`)", None),
            ("payments-down.md", "the alert `AtOnec`", "AtOnce"),
        ]
    for name, said in [("gone", "Connection refused"), ("none", "has no alerts")]:
        result = invoke("lint", "--offline", "--env", name)
        assert (result.exit_code, said in result.stderr) == (3, True)
    assert invoke("lint", "--env", "real", "--rules", "runbooks").exit_code == 2


def test_the_list(shop: Path) -> None:
    assert invoke("list").stdout == "payments-down: Payments is down, team-payments (PaymentsDown)\n"


def test_following_step_by_step(shop: Path) -> None:
    said = "t\nstuck nobody knows\nb\nt\nw\nthe rota has moved\nmissing\ntell support\nn it is late\nwhat?\nk\n"
    result, kept = follow(shop, said, "--author", "@sre")
    assert result.exit_code == 0
    assert "nothing is recorded" not in result.stderr
    assert "Look first." in result.stderr
    assert [(line["outcome"], line.get("section", ""), line.get("step", 0), line.get("note", "")) for line in kept] == [
        ("opened", "", 0, "Payments is down"),
        ("done", "Diagnosis", 1, ""),
        ("stuck", "Diagnosis", 2, "nobody knows"),
        ("done", "Diagnosis", 1, ""),
        ("wrong", "Diagnosis", 2, "the rota has moved"),
        ("missing", "Mitigation", 1, "tell support"),
        ("note", "Mitigation", 1, "it is late"),
        ("skipped", "Mitigation", 1, ""),
        ("closed", "", 0, "1 of 3 steps ticked, 1 skipped, 1 wrong"),
    ]
    assert {line["author"] for line in kept} == {"@sre"}
    assert {line["owner"] for line in kept} == {"team-payments"}


def test_what_was_said_is_answered(shop: Path) -> None:
    page = shop / "runbooks" / "payments-down.md"
    page.write_text(RUNBOOK.replace("owner:", 'escalation: "@payments-lead"\nowner:'))
    result, kept = follow(shop, "s no access\nm\n\nn\n\nk\nw\n\nt\n")
    assert result.stderr.count("noted; escalation: @payments-lead") == 1
    assert result.stderr.count("nothing was said, so nothing is noted") == 2
    assert [line["outcome"] for line in kept] == ["opened", "stuck", "skipped", "wrong", "done", "closed"]
    assert kept[-1]["note"] == "1 of 3 steps ticked, 1 skipped, 1 wrong"
    assert "t tick, k skip" in result.stderr, "nobody knows the words at first"


@pytest.mark.parametrize("typed", [b"", b"r\ny\n"])
def test_an_interrupt_is_as_good_as_quit_and_ends_a_check_alone(shop: Path, typed: bytes) -> None:
    page = shop / "runbooks" / "payments-down.md"
    page.write_text(RUNBOOK.replace('echo "$GREETING"', 'echo $$ > started; sleep 600; echo "$GREETING"'))
    program = [sys.executable, "-m", "gameday.cli.main", "runbook", "follow", "payments-down", "--record", "kept.jsonl"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(typed)
        process.stdin.flush()
        deadline = time.monotonic() + 30
        wanted = shop / ("started" if typed else "kept.jsonl")
        while not (wanted.exists() and wanted.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        if typed:
            process.stdin.write(b"t\nq\n")
            process.stdin.flush()
        said = process.stderr.read().decode()
        assert process.wait(timeout=20) == 0, said
    kept = [json.loads(line)["outcome"] for line in (shop / "kept.jsonl").read_text().splitlines()]
    assert kept == (["opened", "done", "closed"] if typed else ["opened", "closed"])
    if typed:
        assert "ended, and all it started" in said
        assert not Path(f"/proc/{(shop / 'started').read_text().strip()}").exists()


def test_a_check_runs_only_on_request_each_time(shop: Path) -> None:
    result, kept = follow(shop, "r\nn\nr\ny\nq\n")
    assert [line["outcome"] for line in kept] == ["opened", "checked", "closed"]
    assert kept[1]["status"] == 3
    assert kept[1]["output"] == "hello\ntoken: •••\n"
    assert "s3cr3t-value" not in result.output
    assert "exit status 3" in result.stderr
    _, kept = follow(shop, "t\nr\n")  # the second step has none, and then nobody says anything more
    assert [line["outcome"] for line in kept] == ["opened", "done", "closed"]


def test_by_the_name_of_an_alert_or_a_path(shop: Path) -> None:
    for name in ("PaymentsDown", "runbooks/payments-down.md", "payments-down#mitigation"):
        result = invoke("follow", name, said="q\n")
        assert result.exit_code == 0, result.stderr
        assert "this is a rehearsal: nothing is recorded" in result.stderr


def test_it_is_sent_to_the_run_that_lives(shop: Path) -> None:
    run = new_run(shop, "Game day")
    run.journal.write_text("")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.directory / WRITER_LOCK)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        result = invoke("follow", "payments-down", "--author", "@sre", said="s the board is empty\nq\n")
        holder.communicate(b"\n", timeout=20)
    assert f"recorded in {run.name}" in result.stderr
    messages = Run(run.directory).receive()
    assert [message.kind for message in messages] == [MessageKind.RUNBOOK] * 3
    event = messages[1].event(1.0, 0)
    assert event is not None
    assert (event.author, event.step.outcome, event.step.note) == ("@sre", StepOutcome.STUCK, "the board is empty")


HOLDER = """
import sys
from pathlib import Path
from gameday.engine.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire("runner 1")
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_check_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    result = run_check("sh", f"sleep 600 & echo $! > {tmp_path}/pid; echo here; wait", tmp_path, timeout_s=3.0)
    assert (result.output, result.status) == ("here\n", None)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_output_without_end_is_cut(tmp_path: Path) -> None:
    result = run_check("sh", "head -c 2000000 /dev/zero | tr '\\0' x; echo end", tmp_path, timeout_s=30.0)
    assert result.status == 0
    assert len(result.output) < 9000
    assert "… cut …" in result.output


def test_what_is_left_in_the_background_keeps_nobody_waiting(tmp_path: Path) -> None:
    began = time.monotonic()
    result = run_check("sh", "sleep 20 & echo done", tmp_path, timeout_s=20.0)
    assert (result.output, result.status) == ("done\n", 0)
    assert time.monotonic() - began < 15


def test_a_runbook_at_an_address(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = "https://raw.githubusercontent.com/o/r/main/runbooks/a.md"
    assert source_of("https://github.com/o/r/blob/main/runbooks/a.md#x") == raw
    assert source_of("https://example.org/a.md") == "https://example.org/a.md"
    served = shop / "served"
    served.mkdir()
    (served / "a.md").write_text(GOOD)
    (served / "page.html").write_text("<h1>x</h1>")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(served)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    ) as server:
        try:
            assert server.stdout
            port = server.stdout.readline().split(" port ")[1].split()[0]
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            result = invoke("lint", f"http://127.0.0.1:{port}/a.md", "--offline", "--json")
            assert [Path(path).name for path in json.loads(result.stdout)["runbooks"]] == ["a.md"]
            assert json.loads(result.stdout)["remarks"] == [], "its links lead to where it is from"
            result = invoke("lint", f"http://127.0.0.1:{port}/a.md", "--json")
            assert [item["found"] for item in json.loads(result.stdout)["remarks"]] == [
                f"a link to `http://127.0.0.1:{port}/other.md` (HTTP 404)"
            ]
            result = invoke("lint", f"http://127.0.0.1:{port}/page.html", "--offline")
            assert (result.exit_code, "a page of HTML" in result.stderr) == (2, True)
        finally:
            server.kill()
