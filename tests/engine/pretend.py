"""A pretend system in a directory, and sessions on it, for tests of the engine."""

import json
from pathlib import Path

from gameday.engine.preparation import SessionInput
from gameday.engine.stop_switch import switch_of
from gameday.journal.events import AnyEvent
from gameday.journal.log import read_events
from gameday.spec.experiment import load_experiment
from gameday.spec.model import (
    AlertsConfig,
    Environment,
    EnvironmentKind,
    Experiment,
    People,
    Policy,
    Project,
    Service,
    SignalsConfig,
)

EXPERIMENT = """
title: The shop survives marks
service: shop
steady-state-hypothesis:
  title: It answers
  signals:
    errors: {ratio: "< 1%", for: 100ms}
method:
  - fault: testkit/mark
    target: {service: shop}
    blast-radius: [1, 50%]
    hold: 300ms
abort-when:
  errors: {ratio: "> 50%", for: 50ms}
timing: {interval: 50ms, baseline: 300ms, steady: 200ms, recovery: 3s, blind-after: 2s}
"""


class PretendSystem:
    """Four instances of `shop`, all well, and no errors."""

    def __init__(self, root: Path, *, create: bool = True) -> None:
        self.root = root
        self.directory = root / "system"
        self.names = [f"shop-{number}" for number in range(1, 5)]
        self.stop_switch_file: Path | None = None
        if create:
            self.directory.mkdir(parents=True)
            for name in self.names:
                (self.directory / name).write_text("well")
            (self.directory / "inventory.json").write_text("{}")
            self.signals(errors=0.0)

    def signals(self, **values: float | str) -> None:
        path = self.directory / "signals.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(values))
        temporary.replace(path)

    def alerts(self, *names: str) -> None:
        (self.directory / "alerts.json").write_text(json.dumps(names))

    def behave(self, **behaviour: float | str) -> None:
        (self.directory / "behaviour.json").write_text(json.dumps(behaviour))

    @property
    def broken(self) -> list[str]:
        return [name for name in self.names if (self.directory / name).read_text() != "well"]

    @property
    def calls(self) -> list[str]:
        path = self.directory / "calls.log"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def environment(self, policy: Policy = Policy()) -> Environment:
        return Environment(
            name="pretend",
            kind=EnvironmentKind.DECLARED,
            signals=SignalsConfig(
                source="testkit",
                url=str(self.directory),
                platform="custom",
                queries=(("errors.ratio", "errors"), ("latency.p99", "latency"), ("traffic.rate", "traffic")),
            ),
            alerts=AlertsConfig(source="testkit", url=str(self.directory)),
            inventory=self.directory / "inventory.json",
            policy=policy,
        )

    def experiment(self, text: str = EXPERIMENT, name: str = "experiment.yaml") -> Experiment:
        path = self.root / name
        path.write_text(text)
        return load_experiment(path)

    def project(self) -> Project:
        return Project(
            path=self.root / "gameday.yaml",
            name="pretend",
            environments=(),
            services=(Service("shop", owner="team-shop", depends_on=("stock",)), Service("stock")),
            history="",
            stop_switch_file=self.stop_switch_file,
        )

    def write_project(self, policy: str = "{}") -> None:
        """The same system as a user writes it down: for programs that read gameday.yaml."""
        url = f"http://pretend{self.directory}"
        queries = "errors: {ratio: errors}, latency: {p99: latency}, traffic: {rate: traffic}"
        (self.root / "gameday.yaml").write_text(
            "environments:\n"
            "  pretend:\n"
            f'    signals: {{source: testkit, url: "{url}", platform: custom, queries: {{{queries}}}}}\n'
            f'    alerts: {{source: testkit, url: "{url}"}}\n'
            "    processes: {inventory: system/inventory.json}\n"
            f"    policy: {policy}\n"
            "services: {shop: {owner: team-shop, depends-on: [stock]}, stock: {}}\n"
        )

    def stop(self, reason: str) -> None:
        switch_of(self.project()).engage(reason)

    def session(self, *texts: str, policy: Policy = Policy(), secrets: tuple[str, ...] = ()) -> SessionInput:
        experiments = tuple(
            self.experiment(text, f"experiment-{number}.yaml") for number, text in enumerate(texts or (EXPERIMENT,))
        )
        return SessionInput(
            kind="experiment",
            title=experiments[0].title,
            path=Path("experiment.yaml"),
            project=self.project(),
            environment=self.environment(policy),
            experiments=experiments,
            people=People(builders=("@b",), sres=("@s",)),
            secrets=secrets,
            by="test",
            seed=1,
        )


def events_of[E: AnyEvent](directory: Path, kind: type[E]) -> list[E]:
    """The events of one kind in a run's journal."""
    return [event for event in read_events(directory) if isinstance(event, kind)]
