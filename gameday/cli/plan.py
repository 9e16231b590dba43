"""`gameday plan`: what would be hit, by name, and what preflight finds; changes nothing."""

import asyncio
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from gameday.cli.load import print_mistakes
from gameday.cli.output import fail, reason_of, say
from gameday.cli.session import make_input, read_session
from gameday.cli.shared_locks import shared_locks
from gameday.cli.source import local_file

if TYPE_CHECKING:
    from gameday.common.json import JsonObject
    from gameday.engine.planning import SessionPlan
    from gameday.engine.preparation import SessionInput
    from gameday.faults.base import Table


@click.command("plan")
@click.argument("path")
@click.option(
    "--env",
    "environment",
    help="Environment of gameday.yaml; default: the game day's, the lab, or none for a plain file.",
)
@click.option("--unattended", is_flag=True, help="By the stricter rules for when nobody is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--rbac", is_flag=True, help="Print the Roles (YAML) that PATH needs in its cluster, and nothing else.")
def command(path: str, environment: str | None, unattended: bool, as_json: bool, rbac: bool) -> None:
    """Show what PATH would hit, by name, and what preflight finds. Exit 0 when it could start, else 3."""
    from gameday.engine.planning import plan_session
    from gameday.engine.workers import WorkersError
    from gameday.faults.base import FaultError
    from gameday.journal.events import CheckOutcome
    from gameday.signals import SignalError
    from gameday.spec.location import SpecError

    session = make_input(read_session(local_file(path), environment), start_lab=False)
    session = msgspec.structs.replace(session, is_unattended=unattended)
    try:
        with tempfile.TemporaryDirectory(prefix="gameday-plan-") as scratch:
            planning = plan_session(session, Path(scratch), datetime.now(UTC), shared=shared_locks(session))
            plan = asyncio.run(planning)
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)
    except (FaultError, SignalError) as error:
        fail(str(error), 2)
    except (WorkersError, OSError) as error:
        fail(reason_of(error), 3)
    if rbac:
        from gameday.cli.rbac import roles_for

        permissions = {item for stage in plan.stages for item in stage.result.examination.permissions}
        if not permissions:
            fail("nothing in it acts in a cluster that could be looked at", 2)
        click.echo(roles_for(permissions), nl=False)
        return
    failures = [check for check in plan.checks if check.outcome is CheckOutcome.FAILURE]
    if as_json:
        click.echo(json.dumps(_as_json(session, plan), indent=2))
    else:
        _print(session, plan)
    say(
        f"It could not start: {len(failures)} of {len(plan.checks)} checks failed. Nothing was changed."
        if failures
        else "It could start. Nothing was changed."
    )
    sys.exit(3 if failures else 0)


def _print(session: "SessionInput", plan: "SessionPlan") -> None:
    from gameday.journal.events import CheckOutcome
    from gameday.spec.model import FaultStep
    from gameday.spec.units import format_duration

    marks = {CheckOutcome.OK: "ok  ", CheckOutcome.WARNING: "warn", CheckOutcome.FAILURE: "FAIL"}
    click.echo(f"{session.title}, on {session.environment.name}")
    for item in plan.experiments:
        click.echo(f"\n{item.index + 1}. {item.experiment.title}")
        for number, step in enumerate(item.experiment.method):
            if not isinstance(step, FaultStep):
                click.echo(f"   {step.kind}: {step.name}")
                continue
            click.echo(f"   {step.fault} on {step.target}, each stage held {format_duration(step.hold_s)}")
            stages = [
                planned
                for planned in plan.stages
                if (planned.experiment, planned.step) == (item.index, number) and not planned.result.error
            ]
            for planned in stages:
                names = ", ".join(planned.result.targets)
                table = planned.result.examination.table
                click.echo(f"     {planned.radius:>5}: {planned.result.reach}{'' if table else f': {names}'}")
                for line in _lines(table) if table else ():
                    click.echo(f"            {line}")
            for by_hand in dict.fromkeys(planned.result.by_hand for planned in stages):
                click.echo(f"            undo by hand: {by_hand}")
        for condition in item.experiment.abort_when:
            click.echo(
                f"   aborts when {condition.signal} {condition.text} for {format_duration(condition.for_s)}, "
                f"or cannot be read for {format_duration(item.experiment.timing.blind_after_s)}"
            )
        for check in plan.checks:
            if check.experiment == item.index:
                click.echo(f"   {marks[check.outcome]}  {check.name}: {check.detail}")
    click.echo()
    for check in plan.checks:
        if check.experiment is None:
            click.echo(f"{marks[check.outcome]}  {check.name}: {check.detail}")


def _lines(table: "Table") -> list[str]:
    """The table with its columns below one another."""
    rows = (tuple(column.upper() for column in table.columns), *table.rows)
    widths = [max(len(row[index]) for row in rows) for index in range(len(table.columns))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _as_json(session: "SessionInput", plan: "SessionPlan") -> "JsonObject":
    return {
        "schema": 1,
        "title": session.title,
        "environment": session.environment.name,
        "experiments": [item.experiment.title for item in plan.experiments],
        "stages": [
            {
                "experiment": planned.experiment,
                "step": planned.step,
                "stage": planned.stage,
                "blast_radius": planned.radius,
                "targets": list(planned.result.targets),
                "affected": planned.result.reach.affected,
                "total": planned.result.reach.total,
                "unit": planned.result.reach.unit,
                "description": planned.result.description,
                "by_hand": planned.result.by_hand,
                "table": [
                    dict(zip(planned.result.examination.table.columns, row, strict=True))
                    for row in planned.result.examination.table.rows
                ]
                if planned.result.examination.table
                else None,
                "error": planned.result.error or None,
            }
            for planned in plan.stages
        ],
        "checks": [
            {
                "check": check.name,
                "outcome": check.outcome.value,
                "detail": check.detail,
                "experiment": check.experiment,
            }
            for check in plan.checks
        ],
    }
