"""Signatures under a run: who has accepted what its journal says, beside the journal and void once that has changed."""

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from gameday.common.codec import decode
from gameday.common.files import sync_directory
from gameday.journal.events import Role
from gameday.journal.log import JOURNAL_NAME

NAME = "signatures.jsonl"
_MAX_BYTES = 1024 * 1024
_CHUNK = 1024 * 1024


class Signature(msgspec.Struct, frozen=True):
    """`sha256`: of the journal as it was signed, in hexadecimal. `at`: a Unix time."""

    author: str
    role: Role
    at: float
    sha256: str
    comment: str = ""


class Signed(msgspec.Struct, frozen=True):
    """A signature, and whether the journal is still the one that was signed."""

    signature: Signature
    is_valid: bool


def journal_hash(run_directory: Path) -> str:
    """SHA-256 of the whole journal, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with (run_directory / JOURNAL_NAME).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def add_signature(run_directory: Path, signature: Signature) -> None:
    """Append it, on disk when this returns. Raises OSError."""
    path = run_directory / NAME
    line = msgspec.json.encode(signature) + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(run_directory)


def read_signatures(run_directory: Path) -> tuple[Signed, ...]:
    """All signatures, the oldest first; of each person in each role the last alone. Damaged lines are passed over."""
    found: dict[tuple[str, Role], Signature] = {}
    with contextlib.suppress(OSError):
        path = run_directory / NAME
        if path.stat().st_size <= _MAX_BYTES:
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    signature = decode(line, Signature)
                    found.pop((signature.author, signature.role), None)
                    found[signature.author, signature.role] = signature
    if not found:
        return ()
    try:
        now = journal_hash(run_directory)
    except OSError:
        now = ""
    return tuple(Signed(signature, signature.sha256 == now) for signature in found.values())
