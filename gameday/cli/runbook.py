"""`gameday runbook`: lint runbooks, follow one while a run lasts, list them."""

import click


@click.group("runbook", short_help="Lint runbooks; follow one, step by step.")
def command() -> None:
    """Runbooks: Markdown with front matter, in the project, anywhere else, or at an http(s) URL."""


@command.command("lint")
@click.argument("paths", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--offline", is_flag=True, help="Ask no other server whether a link is alive.")
@click.option("--rules", multiple=True, help="Alerting rules: a file or directory; default: all of the project.")
@click.option("--env", "environment", help="Take the alerting rules from this environment's server.")
@click.option("--commands", is_flag=True, help="Look for the programs of all shell code, not of checks alone.")
@click.option("--ignore", multiple=True, help="A rule that says nothing; several by several --ignore.")
def lint(
    paths: tuple[str, ...],
    as_json: bool,
    offline: bool,
    rules: tuple[str, ...],
    environment: str | None,
    commands: bool,
    ignore: tuple[str, ...],
) -> None:
    """Say what would let down whoever follows a runbook: files, directories or URLs; without PATHS the project's.

    Exit 0 without an error (there may be warnings), 1 with one, 2 when the input is wrong.
    """
    from gameday.cli.runbook_lint import run_lint

    run_lint(
        paths,
        as_json=as_json,
        online=not offline,
        rules=rules,
        environment=environment,
        commands=commands,
        ignore=ignore,
    )


@command.command("follow")
@click.argument("name", required=False)
@click.option("--run", help="Which run; default: the one that lives.")
@click.option("--author", help="Who follows it; default: who is logged in.")
@click.option("--record", type=click.Path(dir_okay=False), help="Keep what is said in this file too, one JSON a line.")
def follow(name: str | None, run: str | None, author: str | None, record: str | None) -> None:
    """Walk through a runbook, step by step: by its NAME, an alert's, a file or a URL, perhaps with an #anchor.

    What is said of each step goes into the journal of the run that lives. Code is run only on request, each time.
    """
    from gameday.cli.runbook_follow import run_follow

    run_follow(name, run=run, author=author, record=record)


@command.command("list")
def list_runbooks() -> None:
    """The project's runbooks: name, title, owner, alerts."""
    from gameday.cli.output import say
    from gameday.cli.session import project_root
    from gameday.spec.project import read_project

    project, _ = read_project(project_root())
    for runbook in project.runbooks:
        owner = f", {runbook.owner}" if runbook.owner else ""
        alerts = f" ({', '.join(runbook.alerts)})" if runbook.alerts else ""
        click.echo(f"{runbook.name}: {runbook.title}{owner}{alerts}")
    if not project.runbooks:
        say("There are no runbooks.")
