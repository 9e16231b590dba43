"""Reads users' files: bytes to nodes within limits, and mappings key by key, with every mistake of a file collected."""

import re
import stat
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from gameday.common.json import JsonObject
from gameday.common.texts import most_similar
from gameday.spec.json_nodes import compose_json
from gameday.spec.location import Location, Mistake, SpecError
from gameday.spec.nodes import MAX_BYTES, DocumentError, Mapping, Node, Scalar, to_json
from gameday.spec.nodes import Sequence as SequenceNode
from gameday.spec.units import UnitError, excerpt
from gameday.spec.yaml_nodes import compose_yaml

# What YAML forbids anywhere (YAML 1.1, c-printable).
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_MISTAKES = 200
_MOST_ITEMS = 1000  # of a list of ours
_MOST_NAMES, _LONGEST_NAME = 1000, 100  # among which a near one is looked for: the search is slow
_SIMILAR = 0.8  # difflib's ratio from which a key that may be the user's own is taken for a misspelt one of ours


class File:
    """One file that is being read, and the mistakes found in it so far."""

    def __init__(self, path: Path, *, forgiving: bool = False) -> None:
        """`forgiving`: what the Chaos Toolkit passes over is warned of, and no mistake."""
        self.path = path
        self.forgiving = forgiving
        self._mistakes: list[Mistake] = []
        self._warnings: list[Mistake] = []

    def location(self, node: Node | None = None) -> Location:
        """Where the node stands; without one, the file's beginning."""
        return Location(self.path, node.line, node.column) if node else Location(self.path)

    def mistake(self, node: Node | None, found: str, expected: str, nearest: str | None = None) -> None:
        """Note a mistake at the node. Raises SpecError, with all of them, when there are too many for a person."""
        self._mistakes.append(Mistake(self.location(node), found, expected, nearest))
        if len(self._mistakes) == _MOST_MISTAKES:
            found, expected = f"{_MOST_MISTAKES} mistakes so far", "fewer; the rest has not been read"
            self._mistakes.append(Mistake(self.location(node), found, expected))
            self.check()

    def warn(self, node: Node, found: str, expected: str, nearest: str | None = None) -> None:
        """Note what is probably not meant, and keeps nothing from being used."""
        if len(self._warnings) < _MOST_MISTAKES:
            self._warnings.append(Mistake(self.location(node), found, expected, nearest))

    def warnings(self) -> tuple[Mistake, ...]:
        """All warnings so far, each once, in their order."""
        return tuple(dict.fromkeys(sorted(self._warnings, key=lambda warning: warning.location)))

    def include(self, error: SpecError) -> None:
        """Note the mistakes of another file that this one names."""
        self._mistakes += error.mistakes

    def unknown(self, node: Node, what: str, text: str, known: Iterable[str]) -> None:
        """Note a name that is none of those there are."""
        names = sorted(known)
        listed = f"one of {', '.join(names)}" if 0 < len(names) <= 12 else f"the name of a known {what}"
        self.mistake(node, f"the {what} {excerpt(text)}", listed, nearest(text, names))

    def mistakes(self) -> tuple[Mistake, ...]:
        """All mistakes so far: this file's in their order, then those of the files it names."""
        own = [mistake for mistake in self._mistakes if mistake.location.path == self.path]
        others = [mistake for mistake in self._mistakes if mistake.location.path != self.path]
        own.sort(key=lambda mistake: mistake.location)
        # What stands under an anchor, or is referred to, is read more than once.
        return tuple(dict.fromkeys([*own, *others]))

    def check(self) -> None:
        """Raise SpecError when there is any mistake."""
        if self._mistakes:
            raise SpecError(self.mistakes())


