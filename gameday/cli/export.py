"""`gameday export`: a native experiment as a plain one, for `chaos run`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gameday.cli.output import fail, say

if TYPE_CHECKING:
    from gameday.spec.model import Experiment, GameDay

_FORMATS = ("yaml", "json")


@click.command("export")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="A file; of a game day, a directory. Default: stdout."
)
@click.option("--format", "form", type=click.Choice(_FORMATS), help="Default: as the file's name says, else yaml.")
def command(path: Path, output: Path | None, form: str | None) -> None:
    """Write the experiment at PATH as a plain Chaos Toolkit experiment, which `chaos run` executes.

    Of a game day, each of its experiments. A plain experiment is written as it is.
    """
    from gameday.cli.load import parse_path, print_mistakes, project_start
    from gameday.spec.location import SpecError
    from gameday.spec.project import load_project
    from gameday.spec.reader import read_document

    try:
        game_day, experiments = parse_path(path, read_document(path), load_project(project_start(path)))
        form = form or (output.suffix.removeprefix(".").replace("yml", "yaml") if output and not game_day else "yaml")
        if form not in _FORMATS:
            fail(f"{output} is neither .yaml nor .json, which is all that `chaos run` reads; say --format for another")
        texts = {experiment.path: _compile(experiment, form) for experiment in experiments}
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)
    if game_day:
        _write_all(game_day, texts, output, form)
    elif output is None:
        click.echo(texts[experiments[0].path], nl=False)
    else:
        _write(output, texts[experiments[0].path], path)
    if not all(experiment.plain for experiment in experiments):
        say("`chaos run` executes it beside gameday.yaml; GAMEDAY_ENVIRONMENT names the environment (default: lab).")


def _compile(experiment: "Experiment", form: str) -> str:
    """The text of the exported experiment. Raises SpecError."""
    from gameday.chaostoolkit.adapter import validate_experiment
    from gameday.chaostoolkit.export import compile_experiment, write_json, write_yaml
    from gameday.spec.nodes import to_json
    from gameday.spec.reader import read_document

    document = read_document(experiment.path)
    source = _source(experiment.path)
    if experiment.plain:
        say(f"{source} is a plain experiment already: nothing was changed")
        compiled = to_json(document)
    else:
        compiled = compile_experiment(experiment, document, source)
        if complaints := validate_experiment(compiled):
            fail(f"{source} cannot be exported: the Toolkit would not take it ({'; '.join(complaints)})")
    return write_yaml(compiled) if form == "yaml" else write_json(compiled)


def _source(path: Path) -> str:
    """Where it is, as a person at the project's root would say."""
    from gameday.common.project import find_root

    try:
        return path.resolve().relative_to(find_root(path.parent)).as_posix()
    except ValueError:
        return path.name


def _write_all(game_day: "GameDay", texts: dict[Path, str], output: Path | None, form: str) -> None:
    if output is None:
        fail(f"{game_day.path} is a game day, whose experiments become files of their own: say -o DIRECTORY")
    names = [path.stem for path in texts]
    for number, (path, text) in enumerate(texts.items()):
        name = path.stem if names.count(path.stem) == 1 else f"{number + 1}-{path.stem}"
        _write(output / f"{name}.{form}", text, path)


def _write(path: Path, text: str, source: Path) -> None:
    from gameday.common.files import write_atomically

    if path.exists() and path.samefile(source):
        fail(f"{path} is what is exported; it is not written over")
    try:
        write_atomically(path, text)
        path.chmod(0o644)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
    say(f"written: {path}")
