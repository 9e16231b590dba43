"""What `chaos run` takes and `gameday run` takes too: options for plain experiments, and URLs."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import click
import pytest
from click.testing import CliRunner, Result

from gameday.cli.source import local_file
from gameday.cli.verbs import cli

PLAIN: dict[str, Any] = {
    "title": "Plain",
    "description": "-",
    "configuration": {
        "said": "nothing",
        "times": 1,
        "home": {"type": "env", "key": "GAMEDAY_TEST_HOME", "default": "-"},
    },
    "secrets": {"shop": {"password": "none"}},
    "method": [
        {
            "type": "action",
            "name": "say",
            "secrets": ["shop"],
            "provider": {
                "type": "process",
                "path": "sh",
                "arguments": [
                    "-c",
                    "printf '%s %s %s %s' '${said}' '${times}' '${home}' \"$(printf '${password}' | wc -c)\" > said",
                ],
            },
        }
    ],
}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "plain.json").write_text(json.dumps(PLAIN))
    return tmp_path


def gameday(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_variables_replace_what_the_experiment_declares(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAMEDAY_TEST_HOME", raising=False)
    (directory / "more.yaml").write_text(
        "configuration: {said: from the file, times: 9}\nsecrets: {shop: {password: hunter22}}\n"
    )
    (directory / "some.env").write_text("# a comment\n\nGAMEDAY_TEST_HOME=/somewhere\n")
    monkeypatch.setenv("GAMEDAY_TEST_HOME", "")
    done = gameday(
        "run",
        "plain.json",
        "--var-file",
        "more.yaml",
        "--var-file",
        "some.env",
        "--var",
        "times:int=3",
        "--var",
        "other=1",
    )
    assert done.exit_code == 0, done.output
    assert (directory / "said").read_text() == "from the file 3 /somewhere 8"
    (journal,) = (directory / ".gameday" / "runs").glob("*/journal.jsonl")
    assert "hunter22" not in journal.read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--var", "said"], "expected KEY=VALUE"),
        (["--var", "times:int=many"], "`many` is no int"),
        (["--var", "times:number=1"], "found the type `number`, expected one of str, int, float, bytes"),
        (["--var-file", "wrong.yaml"], "wrong.yaml:1:1: found the key `config`"),
        (["--var-file", "wrong.env"], "wrong.env:2: expected KEY=VALUE"),
        (["--var-file", "plain.txt"], "expected a file .yaml, .yml, .json or .env"),
        (["--dry", "everything"], "'everything' is not one of"),
    ],
)
def test_wrong_options(directory: Path, arguments: list[str], says: str) -> None:
    (directory / "wrong.yaml").write_text("config: {}\n")
    (directory / "wrong.env").write_text("A=1\nB\n")
    (directory / "plain.txt").write_text("")
    done = gameday("run", "plain.json", *arguments)
    assert done.exit_code == 2
    assert says in done.output
    assert not (directory / "said").exists()


def test_options_of_plain_experiments_are_refused_for_others(directory: Path) -> None:
    (directory / "native.yaml").write_text(
        "title: T\nservice: shop\nmethod: [{fault: process/kill, target: {service: shop}, blast-radius: 1, hold: 1s}]\n"
    )
    done = gameday("run", "native.yaml", "--env", "lab", "--dry", "actions", "--fail-fast")
    assert done.exit_code == 2
    assert "--dry, --fail-fast: for plain Chaos Toolkit experiments only" in done.output


def test_a_variable_that_nobody_declares_is_said(directory: Path) -> None:
    done = gameday("run", "plain.json", "--var", "sayd=x", "--var", "said=y")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("warning: --var sayd: no experiment declares it")
    assert "did you mean `said`?" in done.stderr
    assert done.stderr.count("warning") == 1
    assert (directory / "said").read_text().startswith("y ")


def test_dry_runs_nothing(directory: Path) -> None:
    done = gameday("run", "plain.json", "--dry", "actions")
    assert done.exit_code == 0, done.output
    assert not (directory / "said").exists()


# -- URLs


class Handler(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        path = self.path.partition("?")[0]
        if path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/plain.json")
            self.end_headers()
            return
        if path not in ("/plain.json", "/plain", "/big", "/wrong"):
            self.send_error(404)
            return
        document = {**PLAIN, "method": None} if path == "/wrong" else PLAIN
        content = b" " * 2_000_000 if path == "/big" else json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        return None


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    return directory


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Handler.seen.clear()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("path", ["/plain.json", "/plain", "/moved"])
def test_an_experiment_from_a_url(directory: Path, url: str, path: str, scratch: Path) -> None:
    assert gameday("check", url + path).exit_code == 0
    assert gameday("plan", url + path).exit_code == 0
    done = gameday("run", url + path)
    assert done.exit_code == 0, done.output
    assert (directory / "said").exists()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("verb", ["check", "plan", "run"])
def test_what_is_wrong_at_a_url_is_said_of_the_url(directory: Path, url: str, verb: str, scratch: Path) -> None:
    done = gameday(verb, f"{url}/wrong?token=abc")
    assert done.exit_code == 2
    said = click.unstyle(done.stderr)
    assert said.startswith(f"fetched {url}/wrong\n{url}/wrong:1:")
    assert "abc" not in said
    assert list(scratch.iterdir()) == []


def test_the_loaders_token_goes_to_that_server_alone(
    directory: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = directory / "home" / ".chaostoolkit" / "settings.yaml"
    settings.parent.mkdir(parents=True)
    domain = url.removeprefix("http://")
    settings.write_text(f"auths:\n  '{domain}': {{type: basic, value: abc}}\n")
    with click.Context(cli):
        local_file(f"{url}/plain.json?x=1")
        monkeypatch.setenv("CHAOSTOOLKIT_LOADER_AUTH_BEARER_TOKEN", "def")
        local_file(f"{url}/moved")
        local_file(f"http://me:it@{domain}/plain.json")
    assert Handler.seen == [
        ("/plain.json?x=1", "basic abc"),
        ("/moved", "bearer def"),
        ("/plain.json", None),
        ("/plain.json", "basic bWU6aXQ="),
    ]


@pytest.mark.parametrize(
    ("path", "says"), [("/nothing?token=abc", "/nothing: HTTP 404"), ("/big", "larger than 1024 KiB")]
)
def test_a_url_that_gives_nothing(url: str, path: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        local_file(url + path)
    assert ended.value.code == 2
    said = click.unstyle(capsys.readouterr().err)
    assert says in said
    assert "abc" not in said


def test_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        local_file("http://me:secret@127.0.0.1:1/x.json")
    said = capsys.readouterr().err
    assert "refused" in said.lower()
    assert "secret" not in said
