"""`gameday schedule export`: what is written is taken by those that it is written for.

kubernetes_fields.json has the names, types and required fields of Kubernetes' published OpenAPI schema, 1.35
(https://github.com/kubernetes/kubernetes/blob/release-1.35/api/openapi-spec/swagger.json): what an API server refuses
under strict validation. What it checks besides are the rules of
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/cron-job-v1/.
"""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
import yaml
from click.testing import CliRunner, Result

from gameday import __version__
from gameday.cli.rbac import roles_for
from gameday.cli.schedule import command
from gameday.cli.schedule_kubernetes import dockerfile, kubernetes_cron
from gameday.common.json import JsonObject
from gameday.engine.schedule import Scheduled
from gameday.faults.base import Permission
from gameday.spec.cron import parse_cron
from gameday.spec.model import Schedule
from gameday.spec.schedule import occurrences

PROJECT = """\
project: Shop & Co
environments:
  cluster:
    kubernetes: {in-cluster: true, namespace: shop}
    signals: {url: "http://prometheus:9090", platform: envoy, token: "${PROMETHEUS_TOKEN}"}
  elsewhere:
    signals: {url: "http://prometheus:9090", platform: envoy, token: "${OTHER_TOKEN}"}
"""
FIELDS = json.loads(Path(__file__).with_name("kubernetes_fields.json").read_text())
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "what's 100% $HOME"
    (root / "experiments").mkdir(parents=True)
    (root / "gameday.yaml").write_text(PROJECT)
    write(root, "checkout", 'cron: "0 10 * * FRI", timezone: Europe/Berlin, duration: 2h, owner: "@shop"')
    monkeypatch.chdir(root)
    return root


def write(root: Path, name: str, when: str, environment: str = "cluster") -> None:
    text = f"title: The {name}\nenvironment: {environment}\nwhen: {{{when}}}\nexperiments: []\n"
    (root / f"experiments/{name}.yaml").write_text(text)


def export(*words: str) -> Result:
    return CliRunner().invoke(command, ("export", *words), catch_exceptions=False)


def test_the_crontab_line_works(project: Path) -> None:
    text = export("cron").stdout
    assert "PROMETHEUS_TOKEN" in text
    assert "OTHER_TOKEN" not in text
    [line] = [line for line in text.splitlines() if not line.startswith("#")]
    assert line.startswith("* * * * * ")
    rest = line.removeprefix("* * * * * ")
    assert not re.search(r"(?<!\\)%", rest), "it would end the command: crontab(5)"
    ran = subprocess.run(
        ["/bin/sh", "-c", rest.replace("\\%", "%")], cwd="/", capture_output=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert (project / ".gameday/schedule.jsonl").exists(), "it has looked, in this project"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine")
def test_systemd_takes_the_units(project: Path, tmp_path: Path) -> None:
    assert export("systemd", "-o", str(tmp_path / "units")).exit_code == 0
    units = sorted((tmp_path / "units").iterdir())
    assert [unit.suffix for unit in units] == [".service", ".timer"]
    verify = ["systemd-analyze", "verify", *map(str, units)]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    service = units[0].read_text()
    units[0].write_text(service.replace("Type=oneshot", "Type=sometimes"))
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert "sometimes" in done.stderr, "it would have said so"
    assert "KillMode=process" not in service
    assert "TimeoutStopSec=15min" in service


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("cron", "is_rule"),
    [
        ("0 10 * * FRI", True),
        ("30 9,14 * 1-6 MON-WED", True),
        ("15 8 13 * *", True),
        ("0 12 */13 * FRI", True),  # both
        ("0 12 13 * FRI", False),  # either
        ("15 2 * * SUN", None),  # where clocks change, and only there, no rule says it
    ],
)
def test_a_calendar_program_sees_the_same_times(project: Path, zone: str, cron: str, is_rule: bool | None) -> None:
    first, last = (datetime.now(UTC).date() + timedelta(days=days) for days in (20, 60))
    write(project, "checkout", f'cron: "{cron}", timezone: {zone}, duration: 90m, blackouts: [{first}..{last}]')
    text = export("ics", "--count", "1000").stdout
    calendar = icalendar.Calendar.from_ical(text)
    assert ("RRULE" in text) is (zone == "UTC" if is_rule is None else is_rule)
    start, end = datetime.now(UTC), datetime.now(UTC) + timedelta(days=360)
    seen = [event["DTSTART"].dt.astimezone(UTC) for event in recurring_ical_events.of(calendar).between(start, end)]
    schedule = Schedule(parse_cron(cron), zone, None)
    wanted = [
        moment.astimezone(UTC)
        for moment in takewhile(lambda moment: moment.astimezone(UTC) < end, occurrences(schedule, start))
        if not first <= moment.date() <= last
    ]
    assert sorted(seen) == wanted
    assert len(wanted) >= 3
    for event in calendar.walk("VEVENT"):
        assert event["DURATION"].dt == timedelta(minutes=90)
    assert [zone["TZID"] for zone in calendar.walk("VTIMEZONE")] == ([] if zone == "UTC" else [zone])


