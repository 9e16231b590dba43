"""Reads kubeconfig files, or the service account of the pod that we run in, down to one server and one user.

Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/; how several files are merged:
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files
"""

import base64
import binascii
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gameday.kubernetes.reference import ClusterError, ClusterRef

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_MAX_BYTES = 4 * 1024 * 1024


class ExecEnv(msgspec.Struct, frozen=True):
    name: str
    value: str

    def __repr__(self) -> str:  # a value may be a secret
        return f"ExecEnv({self.name!r})"


class Exec(msgspec.Struct, frozen=True, rename="camel"):
    """A program that prints credentials."""

    api_version: str
    command: str
    args: tuple[str, ...] | None = None
    env: tuple[ExecEnv, ...] | None = None
    install_hint: str = ""
    provide_cluster_info: bool = False


class User(msgspec.Struct, frozen=True, rename="kebab"):
    token: str | None = None
    token_file: str | None = msgspec.field(name="tokenFile", default=None)
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    username: str | None = None
    password: str | None = None
    exec: Exec | None = None
    auth_provider: dict[str, Any] | None = None
    impersonate: str | None = msgspec.field(name="as", default=None)
    impersonate_groups: tuple[str, ...] | None = msgspec.field(name="as-groups", default=None)

    def __repr__(self) -> str:  # without the secrets
        return "User()"


class Cluster(msgspec.Struct, frozen=True, rename="kebab"):
    server: str
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None

    def __repr__(self) -> str:  # a proxy's URL may have a password in it
        return f"Cluster({self.server!r})"


class _Context(msgspec.Struct, frozen=True):
    cluster: str = ""
    user: str = ""
    namespace: str | None = None


class Access(msgspec.Struct, frozen=True):
    """One server and one user. `directory` is what paths of the user's are relative to."""

    reference: ClusterRef
    cluster: Cluster
    user: User
    namespace: str
    directory: Path

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at its end."""
        return self.cluster.server.rstrip("/")


def load_access(reference: ClusterRef, environ: dict[str, str] | None = None) -> Access:
    """Look up what the reference means now. Raises ClusterError."""
    environ = dict(os.environ) if environ is None else environ
    if reference.in_cluster:
        return _service_account(reference, environ)
    if not reference.context:
        raise ClusterError("no context is named, and the current one of a shell is never taken for what is meant")
    files = _files(reference, environ)
    documents = [(path, _read(path)) for path in files]
    if not documents:
        raise ClusterError("there is no kubeconfig: neither $KUBECONFIG nor ~/.kube/config is a file")
    context, _ = _entry(documents, "contexts", "context", reference.context, _Context, f"the context of {reference}")
    what = f"the context `{reference.context}`"
    cluster, where = _entry(documents, "clusters", "cluster", context.cluster, Cluster, f"the cluster of {what}")
    user, directory = _entry(documents, "users", "user", context.user, User, f"the user of {what}")
    if not _is_url(cluster.server):
        raise ClusterError(f"{where}: the server of the cluster `{context.cluster}` is no http(s) URL")
    if cluster.proxy_url and not _is_url(cluster.proxy_url, with_user=True):
        raise ClusterError(f"{where}: the proxy-url of the cluster `{context.cluster}` is no http(s) URL")
    cluster = msgspec.structs.replace(
        cluster, certificate_authority=_below(where.parent, cluster.certificate_authority)
    )
    user = msgspec.structs.replace(
        user,
        client_certificate=_below(directory.parent, user.client_certificate),
        client_key=_below(directory.parent, user.client_key),
        token_file=_below(directory.parent, user.token_file),
    )
    namespace = reference.namespace or context.namespace or "default"
    return Access(reference, cluster, user, namespace, directory.parent.absolute())


def _is_url(text: str, with_user: bool = False) -> bool:
    """Whether it is http(s)://host[:port][/path]; a name and a password in it would get into messages."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = with_user or not ("@" in parts.netloc or parts.query or parts.fragment)
    host = bool(parts.hostname) and port != 0 and not any(character.isspace() for character in text)
    return parts.scheme in ("http", "https") and host and plain


def decode_data(text: str, what: str) -> bytes:
    """What a `…-data` field holds. Raises ClusterError."""
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        raise ClusterError(f"{what} of the kubeconfig is not base64") from None


def _service_account(reference: ClusterRef, environ: dict[str, str]) -> Access:
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = SERVICE_ACCOUNT / "token"
    if not host or not token.is_file():
        missing = "$KUBERNETES_SERVICE_HOST is not set" if not host else f"{token} is not there"
        raise ClusterError(f"gameday does not run in a pod with a service account: {missing}")
    try:
        own = (SERVICE_ACCOUNT / "namespace").read_text().strip()
    except OSError:
        own = ""
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(
        reference,
        Cluster(server, certificate_authority=str(SERVICE_ACCOUNT / "ca.crt")),
        User(token_file=str(token)),
        reference.namespace or own or "default",
        SERVICE_ACCOUNT,
    )


def _files(reference: ClusterRef, environ: dict[str, str]) -> list[Path]:
    if reference.kubeconfig:
        return [_path(reference.kubeconfig)]
    listed = [_path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [path for path in listed or [_path("~/.kube/config")] if path.is_file()]


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib's fails for a user who is not there


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no path"
        raise ClusterError(f"cannot read the kubeconfig {path}: {reason}") from None
    if len(data) > _MAX_BYTES:
        raise ClusterError(f"the kubeconfig {path} is larger than 4 MiB")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(data, loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
        # Its text would quote the file, and that has keys in it.
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ClusterError(f"the kubeconfig {path}{where} is not YAML") from None
    if document is None:  # empty, as kubectl too takes it
        return {}
    if not isinstance(document, dict):
        raise ClusterError(f"the kubeconfig {path} is not a mapping")
    return document


def _entry[T](
    documents: list[tuple[Path, dict[str, Any]]], section: str, key: str, name: str, kind: type[T], what: str
) -> tuple[T, Path]:
    """The first entry of that name, and its file. Raises ClusterError."""
    names: list[str] = []
    for path, document in documents:
        entries = document.get(section)
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict):
                continue
            if entry.get("name") != name:
                names.append(str(entry.get("name")))
                continue
            try:
                return msgspec.convert(entry.get(key) or {}, kind), path
            except msgspec.ValidationError as error:
                raise ClusterError(f"{path}: the {key} `{name}` is not valid: {error}") from None
    from gameday.common.texts import most_similar

    near = most_similar(name, names)
    hint = f"; did you mean `{near}`?" if near else f"; there are {', '.join(sorted(names)) or 'none'}"
    shown = ", ".join(str(path) for path, _ in documents)
    raise ClusterError(f"{shown}: there is no {key} `{name}`, which would be {what}{hint}")


def _below(directory: Path, path: str | None) -> str | None:
    return str(directory / path) if path else None
