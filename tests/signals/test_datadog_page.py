"""The examples of docs/datadog.md are read as they stand there, and can be opened."""

import re
from pathlib import Path
from textwrap import indent

import pytest

from gameday.coverage import open_alerts
from gameday.coverage.dashboards import open_dashboards
from gameday.signals import open_source, plan_queries
from gameday.spec.model import SignalId, SignalKind
from gameday.spec.project import load_environment, load_project

PAGE = Path(__file__).parents[2] / "docs" / "datadog.md"


def test_the_examples_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staging, own = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "gameday.yaml").write_text(f"project: shop\n{staging}  own:\n{indent(own, '    ')}")
    monkeypatch.setenv("DD_API_KEY", "an-api-key")
    monkeypatch.setenv("DD_APP_KEY", "an-application-key")
    project = load_project(tmp_path)
    environment = load_environment(project, "staging")
    assert environment.signals
    assert open_source(environment.signals)
    assert open_alerts(environment)
    assert open_dashboards(environment)
    config = load_environment(project, "own").signals
    assert config
    signals = [SignalId("payments", SignalKind.LATENCY, "p99"), SignalId("payments", SignalKind.SATURATION, "cpu")]
    latency, cpu = plan_queries(config, signals)
    assert latency.expression == "p99:trace.servlet.request{service:payments,env:staging}.rollup(20)"
    assert cpu.expression.startswith("max:container.cpu.usage{service:payments}")
