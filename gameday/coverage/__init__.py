"""Would anyone notice, and could they act: alerts and runbooks."""

from gameday.common.plugins import open_plugin
from gameday.coverage.base import (
    AlertSource,
    AlertSourceError,
    AlertsSeen,
    Finding,
    Pinger,
    PingOutcome,
    PingResult,
    SeenAlert,
    Survey,
    Surveyor,
)
from gameday.coverage.examination import examination_of, examine
from gameday.coverage.findings import judge_alerts
from gameday.coverage.preflight import PreflightResult, check_alert, check_pipeline
from gameday.coverage.runbooks import describe_runbooks, examine_runbook_urls, judge_runbooks, judge_steps
from gameday.coverage.watch import AlertWatch, Evidence
from gameday.spec.model import Environment

__all__ = [
    "AlertSource",
    "AlertSourceError",
    "AlertWatch",
    "AlertsSeen",
    "Evidence",
    "Finding",
    "PingOutcome",
    "PingResult",
    "Pinger",
    "PreflightResult",
    "SeenAlert",
    "Survey",
    "Surveyor",
    "check_alert",
    "check_pipeline",
    "describe_runbooks",
    "examination_of",
    "examine",
    "examine_runbook_urls",
    "judge_alerts",
    "judge_runbooks",
    "judge_steps",
    "open_alerts",
]

GROUP = "gameday.alerts"


def open_alerts(environment: Environment) -> AlertSource | None:
    """The alert source that the environment names (entry points `gameday.alerts`), or None when it names none.

    It is given its configuration and the URL of the server that has the rules: `rules-url`, else that of the signals
    when they come from a Prometheus, else None. Nothing is asked yet. Raises AlertSourceError.
    """
    config = environment.alerts
    if config is None:
        return None
    signals = environment.signals
    rules_url = config.rules_url or (signals.url if signals and signals.source == "prometheus" else None)
    source: AlertSource = open_plugin(GROUP, config.source, "alert source", AlertSourceError, config, rules_url)
    return source
