import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.spec.model import BlastRadius, Comparator, Unit
from gameday.spec.units import (
    UnitError,
    format_bytes,
    format_duration,
    format_value,
    parse_blast_radius,
    parse_bytes,
    parse_comparison,
    parse_duration,
    parse_number,
    parse_percentage,
    parse_rate,
    parse_ratio,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300ms", 0.3),
        ("1.5s", 1.5),
        ("2m", 120),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 90 s ", 90),
        ("1d", 86400),
        ("1w2d", 777600),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("0s", 0),
        ("366d", 31622400),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "300",
        "ms",
        "-1s",
        "+1s",
        "1e3s",
        "1,5s",
        "30m1h",
        "1s1s",
        "1m:30s",
        "1:30",
        "1 minute",
        "1S",
        "٣s",
        ".5s",
        "nan",
        "inf",
        "infs",
        "1.s",
        "9" * 400 + "s",
        "367d",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UnitError, match="expected a duration"):
        parse_duration(text)


@given(st.integers(0, 366 * 86400 * 1000))
def test_a_formatted_duration_reads_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-9)


@given(st.integers(0, 1_000_000))
def test_a_formatted_duration_below_a_second_keeps_its_microseconds(microseconds: int) -> None:
    assert parse_duration(format_duration(microseconds / 1e6)) == pytest.approx(microseconds / 1e6, abs=1e-12)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0000001, "0s"),
        (0.00025, "250us"),
        (0.0835, "83.5ms"),
        (0.3, "300ms"),
        (1, "1s"),
        (59.9996, "1m"),
        (83.217, "1m23.217s"),
        (120, "2m"),
        (5400, "1h30m"),
        (86400, "24h"),
        (-1.5, "-1.5s"),
        (math.inf, "inf"),
    ],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_percentage, "25%", 0.25),
        (parse_percentage, "0.1 %", 0.001),
        (parse_ratio, "85%", 0.85),
        (parse_ratio, "0.85", 0.85),
        (parse_bytes, "512MiB", 512 * 1024**2),
        (parse_bytes, "1GB", 1e9),
        (parse_bytes, "7B", 7),
        (parse_rate, "20/s", 20),
        (parse_rate, "20rps", 20),
        (parse_rate, "1200/m", 20),
        (parse_number, "42", 42),
    ],
)
def test_other_units(parse: object, text: str, value: float) -> None:
    assert callable(parse)
    assert parse(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_percentage, "0.25"),
        (parse_percentage, "%"),
        (parse_ratio, "85s"),
        (parse_bytes, "512"),
        (parse_bytes, "512mb"),
        (parse_rate, "20"),
        (parse_rate, "20%"),
        (parse_number, "42%"),
    ],
)
def test_wrong_other_units(parse: object, text: str) -> None:
    assert callable(parse)
    with pytest.raises(UnitError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "unit", "comparator", "threshold"),
    [
        ("< 300ms", Unit.SECONDS, Comparator.LESS, 0.3),
        ("<300ms", Unit.SECONDS, Comparator.LESS, 0.3),
        ("<= 1m", Unit.SECONDS, Comparator.LESS_OR_EQUAL, 60),
        (">= 10%", Unit.RATIO, Comparator.GREATER_OR_EQUAL, 0.1),
        ("< 0.85", Unit.RATIO, Comparator.LESS, 0.85),
        ("> 20/s", Unit.PER_SECOND, Comparator.GREATER, 20),
        ("< 512MiB", Unit.BYTES, Comparator.LESS, 512 * 1024**2),
        ("< 100", Unit.NUMBER, Comparator.LESS, 100),
    ],
)
def test_comparisons(text: str, unit: Unit, comparator: Comparator, threshold: float) -> None:
    assert parse_comparison(text, unit) == (comparator, threshold)


@pytest.mark.parametrize("text", ["300ms", "< 300", "< 300%", "= 3ms", "== 3ms", "<< 3ms", "<", "> -3ms", "300ms >"])
def test_what_is_no_comparison_of_a_duration(text: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_comparison(text, Unit.SECONDS)
    assert str(caught.value) == f'found `{text}`, expected a comparison with a duration, such as "< 300ms"'


def test_blast_radius() -> None:
    assert parse_blast_radius("3") == BlastRadius(count=3)
    assert parse_blast_radius("29%") == BlastRadius(share=0.29)
    assert parse_blast_radius("29%").of(100) == 29
    assert parse_blast_radius("100%") == BlastRadius(share=1.0)


@pytest.mark.parametrize("text", ["0", "0%", "101%", "1.5", "0.25", "-1", "all", "1 replica", "50 percent"])
def test_what_is_no_blast_radius(text: str) -> None:
    with pytest.raises(UnitError):
        parse_blast_radius(text)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.083472, Unit.SECONDS, "83.5ms"),
        (0.083472, "s", "83.5ms"),
        (83.472, Unit.SECONDS, "1m23s"),
        (0.00432, Unit.RATIO, "0.432%"),
        (1.5, Unit.RATIO, "150%"),
        (12.345, Unit.PER_SECOND, "12.3/s"),
        (12345, Unit.PER_SECOND, "12345/s"),
        (512 * 1024**2, Unit.BYTES, "512MiB"),
        (3, Unit.NUMBER, "3"),
        (math.nan, Unit.RATIO, "nan"),
    ],
)
def test_format_value(value: float, unit: Unit | str, text: str) -> None:
    assert format_value(value, unit) == text


def test_bytes_read_back() -> None:
    for size in (0, 1, 1023, 1024, 1536, 5 * 1024**3):
        assert parse_bytes(format_bytes(size)) == pytest.approx(size, rel=0.01)


@given(st.text(max_size=20), st.sampled_from(list(Unit)))
def test_no_text_raises_anything_else(text: str, unit: Unit) -> None:
    for parse in (parse_duration, parse_blast_radius, lambda text: parse_comparison(text, unit)):
        with contextlib.suppress(UnitError):
            parse(text)
