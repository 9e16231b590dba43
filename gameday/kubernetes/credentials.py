"""What goes with a request: a token, from the kubeconfig, a file or a program, or a client certificate.

Programs: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import contextlib
import json
import os
import ssl
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from urllib3 import HTTPHeaderDict

from gameday.kubernetes.kubeconfig import Access, Exec, decode_data
from gameday.kubernetes.reference import ClusterError

_EXEC_TIMEOUT_S = 20.0
_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_EARLY_S = 20.0  # a token that ends so soon is asked for anew


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None

    def __repr__(self) -> str:  # without the secrets
        return "_Status()"


class _ExecCredential(msgspec.Struct, frozen=True):
    status: _Status


class Credentials:
    """The credentials of one user. What a program or a file gives is kept until it expires or is refused."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._status: _Status | None = None
        if access.user.auth_provider:
            name = access.user.auth_provider.get("name")
            raise ClusterError(f"the auth-provider `{name}` is gone from Kubernetes; use an exec plugin or a token")

    @property
    def can_renew(self) -> bool:
        """Whether asking again may bring other credentials."""
        return self._access.user.exec is not None or self._access.user.token_file is not None

    def forget(self) -> None:
        """They were refused: the next request asks for new ones."""
        self._status = None

    def headers(self) -> HTTPHeaderDict:
        """The request's headers. Raises ClusterError."""
        user, headers = self._access.user, HTTPHeaderDict()
        token = user.token
        if user.token_file:
            token = _read_token(Path(user.token_file))
        elif user.exec and not token:
            token = self._from_program(user.exec).token
        if token:
            if not (token.isascii() and token.isprintable()):  # whoever refuses it later would quote it
                raise ClusterError(f"the token of {self._access.reference} has characters that no token has")
            headers["Authorization"] = f"Bearer {token}"
        elif user.username:
            headers["Authorization"] = "Basic " + b64encode(f"{user.username}:{user.password or ''}".encode()).decode()
        if user.impersonate:
            headers["Impersonate-User"] = user.impersonate
        for group in user.impersonate_groups or ():
            headers.add("Impersonate-Group", group)
        return headers

    def tls(self) -> ssl.SSLContext:
        """How to trust the server, with the client's certificate if there is one. Raises ClusterError."""
        cluster, user = self._access.cluster, self._access.user
        try:
            if cluster.certificate_authority_data:
                data = decode_data(cluster.certificate_authority_data, "certificate-authority-data")
                context = ssl.create_default_context(
                    cadata=data.decode("ascii", "ignore")
                )  # comments need not be ASCII
            elif cluster.certificate_authority:
                context = ssl.create_default_context(cafile=cluster.certificate_authority)
            else:  # no sooner: to read all that the machine trusts takes 20 ms
                context = ssl.create_default_context()
            # Python's strictness since 3.13 refuses certificates that clusters have and kubectl takes.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if cluster.insecure_skip_tls_verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            pair = None
            if user.client_certificate_data or user.client_certificate:
                pair = (
                    _data_or_file(user.client_certificate_data, user.client_certificate, "client-certificate"),
                    _data_or_file(user.client_key_data, user.client_key, "client-key"),
                )
            elif user.exec and not user.token:
                status = self._from_program(user.exec)
                if status.client_certificate_data and status.client_key_data:
                    pair = (status.client_certificate_data.encode(), status.client_key_data.encode())
            if pair:
                with _as_file(b"\n".join(pair)) as path:
                    context.load_cert_chain(path, password="")  # else OpenSSL asks at the terminal
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "strerror", None) or str(error)
            raise ClusterError(f"the certificates of {self._access.reference} cannot be used: {reason}") from None
        return context

    def _from_program(self, program: Exec) -> _Status:
        if self._status is None or _expires_soon(self._status):
            self._status = _run(program, self._access)
        return self._status


def _data_or_file(data: str | None, path: str | None, what: str) -> bytes:
    if data:
        return decode_data(data, f"{what}-data")
    if path:
        return Path(path).read_bytes()
    raise ValueError(f"there is no {what}")


def _read_token(path: Path) -> str:
    try:
        token = path.read_text().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ClusterError(f"cannot read the token {path}: {reason}") from None
    if not token:  # without one we would be somebody else
        raise ClusterError(f"the token {path} is empty")
    return token


def _expires_soon(status: _Status) -> bool:
    return status.expiration_timestamp is not None and status.expiration_timestamp.timestamp() < time.time() + _EARLY_S


def _run(program: Exec, access: Access) -> _Status:
    if program.api_version not in _EXEC_VERSIONS:
        raise ClusterError(f"the exec plugin `{program.command}` speaks {program.api_version}, not {_EXEC_VERSIONS[0]}")
    command = program.command
    if os.sep in command and not Path(command).is_absolute():
        command = str(access.directory / command)
    spec: dict[str, object] = {"interactive": False}
    if program.provide_cluster_info:
        spec["cluster"] = {
            "server": access.server,
            "certificate-authority-data": access.cluster.certificate_authority_data,
            "tls-server-name": access.cluster.tls_server_name,
            "insecure-skip-tls-verify": access.cluster.insecure_skip_tls_verify,
        }
    info = {"apiVersion": program.api_version, "kind": "ExecCredential", "spec": spec}
    environ = os.environ | {item.name: item.value for item in program.env or ()}
    try:
        done = subprocess.run(
            [command, *(program.args or ())],
            env=environ | {"KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_EXEC_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"the exec plugin `{command}` gave no credentials within {_EXEC_TIMEOUT_S:g} s") from None
    except (OSError, ValueError) as error:  # a ValueError: what no program can be given
        hint = f"; {program.install_hint.strip()}" if program.install_hint else ""
        reason = getattr(error, "strerror", None) or "its name, arguments or environment are not valid"
        raise ClusterError(f"the exec plugin `{command}` cannot be run: {reason}{hint}") from None
    if done.returncode:
        said = " ".join(done.stderr[-300:].decode(errors="replace").split())
        raise ClusterError(f"the exec plugin `{command}` ended with {done.returncode}: {said}")
    try:
        status = msgspec.json.decode(done.stdout, type=_ExecCredential).status
    except msgspec.MsgspecError as error:
        raise ClusterError(f"the exec plugin `{command}` printed no ExecCredential: {error}") from None
    except (ValueError, RecursionError):  # its text may quote what was printed
        raise ClusterError(f"the exec plugin `{command}` printed no ExecCredential") from None
    if not status.token and not (status.client_certificate_data and status.client_key_data):
        raise ClusterError(f"the exec plugin `{command}` gave neither a token nor a certificate with its key")
    return status


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path by which OpenSSL can read a key that must not be left on a disk should we be killed."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("gameday")
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name
