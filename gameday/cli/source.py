"""Brings an experiment, or a runbook, that is named by an http(s) URL to this machine, as `chaos run` does."""

import base64
import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit

import click

from gameday.cli.output import fail, reason_of, say
from gameday.spec.runbook import is_url, source_of

_TIMEOUT_S = 30.0
_DOCUMENTS = "application/json, application/x-yaml"
_MAX_BYTES = 1024 * 1024  # as of any file that a user writes
_TOKEN = "CHAOSTOOLKIT_LOADER_AUTH_BEARER_TOKEN"  # noqa: S105 - the name of the Toolkit's variable, no secret
_SETTINGS = Path("~/.chaostoolkit/settings.yaml")
_KINDS = {"application/json": ".json", "application/x-yaml": ".yaml", "application/yaml": ".yaml", "text/yaml": ".yaml"}
_fetched: dict[Path, str] = {}  # copies, and what they are copies of


def local_runbook(source: str) -> Path:
    """The same for a runbook. The page on which GitHub shows a file stands for the file itself."""
    return local_file(source_of(source), accept="text/markdown, text/plain", suffix=".md")


def local_file(source: str, *, accept: str = _DOCUMENTS, suffix: str | None = None) -> Path:
    """The path; for a URL, of a copy of what it gives now, which goes when the verb ends. Ends the program with status
    2 when it gives nothing.

    The request is authorized like the Toolkit's loader's: by its variable, or by `auths` in its settings
    (https://chaostoolkit.org/reference/usage/settings/).
    """
    if not is_url(source):
        return Path(source)
    import urllib.request
    from http.client import HTTPException
    from urllib.error import HTTPError

    from gameday.common.waiting import within

    try:
        parts = urlsplit(source)
        headers = {"Accept": accept, "User-Agent": "gameday"}
        address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        request = urllib.request.Request(address, headers=headers)  # noqa: S310 - http and https only, see above
        if authorization := _authorization(parts):
            request.add_unredirected_header("Authorization", authorization)  # it is for this server alone

        def get() -> tuple[bytes, str]:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                return response.read(_MAX_BYTES + 1), response.headers.get_content_type()

        content, kind = within(_TIMEOUT_S, get)
    except HTTPError as error:
        fail(f"{_shown(source)}: HTTP {error.code} {error.reason}")
    except (OSError, ValueError, HTTPException) as error:
        cause = getattr(error, "reason", error)  # of urllib's own error
        why = reason_of(cause) if isinstance(cause, Exception) else str(cause)
        fail(f"{_shown(source)}: {why or type(error).__name__}")
    if len(content) > _MAX_BYTES:
        fail(f"{_shown(source)}: it is larger than {_MAX_BYTES // 1024} KiB")
    name = PurePosixPath(parts.path)
    if suffix and kind == "text/html":
        fail(f"{_shown(source)}: a page of HTML; expected Markdown, as of the file that it is made from")
    suffix = suffix or (name.suffix if name.suffix in (".json", ".yaml", ".yml") else _KINDS.get(kind, ".yaml"))
    path = _directory() / f"{name.stem or 'experiment'}{suffix}"
    path.write_bytes(content)
    _fetched[path] = _shown(source)
    say(f"fetched {_shown(source)}")
    return path


def fetched_from(path: Path) -> str | None:
    """The URL, as it may be shown, of which the path is a copy."""
    return _fetched.get(path)


def _directory() -> Path:
    """A new one for the copy. Helpers that are forked meanwhile know nothing of its end."""
    import shutil
    import tempfile

    directory = Path(tempfile.mkdtemp(prefix="gameday-"))
    click.get_current_context().call_on_close(lambda: shutil.rmtree(directory, ignore_errors=True))
    return directory


def _shown(source: str) -> str:
    """Without what may be secret in it: user, password and query."""
    return re.sub(r"//[^/@]*@", "//", source).partition("?")[0]


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return f"basic {base64.b64encode(pair.encode()).decode()}"
    if token := os.environ.get(_TOKEN, "").strip():
        return f"bearer {token}"
    import yaml

    try:
        settings = yaml.safe_load(_SETTINGS.expanduser().read_text(encoding="utf-8"))
        entry = settings["auths"][parts.netloc]
        return f"{entry['type']} {entry['value']}"
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None  # none is named
