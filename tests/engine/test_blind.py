"""A guard that can no longer see ends the run within its grace period, and says which signal it lost and why.

Real Prometheus sources, asked over HTTP; the server answers well until the first injection.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import Loopback, Request, answer, serve, vector
from msgspec.structs import replace
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.engine.session import run_session
from gameday.journal.events import FaultInjected, GuardTripped, SessionEnded, Verdict
from gameday.spec.model import SignalsConfig

BLIND_AFTER_S = 1.0
LONG = EXPERIMENT.replace("hold: 300ms", "hold: 60s").replace("recovery: 3s", "recovery: 200ms")
LONG = LONG.replace("blind-after: 2s", f"blind-after: {BLIND_AFTER_S:g}s")


class Server:
    """Prometheus, well until `fail` is set; then it answers as that says."""

    def __init__(self) -> None:
        self.fail: Callable[[Request], bytes | None] | None = None

    def respond(self, request: Request) -> bytes | None:
        return self.fail(request) if self.fail else self.well(request)

    def well(self, request: Request) -> bytes:
        return answer(vector("0.5" if "age" in request.query["query"] else "0", at=time.time()))


def stale(request: Request) -> bytes:
    return answer(vector("600" if "age" in request.query["query"] else "0", at=time.time()))


FAILURES: dict[str, tuple[Callable[[Request], bytes | None], str]] = {
    "slow": (lambda _: None, "no answer within"),
    "500": (lambda _: answer("out of memory", status=500), "HTTP 500"),
    "garbage": (lambda _: answer("<html>"), "is not of Prometheus's API"),
    "cut off": (lambda _: b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{}", "no answer within"),
    "login page": (lambda _: answer("", status=302, headers="Location: /login\r\n"), "redirected to /login"),
    "empty": (lambda _: answer(vector()), "empty"),
    "no number": (lambda _: answer(vector("NaN", at=time.time())), "nan"),
    "stale": (stale, "the newest sample is 600 s old"),
    "clock set back": (lambda _: answer(vector("0", at=time.time() - 3600)), "clock has jumped by -3600 s"),
    "clock set on": (lambda _: answer(vector("0", at=time.time() + 3600)), "clock has jumped by +3600 s"),
}


@pytest.fixture
def system(tmp_path: Path) -> PretendSystem:
    return PretendSystem(tmp_path)


class Break:
    """A sink that breaks the server at the first injection."""

    name = "break"

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def handle(self, event: object) -> None:
        if isinstance(event, FaultInjected):
            self._act()

    def close(self) -> None:
        return None


def run_blind(system: PretendSystem, server: Server, act: Callable[[Loopback], None]) -> Path:
    async def main() -> Path:
        async with serve(server.respond) as loopback:
            session = system.session(LONG)
            queries = (("errors.ratio", "errors"), ("freshness", "age"))
            signals = SignalsConfig("prometheus", loopback.url, "custom", queries, timeout_s=0.3)
            session = replace(session, environment=replace(session.environment, signals=signals))
            result = await run_session(session, [Break(lambda: act(loopback))])
            assert result.verdict is Verdict.ABORTED
            return result.run.directory

    return asyncio.run(main())


def check(system: PretendSystem, directory: Path, says: str) -> None:
    (trip,) = events_of(directory, GuardTripped)
    assert (trip.cause, trip.subject) == ("blind", "shop.errors.ratio")
    assert says in trip.detail
    (injected,) = events_of(directory, FaultInjected)
    # The grace period, a request's timeout, and some room for a busy machine.
    assert trip.at - injected.at < BLIND_AFTER_S + 3
    assert system.broken == []
    (ended,) = events_of(directory, SessionEnded)
    assert "shop.errors.ratio" in ended.reason


@pytest.mark.parametrize("how", FAILURES)
def test_blind_means_abort(system: PretendSystem, how: str) -> None:
    server = Server()
    fail, says = FAILURES[how]

    def act(_loopback: Loopback) -> None:
        server.fail = fail

    check(system, run_blind(system, server, act), says)


def test_a_source_that_is_gone(system: PretendSystem) -> None:
    server = Server()

    def act(loopback: Loopback) -> None:
        loopback.close()

    check(system, run_blind(system, server, act), "cannot connect")


def test_our_own_clock_may_jump(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day is read once; from then on a run goes by the monotonic clock."""
    real, began = time.time, time.monotonic()
    monkeypatch.setattr(
        "gameday.common.clock.time.time", lambda: real() + (86400 if time.monotonic() > began + 1 else 0)
    )
    result = asyncio.run(run_session(system.session(EXPERIMENT), ()))
    assert result.verdict is Verdict.HELD
    (ended,) = events_of(result.run.directory, SessionEnded)
    assert ended.at - events_of(result.run.directory, FaultInjected)[0].at < 60
