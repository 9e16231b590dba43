"""What `gameday runbook follow` does: walks through a runbook with whoever follows it, and passes on what they say."""

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec

from gameday.cli.load import print_mistakes
from gameday.cli.output import fail, say
from gameday.cli.run_check import run_check
from gameday.cli.session import project_root, user
from gameday.cli.source import local_runbook
from gameday.common.redact import Redactor
from gameday.common.texts import most_similar
from gameday.coverage.lint.shell import shell_of
from gameday.engine.runs import Message, MessageKind, Run, RunError, all_runs, find_run
from gameday.journal.events import RunbookStepInfo, StepOutcome
from gameday.journal.log import JournalError
from gameday.spec.location import SpecError
from gameday.spec.model import Project
from gameday.spec.project import load_environment, read_project, secret_values
from gameday.spec.runbook import is_url
from gameday.spec.runbook_page import RunbookPage, Section, Step, read_page, sections_at
from gameday.spec.variables import secrets_of_process

# Characters; with a check's output, a message of them stays below what a run takes.
_LONGEST, _LONGEST_TEXT = 4000, 1000  # of a note, as of `gameday note`; of a step
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ANSWERS = {
    "t": "tick", "k": "skip", "s": "stuck", "w": "wrong", "m": "missing", "n": "note", "r": "run", "b": "back",
    "q": "quit",
}  # fmt: skip
_OUTCOMES = {
    "tick": StepOutcome.DONE,
    "skip": StepOutcome.SKIPPED,
    "stuck": StepOutcome.STUCK,
    "wrong": StepOutcome.WRONG,
    "missing": StepOutcome.MISSING,
    "note": StepOutcome.NOTE,
}
_ASKED = {
    "stuck": "what keeps you",
    "wrong": "what is wrong with it",
    "missing": "which step is missing",
    "note": "the note",
}
_LEFT_OPEN = (StepOutcome.SKIPPED, StepOutcome.STUCK, StepOutcome.WRONG)
_HELP = "t tick, k skip, s stuck, w wrong, m missing step, n note, r run its check, b back, q quit"


def run_follow(name: str | None, *, run: str | None, author: str | None, record: str | None) -> None:
    """Walk through it until its end, or until somebody has had enough. Input that is wrong ends with status 2."""
    project, _ = read_project(project_root())
    if name is None:
        names = ", ".join(book.name for book in project.runbooks)
        fail(f"which runbook? One of {names}, a path or a URL" if names else "which runbook? Give a path or a URL")
    name, _, anchor = name.partition("#")
    try:
        page = read_page(_find(name, project))
        if page.mistakes:
            raise SpecError(page.mistakes)
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)
    sections = page.sections
    if anchor and not (sections := sections_at(page, anchor)):
        fail(f"{page.path.name} has no heading with the anchor `#{anchor}`")
    live = _living(run)
    who = author or user()
    post = _Post(live, who, Path(record) if record else None)
    say(f"{page.runbook.title}" + (f", recorded in {live.name}" if live else ""))
    if live is None:
        kept = f"it is kept in {record} alone" if record else "nothing is recorded"
        say(f"No run lives, so this is a rehearsal: {kept}.")
    walk = _Walk(page, sections, post, Redactor(_secrets(live, project)), project.root)
    walk.run()


