"""The demo's runbooks are tried, not only read: every `check` block runs against a lab."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from labtools import RunningLab

RUNBOOKS = sorted((Path(__file__).parents[2] / "runbooks").glob("*.md"))
SECTIONS = ["Symptoms", "Impact", "Diagnosis", "Mitigation", "Rollback", "Escalation"]


def check_commands(runbook: Path) -> list[str]:
    blocks = re.findall(r"^ *```check\n(.*?)^ *```", runbook.read_text(), re.DOTALL | re.MULTILINE)
    return [line.strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_is_whole(runbook: Path) -> None:
    _, head, body = runbook.read_text().split("---\n", 2)
    front = yaml.safe_load(head)
    assert set(front) == {"title", "alerts", "service", "owner", "reviewed", "escalation", "dashboards"}
    assert all(isinstance(dashboard, str) for dashboard in front["dashboards"])
    assert re.findall(r"^## (.*)$", body, re.MULTILINE) == SECTIONS
    for link in re.findall(r"\]\(([^)]*)\)", body):
        assert (runbook.parent / link).is_file(), link
    assert check_commands(runbook)


@pytest.mark.lab
@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_every_check_of_a_runbook_works(running: RunningLab, runbook: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in check_commands(runbook):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=running.paths.directory.parents[1],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        if "/api/v1/query" in command and "==" not in command:  # a comparison may well have no result
            assert json.loads(done.stdout)["data"]["result"], command
