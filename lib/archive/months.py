"""Sealed months: the hours of a closed month once more, a file for each table. A year of hours is then a few files.

Everything in them is in the sealed days too. A month's manifest has the number of each day's manifest, so a day to
which something was added since answers from its own parts.
"""

from datetime import date, timedelta

from pydantic import BaseModel, ConfigDict, ValidationError

from lib.archive.manifest import Part
from lib.archive.objects import Objects
from lib.archive.tables import Withdrawal
from lib.errors import StoreMalformed

FOLDER = "monthly/"
MANIFESTS = f"{FOLDER}_manifest"


class Month(BaseModel):
    """A sealed month: its days with the numbers of their manifests, and of each series the first ticks of hours."""

    model_config = ConfigDict(frozen=True)
    month: date
    days: dict[date, int]
    ticks: dict[str, list[int]]
    withdrawals: list[Withdrawal]
    parts: list[Part]

    def name(self, table: str) -> str:
        """The name of a table's part."""
        return month_part(table, self.month)

    @property
    def size(self) -> int:
        """The bytes that it takes in memory, about."""
        return 10_000 + 40 * sum(map(len, self.ticks.values())) + 500 * len(self.withdrawals)


def first_of_month(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)


def last_of_month(day: date) -> date:
    """The last day of a day's month."""
    return first_of_month(first_of_month(day) + timedelta(days=31)) - timedelta(days=1)


def month_table(table: str) -> str:
    """The name of a table of months."""
    return f"{FOLDER}{table}"


def month_part(table: str, month: date) -> str:
    """The name of a month's part."""
    return f"{month_table(table)}/month={month:%Y-%m}/part-0.parquet"


def month_manifest(month: date) -> str:
    """The name of a month's manifest."""
    return f"{MANIFESTS}/month={month:%Y-%m}.json"


async def read_month(objects: Objects, name: str) -> Month:
    """A month by the name of its manifest."""
    try:
        return Month.model_validate_json(await objects.read(name))
    except ValidationError as exc:
        raise StoreMalformed(f"archive {objects.shown}: {name} is damaged: {exc.errors()[0]['msg']}") from exc
