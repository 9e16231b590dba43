"""What can be said about an experiment's `configuration` and `secrets` without importing the Chaos Toolkit.

Format: https://chaostoolkit.org/reference/api/experiment/ (configuration, secrets).
"""

import os
import re
from collections.abc import Iterator

from gameday.common.json import Json, JsonObject
from gameday.common.redact import MASK

_SECRET_NAME = re.compile(r"token|secret|passw|credential|api.?key|private.?key", re.IGNORECASE)


def known_secrets(configuration: JsonObject, secrets: JsonObject) -> tuple[str, ...]:
    """The secret values that can be had on the spot: literals and environment variables, not what lies in a Vault.

    A configuration entry counts when its name, or its variable's, says token, password or the like.
    """
    found = [*_values(secrets)]
    for name, entry in configuration.items():
        key = entry.get("key") if isinstance(entry, dict) else None
        if sounds_secret(name) or (isinstance(key, str) and sounds_secret(key)):
            found += _values(entry)
    return tuple(dict.fromkeys(found))


def loaded_secrets(configuration: JsonObject, secrets: JsonObject) -> tuple[str, ...]:
    """The secret values among those that the Toolkit has loaded: all of `secrets`, and of the configuration what its
    name says."""
    return (*leaves(secrets), *leaves([value for name, value in configuration.items() if sounds_secret(name)]))


def sounds_secret(name: str) -> bool:
    """Whether a variable of this name probably holds a secret."""
    return _SECRET_NAME.search(name) is not None


def without_secrets(document: JsonObject) -> JsonObject:
    """An experiment with every text masked that stands literally under a name such as token, password or authorization.

    A variable (`${name}`) is none, and neither is what a mapping says of where a secret comes from.
    """
    return {key: _masked(key, value) for key, value in document.items()}


def _masked(name: str, value: Json) -> Json:
    match value:
        case dict():
            return {key: _masked(key, item) for key, item in value.items()}
        case list():
            return [_masked("", item) for item in value]
        case str() if "${" not in value and (sounds_secret(name) or name.lower() == "authorization"):
            return MASK
    return value


def dynamic_names(configuration: JsonObject) -> frozenset[str]:
    """The entries that a probe gives their value."""
    return frozenset(
        name for name, entry in configuration.items() if isinstance(entry, dict) and entry.get("type") == "probe"
    )


def missing_variables(configuration: JsonObject, secrets: JsonObject) -> tuple[str, ...]:
    """The environment variables that they name and that are not set; one that has a default is not missing."""
    return tuple(
        sorted({key for key, default in _variables([configuration, secrets]) if not default and key not in os.environ})
    )


def leaves(value: object) -> Iterator[str]:
    """Every text and number anywhere in loaded secrets, as text."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _values(entry: Json) -> Iterator[str]:
    if isinstance(entry, dict) and entry.get("type") == "env":
        yield from leaves([os.environ.get(str(entry.get("key")), ""), entry.get("default")])
    elif isinstance(entry, dict) and entry.get("type") in ("vault", "probe"):
        return  # known only once it has been asked
    elif isinstance(entry, dict):
        for item in entry.values():
            yield from _values(item)
    else:
        yield from leaves(entry)


def _variables(entry: Json) -> Iterator[tuple[str, bool]]:
    """Each variable's name, and whether there is a default for it."""
    if isinstance(entry, list):
        for item in entry:
            yield from _variables(item)
    elif isinstance(entry, dict) and entry.get("type") == "env" and isinstance(entry.get("key"), str):
        yield str(entry["key"]), "default" in entry
    elif isinstance(entry, dict):
        for item in entry.values():
            yield from _variables(item)
