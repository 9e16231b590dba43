"""Many pods: the server chooses among them, and they are read a page at a time."""

from urllib.parse import parse_qs

import pytest
from cluster import Cluster
from faulting import Trial
from proxy import Proxy

from gameday.engine.jobs import Job, JobKind, perform


def test_the_server_selects_and_answers_in_pages(
    cluster: Cluster, namespace: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.kubernetes.client._PAGE", 2)  # else 500, and a test would have to make as many
    cluster.deploy(namespace, "payments", 5)
    cluster.deploy(namespace, "inventory", 1, service=False)
    trial = Trial(cluster, namespace, "pods/kill", url=proxy.url)
    job = Job(
        kind=JobKind.PLAN,
        fault="pods/kill",
        request=trial.request(1.0, service="payments"),
        system=trial.system,
        examine=True,
    )
    result = perform(job)
    assert result.error == ""
    assert result.examination.table is not None
    assert sorted(result.targets) == sorted(cluster.pod_names(namespace, "app=payments"))
    lists = [parse_qs(call.query) for call in proxy.calls if call.verb == "list" and call.path.endswith("/pods")]
    # Once for all that a plan looks at: whom it hits, how much that is, and what there is to say of them.
    assert [("continue" in query) for query in lists] == [False, True, True]
    assert {(*query["limit"], *query["labelSelector"]) for query in lists} == {("2", "app=payments")}
