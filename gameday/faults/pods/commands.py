"""Commands in containers of pods: which container, which words, what went wrong, and what it takes to run one."""

import shlex
from collections.abc import Iterator, Sequence

from gameday.faults.base import FaultError, Permission
from gameday.faults.cluster.base import namespaced
from gameday.kubernetes.client import Client
from gameday.kubernetes.execution import Executed, run_in_container
from gameday.kubernetes.objects import Pod

# Which container a command means that names none: https://kubernetes.io/docs/reference/labels-annotations-taints/
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_LONGEST_SAID = 300


def container_of(pod: Pod, wanted: object) -> str:
    """The name of the container that is meant: kubectl's choice where none is named. Raises FaultError."""
    names = [container.name for container in pod.spec.containers]
    if wanted is None:
        preferred = (pod.metadata.annotations or {}).get(_DEFAULT_CONTAINER, "")
        return preferred if preferred in names else names[0]
    if wanted not in names:
        raise FaultError(f"{pod.metadata.name} has no container `{wanted}`, but {', '.join(names)}")
    return str(wanted)


def words_of(name: str, text: object) -> tuple[str, ...]:
    """A command's program and arguments, as a shell would split them. Raises FaultError."""
    try:
        found = tuple(shlex.split(str(text or "")))
    except ValueError as error:
        raise FaultError(f"`{name}` cannot be split into words: {error}") from None
    if not found:
        raise FaultError(f"`{name}` is empty: a program and its arguments are expected")
    return found


def run_or_fail(
    client: Client, namespace: str, pod: str, container: str, command: Sequence[str], timeout_s: float
) -> None:
    """Raises FaultError when the command ends with another status than 0, with what it said; and ClusterError."""
    done = run_in_container(client, namespace, pod, container, command, timeout_s=timeout_s)
    if complaint := complaint_of(command, done):
        raise FaultError(f"{pod}: {complaint}")


def complaint_of(command: Sequence[str], done: Executed) -> str:
    """What is wrong with how it ended; empty when nothing is."""
    if done.exit_code == 0:
        return ""
    said = " ".join((done.stderr or done.stdout).decode(errors="replace").split())[:_LONGEST_SAID]
    return f"`{shlex.join(command)}` ended with {done.exit_code}" + (f": {said}" if said else "")


def exec_needs(namespace: str, purpose: str) -> Iterator[Permission]:
    """What it takes to run a command in a container; `create` from Kubernetes 1.35 on."""
    return namespaced(("create get", "", "pods/exec"), purpose=purpose, namespace=namespace)
