"""What calls `gameday schedule run` each minute: a crontab line, and systemd's service and timer. Pure."""

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from gameday.engine.schedule import Scheduled

_STOP = "15min"  # in which a session that is stopped undoes


def crontab(
    game_days: Iterable[Scheduled], root: Path, program: str, paths: Sequence[str], variables: Sequence[str]
) -> str:
    """A file for crontab(1): one line for all game days. `variables`: which the environments need."""
    names = [f"#   {item.name}: {_when(item)} ({item.schedule.timezone})" for item in game_days]
    line = f"cd {shlex.quote(str(root))} && exec {shlex.join([program, 'schedule', 'run', *paths])}"
    needs = f"# Set above the line, as NAME=value, what gameday.yaml takes from the environment: {', '.join(variables)}"
    return "\n".join(
        (
            "# gameday: each minute it starts what is due, once. Put it into `crontab -e`.",
            *names,
            "# The line needs no CRON_TZ: gameday reckons with each game day's own time zone. That of cron, the",
            "# machine's or what CRON_TZ says, makes no difference to what comes each minute.",
            "# cron mails what is written to stderr: one line for what was not started, or did not hold.",
            *([needs] if variables else []),
            # In crontab(5) `%` is a new line, unless it is escaped.
            f"* * * * * {line.replace('%', chr(92) + '%')}",
            "",
        )
    )


def systemd_units(
    root: Path, program: str, paths: Sequence[str], user: str, variables: Sequence[str]
) -> dict[str, str]:
    """A service and the timer that calls it each minute, by name. Formats: systemd.service(5), systemd.timer(5)."""
    command = " ".join(map(_word, (program, "schedule", "run", *paths)))
    comment = [f"# what gameday.yaml takes from the environment, as NAME=value: {', '.join(variables)}"]
    service = (
        "[Unit]",
        f"Description=gameday: what is due in {_escape(root.name)}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        f"User={user}",
        f"WorkingDirectory={_escape(str(root))}",
        *(comment if variables else []),
        f"EnvironmentFile=-{_escape(str(root / '.gameday' / 'schedule.env'))}",
        f"ExecStart={command}",
        "# 1: a weakness was found, which is a result.",
        "SuccessExitStatus=1",
        "# A session ends by itself. One that is stopped hears SIGTERM and undoes. Its guardian hears nothing, and",
        "# undoes if need be. Only who is still there after TimeoutStopSec is killed.",
        "TimeoutStartSec=infinity",
        f"TimeoutStopSec={_STOP}",
        "KillMode=control-group",
        "OOMPolicy=continue",
        "# What keeps no fault from being undone: whatever is injected here is undone here, under the same rules.",
        "NoNewPrivileges=yes",
        "ProtectSystem=full",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectClock=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "UMask=0077",
        "",
    )
    timer = (
        "[Unit]",
        f"Description=gameday: each minute, what is due in {_escape(root.name)}",
        "",
        "[Timer]",
        "# While a session runs, the service does, and looks each minute by itself.",
        "OnCalendar=*-*-* *:*:00",
        "AccuracySec=1s",
        "",
        "[Install]",
        "WantedBy=timers.target",
        "",
    )
    name = f"gameday-{label_of(root.name) or 'project'}"
    return {f"{name}.service": "\n".join(service), f"{name}.timer": "\n".join(timer)}


def label_of(text: str, most: int = 40) -> str:
    """Small letters, digits and hyphens: what a unit and an object of Kubernetes may be called. It may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:most].strip("-")


def _when(item: Scheduled) -> str:
    return item.schedule.cron or ", ".join(f"{moment:%Y-%m-%d %H:%M}" for moment in item.schedule.dates)


def _escape(text: str) -> str:
    """Without what systemd would replace: its specifiers (systemd.unit(5)) begin with `%`."""
    return " ".join(text.split()).replace("%", "%%")


def _word(text: str) -> str:
    """A word of a command line: systemd.service(5)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("%", "%%")
    return f'"{escaped}"' if re.search(r"[^A-Za-z0-9_./:=@%+,$-]", text) else escaped
