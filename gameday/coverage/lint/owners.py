"""Lints who owns a runbook, by CODEOWNERS and Backstage's catalog-info.yaml.

Formats: GitHub's documentation, "About code owners", and
https://backstage.io/docs/features/software-catalog/descriptor-format (entity references: `[kind:][namespace/]name`).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from gameday.coverage.lint.base import Owners, Remark, Rule, remark
from gameday.spec.documents import split_documents
from gameday.spec.location import SpecError
from gameday.spec.nodes import DocumentError, Mapping, Node, Scalar
from gameday.spec.reader import nearest, read_text
from gameday.spec.runbook_page import RunbookPage
from gameday.spec.units import excerpt
from gameday.spec.yaml_nodes import compose_yaml

_CODEOWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")  # GitHub takes the first there is
_CATALOGUES = ("catalog-info.yaml", "catalog-info.yml")
_OWNER_KINDS = ("group", "user")


def read_owners(root: Path) -> Owners | None:
    """Everybody whom the files at the root of a repository name; None when there is no such file."""
    files = [root / name for name in _CODEOWNERS if (root / name).is_file()][:1]
    names = set(_code_owners(_text(files[0]))) if files else set()
    for name in _CATALOGUES:
        if (root / name).is_file():
            files.append(root / name)
            names.update(_catalogue(_text(root / name)))
    return Owners(frozenset(names), tuple(files)) if files else None


def check_owner(page: RunbookPage, owners: Owners | None) -> Iterator[Remark]:
    """An owner that nobody knows."""
    owner = page.runbook.owner
    if not owner or owners is None or _plain(owner) in owners.names:
        return
    for name in filter(None, (part.strip() for part in re.split(r",|;|\band\b|\s+(?=@)", owner))):
        if _plain(name) not in owners.names:
            expected = f"one that {' or '.join(file.name for file in owners.files)} names"
            near = nearest(_plain(name), sorted(owners.names))
            yield remark(Rule.OWNER_UNKNOWN, page.place("owner", owner), f"the owner {excerpt(name)}", expected, near)


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except SpecError:
        return ""


def _plain(name: str) -> str:
    """A handle, an e-mail address or a reference, as they are compared: the name alone, an address whole."""
    name = name.strip().lower()
    if "@" in name[1:]:
        return name
    return name.lstrip("@").rpartition(":")[2].rpartition("/")[2]


def _code_owners(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        # GitLab's sections name owners for all that follows: `[Name][2] @owner`.
        words = re.sub(r"(^|\s)#.*", "", re.sub(r"^\s*\^?\[[^\]]*\](\[\d+\])?", "section", line)).split()
        yield from (_plain(word) for word in words[1:] if "@" in word)


def _catalogue(text: str) -> Iterator[str]:
    for document in split_documents(text):
        try:
            node = compose_yaml(document)
        except DocumentError:
            continue
        if (_scalar(node, "kind") or "").lower() in _OWNER_KINDS and (name := _scalar(_get(node, "metadata"), "name")):
            yield _plain(name)
        if owner := _scalar(_get(node, "spec"), "owner"):
            yield _plain(owner)


def _get(node: Node | None, key: str) -> Node | None:
    return node.entries[key][1] if isinstance(node, Mapping) and key in node.entries else None


def _scalar(node: Node | None, key: str) -> str | None:
    found = _get(node, key)
    return found.text if isinstance(found, Scalar) else None
