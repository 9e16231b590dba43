"""`gameday check`: everything that can be validated without touching a system."""

import sys
import time

import click


@click.command("check")
@click.argument("paths", nargs=-1)
def command(paths: tuple[str, ...]) -> None:
    """Validate files, or all files in directories; without PATHS the whole project: gameday.yaml, experiments/ and
    runbooks/. Exit 0 when all is well, else 2 with every mistake of every file.
    """
    from gameday.cli.load import print_mistakes, print_warnings
    from gameday.cli.output import say
    from gameday.cli.source import local_file
    from gameday.cli.validate import validate
    from gameday.spec.location import SpecError

    began = time.monotonic()
    try:
        checked, warnings = validate(map(local_file, paths))
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)
    print_warnings(warnings)
    what = ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in checked.items() if count)
    say(f"All is well: {what or 'nothing to check'} ({time.monotonic() - began:.1f} s).")
