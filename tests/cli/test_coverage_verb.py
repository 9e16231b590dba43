"""`gameday coverage`: the matrix of a project and its past, as text, as JSON and for CI; `ping` against a stand-in."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result
from monitoring_stack import start_stack

from gameday.cli.coverage import command
from gameday.report.past import CACHE
from tests.report import journals
from tests.serving import Serving, StandInHandler

DOCS = (Path(__file__).parents[2] / "docs" / "coverage.md").read_text("utf-8")
RUN = "20260306-100000-checkout-ab12"
PROJECT = """\
project: shop
environments:
  lab: {kind: lab}
  staging: {alerts: {url: URL, rules-url: URL, timeout: 20s}}
services:
  checkout: {owner: team-checkout, runbooks: [payments-errors], dashboards: [checkout-overview, payments]}
  payments: {owner: team-payments}
  ping: {}
"""
EXPERIMENT = """\
title: Checkout refuses politely
service: checkout
method: []
expect:
  alerts:
    - {name: PaymentsErrorsHigh, within: 10s, runbook: payments-errors}
    - {name: CheckoutErrorsHigh, within: 10s, runbook: checkout-errors}
"""
RULES = """\
groups:
- name: shop
  rules:
  - {alert: PaymentsErrorsHigh, expr: "errors > 1", labels: {severity: page, service: payments}}
  - {alert: PaymentsSlow, expr: "slow > 1", labels: {service: payments}}
