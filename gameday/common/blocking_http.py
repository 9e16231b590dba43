"""A small synchronous HTTP client for faults: one request, one bounded answer, no proxies, no redirects."""

import http.client
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

import msgspec

_CHUNK_BYTES = 64 * 1024


class HttpError(Exception):
    """No usable answer came; the message names the request (without its query, which may be secret) and says why."""


class Response(msgspec.Struct, frozen=True):
    """What the server answered, whatever its status."""

    status: int
    body: bytes


def request(
    method: str,
    url: str,
    timeout_s: float,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    max_bytes: int = 4 * 1024 * 1024,
) -> Response:
    """Send one request and read the whole answer.

    `timeout_s`, in seconds, bounds each wait until the answer begins, and then the whole of its body. A body longer
    than `max_bytes` is an error. Proxy settings of the environment are not used: a fault must reach exactly the address
    that it planned with. Raises HttpError.
    """
    parts, port = _split(url)
    shown = f"{method} {parts.scheme}://{parts.hostname}{f':{port}' if port else ''}{parts.path}"
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", port, timeout=timeout_s)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        connected = connection.sock  # the connection lets go of it when the server says that it will close
        response = connection.getresponse()
        deadline = time.monotonic() + timeout_s
        data = bytearray()
        while not response.isclosed():
            connected.settimeout(max(deadline - time.monotonic(), 0.001))
            part = response.read1(_CHUNK_BYTES)
            if not part:
                break
            data += part
            if len(data) > max_bytes:
                raise HttpError(f"{shown}: the answer is longer than {max_bytes} bytes")
        if response.length:
            raise HttpError(f"{shown}: the answer was cut off")
        return Response(response.status, bytes(data))
    except TimeoutError as error:
        raise HttpError(f"{shown}: no answer within {timeout_s:g} s") from error
    except http.client.HTTPException as error:  # before OSError: a disconnection is both
        raise HttpError(f"{shown}: the answer is not HTTP, or was cut off ({type(error).__name__})") from error
    except OSError as error:
        raise HttpError(f"{shown}: {error.strerror or error}") from error
    except ValueError as error:  # a control character in the path or in a header
        raise HttpError(f"{shown}: the request cannot be sent: {error}") from error
    finally:
        connection.close()


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise HttpError(f"not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HttpError("not a URL that starts with http:// or https:// and a host")
    return parts, port
