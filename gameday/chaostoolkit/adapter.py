"""Runs one Chaos Toolkit activity, or a whole experiment, and says what came of it. The only module that touches
chaoslib.

An activity stands on the lowest useful functions of chaoslib (`chaoslib.activity.run_activity` and those it needs):
pauses, background activities, retries and timeouts are the engine's, which runs this in a child process that can be
killed. Controls run only in a whole experiment, which is run by the Toolkit's own command. What either does to its
process, such as `os._exit`, is for the engine to notice.
"""

import copy
import json
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import msgspec

from gameday.chaostoolkit.cluster import ActivityCluster, point_at
from gameday.chaostoolkit.output import Masker, failure_of
from gameday.chaostoolkit.variables import dynamic_names, known_secrets, leaves, loaded_secrets
from gameday.common.json import JsonObject

EVENTS = "events.jsonl"
_is_ours = False
SUPERVISED = "GAMEDAY_SUPERVISED"  # set where `gameday run` records what the Toolkit runs
_LOGGERS = ("chaostoolkit", "chaostoolkit-lib", "logzero")
_LOG_LINES = 10


class ActivityRequest(msgspec.Struct, frozen=True):
    """An activity as its author wrote it, with the experiment's `configuration` and `secrets` as written.

    With `tolerance`, the output is judged by the definition's tolerance. With `strict`, a process that exits with
    another status than 0, and an HTTP status of 400 or more, are failures; the Chaos Toolkit takes both for an output.
    `cluster`: which one extensions and programs are to take.
    """

    definition: JsonObject
    configuration: JsonObject
    secrets: JsonObject
    tolerance: bool = False
    strict: bool = False
    cluster: ActivityCluster | None = None


class ActivityOutcome(msgspec.Struct, frozen=True):
    """What came of it, without the value of any secret.

    `output` is JSON, cut at 64 KiB; what JSON cannot express stands there by its repr. `tolerance_met` is None unless
    it was asked for and could be judged: what cannot be judged is "failed", never in or out of tolerance. `interrupted`
    says that the activity asked for the end of the whole experiment.
    """

    status: Literal["succeeded", "failed"]
    output: str = "null"
    error: str = ""
    tolerance_met: bool | None = None
    interrupted: bool = False


class ExperimentRequest(msgspec.Struct, frozen=True):
    """A plain experiment to be run as `chaos run` does.

    `directory`, which only its owner may read, gets the experiment's file, the Toolkit's journal and, in EVENTS, our
    events as they come, a line each, without secrets. `options` are those of `chaos run`. `experiment`: its place in
    the session.
    """

    document: JsonObject
    directory: Path
    options: tuple[str, ...]
    experiment: int
    cluster: ActivityCluster | None = None


class ExperimentOutcome(msgspec.Struct, frozen=True):
    """What came of it, without the value of any secret. `status` is their journal's, or empty when there is none;
    `said` are the last lines that the Toolkit logged, and `reason` the last that was critical."""

    status: str
    said: tuple[str, ...] = ()
    reason: str = ""


class _FailedError(Exception):
    """The activity cannot be run or judged; the message says why."""


def preload(*, http: bool = False) -> None:
    """Import all that an activity needs, and quiet what it logs: a process forked afterwards starts at once.

    Without `http`, what only an HTTP activity needs is left until there is one.
    """
    if http:  # an answer in JSON is what most paths are for
        with suppress(ImportError):  # it is an extra of chaoslib's
            import_module("jsonpath2.path")
        import requests  # noqa: F401
    # They want requests, which takes as long as all the rest together.
    _put_off("chaoslib.provider.http", "run_http_activity", "validate_http_activity")
    _put_off("chaoslib.loader", "load_experiment")
    with _without_json_paths():
        for name in ("activity", "configuration", "exit", "experiment", "hypothesis", "secret"):
            import_module(f"chaoslib.{name}")

    # Extensions log through logzero, which writes to the terminal. The stand-in is that of chaoslib.log, which wants
    # more than it to be imported.
    logzero = ModuleType("logzero")
    vars(logzero).update(__path__=[], logger=logging.getLogger("chaostoolkit"))
    sys.modules["logzero"] = logzero
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False


