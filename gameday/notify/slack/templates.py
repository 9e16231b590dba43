"""The words of each message: ours, or a team's own templates (Jinja2, sandboxed), one file for each kind of message."""

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.notify.base import Detail, Kind
from gameday.notify.slack.blocks import ICONS, cut, linked, quoted
from gameday.spec.units import format_duration

if TYPE_CHECKING:
    from jinja2 import Environment, Template

SUFFIX = ".mrkdwn.j2"
_MOST_LINES = 30
_MAX_BYTES = 64 * 1024
_LONGEST = 2900  # characters of what is made
_WIDEST = 1000  # characters that a template may have something filled up to


class Mrkdwn(str):
    """Text that is mrkdwn already, and is not quoted again."""

    __slots__ = ()


def default_words(detail: Detail, mentions: str) -> str:
    """As we say it: a heading with who is meant, its lines. What is too long is cut at its end: nobody is missed."""
    lines = [quoted(line) for line in detail.lines[:_MOST_LINES]]
    if len(detail.lines) > _MOST_LINES:
        lines.append(f"and {len(detail.lines) - _MOST_LINES} more")
    # The report comes when the session is over.
    clock = "" if detail.kind is Kind.REPORT else f" · {_clock(detail)}"
    head = f"{ICONS[detail.level]} *{cut(quoted(detail.title), 600)}*{clock}{mentions and f' {mentions}'}"
    link = [linked(detail.link)] if detail.link else []
    return cut("\n".join([head, *lines, *link]), _LONGEST)


def _clock(detail: Detail) -> str:
    return f"{format_duration(float(round(detail.after_s)))} in"


class Words:
    """Says details. A template that is broken is said so once, and ours is used in its place."""

    def __init__(self, directory: Path | None, failed: Callable[[str], None] = lambda _reason: None) -> None:
        self._failed = failed
        self._templates: dict[Kind, Template] = {}
        self._broken: set[Kind] = set()
        if directory is not None:
            self._load(directory)

    def _load(self, directory: Path) -> None:
        paths = {kind: directory / f"{kind}{SUFFIX}" for kind in Kind}
        try:
            strange = [path.name for path in directory.iterdir() if path not in paths.values()]
        except OSError as error:
            self._failed(f"templates: {directory.name} cannot be read: {error.strerror}")
            return
        if named := [name for name in sorted(strange) if name.endswith(".j2")]:
            self._failed(f"templates: there is no message for {named[0]}; there are {', '.join(Kind)} ({SUFFIX})")
        from jinja2 import TemplateError

        environment = _sandbox()
        for kind, path in paths.items():
            try:
                if path.stat().st_size > _MAX_BYTES:
                    raise OSError(None, "it is larger than 64 KiB")
                self._templates[kind] = environment.from_string(path.read_text("utf-8"))
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError, TemplateError) as error:
                self._fail(kind, error)

    def _fail(self, kind: Kind, error: Exception) -> None:
        if kind not in self._broken:
            self._broken.add(kind)
            why = getattr(error, "strerror", None) or str(error)
            self._failed(f"templates: {kind}{SUFFIX}: {why}; ours is used")

    def say(self, detail: Detail, mentions: str, more: Mapping[str, object]) -> str:
        """The detail in mrkdwn. `mentions` is mrkdwn already; `more` is what a template may want to know besides."""
        template = self._templates.get(detail.kind)
        if template is None or detail.kind in self._broken:
            return default_words(detail, mentions)
        try:
            made = template.render(
                kind=str(detail.kind),
                title=detail.title,
                lines=detail.lines,
                level=str(detail.level),
                icon=Mrkdwn(ICONS[detail.level]),
                after=_clock(detail),
                at=detail.at,
                link=Mrkdwn(linked(detail.link or "")),
                mentions=Mrkdwn(mentions),
                **more,
            )
        except Exception as error:  # noqa: BLE001 - a template may do anything that the sandbox lets it
            self._fail(detail.kind, error)
            return default_words(detail, mentions)
        return cut(made.strip(), _LONGEST) or default_words(detail, mentions)


def _sandbox() -> "Environment":
    """Where a template can neither reach out nor go on for long: what is large, or many, it cannot make up itself."""
    from jinja2 import Undefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse_large(*arguments: object) -> None:
        # One call that pads to hundreds of megabytes keeps all threads waiting, the run's too.
        if any(isinstance(one, int | float) and one > _WIDEST for one in arguments):
            raise SecurityError(f"more than {_WIDEST} is not to be had in a template")

    def bounded(function: Callable[..., object]) -> Callable[..., object]:
        @wraps(function)
        def call(*arguments: object, **named: object) -> object:
            refuse_large(*arguments, *named.values())
            return function(*arguments, **named)

        return call

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**", "%"})

        def call(self, context: object, function: object, /, *arguments: object, **named: object) -> object:
            if getattr(function, "__name__", "") in ("format", "format_map"):  # their widths are in a text
                raise SecurityError("`format` is not to be had in a template")
            if not isinstance(function, Undefined):  # which says so itself
                refuse_large(*arguments, *named.values())
            return super().call(context, function, *arguments, **named)  # type: ignore[arg-type]

        def call_binop(self, context: object, operator: str, left: object, right: object) -> object:
            raise SecurityError(f"`{operator}` is not to be had in a template")

    # Slack's own markup is not HTML: `_show` quotes for it.
    sandbox = Sandbox(finalize=_show, autoescape=False, trim_blocks=True, lstrip_blocks=True)
    sandbox.globals = {}  # above all `range`
    del sandbox.filters["format"]
    for name in ("center", "indent", "batch", "slice"):
        sandbox.filters[name] = bounded(sandbox.filters[name])
    return sandbox


def _show(value: object) -> object:
    """What a template puts in is quoted, but for what is mrkdwn already."""
    return value if isinstance(value, Mrkdwn) else quoted(str(value))
