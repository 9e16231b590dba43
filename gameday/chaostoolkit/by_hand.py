"""How a person would do a Chaos Toolkit activity without gameday: one line for a shell, or for a Python prompt.

Format of providers: https://chaostoolkit.org/reference/api/experiment/#action
"""

import json
import shlex

from gameday.common.json import Json, JsonObject


def by_hand(definition: JsonObject) -> str:
    """The command. Variables such as `${name}` stay as they are written, and so do secrets, which are only named."""
    provider = definition.get("provider")
    if not isinstance(provider, dict):
        return "see the experiment"
    match provider.get("type"):
        case "process":
            return _process(provider)
        case "http":
            return _http(provider)
        case "python":
            return _python(provider)
    return "see the experiment"


def _process(provider: JsonObject) -> str:
    path, arguments = str(provider.get("path", "")), provider.get("arguments", "")
    if isinstance(arguments, dict):
        words = [word for key, value in arguments.items() for word in (str(key), *([] if value is None else [value]))]
        return " ".join([path, *(shlex.quote(str(word)) for word in words)])
    if isinstance(arguments, list):
        return " ".join([path, *(shlex.quote(str(word)) for word in arguments)])
    return f"{path} {arguments or ''}".strip()


def _http(provider: JsonObject) -> str:
    words = ["curl", "-fsS", "-X", str(provider.get("method", "GET"))]
    headers = provider.get("headers")
    for name, value in headers.items() if isinstance(headers, dict) else ():
        words += ["-H", shlex.quote(f"{name}: {value}")]
    if "arguments" in provider:
        words += ["-d", shlex.quote(_text(provider["arguments"]))]
    return " ".join([*words, shlex.quote(str(provider.get("url", "")))])


def _python(provider: JsonObject) -> str:
    arguments = provider.get("arguments")
    given = ", ".join(f"{key}={value!r}" for key, value in arguments.items()) if isinstance(arguments, dict) else ""
    module = str(provider.get("module", ""))
    return f"python -c {shlex.quote(f'import {module}; {module}.{provider.get("func", "")}({given})')}"


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)
