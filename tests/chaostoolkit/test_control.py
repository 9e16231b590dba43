"""Our control in a real `chaos run`: journal and report come of it; what befalls us does not befall the experiment."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gameday.cli.status import command as status
from gameday.engine.runs import Message, MessageKind, Run, RunLife, all_runs
from gameday.engine.session import run_session
from gameday.journal.events import (
    AbortRequested,
    ActivityEnded,
    ActivityStarted,
    AnyEvent,
    FindingKind,
    FindingRaised,
    HypothesisJudged,
    NoteAdded,
    RollbacksEnded,
    SessionEnded,
    SessionStarted,
    Verdict,
)
from gameday.journal.log import read_events
from gameday.report.toolkit_journal import toolkit_journals

CHAOS = str(Path(sys.executable).parent / "chaos")
CONTROLS = [{"name": "gameday", "provider": {"type": "python", "module": "gameday.chaostoolkit.control"}}]


def process(name: str, script: str, kind: str = "action", **more: object) -> dict[str, Any]:
    provider = {"type": "process", "path": "sh", "arguments": ["-c", script]}
    return {"type": kind, "name": name, "provider": provider, **more}


SAYS_WELL = process(
    "it is well", "cat state", kind="probe", tolerance={"type": "regex", "pattern": "^well$", "target": "stdout"}
)
BREAK = process("break", "printf broken > state")
MEND = process("mend", "printf well > state")
ASK = process("ask", "echo hello", kind="probe")
FAILS = {"type": "action", "name": "fails", "provider": {"type": "python", "module": "os", "func": "listdir"}}
FAILS["provider"] |= {"arguments": {"path": "nowhere"}}  # type: ignore[operator]


class Directory:
    """Where `chaos run` is called."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "state").write_text("well")

    def write(
        self, method: list[dict[str, Any]], rollbacks: list[dict[str, Any]] | None = None, **more: object
    ) -> Path:
        document = {
            "title": "Plain",
            "description": "-",
            "steady-state-hypothesis": {"title": "Well", "probes": [SAYS_WELL]},
            "method": method,
            "rollbacks": rollbacks or [],
            "controls": CONTROLS,
            **more,
        }
        path = self.root / "plain.json"
        path.write_text(json.dumps(document))
        return path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [CHAOS, "--no-version-check", "--no-log-file", "run", *arguments, "plain.json"],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    @property
    def journal(self) -> dict[str, Any]:
        journal: dict[str, Any] = json.loads((self.root / "journal.json").read_text())
        return journal

    def the_run(self) -> Run:
        (run,) = all_runs(self.root)
        return run

    def wait_for(self, text: str) -> Run:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for run in all_runs(self.root):
                if text in run.journal.read_text():
                    return run
            time.sleep(0.05)
        raise AssertionError(f"no journal says {text}")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Directory:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    return Directory(tmp_path)


def events[E: AnyEvent](run: Run, kind: type[E]) -> list[E]:
    return [event for event in read_events(run.journal) if isinstance(event, kind)]


def ran(run: Run) -> list[tuple[str, str, str]]:
    ended = {event.activity: event.status for event in events(run, ActivityEnded)}
    return [(event.section, event.name, ended[event.activity]) for event in events(run, ActivityStarted)]


def comparable(value: Any, key: str = "") -> Any:
    if key in ("start", "end", "duration", "exception"):
        return type(value).__name__
    if isinstance(value, dict):
        return {name: comparable(item, name) for name, item in value.items()}
    return [comparable(item) for item in value] if isinstance(value, list) else value


def test_a_whole_run(directory: Directory) -> None:
    directory.write([BREAK, {"ref": "it is well"}, ASK], [MEND])
    code, said = directory.run()
    run = directory.the_run()
    assert code == 1  # theirs, for a deviation
    assert ran(run) == [
        ("hypothesis", "it is well", "succeeded"),
        ("method", "break", "succeeded"),
        ("method", "it is well", "succeeded"),
        ("method", "ask", "succeeded"),
        ("hypothesis", "it is well", "succeeded"),
        ("rollback", "mend", "succeeded"),
    ]
    assert [(event.when, event.held, event.ended) for event in events(run, HypothesisJudged)] == [
        ("before", True, False),
        ("during", False, True),
    ]
    (ended,) = events(run, SessionEnded)
    assert (ended.verdict, ended.exit_code) == (Verdict.WEAKNESS, 1)
    assert [event.kind for event in events(run, FindingRaised)] == [FindingKind.HYPOTHESIS_BROKEN]
    assert run.life(run.state()) is RunLife.ENDED
    (started,) = events(run, SessionStarted)
    assert (started.title, started.path, started.experiments[0].path) == ("Plain", "plain.json", "plain.json")
    report = directory.root / "reports" / f"{run.name}.html"
    assert f"gameday: report: {report}" in said
    assert "Plain" in report.read_text()
    assert {path.suffix for path in report.parent.iterdir()} == {".html", ".json", ".xml"}


