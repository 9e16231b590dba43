"""A real Prometheus and Alertmanager on free loopback ports, with an exporter and a pager in a test's hands."""

import contextlib
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from gameday.lab.programs import find_programs

STARTED = time.time()
# Milliseconds and the share of requests that take at most as long.
BUCKETS = {"10": 0.5, "50": 0.9, "100": 1.0, "+Inf": 1.0}


@dataclass
class Exporter:
    """What the target exposes. Rates are per second; a service without a rate of errors has no series of them."""

    rates: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    pushed: dict[str, tuple[float, float]] = field(default_factory=dict)  # with a time of its own
    is_down: bool = False

    def text(self) -> str:
        age = time.time() - STARTED + 1000
        lines = []
        for service, (rate, errors) in self.rates.items():
            label = f'envoy_http_conn_manager_prefix="{service}"'
            lines.append(f"envoy_http_downstream_rq_completed{{{label}}} {rate * age}")
            if errors is not None:
                lines.append(f'envoy_http_downstream_rq_xx{{{label},envoy_response_code_class="5"}} {errors * age}')
            lines += [
                f'envoy_http_downstream_rq_time_bucket{{{label},le="{le}"}} {rate * share * age}'
                for le, share in BUCKETS.items()
            ]
            lines.append(f'process_cpu_seconds_total{{service="{service}"}} {0.25 * age}')
        lines += [f"{series} {value}" for series, value in self.gauges.items()]
        lines += [f"{series} {value} {at * 1000:.0f}" for series, (value, at) in self.pushed.items()]
        return "\n".join(lines) + "\n"


@dataclass
class Pager:
    """Takes Alertmanager's webhooks and keeps the record that the lab's receiver keeps."""

    record: list[dict[str, object]] = field(default_factory=list)

    def take(self, webhook: dict[str, list[dict[str, object]]]) -> None:
        for alert in webhook["alerts"]:
            labels = alert["labels"]
            assert isinstance(labels, dict)
            entry = {"name": labels["alertname"], "labels": labels, "status": alert["status"]}
            self.record.append(entry | {"received_at": time.time()})


@dataclass(frozen=True)
class Stack:
    prometheus: str
    alertmanager: str
    pager_url: str
    prometheus_process: subprocess.Popen[bytes]
    exporter: Exporter
    pager: Pager


RULES = {
    "groups": [
        {
            "name": "test",
            "rules": [
                {"record": "no:alert", "expr": "vector(1)"},
                {
                    "alert": "AtOnce",
                    "expr": "broken > 0",
                    "labels": {"severity": "page"},
                    "annotations": {"summary": "{{ $labels.service }} is broken", "runbook": "runbooks/a.md"},
                },
                {"alert": "AfterTwoSeconds", "expr": "broken > 0", "for": "2s", "labels": {"service": "payments"}},
                {"alert": "Watchdog", "expr": "vector(1)", "annotations": {"dashboard_url": "http://d"}},
                # Each broken in its own way.
                {"alert": "Misspelt", "expr": 'broken{service="payment"} > 0'},
                {"alert": "Either", "expr": 'broken > 2 or broken{service="payment"} > 0'},
                {"alert": "Fails", "expr": 'up * on() {__name__=~"scrape_.+"}'},
                {"alert": "Lasting", "expr": "broken > 2", "keep_firing_for": "5m"},
                {"alert": "BlackHole", "expr": "hole > 0", "labels": {"hole": "yes"}},
                {"alert": "Muted", "expr": "broken > 2", "labels": {"muted": "yes"}},
                {"alert": "Inhibited", "expr": "broken > 2", "labels": {"minor": "yes"}},
                # Two of one name, each broken in another way.
                {"alert": "Twins", "expr": "broken > 2", "labels": {"severity": "warning", "hole": "yes"}},
                {"alert": "Twins", "expr": "broken > 2", "for": "5m", "labels": {"severity": "page"}},
            ],
        },
        {
            "name": "slow",
            "interval": "30s",
            "rules": [{"alert": "Slow", "expr": "broken > 2", "for": "5m"}],
        },
    ]
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for[T](look: Callable[[], T], seconds: float, what: str) -> T:
    """The first true answer of `look` within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)
    return answer


def ask(url: str, body: object = None) -> object:
    """GET, or POST of JSON; None when nobody answers or not with 200."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            text = response.read()
    except (urllib.error.URLError, ConnectionError):
        return None
    return json.loads(text) if text[:1] in (b"[", b"{") else text.decode()


def _serve(exporter: Exporter, pager: Pager) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/notifications":
                self._answer(json.dumps(pager.record))
            elif not exporter.is_down:
                self._answer(exporter.text())

        def do_POST(self) -> None:
            pager.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer("")

        def _answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@contextlib.contextmanager
def start_stack(directory: Path) -> Iterator[Stack]:
    """Bring all up in `directory`, and end it by pid."""
    programs = find_programs()
    exporter, pager = Exporter(), Pager()
    server = _serve(exporter, pager)
    target, ports = f"127.0.0.1:{server.server_port}", (free_port(), free_port())
    (directory / "rules.yml").write_text(json.dumps(RULES))
    every_second = {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"}
    (directory / "prometheus.yml").write_text(
        json.dumps(
            {
                # Alerts carry external labels in Alertmanager, and not in Prometheus.
                "global": every_second | {"external_labels": {"cluster": "test"}},
                "rule_files": ["rules.yml"],
                "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports[1]}"]}]}]},
                "scrape_configs": [{"job_name": "target", "static_configs": [{"targets": [target]}]}],
            }
        )
    )
    route = {"receiver": "pager", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
    routes = [
        {"receiver": "nobody", "matchers": ['hole="yes"']},
        {"receiver": "pager", "matchers": ['muted="yes"'], "mute_time_intervals": ["always"]},
    ]
    webhook = {"url": f"http://{target}/alerts", "send_resolved": True}
    (directory / "alertmanager.yml").write_text(
        json.dumps(
            {
                "route": route | {"routes": routes},
                "receivers": [
                    {"name": "pager", "webhook_configs": [webhook]},
                    {"name": "nobody"},
                    {"name": "other", "webhook_configs": [{"url": "http://user:s3cret@127.0.0.1/s3cret"}]},
                ],
                "time_intervals": [{"name": "always", "time_intervals": [{"years": ["2020:2099"]}]}],
                "inhibit_rules": [
                    {"source_matchers": ["alertname=Watchdog"], "target_matchers": ["minor=yes"], "equal": ["cluster"]}
                ],
            }
        )
    )
    commands = {
        f"http://127.0.0.1:{ports[1]}": [
            programs.alertmanager,
            f"--config.file={directory / 'alertmanager.yml'}",
            f"--storage.path={directory / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{ports[1]}",
            "--cluster.listen-address=",
        ],
        f"http://127.0.0.1:{ports[0]}": [
            programs.prometheus,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{ports[0]}",
            # In its first seconds Prometheus knows no Alertmanager; by default it sends an alert anew after a minute.
            "--rules.alert.resend-delay=1s",
        ],
    }
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for url, command in commands.items():
            with (directory / "log").open("ab") as log:
                processes[url] = subprocess.Popen(command, stdout=log, stderr=log)
            wait_for(lambda url=url: ask(f"{url}/-/ready"), 20, f"{url} ready; see {directory / 'log'}")
        alertmanager_url, prometheus_url = commands
        pager_url = f"http://{target}"
        yield Stack(prometheus_url, alertmanager_url, pager_url, processes[prometheus_url], exporter, pager)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
        server.shutdown()
        server.server_close()
