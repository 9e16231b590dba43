"""Writes a run's report in the formats that are asked for, each file wholly or not at all."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.common.files import replace_file, sync_directory

if TYPE_CHECKING:
    from gameday.report.views import Report


class RenderError(Exception):
    """What a format takes is not there, or has failed."""


class Format(StrEnum):
    """What a report can be written as."""

    HTML = "html"
    JSON = "json"
    JUNIT = "junit"
    MARKDOWN = "markdown"
    CHAOSTOOLKIT = "chaostoolkit"  # the journals of the Chaos Toolkit, one for each experiment
    PNG = "png"  # pictures of the charts, one for each experiment
    PDF = "pdf"  # printed by a browser

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
    Format.PNG: ".png",
    Format.PDF: ".pdf",
}

# Text, and made of the report's view alone; the Chaos Toolkit's journals are made from the journal itself.
VIEWS = (Format.HTML, Format.JSON, Format.JUNIT, Format.MARKDOWN)

OF_EACH_RUN = (Format.HTML, Format.JSON, Format.JUNIT)


def write_report(
    run_directory: Path, formats: Sequence[Format], output: Path, *, say: Callable[[str], None] = lambda _: None
) -> tuple[Path, ...]:
    """Render the run in this directory into `output`, as `<session id><suffix>`. The files, in the order of `formats`.

    Of the Chaos Toolkit's journals each is a file; where there are several, `<session id>-<number><suffix>` from 1. Of
    the pictures each is `<session id>-<number of the experiment>.png`, and there is none where nothing was measured.
    `say` is told what takes a while. Raises JournalError when the journal cannot be read, OSError when a file cannot be
    written, RenderError when there is nothing to draw or to print with.
    """
    from gameday.report.model import load_report

    browser = None
    if Format.PDF in formats:  # before anything is written
        from gameday.report.pdf import find_browser

        browser = find_browser()
    report: Report | None = None
    written = []
    # The directory's name, not the session's own word: that comes from a file and might name any path.
    name = run_directory.resolve().name
    for kind in dict.fromkeys(formats):
        files: list[tuple[str, str | bytes]]
        if kind is Format.CHAOSTOOLKIT:
            texts = _toolkit_journals(run_directory)
            numbers = [f"-{number}" if len(texts) > 1 else "" for number in range(1, len(texts) + 1)]
            files = [(f"{name}{number}{kind.suffix}", text) for number, text in zip(numbers, texts, strict=True)]
        else:
            report = report or load_report(run_directory)
            if kind is Format.PNG:
                from gameday.report.pictures import pictures_of

                files = [(picture.file_name, picture.png) for picture in pictures_of(report, name)]
            elif kind is Format.PDF:
                from gameday.report.pdf import print_pdf

                assert browser is not None
                files = [(f"{name}{kind.suffix}", print_pdf(render(report, Format.HTML), browser, say=say))]
            else:
                files = [(f"{name}{kind.suffix}", render(report, kind))]
        for file_name, content in files:
            path = output / file_name
            replace_file(path, content)
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
        case Format.CHAOSTOOLKIT | Format.PNG | Format.PDF:
            raise ValueError(f"{kind} is not text that is made of the report's view")
