"""Turns an environment of kind `lab` into one like any other, once the lab is up."""

from typing import TYPE_CHECKING

import msgspec

from gameday.cli.output import fail, say
from gameday.spec.model import AlertsConfig, Environment, EnvironmentKind, Project, SignalsConfig

if TYPE_CHECKING:
    from gameday.lab import LabInfo


def resolve_environment(environment: Environment, project: Project, *, start: bool) -> Environment:
    """The environment with every address filled in. For the lab: started if `start`, else it must be up.

    Ends the program with status 3 when the lab cannot be had: then nothing was injected.
    """
    if environment.kind is not EnvironmentKind.LAB:
        return environment
    from gameday.lab import Lab, LabError

    lab = Lab(project.root)
    try:
        info = lab.up(lambda text: say(f"lab: {text}")) if start else lab.info()
    except LabError as error:
        fail(str(error), 3)
    if info is None:
        fail("the lab is not up, and this verb starts nothing: run `gameday lab up` first", 3)
    return declare_lab(environment, info)


def declare_lab(environment: Environment, info: "LabInfo") -> Environment:
    """The lab as an environment that a user could have written."""
    return msgspec.structs.replace(
        environment,
        kind=EnvironmentKind.DECLARED,
        signals=SignalsConfig(source="prometheus", url=info.prometheus_url, platform="envoy", stale_after_s=5.0),
        alerts=AlertsConfig(
            source="alertmanager",
            url=info.alertmanager_url,
            rules_url=info.prometheus_url,
            receiver_url=info.receiver_url,
        ),
        inventory=info.inventory,
    )
