"""A person's name replaced by a pseudonym in what was written down. Pure.

Where a person stands (an author, an owner, who ran it) the whole text must be the name, with or without `@`. In what
people wrote it is replaced as a word, elsewhere only as a handle: `@name`. A service of the same name stays.
"""

import hashlib
import hmac
import re

import msgspec

from gameday.common.json import Json

_PEOPLE = frozenset(
    (
        *("author", "by", "opened_by", "closed_by", "owner", "suggested_owner", "holder", "people"),
        *("facilitator", "builder", "builders", "sre", "sres", "scribe", "observers"),
    )
)
_WORDS = frozenset(("text", "note", "comment", "reason", "why", "detail"))
_OPAQUE = frozenset({"plan", "by_hand", "left"})  # an undo may need them as they are


class Pseudonym:
    """Of one person of one project: the same in every place, and each time."""

    def __init__(self, person: str, salt: str) -> None:
        """`person`: a name or handle, in upper or lower case. Whoever has the salt can tell whose it is by guessing."""
        self.name = person.strip().removeprefix("@")
        digest = hmac.new(salt.encode(), self.name.casefold().encode(), hashlib.sha256).hexdigest()
        self.alias = f"person-{digest[:8]}"
        name = re.escape(self.name)
        after = r"(?![\w-]|\.\w|@)"
        self._handle = re.compile(rf"(?<![\w.+-])@{name}{after}", re.IGNORECASE)
        self._word = re.compile(rf"(?<![\w.+/@-]){name}{after}", re.IGNORECASE)

    def may_be_in(self, text: str) -> bool:
        """Whether it is worth a closer look."""
        return self.name.casefold() in text.casefold()

    def for_person(self, text: str) -> str:
        """Of a text that names who somebody is."""
        if text.strip().removeprefix("@").casefold() == self.name.casefold():
            return f"@{self.alias}" if text.strip().startswith("@") else self.alias
        return self.in_text(text)

    def in_text(self, text: str) -> str:
        """Of a text of any kind: handles alone."""
        return self._handle.sub(f"@{self.alias}", text)

    def in_words(self, text: str) -> str:
        """Of what somebody wrote."""
        return self._word.sub(self.alias, self.in_text(text))

    def for_holder(self, text: str) -> str:
        """Of a text that says who holds something, and where: "ada@laptop", "run by ada on laptop"."""
        who, at, where = text.partition("@")
        return f"{self.alias}{at}{where}" if at and who.casefold() == self.name.casefold() else self.in_words(text)

    def in_line(self, line: str) -> str:
        """Of a line of JSON, which stays as it is when the name is not in it, or when it is no JSON."""
        if not self.may_be_in(line):
            return line
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            return line
        replaced = self._in_value(value, "")
        return line if replaced == value else msgspec.json.encode(replaced).decode()

    def _in_value(self, value: Json, key: str) -> Json:
        match value:
            case str():
                replace = self.for_person if key in _PEOPLE else self.in_words if key in _WORDS else self.in_text
                return replace(value)
            case list():
                return [self._in_value(item, key) for item in value]
            case dict():
                return {name: item if name in _OPAQUE else self._in_value(item, name) for name, item in value.items()}
            case _:
                return value
