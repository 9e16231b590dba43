"""Alertmanager's routing tree, matchers and intervals; the tree beside the real `amtool`."""

import json
import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gameday.coverage.matchers import Matcher, all_match, may_match, parse_matchers
from gameday.coverage.routing import parse_routing
from gameday.coverage.time_intervals import TimeInterval, parse_interval

TREE = """
global: {resolve_timeout: 5m}
route:
  receiver: root
  group_wait: 1m30s
  mute_time_intervals: []
  routes:
  - receiver: team
    match: {team: shop}
    match_re: {env: 'prod|stage'}
    mute_time_intervals: ["off", unknown]
    continue: true
    routes:
    - matchers: ['severity=~"page|critical"', 'x!="1"']
      receiver: pager
      group_wait: 0s
    - matchers: ['severity="info"']
  - receiver: archive
    active_time_intervals: [work]
receivers: [{name: root}, {name: team, slack_configs: [{}]}, {name: pager, pagerduty_configs: [{}]}, {name: archive}]
mute_time_intervals: [{name: "off", time_intervals: [{weekdays: ['saturday', sunday]}]}]
time_intervals:
- {name: work, time_intervals: [{times: [{start_time: "09:00", end_time: "17:00"}], weekdays: ['monday:friday']}]}
- {name: local, time_intervals: [{location: Local}]}
"""


def test_routes_receivers_and_what_is_inherited() -> None:
    routing = parse_routing(TREE)
    found = routing.route({"team": "shop", "env": "stage", "severity": "page"})
    assert [(route.receiver, route.group_wait_s) for route in found.routes] == [("pager", 0.0), ("archive", 90.0)]
    assert found.asked == ("x",)
    below = routing.route({"team": "shop", "env": "prod", "severity": "info", "x": "1"})
    assert [route.receiver for route in below.routes] == ["team", "archive"]
    assert below.routes[0].muted_in == (), "a route below does not inherit it"
    assert [route.receiver for route in routing.route({"team": "x"}).routes] == ["archive"]
    assert routing.receivers["pager"] == ("pagerduty",)
    assert "local" not in routing.intervals


def test_when_a_route_is_quiet() -> None:
    routing = parse_routing(TREE)
    team, archive = routing.root.routes
    friday, saturday = datetime(2027, 1, 15, 10, tzinfo=UTC), datetime(2027, 1, 16, 10, tzinfo=UTC)
    assert routing.quiet_in(team, friday) is None
    assert routing.quiet_in(team, saturday) == "muted by the time interval `off`"
    assert routing.quiet_in(archive, friday) is None
    assert routing.quiet_in(archive, saturday) == "active only in `work`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a="b"', (Matcher("a", "=", "b"),)),
        ("a = b", (Matcher("a", "=", "b"),)),
        ('{a=~"x,y", b!="z",}', (Matcher("a", "=~", "x,y"), Matcher("b", "!=", "z"))),
        (r'a!~"q\"\\n\n"', (Matcher("a", "!~", 'q"\\n\n'),)),
        ('"a.b"="c"', (Matcher("a.b", "=", "c"),)),
        ('a=""', (Matcher("a", "=", ""),)),
    ],
)
def test_matchers_are_read(text: str, expected: tuple[Matcher, ...]) -> None:
    assert parse_matchers(text) == expected
    assert parse_matchers(",".join(map(str, expected))) == expected


def test_matchers_that_are_none() -> None:
    with pytest.raises(ValueError, match="none"):
        parse_matchers("a b")


def test_a_regular_expression_is_anchored_and_what_only_re2_knows_is_unknown() -> None:
    assert Matcher("a", "=~", "b|bc").matches({"a": "bc"})
    assert not Matcher("a", "=~", "b").matches({"a": "bc"})
    assert Matcher("a", "!~", "b").matches({"a": "bc"})
    assert Matcher("a", "=~", r"\pL").matches({"a": "b"}) is None
    assert Matcher("a", "=~", "[[:alpha:]]").matches({"a": "b"}) is None
    assert Matcher("a", "=~", "").matches({})


def test_labels_that_are_not_known() -> None:
    matchers = parse_matchers('a="1",b="2"')
    assert (all_match(matchers, {"a": "1"}), may_match(matchers, {"a": "1"})) == (False, None)
    assert may_match(matchers, {"a": "2"}) is False
    assert may_match(matchers, {"a": "1", "b": "2"}) is True


