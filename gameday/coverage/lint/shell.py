"""Lints the code of a runbook: does it parse, are its programs here. Nothing of it is run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gameday.coverage.lint.base import Remark, Rule, at, remark
from gameday.coverage.lint.commands import programs_of
from gameday.spec.markdown import Fence
from gameday.spec.runbook_page import CHECK, RunbookPage, is_check
from gameday.spec.units import excerpt

SHELLS = {"sh": "sh", "shell": "sh", "bash": "bash"}  # a fence's word: the program; without one, sh
_SHOWN = {"console", "shell-session", "terminal"}  # commands behind a prompt, and what they say
_TIMEOUT_S = 5.0
_LINE = re.compile(r"^\w+: (?:line )?(\d+): (.*)$", re.MULTILINE)
_PROMPT = re.compile(r"^\s*(?:\S*[$#%>]|\$)\s+(?=\S)")


def search_path() -> str:
    """Where checks find their programs: PATH, and at last where gameday itself is, which checks may call."""
    return os.pathsep.join(filter(None, (os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent))))


def shell_of(fence: Fence) -> str | None:
    """The shell that a `check` block is for; None when it is for another program."""
    words = [word.strip("{},.").lower() for word in fence.info]
    language = next((word for word in words if word and word != CHECK), "sh")
    return SHELLS.get(language)


def check_code(page: RunbookPage, *, commands: bool) -> Iterator[Remark]:
    """`check` blocks that do not parse; programs that are not here: theirs and, with `commands`, of all shell code."""
    known: set[str] = set()
    for fence in page.fences:
        if is_check(fence):
            shell = shell_of(fence)
            if shell is None:
                found = f"a check in {excerpt(' '.join(fence.info))}"
                yield remark(Rule.CHECK_SYNTAX, at(page, fence.line), found, "one in sh or bash")
                continue
            yield from _syntax(page, fence, shell)
        elif not (commands and _is_shell(fence)):
            continue
        for program, line in programs_of(_typed(fence)):
            if not is_check(fence) and not program[0].islower():  # prose, or the head of a table
                continue
            if program not in known and shutil.which(program, path=search_path()) is None:
                known.add(program)
                yield _not_here(page, fence.line + line, program)


def _is_shell(fence: Fence) -> bool:
    """Whether other code says that it is shell, and is: much of it is a query, an answer or a sentence."""
    if not fence.info or fence.info[0].lower() not in {*SHELLS, *_SHOWN}:
        return False
    try:
        return _parse("bash", _typed(fence)).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _not_here(page: RunbookPage, line: int, program: str) -> Remark:
    return remark(Rule.PROGRAM_MISSING, at(page, line), f"the program `{program}`, which is not here", "one on PATH")


def _typed(fence: Fence) -> str:
    """What is typed: where lines begin with a prompt, these alone; the others are what was answered."""
    lines = fence.code.split("\n")
    if not any(line.lstrip().startswith("$ ") for line in lines) and fence.info[0].lower() not in _SHOWN:
        return fence.code
    typed, goes_on = [], False
    for line in lines:
        prompt = _PROMPT.match(line)
        typed.append(line[prompt.end() :] if prompt else line if goes_on else "")
        goes_on = bool(prompt or goes_on) and line.rstrip().endswith("\\")
    return "\n".join(typed)


def _syntax(page: RunbookPage, fence: Fence, shell: str) -> Iterator[Remark]:
    if shutil.which(shell) is None:
        yield _not_here(page, fence.line, shell)
        return
    try:
        done = _parse(shell, fence.code)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield remark(Rule.CHECK_SYNTAX, at(page, fence.line), f"code that {shell} cannot read ({error})", "shell")
        return
    if done.returncode:
        said = done.stderr.decode(errors="replace")
        match = _LINE.search(said)
        line, why = (int(match[1]), match[2]) if match else (0, said.strip().split("\n")[0])
        line = min(fence.line + line, fence.end - 1)
        found = f"a check that does not parse ({why})"
        yield remark(Rule.CHECK_SYNTAX, at(page, line), found, f"what {shell} can read")


def _parse(shell: str, code: str) -> "subprocess.CompletedProcess[bytes]":
    """`-n` reads without running (POSIX, sh). Its environment is empty: bash would run what BASH_ENV names."""
    return subprocess.run(
        [shell, "-n"],
        input=code.encode(),
        capture_output=True,
        timeout=_TIMEOUT_S,
        env={"LC_ALL": "C"},
        check=False,
    )
