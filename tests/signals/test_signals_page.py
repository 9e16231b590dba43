"""The examples of docs/signals.md are read as they stand there, and can be asked."""

import re
from pathlib import Path
from textwrap import indent

from gameday.signals import plan_queries
from gameday.spec.model import SignalId, SignalKind
from gameday.spec.project import load_project

PAGE = Path(__file__).parents[2] / "docs" / "signals.md"


def test_the_examples_are_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    staging = next(block for block in blocks if block.startswith("environments:"))
    own = next(block for block in blocks if "queries:" in block)
    alerts = next(block for block in blocks if block.startswith("alerts:"))
    text = f"project: shop\n{staging}  own:\n{indent(own + alerts, '    ')}"
    (tmp_path / "gameday.yaml").write_text(text)
    project = load_project(tmp_path)
    environments = {environment.name: environment for environment in project.environments}
    assert environments["own"].alerts
    config = environments["own"].signals
    assert config
    [query] = plan_queries(config, [SignalId("payments", SignalKind.LATENCY, "p99")])
    assert query.expression.startswith("histogram_quantile(0.99, ")
    assert 'job="payments"}[60s]' in query.expression
    assert query.freshness == 'time() - max(timestamp(http_requests_total{job="payments"}))'
