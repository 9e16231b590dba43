"""Puts the testkit, a third party's package of faults and sources, where entry points are found; and a PostgreSQL."""

import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.history.postgresql import Server

_NUMBERS = count()
TESTKIT = Path(__file__).parent / "testkit"
sys.path.insert(0, str(TESTKIT))
# The zygote and the guardian are processes of their own.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTKIT), os.environ.get("PYTHONPATH")]))

# Its conftest.py is read where the tests run, and the summary is written where they are counted.
sys.path.insert(0, str(Path(__file__).parent / "kubernetes"))

# On a busy machine anything may take its time.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    from kubernetes_summary import register

    register(config)


@pytest.fixture(scope="session")
def _postgresql() -> "Iterator[Server]":
    from tests.history.postgresql import Missing, start_postgresql

    try:
        with start_postgresql(fsync=False) as started:
            yield started
    except Missing as missing:
        pytest.fail(str(missing))


@pytest.fixture
def postgresql(_postgresql: "Server") -> "Server":
    """A real PostgreSQL that all tests share; one that a test has stopped is started again."""
    if not _postgresql.processes:
        _postgresql.start()
    return _postgresql


@pytest.fixture
def database(postgresql: "Server") -> str:
    """The URL of an empty database in it."""
    return postgresql.create(f"test{next(_NUMBERS)}")
