"""What a native experiment is compiled to: valid for the Toolkit, whole, and the user's own parts as they were."""

import inspect
import json
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from chaoslib import substitute
from chaoslib.experiment import ensure_experiment_is_valid

import gameday
from gameday.chaostoolkit import actions, probes
from gameday.chaostoolkit.export import action_of, argument_of, compile_experiment, write_json, write_yaml
from gameday.common.json import JsonObject
from gameday.faults.registry import fault_names, load_fault
from gameday.spec.experiment import load_experiment
from gameday.spec.reader import read_document

REPOSITORY = Path(__file__).parents[2]
NATIVE = """
title: Checkout survives
description: With $5 and ünïcode
tags: [money]
contributions: {availability: high}
service: checkout
configuration: {base: {type: env, key: BASE, default: "http://shop"}}
secrets: {shop: {token: {type: env, key: SHOP_TOKEN}}}
runtime: {hypothesis: {strategy: default}}
controls: [{name: mine, provider: {type: python, module: os}}]
steady-state-hypothesis:
  title: Customers can pay
  signals:
    latency: {p99: "< 300ms"}
    traffic: {change: "<  30%", for: 7s}
  probes:
    - {type: probe, name: home, tolerance: 200, provider: {type: http, url: "${base}/"}}
    - {type: probe, name: account, tolerance: 0, provider: {type: process, path: "true", secrets: [shop]}}
method:
  - {type: action, name: warm-up, provider: {type: process, path: "true"}, pauses: {after: 1}}
  - fault: dependency/delay
    name: slow $payments
    target: {service: payments, from: checkout}
    blast-radius: [25%, 100%]
    hold: 90s
    delay: 300ms
  - {ref: home, background: true}
  - {fault: process/kill, target: {service: payments}, blast-radius: 1, hold: 1m, signal: TERM}
rollbacks:
  - {type: action, name: cool-down, provider: {type: process, path: "true"}}
expect:
  alerts: [{name: PaymentsSlow, within: 1m30s, severity: page, runbook: slow}]
  recovers-within: 2m
abort-when:
  errors: {ratio: "> 20%"}
timing: {interval: 1.0s, baseline: 6s}
"""


def compiled(path: Path, text: str = NATIVE) -> JsonObject:
    path.write_text(text)
    return compile_experiment(load_experiment(path), read_document(path), f"experiments/{path.name}")


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, Any]:
    return compiled(tmp_path / "native.yaml")


def called(activity: dict[str, Any]) -> str:
    return str(activity["provider"].get("func", ""))


def test_the_toolkit_takes_it(plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "x")
    ensure_experiment_is_valid(plain)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_toolkit_takes_all_of_ours(path: Path) -> None:
    document = compile_experiment(load_experiment(path), read_document(path), path.name)
    ensure_experiment_is_valid(document)


def test_both_formats_say_the_same(plain: dict[str, Any]) -> None:
    text = write_yaml(plain)
    assert yaml.safe_load(text) == json.loads(write_json(plain)) == plain
    assert text.startswith("# For `chaos run`")
    assert 'p99: "< 300ms"' in text
    assert "&id" not in text


