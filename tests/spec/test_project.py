"""gameday.yaml, game days and runbooks: what they mean, and every mistake with its place."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from gameday.spec.game_day import load_game_day, parse_cron
from gameday.spec.model import EnvironmentKind, Hours
from gameday.spec.policy import parse_hours
from gameday.spec.project import load_environment, load_project, secret_values
from gameday.spec.runbook import SECTIONS, load_runbook
from gameday.spec.units import UnitError
from tests.spec.conftest import mistakes_of
from tests.spec.test_experiment import DESIGN

Write = Callable[..., Path]

# As they stand in the design.
PROJECT = """\
project: shop
environments:
  lab:                                   # the embedded default: needs nothing outside this machine
    kind: lab
  staging:
    kubernetes: {context: staging, namespace: shop}
    signals:    {source: prometheus, url: "http://prometheus.monitoring:9090", platform: istio}
    alerts:     {source: alertmanager, url: "http://alertmanager.monitoring:9093"}
    dashboards: {source: grafana, url: "https://grafana.example.com", token: "${GRAFANA_TOKEN}"}
    slack:      {channel: "#gameday", token: "${SLACK_BOT_TOKEN}"}
    policy:     {max-blast-radius: 50%, namespaces: [shop], hours: "Mon-Fri 09:00-16:00 Europe/Berlin", confirm: true}
services:
  checkout: {owner: team-checkout, runbooks: [checkout-errors], depends-on: [payments, inventory]}
  payments:
  inventory:
