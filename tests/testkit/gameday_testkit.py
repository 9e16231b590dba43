"""A third party's package: a system made of files, a fault on it, and a signal and an alert source that read it.

Each instance of a service is a file that says "well" or "broken". `behaviour.json` beside them tells the fault how to
misbehave; `calls.log` is what it did. The signals are what `signals.json` says, read anew each time.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gameday.coverage.base import AlertsSeen, SeenAlert
from gameday.faults.base import Fault, FaultError, FaultRequest, Parameter, ParameterKind, Reach, System, choose
from gameday.journal.events import AlertRuleInfo, AlertState, Reading, ReadingState
from gameday.signals.base import Query


class MarkPlan(msgspec.Struct, frozen=True):
    directory: Path
    names: tuple[str, ...]  # all that are hit, earlier stages' too
    fresh: tuple[str, ...]  # those that this stage adds


def behaviour(directory: Path) -> dict[str, float | str]:
    path = directory / "behaviour.json"
    return json.loads(path.read_text()) if path.exists() else {}


def log(directory: Path, what: str) -> None:
    with (directory / "calls.log").open("a") as file:
        file.write(what + "\n")


class Mark(Fault[MarkPlan]):
    name = "testkit/mark"
    summary = "Write `broken` into an instance's file."
    parameters = {"word": Parameter(ParameterKind.TEXT, "what to write", default="broken")}
    plan_type = MarkPlan

    def plan(self, request: FaultRequest, system: System) -> MarkPlan:
        assert system.inventory is not None
        directory = system.inventory.parent
        names = sorted(path.name for path in directory.glob(f"{request.service}-*"))
        if not names:
            raise FaultError(f"there is no instance of {request.service}")
        chosen = choose(names, names, request)
        return MarkPlan(directory, chosen, tuple(name for name in chosen if name not in request.already))

    def targets(self, plan: MarkPlan) -> tuple[str, ...]:
        return plan.names

    def reach(self, plan: MarkPlan, system: System) -> Reach:
        service = plan.names[0].rsplit("-", 1)[0]
        here = {path.name for path in plan.directory.glob(f"{service}-*")}
        broken = {name for name in here if (plan.directory / name).read_text() != "well"}
        return Reach(len(broken | set(plan.names)), len(here))

    def inject(self, plan: MarkPlan) -> None:
        wanted = behaviour(plan.directory)
        for name in plan.fresh:
            log(plan.directory, f"inject {name}")
            (plan.directory / name).write_text("broken")
            if wanted.get("inject") == "hang":
                time.sleep(600)
            if wanted.get("inject") == "exit":
                os._exit(7)
            if wanted.get("inject") == "fail":
                raise FaultError("the injection failed half-way")

    def undo(self, plan: MarkPlan) -> None:
        wanted = behaviour(plan.directory)
        time.sleep(float(wanted.get("undo_seconds", 0)))
        for name in plan.fresh:
            log(plan.directory, f"undo {name}")
            if wanted.get("undo_fails") == name:
                raise FaultError(f"{name} cannot be undone")
            (plan.directory / name).write_text("well")

    def verify(self, plan: MarkPlan) -> tuple[str, ...]:
        return tuple(f"{name} is broken" for name in plan.fresh if (plan.directory / name).read_text() != "well")

    def by_hand(self, plan: MarkPlan) -> str:
        return "; ".join(f"printf well > {name}" for name in plan.fresh)


def directory_of(url: str) -> Path:
    """The directory, also of a URL such as gameday.yaml wants it: `http://pretend/some/where`."""
    return Path(urlsplit(url).path)


class Signals:
    """`config.url` is a directory. A number is a value; a text is the state of a reading without one."""

    def __init__(self, config: object) -> None:
        self._path = directory_of(config.url) / "signals.json"  # type: ignore[attr-defined]

    async def read(self, queries: Sequence[Query]) -> tuple[Reading, ...]:
        values = json.loads(self._path.read_text())
        found = []
        for query in queries:
            value = values.get(query.expression, "empty")
            if isinstance(value, str):
                found.append(Reading(str(query.signal), ReadingState(value), None, "said the file"))
            else:
                found.append(Reading(str(query.signal), ReadingState.OK, value * query.scale))
        return tuple(found)

    async def close(self) -> None:
        return None


class Alerts:
    """`alerts.json` in the directory: the names that fire."""

    def __init__(self, config: object, rules_url: str | None = None) -> None:
        self._path = directory_of(config.url) / "alerts.json"  # type: ignore[attr-defined]

    def _names(self) -> list[str]:
        return json.loads(self._path.read_text()) if self._path.exists() else []

    async def rules(self) -> tuple[AlertRuleInfo, ...]:
        return (
            AlertRuleInfo(
                name="ShopDown",
                expression="up == 0",
                for_s=1,
                severity="page",
                service="shop",
                runbook_url="runbooks/shop.md",
                dashboard="http://localhost/d/shop",
            ),
        )

    async def look(self) -> AlertsSeen:
        await asyncio.sleep(float(behaviour(self._path.parent).get("look_seconds", 0)))
        alerts = [
            SeenAlert(name, (("alertname", name), ("severity", "page")), state, "prometheus", time.time())
            for name in self._names()
            for state in (AlertState.FIRING, AlertState.NOTIFIED)
        ]
        return AlertsSeen(tuple(alerts))

    async def close(self) -> None:
        return None


def kill_parent() -> None:
    """An activity that takes the process that it was forked from along, as a machine short of memory may."""
    os.kill(os.getppid(), signal.SIGKILL)
