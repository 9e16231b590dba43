"""The webhook of one's own, against a loopback server that checks signatures as docs/channels.md says."""

import asyncio
import hashlib
import hmac
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gameday.common.http import HttpClient, HttpError, parse_url
from gameday.notify.base import Channel, ChannelError, Detail, Kind, Level, Session, Status
from gameday.notify.teams import Teams, card_of
from gameday.notify.webhook import Webhook
from gameday.spec.model import ChannelConfig
from tests.notify.test_annotations import STARTED
from tests.serving import Serving, StandInHandler

DETAIL = Detail(Kind.ALERT, "Alert Down firing", 101.0, 1.0, ("*2* of 8 are [gone](x)",), Level.WARNING)
STATUS = Status("s", "A day", "staging", "holding", 3.0, Level.INFO, ())


class Server:
    """Takes POSTs. `answers`: status and headers of the next ones; then 202."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.body = b"ok"
        outer = self

        class Handler(StandInHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(({key.lower(): value for key, value in self.headers.items()}, body))
                status, headers = outer.answers.pop(0) if outer.answers else (202, {})
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(outer.body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(outer.body)

        self.serving = Serving(Handler)

    @property
    def url(self) -> str:
        return f"{self.serving.url}/hook"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.serving.close()


def use(channel: Channel, *details: Detail, status: Status | None = None) -> None:
    async def work() -> None:
        await channel.open(Session(STARTED, Path("run")))
        try:
            if status is not None:
                await channel.show(status)
            await channel.say(details)
        finally:
            await channel.close()

    asyncio.run(work())


def test_each_request_is_signed(server: Server) -> None:
    use(Webhook(ChannelConfig("webhook", server.url, "a secret")), DETAIL, DETAIL, status=STATUS)
    for headers, body in server.requests:
        signed = hmac.new(b"a secret", headers["x-gameday-timestamp"].encode() + b"." + body, hashlib.sha256)
        assert headers["x-gameday-signature"] == f"sha256={signed.hexdigest()}"
        assert headers["content-type"] == "application/json"
    status, messages = (json.loads(body) for _, body in server.requests)
    head = {"schema": 1, "session": STARTED.session, "title": "A day", "environment": "staging"}
    assert head.items() <= status.items()
    assert (status["type"], status["status"]["state"]) == ("status", "holding")
    assert [one["title"] for one in messages["messages"]] == ["Alert Down firing"] * 2
    docs = (Path(__file__).parents[2] / "docs" / "channels.md").read_text("utf-8")
    for key in {*status, *status["status"], *messages, *messages["messages"][0]}:
        assert f"`{key}`" in docs, f"docs/channels.md does not say what {key} is"


def test_without_a_secret_there_is_no_signature(server: Server) -> None:
    use(Webhook(ChannelConfig("webhook", server.url)), DETAIL)
    assert "x-gameday-signature" not in server.requests[0][0]


@pytest.mark.parametrize("kind", [Webhook, Teams])
@pytest.mark.parametrize(
    ("status", "headers", "retry_after_s", "is_final"),
    [
        (429, {"Retry-After": "12"}, 12.0, False),
        (429, {}, 5.0, False),
        (410, {}, None, True),
        (403, {}, None, True),
        (500, {}, None, False),
    ],
)
def test_refusals(
    server: Server,
    kind: type[Webhook] | type[Teams],
    status: int,
    headers: dict[str, str],
    retry_after_s: float | None,
    is_final: bool,
) -> None:
    server.answers = [(status, headers)]
    with pytest.raises(ChannelError, match=f"HTTP {status}") as raised:
        use(kind(ChannelConfig("x", server.url)), DETAIL)
    assert (raised.value.retry_after_s, raised.value.is_final) == (retry_after_s, is_final)


def test_one_that_is_not_there_may_be_asked_again() -> None:
    with pytest.raises(ChannelError) as raised:
        use(Webhook(ChannelConfig("webhook", "http://127.0.0.1:9/")), DETAIL)
    assert raised.value.retry_after_s == 1.0


@pytest.mark.parametrize("kind", [Webhook, Teams])
def test_a_url_that_is_none(kind: type[Webhook] | type[Teams]) -> None:
    with pytest.raises(ChannelError, match="expected http:// or https://"):
        kind(ChannelConfig("x", "nowhere"))


# -- Microsoft Teams


def card(server: Server) -> dict[str, object]:
    """By the shape of learn.microsoft.com/…/add-incoming-webhook#send-adaptive-cards-using-an-incoming-webhook."""
    body = server.requests[-1][1]
    assert len(body) <= 28 * 1024
    message = json.loads(body)
    (attachment,) = message["attachments"]
    assert message["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    content = attachment["content"]
    assert (content["type"], content["version"]) == ("AdaptiveCard", "1.4")
    assert all(block["type"] == "TextBlock" and block["text"] for block in content["body"])
    assert isinstance(content, dict)
    return content


def test_teams_has_a_card(server: Server) -> None:
    use(Teams(ChannelConfig("teams", server.url)), DETAIL)
    head, line = card(server)["body"]  # type: ignore[misc]
    assert (head["text"], head["color"]) == ("Alert Down firing (1s)", "warning")
    assert line["text"] == "\\*2\\* of 8 are \\[gone\\](x)", "nothing of it is taken for markup"


def test_teams_is_not_told_everything(server: Server) -> None:
    use(Teams(ChannelConfig("teams", server.url)), Detail(Kind.STAGE, "t", 1.0, 1.0))
    assert server.requests == []


def test_a_card_is_never_too_large(server: Server) -> None:
    long = Detail(Kind.VERDICT, "\x00é" * 5000, 1.0, 1.0, tuple("<*é" * 500 for _ in range(100)))
    use(Teams(ChannelConfig("teams", server.url)), *[long] * 10)
    assert card(server)


def test_every_detail_is_on_the_card() -> None:
    """The last may be the end of the session."""
    details = [Detail(Kind.VERDICT, "🚨" * 500, 1.0, 1.0, ("🔥" * 500,)) for _ in range(9)]
    details.append(Detail(Kind.END, "It is over", 1.0, 1.0))
    body = card_of(details)
    assert len(body) <= 28 * 1024
    blocks = json.loads(body)["attachments"][0]["content"]["body"]
    assert len([block for block in blocks if block.get("weight") == "bolder"]) == 10
    assert blocks[-1]["text"].startswith("It is over")


@pytest.mark.parametrize("kind", [Webhook, Teams])
@pytest.mark.parametrize("status", [404, 301])
def test_no_token_of_the_url_is_said(server: Server, kind: type[Webhook] | type[Teams], status: int) -> None:
    """As Express says 404, and as what is in front of a server leads to https."""
    token = "T0K3N-0f-th3-h00k"
    url = f"{server.serving.url}/services/{token}"
    server.answers = [(status, {"Location": url.replace("http:", "https:")})]
    server.body = f"<pre>Cannot POST /services/{token}</pre>".encode()
    with pytest.raises(ChannelError, match=f"HTTP {status}") as raised:
        use(kind(ChannelConfig("x", url)), DETAIL)
    assert token not in str(raised.value)


def test_a_certificate_that_nobody_vouches_for_is_said(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def work() -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        async with server:
            client = HttpClient(10.0)
            try:
                port = server.sockets[0].getsockname()[1]
                with pytest.raises(HttpError, match="certificate verify failed") as raised:
                    await client.post(parse_url(f"https://localhost:{port}/"), b"{}", max_bytes=1000)
            finally:
                await client.close()
            assert not raised.value.may_be_done

    asyncio.run(work())
