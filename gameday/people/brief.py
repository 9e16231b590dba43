"""The brief of a session, as Markdown: what for, when, who, what will be hit, and how to stop it. Pure; no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from shlex import quote

import msgspec

from gameday.people.markdown import code, link, plain
from gameday.people.pairing import Pair
from gameday.people.roles import on_call_services
from gameday.spec.model import ON_CALL, Activity, Condition, Experiment, FaultStep, People, Policy
from gameday.spec.units import format_duration, format_percentage

_DUTIES = {
    "Facilitator": "leads through the session, keeps the time, and says when it is enough",
    "Builders": "know what should happen, run the experiment, and undo by hand if need be",
    "SREs": "answer as if they had been paged: alerts, dashboards, runbooks, and nothing that only builders know",
    "Scribe": "writes down what is seen and said: `gameday note`",
    "Observers": "watch, and ask afterwards",
}
_HOW_TO_STOP = (
    ("In the terminal of the run", "Ctrl-C: it ends, and everything is undone"),
    ("In any other, in the project's directory", "`gameday abort --all`"),
    ("Everything, and nothing starts again", "`gameday stop --reason …`, then `gameday stop --release`"),
    ("If the run has died", "`gameday recover`; for faults in a cluster also from another machine, with `--env`"),
)
_AFTER = (
    "Everything is undone: `gameday status` names nothing that is left",
    "Debrief while it is fresh: what surprised the builder, what the SRE, where the predictions differ",
    "Action items have owners: `gameday actions`",
    "A builder and an SRE sign: `gameday sign --role builder`, `gameday sign --role sre`",
)


class Place(msgspec.Struct, frozen=True):
    """Something that can be looked at. `target`: a URL, or a path relative to the page; None: only its name is known.
    `note` says more of it, for people."""

    text: str
    target: str | None = None
    note: str = ""


class ExperimentBrief(msgspec.Struct, frozen=True):
    """One experiment, who takes it, and what there is to look at. `owner` is its service's."""

    experiment: Experiment
    pair: Pair
    owner: str | None = None
    runbooks: tuple[Place, ...] = ()
    dashboards: tuple[Place, ...] = ()


class Brief(msgspec.Struct, frozen=True):
    """All of it. `path` is the file's, as commands name it; `environment` is None where none is needed.

    `start` is aware, in the time zone of the schedule. `faults` says in words what each fault does, by its name.
    `missing` is what should be settled before.
    """

    title: str
    path: str
    environment: str | None
    stop_switch: str
    people: People
    experiments: tuple[ExperimentBrief, ...]
    faults: Mapping[str, str] = {}
    start: datetime | None = None
    duration_s: float | None = None
    policy: Policy = Policy()
    actions: tuple[str, ...] = ()  # still to be done since earlier sessions
    missing: tuple[str, ...] = ()


def seconds_of(experiment: Experiment) -> tuple[float, float]:
    """How long it takes, in seconds: when all recovers at once, and when recovery takes all the time that it has.

    What activities take, and faults to be injected and undone, is not known and not in it.
    """
    timing, conditions = experiment.timing, experiment.hypothesis.conditions
    held = sum(step.hold_s * len(step.ladder) for step in experiment.method if isinstance(step, FaultStep))
    paused = sum(sum(experiment.pauses(step)) for step in experiment.method if isinstance(step, Activity))
    least = (timing.baseline_s if conditions or experiment.abort_when else 0.0) + held + paused
    recovery_s = 0.0 if experiment.plain else max(timing.recovery_s, experiment.recovers_within_s or 0.0)
    return least + (timing.steady_s if conditions else 0.0), least + recovery_s


