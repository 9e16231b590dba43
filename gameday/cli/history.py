"""`gameday history`: all sessions, the newest first, and what they show together."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gameday.cli.history_opening import open_past, store_errors
from gameday.cli.history_store import COMMANDS
from gameday.cli.output import fail, reason_of, say
from gameday.common.project import find_root

if TYPE_CHECKING:
    from gameday.cli.past_source import PastSource
    from gameday.report.trends import Regression, Selection

_BY = ("service", "fault", "experiment")


def _choose_verdict(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    from gameday.report.trends import VERDICTS

    if text is not None and text not in VERDICTS:
        raise click.BadParameter(f"found `{text}`, expected one of {', '.join(VERDICTS)}")
    return text


def _selecting[F: Callable[..., None]](function: F) -> F:
    """Which sessions are asked for, and how it is said: the options of both views."""
    for option in reversed(
        (
            click.option("--service", help="Experiments of this service alone."),
            click.option("--fault", help="Experiments with this fault alone."),
            click.option("--experiment", metavar="PATH", help="This experiment alone."),
            click.option("--env", "environment", help="Sessions in this environment alone."),
            click.option("--since", help="Sessions of the last so many days, say: 30d."),
            click.option("--local", is_flag=True, help="From the journals here, whatever store gameday.yaml names."),
            click.option("--fail-on", type=click.Choice(("regression",)), help="Exit 1 when something used to hold."),
            click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
        )
    ):
        function = option(function)
    return function


@click.group("history", invoke_without_command=True)
@_selecting
@click.option("--verdict", callback=_choose_verdict, help="Sessions that ended so alone.")
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True, help="So many sessions at most.")
@click.option("--html", "as_html", is_flag=True, help="Write reports/index.html, a page of all sessions.")
@click.option(
    "--reports", type=click.Path(path_type=Path, file_okay=False), help="Where reports lie; default: reports/."
)
@click.pass_context
def command(
    context: click.Context,
    /,
    service: str | None,
    fault: str | None,
    experiment: str | None,
    environment: str | None,
    since: str | None,
    local: bool,
    fail_on: str | None,
    as_json: bool,
    verdict: str | None,
    limit: int,
    as_html: bool,
    reports: Path | None,
) -> None:
    """Show all sessions, the newest first: how each ended, what was broken and found, how fast it was noticed.

    `trends` shows what they say together: gameday history trends --help. Whatever used to hold and does not any more is
    said in both. Exit 0, unless --fail-on asks for it.
    """
    given = [name for name in context.params if context.get_parameter_source(name) is not _DEFAULT]
    if context.invoked_subcommand is not None:
        if given:
            fail("options go after the name of the view: gameday history trends --help")
        return
    if as_html:
        if set(given) - {"as_html", "reports", "local"}:
            fail("--html writes a page of all sessions, with filters of its own; only --reports and --local go with it")
        _write_page(reports, local)
        return
    if reports is not None:
        fail("--reports says where --html writes; give both")
    from gameday.cli.history_text import as_document, session_lines

    selection = _select(service, fault, experiment, environment, since, verdict)
    with store_errors():
        past = open_past(find_root(), local=local)
        chosen, left_out = past.sessions(selection, limit)
        lost = past.regressions(selection)
        is_empty = not chosen and past.is_empty
    if as_json:
        _print(as_document(past.unread, lost, sessions=chosen, left_out=left_out))
    else:
        for line in session_lines(chosen):
            click.echo(line)
        if left_out:
            say(f"\n{left_out} older; --limit shows more.")
        elif not chosen:
            say("there are no sessions yet" if is_empty else "no session is like that")
    _end(past, lost, fail_on)


@command.command("trends")
@_selecting
@click.option("--by", multiple=True, type=click.Choice(_BY), help="Put together by this; default: service and fault.")
def trends(
    service: str | None,
    fault: str | None,
    experiment: str | None,
    environment: str | None,
    since: str | None,
    local: bool,
    fail_on: str | None,
    as_json: bool,
    by: tuple[str, ...],
) -> None:
    """Show, for each service and each fault, how often it held, how fast it was detected and recovered, and which
    findings were opened and closed.

    Runs that were aborted, interrupted or not started count neither way.
    """
    from gameday.cli.history_text import as_document, trend_lines
    from gameday.report.trend_words import COUNTING
    from gameday.report.trends import By

    selection = _select(service, fault, experiment, environment, since, None)
    with store_errors():
        past = open_past(find_root(), local=local)
        trials = past.trials(selection)
        lost = past.regressions(selection)
        is_empty = not trials and past.is_empty
    kinds = [By(name) for name in dict.fromkeys(by or ("service", "fault"))]
    if as_json:
        _print(as_document(past.unread, lost, trials=trials, by=kinds))
    else:
        for line in trend_lines(trials, kinds):
            click.echo(line)
        say(f"\n{COUNTING}" if trials else "there are no sessions yet" if is_empty else "no run is like that")
    _end(past, lost, fail_on)


for _command in COMMANDS:
    command.add_command(_command)
_DEFAULT = click.core.ParameterSource.DEFAULT


def _select(
    service: str | None,
    fault: str | None,
    experiment: str | None,
    environment: str | None,
    since: str | None,
    verdict: str | None,
) -> "Selection":
    import time

    from gameday.report.trends import Selection
    from gameday.spec.units import UnitError, parse_positive_duration

    try:
        begin = time.time() - parse_positive_duration(since) if since else None
    except UnitError as error:
        fail(f"--since: found {error.found}, expected {error.expected}")
    return Selection(service, fault, _path_of(experiment), environment, verdict, begin)


def _path_of(experiment: str | None) -> str | None:
    """As journals have it, which is relative to the project: also where it is given from a directory below."""
    if experiment is None:
        return None
    root, path = find_root(), Path(experiment).resolve()
    is_file = path.is_relative_to(root) and path.exists()
    return path.relative_to(root).as_posix() if is_file else experiment.removeprefix("./")


def _print(document: object) -> None:
    import json

    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _end(past: "PastSource", lost: "tuple[Regression, ...]", fail_on: str | None) -> None:
    """Say, last and loudly, what used to hold, and end the program with its status."""
    from gameday.cli.history_text import regression_lines
    from gameday.report.format import clean, plural

    if past.unread:
        names = clean(", ".join(past.unread[:5]))
        say(f"{plural(len(past.unread), 'run')} left out, for their journals cannot be read: {names}")
    for line in regression_lines(lost):
        say(click.style(line, fg="red", bold=True) if line.startswith("REGRESSION") else line)
    sys.exit(1 if lost and fail_on else 0)


def _write_page(reports: Path | None, local: bool) -> None:
    from gameday.report.index import write_index

    root = find_root()
    with store_errors():
        sessions = open_past(root, local=local).all_sessions()
    try:
        click.echo(write_index(sessions, reports or root / "reports"))
    except OSError as error:
        fail(f"the page cannot be written: {reason_of(error)}")
