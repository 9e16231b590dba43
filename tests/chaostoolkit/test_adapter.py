"""One activity through the adapter: every end it can come to is an outcome, and no secret leaves."""

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from gameday.chaostoolkit.adapter import (
    ActivityOutcome,
    ActivityRequest,
    resolve_dynamic_configuration,
    run_activity,
    validate_experiment,
)
from gameday.chaostoolkit.output import MAX_OUTPUT, Masker, failure_of
from gameday.chaostoolkit.variables import known_secrets, missing_variables, sounds_secret
from gameday.common.redact import MASK

SECRET = 'hunter2/"é'


def python(func: str, arguments: dict[str, Any] | None = None, **provider: Any) -> dict[str, Any]:
    return {
        "type": "probe",
        "name": "it",
        "provider": {
            "type": "python",
            "module": "chaos_activities",
            "func": func,
            "arguments": arguments or {},
            **provider,
        },
    }


def run(definition: dict[str, Any], tolerance: bool = False, **given: Any) -> ActivityOutcome:
    request = ActivityRequest(definition, given.get("configuration", {}), given.get("secrets", {}), tolerance)
    # Through JSON and back, as the child process gets it and answers.
    request = msgspec.json.decode(msgspec.json.encode(request), type=ActivityRequest)
    outcome = run_activity(request)
    return msgspec.json.decode(msgspec.json.encode(outcome), type=ActivityOutcome)


# -- ends


def test_success_is_the_output_as_json() -> None:
    assert run(python("echo", {"value": {"a": [1, None]}})) == ActivityOutcome("succeeded", output='{"a": [1, null]}')


@pytest.mark.parametrize(
    ("definition", "error", "interrupted"),
    [
        (python("fail", {"message": "no pods"}), "no pods", False),
        (python("raise_value_error", {"message": "bad"}), "ValueError: bad", False),
        (python("interrupt"), "enough of it", True),
        (python("leave"), "it ended its process: SystemExit(3)", True),
        (python("leave_by_signal"), "it ended its process: SystemExit(20)", True),
        (python("cancelled"), "CancelledError: by its loop", False),
        (python("nothing"), "does not expose a function called 'nothing'", False),
        (python("echo", {"other": 1}), "other", False),
        ({"type": "probe", "name": "it", "provider": {"type": "ssh"}}, "unknown provider type 'ssh'", False),
        (
            {"type": "probe", "name": "it", "provider": {"type": "process", "path": "no-such"}},
            "'no-such' cannot",
            False,
        ),
        ({"ref": "another"}, "`ref: another`", False),
        ({}, "empty activity", False),
    ],
)
def test_failures(definition: dict[str, Any], error: str, interrupted: bool) -> None:
    outcome = run(definition)
    assert (outcome.status, outcome.output, outcome.interrupted) == ("failed", "null", interrupted)
    assert error in outcome.error
    assert "Traceback" not in outcome.error


def test_pauses_background_and_controls_are_left_to_the_engine() -> None:
    definition = python("echo", {"value": 1}) | {
        "pauses": {"before": 60, "after": 60},
        "background": True,
        "controls": [{"name": "c", "provider": {"type": "python", "module": "no_such_module"}}],
    }
    assert run(definition).output == "1"


def test_what_json_cannot_say_is_written_all_the_same() -> None:
    assert json.loads(run(python("unusual")).output) == {
        "1": "2026-01-02T00:00:00+00:00",
        "decimal": "1.50",
        "bytes": "café",
        "set": [7],
        "tuple": [1, None, True],
        "nan": "nan",
        "object": "<opaque>",
    }
    assert "nested too deeply" in run(python("cyclic")).output


def test_long_output_and_errors_are_shortened() -> None:
    outcome = run(python("long", {"length": 1_000_000}))
    assert len(outcome.output) == MAX_OUTPUT
    assert outcome.output.endswith("… (shortened)")
    assert len(run(python("fail", {"message": "x" * 1_000_000})).error) == MAX_OUTPUT


