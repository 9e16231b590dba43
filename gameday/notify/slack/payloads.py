"""What Slack sends over Socket Mode, as far as it is looked at: interactions, events, slash commands.

Shapes by https://docs.slack.dev/reference/interaction-payloads, /reference/events/message and /reaction_added, and
/interactivity/implementing-slash-commands. What is absent is empty; what else is there is passed over.
"""

import msgspec


class User(msgspec.Struct, frozen=True):
    """Who did it. `name` and `username` are the handle, without its @."""

    id: str
    name: str = ""
    username: str = ""
    team_id: str = ""


class Team(msgspec.Struct, frozen=True):
    """The workspace that it was done in."""

    id: str = ""


class Action(msgspec.Struct, frozen=True):
    """A button that was pressed."""

    action_id: str
    value: str = ""
    action_ts: str = ""


class Option(msgspec.Struct, frozen=True):
    """What was chosen."""

    value: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What an input of a modal holds."""

    value: str | None = None
    selected_option: Option | None = None

    @property
    def text(self) -> str:
        """What was written or chosen; empty for nothing."""
        return (self.value or (self.selected_option.value if self.selected_option else "")).strip()


class State(msgspec.Struct, frozen=True):
    """The inputs of a modal."""

    values: dict[str, dict[str, Answer]] = {}  # by block and action

    def text(self, block: str) -> str:
        """What this block's only input holds."""
        return next((answer.text for answer in self.values.get(block, {}).values()), "")


class View(msgspec.Struct, frozen=True):
    """A modal that was submitted."""

    id: str
    callback_id: str = ""
    private_metadata: str = ""
    state: State = State()


class Interaction(msgspec.Struct, frozen=True):
    """`type`: block_actions, shortcut, message_action, view_submission."""

    type: str
    user: User
    team: Team | None = None
    trigger_id: str = ""
    response_url: str = ""
    callback_id: str = ""
    action_ts: str = ""
    actions: tuple[Action, ...] = ()
    view: View | None = None

    @property
    def handle(self) -> str:
        """Of who did it; empty for somebody of another workspace, whose handle may be that of somebody here."""
        is_from_here = self.team is None or self.user.team_id in ("", self.team.id)
        return (self.user.name or self.user.username) if is_from_here else ""


class Item(msgspec.Struct, frozen=True):
    """What was reacted to."""

    type: str = ""
    channel: str = ""
    ts: str = ""


class Event(msgspec.Struct, frozen=True):
    """`type`: message, reaction_added."""

    type: str
    channel: str = ""
    user: str = ""
    text: str = ""
    ts: str = ""
    thread_ts: str = ""
    subtype: str = ""
    bot_id: str = ""
    reaction: str = ""
    item: Item = Item()


class EventCallback(msgspec.Struct, frozen=True):
    """An event, as it comes."""

    event: Event


class Command(msgspec.Struct, frozen=True):
    """A slash command; `text` is what follows it."""

    user_id: str
    user_name: str = ""
    channel_id: str = ""
    text: str = ""
    response_url: str = ""
    trigger_id: str = ""


class Goodbye(msgspec.Struct, frozen=True):
    """Slack ends a connection: `type` is disconnect. `reason`: warning, refresh_requested, link_disabled."""

    type: str
    reason: str = ""
