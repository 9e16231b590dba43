"""`gameday abort`: end a run, or all of them, from another terminal."""

import click

from gameday.cli.ending import timeout_option, wait_for_end
from gameday.cli.output import fail, say
from gameday.cli.session import project_root, user


@click.command("abort")
@click.argument("run", required=False)
@click.option("--all", "everything", is_flag=True, help="End every run of the project.")
@click.option("--reason", default="", help="Why; it goes into the journal and the report.")
@click.option("--wait/--no-wait", default=True, help="Wait until everything is undone.")
@timeout_option
def command(run: str | None, everything: bool, reason: str, wait: bool, timeout: float) -> None:
    """End RUN (default: the one that runs) and undo its faults. Exit 0 when all is undone, 3 when nothing runs, 5 when
    something is left.
    """
    from gameday.engine.runs import Message, MessageKind, RunError, all_runs, find_run

    root = project_root()
    if run and everything:
        fail("name a run or say --all, not both")
    try:
        chosen = [find_run(root, run)] if run else [item for item in all_runs(root) if item.is_written()]
    except RunError as error:
        fail(str(error))
    if not chosen:
        fail("nothing runs", 3)
    if not everything and len(chosen) > 1:
        names = ", ".join(item.name for item in chosen)
        fail(f"several runs are alive, say which, or --all: {names}")
    if run and not chosen[0].is_written():
        fail(f"{chosen[0].name} does not run", 3)
    refused = []
    for item in chosen:
        try:
            item.send(Message(MessageKind.ABORT, user(), reason))
            say(f"asked {item.name} to end")
        except OSError as error:
            refused.append(f"{item.name} ({error.strerror})")
    if refused:
        # The others are asked all the same; whoever cannot be told can be signalled.
        say(f"could not ask {', '.join(refused)}: send SIGTERM to the runner instead")
    if wait:
        wait_for_end(chosen, timeout)
