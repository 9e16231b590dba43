"""`gameday check`, and what it shares with `run` and `plan`: all mistakes of all files, shown where they are."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gameday.cli.check import command
from gameday.cli.load import load_session, print_mistakes
from gameday.faults.arguments import read_arguments
from gameday.faults.base import Fault, Parameter, ParameterKind, Value
from gameday.faults.registry import fault_names
from gameday.spec.experiment import load_experiment
from gameday.spec.location import Location, Mistake, SpecError
from gameday.spec.model import FaultStep
from gameday.spec.project import load_project

EXPERIMENT = """\
title: T
service: a
steady-state-hypothesis:
  signals:
    errors: {ratio: "< 1%"}
method:
  - fault: dependency/delay
    target: {service: b}
    delay: 300ms
    blast-radius: 50%
    hold: 5s
"""
PLAIN = """{"title": "P", "description": "d", "method": [
\t{"type": "action", "name": "n", "provider": {"type": "python", "module": "os", "func": "getcwd"}}
]}"""
PROJECT = """\
environments:
  staging:
    signals: {source: prometheus, url: "http://localhost:9090", platform: envoy}
services: {a: {depends-on: [b]}, b: {}}
"""
GAME_DAY = "title: G\nenvironment: staging\nexperiments: [a.yaml, p.json]\n"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "experiments" / "gamedays").mkdir(parents=True)
    (tmp_path / "gameday.yaml").write_text(PROJECT)
    (tmp_path / "experiments" / "a.yaml").write_text(EXPERIMENT)
    (tmp_path / "experiments" / "p.json").write_text(PLAIN)
    (tmp_path / "experiments" / "gamedays" / "g.yaml").write_text(GAME_DAY)
    (tmp_path / "experiments" / "values.yaml").write_text("nobody: knows\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def found(*arguments: str) -> list[str]:
    """What `check` says, without source lines and the count."""
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return [line for line in result.output.splitlines() if ": found " in line]


def test_all_is_well(shop: Path) -> None:
    for arguments in ((), (str(shop),), ("experiments",), ("gameday.yaml", "experiments")):
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == 0, result.output
        assert result.output.startswith("All is well: 1 project, 2 experiments, 1 game day (")


def test_all_mistakes_of_all_files_each_once(shop: Path) -> None:
    edit(shop / "gameday.yaml", "platform: envoy", "platform: envoi")
    edit(shop / "gameday.yaml", "[b]", "[bb]")
    edit(shop / "experiments/a.yaml", "dependency/delay", "dependency/dely")
    edit(shop / "experiments/a.yaml", "hold: 5s", "hold: 5")
    edit(shop / "experiments/p.json", '"os"', '"no_such_module"')
    edit(shop / "experiments/gamedays/g.yaml", "staging", "stagin")
    assert found() == [
        "gameday.yaml:3:75: found the platform `envoi`, expected one of custom, datadog-apm, envoy; "
        "did you mean `envoy`?",
        "gameday.yaml:4:29: found the service `bb`, expected one of b; did you mean `b`?",
        "experiments/a.yaml:7:12: found the fault `dependency/dely`, expected one of "
        f"{', '.join(fault_names())}; did you mean `dependency/delay`?",
        "experiments/a.yaml:11:11: found `5`, expected a duration such as 300ms, 90s or 1h30m",
        "experiments/p.json:2:2: found the action `n`, expected one that can run "
        "(could not find Python module 'no_such_module' in activity 'n')",
        "experiments/gamedays/g.yaml:2:14: found the environment `stagin`, expected one of lab, staging; "
        "did you mean `staging`?",
    ]


def test_signals_are_checked_against_the_platform(shop: Path) -> None:
    edit(shop / "experiments/a.yaml", 'errors: {ratio: "< 1%"}', 'saturation: {disk: "< 1%"}')
    (mistake,) = found()
    assert mistake.startswith(
        "experiments/a.yaml:5:24: found the measure `saturation.disk`, expected one that `staging` has"
    )
    for environment in ("lab", "staging"):
        with pytest.raises(SpecError, match=r"saturation\.disk"):
            load_session(Path("experiments/a.yaml"), environment)


@pytest.mark.parametrize(
    ("argument", "mistake"),
    [
        (
            "nowhere.yaml",
            "nowhere.yaml:1:1: found a file that cannot be read (No such file or directory), expected a readable file",
        ),
        (
            "experiments/values.yaml",
            "experiments/values.yaml:1:1: found a file that is neither, "
            "expected an experiment (it has a `method`) or a game day (it has `experiments`)",
        ),
    ],
)
def test_what_was_named_must_be_ours(shop: Path, argument: str, mistake: str) -> None:
    assert found(argument) == [mistake]


def test_an_empty_directory_is_no_success(tmp_path: Path) -> None:
    (mistake,) = found(str(tmp_path))
    assert "gameday.yaml:1:1: found a file that cannot be read" in mistake


def test_a_session(shop: Path) -> None:
    session = load_session(Path("experiments/gamedays/g.yaml"))
    assert session.game_day
    assert (session.game_day.title, session.environment.name, len(session.experiments)) == ("G", "staging", 2)
    assert session.project.root == shop
    single = load_session(Path("experiments/a.yaml"))
    assert (single.game_day, single.environment.name, len(single.experiments)) == (None, "lab", 1)
    assert load_session(Path("experiments/gamedays/g.yaml"), "lab").environment.name == "lab"
    with pytest.raises(SpecError, match="no environment `stagin`"):
        load_session(Path("experiments/a.yaml"), "stagin")
    with pytest.raises(SpecError, match="found the project's file"):
        load_session(Path("gameday.yaml"))
    with pytest.raises(SpecError, match="found a directory"):
        load_session(Path("experiments"))


def test_mistakes_are_shown_where_they_are(shop: Path) -> None:
    edit(shop / "gameday.yaml", "platform: envoy", "platfrom: envoy, tokens: abc")
    edit(shop / "experiments/a.yaml", "hold: 5s", "hold: 5")
    result = CliRunner().invoke(command)
    assert result.output.splitlines()[-4:] == [
        "experiments/a.yaml:11:11: found `5`, expected a duration such as 300ms, 90s or 1h30m",
        "11 |     hold: 5",
        "   |           ^",
        "3 mistakes in 2 files.",
    ]
    assert "abc" not in result.output  # a line that may hold a secret is not shown


def test_what_a_terminal_must_not_get(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text('title: "\x85"\nmethod: 3\n')
    (tmp_path / "b.yaml").write_bytes(b"title: \x1b[31m\n")
    out = io.StringIO()
    places = [Location(path, 2, 9), Location(path, 99, 1), Location(tmp_path / "b.yaml"), Location(tmp_path / "none")]
    print_mistakes(SpecError(tuple(Mistake(place, "x", "y") for place in places)), out)
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().endswith("4 mistakes in 3 files.\n")


def test_no_traceback_from_the_real_program(shop: Path) -> None:
    (shop / "experiments" / "broken.yaml").write_bytes(b"\x00\xff{")
    done = subprocess.run(
        [sys.executable, "-m", "gameday.cli.main", "check"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert "broken.yaml:1:2: found the byte 0xff" in done.stderr


class Everything(Fault):  # type: ignore[type-arg]
    """A fault with a parameter of each kind; never planned."""

    name = "test/everything"
    parameters = {
        "delay": Parameter(ParameterKind.DURATION, "how long", minimum=0.001, maximum=60),
        "status": Parameter(ParameterKind.INTEGER, "which", default="503", minimum=200, maximum=599),
        "signal": Parameter(ParameterKind.CHOICE, "which", default="KILL", choices=("KILL", "TERM")),
        "note": Parameter(ParameterKind.TEXT, "what", default=""),
    }
    plan = targets = reach = inject = undo = verify = by_hand = None  # type: ignore[assignment]


STEP = "title: T\nmethod:\n  - {fault: test/everything, target: {service: a}, blast-radius: 1, hold: 5s%s}\n"


def read(tmp_path: Path, arguments: str) -> dict[str, Value]:
    path = tmp_path / "a.yaml"
    path.write_text(STEP % (arguments and f", {arguments}"))
    (step,) = load_experiment(path).method
    assert isinstance(step, FaultStep)
    return read_arguments(step, Everything())


def test_arguments(tmp_path: Path) -> None:
    assert read(tmp_path, "delay: 300ms") == {"delay": 0.3, "status": 503, "signal": "KILL", "note": ""}
    assert read(tmp_path, "delay: 1m, status: 200, signal: TERM, note: 12") == {
        "delay": 60.0,
        "status": 200,
        "signal": "TERM",
        "note": "12",
    }


@pytest.mark.parametrize(
    ("arguments", "mistakes"),
    [
        ("", ["3:13: found test/everything without `delay`, expected how long"]),
        (
            "dealy: 3s",
            [
                "3:79: found the key `dealy`, expected a setting of test/everything (delay, status, signal, note) "
                "or a key of a fault; did you mean `delay`?"
            ],
        ),
        ("delay: 3", ["3:79: found `delay: 3`, expected a duration such as 300ms, 90s or 1h30m"]),
        ("delay: 0s", ["3:79: found `delay: 0s`, expected at least 1ms and at most 1m"]),
        ("delay: 2m", ["3:79: found `delay: 2m`, expected at least 1ms and at most 1m"]),
        (
            "delay: 1s, status: 700, signal: KIL",
            [
                "3:90: found `status: 700`, expected at least 200 and at most 599",
                "3:103: found `signal: KIL`, expected one of KILL, TERM; did you mean `KILL`?",
            ],
        ),
        ("delay: 1s, status: 2e2", ["3:90: found `status: 2e2`, expected a whole number"]),
        ("delay: 1s, status: ²", ["3:90: found `status: ²`, expected a whole number"]),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: str, mistakes: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, arguments)
    assert [str(mistake).partition("a.yaml:")[2] for mistake in caught.value.mistakes] == mistakes


def test_what_the_toolkit_would_pass_over_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain file that the Toolkit runs must run; a key that is probably misspelt is said all the same."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.json").write_text(PLAIN.replace('"name": "n"', '"name": "n", "pause": {"after": 5}'))
    done = CliRunner().invoke(command, ["plain.json"])
    assert done.exit_code == 0, done.output
    assert "plain.json:2:34: warning: found the key `pause`, which is passed over" in done.output
    assert "did you mean `pauses`?" in done.output
    assert "All is well: 1 experiment" in done.output
    native = EXPERIMENT.replace(
        "method:\n", "method:\n  - {type: action, name: n, pause: 1, provider: {type: process, path: ls}}\n"
    )
    (tmp_path / "native.yaml").write_text(native)
    done = CliRunner().invoke(command, ["native.yaml"])
    assert done.exit_code == 2
    assert "warning" not in done.output


def test_a_misspelt_key_of_ours_does_not_make_an_experiment_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = PLAIN.replace('"title": "P",', '"title": "P", "abort_when": {"errors": {"ratio": "> 10%"}},')
    (tmp_path / "plain.json").write_text(text)
    done = CliRunner().invoke(command, ["plain.json"])
    assert done.exit_code == 2
    assert "did you mean `abort-when`?" in done.output


def test_a_missing_extension_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.json").write_text(PLAIN.replace('"module": "os"', '"module": "chaosgremlin.actions"'))
    done = CliRunner().invoke(command, ["plain.json"])
    assert done.exit_code == 2
    assert "`pip install chaostoolkit-gremlin` brings it" in done.output


def test_an_action_may_stand_in_a_plain_hypothesis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hypothesis = """"steady-state-hypothesis": {"title": "H", "probes": [
{"type": "action", "name": "a", "tolerance": 0, "provider": {"type": "process", "path": "true"}}]},"""
    (tmp_path / "plain.json").write_text(PLAIN.replace('"title": "P",', '"title": "P", ' + hypothesis))
    assert CliRunner().invoke(command, ["plain.json"]).exit_code == 0


def plain(tmp_path: Path, old: str, new: str, status: int = 0) -> str:
    """What `check` says of the plain experiment with this change."""
    text = PLAIN.replace(old, new)
    assert text != PLAIN
    (tmp_path / "plain.json").write_text(text)
    done = CliRunner().invoke(command, [str(tmp_path / "plain.json")])
    assert done.exit_code == status, done.output
    return done.output


def test_of_a_key_that_stands_there_twice_the_last_counts_in_a_plain_file(tmp_path: Path) -> None:
    said = plain(tmp_path, '"title": "P",', '"title": "P", "title": "Q",')
    assert "plain.json:1:16: warning: found the key `title` a second time, which is what counts" in said
    assert load_experiment(tmp_path / "plain.json").title == "Q"
    (tmp_path / "native.yaml").write_text("title: A\ntitle: B\nservice: a\nmethod: []\n")
    assert CliRunner().invoke(command, [str(tmp_path / "native.yaml")]).exit_code == 2


def test_a_tolerance_in_the_method_is_not_looked_at(tmp_path: Path) -> None:
    plain(tmp_path, '"name": "n"', '"name": "n", "tolerance": {"type": "less_than", "value": 3}')


def test_a_jsonpath_tolerance_can_be_judged(tmp_path: Path) -> None:
    hypothesis = """"steady-state-hypothesis": {"title": "H", "probes": [{"type": "probe", "name": "a",
"tolerance": {"type": "jsonpath", "path": "$.status"}, "provider": {"type": "process", "path": "true"}}]},"""
    plain(tmp_path, '"title": "P",', '"title": "P", ' + hypothesis)


def test_a_variable_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAMEDAY_TEST_UNSET", raising=False)
    said = plain(
        tmp_path, '"title": "P",', '"title": "P", "configuration": {"x": {"type": "env", "key": "GAMEDAY_TEST_UNSET"}},'
    )
    assert "warning: found the variable `GAMEDAY_TEST_UNSET` unset" in said


def test_packages_of_the_runtime_are_not_installed(tmp_path: Path) -> None:
    said = plain(tmp_path, '"title": "P",', '"title": "P", "runtime": {"python": {"dependencies": ["x"]}},')
    assert "warning: found the packages of `runtime.python`" in said


def test_a_file_of_on_call_is_checked_with_all_else(shop: Path) -> None:
    edit(shop / "gameday.yaml", "environments:", "environments:\n  e: {on-call: {source: file, path: people.yaml}}")
    (shop / "people.yaml").write_text("schedules: {shop: {layers: [{people: [], every: 1w}]}}\n")
    result = CliRunner().invoke(command)
    assert result.exit_code == 2
    assert "people.yaml:1:" in result.output


def test_a_source_that_is_not_installed(shop: Path) -> None:
    edit(
        shop / "gameday.yaml",
        "environments:",
        "environments:\n  e: {dashboards: {source: graphana, url: 'http://g'}, on-call: {source: pagerdty}}",
    )
    output = CliRunner().invoke(command).output
    assert "found the source `graphana`" in output
    assert "did you mean `grafana`?" in output
    assert "did you mean `pagerduty`?" in output


def test_a_line_with_a_password_in_a_url_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "gameday.yaml"
    path.write_text('history: "mysql://u:sekret@host/db"\n')
    out = io.StringIO()
    with pytest.raises(SpecError) as raised:
        load_project(tmp_path)
    print_mistakes(raised.value, out)
    assert "1:10" in out.getvalue()
    assert "sekret" not in out.getvalue()
    path.write_text('history: "postgres://u@host/db"\n')
    assert load_project(tmp_path).history == "postgresql://u@host/db"
