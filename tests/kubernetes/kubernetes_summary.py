"""Says at the end of a run on what the tests of Kubernetes ran."""

from collections import Counter

import pytest

PROPERTY = "kubernetes"
_NAME = "gameday-kubernetes-summary"


def register(config: pytest.Config) -> None:
    """Once, whichever conftest.py comes first: under xdist only those above the tests are read where reports arrive."""
    if not config.pluginmanager.has_plugin(_NAME):
        config.pluginmanager.register(_Summary(), _NAME)


class _Summary:
    def __init__(self) -> None:
        self._ran: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self._ran.update(str(value) for key, value in report.user_properties if key == PROPERTY)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for kind, count in self._ran.items():
            terminalreporter.write_line(f"kubernetes: {count} tests on a {kind}")
