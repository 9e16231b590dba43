"""Reads what Grafana answers to queries: data frames.

Format: https://grafana.com/developers/plugin-tools/introduction/data-frames and, as JSON,
https://github.com/grafana/grafana-plugin-sdk-go/blob/main/data/frame_json.go: columns of values; times in milliseconds;
what is no number (NaN, an infinity) is null. Pure.
"""

import math
from collections.abc import Iterator

import msgspec

from gameday.common.codec import decode
from gameday.common.json import Json
from gameday.coverage.dashboards.movement import Series, make_series

_NO_PANEL = ("annotations", "exemplar")  # what is drawn beside the data


class _Field(msgspec.Struct, frozen=True):
    name: str = ""
    type: str = ""  # "time", "number", "string", …


class _Custom(msgspec.Struct, frozen=True, rename="camel"):
    result_type: Json = ""


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    data_topic: str = ""
    custom: Json = None


class _Schema(msgspec.Struct, frozen=True):
    fields: tuple[_Field, ...] | None = ()
    meta: _Meta | None = None


class _Values(msgspec.Struct, frozen=True):
    values: tuple[msgspec.Raw, ...] | None = ()


class Frame(msgspec.Struct, frozen=True):
    """Columns of values, of one length."""

    schema: _Schema = _Schema()
    data: _Values = _Values()


class Result(msgspec.Struct, frozen=True):
    """What one query gave. `status` is an HTTP status, where its data source says one."""

    frames: tuple[Frame, ...] | None = ()
    error: str = ""
    status: int | None = None


class Results(msgspec.Struct, frozen=True):
    """By the refId of the query."""

    results: dict[str, Result]


class Shown(msgspec.Struct, frozen=True):
    """What a panel shows: how many series (or tables, or logs) with any value, and those that lie over time."""

    count: int
    series: tuple[Series, ...]


def read_frames(result: Result) -> Shown:
    """What a query's frames hold."""
    count = 0
    series: list[Series] = []
    for frame in result.frames or ():
        fields = [
            (field, column)
            for field, raw in zip(frame.schema.fields or (), frame.data.values or (), strict=False)
            if (column := _column(raw)) is not None
        ]
        if not _is_panel_data(frame.schema.meta):
            continue
        numbers = [column for field, column in fields if field.type == "number"]
        if numbers:
            count += sum(any(map(_is_number, column)) for column in numbers)
            series += _series(fields)
        elif any(value is not None for _, column in fields for value in column):
            count += 1
    return Shown(count, tuple(series))


def texts(frame: Frame) -> tuple[str, ...]:
    """The values of a variable: of the column that is called so, else of the first one of texts or numbers."""
    columns = [
        (field.name.lower(), [str(value) for value in column if value is not None])
        for field, raw in zip(frame.schema.fields or (), frame.data.values or (), strict=False)
        if field.type in ("string", "number") and (column := _column(raw)) is not None
    ]
    named = dict(reversed(columns))
    for name in ("__value", "value", "__text", "text"):
        if name in named:
            return tuple(named[name])
    return tuple(columns[0][1]) if columns else ()


def _is_panel_data(meta: _Meta | None) -> bool:
    if meta is None:
        return True
    kind = meta.custom.get("resultType") if isinstance(meta.custom, dict) else None
    return meta.data_topic not in _NO_PANEL and kind not in _NO_PANEL


def _series(fields: list[tuple[_Field, list[Json]]]) -> Iterator[Series]:
    times = next((column for field, column in fields if field.type == "time"), None)
    if times is None:
        return
    # In a long table, rows of several series lie among one another, told apart by texts.
    names = [column for field, column in fields if field.type == "string"]
    keys = list(zip(*names, strict=False)) if names else [()] * len(times)
    for field, column in fields:
        if field.type != "number":
            continue
        lines: dict[tuple[Json, ...], list[tuple[float, float | None]]] = {}
        for key, at, value in zip(keys, times, column, strict=False):
            if _is_number(at):
                lines.setdefault(key, []).append((at / 1000, value if _is_number(value) else None))
        yield from (one for points in lines.values() if (one := make_series(points)).times)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _column(raw: msgspec.Raw) -> list[Json] | None:
    try:
        return decode(raw, list)
    except msgspec.DecodeError:
        return None
