"""The lab's Envoy: one listener for each link, so that every link has runtime keys of its own.

Formats: Envoy's v3 API. The keys of a link with the prefix `fault.checkout-1.payments` are `<prefix>.delay.percent`,
`.delay.ms`, `.abort.percent`, `.abort.status` and `.blackhole.percent`; POST /runtime_modify?key=value on the admin
port sets one, an empty value takes it back.
"""

from gameday.common.json import Json, JsonObject
from gameday.lab.topology import BY_NAME, HOST, SERVICES, Layout, Upstream

_TYPE = "type.googleapis.com/envoy.extensions"
_BLACKHOLE = "blackhole"
FRONT_RUNTIME = "fault.load.edge"  # not in the inventory: the load is outside of the shop

# Milliseconds. Envoy's own buckets jump from 100 to 250 and 500: too coarse for a p99 that is judged at 300.
_BUCKETS_MS: list[Json] = [
    1, 2, 3, 5, 7.5, 10, 15, 20, 25, 30, 40, 50, 65, 80, 100, 125, 150, 175, 200, 225, 250, 275, 300, 325, 350, 400,
    450, 500, 600, 700, 800, 900, 1000, 1250, 1500, 2000, 2500, 3000, 5000, 10000,
]  # fmt: skip


def _address(port: int) -> JsonObject:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _seconds(value: float) -> str:
    return f"{value:g}s"


def _percent(key: str) -> JsonObject:
    return {"default_value": {"numerator": 0, "denominator": "HUNDRED"}, "runtime_key": key}


def _fault_filter(runtime: str) -> JsonObject:
    nobody: JsonObject = {"numerator": 0, "denominator": "HUNDRED"}
    return {
        "name": "envoy.filters.http.fault",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.fault.v3.HTTPFault",
            "delay": {"fixed_delay": "0.1s", "percentage": nobody},
            "delay_percent_runtime": f"{runtime}.delay.percent",
            "delay_duration_runtime": f"{runtime}.delay.ms",
            "abort": {"http_status": 503, "percentage": nobody},
            "abort_percent_runtime": f"{runtime}.abort.percent",
            "abort_http_status_runtime": f"{runtime}.abort.status",
        },
    }


def _route(cluster: str, upstream: Upstream) -> JsonObject:
    return {
        "cluster": cluster,
        "timeout": _seconds(upstream.timeout_s),
        "retry_policy": {
            "retry_on": upstream.retry_on,
            "num_retries": upstream.retries,
            "per_try_timeout": _seconds(upstream.per_try_s),
            "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {"@type": f"{_TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                }
            ],
            "host_selection_retry_max_attempts": 5,
        },
    }


def _listener(name: str, port: int, callee: str, runtime: str) -> JsonObject:
    upstream = BY_NAME[callee].upstream
    routes: list[Json] = [
        {
            "match": {"prefix": "/", "runtime_fraction": _percent(f"{runtime}.blackhole.percent")},
            "route": {"cluster": _BLACKHOLE, "timeout": _seconds(upstream.timeout_s)},
        },
        {"match": {"prefix": "/"}, "route": _route(callee, upstream)},
    ]
    manager: JsonObject = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        # The same prefix for every caller of a service: its signals are what all of them see, faults included.
        "stat_prefix": callee,
        "generate_request_id": False,
        "route_config": {
            "name": name,
            "virtual_hosts": [{"name": callee, "domains": ["*"], "routes": routes}],
        },
        "http_filters": [
            _fault_filter(runtime),
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
            },
        ],
    }
    return {
        "name": name,
        "address": _address(port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _endpoints(name: str, ports: list[int]) -> JsonObject:
    endpoints: list[Json] = [{"endpoint": {"address": _address(port)}} for port in ports]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def _cluster(name: str, ports: list[int]) -> JsonObject:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        # Not LEAST_REQUEST: it favours the replica that fails fastest, and 30 % of aborts would become 40 %.
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": _endpoints(name, ports),
        "health_checks": [
            {
                "timeout": "0.5s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "interval_jitter": "0.1s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/health"},
            }
        ],
        "outlier_detection": {
            "consecutive_5xx": 5,
            "consecutive_gateway_failure": 3,
            "enforcing_consecutive_gateway_failure": 100,
            "interval": "1s",
            "base_ejection_time": "3s",
            "max_ejection_time": "10s",
            "max_ejection_percent": 50,
        },
        # Without a budget three retries at a time are allowed: one dead replica of four needs more.
        "circuit_breakers": {
            "thresholds": [{"retry_budget": {"budget_percent": {"value": 50}, "min_retry_concurrency": 10}}]
        },
    }


def build_envoy_config(layout: Layout) -> JsonObject:
    """The bootstrap configuration, as JSON."""
    listeners: list[Json] = [_listener("front", layout.front, "edge", FRONT_RUNTIME)]
    listeners += [
        _listener(f"{link.instance}.{link.callee}", link.port, link.callee, link.runtime) for link in layout.links
    ]
    clusters: list[Json] = [
        _cluster(service.name, [slot.port for slot in layout.slots if slot.service == service.name])
        for service in SERVICES
    ]
    clusters.append(
        {
            "name": _BLACKHOLE,
            "type": "STATIC",
            "connect_timeout": "0.25s",
            "load_assignment": _endpoints(_BLACKHOLE, [layout.blackhole]),
        }
    )
    return {
        "node": {"id": "lab", "cluster": "shop"},
        "admin": {"address": _address(layout.admin)},
        "layered_runtime": {"layers": [{"name": "lab", "static_layer": {}}, {"name": "admin", "admin_layer": {}}]},
        # Histograms are merged at each flush: it must be faster than the scrapes, or every second scrape is old.
        "stats_flush_interval": "0.5s",
        "stats_config": {
            "histogram_bucket_settings": [{"match": {"safe_regex": {"regex": ".*"}}, "buckets": _BUCKETS_MS}],
        },
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }
