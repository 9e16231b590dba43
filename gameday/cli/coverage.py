"""`gameday coverage`: what is there and was ever exercised. `ping` sends an alert of our own through Alertmanager."""

import click

from gameday.cli.coverage_ping import command as ping

_VIEW = ""  # the name of the command that no name is given for


class _Coverage(click.Group):
    """A group whose arguments are services, unless the first is one of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not (args and args[0] in self.commands and args[0] != _VIEW):
            args = [_VIEW, *args]
        return super().parse_args(ctx, args)


class _View(click.Command):
    """Is asked for by the name of its group."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        assert ctx.parent
        formatter.write_usage(ctx.parent.command_path, " ".join(self.collect_usage_pieces(ctx)))
        formatter.write_usage(ctx.parent.command_path, f"{ping.name} [OPTIONS]", prefix="       ")


@click.group("coverage", cls=_Coverage, short_help="What is there and was exercised; ping: does an alert arrive?")
def command() -> None:
    """Would anyone notice, and could they act?"""


@click.command(_VIEW, cls=_View)
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--env", "environment", help="Ask this environment for its rules, and count runs in it alone.")
@click.option("--offline", is_flag=True, help="Ask nobody; rules are those of the repository's files.")
@click.option("--local", is_flag=True, help="Count the runs of this machine, whatever store gameday.yaml names.")
@click.option("--since", help="Count only runs of the last so many days, say: 90d.")
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice(("never-exercised", "missing", "unrouted")),
    help="Exit 1 when an alert was never exercised, a rule, runbook or dashboard is missing, or nobody would be told.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def view(
    services: tuple[str, ...],
    environment: str | None,
    offline: bool,
    local: bool,
    since: str | None,
    fail_on: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what alerts, runbooks, dashboards and experiments each SERVICE has (default: all of them), and when each was
    exercised last. Exit 0, whatever is wanting, unless --fail-on asks for it.

    `ping` sends an alert of our own through Alertmanager: gameday coverage ping --help.
    """
    from gameday.cli.coverage_matrix import show_matrix

    show_matrix(services, environment, offline=offline, local=local, since=since, fail_on=fail_on, as_json=as_json)


command.add_command(view)
command.add_command(ping)
