"""`gameday status`: which runs live, where they are, and what dead ones left."""

import json
import sys
import time
from pathlib import Path

import click

from gameday.cli.output import say


@click.command("status")
@click.option("--all", "everything", is_flag=True, help="Runs that ended well too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(everything: bool, as_json: bool) -> None:
    """Show runs that live and what dead ones left. Exit 5 when something is left behind, else 0."""
    from gameday.engine.runs import RunLife, all_runs
    from gameday.engine.stop_switch import switch_of
    from gameday.journal.log import JournalError
    from gameday.spec.project import read_project

    project, _ = read_project(Path.cwd())
    stopped = switch_of(project).reason()
    rows: list[dict[str, str | int | float | None]] = []
    left = False
    for run in all_runs(project.root):
        try:
            state = run.state()
        except JournalError as error:
            say(str(error))
            continue
        life = run.life(state)
        abandoned = not state.is_clean and life in (RunLife.DEAD, RunLife.ENDED)
        left = left or abandoned
        if life is RunLife.ENDED and not abandoned and not everything:
            continue
        rows.append(
            {
                "run": run.name,
                "life": life.value,
                "title": state.session.title if state.session else None,
                "phase": state.phase.phase.value if state.phase else None,
                "faults": len(state.faults),
                "verdict": state.ended.verdict.value if state.ended else None,
                "seconds": round(time.time() - state.session.at, 1) if state.session and not state.ended else None,
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        say("Nothing runs, and nothing is left behind.")
    else:
        for row in rows:
            say(_line(row))
    if stopped:
        say(f"No run starts: {stopped}; `gameday stop --release` ends that.")
    sys.exit(5 if left else 0)


def _line(row: dict[str, str | int | float | None]) -> str:
    parts = [f"{row['run']}: {row['life']}"]
    if row["seconds"] is not None and row["life"] == "running":
        parts.append(f"{row['phase'] or 'starting'}, {row['seconds']:.0f} s")
    if row["verdict"]:
        parts.append(str(row["verdict"]))
    if row["faults"]:
        parts.append(f"{row['faults']} not undone")
        if row["life"] in ("dead", "ended"):
            parts.append(f"undo it with `gameday recover {row['run']}`")
    return ", ".join(parts)
