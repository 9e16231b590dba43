"""`gameday init`: its project is right as it stands, and nothing is overwritten."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gameday.cli.check import command as check
from gameday.cli.init import command as init
from gameday.cli.load import load_session
from gameday.lab.monitoring import OBJECTIVES
from gameday.lab.topology import BY_NAME
from gameday.spec.model import EnvironmentKind, FaultStep


def test_the_starter_project_is_right_and_fits_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(init, [str(tmp_path / "new project")])
    assert result.exit_code == 0, result.output
    assert "'" in result.output.split("Next:")[1]  # a path with a space can be pasted
    monkeypatch.chdir(tmp_path / "new project")
    checked = CliRunner().invoke(check)
    assert (checked.exit_code, checked.output.partition(" (")[0]) == (
        0,
        "All is well: 1 project, 2 experiments, 1 game day, 2 runbooks",
    )

    session = load_session(Path("experiments/gamedays/first.yaml"))
    assert session.environment.kind is EnvironmentKind.LAB
    assert {service.name for service in session.project.services} == set(BY_NAME)
    severities = {objective.service.title(): objective.severity for objective in OBJECTIVES}
    for experiment in session.experiments:
        assert experiment.service in BY_NAME
        assert experiment.abort_when, "a starter without a guard teaches the wrong thing"
        for step in experiment.method:
            assert isinstance(step, FaultStep)
            assert step.target.service in BY_NAME
        for alert in experiment.alerts:
            service = next(name for name in severities if alert.name.startswith(name))
            assert alert.name.removeprefix(service) in ("ErrorsHigh", "LatencyHigh", "ReplicaDown")
            assert alert.severity == severities[service]
    assert all(not runbook.missing_sections and runbook.reviewed for runbook in session.project.runbooks)


@pytest.mark.parametrize("name", ["gameday.yaml", "experiments/gamedays/first.yaml", "runbooks/payments-errors.md"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    result = CliRunner().invoke(init, [str(tmp_path)])
    assert result.exit_code == 2
    assert f"{name} is there already; nothing was written" in result.output
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(init, [str(tmp_path / "file")])
    assert (result.exit_code, result.exception is None or isinstance(result.exception, SystemExit)) == (2, True)
    assert "cannot write" in result.output


def test_what_cannot_be_written_whole_is_not_written(tmp_path: Path) -> None:
    # No file may have more than a block: write(2) fails as on a disk that is full, and names no file.
    command = ["sh", "-c", 'ulimit -f 1 && exec "$@"', "sh", sys.executable, "-m", "gameday.cli.main", "init", "new"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, "error: cannot write new: File too large\n")
    assert list((tmp_path / "new").iterdir()) == []
