"""Judges each list of a series on its way into the store: the clock, the gate, then whether it is plausible."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict

from lib.errors import SnapshotDoubtful
from lib.ingest.clock_check import check_clock
from lib.ingest.doubtful import DoubtfulLists
from lib.ingest.gate import admit
from lib.ingest.ids.compare import contradictions
from lib.ingest.ids.report import FOLDER as IDS_FOLDER
from lib.ingest.plausible import COMPARABLE_FOR, VALUES, Jump, differences, faults, jumps
from lib.ingest.state_file import read_state, save_state
from lib.schema import ID
from lib.snapshot import Snapshot
from lib.source import Reading

log = structlog.get_logger()

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
    """What the judge of a series remembers, also over a restart: a file beside its spool.

    Since when every list is doubtful, and the assets that the snapshot before lacks, by id.
    """

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


class Judge:
    """Remembers the rows and lists that the next list may confirm. Doubtful lists go to `folder`, if there is one."""

    def __init__(self, *, assets: int, folder: Path | None = None, clock_check: bool = True) -> None:
        self._assets = assets
        self._clock_check = clock_check
        self._file = folder / FILE if folder else None
        self._state = read_state(JudgeState, self._file) or JudgeState()
        self._doubtful = DoubtfulLists(folder, self._state.doubtful_since)
        self._ids = folder.parent / IDS_FOLDER if folder else None

    def admit(
        self,
        reading: Reading,
        tick: datetime,
        *,
        before: Snapshot | None,
        interval: timedelta,
        backfilled: bool = False,
    ) -> tuple[Snapshot, Mapping[str, int]]:
        """The snapshot of a reading and its rejects by reason; SnapshotRefused when it must not be stored."""
        if self._clock_check:
            reading = check_clock(reading)
        gate = partial(admit, reading, tick, interval, before=before, backfilled=backfilled)
        snapshot, rejected = gate()
        wrong, differs = faults(snapshot, before), differences(snapshot, before, asked=self._assets)
        differs += contradictions(snapshot, before, self._ids)
        if wrong or differs:
            snapshot = self._new_level(snapshot, wrong, differs, before)
            self._remember(JudgeState())  # the last values of absent assets are of another level
        else:
            jumped = self._state.jumps(snapshot, before)
            if jumped:
                snapshot, rejected = gate(unconfirmed={id_: jump.reason for id_, jump in jumped.items()})
            self._remember(JudgeState(absent=self._state.after(snapshot, before, jumped)))
        self._doubtful.end()
        return snapshot, rejected

    def _remember(self, state: JudgeState) -> None:
        if state != self._state:
            self._state = state
            failure = "what the judge remembers can't be written"
            save_state(self._file, state, failure, survives_power_cut=False, level="debug")

    def _new_level(
        self, snapshot: Snapshot, wrong: Sequence[str], differs: Sequence[str], before: Snapshot | None
    ) -> Snapshot:
        """The list in doubt, marked as the new level; SnapshotDoubtful when it is not accepted."""
        marker = snapshot.marker
        where = {"series": marker.series, "tick": marker.tick, "source": marker.source, "reasons": [*wrong, *differs]}
        try:
            why = self._doubtful.why_accepted(snapshot, wrong, differs, before)
        except SnapshotDoubtful:
            self._remember(self._state.model_copy(update={"doubtful_since": self._doubtful.since}))
            log.warning("list is doubtful: it is kept apart, not stored", **where)
            raise
        log.warning("doubtful list accepted as the new level", **where, why=why)
        return replace(snapshot, marker=replace(snapshot.marker, new_level=True))


def _oldest(now: Snapshot) -> float:
    return (now.tick - COMPARABLE_FOR).timestamp()
