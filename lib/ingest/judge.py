"""Judges each list of a series on its way into the store: the clock, the gate, then whether it is plausible."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from lib.errors import SnapshotDoubtful
from lib.ingest.clock_check import check_clock
from lib.ingest.doubtful import DoubtfulLists
from lib.ingest.gate import admit
from lib.ingest.ids.prices_file import read_prices
from lib.ingest.ids.report import FOLDER as IDS_FOLDER
from lib.ingest.judge_state import FILE, JudgeState
from lib.ingest.plausible import differences, faults
from lib.ingest.second_opinion import contradictions
from lib.ingest.state_file import read_state, save_state
from lib.snapshot import Snapshot
from lib.source import Reading

log = structlog.get_logger()


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
        snapshot, rejected = admit(reading, tick, interval, before=before, backfilled=backfilled)
        wrong, differs = faults(snapshot, before), differences(snapshot, before, asked=self._assets)
        differs += contradictions(snapshot, before, lambda: read_prices(self._ids) if self._ids else ())
        if wrong or differs:
            snapshot = self._new_level(snapshot, wrong, differs, before)
            self._remember(JudgeState())  # the last values of absent assets are of another level
        else:
            jumps = self._state.jumps(snapshot, before)
            if jumps:
                unconfirmed = {id_: jump.reason for id_, jump in jumps.items()}
                snapshot, rejected = admit(
                    reading, tick, interval, before=before, backfilled=backfilled, unconfirmed=unconfirmed
                )
            self._remember(JudgeState(absent=self._state.after(snapshot, before, jumps)))
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