def say_when(brief: Brief) -> str:
    """The start and the end in their time zone, and the start in UTC; on one line."""
    if brief.start is None:
        return "Not scheduled"
    start, utc = brief.start, brief.start.astimezone(UTC)
    said = f"{start:%A %Y-%m-%d, %H:%M}"
    if brief.duration_s is not None:
        end = (utc + timedelta(seconds=brief.duration_s)).astimezone(start.tzinfo)
        said += f"–{end:%H:%M}" if end.date() == start.date() else f" to {end:%Y-%m-%d %H:%M}"
    said += f" {start.tzinfo}"
    if start.utcoffset():
        said += f" ({utc:%H:%M} UTC)" if utc.date() == start.date() else f" ({utc:%Y-%m-%d %H:%M} UTC)"
    return said


def say_who(handle: str) -> str:
    """A handle; in words where it stands for whoever is on call."""
    return f"whoever is on call for {handle.removeprefix(ON_CALL)}" if handle.startswith(ON_CALL) else handle


def render_brief(brief: Brief) -> str:
    """The page."""
    return "\n".join(_lines(brief)) + "\n"


def _lines(brief: Brief) -> Iterator[str]:
    yield f"# {plain(brief.title)}"
    yield ""
    where = f", on {code(brief.environment)}" if brief.environment else ""
    yield f"**{say_when(brief)}**{where}. {_how_long(brief)}"
    yield ""
    yield "Nothing was contacted for this page. What would be hit by name, and whether it could start:"
    yield ""
    yield f"- {_command(brief, 'plan')}"
    if brief.missing:
        yield from _heading("To be settled before")
        for text in brief.missing:
            yield f"- [ ] {plain(text)}"
    yield from _heading("What we want to know")
    for number, item in enumerate(brief.experiments, 1):
        experiment = item.experiment
        title = "" if experiment.title == experiment.hypothesis.title else f" – {plain(experiment.title)}"
        yield f"{number}. **{plain(experiment.hypothesis.title)}**{title}"
    if brief.actions:
        yield ""
        yield "Still open since earlier sessions; an experiment that holds now closes what it had found:"
        yield ""
        for text in brief.actions:
            yield f"- {plain(text)}"
    yield from _who(brief)
    for number, item in enumerate(brief.experiments, 1):
        yield from _experiment(brief, number, item)
    yield from _stop(brief)
    yield from _take_part(brief)
    yield from _checklist(brief)


def _command(brief: Brief, verb: str) -> str:
    environment = f" --env {quote(brief.environment)}" if brief.environment else ""
    return code(f"gameday {verb} {quote(brief.path)}{environment}")


def _heading(text: str) -> tuple[str, str, str]:
    return "", f"## {text}", ""


def _how_long(brief: Brief) -> str:
    spans = [seconds_of(item.experiment) for item in brief.experiments]
    least, most = (format_duration(round(sum(side))) for side in zip(*spans, strict=True))
    runs = f"{'The experiments take' if len(spans) > 1 else 'The experiment takes'} about {least}"
    return runs + (f", up to {most} if recovery takes all its time." if most != least else ".")


def _who(brief: Brief) -> Iterator[str]:
    people = brief.people
    roles = {
        "Facilitator": (people.facilitator,),
        "Builders": people.builders,
        "SREs": people.sres,
        "Scribe": (people.scribe,),
        "Observers": people.observers,
    }
    named = {role: [say_who(handle) for handle in handles if handle] for role, handles in roles.items()}
    if not any(named.values()) and not any(item.pair.builder or item.pair.sre for item in brief.experiments):
        return
    yield from _heading("Who does what")
    if any(named.values()):
        yield "| Role | Who | Does |"
        yield "|---|---|---|"
        for role, handles in named.items():
            if handles:
                yield f"| {role} | {', '.join(map(plain, handles))} | {_DUTIES[role]} |"
        yield ""
    yield "| Experiment | Builder | SRE | Why these two |"
    yield "|---|---|---|---|"
    for number, item in enumerate(brief.experiments, 1):
        builder, sre = (plain(say_who(handle)) if handle else "—" for handle in (item.pair.builder, item.pair.sre))
        yield f"| {number}. {plain(item.experiment.title)} | {builder} | {sre} | {plain(_reason(item.pair))} |"


