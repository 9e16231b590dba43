"""Would anyone notice, and could they act: alerts and runbooks."""

from gameday.common.texts import most_similar
from gameday.coverage.base import AlertSource, AlertSourceError, AlertsSeen, Finding, SeenAlert
from gameday.coverage.findings import PreflightResult, check_rules, judge_alerts
from gameday.coverage.runbooks import describe_runbooks, judge_runbooks
from gameday.coverage.watch import AlertWatch, Evidence
from gameday.spec.model import Environment

__all__ = [
    "AlertSource",
    "AlertSourceError",
    "AlertWatch",
    "AlertsSeen",
    "Evidence",
    "Finding",
    "PreflightResult",
    "SeenAlert",
    "check_rules",
    "describe_runbooks",
    "judge_alerts",
    "judge_runbooks",
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