def test_it_is_plain_to_gameday_too(plain: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(write_yaml(plain))
    assert load_experiment(path).plain


def test_it_says_where_it_comes_from(plain: dict[str, Any]) -> None:
    assert plain["x-gameday"] == {
        "exported-by": f"gameday {gameday.__version__}",
        "from": "experiments/native.yaml",
    }
    assert plain["tags"] == ["money", "gameday"]


def test_the_environment_is_not_in_it(plain: dict[str, Any]) -> None:
    assert plain["configuration"]["gameday_environment"] == {
        "type": "env",
        "key": "GAMEDAY_ENVIRONMENT",
        "default": "lab",
    }
    assert plain["steady-state-hypothesis"]["probes"][0]["provider"]["arguments"]["environment"] == (
        "${gameday_environment}"
    )


def test_rollbacks_always_run_and_ours_are_around_the_users(plain: dict[str, Any]) -> None:
    assert plain["runtime"] == {"hypothesis": {"strategy": "default"}, "rollbacks": {"strategy": "always"}}
    first, second, last = plain["rollbacks"]
    assert (called(first), second["name"], called(last)) == ("make_sure_all_is_undone", "cool-down", "say_how_it_ended")


def test_what_is_the_users_stays_as_it_was(plain: dict[str, Any]) -> None:
    written = yaml.safe_load(NATIVE)
    for key in ("title", "description", "contributions", "secrets"):
        assert plain[key] == written[key]
    assert plain["configuration"]["base"] == written["configuration"]["base"]
    assert plain["controls"][:-1] == written["controls"]
    kept = [activity for activity in plain["method"] if activity in written["method"]]
    assert kept == [written["method"][0], written["method"][2]]
    assert [probe for probe in plain["steady-state-hypothesis"]["probes"] if probe["tolerance"] is not True] == (
        written["steady-state-hypothesis"]["probes"]
    )
    assert plain["rollbacks"][1] == written["rollbacks"][0]


def test_the_method_is_its_stages_in_order(plain: dict[str, Any]) -> None:
    assert [activity.get("ref") or called(activity) or activity["name"] for activity in plain["method"]] == [
        "count_as_injected",
        "warm-up",
        "dependency_delay",
        "hold_and_judge",
        "dependency_delay",
        "hold_and_judge",
        "home",
        "process_kill",
        "hold_and_judge",
        "judge_method",
        "undo_all",
        "wait_until_recovered",
    ]
    assert plain["method"][2]["provider"]["arguments"] == {
        "service": "payments",
        "caller": "checkout",
        "radius": "25%",
        "delay": "300ms",
    }
    assert plain["method"][3]["provider"]["arguments"] == {"hold": "1m30s"}
    assert plain["method"][7]["provider"]["arguments"] == {"service": "payments", "radius": "1", "signal": "TERM"}


def test_without_activities_nothing_is_said_of_them(tmp_path: Path) -> None:
    text = "title: t\nservice: s\nmethod: [{fault: process/kill, target: {service: s}, blast-radius: 1, hold: 5s}]\n"
    plain = compiled(tmp_path / "native.yaml", text)
    assert [called(activity) for activity in plain["method"]] == [
        "process_kill",
        "hold_and_judge",
        "undo_all",
        "wait_until_recovered",
    ]
    assert plain["controls"] == []
    ensure_experiment_is_valid(plain)


def test_the_hypothesis_asks_for_everything_that_was_expected(plain: dict[str, Any]) -> None:
    asked = plain["steady-state-hypothesis"]["probes"]
    assert [called(probe) or probe["name"] for probe in asked] == [
        "ready",
        "signal_holds",
        "signal_holds",
        "home",
        "account",
        "everything_is_undone",
        "stages_held",
        "alert_fired",
        "recovered",
        "runbooks_are_whole",
        "no_weakness_found",
    ]
    assert asked[2]["provider"]["arguments"] == {
        "service": "checkout",
        "signal": "traffic.change",
        "condition": "< 30%",
        "lasting": "7s",
    }


def test_all_is_announced_as_it_was_written(plain: dict[str, Any]) -> None:
    ready = plain["steady-state-hypothesis"]["probes"][0]["provider"]
    written, arguments = yaml.safe_load(NATIVE), ready["arguments"]
    assert arguments["signals"] == written["steady-state-hypothesis"]["signals"]
    assert arguments["abort_when"] == written["abort-when"]
    assert arguments["alerts"] == written["expect"]["alerts"]
    assert arguments["recovers_within"] == "2m"
    assert arguments["timing"] == written["timing"]
    assert [step["fault"] for step in arguments["faults"]] == ["dependency/delay", "process/kill"]
    # Judged in every stage too; not the one that the Toolkit alone can give its secrets.
    assert [probe["name"] for probe in arguments["probes"]] == ["home"]
    assert ready["secrets"] == ["shop"]  # for them to be masked


def test_a_dollar_of_ours_survives_the_toolkits_substitution(plain: dict[str, Any]) -> None:
    arguments = plain["steady-state-hypothesis"]["probes"][0]["provider"]["arguments"]
    given = substitute(arguments, {"payments": "wrong", "gameday_environment": "lab", "base": "http://x"}, {})
    assert given["faults"][0]["name"] == "slow $payments"
    assert given["environment"] == "lab"
    assert given["probes"][0]["provider"]["url"] == "http://x/"


def test_numbers_are_announced_as_they_were_written(tmp_path: Path) -> None:
    text = NATIVE.replace("delay: 300ms", "delay: 300ms\n    x-note: 0500")
    faults = compiled(tmp_path / "native.yaml", text)["steady-state-hypothesis"]["probes"][0]["provider"]["arguments"]
    assert faults["faults"][0]["x-note"] == "0500"


def test_names_are_unique(tmp_path: Path) -> None:
    text = NATIVE.replace("warm-up", "undo everything")
    plain = compiled(tmp_path / "native.yaml", text)
    names = [activity.get("name") for activity in plain["method"] if "name" in activity]
    assert len(names) == len(set(names))
    assert "undo everything [2]" in names


def test_the_documentations_experiment_is_valid() -> None:
    page = (REPOSITORY / "docs/chaos-toolkit.md").read_text()
    (block,) = re.findall(r"```yaml\n(title: .*?)```", page, re.DOTALL)
    ensure_experiment_is_valid(yaml.safe_load(block))


@pytest.mark.parametrize("name", fault_names())
def test_every_fault_is_an_action_with_its_arguments(name: str) -> None:
    function = getattr(actions, action_of(name))
    assert action_of(name) in actions.__all__
    parameters = inspect.signature(function).parameters
    for key, parameter in load_fault(name).parameters.items():
        assert parameters[argument_of(key)].default == (
            inspect.Parameter.empty if parameter.default is None and not parameter.optional else parameter.default
        )
        assert argument_of(key) in (function.__doc__ or "")


@pytest.mark.parametrize("parameter", ["service", "radius", "caller", "environment"])
def test_a_faults_parameter_never_hides_one_that_all_have(parameter: str) -> None:
    assert argument_of(parameter) == f"{parameter}_"
    assert argument_of("open-files") == "open_files"


@pytest.mark.parametrize("module", [actions, probes])
def test_what_is_exported_is_there_and_documented(module: Any) -> None:
    for name in module.__all__:
        assert (getattr(module, name).__doc__ or "").strip(), name


def test_chaos_discover_lists_them(tmp_path: Path) -> None:
    # An editable installation does not say which packages it has; a wheel does.
    information = tmp_path / "site/gameday-0.1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: gameday\nVersion: 0.1.0\n")
    (information / "top_level.txt").write_text("gameday\n")
    (information / "entry_points.txt").write_text(distribution("gameday").read_text("entry_points.txt") or "")
    chaos = Path(sys.executable).parent / "chaos"
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [str(chaos), "discover", "--no-install", "gameday"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
    found = json.loads((tmp_path / "discovery.json").read_text())
    assert found["extension"] == {"name": "gameday", "version": gameday.__version__}
    names = {(activity["type"], activity["name"]): activity for activity in found["activities"]}
    assert ("probe", "signal_holds") in names
    kill = names["action", "process_kill"]
    assert kill["mod"] == "gameday.chaostoolkit.actions"
    assert {argument["name"]: argument.get("default") for argument in kill["arguments"]} == {
        "service": "",
        "target": None,
        "radius": None,
        "signal": "KILL",
        "caller": "",
        "environment": "",
    }
