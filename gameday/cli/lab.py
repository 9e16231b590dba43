"""`gameday lab`: the embedded environment, up, down, and how it is."""

import sys

import click


@click.group("lab", short_help="A small shop on this machine, to break without harm.")
def command() -> None:
    """The embedded environment: a small shop of real processes, with a real Envoy, Prometheus and Alertmanager.

    All of it listens on 127.0.0.1 only; its state is under .gameday/lab of the project.
    """


def _say(text: str) -> None:
    click.echo(text, err=True)


@command.command("up")
def up() -> None:
    """Start it. Harmless when it is up."""
    import time

    from gameday.common.project import find_root
    from gameday.lab import Lab, LabError

    lab = Lab(find_root())
    before, started = lab.status().healthy, time.monotonic()
    try:
        info = lab.up(lambda text: _say(f"  {text}"), signals=False)
    except LabError as error:
        raise click.ClickException(str(error)) from error
    _say("The lab was up already:" if before else f"The lab is up after {time.monotonic() - started:.1f} s:")
    for name, address in (
        ("shop", info.shop_url),
        ("Prometheus", info.prometheus_url),
        ("alerts", f"{info.prometheus_url}/alerts"),
        ("Alertmanager", info.alertmanager_url),
        ("notifications", f"{info.receiver_url}/notifications"),
        ("Envoy admin", info.envoy_admin),
        ("inventory", str(info.inventory)),
    ):
        _say(f"  {name:<14} {address}")
    if not before:
        _say("Prometheus has all signals after ten seconds. `gameday lab down` ends all of it.")


@command.command("down")
@click.option("--force", is_flag=True, help="Even under a run that lives, whose undo will then fail.")
def down(force: bool) -> None:
    """End every process of it. Harmless when it is down. Exit status 3: a run lives, and nothing was ended."""
    from gameday.common.project import find_root
    from gameday.engine.runs import all_runs
    from gameday.lab import Lab, LabError

    root = find_root()
    living = [run.name for run in all_runs(root) if run.is_written()]
    if living and not force:
        _say(f"{living[0]} lives; end it first, with `gameday abort {living[0]}`. Nothing was ended.")
        sys.exit(3)
    try:
        ended = Lab(root).down()
    except LabError as error:
        raise click.ClickException(str(error)) from error
    _say(f"Ended {len(ended)} processes: {', '.join(ended)}." if ended else "The lab was not running.")


@command.command("url")
@click.argument("part", type=click.Choice(["shop", "prometheus", "alertmanager", "receiver", "envoy"]))
def url(part: str) -> None:
    """Print the URL of a part, for a shell: its port is another each time. Exit status 3: not running."""
    from gameday.common.project import find_root
    from gameday.lab import Lab

    info = Lab(find_root()).info()
    if info is None:
        _say("The lab is not running; `gameday lab up` starts it.")
        sys.exit(3)
    urls = {
        "shop": info.shop_url,
        "prometheus": info.prometheus_url,
        "alertmanager": info.alertmanager_url,
        "receiver": info.receiver_url,
        "envoy": info.envoy_admin,
    }
    click.echo(urls[part])


@command.command("status")
def status() -> None:
    """Show each part. Exit status: 0 all up, 1 a part is dead, 3 not running."""
    from rich.console import Console
    from rich.table import Table

    from gameday.common.project import find_root
    from gameday.lab import Lab

    state = Lab(find_root()).status()
    if state.parts:
        table = Table("part", "state", "pid", "port", "detail")
        for part in state.parts:
            mark = "[green]up[/]" if part.alive else "[red]dead[/]"
            pid, port = (str(number) if number else "" for number in (part.pid, part.port))
            # A log may contain what rich takes for markup.
            table.add_row(part.name, mark, pid, port, part.detail.replace("[", r"\["))
        Console(stderr=True).print(table)
    if not state.running:
        _say("The lab is not running; `gameday lab up` starts it.")
        sys.exit(3)
    sys.exit(0 if state.healthy else 1)
