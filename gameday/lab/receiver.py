"""Where Alertmanager's notifications arrive: the pager of the lab.

Format of what comes in: Alertmanager's webhook, version 4. GET /notifications answers with a JSON list, oldest first,
of {"name", "labels", "status": "firing" | "resolved", "received_at": seconds since the Unix epoch}.
"""

import time
from collections import deque
from pathlib import Path
from typing import Literal

import msgspec
from aiohttp import web

from gameday.lab.serving import serve

_KEPT = 5_000


class Notification(msgspec.Struct, frozen=True):
    """One alert in one notification."""

    name: str
    labels: dict[str, str]
    status: Literal["firing", "resolved"]
    received_at: float


class _Alert(msgspec.Struct, frozen=True):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]


class _Webhook(msgspec.Struct, frozen=True):
    alerts: tuple[_Alert, ...]


class Receiver:
    """Keeps the last notifications, also over its own death."""

    def __init__(self, record: Path) -> None:
        self._record = record
        lines = record.read_bytes().splitlines() if record.exists() else []
        self._notifications = deque(
            (msgspec.json.decode(line, type=Notification) for line in lines if line.endswith(b"}")), maxlen=_KEPT
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """POST /alerts takes a webhook, GET /notifications lists what came."""
        match request.method, request.path:
            case "GET", "/notifications":
                body = msgspec.json.encode(tuple(self._notifications))
                return web.Response(body=body, content_type="application/json")
            case "POST", "/alerts":
                try:
                    webhook = msgspec.json.decode(await request.read(), type=_Webhook)
                except msgspec.DecodeError as error:
                    return web.Response(status=400, text=f"not an Alertmanager webhook: {error}\n")
                self._take(webhook)
                return web.Response(status=204)
            case _:
                return web.Response(status=404, text="GET /notifications or POST /alerts\n")

    def _take(self, webhook: _Webhook) -> None:
        now = time.time()
        with self._record.open("ab") as file:
            for alert in webhook.alerts:
                name = alert.labels.get("alertname", "")
                notification = Notification(name, alert.labels, alert.status, now)
                self._notifications.append(notification)
                file.write(msgspec.json.encode(notification) + b"\n")


async def run_receiver(port: int, record: Path) -> None:
    """Receive until the process ends; `record` is the file that keeps what came."""
    await serve(Receiver(record).handle, port)
