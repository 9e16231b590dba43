"""Prometheus and Alertmanager of the lab: what is scraped, which rules there are, where alerts go.

The files are JSON, which is YAML too.
"""

from dataclasses import dataclass
from urllib.parse import quote

from gameday.common.json import Json, JsonObject
from gameday.lab.topology import HOST, SERVICES, Layout, url

# A scrape a second, so that five samples make a rate: an alert then fires seconds, not minutes, after its cause.
INTERVAL = "1s"
WINDOW = "5s"

# Only what the rules, the signals and a person with a graph need: Envoy has thousands of statistics.
_SERVICES = "|".join(service.name for service in SERVICES)
_ENVOY_STATISTICS = (
    rf"^http\.({_SERVICES})\.(downstream_rq_|fault\.)"
    r"|^cluster\.[a-z]+\.(upstream_rq_(retry|timeout|per_try_timeout|[0-9]xx)|upstream_cx_active|membership_|"
    r"outlier_detection\.ejections_active)"
)


@dataclass(frozen=True, slots=True)
class Objective:
    """What a service's alerts hold it to. `p99_ms` in milliseconds, `errors` a ratio."""

    service: str
    p99_ms: int
    errors: float
    severity: str


OBJECTIVES = (
    Objective("edge", p99_ms=800, errors=0.05, severity="page"),
    Objective("checkout", p99_ms=400, errors=0.05, severity="page"),
    Objective("payments", p99_ms=250, errors=0.05, severity="page"),
    Objective("inventory", p99_ms=200, errors=0.05, severity="ticket"),
)


def build_prometheus_config(layout: Layout) -> JsonObject:
    """prometheus.yml; the rules are beside it in rules.yml."""
    services: list[Json] = [
        {"targets": [f"{HOST}:{slot.port}"], "labels": {"service": slot.service, "instance_name": slot.name}}
        for slot in layout.slots
    ]
    return {
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": "900ms", "evaluation_interval": INTERVAL},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"{HOST}:{layout.alertmanager}"]}]}]},
        "scrape_configs": [
            {
                "job_name": "envoy",
                "metrics_path": "/stats/prometheus",
                "params": {"filter": [_ENVOY_STATISTICS]},
                "static_configs": [{"targets": [f"{HOST}:{layout.admin}"]}],
                # The listeners of a service's callers share its name as their prefix.
                "metric_relabel_configs": [
                    {
                        "source_labels": ["envoy_http_conn_manager_prefix"],
                        "regex": f"({_SERVICES})",
                        "target_label": "service",
                    }
                ],
            },
            {"job_name": "shop", "static_configs": services},
            {"job_name": "load", "static_configs": [{"targets": [f"{HOST}:{layout.load}"]}]},
        ],
    }


def _recording_rules() -> list[Json]:
    bucket = f"sum by (service, le) (rate(envoy_http_downstream_rq_time_bucket{{service!=''}}[{WINDOW}]))"
    classes = f"rate(envoy_http_downstream_rq_xx{{service!=''%s}}[{WINDOW}])"
    errors = f"sum by (service) ({classes % ", envoy_response_code_class='5'"})"
    quantiles: list[Json] = [
        {
            "record": f"service:request_milliseconds:p{percent}_rate{WINDOW}",
            "expr": f"histogram_quantile({percent / 100:g}, {bucket})",
        }
        for percent in (50, 99)
    ]
    return [
        {
            "record": f"service:requests:rate{WINDOW}",
            "expr": f"sum by (service) (rate(envoy_http_downstream_rq_completed{{service!=''}}[{WINDOW}]))",
        },
        {
            "record": f"service:request_errors:ratio_rate{WINDOW}",
            "expr": f"{errors} / sum by (service) ({classes % ''})",
        },
        *quantiles,
    ]


def _dashboard(layout: Layout, *expressions: str) -> str:
    panels = "&".join(
        f"g{number}.expr={quote(expression, safe='')}&g{number}.tab=0&g{number}.range_input=10m"
        for number, expression in enumerate(expressions)
    )
    return f"{url(layout.prometheus)}/graph?{panels}"


def _alert(
    layout: Layout, objective: Objective, suffix: str, runbook: str, expression: str, summary: str, *, for_: str = "2s"
) -> JsonObject:
    service = objective.service
    signals = (
        f'service:requests:rate{WINDOW}{{service="{service}"}}',
        f'service:request_errors:ratio_rate{WINDOW}{{service="{service}"}}',
        f'service:request_milliseconds:p99_rate{WINDOW}{{service="{service}"}}',
        f'up{{service="{service}"}}',
    )
    return {
        "alert": f"{service.title()}{suffix}",
        "expr": expression,
        "for": for_,
        "labels": {"severity": objective.severity, "service": service},
        "annotations": {
            "summary": summary,
            "runbook_url": f"runbooks/{runbook}.md",
            "dashboard": _dashboard(layout, *signals),
        },
    }


def _alerts(layout: Layout, objective: Objective) -> list[Json]:
    service, title = objective.service, objective.service.title()
    return [
        _alert(
            layout,
            objective,
            "ErrorsHigh",
            f"{service}-errors",
            f'service:request_errors:ratio_rate{WINDOW}{{service="{service}"}} > {objective.errors:g}',
            f"{title} answers {{{{ $value | humanizePercentage }}}} of its callers with an error",
        ),
        _alert(
            layout,
            objective,
            "LatencyHigh",
            f"{service}-latency",
            f'service:request_milliseconds:p99_rate{WINDOW}{{service="{service}"}} > {objective.p99_ms}',
            f"One in a hundred calls of {service} takes {{{{ $value | humanize }}}} ms or longer",
        ),
        # A replica is back two seconds after its death: what lasts two whole scrapes must be enough.
        _alert(
            layout,
            objective,
            "ReplicaDown",
            "replica-down",  # one for all: a replica that is gone is the same work everywhere
            f'up{{service="{service}"}} == 0',
            f"{{{{ $labels.instance_name }}}} of {service} does not answer Prometheus",
            for_="1s",
        ),
    ]


def build_rules(layout: Layout) -> JsonObject:
    """rules.yml: recording rules for three of the golden signals, alerts for each service, and a watchdog."""
    alerts: list[Json] = [alert for objective in OBJECTIVES for alert in _alerts(layout, objective)]
    watchdog: JsonObject = {
        "alert": "Watchdog",
        "expr": "vector(1)",
        "labels": {"severity": "none"},
        "annotations": {"summary": "Always fires: while it arrives, alerts can arrive"},
    }
    # One group: its rules are evaluated in order, so that an alert sees what was recorded in the same second.
    return {"groups": [{"name": "shop", "rules": [*_recording_rules(), *alerts, watchdog]}]}


def build_alertmanager_config(layout: Layout) -> JsonObject:
    """alertmanager.yml: every alert on its own, at once, to the lab's receiver."""
    return {
        "route": {
            "receiver": "lab",
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        },
        "receivers": [
            {
                "name": "lab",
                "webhook_configs": [{"url": f"{url(layout.receiver)}/alerts", "send_resolved": True}],
            }
        ],
    }


assert {objective.service for objective in OBJECTIVES} == {service.name for service in SERVICES}