def test_events_keep_their_identity(project: Path) -> None:
    write(project, "dated", "dates: [2999-01-01 10:00, 2999-01-02 10:00]")
    uids = [re.findall("^UID:(.*)$", export("ics").stdout, re.MULTILINE) for _ in range(2)]
    assert uids[0] == uids[1]
    assert len(set(uids[0])) == 3


ROLES = roles_for([Permission("delete", "", "pods", "shop", "inject"), Permission("patch", "", "nodes", None, "undo")])


@pytest.fixture
def manifest(project: Path, tmp_path: Path) -> list[JsonObject]:
    """Two game days, one of dates and with a long name."""
    write(project, "a_very-long.name" * 4, "dates: [2999-02-03 10:00], missed: catch-up, within: 2h")
    (tmp_path / "roles.yaml").write_text(ROLES)
    done = export("kubernetes", "-o", str(tmp_path / "out"), "--rbac", str(tmp_path / "roles.yaml"))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out/Dockerfile").read_text() == dockerfile("")
    for name in (".dockerignore", "Dockerfile.dockerignore"):
        assert ".gameday\n" in (tmp_path / "out" / name).read_text()
    return list(yaml.safe_load_all((tmp_path / "out/gameday-cronjobs.yaml").read_text()))


@pytest.mark.parametrize(
    ("history", "extras"),
    [("", ""), ("sqlite:///x.db", ""), ("postgresql://db/x", "[postgresql]"), ("${STORE}", "[postgresql]")],
)
def test_the_image_has_gameday_from_its_wheel(tmp_path: Path, history: str, extras: str) -> None:
    """With what the store needs; by its name pip would fetch a stranger's."""
    lines = dockerfile(history).splitlines()
    wheel = f"gameday-{__version__}-py3-none-any.whl"
    [copy] = [line for line in lines if line.startswith("COPY ") and not line.startswith("COPY . ")]
    assert f"ARG WHEEL={wheel}" in lines
    assert copy == "COPY $WHEEL /wheels/"
    (tmp_path / wheel).touch()
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "pip").chmod(0o755)
    [install] = [line for line in lines if "pip install" in line]
    shell = ["/bin/sh", "-c", install.removeprefix("RUN ").replace("/wheels", str(tmp_path))]
    path = f"{tmp_path}:/usr/bin:/bin"
    done = subprocess.run(shell, env={"PATH": path}, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"install --no-cache-dir {tmp_path}/{wheel}{extras}\n"


@pytest.mark.parametrize(("copied", "status"), [(None, 0), (".gameday", 1), (".git", 1)])
def test_no_image_holds_secrets(tmp_path: Path, copied: str | None, status: int) -> None:
    """A builder that has not read what is to be left out builds no image."""
    [check] = [line for line in dockerfile("").splitlines() if line.startswith("RUN for")]
    if copied:
        (tmp_path / copied).mkdir()
    shell = ["/bin/sh", "-c", check.removeprefix("RUN ")]
    done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, (copied or "") in done.stdout) == (status, True)