def _find(name: str, project: Project) -> Path:
    """The file of a runbook: by an address, a path, its name, or an alert that it lists."""
    if is_url(name):
        return local_runbook(name)
    named = project.runbook(name) or next((book for book in project.runbooks if name in book.alerts), None)
    if named is not None:
        return named.path
    if not Path(name).is_file():
        known = [
            *(book.name for book in project.runbooks),
            *(alert for book in project.runbooks for alert in book.alerts),
        ]
        near = most_similar(name, known)
        fail(f"there is no runbook `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    return Path(name)


def _living(name: str | None) -> Run | None:
    """The run that is asked for, which must live, else the latest that does."""
    root = project_root()
    if name is None:
        return next((run for run in reversed(all_runs(root)) if run.is_written()), None)
    try:
        run = find_run(root, name)
    except RunError as error:
        fail(str(error))
    if not run.is_written():
        fail(f"{run.name} has ended; nothing can be recorded in it", 3)
    return run


def _secrets(run: Run | None, project: Project) -> Iterator[str]:
    """What must not be shown of a check's output: secrets of the run's environment and of this process's variables."""
    yield from secrets_of_process()
    try:
        session = run.state().session if run else None
        if session and project.environment(session.environment):
            yield from secret_values(load_environment(project, session.environment))
    except (SpecError, JournalError):
        return  # a variable is not set here: the runner, which has it, masks it all the same


class _Post:
    """Passes on what is said: to the run, as `gameday note` does, and to a file."""

    def __init__(self, run: Run | None, author: str, file: Path | None) -> None:
        self._run = run
        self._author = author
        self._file = file

    def send(self, step: RunbookStepInfo) -> None:
        """Pass it on. A run that has ended in the meantime is said once, and does not end the walk."""
        if self._file is not None:
            line = {"at": time.time(), "author": self._author, **msgspec.to_builtins(step)}
            try:
                with self._file.open("ab") as file:
                    file.write(msgspec.json.encode(line) + b"\n")
            except OSError as error:
                fail(f"{self._file} cannot be written: {error.strerror}")
        if self._run is None:
            return
        if not self._run.is_written():
            say(f"{self._run.name} has ended: what is said from now on is not recorded in it.")
            self._run = None
            return
        try:
            self._run.send(Message(MessageKind.RUNBOOK, self._author, "", step))
        except OSError as error:
            say(f"this could not be recorded: {error.strerror}")


class _Walk:
    """One way through the steps, forwards and, on request, back."""

    def __init__(
        self, page: RunbookPage, sections: tuple[Section, ...], post: _Post, redact: Callable[[str], str], root: Path
    ) -> None:
        self._page = page
        self._post = post
        self._redact = redact
        self._root = root
        self._stops = [(section, step) for section in sections for step in section.steps]
        self._shown_at = time.monotonic()
        self._said: dict[int, StepOutcome] = {}

    def run(self) -> None:
        """To its end, to `quit`, or to the end of what is typed."""
        began = time.monotonic()
        self._send(StepOutcome.OPENED, None, None, note=self._page.runbook.title, seconds=0.0)
        say(click.style(_HELP, dim=True))
        try:
            self._walk()
        except KeyboardInterrupt:  # as good a way to say `quit`
            say()
        summary = self._summary()
        self._send(StepOutcome.CLOSED, None, None, note=summary, seconds=time.monotonic() - began)
        say(f"{summary} in {time.monotonic() - began:.0f} s.")

    def _walk(self) -> None:
        place = 0
        while 0 <= place < len(self._stops):
            self._show(place)
            moved = self._answer(place)
            if moved is None:
                break
            place = max(0, place + moved)

    def _summary(self) -> str:
        count = Counter(self._said.values())
        others = [f"{count[outcome]} {outcome}" for outcome in _LEFT_OPEN if count[outcome]]
        return ", ".join([f"{count[StepOutcome.DONE]} of {len(self._stops)} steps ticked", *others])

    def _show(self, place: int) -> None:
        section, step = self._stops[place]
        before = self._stops[place - 1][0] if place else None
        if section is not before:
            say()
            say(click.style(_clean(section.title or self._page.runbook.title), bold=True))
            first = section.heading.line + 1 if section.heading else 1
            intro = self._page.document.source(first, step.line) if section.heading and section.is_list else ""
            if intro.strip():
                say(_clean(intro))
        say()
        say(click.style(f"[{place + 1}/{len(self._stops)}] ", fg="blue") + _clean(step.source))
        if step.checks:
            say(click.style("    r runs this check", dim=True))
        self._shown_at = time.monotonic()

    def _answer(self, place: int) -> int | None:
        """What is said of the step, as often as it takes: how many steps to move, or None to end."""
        section, step = self._stops[place]
        while True:
            line = self._read("> ")
            if line is None:
                return None
            word, _, rest = line.strip().partition(" ")
            answer = _ANSWERS.get(word.lower(), word.lower())
            if answer == "quit":
                return None
            if answer == "back":
                return -1
            if answer == "run":
                self._run_checks(section, step)
            elif answer in _OUTCOMES:
                note = rest.strip()
                if answer in _ASKED and not note:
                    note = (self._read(f"{_ASKED[answer]}: ") or "").strip()
                if len(note) > _LONGEST:
                    say(f"that has {len(note)} characters; at most {_LONGEST} are taken")
                    continue
                if answer in ("missing", "note") and not note:
                    say("nothing was said, so nothing is noted")
                    continue
                outcome = _OUTCOMES[answer]
                if answer not in ("missing", "note"):  # these are not about how the step went
                    self._said[place] = outcome
                self._send(outcome, section, step, note=note)
                if answer in ("tick", "skip", "wrong"):
                    return 1
                escalation = self._page.runbook.escalation if answer == "stuck" else None
                say("noted" + (f"; escalation: {_clean(escalation)}" if escalation else ""))
            else:
                say(_HELP)

    def _run_checks(self, section: Section, step: Step) -> None:
        if not step.checks:
            say("this step has no check that could be run")
        for fence in step.checks:
            shell = shell_of(fence)
            if shell is None:
                say(f"this check is in {' '.join(fence.info)}; only sh and bash are run")
                continue
            say(_clean(fence.code.rstrip()))
            if (self._read("run this? [y/N] ") or "").strip().lower() not in ("y", "yes"):
                say("not run")
                continue
            try:
                result = run_check(shell, fence.code, self._root)
            except KeyboardInterrupt:
                say("\nended, and all it started")
                return
            output = _clean(self._redact(result.output))
            say(output.rstrip())
            said = f"ended after {result.took_s:.1f} s, and all it started" if result.status is None else ""
            say(said or f"exit status {result.status}")
            self._send(StepOutcome.CHECKED, section, step, output=output, status=result.status)

    def _send(
        self,
        outcome: StepOutcome,
        section: Section | None,
        step: Step | None,
        *,
        note: str = "",
        seconds: float | None = None,
        output: str = "",
        status: int | None = None,
    ) -> None:
        self._post.send(
            RunbookStepInfo(
                runbook=self._page.runbook.name,
                outcome=outcome,
                section=section.title if section else "",
                step=step.number if step else 0,
                text=self._redact(step.text)[:_LONGEST_TEXT] if step else "",
                note=self._redact(note),
                seconds=round(time.monotonic() - self._shown_at if seconds is None else seconds, 3),
                output=output,
                status=status,
                owner=self._page.runbook.owner,
            )
        )

    def _read(self, prompt: str) -> str | None:
        """One line; None when there are no more. Without a terminal, lines come from stdin and nothing is asked."""
        if sys.stdin.isatty():
            click.echo(prompt, nl=False, err=True)
        line = sys.stdin.readline()
        if not line and sys.stdin.isatty():
            say()
        return line.rstrip("\n") if line else None


def _clean(text: str) -> str:
    """What somebody wrote, or a program said, must not steer the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))
