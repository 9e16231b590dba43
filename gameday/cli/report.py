"""`gameday report`: render a run's report again, from its journal."""

from pathlib import Path

import click

from gameday.cli.output import fail, reason_of, say
from gameday.cli.session import project_root

_FORMATS = ("html", "json", "junit", "markdown", "chaostoolkit", "png", "pdf")


def _parse_formats(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    wrong = [name for name in names if name not in _FORMATS]
    if wrong or not names:
        raise click.BadParameter(f"found `{', '.join(wrong) or text}`, expected one or more of {', '.join(_FORMATS)}")
    return names


@click.command("report")
@click.argument("run", required=False)
@click.option(
    "--format",
    "formats",
    default="html",
    show_default=True,
    callback=_parse_formats,
    help="One or more of html, json, junit, markdown, chaostoolkit (its journal), png (the charts), pdf (printed by a "
    "Chromium, Chrome or Edge), separated by commas.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Where the files go; default: reports/."
)
def command(run: str | None, formats: tuple[str, ...], output: Path | None) -> None:
    """Render the report of RUN (default: the latest) again, and print the paths of its files."""
    from gameday.engine.runs import RunError, find_run
    from gameday.journal.log import JournalError
    from gameday.report.render import Format, RenderError, write_report

    root = project_root()
    try:
        found = find_run(root, run)
        asked = [Format(name) for name in formats]
        written = write_report(found.directory, asked, output or root / "reports", say=say)
    except (RunError, JournalError, RenderError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"the report cannot be written: {reason_of(error)}")
    if "png" in formats and not any(path.suffix == ".png" for path in written):
        say("no picture: nothing was measured")
    for path in written:
        click.echo(path)
