"""What to ask for: catalogues, as data, from (service, signal) to a query.

A platform is one YAML file beside this one; adding a platform is adding a file. Its keys are the fields of `_File`.
"""

import re
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import msgspec
import yaml

from gameday.common.texts import most_similar
from gameday.signals.base import Platform, Query, SignalError
from gameday.spec.model import SignalId, SignalKind, SignalsConfig, Unit

CUSTOM = "custom"
FRESHNESS = "freshness"  # the key under which a user's own queries may say how to ask for the age of their data

_HERE = Path(__file__).parent
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")
_PLACEHOLDER = re.compile(r"\$(service|window|quantile)\b")
_BASE_UNITS = {
    SignalKind.LATENCY: Unit.SECONDS,
    SignalKind.TRAFFIC: Unit.PER_SECOND,
    SignalKind.ERRORS: Unit.RATIO,
    SignalKind.SATURATION: Unit.RATIO,
}


class _Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`unit` is the base unit that the answer has after multiplication by `scale`."""

    unit: Unit
    expression: str
    scale: float = 1.0
    freshness: str | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`measures` maps patterns like `latency.p*` to what is asked for them; `window_s` is the default rate window."""

    window_s: float
    measures: dict[str, _Measure]


class Catalogue:
    """A platform read from data. A user's own queries go before it."""

    def __init__(self, name: str, window_s: float, measures: dict[str, _Measure]) -> None:
        self.name = name
        self._window_s = window_s
        self._measures = measures

    def query(self, signal: SignalId, config: SignalsConfig) -> Query:
        """Raises SignalError, naming the measures there are, when neither the user nor the platform has a query."""
        own = _own_measures(config)
        wanted = f"{signal.kind}.{signal.measure}"
        measure = _find(own, wanted) or _find(self._measures, wanted)
        values = _values(signal, config.source, config.window_s or self._window_s)
        if measure is None or ("$quantile" in measure.expression and values["quantile"] is None):
            raise SignalError(_unknown(self.name, signal, wanted, (*own, *self._measures)))

        def fill(text: str) -> str:
            return _PLACEHOLDER.sub(lambda match: values[match[1]] or match[0], text)

        freshness = fill(measure.freshness) if measure.freshness else None
        return Query(signal, fill(measure.expression).strip(), measure.unit, measure.scale, freshness)


def platform_names() -> tuple[str, ...]:
    """All platforms, sorted."""
    found = (entry.name for entry in _HERE.iterdir())
    return tuple(sorted([CUSTOM, *(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))]))


@cache
def load_platform(name: str) -> Platform:
    """The platform of that name. Raises SignalError when there is none or its catalogue is not valid."""
    if name == CUSTOM:
        return Catalogue(CUSTOM, 60.0, {})
    if name not in platform_names():
        near = most_similar(name, platform_names())
        hint = f"; did you mean `{near}`?" if near else ""
        raise SignalError(f"there is no platform `{name}`; there are {', '.join(platform_names())}{hint}")
    try:
        text = (_HERE / f"{name}.yaml").read_text(encoding="utf-8")
        content = msgspec.convert(yaml.safe_load(text), _File)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise SignalError(f"the catalogue of the platform `{name}` ({name}.yaml) is not valid: {error}") from error
    return Catalogue(name, content.window_s, content.measures)


def _values(signal: SignalId, source: str, window_s: float) -> dict[str, str | None]:
    """What the placeholders stand for, in the language that the source is asked in: Datadog's, else PromQL."""
    if source == "datadog":
        from gameday.common.datadog import tag_value

        # `p99:metric{service:x}.rollup(20)`: a percentile is an aggregator, a window whole seconds.
        quantile = signal.measure if _QUANTILE.fullmatch(signal.measure) else None
        return {"service": tag_value(signal.service), "window": f"{max(1, round(window_s))}", "quantile": quantile}
    return {"service": _escape(signal.service), "window": _duration(window_s), "quantile": _quantile(signal)}


def _find(measures: dict[str, _Measure], wanted: str) -> _Measure | None:
    return measures.get(wanted) or next(
        (measure for pattern, measure in measures.items() if fnmatchcase(wanted, pattern)), None
    )


def _own_measures(config: SignalsConfig) -> dict[str, _Measure]:
    """The user's own queries; they answer in the base unit of their kind."""
    freshness = next((query for key, query in config.queries if key == FRESHNESS), None)
    measures = {}
    for key, query in config.queries:
        kind = key.partition(".")[0]
        if kind in SignalKind:
            measures[key] = _Measure(_BASE_UNITS[SignalKind(kind)], query, freshness=freshness)
    return measures


def _unknown(platform: str, signal: SignalId, wanted: str, patterns: tuple[str, ...]) -> str:
    known = ", ".join(patterns) or "none: add it under `queries`"
    near = most_similar(wanted, patterns)
    hint = f"; did you mean `{near}`?" if near else ""
    return f"the platform `{platform}` cannot measure {signal}; its measures are {known}{hint}"


def _quantile(signal: SignalId) -> str | None:
    match = _QUANTILE.fullmatch(signal.measure)
    # Decimal: 99.9 / 100 in binary floating point is 0.9990000000000001.
    return f"{(Decimal(match[1]) / 100).normalize():f}" if match else None


def _escape(text: str) -> str:
    """For use inside a quoted PromQL string, whose escapes are those of Go."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'").replace("\n", "\\n")


def _duration(seconds: float) -> str:
    """A PromQL duration: a whole number with a unit."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{max(1, round(seconds * 1000))}ms"
