"""What `gameday run` tells channels after a session: where its report is, and its charts."""

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from gameday.cli.output import say

if TYPE_CHECKING:
    from gameday.engine.session import SessionResult
    from gameday.notify.base import Picture
    from gameday.notify.sink import ChannelSink

_WITHIN_S = 20.0  # for each channel: charts are uploaded


def tell_channels(
    channels: "Sequence[ChannelSink]", result: "SessionResult", report: Path, report_url: str | None
) -> None:
    """Tell each. `report_url`: below which reports can be read from elsewhere, if anywhere. What cannot be said is said
    here; a Ctrl-C leaves at once, for the report is written."""
    from gameday.notify.base import Detail, Kind

    link = f"{report_url}{quote(report.name)}" if report_url else f"{socket.gethostname()}:{report}"
    detail = Detail(Kind.REPORT, "The report is written", time.time(), 0.0, link=link)
    drawn: list[Sequence[Picture]] = []

    def pictures() -> "Sequence[Picture]":
        if not drawn:  # once, for all channels
            from gameday.report.pictures import chart_pictures

            drawn.append(chart_pictures(result.run.directory))
        return drawn[0]

    try:
        for channel in channels:
            say(f"telling {channel.name} where the report is")
            if missing := channel.report(detail, pictures, _WITHIN_S):
                say(f"{channel.name}: {missing}")
    except KeyboardInterrupt:
        say("interrupted; not every channel knows where the report is")
