"""One key of a Secret is changed and put back, and its value is in no plan, mark or message: it goes from the Secret
into a backup, a Secret beside it, and back.

The order of the steps is what keeps the value: the backup is there before the change, and goes after all else is
undone. Both bear a mark, and either says how to go on from wherever it stopped.
"""

from collections.abc import Iterator

import msgspec

from gameday.faults.base import ConflictError, FaultError
from gameday.faults.cluster.base import Place
from gameday.faults.cluster.change import Change, Field, Undo, annotation_of, apply, is_marked, remains, revert
from gameday.faults.cluster.created import Created, create, left_of, name_for, remove
from gameday.faults.cluster.pointers import escaped
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Meta, path_of


class SecretKey(msgspec.Struct, frozen=True):
    """A Secret and its key, which `existed` or not. `after`: what it becomes, in base64; None: it goes."""

    name: str
    uid: str
    key: str
    after: str | None
    existed: bool

    @property
    def marked(self) -> Change:
        """The change as plans and marks have it: without the values."""
        return Change("Secret", self.name, self.uid, ())


class _Secret(msgspec.Struct, frozen=True):
    metadata: Meta
    data: dict[str, str] | None = None


def backup_of(place: Place) -> Created:
    """The Secret that holds what was there before; its content is in no plan."""
    return Created("Secret", name_for(place.stamp))


def strike_secret(
    client: Client, place: Place, secret: SecretKey, undo: Undo, undo_backup: Undo, *, dry_run: bool
) -> None:
    """Copy the value into the backup, then set it with its mark. Harmless when done. Raises FaultError."""
    before: str | None = None
    if not is_marked(client, place, secret.marked):  # else what is there now is ours, and no backup of anything
        before = _value_now(client, place, secret)
        if (before is not None) is not secret.existed:
            raise FaultError(f"secret/{secret.name}: the key `{secret.key}` has come or gone since it was planned")
        data = {} if before is None else {"data": {secret.key: before}}
        body = {"type": "Opaque", "immutable": True, **data}
        backup = msgspec.structs.replace(backup_of(place), body=body)
        create(client, place, backup, undo_backup, dry_run=dry_run)
    change = _with_values(secret, before) if dry_run else revealed(client, place, secret)
    apply(client, place, change, undo, dry_run=dry_run)


def revealed(client: Client, place: Place, secret: SecretKey) -> Change:
    """The change with its values, the one from before out of the backup: for this process alone, never to be encoded.

    Raises FaultError when there is no backup.
    """
    backup = _find(client, place, backup_of(place).name)
    if backup is None or annotation_of(place.stamp) not in (backup.metadata.annotations or {}):
        raise FaultError(
            f"secret/{secret.name} bears our mark, but its backup secret/{backup_of(place).name} is gone, and with it "
            f"what `{secret.key}` was: set it from where you have it, and take the annotation "
            f"{annotation_of(place.stamp)} away"
        )
    return _with_values(secret, (backup.data or {}).get(secret.key))


def restore_secret(client: Client, place: Place, secret: SecretKey) -> bool:
    """Put the value back, and leave the mark. Whether there is a mark. Raises FaultError, ConflictError."""
    if not is_marked(client, place, secret.marked):
        return False
    revert(client, place, revealed(client, place, secret), keep_mark=True)
    return True


def forget_secret(client: Client, place: Place, secret: SecretKey) -> None:
    """Take the mark away, then delete the backup. Harmless when done.

    Raises ConflictError when somebody took the mark away and left our value: the backup is all that there is of theirs.
    """
    revert(client, place, secret.marked)
    backup, now = _find(client, place, backup_of(place).name), _find(client, place, secret.name)
    if backup is None:
        return
    if now is not None and now.metadata.uid == secret.uid:
        value, before = (now.data or {}).get(secret.key), (backup.data or {}).get(secret.key)
        if value == secret.after != before:
            raise ConflictError(
                f"secret/{secret.name} does not bear our mark (any more), and `{secret.key}` is as we have set it: "
                f"it is not overwritten, and secret/{backup.metadata.name} keeps what it was"
            )
    remove(client, place, backup_of(place))


def left_of_secret(client: Client, place: Place, secret: SecretKey) -> Iterator[str]:
    """What is not as it was, in words without values."""
    if not is_marked(client, place, secret.marked):
        yield from left_of(client, place, backup_of(place))
        return
    try:
        yield from remains(client, place, revealed(client, place, secret))
    except FaultError as error:
        yield str(error)


def secret_by_hand(place: Place, secret: SecretKey) -> str:
    """The command that puts back what the backup has, takes the mark away and deletes the backup; no value is in it."""
    from shlex import quote

    backup, key = backup_of(place).name, msgspec.json.encode(secret.key).decode()
    mark = msgspec.json.encode({"annotations": {annotation_of(place.stamp): None}}).decode()
    start, end = f'{{"metadata":{mark},"data":{{{key}:', "}}"
    value = quote("null")
    if secret.existed:
        template = quote(f"{{{{index .data {key}}}}}")
        value = f"""'"'"$({place.kubectl} get secret {backup} -o go-template={template})"'"'"""
    patch = f"{place.kubectl} patch secret {quote(secret.name)} --type=merge -p {quote(start)}{value}{quote(end)}"
    return f"{patch} && {place.kubectl} delete secret {backup}"


def _with_values(secret: SecretKey, before: str | None) -> Change:
    field = Field(f"/data/{escaped(secret.key)}", before, secret.after)
    return msgspec.structs.replace(secret.marked, fields=(field,))


def _value_now(client: Client, place: Place, secret: SecretKey) -> str | None:
    found = _find(client, place, secret.name)
    if found is None or found.metadata.uid != secret.uid:
        raise FaultError(f"secret/{secret.name} is no longer the one that was planned")
    return (found.data or {}).get(secret.key)


def _find(client: Client, place: Place, name: str) -> _Secret | None:
    return client.find(path_of("Secret", place.namespace, name), _Secret)