"""
BOOK = "---\ntitle: Payments is slow\nalerts: [PaymentsSlow]\n---\n## Symptoms\n- It is slow.\n"


class Monitoring:
    """A stand-in for Alertmanager (its API v2, and /metrics) and for the API of the Prometheus with the rules.

    Shapes: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml and
    https://prometheus.io/docs/prometheus/latest/querying/api/#rules.
    """

    def __init__(self) -> None:
        self.posted: list[dict[str, object]] = []
        self.status = 200
        self.is_mute = False  # it takes alerts, and no notification ever goes out
        self.delay_s = 0.0
        self.has_no_silences = False  # the path of silences answers with what is none
        self.routing = ""  # Alertmanager's configuration, where it tells
        self.rules: list[dict[str, object]] = [
            {
                "type": "alerting",
                "name": "CheckoutErrorsHigh",
                "query": "errors > 1",
                "duration": 5,
                "labels": {"severity": "page", "service": "checkout", "summary": "{{ $value }}"},
                "annotations": {},
                "state": "inactive",
                "health": "ok",
                "alerts": [],
            }
        ]

    def get(self, path: str, query: dict[str, list[str]]) -> object:
        match path:
            case "/api/v2/status" if self.routing:
                return {"config": {"original": self.routing}, "cluster": {}, "versionInfo": {}, "uptime": "x"}
            case "/api/v2/silences":
                return None if self.has_no_silences else []
            case "/api/v2/alerts" if not query:
                return []
            case "/api/v1/rules":
                group = {"name": "shop", "file": "x.yaml", "interval": 5, "rules": self.rules}
                return {"status": "success", "data": {"groups": [group]}}
            case "/api/v2/alerts":
                name, _, value = query["filter"][0].partition("=")
                return [
                    alert | {
                        "receivers": [{"name": "pager"}],
                        "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []},
                        "fingerprint": "f",
                        "updatedAt": "2026-03-06T10:00:00.000Z",
                    }
                    for alert in self.posted
                    if isinstance(labels := alert["labels"], dict) and labels[name] == value.strip('"')
                ]  # fmt: skip
            case _:
                return None

    def metrics(self) -> str:
        count = 0 if self.is_mute else len(self.posted)
        return (
            "# TYPE alertmanager_notifications_total counter\n"
            f'alertmanager_notifications_total{{integration="webhook",receiver_name="pager"}} {count}\n'
            'alertmanager_notifications_failed_total{integration="webhook",reason="other"} 0\n'
        )


@pytest.fixture
def monitoring() -> Iterator[tuple[Monitoring, str]]:
    """The stand-in, and where it answers."""
    server_side = Monitoring()

    class Handler(StandInHandler):
        def do_GET(self) -> None:
            time.sleep(server_side.delay_s)
            target = urlsplit(self.path)
            if target.path == "/metrics":
                self._answer(server_side.metrics())
            else:
                self._answer(json.dumps(server_side.get(target.path, parse_qs(target.query))))

        def do_POST(self) -> None:
            alerts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if server_side.status == 200:
                server_side.posted += alerts
            self._answer("" if server_side.status == 200 else '"no such thing"')

        def _answer(self, text: str) -> None:
            self.send_response(server_side.status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

    serving = Serving(Handler)
    yield server_side, serving.url
    serving.close()


@pytest.fixture
def shop(tmp_path: Path, monitoring: tuple[Monitoring, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "gameday.yaml").write_text(PROJECT.replace("URL", monitoring[1]))
    for name, text in {
        "experiments/checkout-loses-payments.yaml": EXPERIMENT,
        "experiments/other.yaml": EXPERIMENT.replace("refuses politely", "does something else"),
        "experiments/gamedays/first.yaml": "title: First\nexperiments: [other.yaml]\n",
        "experiments/broken.yaml": "method: [",
        "runbooks/payments-slow.md": BOOK,
        "runbooks/payments-errors.md": BOOK.replace("[PaymentsSlow]", "[]").replace("slow", "refusing"),
        "alerts/shop.yaml": RULES,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def past(shop: Path) -> Path:
    journals.rich(shop / ".gameday" / "runs" / RUN)
    return shop


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def rows(result: Result) -> list[list[str]]:
    """The cells of every line: columns are at least two spaces apart."""
    return [[cell for cell in line.strip().split("  ") if cell.strip()] for line in result.stdout.splitlines() if line]


def stripped(result: Result) -> list[list[str]]:
    return [[cell.strip() for cell in row] for row in rows(result)]


def test_what_is_written_and_what_was_exercised(past: Path) -> None:
    result = invoke("--offline")
    assert result.exit_code == 0, result.output
    said = stripped(result)
    for row in (
        ["checkout, owned by team-checkout"],
        ["ALERT", "RULE", "ROUTED", "RUNBOOK", "DASHBOARD", "EXERCISED"],
        [
            "PaymentsErrorsHigh",
            "exists",
            "unknown",
            "payments-errors (incomplete)",
            "missing",
            "2026-03-06 late, 12.9s",
        ],
        ["CheckoutErrorsHigh", "missing", "unknown", "checkout-errors (missing)", "missing", "2026-03-06 missed"],
        ["checkout-errors", "missing", "never", "2026-03-06"],
        ["checkout-overview", "2026-03-06, some panels without data", "2026-03-06"],
        ["payments", "2026-03-06, not there", "never"],
        ["experiments/checkout-loses-payments.yaml", "2026-03-06 aborted"],
        ["experiments/other.yaml", "never"],
        ["PaymentsSlow", "exists", "unknown", "payments-slow (incomplete)", "none", "never, nor expected"],
        ["payments-slow", "lacks Impact, Diagnosis, Mitigation, Rollback, Escalation", "never", "never"],
        ["ping"],
    ):
        assert row in said, row
    assert any(row[0] == "payments-errors" and row[-2:] == ["2026-03-06", "2026-03-06"] for row in said)
    assert max(map(len, result.stdout.splitlines())) <= 120
    assert "Rules: 2 in the repository's files." in result.stderr
    assert "Runs: 1." in result.stderr
    assert "1 experiment cannot be read" in result.stderr
    assert "experiments/broken.yaml" in result.stderr
    assert (past / ".gameday" / CACHE).exists()


def test_a_project_without_a_past(shop: Path) -> None:
    shutil.rmtree(shop / "alerts")
    result = invoke("--offline", "checkout")
    assert (result.exit_code, "Runs: 0." in result.stderr) == (0, True)
    said = stripped(result)
    assert [
        "PaymentsErrorsHigh", "unknown", "unknown", "payments-errors (incomplete)", "never looked at", "never"
    ] in said  # fmt: skip
    assert not any("payments, owned by" in row[0] for row in said)
    assert "none are known" in result.stderr
    assert not (shop / ".gameday").exists(), "a view of a project that never ran leaves nothing behind"


def test_without_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke()
    assert (result.exit_code, result.stdout) == (0, "")


def test_rules_of_an_environment_that_answers(past: Path) -> None:
    for arguments in ((), ("--env", "staging")):  # the only one with alerts is asked anyway
        result = invoke(*arguments)
        assert "Rules: 1 loaded in staging." in result.stderr
        said = stripped(result)
        found = {row[0]: row[1] for row in said if row[0].endswith("High")}
        assert found == {"PaymentsErrorsHigh": "missing", "CheckoutErrorsHigh": "exists"}


def test_who_would_be_told(past: Path, monitoring: tuple[Monitoring, str]) -> None:
    """By Alertmanager's own routing tree: a receiver that tells nobody is a hole."""
    server = monitoring[0]
    server.routing = (
        "route: {receiver: pager, routes: [{receiver: hole, matchers: ['service=payments']}]}\n"
        "receivers: [{name: pager, pagerduty_configs: [{routing_key: <secret>}]}, {name: hole}]\n"
    )
    server.rules.append(server.rules[0] | {"name": "PaymentsErrorsHigh", "labels": {"service": "payments"}})
    result = invoke("--env", "staging", "--fail-on", "unrouted")
    assert {row[0]: row[2] for row in stripped(result) if len(row) > 4 and row[0].endswith("High")} == {
        "PaymentsErrorsHigh": "nobody",
        "CheckoutErrorsHigh": "pager",
    }
    assert "  PaymentsErrorsHigh: routed to `hole`, which tells nobody" in result.stdout.splitlines()
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "Nobody would be told of PaymentsErrorsHigh.")
    alerts = {
        alert["name"]: alert["routed"]
        for service in json.loads(invoke("--env", "staging", "--json").stdout)["services"]
        for alert in service["alerts"]
    }
    assert alerts["CheckoutErrorsHigh"] == {
        "receivers": [{"name": "pager", "integrations": ["pagerduty"]}],
        "quiet": [],
        "doubts": [],
    }
    assert alerts["PaymentsErrorsHigh"]["receivers"] == [{"name": "hole", "integrations": []}]
    server.routing = ""
    untold = invoke("--env", "staging", "--fail-on", "unrouted", "checkout")
    assert "Who would be told is not known of PaymentsErrorsHigh, CheckoutErrorsHigh." in untold.stderr.splitlines()


