"""Reads the configuration that Prometheus and Alertmanager give away, YAML that may hold secrets (webhook URLs, say).

No error repeats a word of it.
"""

import re
from collections.abc import Mapping

_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}

type Fields = Mapping[str, object]


def load_config(text: str) -> dict[str, object]:
    """Every scalar a text: YAML would take `17:00` for a number, and `off` for a boolean. Raises ValueError."""
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return mapping(yaml.load(text, loader))  # noqa: S506 - it makes texts, lists and mappings, nothing else
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError("it is no YAML") from error


def mapping(item: object) -> dict[str, object]:
    """It, when it is a mapping; raises ValueError when not. So do all of the following."""
    if not isinstance(item, dict):
        raise ValueError("something in it is not as expected")
    return item


def items(fields: Fields, key: str) -> list[object]:
    """A list, or none where there is nothing."""
    found = fields.get(key) or []
    if not isinstance(found, list):
        raise ValueError(f"`{key}` is no list")
    return found


def mappings(fields: Fields, key: str) -> list[dict[str, object]]:
    """A list of mappings."""
    return [mapping(item) for item in items(fields, key)]


def texts(fields: Fields, key: str) -> tuple[str, ...]:
    """A list of texts."""
    return tuple(map(str, items(fields, key)))


def name_of(fields: Fields) -> str:
    """The `name` of something."""
    if not fields.get("name"):
        raise ValueError("something in it has no name")
    return str(fields["name"])


def seconds(text: str) -> float:
    """A duration as Prometheus writes it: `1m30s`, `0s`."""
    parts = _DURATION.findall(text)
    if not text or "".join(map("".join, parts)) != text:
        raise ValueError("a duration in it is none")
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)
