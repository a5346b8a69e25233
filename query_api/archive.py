"""What every route stands on: the store, the clock, and the rules by which an answer is found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from lib.clock import Clock
from lib.schema import OWN, Series
from lib.store import Store
from query_api.top import TopLists


@dataclass(frozen=True, slots=True)
class Archive:
    """The stored snapshots as the API sees them. `spools` is the ingestors' folder; it need not be there."""

    store: Store
    clock: Clock
    lists: TopLists
    max_age: timedelta
    spools: Path
    extras: Sequence[Series] = ()

    @property
    def series(self) -> list[str]:
        """The names of all series an answer may draw on."""
        return [*OWN, *(extra.name for extra in self.extras)]
