"""The type of opaque JSON: what is passed on whole, never looked into."""

type JsonScalar = str | int | float | bool | None
type Json = JsonScalar | list[Json] | dict[str, Json]
type JsonObject = dict[str, Json]
