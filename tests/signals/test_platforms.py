"""Platforms: every measure becomes one query, and what cannot be measured is said."""

from importlib.resources import files

import pytest

from gameday.signals import SignalError, plan_queries
from gameday.signals.platforms import load_platform, platform_names
from gameday.spec.model import SignalId, SignalKind, SignalsConfig, Unit

ENVOY = SignalsConfig("prometheus", "http://localhost", "envoy")
MEASURES = [
    (SignalKind.LATENCY, "p50"),
    (SignalKind.LATENCY, "p99.9"),
    (SignalKind.TRAFFIC, "rate"),
    (SignalKind.ERRORS, "ratio"),
    (SignalKind.SATURATION, "cpu"),
    (SignalKind.SATURATION, "memory"),
    (SignalKind.SATURATION, "connections"),
]


@pytest.mark.parametrize(("kind", "measure"), MEASURES)
def test_envoy_knows_every_golden_signal(kind: SignalKind, measure: str) -> None:
    [query] = plan_queries(ENVOY, [SignalId("payments", kind, measure)])
    assert '"payments"' in query.expression
    assert query.freshness
    assert '"payments"' in query.freshness
    assert "$" not in query.expression + query.freshness


def test_quantiles_are_exact() -> None:
    signals = [SignalId("s", SignalKind.LATENCY, f"p{percent}") for percent in ("5", "50", "99", "99.9", "99.99")]
    quantiles = [query.expression.split("(")[1].split(",")[0] for query in plan_queries(ENVOY, signals)]
    assert quantiles == ["0.05", "0.5", "0.99", "0.999", "0.9999"]


def test_latency_is_milliseconds_at_envoy_and_seconds_here() -> None:
    [query] = plan_queries(ENVOY, [SignalId("s", SignalKind.LATENCY, "p99")])
    assert (query.unit, query.scale) == (Unit.SECONDS, 0.001)


def test_each_signal_is_planned_once_in_order() -> None:
    one, two = (SignalId("s", SignalKind.LATENCY, measure) for measure in ("p99", "p50"))
    assert [query.signal for query in plan_queries(ENVOY, [one, two, one])] == [one, two]


@pytest.mark.parametrize(("seconds", "text"), [(None, "[5s]"), (30.0, "[30s]"), (1.5, "[1500ms]"), (90.0, "[90s]")])
def test_the_window_is_a_promql_duration(seconds: float | None, text: str) -> None:
    config = SignalsConfig("prometheus", "http://localhost", "envoy", window_s=seconds)
    assert text in plan_queries(config, [SignalId("s", SignalKind.TRAFFIC, "rate")])[0].expression


def test_a_service_name_cannot_leave_its_quotes() -> None:
    name = 'a"} or vector(0) #\\\n'
    [query] = plan_queries(ENVOY, [SignalId(name, SignalKind.TRAFFIC, "rate")])
    assert '="a\\"} or vector(0) #\\\\\\n"}' in query.expression


@pytest.mark.parametrize(
    ("kind", "measure"),
    [
        (SignalKind.LATENCY, "mean"),
        (SignalKind.LATENCY, "p"),
        (SignalKind.LATENCY, "p100"),
        (SignalKind.ERRORS, "rate"),
    ],
)
def test_what_envoy_cannot_measure_is_said(kind: SignalKind, measure: str) -> None:
    with pytest.raises(SignalError) as caught:
        plan_queries(ENVOY, [SignalId("pay", kind, measure)])
    assert f"`envoy` cannot measure pay.{kind}.{measure}" in str(caught.value)
    assert "latency.p*, traffic.rate, errors.ratio, saturation.cpu" in str(caught.value)


def test_an_unknown_platform_is_named_with_the_nearest() -> None:
    with pytest.raises(SignalError, match=r"no platform `envoi`; there are custom, .*envoy; did you mean `envoy`\?"):
        plan_queries(SignalsConfig("prometheus", "http://localhost", "envoi"), [])


def custom(*queries: tuple[str, str]) -> SignalsConfig:
    return SignalsConfig("prometheus", "http://localhost", "custom", queries=queries)


def test_ones_own_queries() -> None:
    config = custom(
        ("errors.ratio", 'bad{s="$service"}[$window]'),
        ("latency.p*", 'q($quantile, "$service")'),
        ("saturation.queue", 'queue{s=~"$service$"}'),
        ("freshness", 'age("$service")'),
    )
    errors, latency, queue = plan_queries(
        config,
        [
            SignalId("pay", SignalKind.ERRORS, "ratio"),
            SignalId("pay", SignalKind.LATENCY, "p95"),
            SignalId("pay", SignalKind.SATURATION, "queue"),
        ],
    )
    assert (errors.expression, errors.unit, errors.scale) == ('bad{s="pay"}[60s]', Unit.RATIO, 1.0)
    assert (latency.expression, latency.unit) == ('q(0.95, "pay")', Unit.SECONDS)
    assert queue.expression == 'queue{s=~"pay$"}'
    assert {errors.freshness, latency.freshness, queue.freshness} == {'age("pay")'}


def test_without_a_query_for_it_custom_says_where_to_add_one() -> None:
    with pytest.raises(SignalError, match=r"cannot measure pay\.traffic\.rate; its measures are none: add it under"):
        plan_queries(custom(), [SignalId("pay", SignalKind.TRAFFIC, "rate")])


def test_ones_own_query_goes_before_the_platforms() -> None:
    config = SignalsConfig("prometheus", "http://localhost", "envoy", queries=(("traffic.rate", "mine"),))
    assert plan_queries(config, [SignalId("s", SignalKind.TRAFFIC, "rate")])[0].expression == "mine"


def test_every_catalogue_that_is_shipped_is_valid() -> None:
    shipped = [entry.name for entry in files("gameday.signals.platforms").iterdir() if entry.name.endswith(".yaml")]
    assert "envoy.yaml" in shipped
    assert {load_platform(name).name for name in platform_names()} == set(platform_names())
