"""A session's events with a Slack that never answers, beside the same session without any channel.

Both run on the pretend system, by turns: a ladder of two stages, held for a second each. What is compared is when each
milestone comes, in seconds since the session began, by the journal. What stands for Slack takes every connection and
answers none, and is no part of the process that is measured. The channel is given its four seconds at the end, when
everything has been undone: that is the last row.
"""

import asyncio
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measure import HEADER, Row, as_line

TESTS = Path(__file__).resolve().parent.parent / "tests"
ROUNDS = 7
GOAL_S = 0.02  # two samples of the pretend system apart: what the machine does to either run by itself
MILESTONES = ("session-started", "baseline-recorded", "fault-injected", "stage-ended", "undo-ended", "session-ended")


def main() -> int:
    """Measure, print, and say whether the goal was met."""
    sys.path[:0] = [str(TESTS.parent), *(str(TESTS / name) for name in ("engine", "testkit"))]
    os.environ["PYTHONPATH"] = str(TESTS / "testkit")
    found: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for has_slack in (False, True):
            with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel takes connections, and nobody answers
                found[has_slack].append(
                    session(f"http://127.0.0.1:{server.getsockname()[1]}/api/" if has_slack else None)
                )
                server.setblocking(False)
                if has_slack:
                    server.accept()[0].close()  # or Slack was never asked
    rows, met = [], True
    for name in [name for name in found[False][0] if name in found[True][0]]:
        ours, theirs = (statistics.median(times[name] for times in found[has]) for has in (True, False))
        if name == "all is over":
            goal, is_met = "none", None
        else:
            goal, is_met = f"≤ {GOAL_S * 1000:g} ms later", ours - theirs <= GOAL_S
            met = met and bool(is_met)
        what = f"{name}, after the session began"
        later = f"{(ours - theirs) * 1000:+.1f} ms"
        rows.append(Row(what, "slack.py", f"{ours:.3f} s with Slack", f"{theirs:.3f} s without", later, goal, is_met))
    print(as_line(HEADER))
    print(as_line(["---"] * len(HEADER)))
    for row in rows:
        print(row)
    return 0 if met else 1


def session(api: str | None) -> dict[str, float]:
    """When each milestone came for the last time."""
    import msgspec
    from pretend import EXPERIMENT, PretendSystem

    from gameday.engine.session import run_session
    from gameday.journal.log import read_events
    from gameday.notify.channels import channel_sinks
    from gameday.notify.sink import ChannelSink
    from gameday.spec.model import SlackConfig

    with tempfile.TemporaryDirectory(prefix="gameday-benchmark-") as root:
        system = PretendSystem(Path(root))
        prepared = system.session(EXPERIMENT.replace("hold: 300ms", "hold: 1s"))
        slack = SlackConfig(channel="#gameday", token="xoxb-of-ours", url=api) if api else None
        environment = msgspec.structs.replace(prepared.environment, slack=slack)
        sinks: Sequence[ChannelSink] = channel_sinks(environment, system.root, print)
        result = asyncio.run(run_session(msgspec.structs.replace(prepared, environment=environment), sinks))
        over = time.time()
        times: dict[str, float] = {}
        began = 0.0
        for event in read_events(result.run.directory):
            name = str(type(event).__struct_config__.tag)
            began = began or event.at
            if name in MILESTONES:
                times[name] = event.at - began
        for sink in sinks:
            sink.end()
    return {**times, "all is over": over - began}


if __name__ == "__main__":
    sys.exit(main())
