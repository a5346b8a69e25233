"""The names of the metrics that the API has, as InfluxDB's scraper and Prometheus know them."""

import re
from functools import cache
from typing import Any

from prometheus_client.core import Metric

from query_api.features.metrics.route import _StatusCollector, about_exposition
from query_api.middleware.request_metrics import RequestMetrics
from query_api.status.archive import ArchiveStatus
from query_api.status.report import Status


@cache
def metric_names() -> set[str]:
    """Of everything that an exposition can have; those of counters end with `_total`."""
    archive = ArchiveStatus(up=True, sealed_until=None, unsealed_days=0, late=False)
    status = Status.model_construct(series={}, rank_disagreement=None, archive=archive, providers=())
    families: list[Metric] = [*_StatusCollector(status, True).collect()]
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    requests = RequestMetrics()
    requests.count("/", 200, 0.1)
    for text in (requests.exposition(), about_exposition("", 1)):
        names |= {line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")}
    return names


def named_metrics(value: Any) -> set[str]:
    """The metrics that a query or an expression names."""
    return set(re.findall(r"topcoins_[a-z_]+[a-z]", str(value)))
