"""Alertmanager's configuration, as far as it says who is told of an alert: routes, receivers, intervals, inhibitions.

Format and meaning: https://prometheus.io/docs/alerting/latest/configuration/. The configuration may hold secrets:
nothing of it but names, matchers and durations is kept, and no message repeats any of it.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from gameday.coverage.matchers import Matcher, all_match, may_match, parse_matchers
from gameday.coverage.served_config import Fields, load_config, mapping, mappings, name_of, seconds, texts
from gameday.coverage.time_intervals import TimeInterval, parse_interval

_GROUP_WAIT_S = 30.0  # Alertmanager's default


class Route(msgspec.Struct, frozen=True):
    """A node of the tree, with what it inherits from the one above it: the receiver and the wait, nothing else."""

    receiver: str
    group_wait_s: float
    matchers: tuple[Matcher, ...] = ()
    muted_in: tuple[str, ...] = ()  # names of intervals
    active_in: tuple[str, ...] = ()
    goes_on: bool = False  # `continue`
    routes: tuple["Route", ...] = ()


class Inhibition(msgspec.Struct, frozen=True):
    """While an alert that matches `source` fires, nobody is told of those that match `target` and have the same
    values of `equal`."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()


class Routed(msgspec.Struct, frozen=True):
    """Where an alert goes. `asked`: labels that decided on the way and that are not known."""

    routes: tuple[Route, ...]
    asked: tuple[str, ...] = ()


class Routing(msgspec.Struct, frozen=True):
    """`receivers`: the integrations of each by its name ("webhook", "pagerduty"); with none it tells nobody.
    `intervals`: those by name that could be understood."""

    root: Route
    receivers: dict[str, tuple[str, ...]]
    intervals: dict[str, tuple[TimeInterval, ...]] = {}
    inhibitions: tuple[Inhibition, ...] = ()

    def route(self, labels: Mapping[str, str]) -> Routed:
        """Where an alert with these labels goes. What they lack counts as empty, as Alertmanager does it."""
        asked: dict[str, None] = {}
        routes = _descend(self.root, labels, asked)
        return Routed(tuple(routes), tuple(asked))

    def names(self) -> frozenset[str]:
        """The labels that decide on anything: on routes and on inhibitions."""
        rules = [
            *_matchers_below(self.root),
            *(one for rule in self.inhibitions for one in (*rule.source, *rule.target)),
        ]
        return frozenset([*(one.name for one in rules), *(name for rule in self.inhibitions for name in rule.equal)])

    def quiet_in(self, route: Route, moment: datetime) -> str | None:
        """The interval because of which this route tells nobody at that (aware) moment; None when it tells, or when
        that depends on an interval that is not known."""
        for name in route.muted_in:
            if self._contains(name, moment):
                return f"muted by the time interval `{name}`"
        if route.active_in and all(self._contains(name, moment) is False for name in route.active_in):
            return f"active only in {', '.join(f'`{name}`' for name in route.active_in)}"
        return None

    def _contains(self, name: str, moment: datetime) -> bool | None:
        intervals = self.intervals.get(name)
        return None if intervals is None else any(interval.contains(moment) for interval in intervals)

    def inhibits(self, source: Mapping[str, str], target: Mapping[str, str]) -> bool | None:
        """Whether an alert with all of these labels keeps one from being told of, whose labels may be unknown in part:
        None when it depends on those."""
        answers = [self._inhibits(rule, source, target) for rule in self.inhibitions]
        return True if True in answers else None if None in answers else False

    def _inhibits(self, rule: Inhibition, source: Mapping[str, str], target: Mapping[str, str]) -> bool | None:
        if not all_match(rule.source, source):
            return False
        # One that is source and target at once is not inhibited by its like.
        if all_match(rule.target, source) and may_match(rule.source, target):
            return False
        answers = [may_match(rule.target, target)]
        answers += [source.get(name, "") == target[name] if name in target else None for name in rule.equal]
        return False if False in answers else None if None in answers else True


def _matchers_below(route: Route) -> Iterator[Matcher]:
    yield from route.matchers
    for child in route.routes:
        yield from _matchers_below(child)


def _descend(route: Route, labels: Mapping[str, str], asked: dict[str, None]) -> list[Route]:
    found: list[Route] = []
    for child in route.routes:
        matches = all_match(child.matchers, labels)
        asked |= dict.fromkeys(matcher.name for matcher in child.matchers if matcher.name not in labels)
        if matches:
            found += _descend(child, labels, asked)
            if not child.goes_on:
                break
        elif matches is None:  # a regular expression that we cannot read
            asked |= dict.fromkeys(matcher.name for matcher in child.matchers)
    return found or [route]


def parse_routing(text: str) -> Routing:
    """What Alertmanager's API gives as its configuration. Raises ValueError, without a word of the text."""
    config = load_config(text)
    named = [*mappings(config, "time_intervals"), *mappings(config, "mute_time_intervals")]
    return Routing(
        root=_route(mapping(config.get("route")), None),
        receivers={name_of(item): _integrations(item) for item in mappings(config, "receivers")},
        intervals=dict(filter(None, map(_intervals, named))),
        inhibitions=tuple(_inhibition(item) for item in mappings(config, "inhibit_rules")),
    )


def _route(fields: Fields, above: Route | None) -> Route:
    receiver, wait = fields.get("receiver") or (above and above.receiver), fields.get("group_wait")
    if not receiver:
        raise ValueError("the first route has no receiver")
    route = Route(
        receiver=str(receiver),
        group_wait_s=seconds(str(wait)) if wait else above.group_wait_s if above else _GROUP_WAIT_S,
        matchers=_matchers(fields, "") if above else (),
        muted_in=texts(fields, "mute_time_intervals"),
        active_in=texts(fields, "active_time_intervals"),
        goes_on=str(fields.get("continue", "")).lower() == "true",
    )
    return msgspec.structs.replace(route, routes=tuple(_route(child, route) for child in mappings(fields, "routes")))


def _matchers(fields: Fields, prefix: str) -> tuple[Matcher, ...]:
    """`matchers`, and the older `match` and `match_re`."""
    equal, expressions = (mapping(fields.get(f"{prefix}{key}") or {}) for key in ("match", "match_re"))
    return (
        *(Matcher(name, "=", str(value)) for name, value in equal.items()),
        *(Matcher(name, "=~", str(value)) for name, value in expressions.items()),
        *(matcher for text in texts(fields, f"{prefix}matchers") for matcher in parse_matchers(text)),
    )


def _inhibition(fields: Fields) -> Inhibition:
    return Inhibition(_matchers(fields, "source_"), _matchers(fields, "target_"), texts(fields, "equal"))


def _intervals(item: Fields) -> tuple[str, tuple[TimeInterval, ...]] | None:
    """None for one that cannot be understood, or is in another machine's time: the rest can be said all the same."""
    try:
        return name_of(item), tuple(parse_interval(part) for part in mappings(item, "time_intervals"))
    except ValueError:
        return None


def _integrations(receiver: Fields) -> tuple[str, ...]:
    return tuple(key.removesuffix("_configs") for key, items in receiver.items() if key.endswith("_configs") and items)
