"""What goes with a request: tokens of files and of programs, passwords, client certificates."""

import base64
import json
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from gameday.kubernetes import credentials
from gameday.kubernetes.credentials import Credentials
from gameday.kubernetes.kubeconfig import Access, Cluster, Exec, ExecEnv, User
from gameday.kubernetes.reference import ClusterError, ClusterRef

SECRET = "hunter2-hunter2"
V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


def of(user: User, directory: Path = Path("/"), **cluster: Any) -> Credentials:
    return Credentials(Access(ClusterRef("staging"), Cluster("https://one.example", **cluster), user, "x", directory))


def authorization(credentials: Credentials) -> str | None:
    return credentials.headers().get("Authorization")


def refusal(user: User, directory: Path = Path("/")) -> str:
    """What both the headers and TLS are refused with."""
    with pytest.raises(ClusterError) as raised:
        of(user, directory).headers()
    assert SECRET not in str(raised.value)
    if user.exec:
        with pytest.raises(ClusterError):
            of(user, directory).tls()
    return str(raised.value)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def plugin(path: Path, status: dict[str, Any], version: str = V1) -> User:
    """A program that gives this status and counts how often it is run."""
    answer = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
    script(
        path, f"echo x >> '{path}.runs'\nprintf %s \"$KUBERNETES_EXEC_INFO\" > '{path}.info'\ncat <<'E'\n{answer}\nE"
    )
    return User(exec=Exec(version, str(path)))


def runs(path: Path) -> int:
    return len(Path(f"{path}.runs").read_text().splitlines())


# -- programs


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_a_token_of_a_program(tmp_path: Path, version: str) -> None:
    path = tmp_path / "plugin"
    own = of(plugin(path, {"token": SECRET, "expirationTimestamp": None}, version))
    assert own.can_renew
    assert [authorization(own), authorization(own)] == [f"Bearer {SECRET}"] * 2
    own.tls()
    assert runs(path) == 1
    assert SECRET not in repr(own) + repr(vars(own))
    assert json.loads(Path(f"{path}.info").read_text()) == {
        "apiVersion": version,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    own.forget()
    own.headers()
    assert runs(path) == 2


def test_a_program_that_is_told_the_cluster(tmp_path: Path) -> None:
    path = tmp_path / "plugin"
    plugin(path, {"token": SECRET})
    of(User(exec=Exec(V1, str(path), provide_cluster_info=True)), tls_server_name="other").headers()
    told = json.loads(Path(f"{path}.info").read_text())["spec"]["cluster"]
    assert told["server"] == "https://one.example"
    assert told["tls-server-name"] == "other"


def test_arguments_and_environment_of_a_program(tmp_path: Path) -> None:
    text = 'echo "{\\"status\\": {\\"token\\": \\"$1-$2-$EXTRA\\"}}"'
    path = script(tmp_path / "plugin", text)
    own = of(User(exec=Exec(V1, str(path), ("a", "b c"), (ExecEnv("EXTRA", "e"),))))
    assert authorization(own) == "Bearer a-b c-e"


@pytest.mark.parametrize("command", ["./plugin", "../here/plugin"])
def test_a_relative_command_is_looked_up_beside_the_kubeconfig(tmp_path: Path, command: str) -> None:
    (tmp_path / "here").mkdir()
    plugin(tmp_path / "here/plugin", {"token": SECRET})
    assert authorization(of(User(exec=Exec(V1, command)), tmp_path / "here")) == f"Bearer {SECRET}"


def test_a_bare_command_is_looked_up_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path / "plugin-of-path", {"token": SECRET})
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert authorization(of(User(exec=Exec(V1, "plugin-of-path")))) == f"Bearer {SECRET}"


@pytest.mark.parametrize(("ahead_s", "count"), [(-60, 3), (10, 3), (3600, 1)])
def test_what_expires_is_asked_for_again(tmp_path: Path, ahead_s: int, count: int) -> None:
    path = tmp_path / "plugin"
    expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + ahead_s))
    own = of(plugin(path, {"token": SECRET, "expirationTimestamp": expiry}))
    for _ in range(3):
        own.headers()
    assert runs(path) == count


