"""Asks an API server: one connection, typed answers, every request within a deadline, retried where that is harmless.

API: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import msgspec
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError, ProxyError, SSLError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

from gameday.common.json import Json
from gameday.kubernetes.credentials import Credentials
from gameday.kubernetes.kubeconfig import load_access
from gameday.kubernetes.moment import lists_of_moment
from gameday.kubernetes.reference import ClusterError, ClusterRef

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
_JSON = "application/json"
_CONNECT_S = 3.0
_READ_S = 8.0  # without a byte
_DEADLINE_S = 12.0  # of one call, with all its retries
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 3.0
_CHUNK_BYTES = 256 * 1024
_MAX_BYTES = 64 * 1024 * 1024
_PAGE = 500  # objects
_LIST_EXPIRED = 410
_UPGRADED = 101


class Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""
    field: str = ""


class _Details(msgspec.Struct, frozen=True, rename="camel"):
    causes: tuple[Cause, ...] = ()
    retry_after_seconds: int = 0


class Status(msgspec.Struct, frozen=True):
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/"""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None
    status: str = ""  # Success or Failure


class ApiError(ClusterError):
    """The API server said no. `status` is HTTP's; `reason` the API's own word, such as "NotFound"."""

    def __init__(self, message: str, status: int, reason: str = "", causes: tuple[Cause, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = causes

    @property
    def is_missing(self) -> bool:
        """What was asked about is not there."""
        return self.status == 404

    @property
    def is_conflict(self) -> bool:
        """Something has changed since it was looked at, or is there already."""
        return self.status == 409

    @property
    def is_budget(self) -> bool:
        """A PodDisruptionBudget refuses the eviction."""
        return self.status == 429 and any(cause.reason == "DisruptionBudget" for cause in self.causes)


class _Metadata(msgspec.Struct, frozen=True):
    next: str = msgspec.field(name="continue", default="")


class _List[T](msgspec.Struct, frozen=True):
    items: list[T] | None  # never left out: another server's {} is no empty list
    metadata: _Metadata = _Metadata()


class Client:
    """One user at one API server. Not for several threads at a time."""

    def __init__(self, reference: ClusterRef, *, deadline_s: float = _DEADLINE_S) -> None:
        """Looks up the credentials; no request is sent yet. Raises ClusterError."""
        self._access = load_access(reference)
        self.reference = reference
        self.namespace = self._access.namespace
        self.server = self._access.server
        self._deadline_s = deadline_s
        self._credentials = Credentials(self._access)
        self._pool = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def _connect(self) -> urllib3.PoolManager:
        cluster = self._access.cluster
        options: dict[str, Any] = {"num_pools": 1, "maxsize": 1, "retries": False}
        if self.server.startswith("https://"):
            options["ssl_context"] = self._credentials.tls()
            if cluster.tls_server_name:
                options |= {"server_hostname": cluster.tls_server_name, "assert_hostname": cluster.tls_server_name}
            if cluster.insecure_skip_tls_verify:
                options |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return (
            urllib3.ProxyManager(cluster.proxy_url, **options) if cluster.proxy_url else urllib3.PoolManager(**options)
        )

    # -- objects

    def get[T](self, path: str, kind: type[T]) -> T:
        """One object. Raises ClusterError; ApiError with `is_missing` when it is not there."""
        return self._decode(self.request("GET", path), kind, path)

    def find[T](self, path: str, kind: type[T]) -> T | None:
        """One object, or None. Raises ClusterError."""
        try:
            return self.get(path, kind)
        except ApiError as error:
            if error.is_missing:
                return None
            raise

    def list[T](self, path: str, kind: type[T], *, labels: str = "", fields: str = "") -> list[T]:
        """All objects that match, chosen by the server and read a page at a time. Raises ClusterError."""
        moment, key = lists_of_moment(), (self._access.reference, path, kind, labels, fields)
        if moment is None:
            return list(self._whole(path, kind, labels, fields))
        if key not in moment:  # a namespace may be large, and the steps of a plan all look at it
            moment[key] = self._whole(path, kind, labels, fields)
        return list(moment[key])

    def _whole[T](self, path: str, kind: type[T], labels: str, fields: str) -> Sequence[T]:
        for attempt in (1, 2):
            try:
                return list(self._pages(path, kind, labels, fields))
            except ApiError as error:  # the list changed so much that its next page is gone
                if error.status != _LIST_EXPIRED or attempt == 2:
                    raise
        raise AssertionError

    def _pages[T](self, path: str, kind: type[T], labels: str, fields: str) -> Iterator[T]:
        query = {"limit": str(_PAGE)}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        while True:
            page = self._decode(self.request("GET", path, query=query), _List[kind], path)  # type: ignore[valid-type]
            yield from page.items or ()
            if not page.metadata.next:
                return
            query["continue"] = page.metadata.next

    def create[T](self, path: str, body: Mapping[str, Json], kind: type[T], *, dry_run: bool = False) -> T:
        """Create an object that names itself. Raises ClusterError; ApiError with `is_conflict` when it is there.

        Not tried again when no answer came: whether it is there can then be seen by its name.
        """
        data = self.request("POST", path, body=body, query=_dry(dry_run), repeatable=dry_run)
        return self._decode(data, kind, path)

    def patch[T](
        self, path: str, operations: Sequence[Mapping[str, Json]], kind: type[T], *, dry_run: bool = False
    ) -> T:
        """Apply a JSON patch (RFC 6902), all of it or nothing. Raises ClusterError.

        Begin it with a `test`: it is tried again when no answer came.
        """
        data = self.request("PATCH", path, body=list(operations), query=_dry(dry_run), content_type=JSON_PATCH)
        return self._decode(data, kind, path)

    def delete(
        self,
        path: str,
        *,
        uid: str | None = None,
        grace_s: int | None = None,
        propagation: str = "",
        dry_run: bool = False,
    ) -> None:
        """Delete exactly the object with this uid. Raises ClusterError: `is_conflict` when it is another one by now."""
        body: dict[str, Json] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        body |= {"preconditions": {"uid": uid}} if uid else {}
        body |= {"gracePeriodSeconds": grace_s} if grace_s is not None else {}
        body |= {"propagationPolicy": propagation} if propagation else {}
        body |= {"dryRun": ["All"]} if dry_run else {}  # beside a body, the API server does not heed the query
        self.request("DELETE", path, body=body)

    def _decode[T](self, data: bytes, kind: type[T], path: str) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.MsgspecError as error:
            raise ClusterError(f"{self._where(path)} does not answer like a Kubernetes API: {error}") from None
        except (ValueError, RecursionError):
            raise ClusterError(f"{self._where(path)} does not answer like a Kubernetes API") from None

    # -- requests

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Json | Mapping[str, Json] = None,
        query: Mapping[str, str] | None = None,
        content_type: str = _JSON,
        repeatable: bool = True,
        deadline_s: float | None = None,
    ) -> bytes:
        """The answer's body. What is `repeatable` is tried again, with pauses, until the deadline (in seconds).

        A server that says 429 asks to be asked again, and has done nothing; a budget that refuses is not asked again.
        Raises ClusterError.
        """
        data = None if body is None else msgspec.json.encode(body)
        headers = {} if data is None else {"Content-Type": content_type}
        target = f"{path}?{urlencode(query)}" if query else path
        deadline = time.monotonic() + (deadline_s or self._deadline_s)
        return self._ask(method, target, data, headers, deadline, repeatable=repeatable)[1]

    def upgrade(
        self, path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str], *, deadline_s: float, doubt: str
    ) -> urllib3.BaseHTTPResponse:
        """The answer by which the server gives the connection over to another protocol; whoever has it, closes it.

        Tried again only where nothing was done. `doubt` ends the message when nobody knows that. Raises ClusterError.
        """
        self._pool.clear()  # a kept connection may just be closing, and then nobody would know
        target = f"{path}?{urlencode(query)}"
        deadline = time.monotonic() + deadline_s
        return self._ask("GET", target, None, headers, deadline, repeatable=False, upgrades=True, doubt=doubt)[0]

    def _ask(
        self,
        method: str,
        target: str,
        data: bytes | None,
        headers: Mapping[str, str],
        deadline: float,
        *,
        repeatable: bool,
        upgrades: bool = False,
        doubt: str = "",
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        path = target.partition("?")[0]
        pause, renewed = _FIRST_PAUSE_S, False
        while True:
            wait_s = 0.0
            try:
                response, answer = self._send(method, self.server + target, data, headers, deadline)
                status = response.status
                if status == _UPGRADED if upgrades else 200 <= status < 300:
                    return response, answer
                wait_s = _retry_after(response.headers.get("Retry-After"))
                error: ClusterError = self._error(path, status, answer)
                again = status == 429 or (repeatable and status in (500, 502, 503, 504))
                if isinstance(error, ApiError) and error.is_budget:
                    raise error
                if status == 401 and self._credentials.can_renew and not renewed:
                    self._credentials.forget()
                    self._pool.clear()
                    self._pool, renewed = self._connect(), True
                    continue
            except (HTTPError, OSError) as failed:
                certain = _is_distrust(failed) or _carried_nothing(failed)
                error = ClusterError(f"{self._where(path)}: {_reason(failed)}{'' if certain else doubt}")
                again = not _is_distrust(failed) and (repeatable or _carried_nothing(failed))
            wait_s = max(wait_s, pause)
            if not again or time.monotonic() + wait_s > deadline:
                raise error
            time.sleep(wait_s)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _send(
        self, method: str, url: str, data: bytes | None, more: Mapping[str, str], deadline: float
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        """The answer and its body."""
        headers = self._credentials.headers()  # which may take a program's time
        headers.extend({"Accept": _JSON, "User-Agent": "gameday", **more})
        left = max(deadline - time.monotonic(), 0.1)
        response = self._pool.request(
            method,
            url,
            body=data,
            headers=headers,
            timeout=urllib3.Timeout(connect=min(_CONNECT_S, left), read=min(_READ_S, left)),
            redirect=False,
            preload_content=False,
        )
        if response.status == _UPGRADED:  # what follows is no body
            return response, b""
        try:
            found = bytearray()
            while part := response.read1(_CHUNK_BYTES):  # what has come by now: `read` waits for all of it
                found += part
                if len(found) > _MAX_BYTES:
                    raise ClusterError(f"{url.partition('?')[0]}: the answer is longer than {_MAX_BYTES >> 20} MiB")
                if (left := deadline - time.monotonic()) <= 0:
                    raise Urllib3TimeoutError("the answer came too slowly")
                connection = getattr(response.connection, "sock", None)
                if connection is not None:
                    connection.settimeout(min(_READ_S, left))
        except BaseException:
            response.close()  # what is left of the answer must not pass for the next one's
            raise
        response.release_conn()
        return response, bytes(found)

    def _error(self, path: str, status: int, answer: bytes) -> ApiError:
        try:
            said = msgspec.json.decode(answer, type=Status)
        except (ValueError, RecursionError):  # MsgspecError is a ValueError
            said = Status(" ".join(answer[:200].decode(errors="replace").split()))
        who = self._access.reference
        message = said.message or f"HTTP status {status}"
        if status == 401:
            message = f"the credentials of {who} are refused: they may have expired"
        causes = said.details.causes if said.details else ()
        text = f"{who}: {message}" if status != 404 or said.message else f"{self._where(path)}: not found"
        return ApiError(text, status, said.reason, causes)

    def _where(self, path: str) -> str:
        return f"the API server of {self._access.reference} ({self.server}{path})"


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}


def _retry_after(text: str | None) -> float:
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return min(max(0.0, seconds), 30.0)  # in this order nan is 0


def _is_distrust(error: Exception) -> bool:
    """One of the two does not accept the other's certificate, or speaks no TLS; not: it was cut off."""
    return isinstance(error, SSLError) and not isinstance(next(iter(error.args), None), ssl.SSLEOFError)


def _carried_nothing(error: Exception) -> bool:
    """There never was a connection, so nothing has been done."""
    if isinstance(error, ProxyError):
        return isinstance(error.original_error, NewConnectionError | ConnectTimeoutError)
    return isinstance(error, NewConnectionError | ConnectTimeoutError)


def _reason(error: Exception) -> str:
    match error:
        case NewConnectionError():  # to urllib3 it is a time-out, too
            return "cannot be reached"
        case Urllib3TimeoutError():
            return "no answer in time"
        case SSLError(args=(ssl.SSLCertVerificationError(), *_)):
            return f"its certificate is not trusted: {error}"
        case SSLError() if _is_distrust(error):
            return f"no TLS connection: {error}"
        case ProxyError():
            return f"its proxy: {_reason(error.original_error)}"
        case ProtocolError() | SSLError():
            return "the connection was cut off"
        case _:
            return getattr(error, "strerror", None) or str(error) or type(error).__name__


def join(*parts: str) -> str:
    """A path of the API from its parts, each of them quoted: "/api/v1/namespaces/shop/pods"."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
