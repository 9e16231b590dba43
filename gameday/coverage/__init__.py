"""Would anyone notice, and could they act: alerts and runbooks."""

from gameday.common.texts import most_similar
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
from gameday.coverage.examination import examine
from gameday.coverage.findings import judge_alerts
from gameday.coverage.preflight import PreflightResult, check_alert, check_pipeline
from gameday.coverage.runbooks import describe_runbooks, judge_runbooks, judge_steps
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
    "examine",
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
    from importlib.metadata import entry_points

    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    entry = entries.get(config.source)
    if entry is None:
        near = most_similar(config.source, entries)
        hint = f"; did you mean `{near}`?" if near else ""
        known = ", ".join(sorted(entries))
        raise AlertSourceError(f"there is no alert source `{config.source}`; there are {known}{hint}")
    try:
        source: AlertSource = entry.load()(config, rules_url)
    except AlertSourceError:
        raise
    except Exception as error:  # a third party's module may raise anything
        raise AlertSourceError(
            f"the alert source `{config.source}` ({entry.value}) cannot be opened: {error}"
        ) from error
    return source