def test_nothing_is_printed() -> None:
    program = (
        "from gameday.chaostoolkit.adapter import *\n"
        "d = {'type': 'action', 'name': 'a', 'provider': {'type': 'python', 'module': 'chaos_activities',"
        " 'func': 'log', 'arguments': {'text': 'said'}}}\n"
        "assert run_activity(ActivityRequest(d, {}, {})).status == 'succeeded'\n"
        "p = {'type': 'probe', 'name': 'a', 'provider': {'type': 'process', 'path': 'false'}}\n"
        "assert run_activity(ActivityRequest(p, {}, {})).status == 'succeeded'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=__file__.rpartition("/")[0], timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_importing_the_adapter_is_cheap() -> None:
    program = (
        "import sys, gameday.chaostoolkit.adapter as a; assert not [m for m in sys.modules if m.startswith('chaos')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


# -- tolerance


@pytest.mark.parametrize(
    ("tolerance", "value", "met"),
    [
        (True, True, True),
        (True, False, False),
        (200, {"status": 200}, True),
        ([200, 204], {"status": 503}, False),
        ([1, 5], 3, True),
        ({"type": "range", "range": [1, 5]}, "6", False),
        ({"type": "regex", "pattern": "^o"}, "ok", True),
        (python("is_even", {"value": 0}), 4, True),
        (python("is_even", {"value": 0}), 5, False),
    ],
)
def test_tolerance(tolerance: Any, value: Any, met: bool) -> None:
    outcome = run({**python("echo", {"value": value}), "tolerance": tolerance}, tolerance=True)
    assert (outcome.status, outcome.tolerance_met) == ("succeeded", met), outcome.error


def test_tolerance_is_only_judged_when_asked_for() -> None:
    assert run({**python("echo", {"value": 1}), "tolerance": 2}).tolerance_met is None


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        ({}, "no tolerance"),
        ({"tolerance": [1, 5]}, "cannot be applied to the output: TypeError"),
        ({"tolerance": 0.5}, "tolerance must either be"),
        ({"tolerance": {"type": "regex", "pattern": "("}}, "seems invalid"),
    ],
)
def test_what_cannot_be_judged_is_neither_in_nor_out_of_tolerance(extra: dict[str, Any], error: str) -> None:
    outcome = run({**python("echo", {"value": "text"}), **extra}, tolerance=True)
    assert (outcome.status, outcome.tolerance_met) == ("failed", None)
    assert error in outcome.error


# -- configuration and secrets


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_TOKEN", SECRET)
    monkeypatch.setenv("THE_PORT", "8080")


SECRETS = {"k8s": {"token": {"type": "env", "key": "THE_TOKEN"}, "pin": 1234567}}


def test_configuration_and_secrets_reach_the_activity_and_secrets_do_not_leave() -> None:
    outcome = run(
        python("all_given", {"arguments": ["${token}", "${port}", "Bearer ${token}"]}, secrets=["k8s"]),
        configuration={"port": {"type": "env", "key": "THE_PORT", "env_var_type": "int"}},
        secrets=SECRETS,
    )
    assert json.loads(outcome.output) == {
        "arguments": [MASK, 8080, f"Bearer {MASK}"],
        "configuration": {"port": 8080},
        "secrets": {"token": MASK, "pin": MASK},
    }


@pytest.mark.parametrize("func", ["fail", "raise_value_error", "cancelled"])
def test_secrets_do_not_leave_in_errors(func: str) -> None:
    outcome = run(python(func, {"message": "401 for ${token} and ${pin}"}), secrets=SECRETS)
    assert f"401 for {MASK} and {MASK}" in outcome.error


def test_secrets_do_not_leave_at_the_cut_of_a_long_output() -> None:
    text = "x" * (MAX_OUTPUT - 20) + "${token}" * 5
    outcome = run(python("echo", {"value": text}), secrets=SECRETS)
    assert "hunter" not in outcome.output
    masker = Masker([SECRET])
    for before in range(40):  # wherever the cut is
        text = "x" * (MAX_OUTPUT - before) + SECRET * 10
        assert len(masker.text(text)) <= MAX_OUTPUT
        assert "h" not in masker.text(text).removesuffix("… (shortened)")


@pytest.mark.parametrize(
    ("provider", "value", "failure"),
    [
        ({"type": "process"}, {"status": 0, "stdout": "", "stderr": ""}, None),
        ({"type": "process"}, {"status": 1, "stdout": "", "stderr": "no such\n"}, "it exited with status 1: no such"),
        ({"type": "process"}, {"status": -9, "stdout": "so far", "stderr": ""}, "it exited with status -9: so far"),
        ({"type": "process"}, {"status": 2, "stdout": "", "stderr": ""}, "it exited with status 2"),
        ({"type": "http"}, {"status": 399, "body": ""}, None),
        ({"type": "http"}, {"status": 400, "body": ""}, "it was answered with HTTP status 400"),
        ({"type": "python"}, {"status": 1}, None),
    ],
)
def test_what_programs_and_servers_say_of_their_failure(
    provider: dict[str, Any], value: dict[str, Any], failure: str | None
) -> None:
    assert failure_of({"provider": provider}, value) == failure


@pytest.mark.parametrize("strict", [False, True])
def test_only_who_is_strict_takes_an_exit_status_for_a_failure(strict: bool) -> None:
    """The Chaos Toolkit takes it for an output."""
    definition = {"type": "action", "name": "it", "provider": {"type": "process", "path": "false"}}
    outcome = run_activity(ActivityRequest(definition, {}, {}, strict=strict))
    assert outcome.status == ("failed" if strict else "succeeded")


