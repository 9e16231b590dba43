"""`gameday coverage ping`: sends an alert of our own through Alertmanager, to see whether it arrives."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gameday.cli.output import fail, say

if TYPE_CHECKING:
    from gameday.coverage import PingResult
    from gameday.spec.model import Environment

_NAME = "GamedayPing"


@click.command("ping")
@click.option("--env", "environment", default="lab", show_default=True, help="Environment of gameday.yaml.")
@click.option("--as", "alert", help="With the name and the labels of this alert's rule, to go where it would go.")
@click.option(
    "--label", "labels", multiple=True, help="A label, such as team=shop, to be routed by; several by several."
)
@click.option("--wait", default="60s", show_default=True, help="How long to watch it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(environment: str, alert: str | None, labels: tuple[str, ...], wait: str, as_json: bool) -> None:
    """Send a synthetic alert through Alertmanager, watch it arrive, and end it. Whoever is on its route is told.

    Exit 0 when it arrived (or, without a receiver-url, a notification was sent), 1 when not, 3 when it was not taken.
    """
    from gameday.coverage import AlertSourceError, PingOutcome
    from gameday.spec.units import UnitError, parse_positive_duration

    try:
        wait_s = parse_positive_duration(wait)
    except UnitError as error:
        fail(f"--wait: found {error.found}, expected {error.expected}")
    given = _labels(labels)
    declared = _environment(environment)
    if declared.alerts is None:
        fail(f"the environment `{environment}` has no alerts")
    try:
        result = asyncio.run(_ping(declared, alert, given, wait_s))
    except AlertSourceError as error:
        fail(str(error), 3)
    if as_json:
        shown = {"outcome": result.outcome.value, "took_s": round(result.took_s, 3), "receivers": result.receivers}
        click.echo(json.dumps({"schema": 1, **shown, "detail": result.detail, "left": result.left}, indent=2))
    say(_sentence(result, keeps_record=declared.alerts.receiver_url is not None))
    if result.left:
        say(result.left)
    sys.exit(1 if result.outcome is PingOutcome.UNSEEN else 0)


def _labels(texts: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            fail(f"--label: found `{text}`, expected a label and its value, such as team=shop")
        labels[name] = value
    return labels


def _environment(name: str) -> "Environment":
    from gameday.cli.environment import resolve_environment
    from gameday.cli.load import print_mistakes
    from gameday.spec.location import SpecError
    from gameday.spec.project import load_environment, load_project

    try:
        project = load_project(Path.cwd())
        return resolve_environment(load_environment(project, name), project, start=False)
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)


async def _ping(environment: "Environment", alert: str | None, labels: dict[str, str], wait_s: float) -> "PingResult":
    from gameday.coverage import AlertSourceError, Pinger, open_alerts

    opened = open_alerts(environment)
    assert opened
    source: object = opened
    try:
        if not isinstance(source, Pinger):
            raise AlertSourceError("this source of alerts cannot send any")
        own = {"alertname": _NAME, "severity": "none"}
        if alert is not None:
            rule = next((rule for rule in await opened.rules() if rule.name == alert), None)
            if rule is None:
                raise AlertSourceError(f"there is no alerting rule `{alert}`")
            own = {key: text for key, text in rule.labels.items() if "{{" not in text} | {"alertname": alert}
        return await source.ping(own | labels, wait_s)
    finally:
        await opened.close()


def _sentence(result: "PingResult", *, keeps_record: bool) -> str:
    from gameday.coverage import PingOutcome

    to = f", routed to {', '.join(result.receivers)}" if result.receivers else ""
    match result.outcome:
        case PingOutcome.ARRIVED:
            return f"It arrived after {result.took_s:.1f} s{to}."
        case PingOutcome.SENT:
            return (
                f"A notification went out after {result.took_s:.1f} s{to} ({result.detail}). "
                "Whether it arrived is not seen: the environment has no `receiver-url`."
            )
        case _:
            where = " at the receiver" if keeps_record else ""
            return f"It was not seen to arrive{where} within {result.took_s:.0f} s{to}: {result.detail or 'no reason'}."