def nearest(text: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known spelling that is meant, if any is as similar as `cutoff`, which is difflib's ratio."""
    if len(text) > _LONGEST_NAME:
        return None
    candidates = islice((name for name in known if len(name) <= _LONGEST_NAME), _MOST_NAMES)
    normal = {_normal(name): name for name in candidates}
    found = most_similar(_normal(text), normal, cutoff)
    return None if found is None else normal[found]


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def describe(node: Node) -> str:
    """What stands there, for a message."""
    match node:
        case Scalar():
            return "nothing" if node.value is None and node.text in ("", "~", "null") else excerpt(node.text)
        case SequenceNode():
            return "a list"
        case Mapping():
            return "a mapping"


def read_text(path: Path) -> str:
    """The text of a file of at most 1 MiB. Raises SpecError."""

    def wrong(found: str, expected: str, line: int = 1, column: int = 1, near: str | None = None) -> SpecError:
        return SpecError((Mistake(Location(path, line, column), found, expected, near),))

    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting
            raise wrong("a directory" if path.is_dir() else "something that is no file", "a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        near = nearest(path.name, _beside(path)) if isinstance(error, FileNotFoundError) else None
        raise wrong(f"a file that cannot be read ({reason})", "a readable file", near=near) from None
    if len(data) > MAX_BYTES:
        raise wrong("a file larger than 1 MiB", "at most 1 MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        raise wrong(f"the byte 0x{data[error.start]:02x}, which is not UTF-8", "UTF-8 text", line, column) from None
    if (control := _CONTROL.search(text)) is not None:
        at = control.start()
        line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
        raise wrong(f"the control character U+{ord(control[0]):04X}", "printable text", line, column)
    return text


def _beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def read_document(path: Path) -> Mapping:
    """The mapping that a YAML or JSON file holds. Raises SpecError."""
    return parse_document(path, read_text(path))


def parse_document(path: Path, text: str, *, first_line: int = 1) -> Mapping:
    """The mapping that `text` is, for a file of that path in which it begins at `first_line`. Raises SpecError."""
    try:
        node = compose_json(text) if path.suffix == ".json" else compose_yaml("\n" * (first_line - 1) + text)
    except DocumentError as error:
        location = Location(path, error.line, error.column)
        raise SpecError((Mistake(location, error.found, error.expected),)) from None
    if isinstance(node, Mapping):
        return node
    location = Location(path, node.line, node.column) if node else Location(path)
    found = describe(node) if node else "an empty file"
    raise SpecError((Mistake(location, found, "a mapping (`key: value`)"),))


class Fields:
    """A mapping that is read key by key. What was never asked for is reported by `close`.

    Every method that reads returns None (or nothing) where the key is absent or its value is wrong, which is noted.
    """

    def __init__(self, file: File, node: Mapping, what: str) -> None:
        """`what` names the mapping in messages: "an experiment"; an example after ", such as" is left out there."""
        self.file = file
        self.node = node
        self.what = what.partition(", such as")[0]
        self._known: set[str] = set()
        self._required: list[tuple[str, str]] = []
        for key in node.repeated:
            found, expected = f"the key {excerpt(key.text)} a second time", "each key once"
            if file.forgiving:
                file.warn(key, f"{found}, which is what counts", expected)
            else:
                file.mistake(key, found, expected)

    def has(self, key: str) -> bool:
        """Whether the key is there, whatever its value."""
        return key in self.node.entries

    def get(self, key: str) -> Node | None:
        """The value; the key counts as known from now on."""
        self._known.add(key)
        entry = self.node.entries.get(key)
        return entry[1] if entry else None

    def key(self, key: str) -> Node:
        """Where the key stands; where the mapping does when it has no such key."""
        entry = self.node.entries.get(key)
        return entry[0] if entry else self.node

    def require(self, key: str, expected: str) -> None:
        """Note when the key is absent. `expected` says what belongs there."""
        if not self.has(key):
            self._required.append((key, expected))

    def forgive(self, key: str) -> None:
        """Do not note that the key is absent: it is there, misspelt, and that has been noted."""
        self._required = [required for required in self._required if required[0] != key]

    def scalar[T](self, key: str, parse: Callable[[str], T], expected: str = "a text") -> T | None:
        """The value as `parse` reads its text; UnitError of `parse` becomes a mistake."""
        node = self.get(key)
        return None if node is None else self.parse(node, parse, expected)

    def parse[T](self, node: Node, parse: Callable[[str], T], expected: str) -> T | None:
        """A scalar as `parse` reads its text."""
        if not isinstance(node, Scalar) or node.value is None:
            self.file.mistake(node, describe(node), expected)
            return None
        try:
            return parse(node.text)
        except UnitError as error:
            self.file.mistake(node, error.found, error.expected)
            return None

    def text(self, key: str, expected: str = "a text") -> str | None:
        """A text that is not empty."""

        def parse(text: str) -> str:
            if not text.strip():
                raise UnitError("an empty text", expected)
            return text

        return self.scalar(key, parse, expected)

    def boolean(self, key: str) -> bool:
        """true or false; false when absent."""
        node = self.get(key)
        if node is None:
            return False
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self.file.mistake(node, describe(node), "true or false")
        return False

    def choice(self, key: str, choices: Sequence[str]) -> str | None:
        """One of the choices."""
        expected = f"one of {', '.join(choices)}"

        node = self.get(key)
        if node is None:
            return None
        text = self.parse(node, str, expected)
        if text is None or text in choices:
            return text
        self.file.mistake(node, excerpt(text), expected, nearest(text, choices))
        return None

    def items(self, key: str, expected: str = "a list", *, single: bool = False) -> list[Node]:
        """The items of a list; nothing there is an empty one. With `single`, a scalar stands for a list of one."""
        node = self.get(key)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return []
        if isinstance(node, SequenceNode):
            if len(node.items) > _MOST_ITEMS:
                self.file.mistake(node, f"a list of {len(node.items)}", f"at most {_MOST_ITEMS}")
            return node.items[:_MOST_ITEMS]
        if single and isinstance(node, Scalar):
            return [node]
        self.file.mistake(node, describe(node), expected)
        return []

    def texts(self, key: str, expected: str = "a list of texts") -> tuple[tuple[str, Node], ...]:
        """Each text of a list (or the one that stands in its place), with where it stands."""
        found = []
        for node in self.items(key, expected, single=True):
            text = self.parse(node, str, "a text")
            if text is not None:
                found.append((text, node))
        return tuple(found)

    def mapping(self, key: str, what: str) -> "Fields | None":
        """The mapping under the key; nothing there is as good as absent."""
        node = self.get(key)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return None
        return self.as_mapping(node, what)

    def as_mapping(self, node: Node, what: str) -> "Fields | None":
        """The node as a mapping."""
        if isinstance(node, Mapping):
            return Fields(self.file, node, what)
        self.file.mistake(node, describe(node), f"{what} (a mapping)")
        return None

    def opaque(self, key: str, what: str) -> JsonObject:
        """A mapping as plain JSON, not looked into."""
        fields = self.mapping(key, what)
        return fields.json() if fields else {}

    def json(self) -> JsonObject:
        """All of it, as plain JSON."""
        return {key: to_json(value) for key, (_, value) in self.node.entries.items()}

    def rest(self) -> list[tuple[str, Scalar, Node]]:
        """What has not been asked for: key, where it stands, value. From now on it counts as known."""
        found = [(key, *entry) for key, entry in self.node.entries.items() if key not in self._known]
        self._known |= {key for key, _, _ in found}
        return found

    def close(self, *, also: Iterable[str] = (), tolerant: bool = False, forgiving: bool = False) -> None:
        """Note keys that nobody asked for, and required ones that are absent.

        `also` are keys that are known and not read. A `tolerant` mapping may have keys of its own, unless they look
        like a misspelt one; one that is `forgiving`, in a forgiving file, only warns of these. Keys that begin with
        `x-` are the user's own everywhere.
        """
        known = self._known | set(also)
        absent = dict(self._required)
        unknown = [key for key in self.node.entries if key not in known and not key.startswith("x-")]
        for key in unknown[:_MOST_MISTAKES]:
            node = self.node.entries[key][0]
            near = nearest(key, known - self.node.entries.keys(), _SIMILAR if tolerant else 0.6)
            if tolerant and near is None:
                continue
            if tolerant and forgiving and self.file.forgiving:
                self.file.warn(node, f"the key {excerpt(key)}, which is passed over", f"a key of {self.what}", near)
                continue
            absent.pop(near or "", None)  # one mistake, not two
            listed = f"a key of {self.what}"
            if not near and len(known) <= 12:
                listed += f" ({', '.join(sorted(known))})"
            self.file.mistake(node, f"the key {excerpt(key)}", listed, near)
        for key, expected in absent.items():
            self.file.mistake(self.node, f"{self.what} without `{key}`", expected)
