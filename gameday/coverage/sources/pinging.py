"""Sends an alert of our own through Alertmanager, watches it arrive, and ends it again whatever happens.

Formats: Alertmanager's API v2 (POST /api/v2/alerts) and its metrics `alertmanager_notifications_total` and
`alertmanager_notifications_failed_total`, which count all notifications of an integration, whosever they are.
"""

import asyncio
import os
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec
from yarl import URL

from gameday.common.http import HttpClient, HttpError
from gameday.coverage.base import PingOutcome, PingResult
from gameday.coverage.sources.answers import MAX_BYTES, NOTIFICATIONS, ROUTED, RoutedAlert, ask

LABEL = "gameday_test"
_POLL_S = 0.25
_AFTERLIFE_S = 60.0  # when it ends by itself, beyond the wait: for a process that was killed
_COUNTER = re.compile(
    r'^alertmanager_notifications(_failed)?_total\{[^}]*integration="([^"]+)"[^}]*\} (\S+)', re.MULTILINE
)


class _Counts(msgspec.Struct, frozen=True):
    """Notifications so far, by integration: tried, and of these failed."""

    tried: dict[str, float] = {}
    failed: dict[str, float] = {}


class Pinging:
    """Asks on behalf of the source whose client it uses. `record`: the receiver's, if it keeps one."""

    def __init__(self, client: HttpClient, alertmanager: URL, record: URL | None) -> None:
        self._client = client
        self._alerts = alertmanager.joinpath("api", "v2", "alerts")
        self._metrics = alertmanager.joinpath("metrics")
        self._record = record

    async def ping(self, labels: Mapping[str, str], wait_s: float) -> PingResult:
        """Raises HttpError when Alertmanager does not take it."""
        token = os.urandom(6).hex()
        labels = {**labels, LABEL: token}
        before = await self._counts()
        began, started = time.monotonic(), datetime.now(UTC)
        await self._send(labels, started, time.time() + wait_s + _AFTERLIFE_S)
        try:
            result = await self._watch(token, before, began, wait_s)
        finally:
            # Shielded: whoever is interrupted here would leave it firing.
            ended = await asyncio.shield(self._end(labels, started))
        return msgspec.structs.replace(result, left=ended)

    async def _send(self, labels: Mapping[str, str], started: datetime, ends: float) -> None:
        alert = {
            "labels": labels,
            "annotations": {"summary": "A test of the alerting by gameday: nothing is wrong"},
            "startsAt": started.isoformat(),
            "endsAt": datetime.fromtimestamp(ends, UTC).isoformat(),
        }
        answer = await self._client.post(self._alerts, msgspec.json.encode([alert]), max_bytes=MAX_BYTES)
        if answer.status != 200:
            raise HttpError(f"HTTP {answer.status}: {answer.excerpt() or 'an empty answer'}")

    async def _end(self, labels: Mapping[str, str], started: datetime) -> str:
        """Why it could not be ended, or nothing."""
        try:
            await self._send(labels, started, time.time())
        except HttpError as error:
            return f"it could not be ended ({error}); it ends by itself within {_AFTERLIFE_S:g} s of the wait"
        return ""

    async def _watch(self, token: str, before: _Counts | None, began: float, wait_s: float) -> PingResult:
        receivers: tuple[str, ...] = ()
        quiet, problem = "", "Alertmanager has not shown it"
        tried: dict[str, float] = {}
        failed: dict[str, float] = {}
        while True:
            took_s = time.monotonic() - began
            try:
                arrived = self._record is not None and await self._is_recorded(self._record, token)
                if alert := await self._routed(token):
                    receivers = tuple(receiver.name for receiver in alert.receivers)
                    quiet, problem = _why_quiet(alert), ""
                if arrived:
                    return PingResult(PingOutcome.ARRIVED, took_s, receivers)
                now = await self._counts() if before else None
                if before and now:
                    tried, failed = _more(before.tried, now.tried), _more(before.failed, now.failed)
                    sent = {kind for kind, count in tried.items() if count > failed.get(kind, 0.0)}
                    if receivers and sent and not self._record:
                        return PingResult(PingOutcome.SENT, took_s, receivers, _say(tried, "sent"))
            except HttpError as error:
                problem = str(error)
            if took_s >= wait_s:
                said = [quiet, problem, _say(tried, "tried"), _say(failed, "failed")]
                said += ["its counters cannot be read"] * (before is None and not self._record)
                return PingResult(PingOutcome.UNSEEN, took_s, receivers, "; ".join(filter(None, said)))
            await asyncio.sleep(_POLL_S)

    async def _is_recorded(self, record: URL, token: str) -> bool:
        return any(entry.labels.get(LABEL) == token for entry in await ask(self._client, record, NOTIFICATIONS))

    async def _routed(self, token: str) -> RoutedAlert | None:
        alerts = await ask(self._client, self._alerts.with_query(filter=f'{LABEL}="{token}"'), ROUTED)
        return next((alert for alert in alerts if alert.labels.get(LABEL) == token), None)

    async def _counts(self) -> _Counts | None:
        try:
            answer = await self._client.get(self._metrics, max_bytes=MAX_BYTES)
        except HttpError:
            return None
        found = _COUNTER.findall(answer.body.decode(errors="replace")) if answer.status == 200 else []
        return _Counts(_sum(found, ""), _sum(found, "_failed")) if found else None


def _sum(found: Iterable[tuple[str, str, str]], which: str) -> dict[str, float]:
    totals: dict[str, float] = {}
    for kind, integration, count in found:
        if kind == which:
            totals[integration] = totals.get(integration, 0.0) + float(count)
    return totals


def _more(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    return {kind: count - before.get(kind, 0.0) for kind, count in now.items() if count > before.get(kind, 0.0)}


def _say(counts: Mapping[str, float], word: str) -> str:
    return ", ".join(f"{count:g} {word} by {kind} meanwhile" for kind, count in counts.items())


def _why_quiet(alert: RoutedAlert) -> str:
    if alert.status.silenced_by:
        return f"silenced (silence {', '.join(alert.status.silenced_by)})"
    return "inhibited by another alert" if alert.status.inhibited_by else ""