def _reason(pair: Pair) -> str:
    reason = pair.reason
    for handle in filter(None, (pair.builder, pair.sre)):
        reason = reason.replace(handle, say_who(handle))
    return reason


def _experiment(brief: Brief, number: int, item: ExperimentBrief) -> Iterator[str]:
    experiment = item.experiment
    yield from _heading(f"{number}. {plain(experiment.title)}")
    if experiment.description:
        yield plain(experiment.description)
        yield ""
    yield "**What will be hit**"
    yield ""
    for step in experiment.method:
        yield f"- {_fault(step, brief.faults) if isinstance(step, FaultStep) else _activity(step, experiment)}"
    for activity in experiment.rollbacks:
        yield f"- at the end, whatever happens: {_activity(activity, experiment)}"
    if not experiment.method:
        yield "- nothing: it only checks the steady state"
    yield from _list("Steady state: before, during and after", map(_condition, experiment.hypothesis.conditions))
    yield from _list(None, (f"the probe {code(probe.name)}" for probe in experiment.hypothesis.probes))
    alerts = (
        f"{code(alert.name)} within {format_duration(alert.within_s)} of the first injection"
        + (f", severity {plain(alert.severity)}" if alert.severity else "")
        + (f", runbook {plain(alert.runbook)}" if alert.runbook else ", no runbook")
        for alert in experiment.alerts
    )
    yield from _list("Alerts that must fire", alerts)
    yield from _list("It ends by itself, and undoes everything, when", _ends(experiment))
    if experiment.recovers_within_s is not None:
        yield ""
        yield f"**Recovery** within {format_duration(experiment.recovers_within_s)} of the undo."
    yield from _list("Runbooks", map(_place, item.runbooks))
    yield from _list("Dashboards", map(_place, item.dashboards))
    if item.owner:
        yield ""
        yield f"**Owner** of {plain(experiment.service or '')}: {plain(item.owner)}."


def _list(title: str | None, items: Iterator[str]) -> Iterator[str]:
    lines = [f"- {item}" for item in items]
    if lines and title:
        yield from ("", f"**{title}**", "")
    yield from lines


def _fault(step: FaultStep, summaries: Mapping[str, str]) -> str:
    summary = f" ({plain(summaries[step.fault])})" if step.fault in summaries else ""
    settings = [f"{argument.name} {argument.text}" for argument in step.arguments]
    said = f"{code(step.fault)} on **{plain(str(step.target))}**{summary}"
    said += f", {plain(', '.join(settings))}" if settings else ""
    stages = ", then ".join(map(str, step.ladder))
    each = "each held and judged for" if len(step.ladder) > 1 else "held and judged for"
    return f"{said}: {stages}, {each} {format_duration(step.hold_s)}"


def _activity(activity: Activity, experiment: Experiment) -> str:
    pretended = ", only pretended" if experiment.pretends(activity) else ""
    return f"the {activity.kind} {code(activity.name)} of the Chaos Toolkit{pretended}"


def _condition(condition: Condition) -> str:
    if condition.relative:
        return f"{code(str(condition.signal))} changes by {code(condition.text)} against the baseline just before"
    return code(f"{condition.signal} {condition.text}")


def _ends(experiment: Experiment) -> Iterator[str]:
    for condition in experiment.abort_when:
        yield f"{_condition(condition)} for {format_duration(condition.for_s)}"
    if experiment.abort_when or experiment.hypothesis.conditions:
        yield f"one of the signals cannot be read for {format_duration(experiment.timing.blind_after_s)}"


def _place(place: Place) -> str:
    said = link(place.text, place.target) if place.target else code(place.text)
    return f"{said}, {plain(place.note)}" if place.note else said


