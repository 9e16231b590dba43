"""Keeps any number of readings of a signal in bounded memory: the lowest and highest of each bucket, and the gaps."""

import msgspec

from gameday.journal.events import Reading, ReadingState
from gameday.report.views import Bucket, Extent, Window

MAX_BUCKETS = 300  # two points each; more than a screen has room for
_OK = ReadingState.OK


class _Bucket(msgspec.Struct):
    start: float
    end: float = 0.0
    readable: int = 0
    low: float = 0.0
    low_at: float = 0.0
    high: float = 0.0
    high_at: float = 0.0
    unread: int = 0
    unread_from: float = 0.0
    unread_to: float = 0.0
    readable_to: float = 0.0
    why: str = ""

    def absorb(self, later: "_Bucket") -> None:
        """Take the next bucket in."""
        if later.readable:
            if not self.readable or later.low < self.low:
                self.low, self.low_at = later.low, later.low_at
            if not self.readable or later.high > self.high:
                self.high, self.high_at = later.high, later.high_at
            self.readable_to = later.readable_to
        if later.unread:
            if not self.unread:
                self.unread_from = later.unread_from
            self.unread_to, self.why = later.unread_to, later.why
        self.readable += later.readable
        self.unread += later.unread
        self.end = later.end


class _Window(msgspec.Struct):
    readable: int = 0
    unread: int = 0
    low: float = 0.0
    high: float = 0.0


class SeriesRecorder(msgspec.Struct):
    """One signal. Buckets begin with one reading each and double their width when there are too many."""

    origin: float
    width_s: float
    buckets: list[_Bucket] = []
    _last: _Bucket | None = None
    _last_until: float = 0.0
    _windows: dict[Window, _Window] = {}
    _window: _Window = msgspec.field(default_factory=_Window)

    def enter(self, window: Window) -> None:
        """The readings that follow belong to this window."""
        self._window = self._windows.setdefault(window, _Window())

    def add(self, at: float, reading: Reading) -> None:
        """Take one reading in; `at` never decreases."""
        bucket = self._last
        if bucket is None or at >= self._last_until:
            bucket = self._open(at)
        bucket.end = at
        window = self._window
        value = reading.value
        if reading.state is _OK and value is not None:
            if bucket.readable == 0:
                bucket.low = bucket.high = value
                bucket.low_at = bucket.high_at = at
            elif value < bucket.low:
                bucket.low, bucket.low_at = value, at
            elif value > bucket.high:
                bucket.high, bucket.high_at = value, at
            bucket.readable += 1
            bucket.readable_to = at
            if window.readable == 0:
                window.low = window.high = value
            elif value < window.low:
                window.low = value
            elif value > window.high:
                window.high = value
            window.readable += 1
            return
        if bucket.unread == 0:
            bucket.unread_from = at
        bucket.unread += 1
        bucket.unread_to = at
        bucket.why = f"{reading.state}: {reading.detail[:200]}" if reading.detail else str(reading.state)
        window.unread += 1

    def _open(self, at: float) -> _Bucket:
        if len(self.buckets) >= MAX_BUCKETS:
            self._halve()
        start = self._start_of(at)
        if self.buckets and self.buckets[-1].start >= start:
            self._last = self.buckets[-1]
        else:
            self._last = _Bucket(start)
            self.buckets.append(self._last)
        self._last_until = start + self.width_s
        return self._last

    def _start_of(self, at: float) -> float:
        return self.origin + (at - self.origin) // self.width_s * self.width_s

    def _halve(self) -> None:
        while len(self.buckets) >= MAX_BUCKETS:
            self.width_s *= 2
            merged: list[_Bucket] = []
            for bucket in self.buckets:
                start = self._start_of(bucket.start)
                if merged and merged[-1].start >= start:
                    merged[-1].absorb(bucket)
                else:
                    bucket.start = start
                    merged.append(bucket)
            self.buckets = merged

    def frozen(self) -> tuple[Bucket, ...]:
        """What has been kept."""
        return tuple(
            Bucket(
                b.start, b.end, b.readable, b.low, b.low_at, b.high, b.high_at, b.unread, b.unread_from, b.unread_to,
                b.readable_to, b.why,
            )
            for b in self.buckets
        )  # fmt: skip

    def windows(self) -> tuple[tuple[Window, Extent], ...]:
        """The extent of each window that has a reading."""
        return tuple(
            (
                window,
                Extent(
                    kept.readable,
                    kept.unread,
                    kept.low if kept.readable else None,
                    kept.high if kept.readable else None,
                ),
            )
            for window, kept in self._windows.items()
            if kept.readable or kept.unread
        )
