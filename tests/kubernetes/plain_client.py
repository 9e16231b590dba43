"""An independent HTTP client for API servers, so that no test believes the code that it tests."""

import http.client
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

import msgspec
from audit import FIXTURE_AGENT

type Answer = tuple[int, Any]


class PlainClient:
    """Keeps one connection for each thread, and sends a request once more where a kept connection was closed.

    Without `keep` it sends each request exactly once.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None = None, *, keep: bool = True) -> None:
        self._url, self._tls, self._keep = urlsplit(url), tls, keep
        self._kept = threading.local()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str = "",
        content_type: str = "application/json",
        agent: str = FIXTURE_AGENT,
        timeout_s: float = 20,
    ) -> Answer:
        """HTTP status, and the document or the text. Raises OSError and HTTPException."""
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        headers = {"User-Agent": agent, "Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Content-Type": content_type} if data is not None else {}
        connection: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        for is_fresh in (connection is None, True):
            connection = connection or self._connect(timeout_s)
            try:
                connection.request(method, path, data, headers)
                response = connection.getresponse()
                text = response.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                connection.close()
                self._kept.connection = connection = None
                if is_fresh:
                    raise
                continue
            except BaseException:
                connection.close()
                self._kept.connection = None
                raise
            if self._keep:
                self._kept.connection = connection
            else:
                connection.close()
            is_json = response.headers.get("Content-Type", "").startswith("application/json")
            return response.status, msgspec.json.decode(text) if is_json else text.decode()
        raise AssertionError

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
