"""Which controls the Toolkit's settings declare for every experiment, found out without chaoslib.

Source: https://chaostoolkit.org/reference/usage/settings/
"""

from pathlib import Path

SETTINGS = "~/.chaostoolkit/settings.yaml"


def global_controls(settings: Path | None = None) -> tuple[str, ...]:
    """The names of the controls that the Toolkit's settings declare for every experiment; none when it cannot read them
    either."""
    path = settings or Path(SETTINGS).expanduser()
    if not path.is_file():
        return ()
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return ()
    controls = content.get("controls") if isinstance(content, dict) else None
    return tuple(map(str, controls)) if isinstance(controls, dict) else ()
