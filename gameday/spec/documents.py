"""Takes a file of several YAML documents apart: each can then be read, or fail, for itself."""

import re
from collections.abc import Iterator

_MARK = re.compile(r"^---(?=\s|$)", re.MULTILINE)


def split_documents(text: str) -> Iterator[str]:
    """Each document that is not empty, with as many blank lines before it as there are lines in the file."""
    begins = 0
    for match in (*_MARK.finditer(text), None):
        until = match.start() if match else len(text)
        if text[begins:until].strip():
            yield "\n" * text.count("\n", 0, begins) + text[begins:until]
        begins = match.end() if match else until
