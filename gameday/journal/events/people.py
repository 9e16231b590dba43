"""What people are, think and say in a session: roles, predictions, marks, notes, and the steps of a runbook."""

from enum import StrEnum

from gameday.journal.events.base import Event, Struct


class Role(StrEnum):
    """What somebody is in a session."""

    FACILITATOR = "facilitator"
    BUILDER = "builder"
    SRE = "sre"
    SCRIBE = "scribe"
    OBSERVER = "observer"


class Outlook(StrEnum):
    """What somebody thinks will become of a condition."""

    HOLDS = "holds"
    BREAKS = "breaks"
    UNSURE = "unsure"


class Mark(StrEnum):
    """What people say they have come to, as an incident goes on."""

    DETECTED = "detected"
    DIAGNOSED = "diagnosed"
    MITIGATED = "mitigated"
    ALL_CLEAR = "all-clear"


class StepOutcome(StrEnum):
    """What whoever follows a runbook says of a step; the first and the last are of the runbook as a whole."""

    OPENED = "opened"
    DONE = "done"
    SKIPPED = "skipped"
    STUCK = "stuck"
    WRONG = "wrong"
    MISSING = "missing"  # a step that should stand here
    NOTE = "note"
    CHECKED = "checked"  # its code was run
    CLOSED = "closed"


class PeopleInfo(Struct, frozen=True, kw_only=True):
    """Who takes part, by role."""

    facilitator: str | None = None
    builders: tuple[str, ...] = ()
    sres: tuple[str, ...] = ()
    scribe: str | None = None
    observers: tuple[str, ...] = ()


class SignalPrediction(Struct, frozen=True, kw_only=True):
    """What somebody thinks of a condition of the hypothesis. `signal` is the signal's id; `note` in their words."""

    signal: str
    outlook: Outlook
    note: str = ""


class AlertPrediction(Struct, frozen=True, kw_only=True):
    """Which alert somebody thinks will fire, or not, and how soon after the injection."""

    name: str
    fires: bool
    within_s: float | None = None


class PredictionInfo(Struct, frozen=True, kw_only=True):
    """What somebody says before the injection. `users_notice` is None when they do not know."""

    signals: tuple[SignalPrediction, ...] = ()
    alerts: tuple[AlertPrediction, ...] = ()
    users_notice: bool | None = None
    note: str = ""


class RunbookStepInfo(Struct, frozen=True, kw_only=True):
    """One step of a runbook as it was followed. Steps count from 1 in their section; 0 is the section, or the whole.

    `text` is the step's own, `note` what was said of it; `seconds` have passed since it was shown. Of its code that was
    run, `output` may be shortened, and `status` is None when it was ended for taking too long.
    """

    runbook: str
    outcome: StepOutcome
    section: str = ""
    step: int = 0
    text: str = ""
    note: str = ""
    seconds: float = 0.0
    output: str = ""
    status: int | None = None
    owner: str | None = None


class PredictionMade(Event, frozen=True, kw_only=True, tag="prediction-made"):
    """Somebody has said what will happen, before it could be seen. A later one of the same author counts instead."""

    author: str
    experiment: int
    prediction: PredictionInfo
    role: Role | None = None


class MarkSet(Event, frozen=True, kw_only=True, tag="mark-set"):
    """Somebody says that they have come this far."""

    author: str
    mark: Mark
    text: str = ""
    experiment: int | None = None


class NoteAdded(Event, frozen=True, kw_only=True, tag="note-added"):
    author: str
    text: str
    experiment: int | None = None


class RunbookStep(Event, frozen=True, kw_only=True, tag="runbook-step"):
    """Somebody follows a runbook and came to a step of it, or said something of one."""

    author: str
    step: RunbookStepInfo
    experiment: int | None = None
