"""A real PostgreSQL on a free loopback port, run by an ordinary user in a directory of its own."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

_START_S = 60
_USER, _DATABASE = "gameday", "gameday"


class Missing(Exception):
    """PostgreSQL's programs are not on this machine."""


def find_bin() -> Path:
    """The directory with `initdb` and `postgres`: below GAMEDAY_TOOLS, where Debian has it, or on PATH."""
    tools = os.environ.get("GAMEDAY_TOOLS")
    roots = [Path(tools), Path("/")] if tools else [Path("/")]
    found = [path for root in roots for path in sorted(root.glob("usr/lib/postgresql/*/bin"), reverse=True)]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).parent)
    for directory in found:
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    raise Missing("initdb and postgres are missing; scripts/setup fetches them (Debian: apt-get install postgresql)")


@dataclass
class Server:
    """`url` is its database's, with a password; `process` is ended with the block."""

    port: int
    password: str
    command: list[str]
    environment: dict[str, str]
    who: dict[str, object]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.url_of(_DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{_USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """An empty database; its URL."""
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}")
        return self.url_of(database)

    def start(self) -> None:
        """Returns when it answers."""
        log = subprocess.DEVNULL
        process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log, **self.who)  # type: ignore[call-overload]
        self.processes.append(process)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url_of("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert process.poll() is None, "postgres ended as it began"
                assert time.monotonic() < deadline, "postgres does not answer"
                time.sleep(0.05)

    def stop(self) -> None:
        """At once, with whatever it does (pg_ctl's `immediate`)."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGQUIT)
                process.wait(_START_S)
        self.processes.clear()


def _multiarch(usr: Path) -> str:
    """Debian's name for where the libraries of this kind of machine lie."""
    return next((path.name for path in usr.glob("lib/*-linux-gnu")), "none")


def _within_reach(programs: Path, directory: Path, who: dict[str, object]) -> Path:
    """The programs, or copies of them where a directory above is closed to whom they are to be run by."""
    try:
        subprocess.run([programs / "postgres", "--version"], capture_output=True, check=False, **who)  # type: ignore[call-overload]
    except PermissionError:
        usr, copy = programs.parents[3], directory / "usr"
        for part in (programs.parent.relative_to(usr), Path("share/postgresql"), Path("lib") / _multiarch(usr)):
            if (usr / part).is_dir():
                shutil.copytree(usr / part, copy / part, symlinks=True, dirs_exist_ok=True)
        return copy / programs.relative_to(usr)
    return programs


@contextlib.contextmanager
def start_postgresql(*, fsync: bool = True) -> Iterator[Server]:
    """Raises Missing. Without `fsync` it is quicker, and of no use to measure."""
    programs = find_bin()
    directory = Path(tempfile.mkdtemp(prefix="gameday-postgresql-"))
    who: dict[str, object] = {}
    if os.geteuid() == 0:  # initdb refuses root
        nobody = pwd.getpwnam("nobody")
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        programs = _within_reach(programs, directory, who)
    libraries = [str(path) for path in (*programs.parents[3].glob("lib/*-linux-gnu"), programs.parent / "lib")]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "LD_LIBRARY_PATH": ":".join(libraries)}
    server: Server | None = None
    try:
        password, word = secrets.token_hex(8), directory / "password"
        word.write_text(password)
        word.chmod(0o644)
        data = directory / "data"
        initdb = [programs / "initdb", "-D", data, "-U", _USER, "-A", "scram-sha-256", f"--pwfile={word}", "-E", "UTF8"]
        made = subprocess.run(initdb, env=environment, capture_output=True, text=True, check=False, **who)  # type: ignore[call-overload]
        assert made.returncode == 0, made.stderr
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", f"fsync={'on' if fsync else 'off'}"]
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
        command += [word for setting in settings for word in ("-c", setting)]
        server = Server(port, password, command, environment, who)
        server.start()
        server.create(_DATABASE)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)
