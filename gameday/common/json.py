"""The type of opaque JSON: what is passed on whole and looked into only by the one module that it is meant for."""

from typing import Any

type JsonScalar = str | int | float | bool | None
# Any, since msgspec reads no recursive type; nothing but an adapter at the edge may look inside.
type Json = Any
type JsonObject = dict[str, Any]