@pytest.mark.parametrize(
    ("fields", "inside", "outside"),
    [
        ({"times": [{"start_time": "17:00", "end_time": "24:00"}]}, "2027-01-15 23:59", "2027-01-15 16:59"),
        ({"weekdays": ["monday:friday", "sunday"]}, "2027-01-17 10:00", "2027-01-16 10:00"),
        ({"days_of_month": ["-3:-1"]}, "2027-02-26 00:00", "2027-02-25 23:59"),
        ({"days_of_month": ["31"]}, "2027-01-31 00:00", "2027-02-28 00:00"),
        ({"months": ["may:august", "1"]}, "2027-01-31 00:00", "2027-04-28 00:00"),
        ({"years": ["2026:2027"]}, "2027-01-31 00:00", "2028-04-28 00:00"),
        ({"times": [{"start_time": "09:00", "end_time": "10:00"}], "location": "Europe/Berlin"}, "2027-01-15 08:30",
         "2027-01-15 09:30"),
        ({}, "2027-01-15 08:30", None),
    ],
)  # fmt: skip
def test_time_intervals(fields: dict[str, object], inside: str, outside: str | None) -> None:
    interval = parse_interval(fields)
    assert interval.contains(datetime.fromisoformat(f"{inside}+00:00"))
    assert outside is None or not interval.contains(datetime.fromisoformat(f"{outside}+00:00"))


def test_an_interval_that_is_none() -> None:
    for fields in ({"weekdays": ["noday"]}, {"times": "1"}, {"location": "Local"}, {"times": [{"start_time": "x"}]}):
        with pytest.raises(ValueError, match=r"."):
            parse_interval(fields)
    assert TimeInterval().location == "UTC"


LABELS = ("team", "env", "severity")
VALUES = ("", "a", "b", "ab", "c d", 'q"')


def random_route(seed: random.Random, number: list[int], depth: int = 0) -> dict[str, object]:
    """A route with its own receiver, in each of the ways to write a matcher."""
    number[0] += 1
    route: dict[str, object] = {"receiver": f"r{number[0]}"}
    if depth:
        route["continue"] = seed.random() < 0.3
        name, value = seed.choice(LABELS), seed.choice(VALUES)
        quoted = json.dumps(value, ensure_ascii=False)
        expression = seed.choice(["a|b", "a.*", ".+", "", "(?i)A", "[ab]+", "a|"])
        route |= seed.choice(
            [
                {"match": {name: value}},
                {"match_re": {name: expression}},
                {"matchers": [f"{name}{seed.choice(['=', '!='])}{quoted}"]},
                {"matchers": [f'{name}{seed.choice(["=~", "!~"])}"{expression}"', f'{seed.choice(LABELS)}!="b"']},
                {"matchers": [f'{{{name}=~"{expression}",{seed.choice(LABELS)}="a"}}']},
            ]
        )
    if depth < 3:
        children = seed.randint(0 if depth else 2, 3)
        route["routes"] = [random_route(seed, number, depth + 1) for _ in range(children)]
    return route


@pytest.mark.lab
def test_it_routes_as_amtool_does(tmp_path: Path) -> None:
    tools = Path(__file__).parents[2] / ".tools" / "usr" / "bin"
    amtool = shutil.which("amtool", path=str(tools)) or shutil.which("amtool")
    if amtool is None:
        pytest.skip("amtool is not installed")
    cases = []
    for number in range(20):
        seed, count = random.Random(number), [0]
        config = {"route": random_route(seed, count)}
        config |= {"receivers": [{"name": f"r{receiver}"} for receiver in range(1, count[0] + 1)]}
        path = tmp_path / f"{number}.yml"
        path.write_text(json.dumps(config))
        for _ in range(5):
            labels = {name: value for name in LABELS if (value := seed.choice(VALUES))}
            cases.append((path, labels))

    def ask(case: tuple[Path, dict[str, str]]) -> str:
        path, labels = case
        words = [f"{name}={json.dumps(value)}" for name, value in labels.items()]
        command = [amtool, "config", "routes", "test", f"--config.file={path}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, cases))
    for (path, labels), answer in zip(cases, answers, strict=True):
        routing = parse_routing(path.read_text())
        ours = ",".join(route.receiver for route in routing.route(labels).routes)
        assert ours == answer, f"{labels} in {path.read_text()}"
    assert len(set(answers)) > 10
