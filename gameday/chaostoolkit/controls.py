"""Which controls the Toolkit's settings declare for every experiment, found out without chaoslib.

Source: https://chaostoolkit.org/reference/usage/settings/
"""

from pathlib import Path

from gameday.common.json import Json
from gameday.spec.experiment import OWN_CONTROL

SETTINGS = "~/.chaostoolkit/settings.yaml"


def global_controls(settings: Path | None = None) -> tuple[str, ...]:
    """The names of the controls, but for our own, that the Toolkit's settings declare for every experiment.

    None when it cannot read its settings either.
    """
    path = settings or Path(SETTINGS).expanduser()
    if not path.is_file():
        return ()
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return ()
    controls = content.get("controls") if isinstance(content, dict) else None
    found = controls.items() if isinstance(controls, dict) else ()
    return tuple(str(name) for name, control in found if _module(control) != OWN_CONTROL)


def _module(control: Json) -> Json:
    provider = control.get("provider") if isinstance(control, dict) else None
    return provider.get("module") if isinstance(provider, dict) else None
