"""Runs a session: brief → preflight → experiments → debrief, under locks, with a guardian, open to abort."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import msgspec

from gameday import __version__
from gameday.common.processes import ref_of
from gameday.common.redact import Redactor
from gameday.engine.abort import Abort, AbortedError
from gameday.engine.context import PreparedExperiment, Tools
from gameday.engine.coverage import Coverage
from gameday.engine.experiment import ExperimentRunner
from gameday.engine.guardian import Guardian, GuardianError
from gameday.engine.info import describe_experiment, describe_people, path_in
from gameday.engine.interventions import Interventions
from gameday.engine.launch import Helper
from gameday.engine.locks import FileLock, LockHeldError, ServiceLocks
from gameday.engine.method import Method, MethodFactory
from gameday.engine.pairings import pair_session
from gameday.engine.policy import Rules, ceiling_of
from gameday.engine.predictions import forget_predictions
from gameday.engine.preflight import (
    Check,
    check_others,
    check_signals,
    check_sources,
    check_stages,
    check_stop_switch,
    examine_runbooks,
    plan_stages,
    weigh,
)
from gameday.engine.preparation import (
    SessionInput,
    faults_of,
    prepare,
    secrets_of,
    services_of,
    system_of,
    uses_chaos_toolkit,
    uses_http,
)
from gameday.engine.recalled import closed_actions, earlier_predictions, open_actions
from gameday.engine.recorder import Recorder, Sink
from gameday.engine.roles import check_people
from gameday.engine.runs import RUNNER, WRITER_LOCK, Run, new_run
from gameday.engine.shared_locks import SharedHold, SharedLocks
from gameday.engine.stop_switch import SwitchWatch, switch_of
from gameday.engine.undo import undo_within_s
from gameday.engine.workers import Workers, WorkersError
from gameday.journal.events import (
    FORMAT,
    AlertExamined,
    AlertRulesRead,
    CheckOutcome,
    DashboardExamined,
    FindingKind,
    FindingRaised,
    OnCallExamined,
    Phase,
    PhaseEntered,
    PreflightChecked,
    RunbookExamined,
    SessionEnded,
    SessionStarted,
    Verdict,
)
from gameday.journal.log import JournalWriter
from gameday.signals import SignalSource, open_source

_SINKS_DEADLINE_S = 5.0


class SessionResult(msgspec.Struct, frozen=True):
    """How it ended."""

    run: Run
    verdict: Verdict
    reason: str


class Helpers(NamedTuple):
    """The processes beside the runner that have been launched already; the session launches what is missing."""

    zygote: Helper | None = None
    guardian: Helper | None = None


async def run_session(
    session: SessionInput,
    sinks: Sequence[Sink],
    *,
    tell: Callable[[str], None] = lambda _text: None,
    helpers: Helpers = Helpers(),  # noqa: B008 - a tuple
    method: MethodFactory | None = None,
    shared: SharedLocks | None = None,
    afterwards: tuple[str, ...] = (),
) -> SessionResult:
    """Run it to its end. `tell` reaches the person at the terminal, for what cannot wait for a sink.

    With `shared`, its services are locked over all machines, too. With `method`, somebody else walks through the
    experiment's method, in a process that is theirs: they hear its signals, and this may run in any thread.
    `afterwards` is a command for the guardian, see there.

    Raises OSError and JournalError when the run's directory cannot be written; SpecError, FaultError and SignalError
    when the experiments cannot be prepared. From the first injection on it raises nothing.
    """
    prepared = prepare(session, datetime.now(UTC))
    run = new_run(session.project.root, session.title)
    lock = FileLock(run.directory / WRITER_LOCK)
    lock.acquire(f"{RUNNER} {os.getpid()}")
    try:
        return await _Session(session, prepared, run, sinks, tell, helpers, method, shared, afterwards).run()
    finally:
        lock.release()


class _Session:
    def __init__(
        self,
        session: SessionInput,
        prepared: tuple[PreparedExperiment, ...],
        run: Run,
        sinks: Sequence[Sink],
        tell: Callable[[str], None],
        helpers: Helpers,
        method: MethodFactory | None,
        shared: SharedLocks | None,
        afterwards: tuple[str, ...],
    ) -> None:
        self._session = session
        self._method = method
        self._secrets = secrets_of(session)
        self._prepared = prepared
        self._run = run
        self._tell = tell
        self._recorder = Recorder(
            JournalWriter(run.directory), Redactor(self._secrets), sinks, on_failure=self._journal_failed
        )
        self._abort = Abort(self._recorder)
        self._record = self._recorder.record
        self._now = self._recorder.now
        environment = session.environment
        self._system = system_of(environment)
        self._rules = Rules(session)
        self._ceiling = ceiling_of(environment, is_unattended=session.is_unattended)
        self._switch = SwitchWatch(switch_of(session.project))
        self._people = Interventions(run, self._recorder, self._abort, self._switch, tell, session.by)
        self._locks = ServiceLocks(session.project.root / ".gameday" / "locks", environment.name)
        self._services = services_of(session)
        self._shared = SharedHold(
            shared, lambda: undo_within_s(self._recorder.state), partial(self._people.ask, "locks")
        )
        self._helpers = helpers
        self._afterwards = afterwards
        self._workers = Workers(
            run.directory,
            faults_of(session.experiments),
            chaos_toolkit=uses_chaos_toolkit(session.experiments),
            http=uses_http(session.experiments),
            zygote=helpers.zygote,
        )
        self._guardian: Guardian | None = None
        self._source: SignalSource | None = None
        self._coverage = Coverage(session.project, environment, prepared)

    def _journal_failed(self, reason: str) -> None:
        self._tell(reason)
        self._abort.ask("journal", reason)

    async def run(self) -> SessionResult:
        self._people.start(len(self._prepared), hears_signals=self._method is None)
        try:
            self._start()
            verdict, reason = await self._phases()
        finally:
            self._people.close()
            self._workers.close()
            await self._coverage.close()
            if self._source is not None:
                await self._source.close()
            self._locks.release()
        self._record(
            SessionEnded(at=self._now(), verdict=verdict, exit_code=verdict.exit_code, reason=reason), sync=True
        )
        self._recorder.close(_SINKS_DEADLINE_S)
        await self._shared.release(is_clean=self._recorder.state.is_clean)
        # Only now: had anything above failed, the guardian would have seen the pipe close and gone to work.
        if self._guardian:
            await self._dismiss(self._guardian)
        return SessionResult(self._run, verdict, reason)

    async def _dismiss(self, guardian: Guardian) -> None:
        if self._method is None:
            await asyncio.to_thread(guardian.dismiss)
        else:
            guardian.dismiss()  # the process may be at its end, where no thread can be started

    def _start(self) -> None:
        session = self._session
        runner = ref_of(os.getpid())
        assert runner is not None
        pairs = pair_session(session.people, len(self._prepared), session.project.root, session.elsewhere)
        infos = tuple(describe_experiment(item, session.project, pairs[item.index]) for item in self._prepared)
        self._recorder.record_or_raise(
            SessionStarted(
                at=self._now(),
                format=FORMAT,
                gameday=__version__,
                session=self._run.name,
                kind=session.kind,
                title=session.title,
                path=str(session.path),
                environment=session.environment.name,
                host=socket.gethostname(),
                runner=runner,
                experiments=infos,
                people=describe_people(session.people),
                by=session.by,
            ),
            sync=True,
        )
        self._record(PhaseEntered(at=self._now(), phase=Phase.BRIEF))
        for action in open_actions(session.project, self._prepared, self._now):
            self._record(action)
        for closed in closed_actions(session.project, self._prepared, self._now):
            self._record(closed)
        for well in session.was_well:
            self._record(msgspec.structs.replace(well, at=self._now()))

    async def _phases(self) -> tuple[Verdict, str]:
        self._record(PhaseEntered(at=self._now(), phase=Phase.PREFLIGHT))
        failed = await self._preflight()
        if self._abort.request:
            return Verdict.ABORTED, self._abort.request.reason
        if failed:
            return Verdict.NOT_STARTED, failed
        verdicts = await self._experiments()
        self._record(PhaseEntered(at=self._now(), phase=Phase.DEBRIEF))
        return self._conclude(verdicts)

    # -- preflight

    async def _preflight(self) -> str | None:
        """Look at everything before anything is touched. None when the session may start, else why not."""
        failures: list[str] = []

        def note(*checks: Check) -> None:
            for check in weigh(checks, is_unattended=self._session.is_unattended):
                self._record(
                    PreflightChecked(
                        at=self._now(),
                        check=check.name,
                        outcome=check.outcome,
                        detail=check.detail,
                        experiment=check.experiment,
                    )
                )
                if check.outcome is CheckOutcome.FAILURE:
                    failures.append(f"{check.name}: {check.detail}")

        note(*check_others(self._session.project.root, self._run.name), self._lock_services())
        if not failures:
            note(*await self._unless_aborted(self._shared.acquire(self._services, self._run.name)))
        stopped = await self._switch.first_look()
        self._people.may_run = stopped is None
        note(check_stop_switch(stopped))
        now = datetime.now(UTC)
        note(*self._rules.check_hours(now))
        note(*await self._unless_aborted(self._rules.check_consent(now.timestamp())))
        note(*check_people(self._session.people))
        if not failures:
            note(await self._start_helpers())
        if not failures and not self._abort.request:
            await self._check_experiments(note)
        return "; ".join(failures) or None

    async def _unless_aborted(self, checks: Awaitable[tuple[Check, ...]]) -> tuple[Check, ...]:
        """Nothing, when the session is ended meanwhile."""
        with contextlib.suppress(AbortedError):
            return await self._abort.race(checks)
        return ()

    def _lock_services(self) -> Check:
        """One run at a time on a service and its dependencies."""
        try:
            self._locks.acquire(self._services, f"run {self._run.name}")
        except LockHeldError as error:
            detail = f"{error}: one run at a time on a service and its dependencies"
            return Check("locks", CheckOutcome.FAILURE, detail)
        except OSError as error:
            return Check("locks", CheckOutcome.FAILURE, f"cannot lock: {error.strerror}")
        return Check("locks", CheckOutcome.OK, f"locked {', '.join(self._services)}")

    async def _start_helpers(self) -> Check:
        """The guardian and the warm process for faults, at the same time."""
        session = self._session
        guardian = Guardian.start(
            self._run,
            faults_of(session.experiments),
            chaos_toolkit=uses_chaos_toolkit(session.experiments),
            secrets=self._secrets,
            locks=self._locks.descriptors,
            afterwards=self._afterwards,
            lost=lambda: self._abort.ask("failure", "the guardian is gone, and nothing may be in place without one"),
            launched=self._helpers.guardian,
        )
        try:
            self._guardian, _ = await asyncio.gather(guardian, self._workers.start())
        except (GuardianError, WorkersError) as error:
            return Check("guardian", CheckOutcome.FAILURE, str(error))
        return Check("guardian", CheckOutcome.OK, "watching")

    async def _check_experiments(self, note: Callable[..., None]) -> None:
        environment = self._session.environment
        if environment.signals and (self._rules.needs_signals or any(item.queries for item in self._prepared)):
            self._source = open_source(environment.signals)
        note(*await self._coverage.open())
        with contextlib.suppress(AbortedError):
            await self._examine_runbooks()
            note(*await self._abort.race(self._rules.check_state(self._source)))
            note(*await self._abort.race(self._coverage.survey()))
            for item in self._prepared:
                await self._check_experiment(item, note)

    async def _examine_runbooks(self) -> None:
        """Those at a URL, which are not read before the session has begun. Raises AbortedError."""
        before = {runbook for item in self._prepared for runbook in item.runbooks}
        self._prepared = await self._abort.race(examine_runbooks(self._prepared, datetime.now(UTC).date()))
        for item in self._prepared:
            for runbook in item.runbooks:
                if runbook not in before:
                    self._record(RunbookExamined(at=self._now(), experiment=item.index, runbook=runbook))

    async def _check_experiment(self, item: PreparedExperiment, note: Callable[..., None]) -> None:
        """Raises AbortedError."""
        environment, coverage = self._session.environment, self._coverage
        note(*self._rules.check_method(item))
        if coverage.alerting.source:
            self._record(AlertRulesRead(at=self._now(), rules=coverage.alerting.rules, experiment=item.index))
        planning = plan_stages(item, self._workers, self._system, self._session.seed)
        stages = await self._abort.race(planning)
        note(*check_stages(item, stages, self._ceiling), *check_sources(item, environment))
        note(*await self._abort.race(check_signals(item, self._source)))
        before = await self._abort.race(coverage.examine(item, self._now()))
        for alert in before.alerts:
            self._record(AlertExamined(at=self._now(), experiment=item.index, alert=alert))
        for dashboard in before.dashboards:
            self._record(DashboardExamined(at=self._now(), experiment=item.index, dashboard=dashboard))
        if before.on_call:
            self._record(OnCallExamined(at=self._now(), experiment=item.index, on_call=before.on_call))
        note(*before.checks)

    # -- experiments

    async def _experiments(self) -> list[Verdict]:
        tools = Tools(
            run=self._run,
            recorder=self._recorder,
            workers=self._workers,
            abort=self._abort,
            source=self._source,
            coverage=self._coverage,
            system=self._system,
            ceiling=self._ceiling,
            rules=self._rules,
            shared=self._shared,
            seed=self._session.seed,
        )
        project = self._session.project
        verdicts: list[Verdict] = []
        for item in self._prepared:
            if self._abort.request:
                break
            self._people.experiment = item.index
            for prediction in earlier_predictions(project, item, self._now):
                self._record(prediction)
            verdicts.append(await ExperimentRunner(item, tools, self._method or Method).run())
            if verdicts[-1] is not Verdict.NOT_STARTED:
                forget_predictions(project.root, path_in(item.experiment, project))
            if verdicts[-1] in (Verdict.ABORTED, Verdict.UNDO_FAILED):
                break
        self._people.experiment = None
        return verdicts

    def _conclude(self, verdicts: list[Verdict]) -> tuple[Verdict, str]:
        if Verdict.UNDO_FAILED in verdicts:
            return Verdict.UNDO_FAILED, "an undo failed or could not be verified"
        if self._abort.request:
            return Verdict.ABORTED, self._abort.request.reason
        missed = [index for index, verdict in enumerate(verdicts) if verdict is Verdict.NOT_STARTED]
        if missed and len(missed) == len(verdicts):
            return Verdict.NOT_STARTED, "no experiment could be started"
        for index in missed:
            # Others ran and injected, so "nothing was injected" would be untrue of the session as a whole.
            title = f"“{self._session.experiments[index].title}” could not be started"
            self._record(FindingRaised(at=self._now(), experiment=index, kind=FindingKind.NOT_STARTED, title=title))
        if missed or Verdict.WEAKNESS in verdicts:
            return Verdict.WEAKNESS, ""
        return Verdict.HELD, ""
