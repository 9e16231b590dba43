"""`gameday slack`: `test` says whether what is configured for Slack works, and what is missing."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gameday.cli.output import fail, say

if TYPE_CHECKING:
    from gameday.spec.model import Environment


@click.group("slack", short_help="Whether token, scopes, channel and Socket Mode work: test.")
def command() -> None:
    """The Slack channel of an environment."""


@command.command("test")
@click.option("--env", "environment", default="lab", show_default=True, help="Environment of gameday.yaml.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def test(environment: str, as_json: bool) -> None:
    """Say in one message to the channel, and in one line here, what works and what is missing.

    Exit 0 when all that is configured works, 1 when something is missing, 2 when the environment has no Slack.
    """
    from gameday.common.redact import Redactor
    from gameday.common.texts import one_line
    from gameday.notify.slack.check import CheckOutcome, check_slack, say_checks
    from gameday.spec.project import secret_values

    declared = _environment(environment)
    if declared.slack is None:
        fail(f"the environment `{environment}` has no slack")
    checks = asyncio.run(check_slack(declared.slack))
    works = all(check.outcome is not CheckOutcome.MISSING for check in checks)
    redact = Redactor(secret_values(declared))
    if as_json:
        shown = [{"check": check.name, "outcome": check.outcome, "detail": redact(check.detail)} for check in checks]
        document = {"schema": 1, "environment": declared.name, "works": works, "checks": shown}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        say(one_line(redact(say_checks(checks))))
    sys.exit(0 if works else 1)


def _environment(name: str) -> "Environment":
    from gameday.cli.load import print_mistakes
    from gameday.spec.location import SpecError
    from gameday.spec.project import load_environment, load_project

    try:
        return load_environment(load_project(Path.cwd()), name)
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)
