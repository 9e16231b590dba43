"""What people do from Slack: end the session, note, mark, predict, ask. Nothing here is waited for by the run.

Whatever is done goes through the run's inbox, as from another terminal, and is in the journal with who did it.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from gameday.common.json import JsonObject
from gameday.engine.runs import Message, MessageKind, Run
from gameday.journal.events import Mark, PeopleInfo
from gameday.notify.slack.blocks import cut, quoted
from gameday.notify.slack.mrkdwn import mentioned, plain
from gameday.notify.slack.payloads import Command, Event, Interaction, View
from gameday.notify.slack.people import Directory, role_of, who_may_abort
from gameday.notify.slack.prediction_modal import Asked, asked_of, kept_view, read_prediction, view_of
from gameday.notify.slack.progress import Progress
from gameday.people.predicting import say_prediction

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

MARKS = {
    "gameday_mark_detected": Mark.DETECTED,
    "gameday_mark_diagnosed": Mark.DIAGNOSED,
    "gameday_mark_mitigated": Mark.MITIGATED,
    "gameday_mark_all_clear": Mark.ALL_CLEAR,
}
REACTIONS = {
    "eyes": Mark.DETECTED,
    "mag": Mark.DIAGNOSED,
    "wrench": Mark.MITIGATED,
    "white_check_mark": Mark.ALL_CLEAR,
}
HELP = """\
`/gameday status`: where the session is, what is in place, the signals
`/gameday note TEXT`: a note in its journal; so is every reply in its thread
`/gameday help`: this
On the session's message: :eyes: detected, :mag: diagnosed, :wrench: mitigated, :white_check_mark: all clear."""

_MOST_CHARACTERS = 4000  # of a note
_LONGEST_ANSWER = 4000  # characters: https://docs.slack.dev/reference/methods/chat.postMessage recommends no more
_MOST_BYTES = 60_000  # of a prediction: a run takes no longer messages
_MOST_MENTIONS = 10  # looked up in one note
_MOST_NAMED = 20
_MOST_REPLIES = 200  # that are not in the journal yet
_QUICKLY_S = 1.0  # for what must be done before Slack's three seconds are over
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,120}")  # as `new_run` names them