def test_both_journals_say_the_same(directory: Directory) -> None:
    directory.write([ASK, FAILS, {"ref": "it is well"}], [MEND], tags=["a"])
    directory.run()
    (ours,) = toolkit_journals(directory.the_run().directory)
    assert comparable(ours) == comparable(directory.journal)


def test_from_the_settings_with_a_directory_for_reports(directory: Directory) -> None:
    settings = directory.root / ".chaostoolkit" / "settings.yaml"
    settings.parent.mkdir()
    provider = {**CONTROLS[0]["provider"], "arguments": {"reports": "elsewhere"}}  # type: ignore[dict-item]
    settings.write_text(json.dumps({"controls": {"gameday": {"provider": provider}}}))
    directory.write([ASK], controls=CONTROLS)  # and once more in the experiment
    assert directory.run()[0] == 0
    run = directory.the_run()
    assert events(run, SessionEnded)[0].verdict is Verdict.HELD
    assert (directory.root / "elsewhere" / f"{run.name}.html").is_file()


@pytest.mark.parametrize("where", ["nowhere", "settings", "experiment"])
def test_other_controls_are_called_as_without_ours(directory: Directory, where: str) -> None:
    for name in ("outer", "inner"):
        (directory.root / f"{name}.py").write_text(
            "def before_activity_control(context):\n"
            f"    open('calls', 'a').write('{name} ' + context['name'] + '\\n')\n"
        )
    outer, inner = ({"name": name, "provider": {"type": "python", "module": name}} for name in ("outer", "inner"))
    if where == "settings":
        settings = directory.root / ".chaostoolkit" / "settings.yaml"
        settings.parent.mkdir()
        settings.write_text(json.dumps({"controls": {"gameday": {"provider": CONTROLS[0]["provider"]}}}))
    controls = [*CONTROLS, outer] if where == "experiment" else [outer]
    directory.write([ASK, {**BREAK, "controls": [inner]}], controls=controls)
    directory.run()
    calls = (directory.root / "calls").read_text().splitlines()
    assert calls == ["outer it is well", "outer ask", "outer break", "inner break", "outer it is well"]
    assert len(all_runs(directory.root)) == (where != "nowhere")


def test_verdicts(directory: Directory) -> None:
    wants = {
        Verdict.NOT_STARTED: (lambda: (directory.root / "state").write_text("broken"), [ASK], []),
        Verdict.WEAKNESS: (lambda: (directory.root / "state").write_text("well"), [FAILS], []),
        Verdict.UNDO_FAILED: (lambda: None, [ASK], [FAILS]),
    }
    for verdict, (prepare, method, rollbacks) in wants.items():
        prepare()
        directory.write(method, rollbacks)
        directory.run()
        run = all_runs(directory.root)[-1]
        assert events(run, SessionEnded)[0].verdict is verdict
        assert run.state().is_clean
    assert events(run, RollbacksEnded)[0].failed == ("fails",)


def test_it_is_seen_while_it_runs_and_heeds_other_terminals(directory: Directory) -> None:
    directory.write([BREAK, process("wait", "sleep 30")], [MEND])
    running = directory.start("--rollback-strategy", "always")
    run = directory.wait_for('"phase":"inject"')
    shown = CliRunner().invoke(status, [])
    assert f"{run.name}: running, inject" in shown.output
    run.send(Message(MessageKind.NOTE, "somebody", "it is slow"))
    directory.wait_for("it is slow")
    run.send(Message(MessageKind.ABORT, "somebody", "enough"))
    running.communicate(timeout=20)
    assert running.returncode == 1
    assert events(run, NoteAdded)[0].text == "it is slow"
    assert [event.reason for event in events(run, AbortRequested)] == ["enough"]
    (ended,) = events(run, SessionEnded)
    assert (ended.verdict, ended.reason) == (Verdict.ABORTED, "enough")
    assert (directory.root / "state").read_text() == "well"
    assert directory.journal["status"] == "interrupted"


