"""A game day, with who takes part and when it is due, and a runbook."""

from datetime import date, datetime
from pathlib import Path

import msgspec

from gameday.spec.location import Location
from gameday.spec.model.experiment import Experiment

ON_CALL = "on-call:"  # before the name of a service: whoever is on call for it when a session starts


class GivenPair(msgspec.Struct, frozen=True):
    """Who is named for one experiment; None: somebody is to be proposed."""

    builder: str | None = None
    sre: str | None = None


class People(msgspec.Struct, frozen=True):
    """Handles, by role. `pairs`: who is named for each experiment, in their order; empty where nobody is for any."""

    facilitator: str | None = None
    builders: tuple[str, ...] = ()
    sres: tuple[str, ...] = ()
    scribe: str | None = None
    observers: tuple[str, ...] = ()
    pairs: tuple[GivenPair, ...] = ()


class Blackout(msgspec.Struct, frozen=True):
    """When nothing may start by itself: from one day to another, both included, or during the events of a calendar."""

    first: date | None = None
    last: date | None = None
    calendar: str | None = None  # an absolute path, or a URL in which `${VARIABLES}` stand as they are written


class Schedule(msgspec.Struct, frozen=True):
    """When a game day is due: by a cron expression or on dates, in a time zone."""

    cron: str | None
    timezone: str
    duration_s: float | None
    dates: tuple[datetime, ...] = ()  # aware, in that time zone, in their order
    blackouts: tuple[Blackout, ...] = ()
    catch_up_s: float | None = None  # how late a missed one may still start; None: it is skipped
    owner: str | None = None


class GameDay(msgspec.Struct, frozen=True):
    """One game day file, with its experiments already read."""

    path: Path
    title: str
    environment: str | None
    people: People
    schedule: Schedule | None
    experiments: tuple[Experiment, ...]
    location: Location


class Runbook(msgspec.Struct, frozen=True):
    """A Markdown runbook: front matter, and which of the expected sections it has, with their steps."""

    path: Path
    name: str  # the file's stem, by which it is referred to
    title: str
    alerts: tuple[str, ...] = ()
    service: str | None = None
    owner: str | None = None
    reviewed: date | None = None
    escalation: str | None = None
    dashboards: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    missing_sections: tuple[str, ...] = ()
