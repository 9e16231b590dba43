"""Where signals, alerts, dashboards and on-call are asked: what is read of them, and every mistake with its place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gameday.spec.model import Credentials, DashboardsConfig, OnCallConfig
from gameday.spec.project import load_environment, load_project, secret_values
from tests.spec.conftest import mistakes_of

Write = Callable[..., Path]
ENV = "environments:\n  e:\n"


def test_dashboards_and_on_call(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", "glsa-secret")
    token = 'token: "${GRAFANA_TOKEN}"'
    text = f"""{ENV}    dashboards: {{url: "https://grafana/sub", tags: [shop, money], {token}, timeout: 2s}}
    on-call: {{source: pagerduty, schedule: Primary, within: 2d, token: u+secret}}
services:
  shop: {{dashboards: [overview, "tag:shop"], on-call: Tills}}
"""
    project = load_project(write("gameday.yaml", text).parent)
    environment = load_environment(project, "e")
    assert environment.dashboards == DashboardsConfig(
        "grafana",
        "https://grafana/sub",
        ("shop", "money"),
        annotate=True,
        timeout_s=2.0,
        credentials=Credentials(token="glsa-secret"),
    )
    assert environment.on_call == OnCallConfig(
        "pagerduty", schedule="Primary", within_s=2 * 86400.0, credentials=Credentials(token="u+secret")
    )
    assert secret_values(environment) == ("glsa-secret", "u+secret")
    assert (project.services[0].dashboards, project.services[0].on_call) == (("overview", "tag:shop"), "Tills")


def test_a_file_of_on_call_lies_beside_gameday_yaml_and_the_lab_may_have_one(write: Write) -> None:
    text = f"{ENV}    kind: lab\n    on-call: {{source: file, path: people/on-call.yaml}}\n"
    root = write("gameday.yaml", text).parent
    on_call = load_environment(load_project(root), "e").on_call
    assert on_call
    assert on_call.path == root / "people/on-call.yaml"


def test_datadogs_keys_are_secrets(write: Write) -> None:
    keys = "api-key: aaaa1111, application-key: bbbb2222"
    text = f"{ENV}    signals: {{source: datadog, url: 'https://api.datadoghq.eu', platform: datadog-apm, {keys}}}\n"
    environment = load_environment(load_project(write("gameday.yaml", text).parent), "e")
    assert environment.signals
    assert environment.signals.credentials == Credentials(api_key="aaaa1111", application_key="bbbb2222")
    assert secret_values(environment) == ("aaaa1111", "bbbb2222")
    assert "aaaa" not in repr(environment.signals)


@pytest.mark.parametrize(
    ("credentials", "headers"),
    [
        (Credentials(), {}),
        (Credentials(token="t"), {"Authorization": "Bearer t"}),
        (Credentials(user="Aladdin", password="open sesame"), {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}),
    ],
)
def test_the_header_that_lets_us_in(credentials: Credentials, headers: dict[str, str]) -> None:
    """The pair of RFC 7617, section 2."""
    assert credentials.headers() == headers


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (
            "dashboards: {source: grafana}",
            ["3:17: found dashboards without `url`, expected where the source is, such as https://grafana.example.com"],
        ),
        ("dashboards: {url: grafana}", ["3:23: found `grafana`, expected a URL such as http://prometheus:9090"]),
        (
            "dashboards: {url: 'http://g', anotate: false}",
            ["3:35: found the key `anotate`, expected a key of dashboards; did you mean `annotate`?"],
        ),
        ("dashboards: {url: 'http://g', annotate: 3}", ["3:45: found `3`, expected true or false"]),
        (
            "on-call: {source: file}",
            ["3:14: found who is on call without `path`, expected the path of a file, such as on-call.yaml"],
        ),
        (
            "on-call: {path: x}",
            ["3:14: found who is on call without `source`, expected the name of a source: file, pagerduty or opsgenie"],
        ),
        (
            "on-call: {source: pagerduty, within: soon}",
            ["3:42: found `soon`, expected a duration such as 300ms, 90s or 1h30m"],
        ),
        (
            "dashboards: {url: 'http://g', password: x}",
            ["3:35: found a password without a `user`, expected both"],
        ),
    ],
)
def test_mistakes(write: Write, text: str, mistakes: list[str]) -> None:
    root = write("gameday.yaml", f"{ENV}    {text}\n").parent
    assert mistakes_of(lambda: load_project(root)) == mistakes