def test_a_program_that_fails(tmp_path: Path) -> None:
    path = script(tmp_path / "plugin", f"echo {SECRET}; echo 'not logged  in' >&2; exit 3")
    assert f"`{path}` ended with 3: not logged in" in refusal(User(exec=Exec(V1, str(path))))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        SECRET,
        f'{{"token": "{SECRET}"}}',
        f'{{"status": "{SECRET}"}}',
        f'{{"status": {{"token": ["{SECRET}"]}}}}',
        f'{{"status": {{"token": "{SECRET}", "expirationTimestamp": "{SECRET}"}}}}',
        f'{{"status": {{"token": "{SECRET}\\377"}}}}',
        '{"x": ' + "[" * 20000,
    ],
)
def test_a_program_that_prints_garbage(tmp_path: Path, answer: str) -> None:
    (tmp_path / "answer").write_bytes(answer.replace("\\377", "\udcff").encode(errors="surrogateescape"))
    path = script(tmp_path / "plugin", f"cat '{tmp_path / 'answer'}'")
    assert "printed no ExecCredential" in refusal(User(exec=Exec(V1, str(path))))


@pytest.mark.parametrize("status", [{}, {"token": ""}, {"clientCertificateData": "c"}, {"clientKeyData": SECRET}])
def test_a_program_that_gives_nothing(tmp_path: Path, status: dict[str, Any]) -> None:
    assert "gave neither a token nor a certificate with its key" in refusal(plugin(tmp_path / "plugin", status))


def test_a_program_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_EXEC_TIMEOUT_S", 0.1)
    path = script(tmp_path / "plugin", "sleep 20")
    began = time.monotonic()
    assert "gave no credentials within 0.1 s" in refusal(User(exec=Exec(V1, str(path))))
    assert time.monotonic() - began < 10


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    user = User(exec=Exec(V1, "no-such-plugin", install_hint="\nget it from example.org\n"))
    assert "`no-such-plugin` cannot be run: No such file or directory; get it" in refusal(user)
    (tmp_path / "plain").write_text("")
    assert "plain` cannot be run: Permission denied" in refusal(User(exec=Exec(V1, "./plain")), tmp_path)


@pytest.mark.parametrize(
    "program",
    [Exec(V1, "a\0b"), Exec(V1, "sh", (f"{SECRET}\0",)), Exec(V1, "sh", None, (ExecEnv("A=B", SECRET),))],
)
def test_what_no_program_can_be_given(program: Exec) -> None:
    assert "are not valid" in refusal(User(exec=program))


def test_a_version_that_is_gone() -> None:
    assert "speaks client.authentication.k8s.io/v1alpha1" in refusal(User(exec=Exec(V1.replace("v1", "v1alpha1"), "x")))


# -- tokens, passwords, other users


def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "token"
    own = of(User(token="old", token_file=str(path)))
    assert own.can_renew
    for token in ("one", "two"):
        path.write_text(f"{token}\n")
        assert authorization(own) == f"Bearer {token}"


def test_a_token_file_without_a_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    user = User(token_file=str(path), username="somebody", password=SECRET)
    assert "token: No such file or directory" in refusal(user)
    path.write_text(" \n")
    assert "token is empty" in refusal(user)
    path.write_bytes(b"\xff")
    assert "token: not text" in refusal(user)


@pytest.mark.parametrize("token", [f"{SECRET}\r\nHost: evil", f"{SECRET}é", f"{SECRET}€"])
def test_a_token_that_no_header_can_have(token: str) -> None:
    assert "characters that no token has" in refusal(User(token=token))


def test_a_password() -> None:
    own = of(User(username="me", password="pässword"))
    assert authorization(own) == "Basic " + base64.b64encode("me:pässword".encode()).decode()
    assert not own.can_renew
    assert authorization(of(User(username="me", password="p", token=SECRET))) == f"Bearer {SECRET}"


def test_nobody_in_particular() -> None:
    assert authorization(of(User())) is None