def test_a_warning_and_a_page_of_one_name_have_a_row_each(past: Path, monitoring: tuple[Monitoring, str]) -> None:
    server = monitoring[0]
    server.routing = (
        "route: {receiver: pager, routes: [{receiver: hole, matchers: ['severity=warning']}]}\n"
        "receivers: [{name: pager, pagerduty_configs: [{routing_key: <secret>}]}, {name: hole}]\n"
    )
    [page] = server.rules
    server.rules.append(page | {"labels": {"severity": "warning", "service": "checkout"}})
    result = invoke("--env", "staging", "--fail-on", "unrouted", "checkout")
    said = {row[0]: (row[1], row[2]) for row in stripped(result) if len(row) > 4}
    assert said["CheckoutErrorsHigh (page)"] == ("exists", "pager")
    assert said["CheckoutErrorsHigh (warning)"] == ("exists", "nobody")
    assert "  CheckoutErrorsHigh (warning): routed to `hole`, which tells nobody" in result.stdout.splitlines()
    assert "Nobody would be told of CheckoutErrorsHigh (warning)." in result.stderr.splitlines()
    alerts = json.loads(invoke("--env", "staging", "--json", "checkout").stdout)["services"][0]["alerts"]
    assert [(row["name"], row["severity"]) for row in alerts] == [
        ("PaymentsErrorsHigh", None),
        ("CheckoutErrorsHigh", "page"),
        ("CheckoutErrorsHigh", "warning"),
    ]


def test_a_part_that_gives_no_answer_is_never_taken_for_good(past: Path, monitoring: tuple[Monitoring, str]) -> None:
    """Who would be told is known, and whether it is silenced is not: it is said, and CI does not pass."""
    server = monitoring[0]
    server.routing = "route: {receiver: pager}\nreceivers: [{name: pager, webhook_configs: [{url: <secret>}]}]\n"
    server.rules.append(server.rules[0] | {"name": "PaymentsErrorsHigh", "labels": {"service": "payments"}})
    server.has_no_silences = True
    result = invoke("--env", "staging", "--fail-on", "unrouted")
    routed = {row[2] for row in stripped(result) if len(row) > 4 and row[0].endswith("High")}
    assert (routed, result.exit_code) == ({"pager?"}, 1)
    assert "  CheckoutErrorsHigh: whether it is silenced could not be asked" in result.stdout.splitlines()
    assert "No answer: Alertmanager's silences (" in result.stderr
    document = json.loads(invoke("--env", "staging", "--json").stdout)
    assert any(part.startswith("Alertmanager's silences (") for part in document["unanswered"])


