"""The sparklines' answer."""

from datetime import datetime

from pydantic import BaseModel, Field


class Line(BaseModel):
    """One asset's prices and, with `ranks=true`, its source's ranks: null in a gap and where it is not listed."""

    cmc_id: int
    prices: list[float | None]
    ranks: list[int | None] | None = None


class SparklinesAnswer(BaseModel):
    """The values in the list of each instant `at`; `ticks` are the price snapshots they are from, null in a gap."""

    start: datetime = Field(serialization_alias="from")
    stop: datetime = Field(serialization_alias="to")
    at: list[datetime]
    ticks: list[datetime | None]
    data: list[Line]
