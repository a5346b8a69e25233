"""The answer of `/v1/gaps`."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from lib.gaps import Gap


class SeriesGapsAnswer(BaseModel):
    """One series: stored + missing = expected, from its first snapshot on."""

    model_config = ConfigDict(from_attributes=True)

    expected: int
    stored: int
    missing: int
    gaps: list[Gap]


class GapsAnswer(BaseModel):
    """The gaps of every series between two instants."""

    start: datetime = Field(serialization_alias="from")
    stop: datetime = Field(serialization_alias="to")
    series: dict[str, SeriesGapsAnswer]
