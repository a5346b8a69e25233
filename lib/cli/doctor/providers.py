"""Checks of other providers' lists: do their assets have ids, and do they agree with what is stored?"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from lib.cli.doctor.finding import Finding
from lib.ids.coin_map import FRESH
from lib.ingest.ids.compare import disagrees
from lib.ingest.ids.report import read_reports


def check_providers(now: datetime, spools: Path) -> Iterator[Finding]:
    """A finding on the ids of each provider, and on how far its last list differs."""
    today = now.astimezone(UTC).date()
    for report in read_reports(spools):
        what = f"provider {report.source} as {report.series}"
        is_fresh = report.map_day is not None and today - date.fromisoformat(report.map_day) < FRESH
        seen = f"{report.matched} of {report.listed} assets have an id by the map of {report.map_day or 'no day'}"
        if report.changed:
            seen += f"; {len(report.changed)} would change: topcoins ids shows them"
        yield Finding(what, is_fresh, seen if is_fresh else f"{seen}: too old for new matches")
        if comparison := report.comparison:
            seen = f"prices differ by {comparison.price_median:.2%} in the median from {comparison.price_source}"
            seen += f", {comparison.price_off:.1%} of them by more than 5 %"
            yield Finding(what, not disagrees(comparison), seen)