def _limits(policy: Policy) -> list[str]:
    """What the policy says, rule by rule."""
    budget, approval, stricter = policy.error_budget, policy.approval, policy.unattended
    rules = [
        f"no fault touches more than {format_percentage(policy.max_blast_radius)}" if policy.max_blast_radius else "",
        f"only in the namespaces {', '.join(policy.namespaces)}" if policy.namespaces else "",
        f"only on the nodes {', '.join(policy.nodes)}" if policy.nodes else "",
        f"only on the services {', '.join(policy.services)}" if policy.services else "",
        f"no faults but {', '.join(policy.faults)}" if policy.faults else "",
        f"none of {', '.join(policy.faults_refused)}" if policy.faults_refused else "",
        f"only {policy.hours.text}" if policy.hours else "",
        f"with an error budget left of {budget.text}" if budget else "",
        "with no incident open" if policy.incidents else "",
        f"with the consent of {_one_of(approval.by)}" if approval else "",
        "it asks before the first injection" if policy.confirm else "",
        f"and where nobody is there, {', '.join(_limits(stricter))}" if stricter else "",
    ]
    return [rule for rule in rules if rule]


def _one_of(handles: Sequence[str]) -> str:
    return f"one of {', '.join(handles)}" if handles else "somebody who does not run it"


def _stop(brief: Brief) -> Iterator[str]:
    yield from _heading("How to stop everything")
    for where, how in _HOW_TO_STOP:
        yield f"- {where}: {how}"
    yield f"- Where gameday is not at hand: a file at {code(brief.stop_switch)} ends every run while it is there"
    limits = _limits(brief.policy)
    if limits:
        yield f"- The policy of {code(brief.environment or '')}: {plain('; '.join(limits))}"


def _take_part(brief: Brief) -> Iterator[str]:
    alerts = [alert for item in brief.experiments for alert in item.experiment.alerts]
    alert = alerts[0].name if alerts else "ALERT"
    runbook = next((alert.runbook for alert in alerts if alert.runbook), "RUNBOOK")
    yield from _heading("How to take part")
    yield "From any terminal in the project's directory, with `--author @you`:"
    yield ""
    for words, command in (
        (
            "Say what will happen, apart from the other, before it does",
            f"gameday predict {quote(brief.path)} --role builder",
        ),
        ("Write down what you see", "gameday note checkout is slow from here"),
        ("Take an alert on", f"gameday ack {quote(alert)}"),
        ("Follow a runbook, step by step", f"gameday runbook follow {quote(runbook)}"),
        ("Say when somebody has noticed, and later `diagnosed`, `mitigated`, `all-clear`", "gameday mark detected"),
        ("See what runs", "gameday status"),
    ):
        yield f"- {words}: {code(command)}"


def _checklist(brief: Brief) -> Iterator[str]:
    alerts = any(item.experiment.alerts for item in brief.experiments)
    looks = any(item.dashboards for item in brief.experiments)
    before = [
        f"The files are right: {code(f'gameday check {quote(brief.path)}')}",
        f"It could start, and hits what it should: {_command(brief, 'plan')}",
        "Whoever is on call, and support, know that this is a game day, and when it ends",
        "No deployment, migration or incident is on its way",
        f"Everybody can reach a terminal{', the dashboards' if looks else ''} and the chat",
        "Each pair has said what it expects, one apart from the other: `gameday predict`",
    ]
    if alerts and brief.environment:
        before.insert(2, f"An alert arrives: {code(f'gameday coverage ping --env {quote(brief.environment)}')}")
    if services := on_call_services(brief.people):
        before.insert(2, f"It is known who is on call for {plain(', '.join(services))}")
    during = [
        f"{_command(brief, 'run')}, in a terminal that stays open",
        "Somebody who knows how to stop it watches; when in doubt, stop it",
        "Notes, marks and acknowledgements go in as things happen, not afterwards",
    ]
    if len(brief.experiments) > 1:
        during.insert(1, "The experiments follow one another by themselves; when one is aborted, none follows")
    yield from ("", "## Checklist")
    for title, items in (("Before", before), ("During", during), ("After", _AFTER)):
        yield from ("", f"### {title}", "")
        for text in items:
            yield f"- [ ] {text}"