history: sqlite:///.gameday/history.db   # or postgresql://…
"""
GAME_DAY = """\
title: Checkout game day
when: {cron: "0 10 * * FRI", timezone: Europe/Berlin, duration: 2h}
environment: staging
people: {facilitator: "@gameday-lead", builders: ["@checkout-dev"], sres: ["@sre-oncall"], observers: []}
experiments: [checkout-loses-payments.yaml, checkout-slow-inventory.yaml]
"""
RUNBOOK = """\
---
title: Payments is down
alerts: [PaymentsDown]
service: payments
owner: team-payments
reviewed: 2025-01-31
escalation: "@payments-lead"
dashboards: [https://grafana.example.com/d/1]
---

# Payments is down

## Symptoms

- `PaymentsDown` fires.

## Impact

- Nobody can pay.

## Diagnosis

1. Look.

   ```check
   # Mitigation
   kubectl get pods
   ```

## Mitigation

## Escalation ##

- Page.
"""


@pytest.fixture
def shop(write: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    write("runbooks/checkout-errors.md", RUNBOOK)
    write("runbooks/payments-down.md", RUNBOOK)
    write("experiments/checkout-loses-payments.yaml", DESIGN)
    write("experiments/checkout-slow-inventory.yaml", DESIGN)
    write("experiments/gamedays/checkout.yaml", GAME_DAY)
    monkeypatch.setenv("GRAFANA_TOKEN", "grafana-secret")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    return write("gameday.yaml", PROJECT).parent


def test_the_design(shop: Path) -> None:
    project = load_project(shop / "experiments" / "gamedays")  # found upwards
    assert (project.name, project.root) == ("shop", shop)
    assert [service.name for service in project.services] == ["checkout", "payments", "inventory"]
    assert project.services[0].depends_on == ("payments", "inventory")
    assert {runbook.name for runbook in project.runbooks} == {"checkout-errors", "payments-down"}
    lab, staging = load_environment(project, "lab"), load_environment(project, "staging")
    assert lab.kind is EnvironmentKind.LAB
    assert staging.kind is EnvironmentKind.DECLARED
    assert staging.signals
    assert (staging.signals.source, staging.signals.platform) == ("prometheus", "istio")
    assert staging.alerts
    assert staging.alerts.url == "http://alertmanager.monitoring:9093"
    assert staging.slack
    assert (staging.slack.channel, staging.slack.token) == ("#gameday", "xoxb-secret")
    assert "xoxb" not in repr(staging.slack)
    assert (staging.policy.max_blast_radius, staging.policy.confirm) == (0.5, True)
    assert staging.policy.hours == Hours(
        frozenset(range(5)), 9 * 60, 16 * 60, "Europe/Berlin", "Mon-Fri 09:00-16:00 Europe/Berlin"
    )
    assert secret_values(staging) == ("grafana-secret", "xoxb-secret")
    assert secret_values(lab) == ()

    game_day = load_game_day(shop / "experiments/gamedays/checkout.yaml", project)
    assert [experiment.path.name for experiment in game_day.experiments] == [
        "checkout-loses-payments.yaml",
        "checkout-slow-inventory.yaml",
    ]
    assert game_day.schedule
    assert (game_day.schedule.cron, game_day.schedule.duration_s) == ("0 10 * * FRI", 7200)
    assert game_day.people.facilitator == "@gameday-lead"
    assert (game_day.people.builders, game_day.people.sres) == (("@checkout-dev",), ("@sre-oncall",))


def test_variables_are_filled_in_only_where_they_are_used(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    project = load_project(shop)
    assert mistakes_of(lambda: load_environment(project, "lab")) == []
    assert mistakes_of(lambda: load_environment(project, "staging")) == [
        "10:46: found the variable `${SLACK_BOT_TOKEN}`, which is not set, expected SLACK_BOT_TOKEN in the environment"
    ]
    assert mistakes_of(lambda: load_environment(project, "stagin")) == [
        "1:1: found no environment `stagin`, expected one of lab, staging; did you mean `staging`?"
    ]


def test_secrets_are_known_wherever_they_stand(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "prometheus")
    monkeypatch.setenv("DB_PASSWORD", "p%40ss")
    text = """
environments:
  e:
    signals: {url: "http://user:${DB_PASSWORD}@${HOST}:9090?api_key=abc", platform: envoy}
    slack: {webhook: "https://hooks.example.com/T0", channel: "#c"}
    channels: [{kind: my-own, nested: {client-secret: [one, two]}}]
"""
    project = load_project(write("gameday.yaml", text).parent)
    assert set(secret_values(load_environment(project, "e"))) == {
        "p%40ss",
        "p@ss",
        "abc",
        "https://hooks.example.com/T0",
        "one",
        "two",
    }


def test_a_mistake_does_not_tell_a_secret(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cr3t-value")
    text = ENV + "signals: {url: '${API_TOKEN}', platform: envoy}\n"
    project = load_project(write("gameday.yaml", text).parent)
    assert mistakes_of(lambda: load_environment(project, "e")) == [
        "3:20: found `•••`, expected a URL such as http://prometheus:9090"
    ]


def test_without_a_gameday_yaml_there_is_the_lab(tmp_path: Path) -> None:
    project = load_project(tmp_path)
    assert [environment.kind for environment in project.environments] == [EnvironmentKind.LAB]
    assert load_environment(project, "lab").kind is EnvironmentKind.LAB
    assert (project.root, project.services, project.runbooks) == (tmp_path, (), ())


def test_the_lab_is_there_beside_other_environments(write: Write) -> None:
    project = load_project(
        write("gameday.yaml", "environments: {e: {signals: {url: 'http://x', platform: envoy}}}").parent
    )
    assert [environment.name for environment in project.environments] == ["e", "lab"]
    assert load_environment(project, "lab").kind is EnvironmentKind.LAB


ENV = "environments:\n  e:\n    "


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("porject: x\n", ["1:1: found the key `porject`, expected a key of gameday.yaml; did you mean `project`?"]),
        (
            "history: mysql://x\n",
            [
                "1:10: found `mysql://x`, "
                "expected a URL such as sqlite:///.gameday/history.db or postgresql://host/database"
            ],
        ),
        (ENV + "kind: labb\n", ["3:11: found `labb`, expected one of lab, declared; did you mean `lab`?"]),
        (
            ENV + "kind: lab\n    signals: {}\n",
            ["4:5: found signals of the lab, expected none: the lab brings its own"],
        ),
        (
            ENV + "signals: {source: prometheus}\n",
            [
                "3:14: found signals without `url`, expected where the source is, such as http://prometheus:9090",
                "3:14: found signals without `platform`, expected the name of a platform, or queries of your own",
            ],
        ),
        (
            ENV + "signals: {url: prometheus:9090, platform: envoy}\n",
            ["3:20: found `prometheus:9090`, expected a URL such as http://prometheus:9090"],
        ),
        (
            ENV + "signals: {url: 'http://x', queries: {latency: {p99x: q}, error: {ratio: q}}}\n",
            [
                "3:52: found the measure `p99x`, expected a measure of latency",
                "3:62: found the key `error`, expected a key of queries; did you mean `errors`?",
            ],
        ),
        (
            ENV + "alerts: {url: 'http://x', timeout: 3}\n",
            ["3:40: found `3`, expected a duration such as 300ms, 90s or 1h30m"],
        ),
        (
            ENV + "processes: {}\n",
            [
                "3:16: found processes without `inventory`, "
                "expected the path of an inventory, such as run/inventory.json"
            ],
        ),
        (ENV + "policy: {max-blast-radius: 0%}\n", ["3:32: found `0%`, expected a percentage above 0% and up to 100%"]),
        (ENV + "policy: {confirm: sure}\n", ["3:23: found `sure`, expected true or false"]),
        (
            ENV + "policy: {hours: Mon-Fri 16:00-09:00 UTC}\n",
            ["3:21: found `Mon-Fri 16:00-09:00 UTC`, expected times from 00:00 to 24:00, the first before the second"],
        ),
        (
            ENV + "policy: {hours: Mon-Fri 09:00-16:00 Europe/Berln}\n",
            ["3:21: found the time zone `Europe/Berln`, expected an IANA name such as Europe/Berlin"],
        ),
        (
            "services:\n  a: {depends-on: [b, a], runbooks: [r]}\n  bb: {}\n",
            [
                "2:20: found the service `b`, expected one of bb; did you mean `bb`?",
                "2:23: found the service `a`, expected one of bb",
                "2:38: found the runbook `r`, expected a file runbooks/r.md",
            ],
        ),
        ("services: [a]\n", ["1:11: found a list, expected services by name (a mapping)"]),
    ],
)
def test_mistakes_in_gameday_yaml(write: Write, text: str, mistakes: list[str]) -> None:
    path = write("gameday.yaml", text)
    assert mistakes_of(lambda: load_project(path.parent)) == mistakes


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("title: Checkout game day\n", "", "1:1: found a game day without `title`, expected the game day's title"),
        (
            "experiments:",
            "experiment:",
            "5:1: found the key `experiment`, expected a key of a game day; did you mean `experiments`?",
        ),
        (
            "staging",
            "stagin",
            "3:14: found the environment `stagin`, expected one of lab, staging; did you mean `staging`?",
        ),
        ("0 10", "60 10", "2:14: found `60`, expected for the minute: 0 to 59, a range such as 0-59, or *"),
        (
            "0 10 * * FRI",
            "daily",
            '2:14: found `daily`, expected a cron expression of five fields, such as "0 10 * * FRI"',
        ),
        (
            "Europe/Berlin",
            "Europe/Berln",
            "2:40: found the time zone `Europe/Berln`, "
            "expected an IANA name such as Europe/Berlin; did you mean `Europe/Berlin`?",
        ),
        ("2h", "2", "2:65: found `2`, expected a duration such as 300ms, 90s or 1h30m"),
        (
            "builders",
            "builder",
            "4:40: found the key `builder`, expected a key of people by role; did you mean `builders`?",
        ),
        (
            "[checkout-loses-payments.yaml, checkout-slow-inventory.yaml]",
            "[]",
            "5:1: found no experiments, expected a list of experiment files, in their order",
        ),
    ],
)
def test_mistakes_in_a_game_day(shop: Path, old: str, new: str, mistake: str) -> None:
    path = shop / "experiments/gamedays/checkout.yaml"
    path.write_text(GAME_DAY.replace(old, new))
    assert mistakes_of(lambda: load_game_day(path, load_project(shop))) == [mistake]


def test_a_game_day_tells_the_mistakes_of_its_experiments_too(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop / "experiments/gamedays/checkout.yaml"
    path.write_text(GAME_DAY.replace("slow-inventory", "slow-inventry"))
    (shop / "experiments/checkout-loses-payments.yaml").write_text(DESIGN.replace("hold: 60s", "hold: 60"))
    monkeypatch.chdir(shop)
    assert mistakes_of(lambda: load_game_day(Path("experiments/gamedays/checkout.yaml"))) == [
        "5:45: found the experiment `checkout-slow-inventry.yaml`, "
        "expected a file in experiments/gamedays, experiments; "
        "did you mean `checkout-slow-inventory.yaml`?",
        "15:11: found `60`, expected a duration such as 300ms, 90s or 1h30m",
    ]


@pytest.mark.parametrize("text", ["0 10 * * FRI", "*/5 0-6,12 1,15 jan-mar MON-FRI", "0 0 * * 7", "59 23 31 DEC SUN"])
def test_cron(text: str) -> None:
    assert parse_cron(text) == text.upper()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "* * * FRI *",
        ),
        *("5-1 * * * *", "*/0 * * * *", "@daily", "a b c d e", "1- * * * *"),
    ],
)
def test_what_is_no_cron(text: str) -> None:
    with pytest.raises(UnitError):
        parse_cron(text)


def test_hours() -> None:
    assert parse_hours("Sat-Mon,Wed 00:00-24:00 UTC") == Hours(
        frozenset({5, 6, 0, 2}), 0, 1440, "UTC", "Sat-Mon,Wed 00:00-24:00 UTC"
    )
    assert parse_hours("9:00-16:30 UTC").days == frozenset(range(7))
    for text in ("", "Mon-Fri", "09:00-16:00", "09:60-16:00 UTC", "09:00-25:00 UTC", "Mon-Fri 09:00-16:00 ../etc"):
        with pytest.raises(UnitError):
            parse_hours(text)


def test_a_runbook(write: Write) -> None:
    runbook = load_runbook(write("payments-down.md", RUNBOOK))
    assert (runbook.name, runbook.title) == ("payments-down", "Payments is down")
    assert (runbook.alerts, runbook.service, runbook.reviewed) == (("PaymentsDown",), "payments", date(2025, 1, 31))
    assert runbook.sections == ("Symptoms", "Impact", "Diagnosis", "Escalation")
    # One is there with nothing in it (a comment in code is no heading), one is not there at all.
    assert runbook.missing_sections == ("Mitigation", "Rollback")


def test_a_runbook_without_front_matter(write: Write) -> None:
    runbook = load_runbook(write("r.md", "# A title\n"))
    assert (runbook.title, runbook.missing_sections) == ("A title", SECTIONS)
    assert load_runbook(write("s.md", "")).title == "s"


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("2025-01-31", "2025-13-31", "6:11: found `2025-13-31`, expected a date, or quotes"),
        ("2025-01-31", "yesterday", "6:11: found `yesterday`, expected a date such as 2025-01-31"),
        (
            "alerts:",
            "alert:",
            "3:1: found the key `alert`, expected a key of a runbook's front matter; did you mean `alerts`?",
        ),
        (
            "title: Payments is down",
            "title: Payments: down",
            "2:16: found a mistake in the YAML (mapping values are not allowed in this context), "
            "expected quotes around a text that contains `: `",
        ),
        ("1]\n---\n", "1]\n", "1:1: found front matter without an end, expected a line `---` after it"),
    ],
)
def test_mistakes_in_a_runbook(write: Write, old: str, new: str, mistake: str) -> None:
    path = write("r.md", RUNBOOK.replace(old, new, 1))
    if RUNBOOK.replace(old, new, 1) == RUNBOOK:
        pytest.fail("nothing was changed")
    assert mistakes_of(lambda: load_runbook(path)) == [mistake]


def test_two_runbooks_of_one_name(write: Write, tmp_path: Path) -> None:
    write("runbooks/a/r.md", "# R\n")
    write("runbooks/b/r.md", "# R\n")
    (mistake,) = mistakes_of(lambda: load_project(tmp_path))
    assert mistake.startswith("1:1: found a second runbook `r`, expected one of that name")


def test_a_project_with_mistakes_does_not_hide_those_of_its_runbooks(write: Write, tmp_path: Path) -> None:
    write("gameday.yaml", "porject: x\n")
    write("runbooks/r.md", "---\nreviewed: never\n---\n")
    assert len(mistakes_of(lambda: load_project(tmp_path))) == 2


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("", ("Watchdog", "DeadMansSwitch")),
        (", watchdog: Alive", ("Alive",)),
        (", watchdog: false", ()),
    ],
)
def test_the_alert_that_always_fires(write: Callable[..., Path], said: str, names: tuple[str, ...]) -> None:
    path = write("gameday.yaml", f"environments: {{e: {{alerts: {{url: 'http://x'{said}}}}}}}\n")
    alerts = load_environment(load_project(path.parent), "e").alerts
    assert alerts
    assert alerts.watchdogs == names


def test_the_alert_that_always_fires_has_a_name(write: Callable[..., Path]) -> None:
    path = write("gameday.yaml", "environments: {e: {alerts: {url: 'http://x', watchdog: true}}}\n")
    [mistake] = mistakes_of(lambda: load_project(path.parent))
    assert "found `true`, expected the name of an alert that always fires, or false" in mistake
