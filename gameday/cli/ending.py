"""Waits for runs to end, and says what they left: what `abort` and `stop` share."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gameday.cli.left import say_what_is_left
from gameday.cli.output import fail, say
from gameday.spec.units import UnitError, format_duration, parse_positive_duration

if TYPE_CHECKING:
    from gameday.engine.runs import Run

_POLL_S = 0.1
_TELL_EVERY_S = 10.0


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    try:
        return parse_positive_duration(value)
    except UnitError as error:
        raise click.BadParameter(f"found {error.found}, expected {error.expected}", ctx, param) from None


timeout_option = click.option(
    "--timeout",
    metavar="DURATION",
    default="2m",
    show_default=True,
    callback=_seconds,
    help="How long to wait at most.",
)


def wait_for_end(runs: "Sequence[Run]", timeout_s: float) -> None:
    """Wait until nobody works on any of them. Ends the program with status 5 when it takes too long, or something is
    left."""
    began = told = time.monotonic()
    while alive := [run for run in runs if run.is_written() or run.has_guardian()]:
        now = time.monotonic()
        if now - began > timeout_s:
            names = ", ".join(run.name for run in alive)
            fail(f"not ended within {format_duration(timeout_s)}: {names}; see `gameday status`", 5)
        if now - told > _TELL_EVERY_S:
            told = now
            say(f"waiting for {', '.join(run.name for run in alive)}")
        time.sleep(_POLL_S)
    left = [run for run in runs if say_what_is_left(run.directory)]
    if left:
        sys.exit(5)
    say("It has ended and everything is undone." if len(runs) == 1 else "All have ended and everything is undone.")
