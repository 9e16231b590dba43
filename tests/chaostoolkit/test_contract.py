"""What the adapter relies on in the installed chaoslib. A failure here names what a new version of it has changed."""

import inspect
import json
import sys
import threading
import time
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import chaoslib.activity
import chaoslib.configuration
import chaoslib.control
import chaoslib.exit
import chaoslib.experiment
import chaoslib.hypothesis
import chaoslib.log
import chaoslib.run
import chaoslib.secret
import chaoslib.settings
import pytest
from chaoslib import substitute
from chaoslib.exceptions import ActivityFailed, ChaosException, InterruptExecution, InvalidActivity, InvalidExperiment
from chaostoolkit.cli import cli

from gameday.chaostoolkit.adapter import preload
from gameday.chaostoolkit.controls import SETTINGS
from gameday.chaostoolkit.translation import Listener, moment
from gameday.spec.model import Dry, HypothesisStrategy, RollbackStrategy

SIGNATURES = {
    chaoslib.activity.run_activity: ["activity", "configuration", "secrets"],
    chaoslib.activity.ensure_activity_is_valid: ["activity"],
    chaoslib.configuration.load_configuration: ["config_info", "extra_vars"],
    chaoslib.configuration.load_dynamic_configuration: ["config", "secrets"],
    chaoslib.secret.load_secrets: ["secrets_info", "configuration", "extra_vars"],
    chaoslib.hypothesis.within_tolerance: ["tolerance", "value", "configuration", "secrets"],
    chaoslib.hypothesis.ensure_hypothesis_tolerance_is_valid: ["tolerance"],
    chaoslib.experiment.ensure_experiment_is_valid: ["experiment"],
    chaoslib.exit.exit_signals: [],
    substitute: ["data", "configuration", "secrets"],
}


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__name__)
def test_signature(function: Any) -> None:
    assert list(inspect.signature(function).parameters) == SIGNATURES[function]


def test_the_stand_in_for_logzero_is_its_own() -> None:
    preload()
    ours = vars(sys.modules["logzero"])
    chaoslib.log.override_logzero_module()
    assert vars(sys.modules["logzero"]) == ours
    assert vars(sys.modules["logzero"]) is not ours


def test_the_oldest_version_that_is_allowed() -> None:
    assert tuple(map(int, version("chaostoolkit-lib").split(".")[:3])) >= (1, 45, 1)


@pytest.mark.parametrize("error", [ActivityFailed, InterruptExecution, InvalidActivity, InvalidExperiment])
def test_its_errors_are_chaos_exceptions(error: type[Exception]) -> None:
    assert issubclass(error, ChaosException)


def activity(provider: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "probe", "name": "it", "provider": provider, **more}


def test_run_activity_neither_pauses_nor_goes_into_the_background() -> None:
    definition = activity({"type": "process", "path": "true"}, pauses={"before": 9, "after": 9}, background=True)
    began = time.monotonic()
    assert chaoslib.activity.run_activity(definition, {}, {}) == {"status": 0, "stdout": "", "stderr": ""}
    assert time.monotonic() - began < 9


def test_substitution_prefers_configuration_keeps_types_and_leaves_the_unknown() -> None:
    secrets = {"a": {"x": "secret", "y": "other"}}
    data = {"n": "${n}", "text": "n=${n}", "list": ["${y}"], "x": "${x}", "unknown": "${unknown}"}
    assert substitute(data, {"n": 3, "x": "configured"}, secrets) == {
        "n": 3,
        "text": "n=3",
        "list": ["other"],
        "x": "configured",
        "unknown": "${unknown}",
    }


def test_secrets_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_TOKEN", "abc")
    info = {"group": {"token": {"type": "env", "key": "THE_TOKEN"}, "literal": "x"}}
    assert chaoslib.secret.load_secrets(info, {}) == {"group": {"token": "abc", "literal": "x"}}
    with pytest.raises(InvalidExperiment, match="NO_SUCH"):
        chaoslib.secret.load_secrets({"group": {"token": {"type": "env", "key": "NO_SUCH"}}}, {})


def test_configuration_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_PORT", "80")
    info = {
        "port": {"type": "env", "key": "THE_PORT", "env_var_type": "int"},
        "d": {"type": "env", "key": "NO", "default": "z"},
    }
    assert chaoslib.configuration.load_configuration(info) == {"port": 80, "d": "z"}
    with pytest.raises(InvalidExperiment, match="NO_SUCH"):
        chaoslib.configuration.load_configuration({"a": {"type": "env", "key": "NO_SUCH"}})


def test_dynamic_configuration_drops_what_fails() -> None:
    """The adapter takes a key that is gone for a probe that failed."""
    config = {
        "kept": "x",
        "good": activity({"type": "process", "path": "echo", "arguments": ["hi"]}),
        "bad": activity({"type": "process", "path": "false"}),
    }
    assert chaoslib.configuration.load_dynamic_configuration(config, {}) == {"kept": "x", "good": "hi"}


