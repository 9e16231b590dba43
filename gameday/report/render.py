"""Writes a run's report in the formats that are asked for, each file wholly or not at all."""

import json
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
    CHAOSTOOLKIT = "chaostoolkit"  # the journals of the Chaos Toolkit, one for each experiment

    @property
    def suffix(self) -> str:
        """Of the file's name."""
        return _SUFFIXES[self]


_SUFFIXES = {
    Format.HTML: ".html",
    Format.JSON: ".json",
    Format.JUNIT: ".xml",
    Format.MARKDOWN: ".md",
    Format.CHAOSTOOLKIT: ".journal.json",
}

# What is rendered from the report's view; the Chaos Toolkit's journals are made from the journal itself.
VIEWS = tuple(kind for kind in Format if kind is not Format.CHAOSTOOLKIT)


OF_EACH_RUN = (Format.HTML, Format.JSON, Format.JUNIT)


def write_report(run_directory: Path, formats: Sequence[Format], output: Path) -> tuple[Path, ...]:
    """Render the run in this directory into `output`, as `<session id><suffix>`. The files, in the order of `formats`.

    Of the Chaos Toolkit's journals each is a file; where there are several, `<session id>-<number><suffix>` from 1.
    Raises JournalError when the journal cannot be read, OSError when a file cannot be written.
    """
    from gameday.report.model import load_report

    report: Report | None = None
    written = []
    # The directory's name, not the session's own word: that comes from a file and might name any path.
    name = run_directory.resolve().name
    for kind in dict.fromkeys(formats):
        if kind is Format.CHAOSTOOLKIT:
            texts = _toolkit_journals(run_directory)
        else:
            report = report or load_report(run_directory)
            texts = (render(report, kind),)
        for number, text in enumerate(texts, 1):
            path = output / f"{name}{f'-{number}' if len(texts) > 1 else ''}{kind.suffix}"
            replace_file(path, text)
            path.chmod(0o644)
            written.append(path)
    if written:
        sync_directory(output)
    return tuple(written)


def _toolkit_journals(run_directory: Path) -> tuple[str, ...]:
    from gameday.report.toolkit_journal import toolkit_journals

    return tuple(json.dumps(journal, indent=2, ensure_ascii=False) for journal in toolkit_journals(run_directory))


def render(report: "Report", kind: Format) -> str:
    """The report as text of this format, which is one of VIEWS."""
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
        case Format.CHAOSTOOLKIT:
            raise ValueError(f"{kind} is not rendered from the report's view")
