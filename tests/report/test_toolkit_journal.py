"""Our journal as the Chaos Toolkit's: the same experiment, run by `chaos run` and by us, leaves the same journal."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from gameday.cli.report import command
from gameday.engine.preparation import SessionInput
from gameday.engine.session import run_session
from gameday.journal.events import SessionStarted
from gameday.journal.log import read_events
from gameday.report.toolkit_journal import toolkit_journals
from gameday.spec.experiment import load_experiment
from gameday.spec.model import Environment, EnvironmentKind, People, Project

from . import journals

CHAOS = str(Path(sys.executable).parent / "chaos")
_TIMES = ("start", "end", "duration")


def process(name: str, *words: str, kind: str = "action", **more: object) -> dict[str, Any]:
    provider = {"type": "process", "path": words[0], "arguments": list(words[1:])}
    return {"type": kind, "name": name, "provider": provider, **more}


def says(text: str = "well") -> dict[str, Any]:
    tolerance = {"type": "regex", "pattern": f"^{text}$", "target": "stdout"}
    return process("it is well", "cat", "state", kind="probe", tolerance=tolerance)


FAILS = {
    "type": "action",
    "name": "fails",
    "provider": {"type": "python", "module": "chaos_failures", "func": "fail", "arguments": {"why": "broken"}},
    "background": True,
}
EVERYTHING: dict[str, Any] = {
    "title": "Everything",
    "description": "All that a journal can hold",
    "tags": ["a", "b"],
    "contributions": {"reliability": "high"},
    "configuration": {"word": "hello", "home": {"type": "env", "key": "HOME"}},
    "steady-state-hypothesis": {
        "title": "Well",
        "probes": [says(), process("true", "true", kind="probe", tolerance=0)],
    },
    "method": [
        process("say", "echo", "${word}", pauses={"after": 0.01}),
        {"ref": "it is well"},
        {"type": "probe", "name": "ask", "provider": {"type": "python", "module": "os", "func": "getcwd"}},
        {**FAILS, "background": False},
    ],
    "rollbacks": [process("undo", "true")],
}
CASES = {
    "everything": EVERYTHING,
    "exploring": {"title": "Exploring", "description": "-", "method": [process("say", "echo", "hi")]},
    "deviated": {
        "title": "Deviated",
        "description": "-",
        "steady-state-hypothesis": {"title": "Well", "probes": [says()]},
        "method": [process("break", "sh", "-c", "printf broken > state")],
        "rollbacks": [process("mend", "sh", "-c", "printf well > state")],
    },
    "background": {
        "title": "Background",
        "description": "-",
        "steady-state-hypothesis": {"title": "Well", "probes": [says()]},
        "method": [
            process("wait", "sleep", "0.2", background=True),
            process("say", "echo", "hi", pauses={"before": 1}),
        ],
    },
}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").write_text("well")
    (tmp_path / "chaos_failures.py").write_text("def fail(why: str) -> None:\n    raise ValueError(why)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def theirs(directory: Path, document: dict[str, Any]) -> dict[str, Any]:
    """The journal of `chaos run`."""
    (directory / "theirs.json").write_text(json.dumps(document))
    subprocess.run(
        [CHAOS, "--no-version-check", "--no-log-file", "run", "--journal-path", "journal.json", "theirs.json"],
        cwd=directory,
        capture_output=True,
        timeout=60,
        check=False,
    )
    journal: dict[str, Any] = json.loads((directory / "journal.json").read_text())
    return journal


def session_of(directory: Path, *documents: dict[str, Any]) -> SessionInput:
    experiments = []
    for number, document in enumerate(documents):
        path = directory / f"ours-{number}.json"
        path.write_text(json.dumps(document))
        experiments.append(load_experiment(path))
    return SessionInput(
        kind="experiment",
        title=experiments[0].title,
        path=Path("ours-0.json"),
        project=Project(directory / "gameday.yaml", "p", (), (), ""),
        environment=Environment("none", EnvironmentKind.DECLARED),
        experiments=tuple(experiments),
        people=People(),
        secrets=(),
        by="test",
        seed=1,
    )


def run(session: SessionInput) -> Path:
    return asyncio.run(run_session(session, ())).run.directory


def comparable(value: Any, key: str = "") -> Any:
    """With its type in place of what differs from one run to the next."""
    if key == "exception":
        return {type(item).__name__ for item in value}
    if key in _TIMES:
        return type(value).__name__
    if isinstance(value, dict):
        return {name: comparable(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value


@pytest.mark.parametrize("case", CASES)
def test_the_same_experiment_leaves_the_same_journal(directory: Path, case: str) -> None:
    expected = theirs(directory, CASES[case])
    (directory / "state").write_text("well")
    (journal,) = toolkit_journals(run(session_of(directory, CASES[case])))
    assert comparable(journal) == comparable(expected)
    assert list(journal) == list(expected)


def test_times_are_in_order_and_read_as_theirs(directory: Path) -> None:
    (journal,) = toolkit_journals(run(session_of(directory, EVERYTHING)))
    for entry in (journal, *journal["run"], *journal["steady_states"]["before"]["probes"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", entry["start"])
        assert entry["start"] < entry["end"]
    assert journal["start"] < journal["run"][0]["start"] < journal["run"][1]["start"] < journal["end"]


def test_a_steady_state_that_is_not_met_is_a_failure(directory: Path) -> None:
    (directory / "state").write_text("broken")
    (journal,) = toolkit_journals(run(session_of(directory, CASES["deviated"])))
    assert (journal["status"], journal["deviated"], journal["run"]) == ("failed", False, [])
    assert journal["steady_states"]["before"]["steady_state_met"] is False
    assert journal["steady_states"]["before"]["probes"][0]["tolerance_met"] is False


def test_a_native_session_has_a_journal_for_each_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journals.rich(tmp_path / ".gameday" / "runs" / "20260306-100000-checkout-ab12")
    done = CliRunner().invoke(command, ["ab12", "--format", "chaostoolkit"])
    assert done.exit_code == 0, done.output
    names = [f"20260306-100000-checkout-ab12-{number}.journal.json" for number in (1, 2, 3)]
    assert [Path(line).name for line in done.stdout.split()] == names
    first, second, third = (json.loads((tmp_path / "reports" / name).read_text()) for name in names)
    assert (first["status"], first["deviated"]) == ("completed", False)
    assert (second["status"], second["deviated"]) == ("completed", True)
    assert third["status"] == "aborted"
    assert [step["type"] for step in second["experiment"]["method"]] == ["action"]
    faults = [entry for entry in second["run"] if "affected" in (entry["output"] or {})]
    undos = [entry for entry in second["rollbacks"] if entry["activity"]["name"].startswith("undo ")]
    assert faults
    assert [entry["output"]["undone"] for entry in undos] == [True] * len(faults)
    provider = {"type": "python", "module": "gameday.chaostoolkit.actions"}
    assert all(provider.items() <= entry["activity"]["provider"].items() for entry in faults + undos)
    assert set(faults[0]["activity"]["provider"]["arguments"]) >= {"service", "radius"}
    signals = [probe["activity"]["provider"] for probe in first["steady_states"]["before"]["probes"]]
    assert signals[0]["arguments"] == {"service": "checkout", "signal": "latency.p99", "condition": "< 300ms"}
    validate_experiment_document(first["experiment"])


def validate_experiment_document(document: dict[str, Any]) -> None:
    """Readers count the activities of the experiment by their types, and follow their references."""
    assert all(step["type"] in ("action", "probe") and step["provider"]["type"] for step in document["method"])
    assert document["description"]


def test_one_that_is_not_finished_can_be_read(tmp_path: Path) -> None:
    for journal in toolkit_journals(journals.interrupted(tmp_path / "run").directory):
        assert journal["status"] == "aborted"
        assert all(entry["status"] in ("succeeded", "failed") for entry in journal["run"] + journal["rollbacks"])


def test_a_reader_of_the_toolkits_own_understands_how_it_ended(directory: Path) -> None:
    classify = pytest.importorskip("chaostoolkit.agent").classify

    def ends(run_directory: Path) -> list[str]:
        return [classify(journal).value for journal in toolkit_journals(run_directory)]

    assert ends(journals.rich(directory / "rich").directory) == ["passed", "deviated", "aborted"]
    assert ends(journals.not_started(directory / "not-started").directory) == ["aborted"]
    assert ends(journals.interrupted(directory / "interrupted").directory) == ["aborted", "aborted"]
    assert ends(run(session_of(directory, CASES["deviated"]))) == ["deviated"]
    (directory / "state").write_text("broken")
    assert ends(run(session_of(directory, CASES["deviated"]))) == ["baseline-not-met"]


def test_an_interruption_says_why(directory: Path) -> None:
    stops = {"type": "action", "name": "stops", "provider": {"type": "python", "module": "stops", "func": "stop"}}
    (directory / "stops.py").write_text(
        "from chaoslib.exceptions import InterruptExecution\ndef stop():\n    raise InterruptExecution('enough')\n"
    )
    (journal,) = toolkit_journals(run(session_of(directory, {**CASES["exploring"], "method": [stops]})))
    assert journal["status"] == "interrupted"
    assert journal["interruption"]["reason"] == "stops asked for the end: enough"


def test_the_document_holds_no_secret(directory: Path) -> None:
    document = {
        **CASES["exploring"],
        "secrets": {"shop": {"password": "hunter22", "token": {"type": "env", "key": "HOME"}}},
        "configuration": {"api_key": "k3y-k3y", "name": "shop"},
        "extensions": [{"name": "x", "headers": {"Authorization": "Bearer abcdef", "X-Token": "${token}"}}],
    }
    directory_of_run = run(session_of(directory, document))
    (started,) = (event for event in read_events(directory_of_run) if isinstance(event, SessionStarted))
    written = msgspec.json.encode(started.experiments[0].document).decode()
    assert not [secret for secret in ("hunter22", "k3y-k3y", "abcdef") if secret in written]
    assert started.experiments[0].document["extensions"][0]["headers"]["X-Token"] == "${token}"
    assert started.experiments[0].document["configuration"]["name"] == "shop"
