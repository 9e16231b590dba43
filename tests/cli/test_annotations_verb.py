"""`gameday annotations`: the notes of one run are shown and removed, those of others are left alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from testkit_notes import asked_of, behave, notes_in

from gameday.cli.annotations import command
from gameday.common.processes import ProcessRef
from gameday.coverage.dashboards import Annotation, Moment
from gameday.engine.runs import new_run
from gameday.journal.events import SessionStarted
from gameday.journal.log import JournalWriter
from tests.coverage.grafana_server import GrafanaServer

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))
from pretend import EXPERIMENT, PretendSystem

PROJECT = """
environments:
  staging:
    signals: {{source: testkit, url: "{url}", platform: custom, queries: {{errors: {{ratio: errors}}}}}}
    dashboards: {{source: testkit-notes, url: "{url}", token: "${{NOTES_TOKEN}}"}}
  other:
    signals: {{source: testkit, url: "{url}", platform: custom, queries: {{errors: {{ratio: errors}}}}}}
    dashboards: {{source: {source}, url: "{url}/other"}}
"""
TOKEN = "gl5a-t0ken-of-ours"


class Project:
    """A project with two runs, each of which has left notes."""

    def __init__(self, root: Path, source: str = "testkit-notes") -> None:
        self.directory = root / "system"
        (self.directory / "other").mkdir(parents=True)
        (root / "gameday.yaml").write_text(PROJECT.format(url=f"http://pretend{self.directory}", source=source))
        self.first, self.last = (self._run(root, title) for title in ("first", "last"))
        self.keep(self.directory, self.first, self.last)

    def _run(self, root: Path, title: str, environment: str = "staging") -> str:
        run = new_run(root, title)
        writer = JournalWriter(run.directory)
        writer.append(
            SessionStarted(
                at=1.0,
                format=1,
                gameday="0",
                session=run.name,
                kind="experiment",
                title=title,
                path="e.yaml",
                environment=environment,
                host="h",
                runner=ProcessRef(1, "1"),
                experiments=(),
            )
        )
        writer.close()
        return run.name

    def keep(self, directory: Path, *runs: str) -> None:
        notes = [
            note
            for run in runs
            for note in (
                Annotation(run, Moment.UNDO, f"Undone, by {run}", 1_772_790_120.0, service="shop"),
                Annotation(run, Moment.STAGE, f"Stage 1\x1b[31m, by {run}", 1_772_790_060.0, 1_772_790_090.5),
            )
        ]
        (directory / "notes.jsonl").write_bytes(b"".join(msgspec.json.encode(note) + b"\n" for note in notes))

    def left(self, directory: Path | None = None) -> set[str]:
        """The runs whose notes are there."""
        return {note.run for note in notes_in(directory or self.directory)}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTES_TOKEN", TOKEN)
    return Project(tmp_path)


def annotations(*words: str) -> Result:
    result = CliRunner().invoke(command, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_last_run_is_listed(project: Project) -> None:
    result = annotations("list")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"2026-03-06 09:41:00 UTC, for 30.5 s  Stage 1 [31m, by {project.last}",
        f"2026-03-06 09:42:00 UTC  Undone, by {project.last}",
    ]


def test_a_run_as_a_document(project: Project) -> None:
    result = annotations("list", project.first, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    notes = document.pop("annotations")
    assert document == {"schema": 1, "run": project.first, "environment": "staging"}
    assert notes[1] == {
        "at": 1_772_790_120.0,
        "until": None,
        "moment": "undo",
        "service": "shop",
        "text": f"Undone, by {project.first}",
    }
    assert (notes[0]["moment"], notes[0]["until"]) == ("stage", 1_772_790_090.5)


def test_removed_is_what_bears_the_runs_name(project: Project) -> None:
    result = annotations("remove", project.first, "--yes")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"removed 2 notes of {project.first}" in result.stderr
    assert project.left() == {project.last}
    again = annotations("remove", project.first, "--yes")
    assert (again.exit_code, f"removed 0 notes of {project.first}" in again.stderr) == (0, True)
    empty = annotations("list", project.first)
    assert (empty.exit_code, empty.stdout, "there are no notes" in empty.stderr) == (0, "", True)


def test_nothing_is_removed_unasked(project: Project) -> None:
    result = annotations("remove")
    assert (result.exit_code, "--yes" in result.stderr) == (2, True)
    assert asked_of(project.directory) == []


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 2)])
def test_whoever_is_there_is_asked(project: Project, monkeypatch: pytest.MonkeyPatch, answer: str, status: int) -> None:
    monkeypatch.setattr("gameday.cli.annotations._is_attended", lambda: True)
    result = CliRunner().invoke(command, ["remove"], input=answer)
    assert result.exit_code == status
    assert (project.last in project.left()) == (status == 2)


def test_the_environment_that_is_named_goes_before_the_runs(project: Project) -> None:
    other = project.directory / "other"
    project.keep(other, project.last)
    assert annotations("remove", "--env", "other", "--yes").exit_code == 0
    assert project.left(other) == set()
    assert project.left() == {project.first, project.last}


def test_wrong_input(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words, said in (
        (["list", "nothing"], "there is no run `nothing`"),
        (["list", "--env", "stagin"], "did you mean `staging`?"),
        (["list", "--env", "lab"], "the environment `lab` has no dashboards"),
    ):
        result = annotations(*words)
        assert (result.exit_code, result.stdout, said in result.stderr) == (2, "", True), result.stderr
    (tmp_path / "gameday.yaml").unlink()
    assert annotations("list").exit_code == 2  # the run's environment is gone
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    (empty / "gameday.yaml").write_text("project: empty\n")
    result = annotations("list")
    assert (result.exit_code, "there are no runs" in result.stderr) == (2, True)


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["remove", "--yes"]])
def test_a_source_that_refuses_is_said_without_its_token(project: Project, words: list[str]) -> None:
    behave(project.directory, f"HTTP 401: who is {TOKEN}?")
    result = annotations(*words)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "HTTP 401: who is •••?" in result.stderr
    assert project.left() == {project.first, project.last}


def test_a_source_that_never_answers(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.cli.annotations._DEADLINE_S", 0.1)
    behave(project.directory, "hang")
    result = annotations("list")
    assert (result.exit_code, "did not answer within 0.1 s" in result.stderr) == (3, True)


def test_a_source_that_takes_no_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTES_TOKEN", TOKEN)
    Project(tmp_path, source="testkit")
    result = annotations("list", "--env", "other")
    assert (result.exit_code, "takes no notes" in result.stderr) == (3, True)


# -- the program, from a run to the removal of its notes

PROGRAM = str(Path(sys.executable).parent / "gameday")


def program(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *words],
        cwd=root,
        env={**os.environ, "NOTES_TOKEN": TOKEN},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def run_experiment(root: Path, dashboards: str) -> subprocess.CompletedProcess[str]:
    """`gameday run` of an experiment on a pretend system whose environment has these dashboards."""
    PretendSystem(root).write_project()
    path = root / "gameday.yaml"
    path.write_text(path.read_text().replace("    policy:", f"    dashboards: {dashboards}\n    policy:"))
    (root / "e.yaml").write_text(EXPERIMENT)
    return program(root, "run", "e.yaml", "--env", "pretend", "--yes", "--json")


def test_grafana_has_the_notes_of_a_run_until_they_are_removed(tmp_path: Path) -> None:
    of_others = {"id": 7, "time": 1000, "timeEnd": 1000, "tags": ["gameday", "gameday:other"], "text": "of another run"}
    with GrafanaServer(token=TOKEN, annotations=[of_others]) as grafana:
        run = run_experiment(tmp_path, f'{{url: "{grafana.url}", token: "${{NOTES_TOKEN}}"}}')
        assert run.returncode == 0, run.stderr
        listed = json.loads(program(tmp_path, "annotations", "list", "--json").stdout)
        notes = listed["annotations"]
        assert [note["moment"] for note in notes if note["moment"] != "stage"] == ["injection"] * 2 + ["undo"] * 2
        stages = [note for note in notes if note["moment"] == "stage"]
        assert [note["until"] > note["at"] + 0.3 for note in stages] == [True, True]
        assert {note["service"] for note in notes} == {"shop"}
        removed = program(tmp_path, "annotations", "remove", "--yes")
        assert (removed.returncode, removed.stderr) == (0, f"removed 6 notes of {listed['run']}\n")
        assert grafana.annotations == [of_others]


def test_a_run_goes_on_where_grafana_takes_no_notes(tmp_path: Path) -> None:
    with GrafanaServer(token=TOKEN, is_editor=False) as grafana:
        run = run_experiment(tmp_path, f'{{url: "{grafana.url}", token: "${{NOTES_TOKEN}}"}}')
        assert grafana.writes == ["POST /api/annotations"]
    assert run.returncode == 0
    [said] = [line for line in run.stderr.splitlines() if "annotations failed" in line]
    assert "HTTP 403" in said
    assert "annotations:create" in said
    [failure] = json.loads(run.stdout)["sink_failures"]
    assert (failure["sink"], "HTTP 403" in failure["detail"], failure["count"]) == ("annotations", True, 1)
