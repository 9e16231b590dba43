"""gameday: builders and SREs break a service together, on purpose."""

from typing import Any

__version__ = "0.1.0"


def discover(discover_system: bool = True) -> dict[str, Any]:
    """What `chaos discover --no-install gameday` asks: the activities that a Chaos Toolkit experiment may use.

    Systems are not looked at, whatever `discover_system` says: environments are in gameday.yaml.
    """
    from gameday.chaostoolkit.adapter import discover_activities
    from gameday.chaostoolkit.export import ACTIONS, PROBES

    return discover_activities(ACTIONS, PROBES, __version__)
