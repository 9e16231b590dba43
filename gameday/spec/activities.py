"""The Chaos Toolkit's activities: probes and actions, kept as written, with what can be said about their shape.

Format: https://chaostoolkit.org/reference/api/experiment/ (action, probe, provider, tolerance).
"""

import math
import os
import re
from collections.abc import Iterator

from gameday.common.json import Json, JsonObject
from gameday.spec.model import Activity, ActivityKind, Dry
from gameday.spec.nodes import MAX_WEIGHT, Mapping, Node, Scalar, to_json
from gameday.spec.reader import Fields, describe

_KEYS = ("type", "name", "provider", "ref", "tolerance", "background", "pauses", "controls", "dry", "timeout")
_PROVIDERS = {"python": ("module", "func"), "process": ("path",), "http": ("url",)}
_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_LONGEST_PAUSE_S = 366 * 86400.0


class Activities:
    """Reads the activities of one experiment, which may refer to one another by name and pause for variables."""

    def __init__(self, root: Fields, configuration: JsonObject) -> None:
        self._configuration = configuration
        self._weight = 0  # of what was referred to
        self._by_name = dict(_named(root.node))

    def read(self, fields: Fields, *, probe: bool = False) -> Activity | None:
        """One activity; None when it is wrong, which is noted. With `probe`: one of a hypothesis, with a tolerance."""
        node, background = fields, fields.boolean("background")
        reference = fields.text("ref", "the name of another activity") if fields.has("ref") else None
        if fields.has("ref"):
            if reference is None:
                return None
            target = self._by_name.get(reference)
            if target is None:
                fields.file.unknown(fields.key("ref"), "activity", reference, self._by_name)
                return None
            self._weight += target.weight
            if self._weight > MAX_WEIGHT:
                fields.file.mistake(fields.key("ref"), "more than can be held once every `ref` is filled in", "less")
                return None
            node = Fields(fields.file, target, "an activity")
            node.boolean("background")
        read = self._read(node, background=background, probe=probe)
        if node is not fields:
            fields.close(also=_KEYS, tolerant=True, forgiving=True)
        return read

    def _read(self, fields: Fields, *, background: bool, probe: bool) -> Activity | None:
        # The Toolkit has no objection to an action in a hypothesis, so long as it has a tolerance.
        kind = fields.choice("type", ["probe"] if probe and not fields.file.forgiving else ["probe", "action"])
        name = fields.text("name", "the activity's name")
        fields.require("type", "`type: probe`" if probe else "`type: action` or `type: probe`")
        fields.require("name", "the activity's name")
        fields.require("provider", "a provider of type python, process or http")
        provider = fields.mapping("provider", "a provider, such as {type: process, path: /bin/true}")
        if provider:
            _check_provider(provider)
        elif fields.has("provider") and not isinstance(fields.get("provider"), Mapping):
            fields.file.mistake(fields.key("provider"), "an empty provider", "one of type python, process or http")
        if probe:
            fields.require("tolerance", "what the probe's output must be, such as `tolerance: 200`")
        before, after = self._pauses(fields)
        fields.close(also=_KEYS, tolerant=True, forgiving=True)
        if kind is None or name is None or provider is None:
            return None
        return Activity(
            kind=ActivityKind(kind),
            name=name,
            definition=fields.json(),
            background=background,
            pause_before_s=before,
            pause_after_s=after,
            location=fields.file.location(fields.node),
            timeout_s=self._timeout(provider),
            dry=read_dry(fields),
        )

    def _timeout(self, provider: Fields) -> float | None:
        """Seconds; None when there is none, or a variable that only the Toolkit can fill in."""
        node = provider.get("timeout")
        value: Json = node.value if isinstance(node, Scalar) else None
        if isinstance(value, str) and (variable := _VARIABLE.fullmatch(value.strip())):
            value = self._variable(variable[1])
        return _number(value) or None

    def _pauses(self, fields: Fields) -> tuple[float, float]:
        pauses = fields.mapping("pauses", "pauses, such as {before: 5, after: 5}")
        if pauses is None:
            return 0.0, 0.0
        found = tuple(self._pause(pauses, key) for key in ("before", "after"))
        pauses.close(tolerant=True, forgiving=True)
        return found[0], found[1]

    def _pause(self, pauses: Fields, key: str) -> float:
        node = pauses.get(key)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return 0.0
        value: Json = node.value if isinstance(node, Scalar) else None
        if isinstance(value, str) and (variable := _VARIABLE.fullmatch(value.strip())):
            value = self._variable(variable[1])
        seconds = _number(value)
        if seconds is None:
            expected = "seconds as a number, or a variable of `configuration` that is one"
            pauses.file.mistake(node, describe(node), expected)
            return 0.0
        return seconds

    def _variable(self, name: str) -> Json:
        entry = self._configuration.get(name)
        if isinstance(entry, dict) and entry.get("type") == "env":
            return os.environ.get(str(entry.get("key")), "") or entry.get("default")
        return entry


def _number(value: Json) -> float | None:
    """Seconds of a pause: a number, or a text that is one (as environment variables are)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds <= _LONGEST_PAUSE_S else None


def read_dry(fields: Fields) -> Dry | None:
    """What of an experiment, or whether an activity, is only to be pretended."""
    node = fields.get("dry")
    if node is None or (isinstance(node, Scalar) and not node.value):
        return None
    dry = fields.choice("dry", [dry.value for dry in Dry])
    return Dry(dry) if dry else None


def _named(root: Mapping) -> Iterator[tuple[str, Mapping]]:
    """What `ref` may refer to: the activities of the method, and those of the hypothesis, which go before."""
    hypothesis = root.entries.get("steady-state-hypothesis")
    sections = [root.entries.get("method")]
    if hypothesis and isinstance(hypothesis[1], Mapping):
        sections.append(hypothesis[1].entries.get("probes"))
    for section in sections:
        items: list[Node] = getattr(section[1], "items", []) if section else []
        for item in items:
            if isinstance(item, Mapping) and "ref" not in item.entries and "name" in item.entries:
                name = to_json(item.entries["name"][1])
                if isinstance(name, str):
                    yield name, item


def _check_provider(provider: Fields) -> None:
    kind = provider.choice("type", tuple(_PROVIDERS))
    provider.require("type", "python, process or http")
    for key in _PROVIDERS.get(kind or "", ()):
        provider.text(key)
        provider.require(key, f"what a provider of type {kind} needs")
    also = ("arguments", "timeout", "headers", "method", "secrets", "configuration", "env", "verify_tls")
    provider.close(also=also, tolerant=True, forgiving=True)
