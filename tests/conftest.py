"""Puts the testkit, a third party's package with a fault and sources, where entry points are found."""

import os
import sys
from pathlib import Path

import pytest

TESTKIT = Path(__file__).parent / "testkit"
sys.path.insert(0, str(TESTKIT))
# The zygote and the guardian are processes of their own.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTKIT), os.environ.get("PYTHONPATH")]))

# Its conftest.py is read where the tests run, and the summary is written where they are counted.
sys.path.insert(0, str(Path(__file__).parent / "kubernetes"))


def pytest_configure(config: pytest.Config) -> None:
    from kubernetes_summary import register

    register(config)
