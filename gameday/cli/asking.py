"""Asks at the terminal, on stderr; an interrupt is heard whenever it comes."""

import select
import sys

import click

_AWAKE = 0.2  # seconds until an interrupt is looked for again


def ask(question: str) -> str:
    """The line that is typed, without blanks around it. Raises `click.Abort` at Ctrl-C, and where no line can come."""
    click.echo(question, nl=False, err=True)
    try:
        # A Ctrl-C between the question and read(2) would be noted, but not acted upon before the next key: Python's
        # input(), and with it click's prompts, has that gap. A terminal gives one line at a time, so none waits unseen.
        while sys.stdin.isatty() and not select.select([sys.stdin], [], [], _AWAKE)[0]:
            pass
        return input().strip()
    except (KeyboardInterrupt, EOFError):
        raise click.Abort from None


def confirm(question: str) -> bool:
    """Whether it is wanted; Enter alone says no. Raises `click.Abort` as `ask` does."""
    while (answer := ask(f"{question} [y/N]: ").lower()) not in ("y", "yes", "n", "no", ""):
        click.echo(f"found `{answer[:20]}`, expected y or n", err=True)
    return answer.startswith("y")