def test_ci_does_not_pass_by_files_where_the_environment_gave_no_answer(
    shop: Path, monitoring: tuple[Monitoring, str]
) -> None:
    (shop / "experiments" / "other.yaml").unlink()
    (shop / "experiments" / "checkout-loses-payments.yaml").unlink()
    asked = ("--fail-on", "missing", "payments")
    (shop / "runbooks" / "all.md").write_text(BOOK.replace("[PaymentsSlow]", "[PaymentsErrorsHigh]"))
    assert invoke("--offline", *asked).exit_code == 0  # the files have all
    monitoring[0].status = 503
    for arguments in (asked, ("--env", "staging", *asked)):
        result = invoke(*arguments)
        assert (result.exit_code, "may be wanting, too" in result.stderr) == (1, True)
        assert result.stderr.count("staging did not say which it has") == 1
    assert invoke("--env", "staging").exit_code == 0


def test_runs_of_another_environment_or_of_long_ago_do_not_count(past: Path) -> None:
    assert "Runs: 1 in staging." in invoke("--env", "staging").stderr  # journals.rich is of staging
    result = invoke("--env", "lab")
    assert (result.exit_code, "Runs: 0 in lab." in result.stderr, "lab is not up" in result.stderr) == (0, True, True)
    result = invoke("--offline", "--since", "1h", "checkout")
    assert "Runs: 0 in the last 1h." in result.stderr
    assert {row[-1] for row in stripped(result) if row[0].endswith("High")} == {"never"}


def test_an_environment_that_does_not_answer(
    past: Path, monitoring: tuple[Monitoring, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = past / "gameday.yaml"
    project.write_text(project.read_text().replace("timeout: 20s", "timeout: 300ms"))
    for problem in ("status", "delay_s"):
        monkeypatch.setattr(monitoring[0], problem, 503 if problem == "status" else 1.0)
        result = invoke()
        assert result.exit_code == 0
        assert "staging did not say which it has" in result.stderr
        assert "2 in the repository's files" in result.stderr
        monkeypatch.undo()
        monkeypatch.chdir(past)


def test_a_variable_that_is_unset_keeps_nothing_from_being_shown(past: Path) -> None:
    text = (past / "gameday.yaml").read_text().replace("timeout: 20s", 'token: "${NOT_SET_ANYWHERE}"')
    (past / "gameday.yaml").write_text(text)
    result = invoke()
    assert result.exit_code == 0
    assert "staging cannot be asked" in result.stderr
    named = invoke("--env", "staging")
    assert (named.exit_code, named.stdout) == (2, "")
    assert "NOT_SET_ANYWHERE" in named.stderr


def test_the_document(past: Path) -> None:
    result = invoke("--offline", "--json", "checkout", "payments")
    document = json.loads(result.stdout)
    assert (document["schema"], document["runs"], document["unread_runs"]) == (1, 1, [])
    checkout, payments = document["services"]
    alert = checkout["alerts"][0]
    assert alert["exercised"] == {
        "run": RUN, "at": "2026-03-06T10:00:42.390Z", "result": "late", "after_s": 12.89, "verdict": "weakness"
    }  # fmt: skip
    assert (alert["rule"], checkout["alerts"][1]["rule"]) == (True, False)
    assert alert["expected_by"] == ["experiments/checkout-loses-payments.yaml", "experiments/other.yaml"]
    assert payments["alerts"][1]["expected_by"] == []
    assert checkout["runbooks"][1]["state"] == "missing"
    assert checkout["dashboards"][0]["looked_at"]["without_data"] is True
    assert checkout["experiments"][1]["last_run"] is None
    last = checkout["experiments"][0]["last_run"]
    kinds = (document, checkout, alert, alert["exercised"], checkout["runbooks"][0], checkout["dashboards"][0])
    for keys in (*kinds, checkout["dashboards"][0]["looked_at"], checkout["experiments"][0], last):
        for key in keys:
            assert f"`{key}`" in DOCS, f"docs/coverage.md does not say what {key} is"


def test_what_ci_may_fail_on(past: Path) -> None:
    never = invoke("--offline", "--fail-on", "never-exercised")
    assert (never.exit_code, "Never exercised: PaymentsSlow." in never.stderr) == (1, True)
    assert invoke("--offline", "--fail-on", "never-exercised", "checkout").exit_code == 0
    missing = invoke("--offline", "--fail-on", "missing")
    assert missing.exit_code == 1
    for line in (
        "There is no rule CheckoutErrorsHigh.",
        "There is no runbook checkout-errors.",
        "There is no dashboard payments.",
    ):
        assert line in missing.stderr.splitlines()
    assert invoke("--offline", "--fail-on", "missing", "ping").exit_code == 0  # a service without anything


def test_a_service_that_is_called_as_the_command(past: Path) -> None:
    result = invoke("--offline", "ping")
    assert (result.exit_code, rows(result)[0]) == (0, ["ping"])
    assert "Send a synthetic alert" in invoke("ping", "--help").output
    assert invoke("--", "ping").stdout == result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chekout"], "there is no service `chekout`; did you mean `checkout`?"),
        (["--since", "soon"], "--since: found `soon`, expected a duration"),
        (["--offline", "--env", "staging"], "--offline asks nobody"),
        (["--env", "stagin"], "did you mean `staging`?"),
        (["--fail-on", "all"], "'all' is not one of 'never-exercised', 'missing', 'unrouted'"),
    ],
)
def test_wrong_input(past: Path, arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_mistakes_in_the_project_are_said(past: Path) -> None:
    (past / "gameday.yaml").write_text("services: {checkout: {runbooks: [nowhere]}}\n")
    result = invoke()
    assert (result.exit_code, "`nowhere`" in result.stderr) == (2, True)


# -- ping


def test_ping_arrives_and_is_ended(shop: Path, monitoring: tuple[Monitoring, str]) -> None:
    result = invoke("ping", "--env", "staging", "--label", "team=shop", "--wait", "5s", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["schema"], document["outcome"], document["receivers"]) == (1, "sent", ["pager"])
    assert "A notification went out after" in result.stderr
    begin, end = monitoring[0].posted
    labels = begin["labels"]
    assert isinstance(labels, dict)
    assert {"alertname": "GamedayPing", "severity": "none", "team": "shop"}.items() <= labels.items()
    assert end["labels"] == labels
    assert str(end["endsAt"]) < str(begin["endsAt"])


def test_ping_goes_where_an_alert_would_go(shop: Path, monitoring: tuple[Monitoring, str]) -> None:
    assert invoke("ping", "--env", "staging", "--as", "CheckoutErrorsHigh", "--wait", "5s").exit_code == 0
    labels = monitoring[0].posted[0]["labels"]
    assert isinstance(labels, dict)
    labels.pop("gameday_test")
    assert labels == {"alertname": "CheckoutErrorsHigh", "severity": "page", "service": "checkout"}


def test_ping_that_nobody_is_told_of(shop: Path, monitoring: tuple[Monitoring, str]) -> None:
    monitoring[0].is_mute = True
    result = invoke("ping", "--env", "staging", "--wait", "600ms")
    assert result.exit_code == 1
    assert "It was not seen to arrive within" in result.stderr
    assert len(monitoring[0].posted) == 2, "it must be ended all the same"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--env", "nowhere"], 2, "no environment `nowhere`"),
        (["--env", "staging", "--label", "x"], 2, "--label: found `x`"),
        (["--env", "staging", "--wait", "never"], 2, "--wait: found `never`"),
        (["--env", "staging", "--as", "Nothing"], 3, "there is no alerting rule `Nothing`"),
    ],
)
def test_ping_refuses(shop: Path, arguments: list[str], status: int, message: str) -> None:
    result = invoke("ping", *arguments)
    assert (result.exit_code, message in result.stderr) == (status, True)


