"""`gameday schedule`: the game days that are due by themselves: list, next, due, run, export."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gameday.cli.output import fail, say

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from gameday.cli.schedule_load import Found
    from gameday.common.json import JsonObject
    from gameday.engine.schedule import Claim, Claims, Occurrence, Scheduled

_MOST = 1000
_EXPORTS = ("cron", "systemd", "ics", "kubernetes")


def _paths[F: Callable[..., None]](function: F) -> F:
    kind = click.Path(exists=True, path_type=Path)
    return click.argument("paths", nargs=-1, type=kind)(function)


def _json[F: Callable[..., None]](function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(function)


@click.group("schedule")
def command() -> None:
    """Game days that happen because they are due: those that have a `when`, below experiments/ or in PATHS."""


@command.command("list")
@_paths
@_json
def list_(paths: tuple[Path, ...], as_json: bool) -> None:
    """Show every game day that has a schedule: when it is due next, who owns it, how it went last."""
    from gameday.engine.freezes import Freezes
    from gameday.engine.schedule import last_claim, next_start

    found, now = _find(paths), datetime.now(UTC)
    claims, freezes = _claims(found), Freezes(found.project.root)
    documents: list[JsonObject] = []
    for scheduled in found.game_days:
        coming, claim = next_start(scheduled, freezes, now), last_claim(claims, scheduled.name, now)
        last = _last(found.project.root, scheduled.name, claim) if claim else None
        documents.append(
            _as_json(scheduled)
            | {
                "next": _occurrence(coming) if coming else None,
                "last": last,
            }
        )
        if as_json:
            continue
        click.echo(f"{scheduled.name}: {_line(scheduled.title)}")
        click.echo(f"  next   {_words(coming) if coming else 'never again'}")
        click.echo(f"  owner  {_line(scheduled.schedule.owner or 'nobody is named')}")
        if claim and last:
            at = datetime.fromtimestamp(claim.due_at, UTC).astimezone(_zone(scheduled))
            run = f" ({last['run']})" if last["run"] else ""
            click.echo(f"  last   {_moment(at)}: {_line(last['outcome'] or 'started, no outcome yet')}{run}")
    _end(found, {"schema": 1, "game_days": documents} if as_json else None)


@command.command("next")
@_paths
@click.option("--count", type=click.IntRange(1, _MOST), default=5, show_default=True, help="So many times.")
@_json
def next_(paths: tuple[Path, ...], count: int, as_json: bool) -> None:
    """Show the next times at which anything is due, the soonest first."""
    from heapq import merge
    from itertools import islice

    from gameday.engine.freezes import Freezes
    from gameday.engine.schedule import foresee
    from gameday.spec.schedule import occurrences

    found, now = _find(paths), datetime.now(UTC)
    freezes = Freezes(found.project.root)
    all_of_them = merge(
        *([(at.timestamp(), number, at) for at in islice(occurrences(one.schedule, now), count)]
          for number, one in enumerate(found.game_days))
    )  # fmt: skip
    coming = [foresee(found.game_days[number], freezes, at) for _, number, at in islice(all_of_them, count)]
    for occurrence in coming if not as_json else ():
        click.echo(f"{_words(occurrence)}  {occurrence.scheduled.name}: {_line(occurrence.scheduled.title)}")
    document: JsonObject = {"schema": 1, "next": [_with_path(occurrence) for occurrence in coming]}
    _end(found, document if as_json else None)


def _parse_at(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"found `{text}`, expected a time, such as 2026-12-04T10:00+01:00") from None


@command.command("due")
@_paths
@click.option("--at", callback=_parse_at, help="As if it were then: 2026-12-04T10:00+01:00; without an offset, UTC.")
@_json
def due(paths: tuple[Path, ...], at: datetime | None, as_json: bool) -> None:
    """Show what `run` would start now, and what keeps the rest from starting; changes nothing."""
    from gameday.engine.freezes import Freezes
    from gameday.engine.schedule import State, look

    found, now = _find(paths), at or datetime.now(UTC)
    claims, freezes = _claims(found), Freezes(found.project.root)
    looked = [look(scheduled, freezes, claims, now) for scheduled in found.game_days]
    last = [occurrence for occurrence in looked if occurrence is not None]
    for occurrence in last if not as_json else ():
        why = "" if occurrence.state is State.DUE else f" ({_line(occurrence.reason)})"
        click.echo(f"{occurrence.state:<8}  {_moment(occurrence.due_at)}  {occurrence.scheduled.name}{why}")
    if not any(occurrence.state is State.DUE for occurrence in last):
        say("nothing is due")
    document: JsonObject = {"schema": 1, "at": now.isoformat(), "due": [_with_path(one) for one in last]}
    _end(found, document if as_json else None)


@command.command("run")
@_paths
def run(paths: tuple[Path, ...]) -> None:
    """Start what is due, once, and wait for it: what cron, a timer or a CronJob calls every minute.

    Exit 0 when nothing was due or all held, else the worst status of the runs (see gameday --help); 2 also for a game
    day that cannot be read, 3 for one that could not start.
    """
    from gameday.cli.schedule_run import run_due

    sys.exit(run_due(paths))


@command.command("export")
@click.argument("kind", metavar=f"[{'|'.join(_EXPORTS)}]", type=click.Choice(_EXPORTS))
@_paths
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="A directory for the files.")
@click.option("--force", is_flag=True, help="Replace files that are there and differ.")
@click.option(
    "--count", type=click.IntRange(1, _MOST), default=20, show_default=True, help="ics: so many single events."
)
@click.option("--namespace", default="gameday", show_default=True, help="kubernetes: where the CronJobs run.")
@click.option("--image", help="kubernetes: the image that the Dockerfile makes; default: gameday-PROJECT.")
@click.option("--secret", default="gameday", show_default=True, help="kubernetes: the Secret with the ${VARIABLES}.")
@click.option(
    "--rbac",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="kubernetes: the Roles, as `gameday plan --rbac` has written them; default: asked of the cluster.",
)
def export(
    kind: str,
    paths: tuple[Path, ...],
    output: Path | None,
    force: bool,
    count: int,
    namespace: str,
    image: str | None,
    secret: str,
    rbac: Path | None,
) -> None:
    """Write what starts it: a crontab line, a systemd service and timer, a calendar, or a Kubernetes CronJob.

    Without -o it is printed.
    """
    from gameday.cli.schedule_export import deliver, local_files

    found = _find(paths)
    if found.wrong:
        _end(found, None)
    if not found.game_days:
        fail("no game day has a schedule: give one a `when`")
    if kind == "ics":
        from gameday.cli.schedule_ics import calendar_file

        files = calendar_file(found, count)
    elif kind == "kubernetes":
        from gameday.cli.schedule_kubernetes import cluster_files

        files = cluster_files(found, namespace=namespace, image=image, secret=secret, roles=rbac)
    else:
        files = local_files(kind, found, paths)
    deliver(files, output, force=force)


def _find(paths: tuple[Path, ...]) -> "Found":
    """Ends the program with status 2 when the project cannot be read."""
    from gameday.cli.load import print_mistakes
    from gameday.cli.schedule_load import find_scheduled
    from gameday.spec.location import SpecError

    try:
        return find_scheduled(paths)
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)


def _claims(found: "Found") -> "Claims":
    """To be read. Ends the program with status 2 when they cannot be."""
    from gameday.cli.load import print_mistakes
    from gameday.cli.schedule_load import open_claims
    from gameday.spec.location import SpecError

    try:
        return open_claims(found.project, writes=False)
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)
    except OSError as error:
        fail(str(error))


def _end(found: "Found", document: "JsonObject | None") -> None:
    """Print the document; then say what could not be read, and end with status 2 if there is any of that."""
    if document is not None:
        import json

        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif not found.game_days and not found.wrong:
        say("no game day has a schedule: give one a `when`")
    if found.wrong:
        from gameday.cli.load import print_mistakes
        from gameday.spec.location import SpecError

        print_mistakes(SpecError(found.wrong))
        sys.exit(2)


def _zone(scheduled: "Scheduled") -> "ZoneInfo":
    from zoneinfo import ZoneInfo

    return ZoneInfo(scheduled.schedule.timezone)


def _moment(moment: datetime) -> str:
    """In its time zone, with its offset, which tells two apart that a clock shows twice."""
    return f"{moment:%a %Y-%m-%d %H:%M %z} {moment.tzinfo}"


def _words(occurrence: "Occurrence") -> str:
    from gameday.engine.schedule import State

    why = {State.BLACKOUT: "not then: ", State.UNKNOWN: "not then, as things are: "}.get(occurrence.state)
    return _moment(occurrence.due_at) + (f" ({why}{_line(occurrence.reason)})" if why else "")


def _line(text: str) -> str:
    from gameday.common.texts import one_line

    return one_line(text)


def _as_json(scheduled: "Scheduled") -> "JsonObject":
    schedule = scheduled.schedule
    return {
        "path": scheduled.name,
        "title": scheduled.title,
        "environment": scheduled.environment,
        "cron": schedule.cron,
        "dates": [moment.isoformat() for moment in schedule.dates],
        "timezone": schedule.timezone,
        "duration_s": schedule.duration_s,
        "catch_up_s": schedule.catch_up_s,
        "owner": schedule.owner,
    }


def _last(root: Path, name: str, claim: "Claim") -> "JsonObject":
    """How it went: as the journal says where it is here, else as whoever started it has noted."""
    from gameday.cli.schedule_outcome import session_of_claim

    told = session_of_claim(root, name, claim)
    return {
        "due_at": claim.due_at,
        "outcome": (told.words if told else None) or claim.outcome,
        "run": told.run if told else claim.run,
        "verdict": told.verdict if told else None,
        "reason": (told.reason if told else None) or None,
    }


def _occurrence(occurrence: "Occurrence") -> "JsonObject":
    return {
        "at": occurrence.due_at.isoformat(),
        "due_at": occurrence.due_at.timestamp(),
        "timezone": occurrence.scheduled.schedule.timezone,
        "state": occurrence.state.value,
        "reason": occurrence.reason or None,
    }


def _with_path(occurrence: "Occurrence") -> "JsonObject":
    return {"path": occurrence.scheduled.name, "title": occurrence.scheduled.title} | _occurrence(occurrence)
