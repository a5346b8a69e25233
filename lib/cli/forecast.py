"""What settings will take: disk, and credits by what the source files say."""

import math
from datetime import timedelta

from lib.clock import DAY, HOUR
from lib.source import SourceFile
from lib.source.expression import get
from lib.source.values import read_number

SQLITE_BYTES = 105
"""What a tick of both series adds to the embedded store for each asset."""
YEAR = timedelta(days=365)


def list_cost(file: SourceFile, assets: int) -> float:
    """The credits of a list of so many assets, by the source file; 0 where it names none."""
    if file.assets_per_credit:
        return math.ceil(assets / file.assets_per_credit)
    for_each_page = read_number(get(file.cost, {})) or 0.0  # a cost that no answer is needed for
    return for_each_page * (file.paging.pages(assets) if file.paging else 1)


def in_a_year(tick: float, hour: float, interval: timedelta, *, ticks_kept: timedelta, hours_kept: timedelta) -> float:
    """The bytes stored after a year: all ticks within the retention, and one tick an hour for `hours_kept`."""
    ticks = DAY / interval
    return tick * ticks * (ticks_kept / DAY) + hour * min(ticks, DAY / HOUR) * (hours_kept / DAY)
