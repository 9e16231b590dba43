"""How variables of Grafana's dashboards are written and chosen."""

import pytest

from gameday.coverage.dashboards.grafana_model import Variable
from gameday.coverage.dashboards.grafana_text import Filled, default_format, fill, names_in
from gameday.coverage.dashboards.grafana_time import interval_ms, step_ms, write_interval
from gameday.coverage.dashboards.grafana_variables import (
    Range,
    choose,
    compile_regex,
    custom_options,
    select_options,
    simple,
)

ONE = Filled("job", "a.b")
FEW = Filled("job", ("a.b", "c/d", "it's"), is_many=True)


@pytest.mark.parametrize(
    ("text", "one", "few"),
    [
        ("$job", "a.b", "{a.b,c/d,it's}"),
        ("[[job]]", "a.b", "{a.b,c/d,it's}"),
        ("${job}", "a.b", "{a.b,c/d,it's}"),
        ("${job.name:csv}", "a.b", "a.b,c/d,it's"),
        ("[[job:csv]]", "a.b", "a.b,c/d,it's"),
        ("${job:regex}", r"a\.b", r"(a\.b|c\/d|it's)"),
        ("${job:pipe}", "a.b", "a.b|c/d|it's"),
        ("${job:csv}", "a.b", "a.b,c/d,it's"),
        ("${job:raw}", "a.b", "a.b,c/d,it's"),
        ("${job:glob}", "a.b", "{a.b,c/d,it's}"),
        ("${job:json}", "a.b", '["a.b","c/d","it\'s"]'),
        ("${job:singlequote}", "'a.b'", r"'a.b','c/d','it\'s'"),
        ("${job:doublequote}", '"a.b"', '"a.b","c/d","it\'s"'),
        ("${job:sqlstring}", "'a.b'", "'a.b','c/d','it''s'"),
        ("${job:lucene}", "a.b", r'("a.b" OR "c\/d" OR "it' + "'" + r's")'),
        ("${job:percentencode}", "a.b", "%7Ba.b%2Cc%2Fd%2Cit%27s%7D"),
        ("${job:queryparam}", "var-job=a.b", "var-job=a.b&var-job=c%2Fd&var-job=it%27s"),
        ("${job:distributed}", "a.b", "a.b,job=c/d,job=it's"),
        ("${job:join:; }", "a.b", "a.b; c/d; it's"),
        ("${job:text}", "a.b", "a.b + c/d + it's"),
        ("${job:unheard-of}", "a.b", "{a.b,c/d,it's}"),
        ("$jobs ${jobs} $ {job} $__rate_interval", *["$jobs ${jobs} $ {job} $__rate_interval"] * 2),
        ("$$job", "$a.b", "${a.b,c/d,it's}"),
    ],
)
def test_formats(text: str, one: str, few: str) -> None:
    assert fill(text, {"job": ONE}) == one
    assert fill(text, {"job": FEW}) == few


@pytest.mark.parametrize(
    ("kind", "one", "few"),
    [
        ("prometheus", "a.b", r"(a\\.b|c/d|it's)"),
        ("grafana-amazonprometheus-datasource", "a.b", r"(a\\.b|c/d|it's)"),
        ("loki", "a.b", r"(a\\.b|c/d|it's)"),
        ("elasticsearch", "a.b", '("a.b" OR "c\\/d" OR "it\'s")'),
        ("influxdb", r"a\.b", r"(a\.b|c\/d|it's)"),
        ("mysql", "a.b", "'a.b','c/d','it''s'"),
        ("graphite", "a.b", "{a.b,c/d,it's}"),
    ],
)
def test_each_data_source_has_its_own_way(kind: str, one: str, few: str) -> None:
    assert fill("$job", {"job": ONE}, default_format(kind)) == one
    assert fill("$job", {"job": FEW}, default_format(kind)) == few
    assert fill("${job:csv}", {"job": FEW}, default_format(kind)) == "a.b,c/d,it's"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$__from", "1700000123456"),
        ("${__from:date}", "2023-11-14T22:15:23.456Z"),
        ("${__from:date:iso}", "2023-11-14T22:15:23.456Z"),
        ("${__from:date:seconds}", "1700000123"),
        ("${__from:date:YYYY-MM-DD HH:mm}", "2023-11-14 22:15"),
    ],
)
def test_dates(text: str, expected: str) -> None:
    assert fill(text, {"__from": Filled("__from", "1700000123456")}) == expected


def test_what_stands_for_all_is_written_as_it_is() -> None:
    everything = {"job": Filled("job", ".+", is_raw=True, is_many=True)}
    assert fill("$job ${job:regex}", everything, default_format("prometheus")) == ".+ .+"


def test_names_are_found_wherever_they_are() -> None:
    assert names_in({"a": ["$job", {"b": "[[env:csv]] ${x.y}"}], "c": 1}) == {"job", "env", "x"}


OPTIONS = ("cart", "checkout", "payments")


