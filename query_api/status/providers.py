"""Other providers' lists: how many of their assets have an id, and how far they differ from what is stored."""

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from lib.ingest.ids.report import Comparison, IdsReport, read_reports


class ProviderStatus(BaseModel):
    """The last list of another provider. `comparison` is null if nothing recent is stored to compare it with.

    `matched` assets have an id. `untested` would, but their price can't be compared yet. `refused` have candidates,
    none of which was taken; `without` have none. `changed` matches are pinned, and would now be decided otherwise.
    """

    source: str
    series: str
    at: datetime
    map_day: str | None
    listed: int
    matched: int
    untested: int
    refused: int
    without: int
    changed: int
    comparison: Comparison | None


def read_providers(spools: Path) -> list[ProviderStatus]:
    """The status of each provider whose ids are found by a table."""
    return [_status(report) for report in read_reports(spools)]


def _status(report: IdsReport) -> ProviderStatus:
    counts = {"refused": len(report.refused), "changed": len(report.changed)}
    shared = report.model_dump(include=set(ProviderStatus.model_fields) - set(counts))
    return ProviderStatus.model_validate(shared | counts)
