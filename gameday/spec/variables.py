"""`${VARIABLES}` of the process's environment in gameday.yaml, and which of what they bring is secret."""

import os
import re
from urllib.parse import parse_qsl, unquote, urlsplit

from gameday.spec.nodes import Mapping, Node, Scalar, Sequence
from gameday.spec.reader import File

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_NAME = re.compile(
    r"token|secret|passw|credential|cookie|authorization|webhook|(api|app|application|private|access|signing).?key",
    re.IGNORECASE,
)


def fill_in(file: File, node: Node) -> tuple[str, ...]:
    """Replace every `${NAME}` in the texts under the node, in place; one that is not set is a mistake.

    Returns the secrets among the values, those written out in the file too: what stands under, or comes from, a name
    that says token, password or the like, and the password of a URL.
    """
    secrets: dict[str, None] = {}
    _fill(file, node, "", secrets, set())
    return tuple(secrets)


def secrets_of_process() -> tuple[str, ...]:
    """What the process's variables hold whose names say token, password or the like."""
    return tuple(value for name, value in os.environ.items() if value and _SECRET_NAME.search(name))


def _fill(file: File, node: Node, key: str, secrets: dict[str, None], seen: set[int]) -> None:
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    match node:
        case Mapping():
            for name, (_, value) in node.entries.items():
                _fill(file, value, name, secrets, seen)
        case Sequence():
            for value in node.items:
                _fill(file, value, key, secrets, seen)
        case Scalar() if isinstance(node.value, str):
            names = VARIABLE.findall(node.text)
            for name in dict.fromkeys(names):
                if name not in os.environ:
                    file.mistake(node, f"the variable `${{{name}}}`, which is not set", f"{name} in the environment")
                elif _SECRET_NAME.search(name):
                    secrets[os.environ[name]] = None
            node.text = VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), node.text)
            node.value = node.text
            if _SECRET_NAME.search(key):
                secrets[node.text] = None
            for secret in _in_url(node.text):
                secrets[secret] = None


def _in_url(text: str) -> tuple[str, ...]:
    """The password of a URL, and query parameters that are secret by their names."""
    if "://" not in text:
        return ()
    try:
        parts = urlsplit(text)
        password = parts.password
    except ValueError:
        return ()
    found = [value for name, value in parse_qsl(parts.query) if _SECRET_NAME.search(name)]
    found += [password, unquote(password)] if password else []
    return tuple(found)
