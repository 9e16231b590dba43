"""The options that `chaos run` has for a plain experiment, and what they change in it."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from gameday.cli.load import SessionSpec, print_mistakes
from gameday.cli.output import fail, reason_of, say
from gameday.cli.source import fetched_from
from gameday.common.json import Json, JsonObject
from gameday.spec.location import SpecError
from gameday.spec.model import Dry, Experiment, HypothesisStrategy, RollbackStrategy, Runtime
from gameday.spec.reader import Fields, File, nearest, read_document

# Bytes are text here: JSON, in which a run keeps them, has no others.
_TYPES: dict[str, Callable[[str], Json]] = {"": str, "str": str, "int": int, "float": float, "bytes": str}
_STRATEGIES = [strategy.value for strategy in HypothesisStrategy if strategy is not HypothesisStrategy.SKIP]
_OPTIONS = (
    click.option(
        "--var", multiple=True, metavar="KEY=VALUE", help="Plain: a value of `configuration`, or KEY:TYPE=VALUE."
    ),
    click.option(
        "--var-file",
        multiple=True,
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Plain: a file of configuration and secrets (YAML, JSON) or of variables (.env).",
    ),
    click.option("--dry", type=click.Choice([dry.value for dry in Dry]), help="Plain: only pretend these."),
    click.option("--hypothesis-strategy", type=click.Choice(_STRATEGIES), help="Plain: when the hypothesis is judged."),
    click.option("--hypothesis-frequency", type=click.FloatRange(min=0.01), help="Plain: seconds between judgements."),
    click.option("--fail-fast", is_flag=True, help="Plain: the first judgement that does not hold ends the method."),
    click.option(
        "--rollback-strategy",
        type=click.Choice([strategy.value for strategy in RollbackStrategy]),
        help="Plain: when rollbacks run; default: always.",
    ),
)


def toolkit_options[F: Callable[..., Any]](command: F) -> F:
    """Add the options to a verb, which gets them as keywords."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def apply_options(spec: SessionSpec, options: dict[str, Any]) -> SessionSpec:
    """The session with its plain experiments changed. Ends the program with status 2 when there are none, or the values
    cannot be read."""
    given = [name for name, value in options.items() if value]
    if not given:
        return spec
    if not any(experiment.plain for experiment in spec.experiments):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        path = fetched_from(spec.path) or spec.path
        fail(f"{names}: for plain Chaos Toolkit experiments only, and {path} holds none")
    configuration, secrets = _variables(options["var"], options["var_file"])
    declared = {key for experiment in spec.experiments if experiment.plain for key in experiment.configuration}
    for text in options["var"]:
        if (name := _pair(text)[0]) not in declared:  # as in the Toolkit, which says nothing of it
            near = nearest(name, declared)
            hint = f"; did you mean `{near}`?" if near else ""
            say(f"warning: --var {name}: no experiment declares it in `configuration`, so it changes nothing{hint}")
    experiments = tuple(
        _apply(experiment, options, configuration, secrets) if experiment.plain else experiment
        for experiment in spec.experiments
    )
    return msgspec.structs.replace(spec, experiments=experiments)


def _apply(
    experiment: Experiment, options: dict[str, Any], configuration: JsonObject, secrets: JsonObject
) -> Experiment:
    written = experiment.runtime
    runtime = Runtime(
        hypothesis=HypothesisStrategy(options["hypothesis_strategy"] or written.hypothesis),
        frequency_s=options["hypothesis_frequency"] or written.frequency_s,
        fail_fast=options["fail_fast"] or written.fail_fast,
        rollbacks=RollbackStrategy(options["rollback_strategy"] or written.rollbacks),
        dry=Dry(options["dry"]) if options["dry"] else written.dry,
    )
    return msgspec.structs.replace(
        experiment,
        runtime=runtime,
        configuration=_override(experiment.configuration, configuration),
        secrets=_override(experiment.secrets, secrets),
    )


def _override(written: JsonObject, given: JsonObject) -> JsonObject:
    """Only what the experiment declares can be given, as in the Chaos Toolkit."""
    return {key: given.get(key, value) for key, value in written.items()}


def _variables(pairs: Sequence[str], files: Sequence[Path]) -> tuple[JsonObject, JsonObject]:
    """Of `--var` and `--var-file`, configuration and secrets. A `.env` file's go into this process's environment."""
    configuration: JsonObject = {}
    secrets: JsonObject = {}
    for path in files:
        if path.suffix in (".yaml", ".yml", ".json"):
            try:
                fields = Fields(file := File(path), read_document(path), "a file of variables")
                configuration |= fields.opaque("configuration", "configuration by name")
                secrets |= fields.opaque("secrets", "secrets by group")
                fields.close()
                file.check()
            except SpecError as error:
                print_mistakes(error)
                sys.exit(2)
        elif path.suffix == ".env" or path.name == ".env":
            _load_environment(path)
        else:
            fail(f"{path}: expected a file .yaml, .yml, .json or .env")
    return configuration | dict(map(_pair, pairs)), secrets


def _pair(text: str) -> tuple[str, Json]:
    """KEY=VALUE, or KEY:TYPE=VALUE, as `chaos run` has it."""
    name, equals, value = text.partition("=")
    key, _, kind = name.partition(":")
    if not equals or not key:
        fail(f"--var {text}: expected KEY=VALUE or KEY:TYPE=VALUE")
    if kind not in _TYPES:
        fail(f"--var {text}: found the type `{kind}`, expected one of {', '.join(filter(None, _TYPES))}")
    try:
        return key, _TYPES[kind](value)
    except ValueError:
        fail(f"--var {text}: `{value}` is no {kind}")


def _load_environment(path: Path) -> None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fail(reason_of(error) if isinstance(error, OSError) else f"{path}: found what is not UTF-8, expected text")
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            if not equals or not key.strip():
                fail(f"{path}:{number}: expected KEY=VALUE")
            os.environ[key.strip()] = value
