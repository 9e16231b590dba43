"""`gameday run`: an experiment or a game day, to its report."""

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from gameday.cli.afterwards import command_of
from gameday.cli.asking import confirm
from gameday.cli.output import fail, interrupted, reason_of, say
from gameday.cli.recalling import recall
from gameday.cli.session import make_input, read_session
from gameday.cli.shared_locks import shared_locks
from gameday.cli.source import local_file
from gameday.cli.toolkit import apply_options, toolkit_options
from gameday.common.json import JsonObject

if TYPE_CHECKING:
    from gameday.cli.load import SessionSpec
    from gameday.engine.launch import Helper
    from gameday.engine.preparation import SessionInput
    from gameday.engine.recorder import Sink
    from gameday.engine.session import SessionResult
    from gameday.notify.sink import ChannelSink
    from gameday.report.writer import ReportWriter

_VALIDATION_TIMEOUT_S = 120.0  # a module that an activity names may take its time to import


@click.command("run")
@click.argument("path")
@click.option("--env", "environment", help="Environment; default: the game day's, the lab, or none for a plain file.")
@click.option("--yes", is_flag=True, help="Ask nothing before the first injection.")
@click.option(
    "--unattended", is_flag=True, help="Nobody is there: ask nothing, and start only if nothing speaks against it."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document on stdout.")
@click.option(
    "--reports", type=click.Path(path_type=Path, file_okay=False), help="Where reports go; default: reports/."
)
@click.option("--seed", type=int, help="Choose the same targets again.")
@toolkit_options
@click.pass_obj
def command(
    zygote: "Helper | None",
    /,
    path: str,
    environment: str | None,
    yes: bool,
    unattended: bool,
    as_json: bool,
    reports: Path | None,
    seed: int | None,
    **options: Any,
) -> None:
    """Run an experiment (native or plain Chaos Toolkit; a file, or an http(s) URL) or a game day."""
    try:
        spec = read_session(local_file(path), environment, partial(_validate, zygote) if zygote else None)
        spec = apply_options(spec, options)
        from gameday.engine.launch import launch_guardian
        from gameday.engine.session import Helpers, run_session
        from gameday.faults.base import FaultError
        from gameday.journal.log import JournalError
        from gameday.notify.annotations import annotation_sinks
        from gameday.notify.terminal import Terminal
        from gameday.report.writer import ReportWriter
        from gameday.signals import SignalError
        from gameday.spec.location import SpecError

        helpers, writer = Helpers(), ReportWriter()
        if zygote:
            gc.freeze()  # what has been imported is never garbage
            gc.enable()
            # Now, when they need import little more, and nothing is held that they must not share.
            helpers, writer = Helpers(zygote, launch_guardian(early=True)), ReportWriter.start()
        session = make_input(spec, start_lab=True)
        session = msgspec.structs.replace(
            session, seed=session.seed if seed is None else seed, is_unattended=unattended
        )
        session = _settle(recall(session), yes=yes)
    except (KeyboardInterrupt, click.Abort):
        interrupted("run")
    except OSError as error:
        fail(f"not started, nothing was injected: {reason_of(error)}", 3)
    terminal = Terminal(live=sys.stderr.isatty())
    channels = _channels(session)
    sinks: list[Sink] = [terminal, *annotation_sinks(session.environment), *channels]
    try:
        running = run_session(
            session,
            sinks,
            tell=terminal.tell,
            helpers=helpers,
            shared=shared_locks(session),
            afterwards=command_of(session),
        )
        result = asyncio.run(running)
    except SpecError as error:
        from gameday.cli.load import print_mistakes

        print_mistakes(error)
        sys.exit(2)
    except (FaultError, SignalError) as error:
        fail(str(error), 2)
    except (JournalError, OSError) as error:
        fail(f"not started, nothing was injected: {reason_of(error)}", 3)
    except KeyboardInterrupt:  # at the very moment at which the session no longer hears it, or does not yet
        fail("interrupted; the guardian undoes what is left, if anything is, and `gameday status` says so", 5)
    # The session is over and its journal whole: whatever fails now, or is interrupted, its verdict is the status.
    with suppress(KeyboardInterrupt), _closing(channels):
        tell = partial(_tell, channels, result, spec.project.report_url) if channels else None
        _report(result, writer, spec, reports, as_json=as_json, tell=tell)
    _end(result, spec.project.root)


def _settle(session: "SessionInput", *, yes: bool) -> "SessionInput":
    """Who takes part; then, where there is anybody to ask, what they think will happen, and whether to begin."""
    from gameday.people import on_call_services

    if on_call_services(session.people):
        from gameday.engine.roles import resolve_people

        session = msgspec.structs.replace(session, people=asyncio.run(resolve_people(session, time.time())))
    is_attended = not session.is_unattended and sys.stdin.isatty() and sys.stderr.isatty()
    if is_attended and not yes:
        from gameday.cli.predicting import ask_pairs

        ask_pairs(session)
    if session.environment.policy.confirm and not yes:
        _confirm(session, is_attended=is_attended)
    return session


def _channels(session: "SessionInput") -> "Sequence[ChannelSink]":
    """Those that are told of the session; most have none, and need not import any."""
    if session.environment.slack is None and not session.environment.channels:
        return ()
    from gameday.notify.channels import channel_sinks

    return channel_sinks(session.environment, session.project.root, say)


@contextmanager
def _closing(channels: "Sequence[ChannelSink]") -> Iterator[None]:
    """Whatever becomes of the report, they are let go of."""
    try:
        yield
    finally:
        for channel in channels:
            channel.end()


def _tell(channels: "Sequence[ChannelSink]", result: "SessionResult", report_url: str | None, report: Path) -> None:
    from gameday.cli.channels import tell_channels

    tell_channels(channels, result, report, report_url)


def _validate(zygote: "Helper", definitions: Sequence[JsonObject]) -> Sequence[tuple[str, ...]]:
    """What the Chaos Toolkit says of each activity, asked of a child, while this process imports what comes next."""
    from gameday.engine.jobs import Job, JobKind
    from gameday.engine.workers import Question, WorkersError

    try:
        question = Question(zygote, Job(kind=JobKind.VALIDATE, definitions=tuple(definitions))) if definitions else None
        _import_the_rest()
        return question.answer(_VALIDATION_TIMEOUT_S).complaints if question else ()
    except WorkersError as error:
        fail(f"not started, nothing was injected: the activities cannot be checked: {error}", 3)


def _import_the_rest() -> None:
    """All that this process needs later on, and what the report's writer will share, which is forked after this."""
    import concurrent.futures.thread  # noqa: F401
    import getpass  # noqa: F401

    import gameday.cli.history_feeding
    import gameday.cli.left
    import gameday.engine.session
    import gameday.notify.annotations
    import gameday.notify.terminal
    import gameday.report.past
    import gameday.report.well
    import gameday.report.writer  # noqa: F401


def _confirm(session: "SessionInput", *, is_attended: bool) -> None:
    environment, place = session.environment.name, session.environment.policy.place("confirm")
    if not is_attended:
        fail(f"the policy of `{environment}` wants a confirmation{place}; say --yes when nobody can be asked", 3)
    if not confirm(f"Run “{session.title}” on `{environment}`?"):
        fail("not confirmed; nothing was injected", 3)


def _report(
    result: "SessionResult",
    writer: "ReportWriter",
    spec: "SessionSpec",
    reports: Path | None,
    *,
    as_json: bool,
    tell: Callable[[Path], None] | None = None,
) -> None:
    """Write the reports and say where they are. `tell` is told, too."""
    from gameday.cli.output import crash
    from gameday.journal.log import JournalError
    from gameday.spec.model import EnvironmentKind

    if spec.environment.kind is EnvironmentKind.LAB:
        say("The lab stays up; `gameday lab down` ends it.")
    root, directory = spec.project.root, result.run.directory
    where = reports or root / "reports"
    written: tuple[Path, ...] = ()
    try:
        from gameday.report.past import keep_run
        from gameday.report.render import OF_EACH_RUN

        keep = partial(keep_run, result.run, root)  # the next one has not to read it
        written = writer.write(directory, OF_EACH_RUN, where, meanwhile=keep)
        _remember(result, root, where)
    except (OSError, JournalError, KeyboardInterrupt) as error:
        why = reason_of(error) or "interrupted"
        say(f"the report could not be written: {why}; `gameday report {directory.name}` does it again")
    except Exception as error:  # noqa: BLE001 - whatever becomes of the report: the status, and what is left, must be said
        crash(error)
        say(f"The session itself is whole; `gameday report {directory.name}` renders it again.")
    for path in written:
        if path.suffix == ".json":
            if as_json:
                _print(path)
            _say_regressions(path)
    for path in written:
        if path.suffix == ".html":
            say(f"report: {path}")
            if tell:
                tell(path)


def _print(document: Path) -> None:
    try:
        click.echo(document.read_text(encoding="utf-8"))
    except OSError as error:  # whoever reads it has gone, or the disk is full
        say(f"the report could not be printed: {reason_of(error)}; it is in {document}")


def _end(result: "SessionResult", root: Path) -> NoReturn:
    """Say, last, what a person must know, and end with the verdict's status."""
    from gameday.cli.history_feeding import feed_store
    from gameday.cli.left import say_what_is_left

    with suppress(KeyboardInterrupt):
        feed_store(root)
        say_what_is_left(result.run.directory)
    sys.exit(result.verdict.exit_code)


class _Regression(msgspec.Struct, frozen=True):
    text: str


class _Regressions(msgspec.Struct, frozen=True):
    """What of the report's document is said at the terminal."""

    regressions: tuple[_Regression, ...] = ()


def _say_regressions(document: Path) -> None:
    from gameday.common.texts import one_line

    with suppress(OSError, msgspec.MsgspecError):  # they are in the report
        for one in msgspec.json.decode(document.read_bytes(), type=_Regressions).regressions:
            say(click.style(one_line(one.text), fg="red", bold=True))


def _remember(result: "SessionResult", root: Path, reports: Path) -> None:
    """What was found is to be done, what is not found any more has been; and the page over all sessions, if any."""
    from gameday.cli.history_feeding import refresh_page
    from gameday.journal.events import Verdict
    from gameday.journal.log import JournalError
    from gameday.people.action_log import log_path, remember_session

    refresh_page(root, reports)
    if result.verdict is Verdict.HELD and not log_path(root).exists():
        return  # there is nothing to open, and nothing to close
    try:
        changes = remember_session(root, result.run.directory, time.time())
    except (OSError, JournalError) as error:
        say(f"action items could not be remembered: {error}; `gameday actions update` does it again")
        return
    from gameday.cli.actions import say_changes

    say_changes(changes)
