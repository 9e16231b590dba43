"""Creates objects and deletes them again: marked like a change, so that the undo needs nothing but the cluster."""

from hashlib import sha256

import msgspec

from gameday.common.json import JsonObject
from gameday.faults.base import ConflictError, FaultError, Stamp
from gameday.faults.cluster.base import Place
from gameday.faults.cluster.change import RUN_LABEL, Undo, annotation_of
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import Meta, Object, api_version_of, path_of


class Created(msgspec.Struct, frozen=True):
    """An object that a fault makes. `body` is all of it but its apiVersion, kind and metadata."""

    kind: str
    name: str
    body: JsonObject = {}


def name_for(stamp: Stamp) -> str:
    """A name that no other stage of any run takes: "gameday-0-1-0-3f2a91c07b"; 63 characters at most."""
    run = sha256(stamp.run.encode()).hexdigest()[:10]
    return f"gameday-{stamp.fault_id.replace('.', '-')}-{run}"[:63].rstrip("-")


def earlier_names(stamp: Stamp) -> frozenset[str]:
    """The names of what the earlier stages of the same step have made."""
    step, _, stage = stamp.fault_id.rpartition(".")
    return frozenset(
        name_for(msgspec.structs.replace(stamp, fault_id=f"{step}.{number}")) for number in range(int(stage))
    )


def create(client: Client, place: Place, created: Created, undo: Undo, *, dry_run: bool = False) -> None:
    """Create it with its mark; harmless when it is there already. Raises FaultError when another's is."""
    document = {
        "apiVersion": api_version_of(created.kind),
        "kind": created.kind,
        "metadata": {
            "name": created.name,
            "labels": {RUN_LABEL: place.stamp.run},
            "annotations": {annotation_of(place.stamp): msgspec.json.encode(undo).decode()},
        },
        **created.body,
    }
    try:
        client.create(path_of(created.kind, place.namespace), document, Object, dry_run=dry_run)
    except ApiError as error:
        if not error.is_conflict:
            raise
        found = _find(client, place, created)
        if found is None or not _is_ours(found, place):
            raise FaultError(f"there is a {created.kind} `{created.name}` already, and it is not ours") from None


def remove(client: Client, place: Place, created: Created) -> None:
    """Delete it if it is ours; harmless when it is gone. Raises ConflictError when somebody took our mark from it."""
    found = _find(client, place, created)
    if found is None:
        return
    if not _is_ours(found, place):
        raise ConflictError(f"{created.kind.lower()}/{created.name} does not bear our mark (any more): left alone")
    try:
        path = path_of(created.kind, place.namespace, created.name)
        client.delete(path, uid=found.uid, propagation="Background")
    except ApiError as error:
        if not error.is_missing and not error.is_conflict:  # it has gone, or is another one by now
            raise


def left_of(client: Client, place: Place, created: Created) -> list[str]:
    """That it is still there, if it is: without our mark, too, since nobody else uses such a name."""
    there = _find(client, place, created) is not None
    return [f"{created.kind.lower()}/{created.name} is still there"] if there else []


def remove_by_hand(place: Place, created: Created) -> str:
    """The kubectl command that deletes it."""
    return f"{place.kubectl} delete {created.kind.lower()} {created.name}"


def _find(client: Client, place: Place, created: Created) -> Meta | None:
    found = client.find(path_of(created.kind, place.namespace, created.name), Object)
    return found.metadata if found is not None else None


def _is_ours(found: Meta, place: Place) -> bool:
    return annotation_of(place.stamp) in (found.annotations or {})
