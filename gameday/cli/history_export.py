"""Sessions as rows for other programs, one for each experiment: JSON lines, or a Parquet file. docs/history.md has the
columns."""

import contextlib
from collections.abc import Iterable, Iterator
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gameday.report.format import iso
from gameday.report.past_run import ExperimentPast, SessionPast
from gameday.report.trends import detected, noticed, recovered, verdict_of

if TYPE_CHECKING:
    import pyarrow

_ROWS = 10_000  # of a group


class ExportError(Exception):
    """It cannot be written; the message says why."""


class ExportRow(msgspec.Struct, frozen=True):
    """One experiment of a session. Durations are seconds: None when nothing was measured, infinite when what was waited
    for never came (in JSON: null)."""

    run: str
    at: str
    started: float
    session: str
    environment: str
    session_verdict: str
    experiment: str
    title: str
    service: str | None
    verdict: str
    faults: tuple[str, ...]
    injected_at: float | None
    detected_s: float | None
    noticed_s: float | None
    recovered_s: float | None
    alerts: tuple[str, ...]
    alerts_in_time: int
    weaknesses: tuple[str, ...]
    other_findings: int


def rows_of(sessions: Iterable[SessionPast]) -> Iterator[ExportRow]:
    """One for each experiment; a session without any has none."""
    return (_row(session, item) for session in sessions for item in session.experiments)


def _row(session: SessionPast, item: ExperimentPast) -> ExportRow:
    return ExportRow(
        run=session.run,
        at=iso(session.started),
        started=session.started,
        session=session.title,
        environment=session.environment,
        session_verdict=verdict_of(session),
        experiment=item.path,
        title=item.title,
        service=item.service,
        verdict=session.status_of(item).value,
        faults=item.faults,
        injected_at=item.injected_at,
        detected_s=detected(item),
        noticed_s=noticed(item),
        recovered_s=recovered(item),
        alerts=tuple(alert.name for alert in item.alerts),
        alerts_in_time=sum(alert.result.value == "in-time" for alert in item.alerts),
        weaknesses=tuple(one.title for one in item.weaknesses),
        other_findings=item.others,
    )


def write_jsonl(sessions: Iterable[SessionPast], path: Path) -> int:
    """How many rows; the file is whole or not there. Raises OSError."""
    count = 0
    with _whole(path) as part, part.open("wb") as file:
        for row in rows_of(sessions):
            file.write(msgspec.json.encode(row) + b"\n")
            count += 1
    return count


def write_parquet(sessions: Iterable[SessionPast], path: Path) -> int:
    """How many rows; the file is whole or not there. Raises OSError and ExportError."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ExportError("Parquet needs pyarrow, which is missing: pip install pyarrow") from None
    schema, count = _schema(), 0
    with _whole(path) as part, parquet.ParquetWriter(part, schema) as writer:
        for some in batched(rows_of(sessions), _ROWS):
            rows = [msgspec.structs.asdict(row) for row in some]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return count


def _schema() -> "pyarrow.Schema":
    import pyarrow

    kinds = {
        str: pyarrow.string(), str | None: pyarrow.string(), float: pyarrow.float64(), float | None: pyarrow.float64(),
        int: pyarrow.int64(), tuple[str, ...]: pyarrow.list_(pyarrow.string()),
    }  # fmt: skip
    return pyarrow.schema([(field.name, kinds[field.type]) for field in msgspec.structs.fields(ExportRow)])


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    if path.exists() and not path.is_file():  # a pipe, or /dev/stdout: nothing may take its place
        yield path
        return
    path = path.resolve()  # a link stays one
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