def test_an_interruption_says_why(directory: Directory) -> None:
    (directory.root / "stopper.py").write_text(
        "from chaoslib.exceptions import InterruptExecution\n"
        "def before_activity_control(context):\n"
        "    if context['name'] == 'ask':\n"
        "        raise InterruptExecution('enough of it')\n"
    )
    stopper = {"name": "stopper", "provider": {"type": "python", "module": "stopper"}}
    directory.write([BREAK, ASK], controls=[*CONTROLS, stopper])
    directory.run()
    (ended,) = events(directory.the_run(), SessionEnded)
    assert (ended.verdict, ended.reason) == (Verdict.ABORTED, "enough of it")


def test_killed_it_is_dead_and_clean(directory: Directory) -> None:
    directory.write([process("wait", "sleep 30")])
    running = directory.start()
    run = directory.wait_for('"name":"wait"')
    running.kill()
    running.communicate(timeout=20)
    assert (run.life(run.state()), run.state().is_clean) == (RunLife.DEAD, True)


@pytest.mark.parametrize("how", ["runs", "reports"])
def test_what_befalls_us_is_said_once_and_the_experiment_goes_on(directory: Directory, how: str) -> None:
    directory.write([ASK, BREAK, MEND])
    if how == "runs":
        (directory.root / ".gameday").write_text("in the way")
    else:
        (directory.root / "reports").write_text("in the way")
    code, said = directory.run()
    assert code == 0
    assert directory.journal["status"] == "completed"
    assert said.count("gameday:") == 1
    assert "Traceback" not in said


def test_an_output_that_cannot_be_looked_at(directory: Directory) -> None:
    (directory.root / "strange.py").write_text(
        "class Strange(dict):\n"
        "    def items(self):\n"
        "        raise OSError('no')\n"
        "def strange():\n"
        "    return Strange(a=1)\n"
    )
    strange = {
        "type": "probe",
        "name": "strange",
        "provider": {"type": "python", "module": "strange", "func": "strange"},
    }
    directory.write([strange, ASK])
    _, said = directory.run()
    run = directory.the_run()
    assert said.count("gameday: not all is recorded: OSError: no") == 1
    assert ("method", "ask", "succeeded") in [
        (event.section, event.name, "succeeded") for event in events(run, ActivityStarted)
    ]
    assert events(run, SessionEnded)


def test_secrets_are_masked(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_PASSWORD", "hunter22")
    shout = process("shout", "echo ${password}")
    shout["provider"]["secrets"] = ["shop"]
    secrets = {"shop": {"password": {"type": "env", "key": "THE_PASSWORD"}, "literal": "s3cr3t"}}
    directory.write([shout], secrets=secrets)
    directory.run()
    run = directory.the_run()
    written = [path.read_text() for path in (*run.directory.rglob("*.jsonl"), *(directory.root / "reports").iterdir())]
    assert len(written) == 4
    assert not [text for text in written if "hunter22" in text or "s3cr3t" in text]
    assert "hunter22" in (directory.root / "journal.json").read_text()  # theirs


def test_gameday_run_does_not_record_twice_nor_need_the_toolkit_for_it(directory: Directory) -> None:
    import asyncio

    from gameday.engine.preparation import SessionInput
    from gameday.spec.experiment import load_experiment
    from gameday.spec.model import Environment, EnvironmentKind, People, Project

    other = {"name": "other", "provider": {"type": "python", "module": "nothing_there"}}
    for controls, declared in ((CONTROLS, ()), ([*CONTROLS, other], ("other",))):
        experiment = load_experiment(directory.write([ASK], controls=controls))
        assert experiment.controls == declared
        session = SessionInput(
            kind="experiment",
            title="t",
            path=Path("plain.json"),
            project=Project(directory.root / "gameday.yaml", "p", (), (), ""),
            environment=Environment("none", EnvironmentKind.DECLARED),
            experiments=(experiment,),
            people=People(),
            secrets=(),
            by="test",
            seed=1,
        )
        assert asyncio.run(run_session(session, ())).verdict is Verdict.HELD
    assert len(all_runs(directory.root)) == 2