def test_secrets_do_not_leave_over_the_process_provider() -> None:
    provider = {"type": "process", "path": "echo", "arguments": ["${token}"]}
    outcome = run({"type": "action", "name": "it", "provider": provider}, secrets=SECRETS)
    assert json.loads(outcome.output)["stdout"] == f"{MASK}\n"


def test_secrets_from_a_vault_do_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaoslib.secret.load_secrets_from_vault", lambda _info, _configuration: "from the vault")
    secrets = {"db": {"password": {"type": "vault", "path": "db", "key": "password"}}}
    assert run(python("echo", {"value": "${password}"}), secrets=secrets).output == json.dumps(MASK)
    # Nor where a probe of the configuration, which is asked before all else, ends its process.
    outcome = run(python("echo"), configuration={"x": python("leave", {"status": "401: ${password}"})}, secrets=secrets)
    assert f"401: {MASK}" in outcome.error


def test_the_request_stays_as_it_was() -> None:
    """chaoslib writes the output into a tolerance that is a probe; a probe that is asked again must not see it."""
    definition = {**python("echo", {"value": 4}), "tolerance": python("is_even", {"value": 0})}
    configuration = {"n": python("echo", {"value": 1})}
    before = json.dumps([definition, configuration])
    assert run_activity(ActivityRequest(definition, configuration, {}, tolerance=True)).tolerance_met
    assert json.dumps([definition, configuration]) == before


def test_configuration_with_the_name_of_a_secret_is_masked() -> None:
    configuration = {"api_token": {"type": "env", "key": "THE_TOKEN"}, "region": "eu-west"}
    outcome = run(python("echo", {"value": "${api_token} ${region}"}), configuration=configuration)
    assert outcome.output == json.dumps(f"{MASK} eu-west")


def test_dynamic_configuration_with_the_name_of_a_secret_is_masked() -> None:
    configuration = {"session_token": python("echo", {"value": "abcdefgh"})}
    outcome = run(python("echo", {"value": "python ${session_token}"}), configuration=configuration)
    assert outcome.output == json.dumps(f"python {MASK}")


def test_missing_variables_are_said() -> None:
    outcome = run(python("echo"), secrets={"k8s": {"token": {"type": "env", "key": "NO_SUCH_VARIABLE"}}})
    assert "NO_SUCH_VARIABLE" in outcome.error
    configuration = {"a": {"type": "env", "key": "NOT_THERE"}, "b": {"type": "env", "key": "NOR_THERE", "default": 1}}
    assert missing_variables(configuration, SECRETS) == ("NOT_THERE",)


def test_known_secrets_need_no_chaos_toolkit() -> None:
    configuration = {"password": "correct horse", "region": "eu-west", "db": {"type": "env", "key": "THE_TOKEN"}}
    secrets = {"a": {"literal": "abcdef", "vault": {"type": "vault", "path": "secret/path"}}}
    assert known_secrets(configuration, secrets) == ("abcdef", "correct horse", SECRET)


def test_secrets_do_not_leave_in_what_keeps_the_configuration_from_being_loaded() -> None:
    configuration = {"n": python("leave", {"status": "401 for ${token}"}, secrets=["k8s"])}
    with pytest.raises(ValueError, match="401 for") as raised:
        resolve_dynamic_configuration(configuration, SECRETS)
    assert str(raised.value).endswith(f"401 for {MASK}")


@pytest.mark.parametrize(
    "name", ["token", "SLACK_BOT_TOKEN", "clientSecret", "DB_PASSWORD", "passwd", "api-key", "APIKEY", "Private_Key"]
)
def test_names_that_sound_secret(name: str) -> None:
    assert sounds_secret(name)
    assert known_secrets({name: "hunter2"}, {}) == ("hunter2",)


@pytest.mark.parametrize("name", ["region", "port", "key", "passage", "monkey"])
def test_names_that_do_not(name: str) -> None:
    assert known_secrets({name: "hunter2"}, {}) == ()


def test_dynamic_configuration_is_asked_once() -> None:
    probe = python("count_calls")
    resolved = resolve_dynamic_configuration({"n": probe, "port": {"type": "env", "key": "THE_PORT"}}, {})
    assert resolved["port"] == {"type": "env", "key": "THE_PORT"}
    first, second = (run(python("echo", {"value": "${n}"}), configuration=resolved).output for _ in range(2))
    assert first == second == str(resolved["n"])


def test_dynamic_configuration_that_fails_is_said() -> None:
    configuration = {"replicas": python("fail", {"message": "x"})}
    assert "configuration `replicas`" in run(python("echo"), configuration=configuration).error
    with pytest.raises(ValueError, match="configuration `replicas`"):
        resolve_dynamic_configuration(configuration, {})


