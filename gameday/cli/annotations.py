"""`gameday annotations`: what runs have noted on dashboards. `list` shows it, `remove` takes it away again."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gameday.cli.asking import confirm
from gameday.cli.output import fail, say
from gameday.cli.session import project_root

if TYPE_CHECKING:
    from gameday.coverage.dashboards import Annotation, Annotator
    from gameday.spec.model import Environment

_DEADLINE_S = 120.0  # a source may need a request for each note, and keeps its own, shorter timeout


@click.group("annotations", short_help="The notes of a run on dashboards: list, remove.")
def command() -> None:
    """What a run has noted on the dashboards of its environment.

    Exit 0 when done, 2 when the input is wrong, 3 when the dashboards cannot be asked or take no notes.
    """


@command.command("list")
@click.argument("run", required=False)
@click.option("--env", "environment", help="Environment of gameday.yaml; default: the run's.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def list_(run: str | None, environment: str | None, as_json: bool) -> None:
    """Show the notes of RUN (default: the latest), the oldest first."""
    name, declared = _find(run, environment)
    notes = sorted(_ask(declared, lambda annotator: annotator.annotations(name)), key=lambda note: note.at)
    if as_json:
        shown = [_as_json(note) for note in notes]
        document = {"schema": 1, "run": name, "environment": declared.name, "annotations": shown}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for note in notes:
        click.echo(_line(note))
    if not notes:
        say(f"there are no notes of {name}")


@command.command("remove")
@click.argument("run", required=False)
@click.option("--env", "environment", help="Environment of gameday.yaml; default: the run's.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
def remove(run: str | None, environment: str | None, yes: bool) -> None:
    """Remove the notes of RUN (default: the latest) from the dashboards, and nothing else."""
    name, declared = _find(run, environment)
    if not yes:
        _confirm(name, declared.name)
    removed = _ask(declared, lambda annotator: annotator.remove_annotations(name))
    say(f"removed {removed} {'note' if removed == 1 else 'notes'} of {name}")


def _find(run: str | None, environment: str | None) -> tuple[str, "Environment"]:
    """The name that the run's notes bear, and the environment with their dashboards. Mistakes end the program."""
    from gameday.cli.load import print_mistakes
    from gameday.engine.runs import RunError, find_run
    from gameday.journal.log import JournalError
    from gameday.spec.location import SpecError
    from gameday.spec.project import load_environment, load_project

    try:
        found = find_run(project_root(), run)
        session = found.state().session
    except (RunError, JournalError) as error:
        fail(str(error))
    if session is None:
        fail(f"{found.journal} does not say which run it is of")
    try:
        declared = load_environment(load_project(Path.cwd()), environment or session.environment)
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)
    if declared.dashboards is None:
        fail(f"the environment `{declared.name}` has no dashboards")
    return session.session, declared


def _confirm(run: str, environment: str) -> None:
    if not _is_attended():
        fail("removing notes wants a confirmation; say --yes when nobody can be asked")
    if not confirm(f"Remove the notes of {run} from the dashboards of `{environment}`?"):
        fail("not confirmed; nothing was removed")


def _is_attended() -> bool:
    return sys.stdin.isatty()


def _ask[T](environment: "Environment", question: "Callable[[Annotator], Awaitable[T]]") -> T:
    """What the environment's dashboards answer. Ends the program with status 3 when they do not."""
    from gameday.common.redact import Redactor
    from gameday.coverage.dashboards import DashboardError
    from gameday.spec.project import secret_values

    try:
        return asyncio.run(_answer(environment, question))
    except TimeoutError:
        fail(f"the dashboards did not answer within {_DEADLINE_S:g} s", 3)
    except DashboardError as error:
        fail(Redactor(secret_values(environment))(str(error)), 3)


async def _answer[T](environment: "Environment", question: "Callable[[Annotator], Awaitable[T]]") -> T:
    from gameday.coverage.dashboards import Annotator, DashboardError, open_dashboards

    opened = open_dashboards(environment)
    assert opened
    source: object = opened
    try:
        if not isinstance(source, Annotator):
            raise DashboardError("this source of dashboards takes no notes")
        async with asyncio.timeout(_DEADLINE_S):
            return await question(source)
    finally:
        await opened.close()


def _line(note: "Annotation") -> str:
    from gameday.common.texts import one_line

    lasted = "" if note.until is None else f", for {note.until - note.at:.1f} s"
    return one_line(f"{time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(note.at))}{lasted}  {note.text}")


def _as_json(note: "Annotation") -> "dict[str, str | float | None]":
    return {"at": note.at, "until": note.until, "moment": note.moment, "service": note.service, "text": note.text}
