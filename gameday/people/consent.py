"""Who consents to that exactly these files are run in an environment: a log that is only ever appended to."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from gameday.common.codec import decode
from gameday.common.files import append_lines, sync_directory
from gameday.spec.model import Approval, Experiment, Project

_NAME = "approvals.jsonl"
_MAX_BYTES = 4 * 1024 * 1024


class Consent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One person's word. `author`: as their chat calls them; `login`: as the machine on which they gave it does;
    `sha256`: the fingerprint of what may be run; `at`: Unix time. The last word of each author counts."""

    at: float
    author: str
    login: str
    sha256: str
    title: str = ""
    environment: str = ""
    comment: str = ""
    is_withdrawn: bool = False


def consent_path(approval: Approval, root: Path) -> Path:
    """Where the consent that a policy wants is kept."""
    return approval.file or root / ".gameday" / _NAME


def digest_files(game_day: Path | None, experiments: Sequence[Experiment]) -> str:
    """Of what the files say now, SHA-256 in hexadecimal. A file that cannot be read counts as an empty one."""
    contents = []
    for path in [*([game_day] if game_day else []), *(experiment.path for experiment in experiments)]:
        try:
            contents.append(path.read_bytes())
        except OSError:
            contents.append(b"")
    return _digest(contents)


def fingerprint(
    environment: str, game_day: Path | None, experiments: Sequence[Experiment], contents: str | None = None
) -> str:
    """What somebody consents to, SHA-256 in hexadecimal: the environment's name, all files, and the configuration and
    the way of running, which the command line can change. `contents`: of `digest_files` when they were read, for they
    may have been changed since."""
    parts = [environment, contents or digest_files(game_day, experiments)]
    for experiment in experiments:
        parts.append(json.dumps(experiment.configuration, sort_keys=True, default=str))
        parts.append(msgspec.json.encode(experiment.runtime).decode())
    return _digest(map(str.encode, parts))


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def add_consent(path: Path, consent: Consent) -> None:
    """Append it, on disk when this returns. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        append_lines(descriptor, msgspec.json.encode(consent) + b"\n", str(path))
    finally:
        os.close(descriptor)
    sync_directory(path.parent)


def read_consent(path: Path, sha256: str) -> tuple[Consent, ...]:
    """Who consents to what has this fingerprint, the oldest first: what was withdrawn is left out. Lines that are torn
    or unknown are passed over. Raises OSError when there is a file that cannot be read, or one that is too large."""
    found: dict[str, Consent] = {}
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return ()
    if len(data) > _MAX_BYTES:
        raise OSError(None, f"larger than {_MAX_BYTES // 1024 // 1024} MiB", str(path))
    for line in data.splitlines():
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            consent = decode(line, Consent)
            if consent.sha256 == sha256:
                found.pop(_same(consent.author), None)
                found[_same(consent.author)] = consent
    return tuple(consent for consent in found.values() if not consent.is_withdrawn)


def has_consented(author: str, consents: Iterable[Consent]) -> bool:
    """Whether there is any by this author."""
    return any(_same(consent.author) == _same(author) for consent in consents)


def find_consent(
    approval: Approval, project: Project, consents: Iterable[Consent], runner: str, now: float
) -> tuple[Consent | None, str]:
    """The consent that counts for `runner`, who wants to run it now (Unix time); without one, why none does."""
    allowed = {_same(member) for handle in approval.by for member in project.group(handle) or (handle,)}
    reason = "nobody has consented to these files as they are"
    for consent in reversed(tuple(consents)):
        if _same(runner) in (_same(consent.author), _same(consent.login)):
            reason = f"{consent.author} consents, and would run it: it takes a second person"
        elif allowed and _same(consent.author) not in allowed:
            reason = f"{consent.author} consents, whom the policy does not name"
        elif not 0 <= now - consent.at <= approval.within_s:
            reason = f"the consent of {consent.author} has run out"
        else:
            return consent, ""
    return None, reason


def _same(name: str) -> str:
    """By which it is told whether two names are one person's."""
    return name.strip().removeprefix("@").casefold()