def _put_off(name: str, *functions: str) -> None:
    """Let a module of chaoslib be imported when one of these functions is called, or anything else in it looked up."""
    if name in sys.modules:
        return

    def real() -> ModuleType:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return import_module(name)

    def get(attribute: str) -> Any:
        if attribute.startswith("__"):  # the import system's own
            raise AttributeError(attribute)
        return getattr(real(), attribute)

    def later(function: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            return get(function)(*arguments, **keywords)

        return call

    stand_in = ModuleType(name)
    vars(stand_in).update({function: later(function) for function in functions}, __getattr__=get)
    parent, _, own = name.rpartition(".")
    setattr(import_module(parent), own, stand_in)
    sys.modules[name] = stand_in


class _JsonPath:
    """Stands for jsonpath2's Path."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("jsonpath2.path").Path, name)


@contextmanager
def _without_json_paths() -> Iterator[None]:
    """What of chaoslib is imported here imports jsonpath2, whose parser is large, when there is a path to be parsed.
    Where it is not installed, chaoslib is to find that out."""
    if {"jsonpath2", "chaoslib.hypothesis"} & sys.modules.keys() or find_spec("jsonpath2") is None:
        yield
        return
    stand_ins = {name: ModuleType(name) for name in ("jsonpath2", "jsonpath2.path")}
    vars(stand_ins["jsonpath2.path"])["Path"] = _JsonPath()
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:  # whoever else wants it gets the real one
            del sys.modules[name]


def is_ours() -> bool:
    """Whether it is gameday that runs activities in this process, and not `chaos run`."""
    return _is_ours


def failure(message: str) -> Exception:
    """What an activity raises when it has failed."""
    from chaoslib.exceptions import ActivityFailed

    return ActivityFailed(message)  # type: ignore[no-any-return]


def interruption(message: str) -> Exception:
    """What an activity raises to end the whole experiment."""
    from chaoslib.exceptions import InterruptExecution

    return InterruptExecution(message)  # type: ignore[no-any-return]


def interrupt_run() -> None:
    """End the experiment that `chaos run` has under way in this process, whatever its main thread is doing.

    By the signal that the Toolkit offers for this, with rollbacks to follow (chaoslib.exit); no activity takes it for a
    failure of its own. Nothing happens where the Toolkit does not listen.
    """
    handler = signal.getsignal(signal.SIGUSR1)
    if getattr(handler, "__module__", "") == "chaoslib.exit":
        os.kill(os.getpid(), signal.SIGUSR1)


def pass_over(activity: JsonObject) -> None:
    """Keep the Toolkit from running the activity that it is about to run. Called from a control, before it."""
    from chaoslib.types import Dry

    activity.setdefault("dry", Dry.ACTIVITIES)


def put_back(activity: JsonObject, run: JsonObject) -> None:
    """Write out what `pass_over` has set, in the activity and in what the Toolkit keeps of its run: it could not."""
    from chaoslib.types import Dry

    for written in (activity, run.get("activity", {})):
        if isinstance(written.get("dry"), Dry):
            written["dry"] = written["dry"].value


def discover_activities(actions: str, probes: str, version: str) -> JsonObject:
    """What `chaos discover` writes of a package: the activities that these two modules export."""
    from chaoslib.discovery import discover_actions, discover_probes, initialize_discovery_result

    found: JsonObject = initialize_discovery_result("gameday", version, "gameday")
    found["activities"] += discover_actions(actions)
    found["activities"] += discover_probes(probes)
    return found


def _give_programs(variables: dict[str, str]) -> None:
    """What process activities start gets these variables; the Toolkit offers no way to say so."""
    import subprocess

    import chaoslib.provider.process

    def run(*arguments: Any, **options: Any) -> Any:
        return subprocess.run(*arguments, **{**options, "env": {**os.environ, **variables}})  # noqa: PLW1510 - theirs

    chaoslib.provider.process.subprocess = SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired)


def run_activity(request: ActivityRequest) -> ActivityOutcome:
    """Run the activity to its end, in this process and its main thread. Never raises for what the activity does."""
    from chaoslib.exceptions import ChaosException, InterruptExecution
    from chaoslib.exit import exit_signals

    global _is_ours  # noqa: PLW0603 - it is the process of which this is said
    _is_ours = True
    preload()
    masker = Masker(known_secrets(request.configuration, request.secrets))
    try:
        if request.cluster is not None:
            _give_programs(point_at(request.cluster))
        with exit_signals():  # chaoslib lets activities end the experiment by signalling their own process
            output, met = _run(request, masker)
    except (_FailedError, ChaosException) as error:
        return ActivityOutcome(
            "failed", error=masker.text(_message(error)), interrupted=isinstance(error, InterruptExecution)
        )
    except (SystemExit, KeyboardInterrupt) as error:
        return ActivityOutcome("failed", error=masker.text(f"it ended its process: {error!r}"), interrupted=True)
    except BaseException as error:  # noqa: BLE001 - any module may run in there, asyncio's too
        return ActivityOutcome("failed", error=masker.text(f"{type(error).__name__}: {error}"))
    return ActivityOutcome("succeeded", output=output, tolerance_met=met)


def _run(request: ActivityRequest, masker: Masker) -> tuple[str, bool | None]:
    import chaoslib.activity

    definition = copy.deepcopy(request.definition)  # chaoslib writes into what it is given
    if "ref" in definition:
        raise _FailedError(f"the activity refers to another one (`ref: {definition['ref']}`), which was not filled in")
    definition.pop("dry", None)  # the engine's to heed
    chaoslib.activity.ensure_activity_is_valid(definition)
    configuration, secrets = _load(request.configuration, request.secrets, masker)
    value = chaoslib.activity.run_activity(definition, configuration, secrets)
    if request.strict and (failure := failure_of(definition, value)):
        raise _FailedError(failure)
    met = _judge(definition, value, configuration, secrets) if request.tolerance else None
    return masker.json(value), met


def _load(
    written_configuration: JsonObject, written_secrets: JsonObject, masker: Masker
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of configuration and secrets, the latter made known to the masker."""
    from chaoslib.configuration import load_configuration, load_dynamic_configuration
    from chaoslib.secret import load_secrets

    configuration = load_configuration(copy.deepcopy(written_configuration))
    secrets = load_secrets(copy.deepcopy(written_secrets), configuration)
    masker.add(leaves(secrets))
    values = load_dynamic_configuration(configuration, secrets)
    masker.add(loaded_secrets(values, secrets))
    missing = sorted(set(configuration) - set(values))
    if missing:
        # chaoslib would go on and hand the text `${name}` to the activity.
        raise _FailedError(f"the probe that gives the configuration `{missing[0]}` its value failed")
    return values, secrets


def _judge(definition: dict[str, Any], value: object, configuration: dict[str, Any], secrets: dict[str, Any]) -> bool:
    from chaoslib import substitute
    from chaoslib.hypothesis import ensure_hypothesis_tolerance_is_valid, within_tolerance

    if "tolerance" not in definition:
        raise _FailedError("it has no tolerance to be judged by")
    tolerance = definition["tolerance"]
    ensure_hypothesis_tolerance_is_valid(tolerance)
    if isinstance(tolerance, str):
        tolerance = substitute(tolerance, configuration, secrets)
    elif isinstance(tolerance, dict) and tolerance.get("type") == "probe":
        tolerance["provider"].setdefault("arguments", {})  # where chaoslib puts the value
    try:
        met = within_tolerance(tolerance, value, configuration=configuration, secrets=secrets)
    except Exception as error:  # an output of another shape than the tolerance's
        raise _FailedError(f"the tolerance cannot be applied to the output: {type(error).__name__}: {error}") from error
    if met is None:
        raise _FailedError(f"chaoslib knows no tolerance of type {type(tolerance).__name__}")
    return bool(met)


def run_experiment(request: ExperimentRequest) -> ExperimentOutcome:
    """Run the experiment to its end with the Toolkit's own command, in this process and its main thread.

    Never raises for what activities and controls do. Raises OSError when the directory cannot be written.
    """
    os.environ[SUPERVISED] = "1"
    preload()
    if request.cluster is not None:
        _give_programs(point_at(request.cluster))
    import chaoslib.experiment

    from gameday.chaostoolkit.translation import Listener, Translator

    masker = Masker(known_secrets(request.document.get("configuration", {}), request.document.get("secrets", {})))
    translator = Translator(masker, experiment=request.experiment, strict=True)
    path, journal = request.directory / "experiment.json", request.directory / "journal.json"
    path.write_text(json.dumps(request.document), encoding="utf-8")
    with (request.directory / EVENTS).open("ab", buffering=0) as events:

        def emit(event: msgspec.Struct) -> None:
            events.write(msgspec.json.encode(event) + b"\n")

        listener = Listener(lambda telling: emit(telling()), translator, calls_off=True, now=time.time)

        class Watched(chaoslib.experiment.Runner):  # type: ignore[misc]
            """The Toolkit's command offers no other way to hear of its run."""

            def __init__(self, *arguments: Any, **keywords: Any) -> None:
                super().__init__(*arguments, **keywords)
                self.register_event_handler(listener)

        chaoslib.experiment.Runner = Watched
        log = _Log()
        logging.getLogger(_LOGGERS[0]).addHandler(log)
        _command(
            ["--no-version-check", "--no-log-file", "run", "--journal-path", str(journal), *request.options, str(path)]
        )
        found = listener.journal
        if found is None and journal.exists():  # it was run by another interpreter (`runtime.python`)
            found = json.loads(journal.read_text(encoding="utf-8"))
            for event in translator.journal(found):
                emit(event)
    has_begun = listener.has_started or bool((request.document.get("runtime") or {}).get("python"))
    status = str(found.get("status") or "aborted") if found else "aborted" if has_begun else ""
    return ExperimentOutcome(status, tuple(map(masker.text, log.lines)), masker.text(log.reason))


def _command(arguments: list[str]) -> None:
    """`chaos …`, in this process; what it raises is logged as the rest of what it says."""
    from chaostoolkit.cli import cli

    try:
        cli.main(arguments, prog_name="chaos", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - controls run in there, and may raise anything
        logging.getLogger(_LOGGERS[0]).critical("%s: %s", type(error).__name__, error)


class _Log(logging.Handler):
    """Keeps the last lines that the Toolkit logs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=_LOG_LINES)
        self.reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.lines.append(text)
        if record.levelno >= logging.CRITICAL:
            self.reason = text


def resolve_dynamic_configuration(
    configuration: JsonObject, secrets: JsonObject, cluster: ActivityCluster | None = None
) -> JsonObject:
    """Replace each configuration entry that is a probe by what the probe says now; the rest stays as written.

    The Chaos Toolkit asks these probes once, before the experiment; asked again afterwards, they would see the faults.
    The values may be secret. Raises ValueError, without secrets, when one cannot be had.
    """
    dynamic = dynamic_names(configuration)
    if not dynamic:
        return configuration
    preload()
    if cluster is not None:
        _give_programs(point_at(cluster))
    masker = Masker(known_secrets(configuration, secrets))
    try:
        values, _ = _load(configuration, secrets, masker)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any module may run in there
        raise ValueError(masker.text(f"the configuration cannot be loaded: {_message(error)}")) from None
    return {key: values[key] if key in dynamic else entry for key, entry in configuration.items()}


def validate_experiment(document: JsonObject) -> tuple[str, ...]:
    """What chaoslib finds wrong with an experiment; empty when nothing is.

    Configuration and secrets are left out: their values belong to the machine the experiment runs on, and loading them
    may ask a Vault. Python modules that activities name are imported.
    """
    preload()
    from chaoslib.activity import ensure_activity_is_valid
    from chaoslib.experiment import ensure_experiment_is_valid

    document = {key: copy.deepcopy(entry) for key, entry in document.items() if key not in ("configuration", "secrets")}
    # Each activity by itself first: chaoslib stops at the first mistake, and people want to see all of them.
    messages = [_complaint(ensure_activity_is_valid, activity) for activity in _activities(document)]
    if not any(messages):
        messages = [_complaint(ensure_experiment_is_valid, document)]
    return tuple(dict.fromkeys(message for message in messages if message))


def validate_activity(definition: JsonObject) -> tuple[str, ...]:
    """The same of one activity by itself; of a probe with a tolerance, that too."""
    document: JsonObject = {"title": "-", "description": "-", "method": []}
    if "tolerance" in definition:
        document["steady-state-hypothesis"] = {"title": "-", "probes": [definition]}
    else:
        document["method"] = [definition]
    return validate_experiment(document)


def _activities(document: JsonObject) -> Iterator[JsonObject]:
    """The activities that are at least mappings; what else stands in their place, chaoslib says."""
    hypothesis = document.get("steady-state-hypothesis")
    probes = hypothesis.get("probes") if isinstance(hypothesis, dict) else None
    for section in (probes, document.get("method"), document.get("rollbacks")):
        for activity in section if isinstance(section, list) else ():
            if isinstance(activity, dict):
                yield activity


def _complaint(check: Callable[[Any], None], subject: JsonObject) -> str:
    from chaoslib.exceptions import ChaosException

    try:
        check(subject)
    except ChaosException as error:
        return _message(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a malformed document, or a module that fails on import
        return f"the Chaos Toolkit cannot read it: {type(error).__name__}: {error}"
    return ""


def _message(error: BaseException) -> str:
    return str(error) or type(error).__name__
