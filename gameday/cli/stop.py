"""`gameday stop`: the stop switch, which ends every run and lets no other start until it is released."""

from datetime import UTC, datetime
from pathlib import Path

import click

from gameday.cli.ending import timeout_option, wait_for_end
from gameday.cli.output import fail, say
from gameday.cli.session import user


@click.command("stop")
@click.option("--reason", default="", help="Why; every run that it ends or keeps from starting says so.")
@click.option("--release", is_flag=True, help="Let runs start again.")
@click.option("--wait/--no-wait", default=True, help="Wait until this project's runs have undone everything.")
@timeout_option
def command(reason: str, release: bool, wait: bool, timeout: float) -> None:
    """End every run, undo its faults, and let no other start until --release.

    The switch is a file: `.gameday/stop`, or what `stop-switch` in gameday.yaml names, for many projects and machines.
    """
    from gameday.engine.runs import all_runs
    from gameday.engine.stop_switch import switch_of
    from gameday.spec.project import read_project

    project, mistakes = read_project(Path.cwd())
    for mistake in mistakes:  # said, and no reason to let anything run on
        say(str(mistake))
    switch = switch_of(project)
    try:
        if release:
            say(f"released: {switch.path}" if switch.release() else "it was not engaged")
            return
        alive = [run for run in all_runs(project.root) if run.is_written()]
        when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        stands = switch.engage(f"stopped by {user()} at {when}" + (f": {reason}" if reason else ""))
    except OSError as error:
        fail(f"{switch.path}: {error.strerror}; end runs with `gameday abort --all`", 5)
    say(f"engaged: {switch.path} ({stands})")
    say("No run starts until `gameday stop --release`.")
    if alive and wait:
        wait_for_end(alive, timeout)
