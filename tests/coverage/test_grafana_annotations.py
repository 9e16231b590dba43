"""What of a run is noted on Grafana, and removed again."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator

import pytest
from grafana_server import GrafanaServer

from gameday.coverage.dashboards import Annotation, Annotator, DashboardError, Moment
from gameday.coverage.dashboards.grafana import Grafana
from gameday.spec.model import Credentials, DashboardsConfig

NOW = 1_772_712_000.0
INJECTION = Annotation("run-1", Moment.INJECTION, "pods/kill: 1 of payments", NOW, service="checkout")
STAGE = Annotation("run-1", Moment.STAGE, "25% is held", NOW + 1.25, until=NOW + 61.25, service="checkout")
ABORT = Annotation("run-2", Moment.ABORT, "errors above 10%", NOW + 5)


@pytest.fixture
def server() -> Iterator[GrafanaServer]:
    with GrafanaServer() as server:
        yield server


def ask[T](
    server: GrafanaServer, question: Callable[[Annotator], Coroutine[None, None, T]], *, timeout_s: float = 10.0
) -> T:
    async def run() -> T:
        credentials = Credentials(token="glsa_of-ours")
        config = DashboardsConfig("grafana", server.url, timeout_s=timeout_s, credentials=credentials)
        grafana = Grafana(config)
        assert isinstance(grafana, Annotator)
        try:
            return await question(grafana)
        finally:
            await grafana.close()

    return asyncio.run(run())


def note(server: GrafanaServer, *annotations: Annotation) -> None:
    for annotation in annotations:
        ask(server, lambda grafana, one=annotation: grafana.annotate(one))  # type: ignore[misc]


def test_what_is_noted(server: GrafanaServer) -> None:
    note(server, INJECTION, STAGE, ABORT)
    assert [(one["time"], one["timeEnd"], one["text"], one["tags"]) for one in server.annotations] == [
        (1772712000000, 1772712000000, INJECTION.text, ["gameday", "gameday:run-1", "injection", "checkout"]),
        (1772712001250, 1772712061250, STAGE.text, ["gameday", "gameday:run-1", "stage", "checkout"]),
        (1772712005000, 1772712005000, ABORT.text, ["gameday", "gameday:run-2", "abort"]),
    ]


def test_it_is_found_again(server: GrafanaServer) -> None:
    note(server, STAGE, INJECTION, ABORT)
    assert ask(server, lambda grafana: grafana.annotations("run-1")) == (INJECTION, STAGE)
    assert ask(server, lambda grafana: grafana.annotations("run-2")) == (ABORT,)
    assert ask(server, lambda grafana: grafana.annotations("run")) == ()


def test_only_those_of_the_run_are_removed(server: GrafanaServer) -> None:
    foreign = {"id": 90, "time": 1, "timeEnd": 1, "text": "a release", "tags": ["gameday:run-1", "release"]}
    server.annotations = [foreign]
    note(server, INJECTION, ABORT, STAGE)
    assert ask(server, lambda grafana: grafana.remove_annotations("run-1")) == 2
    assert [one["text"] for one in server.annotations] == ["a release", ABORT.text]
    assert ask(server, lambda grafana: grafana.remove_annotations("run-1")) == 0


def test_what_a_server_finds_without_our_tags_is_left_alone(server: GrafanaServer) -> None:
    server.troubles = {"/api/annotations$": b'[{"id": 1, "tags": ["gameday"]}, {"id": 2, "tags": null}, {"id": 3}]'}
    assert ask(server, lambda grafana: grafana.remove_annotations("run-1")) == 0
    assert server.writes == []


def test_more_than_one_answer_has_are_all_removed(server: GrafanaServer) -> None:
    tags = ["gameday", "gameday:run-1", "stage"]
    server.annotations = [{"id": n, "time": n, "timeEnd": n, "text": "x", "tags": tags} for n in range(1, 1103)]
    assert ask(server, lambda grafana: grafana.remove_annotations("run-1")) == 1102
    assert server.annotations == []


def test_one_that_somebody_else_removes_meanwhile(server: GrafanaServer) -> None:
    note(server, INJECTION, STAGE)
    server.troubles = {"/api/annotations/1": 404}
    assert ask(server, lambda grafana: grafana.remove_annotations("run-1")) == 1


def test_what_it_takes(server: GrafanaServer) -> None:
    note(server, INJECTION)
    server.is_editor = False
    with pytest.raises(DashboardError, match=r"HTTP 403.*they need `annotations:create, with the scope"):
        note(server, STAGE)
    with pytest.raises(DashboardError, match=r"HTTP 403.*they need `annotations:delete"):
        ask(server, lambda grafana: grafana.remove_annotations("run-1"))
    assert len(server.annotations) == 1


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(500, "HTTP 500"), (429, "HTTP 429"), (b"x", "not as expected"), (None, "closed"), (2.0, "within 1 s")],
)
def test_what_may_go_wrong(server: GrafanaServer, trouble: int | bytes | float | None, said: str) -> None:
    server.troubles = {"/api/annotations": trouble}
    for question in (
        lambda grafana: grafana.annotate(INJECTION),
        lambda grafana: grafana.annotations("run-1"),
        lambda grafana: grafana.remove_annotations("run-1"),
    ):
        with pytest.raises(DashboardError, match=said):
            ask(server, question, timeout_s=1.0 if isinstance(trouble, float) else 10.0)