class Deeds:
    """All of them, for one session. Each raises what the sdk, aiohttp or the disk raises; a person is told first."""

    def __init__(
        self, client: "AsyncWebClient", run: Run, directory: Directory, allowed: Sequence[str], timeout_s: float
    ) -> None:
        self._client = client
        self._run = run
        self._directory = directory
        self._allowed = tuple(allowed)
        self._timeout_s = timeout_s
        self._progress = Progress(run.journal)
        self._reading = asyncio.Lock()
        self._replies: deque[tuple[str, str]] = deque(maxlen=_MOST_REPLIES)

    # -- the end

    async def abort(self, said: Interaction, session: str) -> None:
        """The Abort button. It may be another session's of this project: Slack gives what an app's users do to any of
        the app's connections, and ending a session must not depend on which."""
        await self._answer(said.response_url, await self._abort(said, session))

    async def _abort(self, said: Interaction, session: str) -> str:
        run = self._run_of(session)
        if run is None or not await asyncio.to_thread(run.is_written):
            name = session if _SESSION.fullmatch(session) else "it"
            return (
                f"{name} is not run from here. Press again, or say `gameday abort {name}` on the machine that runs it."
            )
        progress = await self._progress_of(run)
        people = progress.session.people if progress.session else PeopleInfo()
        allowed = who_may_abort(self._allowed, people)
        if allowed and not await self._directory.is_one_of(said.user.id, said.handle, allowed):
            more = len(allowed) - _MOST_NAMED
            names = ", ".join(allowed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
            return f"Only these may end the session: {quoted(names)}."
        author = self._directory.known_name_of(said.user.id, people, said.handle)  # a name is not worth a wait
        try:
            await asyncio.to_thread(
                run.send, Message(MessageKind.ABORT, author, f"asked for in Slack by {said.user.id}")
            )
        except OSError as error:
            return f"{run.name} could not be asked ({error.strerror}): send SIGTERM to its runner instead."
        return f"Asked {run.name} to end; what is in place is undone."

    def _run_of(self, session: str) -> Run | None:
        if not _SESSION.fullmatch(session):
            return None
        run = self._run if session == self._run.name else Run(self._run.directory.parent / session)
        return run if run.journal.exists() else None

    # -- notes and marks

    async def note_reply(self, event: Event) -> None:
        """A reply in the thread of the session's message."""
        await self._note(event.user, "", event.text, is_reply=True)

    def is_reply(self, author: str, text: str) -> bool:
        """Whether this note is a reply in the thread; true once for each."""
        if (author, text) not in self._replies:
            return False
        self._replies.remove((author, text))
        return True

    async def note_command(self, command: Command, text: str) -> None:
        """`/gameday note TEXT`."""
        if not text.strip():
            await self._answer(command.response_url, "Say what to note: `/gameday note TEXT`.")
            return
        await self._note(command.user_id, command.user_name, text)
        await self._answer(command.response_url, "Noted.")

    async def _note(self, user: str, handle: str, text: str, *, is_reply: bool = False) -> None:
        people = await self._people()
        names = {one: await self._directory.name_of(one, people) for one in mentioned(text)[:_MOST_MENTIONS]}
        words = plain(text, {one: name.removeprefix("@") for one, name in names.items()})
        if len(words) > _MOST_CHARACTERS:
            words = words[: _MOST_CHARACTERS - 1] + "…"
        if words:
            author = await self._directory.name_of(user, people, handle)
            if is_reply:
                self._replies.append((author, words))
            await asyncio.to_thread(self._run.send, Message(MessageKind.NOTE, author, words))

    async def mark_button(self, said: Interaction, mark: Mark) -> None:
        """One of the buttons."""
        await self.mark(said.user.id, said.handle, mark)
        await self._answer(said.response_url, f"Marked: {_say(mark)}.")

    async def mark(self, user: str, handle: str, mark: Mark) -> None:
        """How far somebody says that they have come."""
        author = await self._directory.name_of(user, await self._people(), handle)
        await asyncio.to_thread(self._run.send, Message(MessageKind.MARK, author, "", mark=mark))

    # -- predictions

    async def ask_prediction(self, said: Interaction) -> None:
        """Open the modal; what opens it is good for three seconds."""
        progress = await self._read()
        view = self._next_view(progress)
        if view is None:
            text = (
                "Something has been injected already: what is said now is no prediction. Reply in the thread instead."
            )
            await self._answer(said.response_url, text)
            return
        async with asyncio.timeout(self._timeout_s):
            await self._client.views_open(trigger_id=said.trigger_id, view=view)

    async def take_prediction(self, said_by: Interaction, view: View) -> JsonObject:
        """Keep what was said; gives the answer to the submission: what is wrong with it, the next modal, or thanks.

        By https://docs.slack.dev/surfaces/modals (`response_action`).
        """
        asked = asked_of(view.private_metadata)
        if asked is None or asked.session != self._run.name:
            return _update("That session is not run from here; say it with `gameday predict`.")
        progress = await self._read()
        info = progress.info(asked.experiment)
        if info is None or progress.session is None or asked.experiment not in progress.open_experiments:
            return _update(
                "Too late: something has been injected, so that is no prediction. Reply in the thread instead."
            )
        said, wrong = read_prediction(info, view.state)
        if wrong:
            return {"response_action": "errors", "errors": wrong}
        author = await self._predictor(said_by, progress.session.people)
        role = role_of(author, progress.session, asked.experiment)
        message = Message(MessageKind.PREDICTION, author, "", prediction=said, role=role, experiment=asked.experiment)
        if len(msgspec.json.encode(message)) > _MOST_BYTES:
            return {"response_action": "errors", "errors": {"note": "All of it is too long; say it in fewer words."}}
        await asyncio.to_thread(self._run.send, message)
        if following := self._next_view(progress, after=asked.experiment):
            return {"response_action": "update", "view": following}
        return _update(f"Kept, and sealed until something has been injected: {quoted(say_prediction(said))}")

    async def _predictor(self, said: Interaction, people: PeopleInfo) -> str:
        try:
            async with asyncio.timeout(_QUICKLY_S):
                return await self._directory.name_of(said.user.id, people, said.handle)
        except TimeoutError:
            return f"@{said.handle}" if said.handle else said.user.id

    def _next_view(self, progress: Progress, after: int = -1) -> JsonObject | None:
        following = [index for index in progress.open_experiments if index > after]
        info = progress.info(following[0]) if following else None
        return view_of(Asked(self._run.name, following[0]), info, len(following) - 1) if info else None

    # -- questions

    async def status(self, command: Command) -> None:
        """`/gameday status`."""
        progress = await self._read()
        await self._answer(command.response_url, quoted(progress.say(time.time())))

    async def help(self, command: Command, unknown: str = "") -> None:
        """`/gameday help`, and whatever else is not known."""
        found = f"There is no `{quoted(unknown[:40])}`.\n" if unknown else ""
        await self._answer(command.response_url, found + HELP)

    async def refuse(self, response_url: str, session: str) -> None:
        """A button that is not this session's."""
        name = session if _SESSION.fullmatch(session) else "another session"
        await self._answer(
            response_url, f"That belongs to {name}, which is not this one. Press again, or use a terminal."
        )

    # --

    async def _people(self) -> PeopleInfo:
        progress = await self._read()
        return progress.session.people if progress.session else PeopleInfo()

    async def _read(self) -> Progress:
        """Up to date, or as it was when the disk is too slow for that."""
        async with self._reading:
            await asyncio.to_thread(self._progress.read)
        return self._progress

    async def _progress_of(self, run: Run) -> Progress:
        if run.name == self._run.name:
            return await self._read()
        progress = Progress(run.journal)
        await asyncio.to_thread(progress.read)
        return progress

    async def _answer(self, response_url: str, text: str) -> None:
        """Mrkdwn to the one who asked, and nobody else. https://docs.slack.dev/interactivity/handling-user-interaction"""
        from slack_sdk.webhook.async_client import AsyncWebhookClient

        if not response_url:
            return
        async with asyncio.timeout(self._timeout_s):
            hook = AsyncWebhookClient(response_url, timeout=max(1, round(self._timeout_s)), retry_handlers=[])
            await hook.send(text=cut(text, _LONGEST_ANSWER), response_type="ephemeral", replace_original=False)


def _update(text: str) -> JsonObject:
    return {"response_action": "update", "view": kept_view(text)}


def _say(mark: Mark) -> str:
    return mark.replace("-", " ")