def complaints(value: object, kind: object, where: str) -> list[str]:
    """What in a value is not as the schema has it."""
    if isinstance(kind, list):
        if not isinstance(value, list):
            return [f"{where}: no list"]
        return [text for number, item in enumerate(value) for text in complaints(item, kind[0], f"{where}[{number}]")]
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            return [f"{where}: no map"]
        return [text for key, item in value.items() for text in complaints(item, kind["*"], f"{where}.{key}")]
    plain = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object, "datetime": str}
    if kind in plain:
        is_right = isinstance(value, plain[str(kind)]) and not (kind == "int" and isinstance(value, bool))
        return [] if is_right else [f"{where}: {value!r} is no {kind}"]
    if kind not in FIELDS:
        return [f"{where}: {kind} is not in kubernetes_fields.json"]
    if not isinstance(value, dict):
        return [f"{where}: no {kind}"]
    known = FIELDS[str(kind)]
    found = [f"{where}.{key}: unknown" for key in value if key not in known["fields"]]
    found += [f"{where}.{key}: required" for key in known["required"] if key not in value]
    for key, item in value.items():
        if key in known["fields"]:
            found += complaints(item, known["fields"][key], f"{where}.{key}")
    return found


def test_an_api_server_takes_every_object(manifest: list[JsonObject]) -> None:
    kinds = [document["kind"] for document in manifest]
    assert kinds == [
        *("Namespace", "ServiceAccount", "PersistentVolumeClaim"),
        *("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "CronJob", "CronJob"),
    ]
    for document in manifest:
        assert complaints(document, f"V1{document['kind']}", document["kind"]) == []
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", document["metadata"]["name"])
    assert len({(one["kind"], one["metadata"]["name"]) for one in manifest}) == len(manifest)
    broken = manifest[-1] | {"spec": manifest[-1]["spec"] | {"timezone": "UTC", "schedule": 5}}
    assert complaints(broken, "V1CronJob", "") == [".spec.timezone: unknown", ".spec.schedule: 5 is no str"]


def test_what_an_api_server_checks_beyond_the_schema(manifest: list[JsonObject]) -> None:
    jobs = [document for document in manifest if document["kind"] == "CronJob"]
    dated, weekly = sorted(jobs, key=lambda job: job["spec"]["timeZone"] != "UTC")
    assert weekly["spec"]["schedule"] == "0 10 * * 5"
    assert (weekly["spec"]["timeZone"], weekly["spec"]["startingDeadlineSeconds"]) == ("Europe/Berlin", 300)
    assert (dated["spec"]["schedule"], dated["spec"]["startingDeadlineSeconds"]) == ("0 10 3 2 *", 7200)
    account = next(document for document in manifest if document["kind"] == "ServiceAccount")["metadata"]
    for job in jobs:
        assert len(job["metadata"]["name"]) <= 52
        spec = job["spec"]
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
        pod = spec["jobTemplate"]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert pod["restartPolicy"] == "Never"
        assert pod["terminationGracePeriodSeconds"] >= 600
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["serviceAccountName"] == account["name"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
        secrets = [one["name"] for one in container["env"] if "valueFrom" in one]
        assert secrets == ["PROMETHEUS_TOKEN"], "those of the environment that is used"
        assert container["args"][2].startswith("experiments/")
    for binding in (document for document in manifest if document["kind"].endswith("Binding")):
        role = next(document for document in manifest if f"{document['kind']}Binding" == binding["kind"])
        assert binding["roleRef"] == {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": role["kind"],
            "name": role["metadata"]["name"],
        }
        assert binding["metadata"].get("namespace") == role["metadata"].get("namespace")
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
        ]


def test_two_namespaces_do_not_take_each_others_rights(project: Path, tmp_path: Path) -> None:
    """What is applied second replaces what has the same kind, namespace and name, and with it whom a binding names."""
    (tmp_path / "roles.yaml").write_text(ROLES)
    objects = []
    for namespace in ("gameday", "team-b"):
        done = export("kubernetes", "--rbac", str(tmp_path / "roles.yaml"), "--namespace", namespace)
        objects.append(list(yaml.safe_load_all(done.stdout)))
    first, second = (
        {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in some} for some in objects
    )
    assert len(first) == 8
    assert len(second) == 7
    assert not first & second
    for binding in (one for one in objects[1] if one["kind"].endswith("Binding")):
        assert binding["roleRef"]["name"] == "gameday-team-b"
        assert [subject["namespace"] for subject in binding["subjects"]] == ["team-b"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("cron", "most"),
    [
        ("0 10 * * 7", 1),
        ("0 10 13 * FRI", 7),
        ("0 10 */13 * FRI", 8),
        ("15 2 * * SUN", 4),
        ("59 23 31 * *", 1),
        ("45 1 * 3,10 *", 4),
    ],
)
def test_the_controller_comes_by_whenever_it_is_due(zone: str, cron: str, most: int) -> None:
    """It passes over a time that is not on the clock: each of ours must be one at which it comes, and not many more."""
    item = Scheduled("g.yaml", "G", Schedule(parse_cron(cron), zone, None))
    text = kubernetes_cron(item, NOW)
    fields = text.split()
    assert all(re.fullmatch(r"\*|\d+(,\d+)*", field) for field in fields)
    assert "7" not in fields[4]
    minutes, hours, days, months, week_days = (
        set(range(low, high)) if field == "*" else set(map(int, field.split(",")))
        for field, low, high in zip(fields, (0, 0, 1, 1, 0), (60, 24, 32, 13, 7), strict=True)
    )
    assert "*" in (fields[2], fields[4]), "of two days the controller takes either"
    end, ours = NOW + timedelta(days=2 * 366), set()
    for moment in takewhile(lambda moment: moment.astimezone(UTC) < end, occurrences(item.schedule, NOW)):
        ours.add(moment.astimezone(UTC))
        assert (moment.minute in minutes, moment.hour in hours) == (True, True), moment
        assert moment.day in days
        assert moment.month in months
        assert moment.isoweekday() % 7 in week_days
    comes = 0
    day = NOW.astimezone(ZoneInfo(zone)).date()
    while day < end.date():
        if day.day in days and day.month in months and day.isoweekday() % 7 in week_days:
            comes += len(hours) * len(minutes)
        day += timedelta(days=1)
    assert comes <= most * (len(ours) + 2)


def test_without_a_cluster_the_roles_are_asked_for(project: Path) -> None:
    write(project, "checkout", 'cron: "0 10 * * FRI"')
    (project / "experiments/e.yaml").write_text(
        "title: T\nservice: s\nmethod: [{fault: pods/kill, target: {selector: app=s}, blast-radius: 1, hold: 1s}]\n"
    )
    path = project / "experiments/checkout.yaml"
    path.write_text(path.read_text().replace("[]", "[e.yaml]"))
    done = CliRunner(env={"PROMETHEUS_TOKEN": "x"}).invoke(command, ("export", "kubernetes"))
    assert done.exit_code == 3
    assert "--rbac FILE" in done.stderr


def test_what_is_there_is_not_overwritten(project: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert export("cron", "-o", out).exit_code == 0
    assert export("cron", "-o", out).exit_code == 0, "it is the same"
    path = tmp_path / "out/gameday.crontab"
    path.write_text("mine")
    refused = export("cron", "-o", out)
    assert (refused.exit_code, path.read_text()) == (2, "mine")
    assert "--force" in refused.stderr
    assert export("cron", "-o", out, "--force").exit_code == 0
    assert path.read_text() != "mine"
    (project / "experiments/checkout.yaml").unlink()
    assert "give one a `when`" in export("cron").stderr