def variable(**fields: object) -> Variable:
    return Variable(**({"name": "job", "kind": "query"} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "options", "given", "service", "expected"),
    [
        ({"chosen": ("cart",)}, OPTIONS, (), None, "cart"),
        ({"chosen": ("cart",)}, OPTIONS, (), "checkout", "checkout"),  # it is called job
        ({"chosen": ("cart",)}, OPTIONS, (), "search", "cart"),  # which is none of its values
        ({"chosen": ("cart",)}, None, (), "search", "search"),  # or may be one
        ({"chosen": ("cart",)}, OPTIONS, ("payments",), "checkout", "payments"),  # as its URL says
        ({"name": "node", "chosen": ("cart",)}, OPTIONS, (), "checkout", "cart"),
        ({"name": "Service", "chosen": ("cart",)}, OPTIONS, (), "checkout", "checkout"),
        ({"chosen": ("gone",)}, OPTIONS, (), None, "cart"),
        ({}, OPTIONS, (), None, "cart"),
        ({}, (), (), None, ""),
        ({}, None, (), None, ""),
        ({"is_multi": True, "chosen": ("cart", "gone", "payments")}, OPTIONS, (), None, ("cart", "payments")),
        ({"is_multi": True}, OPTIONS, (), "checkout", ("checkout",)),
        ({"is_multi": True, "includes_all": True}, OPTIONS, (), None, OPTIONS),
        ({"includes_all": True, "chosen": ("$__all",)}, OPTIONS, (), None, OPTIONS),
        ({"includes_all": True, "chosen": ("$__all",)}, OPTIONS, (), "checkout", "checkout"),
        ({"includes_all": True, "chosen": ("$__all",), "all_value": ".+"}, OPTIONS, (), None, ".+"),
        ({"includes_all": True, "chosen": ("$__all",)}, None, (), None, ".*"),
        ({"includes_all": True, "chosen": ("cart",)}, OPTIONS, ("All",), None, OPTIONS),
        ({"chosen": ("$__all",)}, OPTIONS, (), None, "cart"),  # All is no longer one of its values
    ],
)
def test_values_are_chosen_as_grafana_does(
    fields: dict[str, object],
    options: tuple[str, ...] | None,
    given: tuple[str, ...],
    service: str | None,
    expected: object,
) -> None:
    assert choose(variable(**fields), options, given, service).value == expected


@pytest.mark.parametrize(
    ("fields", "given", "service", "expected"),
    [
        ({"kind": "constant", "query": "eu", "chosen": ("us",)}, (), None, "eu"),
        ({"kind": "textbox", "query": "eu"}, (), None, "eu"),
        ({"kind": "textbox", "query": "eu", "chosen": ("us",)}, (), None, "us"),
        ({"kind": "textbox", "query": "cart"}, (), "checkout", "checkout"),
        ({"kind": "textbox", "query": "cart"}, ("search",), "checkout", "search"),
        ({"kind": "interval", "query": "1m,5m"}, (), "checkout", "1m"),
        ({"kind": "interval", "query": "1m,5m", "chosen": ("5m",)}, (), None, "5m"),
        ({"kind": "interval", "chosen": ("$__auto_interval_job",)}, (), None, "30s"),
        ({"kind": "interval", "chosen": ("$__auto",), "auto_count": 5}, (), None, "2m"),
        ({"kind": "interval", "chosen": ("$__auto",), "auto_min": "1h"}, (), None, "1h"),
        ({"kind": "switch", "chosen": ("true",)}, (), None, "true"),
    ],
)
def test_values_of_variables_without_options(
    fields: dict[str, object], given: tuple[str, ...], service: str | None, expected: str
) -> None:
    assert simple(variable(**fields), given, service, Range(0, 900_000)).value == expected


def test_custom_options() -> None:
    assert custom_options("a, b ,Third : c, d\\,e,, b") == ("a", "b", "c", "d,e")
    assert custom_options("") == ()


@pytest.mark.parametrize(
    ("regex", "sort", "expected"),
    [
        ("", 0, ("b10", "B2", "a1")),
        ("", 1, ("B2", "a1", "b10")),
        ("", 2, ("b10", "a1", "B2")),
        ("", 3, ("a1", "B2", "b10")),
        ("", 4, ("b10", "B2", "a1")),
        ("", 5, ("a1", "b10", "B2")),
        ("/^b/i", 0, ("b10", "B2")),
        ("/[a-z](\\d+)/", 0, ("10", "1")),
        ("/(?<text>[a-z])(?<value>\\d+)/", 0, ("10", "1")),
        ("b10", 0, ("b10",)),  # the whole of it
        ("$env.*", 0, ("b10",)),
        ("/(?<broken/", 0, ("b10", "B2", "a1")),
    ],
)
def test_options_of_a_query(regex: str, sort: int, expected: tuple[str, ...]) -> None:
    filled = {"env": Filled("env", "b")}
    found = ["b10", "B2", "a1", "b10"]
    assert select_options(variable(regex=regex, sort=sort), found, filled) == expected


def test_a_regular_expression_with_a_slash() -> None:
    regex = compile_regex(r"/\/var\/(.*)/")
    assert regex is not None
    assert regex.search("x/var/log")


@pytest.mark.parametrize(
    ("range_s", "points", "least_ms", "step", "text"),
    [
        (900, 500, 1, 2000, "2s"),
        (900, 500, 15_000, 15_000, "15s"),
        (3600, 1000, 1, 5000, "5s"),
        (86400, 100, 1, 900_000, "15m"),
        (1, 1000, 1, 1, "1ms"),
        (31_536_000, 1, 1, 31_536_000_000, "1y"),
        (900, 10, 1, 120_000, "2m"),
    ],
)
def test_steps(range_s: int, points: int, least_ms: int, step: int, text: str) -> None:
    assert step_ms(range_s * 1000, points, least_ms) == step
    assert write_interval(step) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("15s", 15_000), (">1m", 60_000), ("30", 30_000), ("500ms", 500), ("1.5h", 5_400_000), ("x", None)],
)
def test_intervals(text: str, expected: int | None) -> None:
    assert interval_ms(text) == expected
