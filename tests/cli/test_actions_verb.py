"""Action items as a user meets them: opened by a session, closed by the next that holds, and recalled in between."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gameday.cli.actions import command
from gameday.engine.session import run_session
from gameday.journal.events import ActionRecalled, Verdict
from gameday.people.action_log import remember_session

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))
from pretend import EXPERIMENT, PretendSystem, events_of

EXPECTS = "expect: {alerts: [{name: ShopDown, within: 10s, severity: page}]}\nabort-when:"
TEXT = EXPERIMENT.replace("abort-when:", EXPECTS)


def actions(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def listed(*words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(actions("list", "--json", *words).stdout)["actions"]
    return found


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretendSystem:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gameday.yaml").write_text("services: {shop: {owner: team-shop, depends-on: [stock]}, stock: {}}\n")
    return PretendSystem(tmp_path)


def session(system: PretendSystem, text: str) -> tuple[Path, Verdict]:
    result = asyncio.run(run_session(system.session(text), []))
    remember_session(system.root, result.run.directory, time.time())
    return result.run.directory, result.verdict


def test_from_one_session_to_the_next(system: PretendSystem) -> None:
    first, verdict = session(system, TEXT)
    assert verdict is Verdict.WEAKNESS  # the alert does not fire
    [opened] = listed("--service", "shop")
    assert (opened["title"], opened["owner"], opened["open"], opened["opened_by"]) == (
        "ShopDown did not fire",
        "team-shop",
        True,
        first.name,
    )
    shown = actions()
    assert (shown.exit_code, str(opened["id"]) in shown.output) == (0, True)

    second, _ = session(system, TEXT)
    [recalled] = events_of(second, ActionRecalled)
    assert (recalled.action, recalled.opened_by, recalled.owner) == (opened["id"], first.name, "team-shop")
    assert len(listed()) == 1

    session(system, EXPERIMENT)  # the same file, which expects no alert any more
    assert listed() == []
    [closed] = listed("--all")
    assert (closed["open"], closed["closed_because"]) == (False, "it was not found any more")
    session(system, TEXT)
    assert listed()[0]["reopened"] == 1


def test_by_hand(system: PretendSystem) -> None:
    added = actions("add", "Write", "it", "down", "--service", "shop", "--owner", "@ada", "--author", "@lin")
    assert added.exit_code == 0
    [action] = listed("--owner", "@ada")
    identity = str(action["id"])
    assert (action["title"], action["opened_by"], action["kind"]) == ("Write it down", "@lin", None)
    assert actions("assign", identity[:4], "@grace").output == f"{identity} is @grace's\n"
    assert listed("--owner", "@ada") == []
    assert "there is no action `zzz`" in actions("close", "zzz", "done").output
    assert actions("close", identity, "in the", "handbook").exit_code == 0
    again = actions("close", identity, "once more")
    assert (again.exit_code, "is closed already: in the handbook" in again.output) == (3, True)
    assert "no action is open" in actions().output
    assert "closed: in the handbook" in actions("list", "--all").output


def test_update_says_what_it_changed(system: PretendSystem) -> None:
    assert actions("update").exit_code == 2
    asyncio.run(run_session(system.session(TEXT), []))
    assert actions("update").output == "action items: 1 opened (`gameday actions`)\n"
    assert actions("update").output == "nothing has changed\n"
