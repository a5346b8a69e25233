"""What the judge of a series remembers: a file beside its spool, so that a restart forgets nothing."""

from collections.abc import Mapping

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict

from lib.ingest.plausible import COMPARABLE_FOR, VALUES, Jump, jumps
from lib.schema import ID
from lib.snapshot import Snapshot

FILE = "judge.json"
MOST_ABSENT = 10_000
"""The newest are kept: lists of other assets each minute must not fill the memory."""


class Absent(BaseModel):
    """An asset that the snapshot before lacks: its last value and the tick of it; `doubted` was rejected since then."""

    model_config = ConfigDict(frozen=True)

    value: float
    tick: int
    doubted: float | None = None


class JudgeState(BaseModel):
    """Since when every list is doubtful, and the assets that the snapshot before lacks, by id."""

    model_config = ConfigDict(frozen=True)

    doubtful_since: AwareDatetime | None = None
    absent: dict[int, Absent] = {}

    def jumps(self, now: Snapshot, before: Snapshot | None) -> dict[int, Jump]:
        """The rows to reject, by id: those that jumped since their asset was last listed, within a day."""
        oldest = _oldest(now)
        recent = {id_: each for id_, each in self.absent.items() if each.tick > oldest}
        last = {id_: each.value for id_, each in recent.items()}
        doubted = {id_: each.doubted for id_, each in recent.items() if each.doubted is not None}
        return jumps(now, before, last, doubted)

    def after(self, now: Snapshot, before: Snapshot | None, jumped: Mapping[int, Jump]) -> dict[int, Absent]:
        """The assets that an accepted snapshot lacks, and that were listed within a day."""
        value = VALUES.get(now.series.name)
        if value is None:
            return {}
        known = dict(self.absent)
        if before:
            gone = before.rows.filter(~pl.col(ID).is_in(now.rows[ID].implode()))
            tick = int(before.tick.timestamp())
            known |= {id_: Absent(value=last, tick=tick) for id_, last in gone.select(ID, value).iter_rows()}
        for id_, jump in jumped.items():
            last = known.get(id_) or Absent(value=jump.before, tick=int(now.tick.timestamp()))
            known[id_] = last.model_copy(update={"doubted": jump.now})
        listed, oldest = {*now.rows[ID].to_list()}, _oldest(now)
        fresh = [(id_, each) for id_, each in known.items() if id_ not in listed and each.tick > oldest]
        return dict(sorted(fresh, key=lambda item: -item[1].tick)[:MOST_ABSENT])


def _oldest(now: Snapshot) -> float:
    return (now.tick - COMPARABLE_FOR).timestamp()
