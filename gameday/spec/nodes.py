"""The tree of a user's file: scalars, sequences and mappings that know where they stand.

Lines and columns count from 1. `weight` is how many nodes a tree has once aliases are written out; every hundred
characters of a text count as one more.
"""

import msgspec

from gameday.common.json import Json, JsonScalar

MAX_DEPTH = 64
MAX_WEIGHT = 100_000
CHARACTERS_A_WEIGHT = 100
MAX_BYTES = 1 << 20


class DocumentError(Exception):
    """The file is not one document of the kind; nothing in it can be read."""

    def __init__(self, line: int, column: int, found: str, expected: str) -> None:
        super().__init__(f"{line}:{column}: found {found}, expected {expected}")
        self.line = line
        self.column = column
        self.found = found
        self.expected = expected


class Scalar(msgspec.Struct, eq=False):
    """`text` as written (without quotes); `value` as the format understands it."""

    line: int
    column: int
    text: str
    value: JsonScalar
    weight: int = 1


class Sequence(msgspec.Struct, eq=False):
    line: int
    column: int
    items: list["Node"]
    weight: int = 1


class Mapping(msgspec.Struct, eq=False):
    """`entries`: key to (where the key stands, value). `repeated`: keys that stand there more than once."""

    line: int
    column: int
    entries: dict[str, tuple[Scalar, "Node"]]
    repeated: list[Scalar]
    weight: int = 1


type Node = Scalar | Sequence | Mapping


def to_json(node: Node) -> Json:
    """The plain value, aliases written out."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [to_json(item) for item in node.items]
        case Mapping():
            return {key: to_json(value) for key, (_, value) in node.entries.items()}


def too_deep(line: int, column: int) -> DocumentError:
    """The mistake of nesting that no person writes."""
    return DocumentError(line, column, f"more than {MAX_DEPTH} levels of nesting", f"at most {MAX_DEPTH}")


def too_many(line: int, column: int) -> DocumentError:
    """The mistake of a document that is too large, most often by aliases of aliases."""
    return DocumentError(
        line, column, f"more than {MAX_WEIGHT} values once aliases are written out", f"at most {MAX_WEIGHT}"
    )