@pytest.mark.parametrize(
    ("tolerance", "value", "met"),
    [
        (True, True, True),
        ("a", "a", True),
        ("a", "b", False),
        (200, {"status": 200}, True),
        (0, {"status": 1}, False),
        ([200, 204], {"status": 204}, True),
        ([1, 5], 5, True),
        ([1, 2, 3], 4, False),
        ({"type": "regex", "pattern": "b+", "target": "stdout"}, {"stdout": "abc"}, True),
        ({"type": "range", "range": [1, 2], "target": "body"}, {"body": "1.5"}, True),
        ({"type": "range", "range": [1, 2]}, "many", False),
    ],
)
def test_within_tolerance(tolerance: Any, value: Any, met: bool) -> None:
    assert chaoslib.hypothesis.within_tolerance(tolerance, value, configuration={}, secrets={}) is met


def test_a_tolerance_of_an_unknown_type_gives_none() -> None:
    assert chaoslib.hypothesis.within_tolerance(0.5, 0.5) is None


def test_the_process_provider_times_out_and_passes_statuses() -> None:
    provider: dict[str, Any] = {"type": "process", "path": "sleep", "arguments": ["20"], "timeout": 0.2}
    began = time.monotonic()
    with pytest.raises(ActivityFailed, match="took too long"):
        chaoslib.activity.run_activity(activity(provider), {}, {})
    assert time.monotonic() - began < 15
    provider = {"type": "process", "path": "sh", "arguments": ["-c", "echo out; echo err >&2; exit 3"]}
    run = chaoslib.activity.run_activity(activity(provider), {}, {})
    assert run == {"status": 3, "stdout": "out\n", "stderr": "err\n"}


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/slow"):
                time.sleep(0.5)
            body = json.dumps({"path": self.path, "auth": self.headers.get("Authorization")}).encode()
            self.send_response(404 if self.path == "/missing" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_the_http_provider(server: str) -> None:
    provider = {
        "type": "http",
        "url": "${base}/get",
        "arguments": {"q": "${q}"},
        "headers": {"Authorization": "Bearer ${token}"},
    }
    run = chaoslib.activity.run_activity(activity(provider), {"base": server, "q": "1"}, {"g": {"token": "abc"}})
    assert (run["status"], run["body"]) == (200, {"path": "/get?q=1", "auth": "Bearer abc"})
    missing = chaoslib.activity.run_activity(activity({"type": "http", "url": f"{server}/missing"}), {}, {})
    assert missing["status"] == 404


def test_the_http_provider_times_out_and_cannot_connect(server: str) -> None:
    with pytest.raises(ActivityFailed, match="took too long"):
        chaoslib.activity.run_activity(activity({"type": "http", "url": f"{server}/slow", "timeout": 0.1}), {}, {})
    with pytest.raises(ActivityFailed, match="failed to connect"):
        chaoslib.activity.run_activity(activity({"type": "http", "url": "http://127.0.0.1:1/"}), {}, {})


def test_the_python_provider_wraps_errors_and_lets_an_interruption_through() -> None:
    def provider(func: str, **arguments: Any) -> dict[str, Any]:
        return activity({"type": "python", "module": "chaos_activities", "func": func, "arguments": arguments})

    with pytest.raises(ActivityFailed, match="ValueError: bad"):
        chaoslib.activity.run_activity(provider("raise_value_error", message="bad"), {}, {})
    with pytest.raises(InterruptExecution):
        chaoslib.activity.run_activity(provider("interrupt"), {}, {})
    with pytest.raises(SystemExit):
        chaoslib.activity.run_activity(provider("leave"), {}, {})


def test_a_plain_experiment_of_the_toolkits_documentation_is_valid() -> None:
    experiment = {
        "title": "t",
        "description": "d",
        "steady-state-hypothesis": {
            "title": "h",
            "probes": [activity({"type": "process", "path": "true"}, tolerance=0)],
        },
        "method": [{"ref": "it"}],
        "rollbacks": [],
    }
    chaoslib.experiment.ensure_experiment_is_valid(experiment)


def test_run_as_the_toolkit_does() -> None:
    """What a whole experiment, run through the Toolkit's own command, is heard by."""
    parameters = {
        name: list(inspect.signature(getattr(chaoslib.run.RunEventHandler, name)).parameters)[1:]
        for name in vars(Listener)
        if not name.startswith("_")
    }
    assert parameters == {name: list(inspect.signature(getattr(Listener, name)).parameters)[1:] for name in parameters}
    assert {"start_activity", "activity_completed", "finish", "running", "start_rollbacks"} <= set(parameters)
    assert list(inspect.signature(chaoslib.run.Runner.register_event_handler).parameters) == ["self", "handler"]
    assert chaoslib.experiment.Runner is chaoslib.run.Runner
    assert "Runner(" in inspect.getsource(chaoslib.experiment.run_experiment.__wrapped__)


def test_the_options_of_the_command() -> None:
    """Those that an experiment with controls is run with; without a settings file of one's own it reads this one."""
    of_all = {option for parameter in cli.params for option in parameter.opts}
    assert {"--no-version-check", "--no-log-file"} <= of_all
    run = {option: parameter for parameter in cli.commands["run"].params for option in parameter.opts}
    assert {"--journal-path", "--hypothesis-frequency", "--fail-fast", "source"} <= set(run)
    strategies = {strategy.value for strategy in HypothesisStrategy} - {"skip"}
    assert strategies <= set(run["--hypothesis-strategy"].type.choices)
    assert set(run["--rollback-strategy"].type.choices) == {strategy.value for strategy in RollbackStrategy}
    assert set(run["--dry"].type.choices) == {dry.value for dry in Dry}


def test_the_settings_that_are_read() -> None:
    assert str(Path(SETTINGS).expanduser()) == chaoslib.settings.CHAOSTOOLKIT_CONFIG_PATH


def test_the_journal_that_is_read_and_written() -> None:
    journal = chaoslib.run.initialize_run_journal({"title": "t"})
    assert list(journal) == [
        "chaoslib-version",
        "platform",
        "node",
        "experiment",
        "start",
        "status",
        "deviated",
        "steady_states",
        "run",
        "rollbacks",
    ]
    assert list(journal["steady_states"]) == ["before", "after", "during"]
    run = chaoslib.activity.execute_activity({}, activity({"type": "process", "path": "true"}), {}, {}, dry=None)
    assert list(run) == ["activity", "output", "start", "status", "end", "duration"]
    assert moment(run["start"]) <= moment(run["end"])


def test_an_activity_that_interrupts_has_no_status_and_what_it_raised_can_be_seen() -> None:
    seen: list[Any] = []

    class Handler(chaoslib.run.RunEventHandler):  # type: ignore[misc]
        def activity_completed(self, activity: Any, run: Any) -> None:
            seen.append((run.get("status"), str(sys.exception())))

    registry = chaoslib.run.EventHandlerRegistry()
    registry.register(Handler())
    interrupts = activity({"type": "python", "module": "chaos_activities", "func": "interrupt"})
    with pytest.raises(InterruptExecution):
        chaoslib.activity.execute_activity({}, interrupts, {}, {}, dry=None, event_registry=registry)
    assert seen == [(None, "enough of it")]


def test_a_control_is_given_the_registry_of_event_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    module = types.ModuleType("registering_control")

    def configure_control(
        experiment: Any, configuration: Any = None, secrets: Any = None, event_registry: Any = None, **arguments: Any
    ) -> None:
        given.update(arguments, secrets=secrets, configuration=configuration, registry=event_registry)

    vars(module)["configure_control"] = configure_control
    monkeypatch.setitem(sys.modules, "registering_control", module)
    control = {"name": "c", "provider": {"type": "python", "module": "registering_control", "arguments": {"a": 1}}}
    registry = chaoslib.run.EventHandlerRegistry()
    chaoslib.control.initialize_controls({"controls": [control]}, {"x": 1}, {"y": 2}, event_registry=registry)
    assert given == {"a": 1, "secrets": {"y": 2}, "configuration": {"x": 1}, "registry": registry}
    registry.register(SimpleNamespace())  # no class of theirs is asked for, and what one cannot hear is passed over
    registry.started({}, {})


def test_handlers_are_told_of_an_interruption_while_it_is_handled() -> None:
    heard: list[str] = []

    class Handler(chaoslib.run.RunEventHandler):  # type: ignore[misc]
        def interrupted(self, experiment: Any, journal: Any) -> None:
            heard.append(str(sys.exception()))

        def finish(self, journal: Any) -> None:
            heard.append(journal["status"])

    interrupts = activity({"type": "python", "module": "chaos_activities", "func": "interrupt"})
    experiment = {"title": "t", "description": "-", "method": [interrupts]}
    chaoslib.experiment.run_experiment(experiment, settings={}, event_handlers=[Handler()])
    assert heard == ["enough of it", "interrupted"]


def test_a_control_of_the_settings_that_raises_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("raising_control")

    def configure_control(settings: Any = None) -> None:
        if settings is not None:  # given to those of the settings alone
            raise ValueError

    vars(module)["configure_control"] = configure_control
    monkeypatch.setitem(sys.modules, "raising_control", module)
    provider = {"type": "python", "module": "raising_control"}
    settings = {"controls": {"c": {"provider": provider}}}
    chaoslib.control.load_global_controls(settings)
    try:
        assert len(chaoslib.control.get_global_controls()) == 1
        chaoslib.control.initialize_global_controls({}, {}, {}, settings)
        assert chaoslib.control.get_global_controls() == []
    finally:
        chaoslib.control.reset_global_controls()
