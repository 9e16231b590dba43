"""The steps in which Grafana asks for a time range, and how it writes them. Pure.

As its web pages do: https://grafana.com/docs/grafana/latest/panels-visualizations/query-transform-data/ (query options)
and `calculateInterval` in packages/grafana-data/src/datetime/rangeutil.ts of grafana/grafana.
"""

import re

_INTERVAL = re.compile(r"(-?\d+(?:\.\d+)?)(ms|[Mwdhmsy])?")
_UNITS_MS = {
    "y": 31_536_000_000,
    "M": 2_592_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
# Below the first, the second is asked for.
_ROUND_MS = (
    (10, 1),
    (15, 10),
    (35, 20),
    (75, 50),
    (150, 100),
    (350, 200),
    (750, 500),
    (1500, 1000),
    (3500, 2000),
    (7500, 5000),
    (12_500, 10_000),
    (17_500, 15_000),
    (25_000, 20_000),
    (45_000, 30_000),
    (90_000, 60_000),
    (210_000, 120_000),
    (450_000, 300_000),
    (750_000, 600_000),
    (1_050_000, 900_000),
    (1_500_000, 1_200_000),
    (2_700_000, 1_800_000),
    (5_400_000, 3_600_000),
    (9_000_000, 7_200_000),
    (16_200_000, 10_800_000),
    (32_400_000, 21_600_000),
    (86_400_000, 43_200_000),
    (604_800_000, 86_400_000),
    (1_814_400_000, 604_800_000),
    (3_628_800_000, 2_592_000_000),
)


def interval_ms(text: str) -> int | None:
    """An interval as people write it in Grafana ("15s", "1m", ">10s", "30": seconds); None for anything else."""
    match = _INTERVAL.fullmatch(text.strip().removeprefix(">").strip())
    return round(float(match[1]) * _UNITS_MS[match[2] or "s"]) if match else None


def step_ms(range_ms: float, points: int, least_ms: int) -> int:
    """The time between two points, for about so many of them over the range, and at least `least_ms`."""
    wanted = range_ms / max(1, points)
    return max(least_ms, next((step for below, step in _ROUND_MS if wanted < below), 31_536_000_000))


def write_interval(interval_ms: float) -> str:
    """In the largest unit of which there is one at all ("90s" is "1m"), as Grafana does."""
    unit = next((unit for unit in ("y", "d", "h", "m", "s") if interval_ms >= _UNITS_MS[unit]), "ms")
    return f"{int(interval_ms // _UNITS_MS[unit])}{unit}"
