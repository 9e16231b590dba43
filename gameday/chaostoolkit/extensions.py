"""The packages that bring the modules of the Toolkit's public extensions, so that a missing one can be named.

Source: the extensions' own documentation, as listed on https://chaostoolkit.org/drivers/overview/.
"""

import re

_PACKAGES = {
    "chaosaddons": "chaostoolkit-addons",
    "chaosaws": "chaostoolkit-aws",
    "chaosazure": "chaostoolkit-azure",
    "chaoscf": "chaostoolkit-cloud-foundry",
    "chaosdatadog": "chaostoolkit-datadog",
    "chaosgcp": "chaostoolkit-google-cloud-platform",
    "chaosgrafana": "chaostoolkit-grafana",
    "chaosgremlin": "chaostoolkit-gremlin",
    "chaoshumio": "chaostoolkit-humio",
    "chaosistio": "chaostoolkit-istio",
    "chaosk8s": "chaostoolkit-kubernetes",
    "chaosk6": "chaostoolkit-k6",
    "chaosprometheus": "chaostoolkit-prometheus",
    "chaosreliably": "chaostoolkit-reliably",
    "chaosslack": "chaostoolkit-slack",
    "chaosspring": "chaostoolkit-spring",
    "chaostoxi": "chaostoolkit-toxiproxy",
    "chaostracing": "chaostoolkit-opentracing",
    "chaoswm": "chaostoolkit-wiremock",
}
_MISSING = re.compile(r"could not find Python module '([A-Za-z_0-9]+)")


def advice(complaint: str) -> str:
    """What to do about a complaint of the Toolkit's about a module that is not there; empty when nobody knows."""
    found = _MISSING.search(complaint)
    package = _PACKAGES.get(found[1]) if found else None
    return f"`pip install {package}` brings it" if package else ""