def test_ping_that_is_not_taken(shop: Path, monitoring: tuple[Monitoring, str]) -> None:
    monitoring[0].status = 500
    result = invoke("ping", "--env", "staging", "--wait", "1s")
    assert (result.exit_code, "HTTP 500" in result.stderr) == (3, True)
    assert monitoring[0].posted == []


@pytest.mark.lab
def test_a_real_alertmanager_is_asked_and_pinged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_stack(tmp_path) as stack:
        alerts = f"{{url: '{stack.alertmanager}', rules-url: '{stack.prometheus}', receiver-url: '{stack.pager_url}'}}"
        services = "services: {payments: {}}"
        (tmp_path / "gameday.yaml").write_text(f"environments: {{staging: {{alerts: {alerts}}}}}\n{services}\n")
        monkeypatch.chdir(tmp_path)
        shown = invoke("--json")
        (payments,) = json.loads(shown.stdout)["services"]
        assert [(row["name"], row["rule"]) for row in payments["alerts"]] == [("AfterTwoSeconds", True)]
        assert "loaded in staging" in shown.stderr
        sent = invoke("ping", "--env", "staging", "--wait", "20s", "--json")
        assert (sent.exit_code, json.loads(sent.stdout)["outcome"]) == (0, "arrived"), sent.output
        assert "It arrived after" in sent.stderr
        lost = invoke("ping", "--env", "staging", "--wait", "2s", "--label", "hole=yes")
        assert (lost.exit_code, "routed to nobody" in lost.stderr) == (1, True)
        assert {entry["name"] for entry in stack.pager.record} <= {"GamedayPing", "Watchdog"}
