"""What stands behind the `cluster` fixture, and who may talk to it: one API server of three kinds."""

import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from access_rules import MASTERS, User
from audit import Call
from containers import Containers
from loops import LoopThread, client_tls, make_certificate, server_tls
from stand_in import StandIn

# The fixture's own; the next ones may do everything too, or nothing until a test allows it.
FIXTURE, KUBELET, CONTROLLERS, ADMIN = "fixture", "kubelet", "controllers", "admin"
_PLAIN = ("viewer", "operator", "nobody")
_FRESH = 300


@dataclass
class Keys:
    """A certificate for loopback, its key, and everybody's token."""

    directory: Path
    certificate: Path
    key: Path
    tokens: dict[str, str]
    users: dict[str, User]  # by token

    def name_of(self, token: str) -> str:
        user = self.users.get(token)
        return user.name if user else ""

    @property
    def client(self) -> ssl.SSLContext:
        return client_tls(self.certificate)

    @property
    def server(self) -> ssl.SSLContext:
        return server_tls(self.certificate, self.key)


def make_keys(directory: Path) -> Keys:
    certificate, key = make_certificate(directory)
    masters = {name: User(name, (MASTERS,)) for name in (FIXTURE, KUBELET, CONTROLLERS, ADMIN)}
    others = {name: User(name) for name in (*_PLAIN, *(f"user-{number}" for number in range(1, _FRESH + 1)))}
    tokens = {name: f"token-of-{name}-{secrets.token_hex(8)}" for name in masters | others}
    users = {tokens[name]: user for name, user in (masters | others).items()}
    return Keys(directory, certificate, key, tokens, users)


@dataclass
class Backing:
    """A running API server. `why`: what made it this one."""

    kind: str
    why: str
    url: str
    keys: Keys
    loop: LoopThread
    inner_url: str  # for the fixture's own requests
    read_calls: Callable[[int], tuple[list[Call], int]]  # since a mark; and the mark of now
    close: Callable[[], None]
    has_controllers: bool = False
    has_nodes: bool = False
    poll_s: float = 0.05
    logs: list[Path] = field(default_factory=list)
    containers: Containers = field(default_factory=Containers)  # of pretended nodes
    kubelet_port: int = 0  # where the pretended kubelets listen; 0: the server needs none of them
    runs_commands: bool = True


def start_stand_in(directory: Path, why: str) -> Backing:
    """Ready in some tens of milliseconds."""
    keys, loop, containers = make_keys(directory), LoopThread(), Containers()
    server = StandIn(keys.users, containers)
    loop.run(server.start(keys.server, None))
    url, inner_url = server.urls

    def read_calls(since: int) -> tuple[list[Call], int]:
        return server.calls[since:], len(server.calls)

    def close() -> None:
        loop.run(server.close())
        loop.close()

    kind = "stand-in over HTTP"
    return Backing(kind, why, url, keys, loop, inner_url, read_calls, close, containers=containers)
