"""Opens what is registered under an entry point by name: ours, and third parties'."""

from typing import Any

from gameday.common.texts import most_similar


def open_plugin(group: str, name: str, what: str, error: type[Exception], *arguments: object) -> Any:
    """What is registered in the group under the name, called with the arguments.

    `what` says in messages what it is: "alert source". Raises `error` when there is none of that name (naming those
    that there are), it cannot be imported, or it raises anything.
    """
    from importlib.metadata import entry_points

    entries = {entry.name: entry for entry in entry_points(group=group)}
    entry = entries.get(name)
    if entry is None:
        near = most_similar(name, entries)
        hint = f"; did you mean `{near}`?" if near else ""
        known = ", ".join(sorted(entries)) or "none"
        raise error(f"there is no {what} `{name}`; there are {known}{hint}")
    try:
        return entry.load()(*arguments)
    except error:
        raise
    except Exception as failure:  # a third party's module may raise anything
        raise error(f"the {what} `{name}` ({entry.value}) cannot be opened: {failure}") from failure
