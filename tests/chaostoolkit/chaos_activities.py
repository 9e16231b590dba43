"""What a Chaos Toolkit extension may do: the Python activities of the adapter's tests."""

import asyncio
import datetime
import decimal
import logging
import sys
import time
from typing import Any

from chaoslib.exceptions import ActivityFailed, InterruptExecution
from chaoslib.exit import exit_gracefully


def echo(value: Any = None) -> Any:
    return value


def all_given(arguments: Any = None, configuration: Any = None, secrets: Any = None) -> dict[str, Any]:
    return {"arguments": arguments, "configuration": configuration, "secrets": secrets}


def is_even(value: int) -> bool:
    return value % 2 == 0


def fail(message: str) -> None:
    raise ActivityFailed(message)


def raise_value_error(message: str) -> None:
    raise ValueError(message)


def interrupt() -> None:
    raise InterruptExecution("enough of it")


def cancelled(message: str = "by its loop") -> None:
    raise asyncio.CancelledError(message)


def leave_by_signal() -> None:
    exit_gracefully()
    time.sleep(5)


def leave(status: int = 3) -> None:
    sys.exit(status)


def unusual() -> dict[Any, Any]:
    class Opaque:
        def __repr__(self) -> str:
            return "<opaque>"

    return {
        1: datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "decimal": decimal.Decimal("1.50"),
        "bytes": b"caf\xc3\xa9",
        "set": {7},
        "tuple": (1, None, True),
        "nan": float("nan"),
        "object": Opaque(),
    }


def cyclic() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def long(length: int) -> str:
    return "x" * length


def log(text: str) -> None:
    for name in ("chaostoolkit", "logzero"):
        logging.getLogger(name).error(text)
    from logzero import logger

    logger.error(text)


def count_calls(counter: list[int] = [0]) -> int:  # noqa: B006 - what it counts with
    counter[0] += 1
    return counter[0]
