"""Notes what happens in a run on Grafana, finds these notes again, and removes them.

They are annotations of the organization, on no dashboard of their own: a dashboard shows them by their tags.
API: https://grafana.com/docs/grafana/latest/developers/http_api/annotations/.
"""

from collections.abc import Sequence

import msgspec

from gameday.coverage.dashboards.base import Annotation, Moment
from gameday.coverage.dashboards.grafana_api import Api

TAG = "gameday"
_LIMIT = 1000  # annotations of one answer; there are no pages
_MOST_ROUNDS = 20
_NEEDS = "annotations:{}, with the scope annotations:type:organization"


class _Note(msgspec.Struct, frozen=True, rename="camel"):
    id: int
    text: str = ""
    tags: tuple[str, ...] | None = ()
    time: float = 0.0  # milliseconds
    time_end: float | None = None


class _Added(msgspec.Struct, frozen=True):
    id: int


async def add(api: Api, annotation: Annotation) -> None:
    """Raises GrafanaError when it is not taken."""
    body: dict[str, object] = {
        "time": round(annotation.at * 1000),
        "tags": [TAG, run_tag(annotation.run), annotation.moment, *filter(None, [annotation.service])],
        "text": annotation.text,
    }
    if annotation.until is not None:
        body["timeEnd"] = round(annotation.until * 1000)
    api.read(_Added, await api.send("POST", "api", "annotations", body=body), _NEEDS.format("create"))


async def of_run(api: Api, run: str) -> tuple[Annotation, ...]:
    """Those of a run, the first first. Raises GrafanaError."""
    found = [_annotation(run, note) for note in await _notes(api, run)]
    return tuple(sorted(found, key=lambda annotation: annotation.at))


async def remove(api: Api, run: str) -> int:
    """Remove those of a run; how many were removed. Raises GrafanaError when one could not be."""
    removed = 0
    tried: set[int] = set()
    for _ in range(_MOST_ROUNDS):
        notes = [note for note in await _notes(api, run) if note.id not in tried]
        if not notes:
            break
        for note in notes:
            tried.add(note.id)
            answer = await api.send("DELETE", "api", "annotations", str(note.id))
            if answer.status == 200:
                removed += 1
            elif answer.status != 404:  # then somebody else has removed it
                raise api.refusal(answer, _NEEDS.format("delete"))
    return removed


def run_tag(run: str) -> str:
    """The tag that all annotations of a run bear."""
    return f"{TAG}:{run}"


async def _notes(api: Api, run: str) -> Sequence[_Note]:
    query = [("tags", TAG), ("tags", run_tag(run)), ("type", "annotation"), ("limit", str(_LIMIT))]
    found = await api.get(tuple[_Note, ...], "api", "annotations", needs=_NEEDS.format("read"), query=query)
    # Whatever the server makes of the query: what does not bear both tags is not ours.
    return [note for note in found if {TAG, run_tag(run)} <= set(note.tags or ())]


def _annotation(run: str, note: _Note) -> Annotation:
    others = [tag for tag in note.tags or () if tag not in (TAG, run_tag(run))]
    moments = [tag for tag in others if tag in Moment]
    services = [tag for tag in others if tag not in Moment]
    lasts = note.time_end is not None and note.time_end > note.time
    return Annotation(
        run=run,
        moment=Moment(moments[0]) if moments else Moment.STAGE,
        text=note.text,
        at=note.time / 1000,
        until=note.time_end / 1000 if lasts and note.time_end else None,
        service=services[0] if services else None,
    )
