"""Names of time zones, as this machine knows them."""

from gameday.spec.reader import Fields, nearest
from gameday.spec.units import excerpt


def is_timezone(name: str) -> bool:
    """Whether this machine knows a time zone of that name (IANA, such as Europe/Berlin)."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a directory; a path that leads out; unknown
        return False
    return True


def read_timezone(fields: Fields, key: str) -> str | None:
    """The time zone under the key; an unknown one is noted."""
    name = fields.text(key, "a time zone such as Europe/Berlin")
    node = fields.get(key)
    if name is None or node is None or is_timezone(name):
        return name
    from zoneinfo import available_timezones

    found = f"the time zone {excerpt(name)}"
    fields.file.mistake(node, found, "an IANA name such as Europe/Berlin", nearest(name, available_timezones()))
    return None