def test_another_user_with_all_groups() -> None:
    headers = of(User(token=SECRET, impersonate="jane", impersonate_groups=("dev", "ops, all"))).headers()
    assert headers["Impersonate-User"] == "jane"
    assert headers.getlist("Impersonate-Group") == ["dev", "ops, all"]


def test_an_auth_provider_is_refused() -> None:
    with pytest.raises(ClusterError, match="the auth-provider `gcp` is gone") as raised:
        of(User(auth_provider={"name": "gcp", "config": {"access-token": SECRET}}))
    assert SECRET not in str(raised.value)


# -- certificates


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("pair")
    certificate, key = directory / "me.crt", directory / "me.key"
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=me"]
    command = ["openssl", "req", "-x509", *options, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_a_certificate_leaves_no_file_behind(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, load = [], ssl.SSLContext.load_cert_chain

    def load_cert_chain(context: ssl.SSLContext, path: str, *rest: Any, **named: Any) -> None:
        loaded.append((path, list(tmp_path.iterdir())))
        load(context, path, *rest, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_cert_chain)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    of(User(client_certificate_data=data(pair[0]), client_key_data=data(pair[1]))).tls()
    assert [files for _, files in loaded] == [[]]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kinds", ["data-data", "file-file", "data-file", "file-data"])
def test_certificate_and_key_each_as_data_or_as_a_file(pair: tuple[Path, Path], kinds: str) -> None:
    fields: dict[str, str] = {}
    for kind, path, name in zip(kinds.split("-"), pair, ("client_certificate", "client_key"), strict=True):
        fields |= {f"{name}_data": data(path)} if kind == "data" else {name: str(path)}
    of(User(**fields)).tls()  # type: ignore[arg-type]


def test_a_certificate_of_a_program(pair: tuple[Path, Path], tmp_path: Path) -> None:
    status = {"clientCertificateData": pair[0].read_text(), "clientKeyData": pair[1].read_text()}
    own = of(plugin(tmp_path / "plugin", status))
    own.tls()
    assert authorization(own) is None
    assert runs(tmp_path / "plugin") == 1


def no_tls(user: User, **cluster: Any) -> str:
    with pytest.raises(ClusterError) as raised:
        of(user, **cluster).tls()
    assert SECRET not in str(raised.value)
    return str(raised.value)


def test_certificates_that_cannot_be_used(pair: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = map(data, pair)
    secret = base64.b64encode(SECRET.encode()).decode()
    assert "there is no client-key" in no_tls(User(client_certificate_data=certificate))
    assert "client-key-data of the kubeconfig is not base64" in no_tls(
        User(client_certificate_data=certificate, client_key_data=f"{SECRET}=a")
    )
    assert "cannot be used" in no_tls(User(client_certificate_data=certificate, client_key_data=secret))
    assert "cannot be used" in no_tls(User(client_certificate_data=secret, client_key_data=key))
    missing = User(client_certificate=str(pair[0]), client_key=str(tmp_path / "missing"))
    assert "cannot be used: No such file" in no_tls(missing)
    assert "cannot be used" in no_tls(User(), certificate_authority_data=secret)
    assert "cannot be used" in no_tls(User(), certificate_authority=str(tmp_path / "missing"))


def test_a_key_with_a_pass_phrase_asks_nobody(
    pair: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-in", str(pair[1]), "-aes128", "-passout", f"pass:{SECRET}", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    assert "cannot be used" in no_tls(User(client_certificate=str(pair[0]), client_key=str(locked)))
    assert "pass phrase" not in capfd.readouterr().err


def test_whom_to_trust(pair: tuple[Path, Path]) -> None:
    commented = base64.b64encode("# für den Prüfstand\n".encode() + pair[0].read_bytes()).decode()
    own = of(User(), certificate_authority_data=commented).tls()
    assert len(own.get_ca_certs()) == 1
    assert own.verify_mode == ssl.CERT_REQUIRED
    assert not own.verify_flags & ssl.VERIFY_X509_STRICT
    assert of(User(), certificate_authority=str(pair[0])).tls().get_ca_certs() == own.get_ca_certs()
    careless = of(User(), insecure_skip_tls_verify=True).tls()
    assert (careless.verify_mode, careless.check_hostname) == (ssl.CERT_NONE, False)
