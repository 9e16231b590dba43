"""Conditions on golden signals, as they stand in hypotheses and abort conditions."""

import re
from collections.abc import Callable

from gameday.spec.model import Comparator, Condition, SignalId, SignalKind, Unit
from gameday.spec.nodes import Node, Scalar
from gameday.spec.reader import Fields, describe
from gameday.spec.units import UnitError, excerpt, parse_comparison, parse_positive_duration

HYPOTHESIS_FOR_S = 3.0
ABORT_FOR_S = 5.0

CHANGE = "change"  # written under traffic: its rate, relative to the baseline
_QUANTILE = re.compile(r"p[0-9]{1,2}(\.[0-9]{1,3})?")
_QUANTILES = ("p50", "p90", "p95", "p99", "p99.9")
_OWN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_UNITS = {
    SignalKind.LATENCY: Unit.SECONDS,
    SignalKind.TRAFFIC: Unit.PER_SECOND,
    SignalKind.ERRORS: Unit.RATIO,
    SignalKind.SATURATION: Unit.RATIO,
}
MEASURES = {
    SignalKind.LATENCY: _QUANTILES,
    SignalKind.TRAFFIC: ("rate", CHANGE),
    SignalKind.ERRORS: ("ratio",),
    SignalKind.SATURATION: ("cpu", "memory", "connections"),
}


def is_measure(kind: SignalKind, name: str) -> bool:
    """Whether a signal of that kind can be measured so: any quantile of latency, any name for saturation."""
    if kind is SignalKind.LATENCY and _QUANTILE.fullmatch(name):
        return float(name[1:]) > 0
    if kind is SignalKind.SATURATION:
        return bool(_OWN_NAME.fullmatch(name))
    return name in MEASURES[kind]


def read_conditions(fields: Fields, service: str | None, default_for_s: float) -> tuple[Condition, ...]:
    """Every condition in a mapping from signals to measures. Mistakes are noted; `default_for_s` in seconds."""
    conditions: list[Condition] = []
    for kind in SignalKind:
        signal = fields.mapping(kind, f"conditions on {kind}, such as {_example(kind)}")
        if signal:
            conditions += _read_signal(signal, kind, service or "", default_for_s)
    fields.close()
    return tuple(conditions)


def _example(kind: SignalKind) -> str:
    return {
        SignalKind.LATENCY: '{p99: "< 300ms"}',
        SignalKind.TRAFFIC: '{change: "< 30%"}',
        SignalKind.ERRORS: '{ratio: "< 1%"}',
        SignalKind.SATURATION: '{cpu: "< 85%"}',
    }[kind]


def _read_signal(fields: Fields, kind: SignalKind, service: str, default_for_s: float) -> list[Condition]:
    for_s = fields.scalar("for", parse_positive_duration, "a duration such as 5s")
    measures = [name for name in fields.node.entries if is_measure(kind, name)]
    if not measures and set(fields.node.entries) <= {"for"}:
        fields.file.mistake(fields.node, f"{kind} without a measure", f"a measure, such as {_example(kind)}")
    conditions = []
    for measure in measures:
        node = fields.get(measure)
        assert node is not None
        unit = Unit.RATIO if measure == CHANGE else _UNITS[kind]
        parsed = fields.parse(node, _comparison(unit, kind, measure), f"a comparison such as {_example(kind)}")
        if parsed is None:
            continue
        comparator, threshold = parsed
        conditions.append(
            Condition(
                signal=SignalId(service, kind, "rate" if measure == CHANGE else measure),
                comparator=comparator,
                threshold=threshold,
                unit=unit,
                for_s=for_s if for_s is not None else default_for_s,
                text=_text_of(node),
                location=fields.file.location(node),
                relative=measure == CHANGE,
            )
        )
    fields.close(also=MEASURES[kind])
    return conditions


def _text_of(node: Node) -> str:
    assert isinstance(node, Scalar), describe(node)
    return " ".join(node.text.split())


def _comparison(unit: Unit, kind: SignalKind, measure: str) -> Callable[[str], tuple[Comparator, float]]:
    def parse(text: str) -> tuple[Comparator, float]:
        comparator, threshold = parse_comparison(text, unit)
        if threshold == 0 and comparator in (Comparator.LESS, Comparator.GREATER_OR_EQUAL):
            says = "always" if comparator is Comparator.GREATER_OR_EQUAL else "never"
            raise UnitError(excerpt(text), f"a comparison that says something: it is {says} true")
        if kind is SignalKind.ERRORS and threshold > 1:
            raise UnitError(excerpt(text), f"an errors {measure} of at most 100%")
        return comparator, threshold

    return parse