# -- validation


def test_all_mistakes_of_the_activities_at_once() -> None:
    messages = validate_experiment(
        {
            "title": "x",
            "description": "y",
            "steady-state-hypothesis": {"title": "z", "probes": [{"type": "probe", "name": "p"}]},
            "method": [python("no_such"), {"type": "action"}],
        }
    )
    assert len(messages) == 3
    assert "no_such" in messages[1]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "empty experiment"),
        ({"title": "x", "method": []}, "requires a description"),
        ({"title": "x", "description": "y"}, "requires a method"),
        ({"title": "x", "description": "y", "method": "text"}, "cannot read it"),
        ({"title": "x", "description": "y", "method": [{"ref": "gone"}]}, "'gone' could not be found"),
    ],
)
def test_what_chaoslib_refuses(document: dict[str, Any], message: str) -> None:
    assert message in " ".join(validate_experiment(document))


def test_validation_asks_neither_environment_nor_vault() -> None:
    document = {
        "title": "x",
        "description": "y",
        "method": [python("echo")],
        "secrets": {"a": {"b": {"type": "env", "key": "NO_SUCH_VARIABLE"}, "c": {"type": "vault", "path": "p"}}},
    }
    assert validate_experiment(document) == ()


# -- what is put off


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_requests_are_imported_only_when_they_are_used() -> None:
    said = in_a_new_process(
        "import sys\n"
        "from gameday.chaostoolkit.adapter import preload, validate_activity\n"
        "preload()\n"
        "print('requests' in sys.modules, 'urllib3' in sys.modules)\n"
        "provider = {'type': 'http', 'url': 'http://x'}\n"
        "print(validate_activity({'type': 'action', 'name': 'a', 'provider': provider}))\n"
        "print('requests' in sys.modules)\n"
    )
    assert said.splitlines() == ["False False", "()", "True"]


def test_json_paths_are_imported_only_when_there_is_one() -> None:
    said = in_a_new_process(
        "import sys\n"
        "from gameday.chaostoolkit.adapter import *\n"
        "preload()\n"
        "print('jsonpath2' in sys.modules, 'jsonpath2.path' in sys.modules, 'antlr4' in sys.modules)\n"
        "provider = {'type': 'process', 'path': 'echo', 'arguments': ['{\"up\": [1, 2]}']}\n"
        "probe = {'type': 'probe', 'name': 'a', 'provider': provider}\n"
        "def judge(path, count):\n"
        "    tolerance = {'type': 'jsonpath', 'path': path, 'target': 'stdout', 'count': count}\n"
        "    definition = probe | {'tolerance': tolerance}\n"
        "    return validate_activity(definition) or run_activity(\n"
        "        ActivityRequest(definition, {}, {}, tolerance=True)).tolerance_met\n"
        "print(judge('$.up[*]', 2), judge('$.up[*]', 3))\n"
        "print(judge('up[', 2))\n"
        "from jsonpath2.path import Path\n"
        "print(type(Path))\n"
    )
    first, second, third, fourth = said.splitlines()
    assert first == "False False False"
    assert second == "True False"
    assert "JSON path up[ is invalid" in third
    assert fourth == "<class 'type'>", "whoever else wants it gets the real one"


def test_an_activity_imports_nothing_more() -> None:
    said = in_a_new_process(
        "import sys\n"
        "from gameday.chaostoolkit.adapter import *\n"
        "preload()\n"
        "provider = {'type': 'python', 'module': 'os', 'func': 'getpid'}\n"
        "definition = {'type': 'probe', 'name': 'a', 'provider': provider, 'tolerance': [0, 10**9]}\n"
        "before = set(sys.modules)\n"
        "print(validate_activity(definition))\n"
        "print(run_activity(ActivityRequest(definition, {}, {}, tolerance=True)).tolerance_met)\n"
        "print(set(sys.modules) - before)\n"
    )
    assert said.splitlines() == ["()", "True", "set()"]


def test_who_wants_a_module_that_is_put_off_gets_the_real_one() -> None:
    said = in_a_new_process(
        "from gameday.chaostoolkit.adapter import preload\n"
        "preload()\n"
        "import chaoslib.loader, chaoslib.provider.http\n"
        "from chaoslib.loader import parse_experiment_from_file as parse\n"
        "print(parse.__module__, chaoslib.provider.http.requests.__name__, chaoslib.loader.__file__[-9:])\n"
    )
    assert said.split() == ["chaoslib.loader", "requests", "loader.py"]


def test_http_can_be_had_at_once() -> None:
    said = in_a_new_process(
        "import sys\n"
        "from gameday.chaostoolkit.adapter import preload\n"
        "preload(http=True)\n"
        "print('requests' in sys.modules)\n"
    )
    assert said.split() == ["True"]
