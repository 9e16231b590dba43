"""Schedules as CronJobs with all that they need: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from gameday import __version__
from gameday.cli.output import fail, say
from gameday.cli.schedule_export import variables_of
from gameday.cli.schedule_ics import clock_changes
from gameday.cli.schedule_load import Found
from gameday.cli.schedule_timers import label_of
from gameday.common.json import JsonObject
from gameday.engine.schedule import GRACE_S, Scheduled
from gameday.spec.cron import allowed_values, either_day
from gameday.spec.model import EnvironmentKind
from gameday.spec.project import may_be_server

_NAME = "gameday"
_DEFAULT_NAMESPACE = "gameday"
_USER = 65532
_STOP_S = 900  # in which a session that is stopped undoes
_WORK = "/project"
_WHEELS = "/wheels"
_TMP = "/tmp"  # noqa: S108 - within the container
_LABEL_LENGTH = 36  # a CronJob's name has at most 52 characters: its Jobs' names add 11
_UNPLANNED = "{} cannot be planned, and its Roles come from the plan, or from --rbac FILE: {}"
_CHANGES_AHEAD_D = 5 * 366  # so far we look for times that a changing clock leaps over

_DOCKERFILE = f"""\
# The image of the CronJobs: gameday, with this project in it. Build it in the directory of gameday.yaml.
FROM python:3.12-slim
# tini hands signals on, and reaps what a session leaves behind.
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
# gameday comes from a wheel beside gameday.yaml, which `pip wheel --no-deps -w . CHECKOUT-OF-GAMEDAY` makes, and never
# by its name: the `gameday` of PyPI is somebody else's.
ARG WHEEL=gameday-{__version__}-py3-none-any.whl
COPY $WHEEL {_WHEELS}/
# Extensions of the Chaos Toolkit that experiments use go here, too.
RUN pip install --no-cache-dir "$(ls {_WHEELS}/*.whl)EXTRAS"
WORKDIR {_WORK}
COPY . {_WORK}
# Secrets and journals are for no image. A builder that reads no Dockerfile.dockerignore needs .dockerignore beside
# gameday.yaml.
RUN for path in .gameday .git; do if [ -e $path ]; then echo ".dockerignore was not read: $path"; exit 1; fi; done
# Volumes are mounted here.
RUN mkdir -p {_WORK}/.gameday {_WORK}/reports && chown {_USER}:{_USER} {_WORK}/.gameday {_WORK}/reports
USER {_USER}:{_USER}
ENTRYPOINT ["tini", "--", "gameday"]
"""
DOCKERIGNORE = ".git\n.gameday\nreports\n.venv\n"


def cluster_files(
    found: Found, *, namespace: str, image: str | None, secret: str, roles: Path | None
) -> dict[str, str]:
    """The manifest, and what makes the image. `roles`: a file that `gameday plan --rbac` has written; None: the game
    days are planned now. Ends the program with status 3 where they cannot be."""
    import yaml

    _check_environments(found)
    image = image or f"gameday-{label_of(found.project.name) or 'project'}:latest"
    variables, now = variables_of(found), datetime.now(UTC)
    granted = roles.read_text(encoding="utf-8") if roles else _roles(found)
    try:
        documents = manifests(found.game_days, namespace, image, secret, variables, granted, now)
    except yaml.YAMLError:
        fail(f"{roles}: found what is no YAML, expected what `gameday plan --rbac` writes")
    comment = (
        f"# kubectl apply -f gameday-cronjobs.yaml, after: docker build -t {image} -f Dockerfile .\n"
        "# (which wants gameday's wheel beside gameday.yaml: the Dockerfile says more)\n"
        + (
            f"# and: kubectl -n {namespace} create secret generic {secret} "
            + " ".join(f"--from-literal={name}=…" for name in variables)
            + "\n"
            if variables
            else ""
        )
        + "# A node that leaves, or an upgrade, ends a session: it undoes within terminationGracePeriodSeconds.\n"
    )
    text = comment + "---\n".join(yaml.safe_dump(document, sort_keys=False) for document in documents)
    # A builder looks for the latter beside gameday.yaml, for the former beside the Dockerfile, wherever that is.
    ignored = dict.fromkeys(("Dockerfile.dockerignore", ".dockerignore"), DOCKERIGNORE)
    files = {"Dockerfile": dockerfile(found.project.history), **ignored}
    return {"gameday-cronjobs.yaml": text, **files}


def dockerfile(history: str) -> str:
    """What makes the image. A store in a PostgreSQL, which a variable may name, needs its driver."""
    return _DOCKERFILE.replace("EXTRAS", "[postgresql]" if may_be_server(history) else "")


def manifests(
    game_days: Iterable[Scheduled],
    namespace: str,
    image: str,
    secret: str,
    variables: Sequence[str],
    roles: str,
    now: datetime,
) -> list[JsonObject]:
    """All objects, in an order in which they can be made. `roles`: YAML of Roles and ClusterRoles."""
    import yaml

    documents: list[JsonObject] = []
    if namespace == _DEFAULT_NAMESPACE:
        documents.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    documents += [_account(namespace), _claim(namespace)]
    for role in yaml.safe_load_all(roles):
        if isinstance(role, dict) and role.get("kind") in ("Role", "ClusterRole"):
            own = _named_for(role, namespace)
            documents += [own, _binding(own, namespace)]
    env: list[JsonObject] = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}} for name in variables
    ]
    return [*documents, *(cron_job(item, namespace, image, env, now) for item in game_days)]


def cron_job(item: Scheduled, namespace: str, image: str, env: list[JsonObject], now: datetime) -> JsonObject:
    """A CronJob that calls `gameday schedule run` for one game day: never two at a time, none again after a failure."""
    container: JsonObject = {
        "name": _NAME,
        "image": image,
        "args": ["schedule", "run", item.name],
        "workingDir": _WORK,
        "env": [{"name": "HOME", "value": _TMP}, *env],
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": f"{_WORK}/.gameday", "subPath": "state"},
            {"name": "state", "mountPath": f"{_WORK}/reports", "subPath": "reports"},
            {"name": "tmp", "mountPath": _TMP},
        ],
    }
    pod: JsonObject = {
        "serviceAccountName": _NAME,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _STOP_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "state", "persistentVolumeClaim": {"claimName": _NAME}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    # An autoscaler that empties the node would end the session.
    stay = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": _job_name(item.name), "namespace": namespace, "labels": _labels()},
        "spec": {
            "schedule": kubernetes_cron(item, now),
            "timeZone": item.schedule.timezone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": int(max(GRACE_S, item.schedule.catch_up_s or 0.0)),
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            # No activeDeadlineSeconds: a session ends by itself, and must not be cut off while it undoes.
            "jobTemplate": {
                "metadata": {"labels": _labels()},
                "spec": {
                    "backoffLimit": 0,
                    "template": {"metadata": {"labels": _labels(), "annotations": stay}, "spec": pod},
                },
            },
        },
    }


def kubernetes_cron(item: Scheduled, now: datetime) -> str:
    """The cron expression as the CronJob controller reads it: lists of numbers alone, Sunday 0.

    It may name more times than are due, and `gameday schedule run` knows which are: where the controller understands
    two days in another way, of dates, which have a year, and of times that a changing clock leaps over: those it passes
    over, and for us they are later.
    """
    schedule = item.schedule
    if schedule.cron is None:
        times = {(moment.hour, moment.minute) for moment in schedule.dates}
        days, months = ({moment.day for moment in schedule.dates}, {moment.month for moment in schedule.dates})
        week_days = set(range(7))
    else:
        minutes, hours, days, months, week_days = allowed_values(schedule.cron)
        times = {(hour, minute) for hour in hours for minute in minutes}
        leapt = _leapt_to(times, schedule.timezone, now)
        times |= {at for at, _ in leapt}
        is_next_day = any(next_day for _, next_day in leapt)
        if either_day(schedule.cron) or is_next_day:
            days, week_days = set(range(1, 32)), set(range(7))
        elif len(days) < 31:  # were there days of the week, too, the controller would take either
            week_days = set(range(7))
        months = set(range(1, 13)) if is_next_day else months
    hours, minutes = {hour for hour, _ in times}, {minute for _, minute in times}
    wholes = ((minutes, 60), (hours, 24), (days, 31), (months, 12), (week_days, 7))
    return " ".join(_list(values, whole) for values, whole in wholes)


def _leapt_to(times: set[tuple[int, int]], timezone: str, now: datetime) -> set[tuple[tuple[int, int], bool]]:
    """What the clock shows instead of those of these times that it leaps over; and whether it is on another day."""
    zone, found = ZoneInfo(timezone), set()
    if not clock_changes(timezone, now):
        return set()
    first = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    for number in range(_CHANGES_AHEAD_D):
        day = first + timedelta(days=number)
        ends = day.replace(tzinfo=zone).utcoffset(), (day + timedelta(days=1)).replace(tzinfo=zone).utcoffset()
        if ends[0] == ends[1]:
            continue
        for hour, minute in times:
            moment = day.replace(hour=hour, minute=minute)
            real = moment.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
            if (real.hour, real.minute) != (hour, minute):
                found.add(((real.hour, real.minute), real.date() != moment.date()))
    return found


def _list(values: Iterable[int], whole: int) -> str:
    some = sorted(values)
    return "*" if len(some) == whole else ",".join(map(str, some))


def _job_name(name: str) -> str:
    """One for each path: the same each time that it is exported."""
    label = label_of(name.removeprefix("experiments/").rpartition(".")[0], _LABEL_LENGTH)
    return "-".join(filter(None, (_NAME, label, hashlib.sha256(name.encode()).hexdigest()[:6])))


def _check_environments(found: Found) -> None:
    """Say what will not work within a cluster."""
    for item in found.game_days:
        environment = found.project.environment(item.environment or "lab")
        if environment is None or environment.kind is EnvironmentKind.LAB:
            say(f"{item.name}: it runs in the lab, which a Pod has not")
        elif environment.cluster is not None and not environment.cluster.in_cluster:
            say(
                f"{item.name}: `{environment.name}` names a context, and a Pod has no kubeconfig: "
                "`kubernetes: {in-cluster: true}` is its service account"
            )


def _roles(found: Found) -> str:
    """The Roles that the game days need, by their plans."""
    import asyncio
    import tempfile

    from gameday.cli.rbac import roles_for
    from gameday.cli.session import make_input, read_session
    from gameday.engine.planning import plan_session
    from gameday.engine.workers import WorkersError
    from gameday.faults.base import FaultError
    from gameday.signals import SignalError

    permissions = set()
    for item in found.game_days:
        environment = found.project.environment(item.environment or "lab")
        if environment is None or environment.kind is EnvironmentKind.LAB or environment.cluster is None:
            continue  # nothing of it acts in a cluster
        session = make_input(read_session(found.project.root / item.name, None), start_lab=False)
        try:
            with tempfile.TemporaryDirectory(prefix="gameday-plan-") as scratch:
                plan = asyncio.run(plan_session(session, Path(scratch), datetime.now(UTC)))
        except (FaultError, SignalError, WorkersError, OSError) as error:
            fail(_UNPLANNED.format(item.name, error), 3)
        # Whoever may not do it yet is told all the same what it takes.
        results = [stage.result for stage in plan.stages]
        failed = [result.error for result in results if result.error and not result.examination.permissions]
        if failed:
            fail(_UNPLANNED.format(item.name, failed[0]), 3)
        permissions |= {one for stage in plan.stages for one in stage.result.examination.permissions}
    return roles_for(permissions)


def _account(namespace: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": _NAME, "namespace": namespace, "labels": _labels()},
    }


def _claim(namespace: str) -> JsonObject:
    """What must outlive a Pod: claims, and journals of runs, from which `gameday recover` can undo."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": _NAME, "namespace": namespace, "labels": _labels()},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def _named_for(role: JsonObject, namespace: str) -> JsonObject:
    """Under a name of this namespace's own: two that break the same service must not replace each other's rights."""
    metadata = role["metadata"]
    if namespace == _DEFAULT_NAMESPACE or metadata["name"] != _NAME:
        return role
    return role | {"metadata": metadata | {"name": f"{_NAME}-{namespace}"}}


def _binding(role: JsonObject, namespace: str) -> JsonObject:
    metadata, kind = role["metadata"], str(role["kind"])
    return {
        "apiVersion": role["apiVersion"],
        "kind": f"{kind}Binding",
        "metadata": dict(metadata),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": metadata["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": namespace}],
    }


def _labels() -> JsonObject:
    return {"app.kubernetes.io/name": _NAME}
