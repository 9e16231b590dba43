"""Writes a run's report in the formats that are asked for, each file wholly or not at all."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.common.files import replace_file, sync_directory

if TYPE_CHECKING:
    from gameday.report.views import Report


class Format(StrEnum):
    """What a report can be written as."""

    HTML = "html"
    JSON = "json"
    JUNIT = "junit"
    MARKDOWN = "markdown"

    @property
    def suffix(self) -> str:
        """Of the file's name."""
        return {"html": ".html", "json": ".json", "junit": ".xml", "markdown": ".md"}[self.value]


OF_EACH_RUN = (Format.HTML, Format.JSON, Format.JUNIT)


def write_report(run_directory: Path, formats: Sequence[Format], output: Path) -> tuple[Path, ...]:
    """Render the run in this directory into `output`, as `<session id><suffix>`. The files, in the order of `formats`.

    Raises JournalError when the journal cannot be read, OSError when a file cannot be written.
    """
    from gameday.report.model import load_report

    report = load_report(run_directory)
    written = []
    for kind in dict.fromkeys(formats):
        # The directory's name, not the session's own word: that comes from a file and might name any path.
        path = output / f"{run_directory.resolve().name}{kind.suffix}"
        replace_file(path, render(report, kind))
        path.chmod(0o644)
        written.append(path)
    if written:
        sync_directory(output)
    return tuple(written)


def render(report: "Report", kind: Format) -> str:
    """The report as text of this format."""
    match kind:
        case Format.HTML:
            from gameday.report.html import render_html

            return render_html(report)
        case Format.JSON:
            from gameday.report.json_document import render_json

            return render_json(report)
        case Format.JUNIT:
            from gameday.report.junit import render_junit

            return render_junit(report)
        case Format.MARKDOWN:
            from gameday.report.markdown import render_markdown

            return render_markdown(report)
