"""The verbs of `gameday`: each one's file is found when it is asked for, so that `--help` imports none of them."""

import os
from importlib import import_module
from typing import Any

import click

from gameday import __version__

# verb: (module, one line of help). The help stands here too, so that the list needs no imports.
VERBS = {
    "init": "Write a starter project.",
    "check": "Validate everything that can be validated offline.",
    "plan": "Show what would be hit, by name; changes nothing.",
    "brief": "Who, when, what is hit, how to stop it: an agenda.",
    "approve": "Consent to a run, as a second person.",
    "run": "Run an experiment or a game day.",
    "status": "Show runs that live, and what dead ones left.",
    "abort": "End a run and undo its faults.",
    "stop": "End every run, and let none start until --release.",
    "recover": "Undo whatever a dead run left.",
    "predict": "Say what will happen, before it can be seen.",
    "mark": "Say how far you have come, such as detected or mitigated.",
    "note": "Add a note to a run.",
    "actions": "What is to be done: list, add, close, push.",
    "sign": "Accept what a run has shown, as a builder or an SRE.",
    "ack": "Acknowledge an alert of a run: somebody is on it.",
    "runbook": "Lint runbooks; follow one, step by step.",
    "coverage": "What is there and was exercised; ping: does an alert arrive?",
    "history": "All sessions; trends: what got better, what got worse.",
    "schedule": "Game days that are due: list, next, due, run, export.",
    "annotations": "The notes of a run on dashboards: list, remove.",
    "slack": "test: whether token, scopes, channel and Socket Mode work.",
    "report": "Render a run's report again.",
    "export": "Write an experiment as a plain Chaos Toolkit one.",
    "lab": "The embedded environment: up, down, status, url.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = import_module(f"gameday.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        from pathlib import Path

        from gameday.cli.output import fail, interrupted

        try:
            Path.cwd()
        except FileNotFoundError:
            fail("the current directory is gone: go to one that is there")
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):  # click would end with 1, which says something else here
            interrupted(ctx.invoked_subcommand)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise click.UsageError(error.format_message() + hint, ctx) from error


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="gameday")
@click.pass_context
def cli(context: click.Context) -> None:
    """Break a service together, on purpose: does it survive, would anyone notice, would they know what to do?

    Exit status of `run`: 0 everything held; 1 a weakness was found; 2 the input is wrong; 3 not started, nothing was
    injected; 4 aborted, everything undone; 5 an undo failed.
    """
    if os.environ.get("NO_COLOR"):  # https://no-color.org
        context.color = False
