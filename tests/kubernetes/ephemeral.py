"""What the pretended kubelets do about ephemeral containers: each is started once, and told of until its pod goes.

https://kubernetes.io/docs/concepts/workloads/pods/ephemeral-containers/
"""

import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any

from containers import Containers, ephemeral_of
from world import timestamp

type Item = dict[str, Any]


@dataclass
class _Told:
    """`id` is the runtime's; there is none before it was started."""

    id: str = ""
    began: str = ""
    since: float = 0.0
    state: Item = field(default_factory=dict)


class Ephemeral:
    """Those of all pods, by the pod's uid and their name."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._told: dict[tuple[str, str], _Told] = {}
        self.tell_delay_s = 0.0  # between a start and the status that says so

    @property
    def is_busy(self) -> bool:
        """Whether one has been started that is not yet said to run."""
        return any(told.id and "waiting" in told.state for told in self._told.values())

    def keep(self, uids: Container[str]) -> None:
        """These pods are there, and no others."""
        self._told = {key: told for key, told in self._told.items() if key[0] in uids}

    def statuses(self, pod: Item, ended: dict[str, int], lacks: Callable[[str], bool]) -> list[Item]:
        """What the pod should say, after what is new was started; `ended`: exit statuses of some, by their names."""
        return [self._status(pod, item, ended, is_lacking=lacks(item["image"])) for item in ephemeral_of(pod)]

    def _status(self, pod: Item, item: Item, ended: dict[str, int], *, is_lacking: bool) -> Item:
        uid, name = pod["metadata"]["uid"], item["name"]
        told = self._told.setdefault((uid, name), _Told())
        if not told.id and is_lacking:
            told.state = {"waiting": {"reason": "ImagePullBackOff", "message": f"back-off: {name}"}}
        elif not told.id:
            told.id, told.began = f"containerd://{uid.replace('-', '')}{len(self._told):032x}", timestamp()
            told.since, told.state = time.monotonic(), {"waiting": {"reason": "ContainerCreating"}}
            code = self._containers.run(pod, item)
            ended |= {} if code is None else {name: code}
        if name in ended:
            end = {"exitCode": ended[name], "reason": "Error" if ended[name] else "Completed", "containerID": told.id}
            told.state = {"terminated": end | {"startedAt": told.began, "finishedAt": timestamp()}}
        elif told.id and "waiting" in told.state and time.monotonic() - told.since >= self.tell_delay_s:
            told.state = {"running": {"startedAt": told.began}}
        found: Item = {"name": name, "image": item["image"], "imageID": "", "ready": False, "restartCount": 0}
        return found | {"state": told.state} | ({"containerID": told.id} if told.id else {})
