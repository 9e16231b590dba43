"""Finds out who takes part as whoever is on call, before a session begins."""

import asyncio

from gameday.coverage.on_call import OnCallError, OnCallSource, open_on_call, schedule_of
from gameday.engine.preflight import Check
from gameday.engine.preparation import SessionInput
from gameday.journal.events import CheckOutcome
from gameday.people import on_call_services, resolve_on_call
from gameday.spec.model import People

_DEADLINE_S = 30.0  # a source keeps its own, shorter timeouts; this is for one that does not


async def resolve_people(session: SessionInput, now: float) -> People:
    """The session's people, with whoever is on call `now` (a Unix time) in the place of `on-call:<service>`.

    Where that cannot be told the text stays, which `check_people` says. Never raises for what a source does.
    """
    services = on_call_services(session.people)
    if not services:
        return session.people
    try:
        source = open_on_call(session.environment)
    except OnCallError:  # preflight opens it, too, and says why it cannot
        source = None
    config = session.environment.on_call
    if source is None or config is None:
        return session.people
    try:
        async with asyncio.timeout(_DEADLINE_S):
            found = await asyncio.gather(
                *(
                    _first_level(source, service, schedule_of(service, session.project, config), now)
                    for service in services
                )
            )
    except Exception:  # noqa: BLE001 - who takes part is no reason not to begin
        return session.people
    finally:
        await source.close()
    return resolve_on_call(session.people, dict(zip(services, found, strict=True)))


async def _first_level(source: OnCallSource, service: str, schedule: str | None, now: float) -> tuple[str, ...]:
    info = await source.look_up(service, schedule, now)
    return info.people[0] if info.people else ()


def check_people(people: People) -> tuple[Check, ...]:
    """Whether everybody is known who is to take part."""
    return tuple(
        Check("people", CheckOutcome.WARNING, f"`on-call:{service}` takes part, and who that is is not known")
        for service in on_call_services(people)
    )
