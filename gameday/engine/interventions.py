"""What people do to a session while it runs: signals, what they say from other terminals, the stop switch."""

import asyncio
import os
import signal
from collections.abc import Callable

from gameday.engine.abort import Abort
from gameday.engine.recorder import Recorder
from gameday.engine.runs import MessageKind, Run
from gameday.engine.stop_switch import SwitchWatch
from gameday.journal.events import AnyEvent, PredictionMade, Verdict

_INBOX_POLL_S = 0.05
_FAREWELL_S = 0.5  # what sinks get when a person leaves without waiting
_ABORT_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Interventions:
    """Heard for as long as the session runs. `experiment` is the place of the one that is on."""

    def __init__(
        self, run: Run, recorder: Recorder, abort: Abort, switch: SwitchWatch, tell: Callable[[str], None], by: str
    ) -> None:
        """`tell` reaches the person at the terminal; `by` is who runs the session."""
        self._run = run
        self._recorder = recorder
        self._abort = abort
        self._switch = switch
        self._tell = tell
        self._by = by
        self._interrupts = 0
        self._experiments = 0
        self._inbox: asyncio.Task[None] | None = None
        self.experiment: int | None = None
        self.may_run = False  # the stop switch let it start

    def start(self, experiments: int, *, hears_signals: bool) -> None:
        """Hear what is said of a session of so many experiments."""
        self._experiments = experiments
        self._switch.start()
        self._inbox = asyncio.create_task(self._read_inbox())
        self._inbox.add_done_callback(self._inbox_ended)
        if hears_signals:
            loop = asyncio.get_running_loop()
            for number in _ABORT_SIGNALS:
                loop.add_signal_handler(number, self._heard, number)
            # A stopped runner could neither watch nor undo.
            signal.signal(signal.SIGTSTP, signal.SIG_IGN)

    def close(self) -> None:
        """Hear no more, but signals: an undo may be under way."""
        if self._inbox is not None:
            self._inbox.cancel()
        self._switch.close()

    def ask(self, source: str, reason: str, *, by: str = "") -> None:
        """End the session, in the experiment that is on."""
        self._abort.ask(source, reason, by=by, experiment=self.experiment)

    def _heard(self, number: signal.Signals) -> None:
        if self._abort.request is None:
            self.ask("signal", f"{number.name} was received", by=self._by)
            self._tell(f"{number.name}: ending the run; everything is being undone.")
            return
        self._abort.is_hasty = True
        if number is not signal.SIGINT:
            return
        self._interrupts += 1
        left = len(self._recorder.state.faults)
        if self._interrupts == 1:
            self._tell(
                f"The undo is under way ({left} left) and is not cut short. "
                "Press Ctrl-C again to leave now and let the guardian finish it."
                if left
                else "The run is ending. Press Ctrl-C again to leave now."
            )
        else:
            self._recorder.close(_FAREWELL_S)  # the live view gives the terminal back, and its cursor
            self._tell(f"Left to the guardian: see `gameday status`, or `gameday recover {self._run.name}`.")
            # Not an exception: nothing here may get in the way, and the closing pipe is what calls the guardian.
            os._exit(Verdict.UNDO_FAILED.exit_code if left else Verdict.ABORTED.exit_code)

    def _is_ours(self, event: AnyEvent) -> bool:
        return not isinstance(event, PredictionMade) or 0 <= event.experiment < self._experiments

    def _inbox_ended(self, task: asyncio.Task[None]) -> None:
        # A run that nobody can end from another terminal must not go on as if somebody could.
        if not task.cancelled() and (error := task.exception()):
            self._abort.ask("failure", f"the inbox failed: {type(error).__name__}: {error}")

    async def _read_inbox(self) -> None:
        while True:
            if self.may_run and (reason := self._switch.reason):
                self.ask("stop-switch", reason)
            for message in self._run.receive():
                if message.kind is MessageKind.ABORT:
                    self.ask("command", message.text or "asked for from another terminal", by=message.author)
                elif (event := message.event(self._recorder.now(), self.experiment)) and self._is_ours(event):
                    self._recorder.record(event)
            await asyncio.sleep(_INBOX_POLL_S)
