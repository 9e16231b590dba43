"""What every event and every value inside one is built on, and which process acted."""

from enum import StrEnum

import msgspec

FORMAT = 1  # counts up when a reader must know the difference


class By(StrEnum):
    """Which process acted."""

    RUNNER = "runner"
    GUARDIAN = "guardian"
    RECOVER = "recover"


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value inside an event."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """The base of all events. `at`: when, in seconds since the Unix epoch."""

    at: float
