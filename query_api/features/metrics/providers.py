"""The gauges of other providers' lists."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily

from query_api.status.providers import ProviderStatus

STATES = ("matched", "untested", "refused", "without", "changed")


def provider_gauges(providers: Sequence[ProviderStatus]) -> Iterator[GaugeMetricFamily]:
    """How many assets have an id, and how far each provider differs from what is stored."""
    at = _gauge("list_timestamp_seconds", "When the last list of the provider came")
    ids = _gauge("ids", "Assets of the provider's last list, by what became of their ids", "state")
    median = _gauge("price_difference_median", "Median difference of the prices from those stored: 0.01 is 1 %")
    off = _gauge("prices_off", "Part of the assets whose prices differ by more than 5 % from those stored")
    rank = _gauge(
        "rank_disagreement", "Part of the first places that its list and the stored one don't share", "places"
    )
    for each in providers:
        at.add_metric([each.source, each.series], each.at.timestamp())
        for state in STATES:
            ids.add_metric([each.source, each.series, state], getattr(each, state))
        if each.comparison:
            median.add_metric([each.source, each.series], each.comparison.price_median)
            off.add_metric([each.source, each.series], each.comparison.price_off)
            for places, unshared in each.comparison.unshared.items():
                rank.add_metric([each.source, each.series, places], unshared)
    yield from (at, ids, median, off, rank)


def _gauge(name: str, description: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"topcoins_provider_{name}", description, labels=["source", "series", *labels])
