"""Which of a series' sources is used: the first that works, and a better one again only after it has stayed good."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from pydantic import AwareDatetime, BaseModel

from lib.clock import Clock
from lib.errors import SourceExhausted, SourceRejected, TopcoinsError
from lib.ingest.state_file import read_state, save_state
from lib.source import Source

log = structlog.get_logger()

FILE = "source.json"
STAY_GOOD = timedelta(minutes=10)
"""A source that failed must answer well for this long before it is used again."""
GOOD_READINGS = 3
"""So many good answers it needs at least."""

Failures = dict[Source, TopcoinsError]


class UsedSource(BaseModel):
    """The source in use, and how often a series changed to a less preferred one, ever: a file beside its spool.

    `is_keyless`: its key is spent or refused, so it is asked without one. `why`: the failures at the last change.
    `asked` identifies the sources of the settings; another list begins with its first source.
    """

    source: str
    is_keyless: bool
    is_fallback: bool
    since: AwareDatetime
    failovers: int
    why: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


class SourceChoice:
    """Chooses among the sources of a series, which are in the order of preference.

    A tick asks the source in use first, then the better ones, then the rest. The better ones are also tried after a
    tick, until one has stayed good.
    """

    def __init__(self, sources: Sequence[Source], *, clock: Clock, folder: Path | None = None) -> None:
        self._sources = sources
        self._clock = clock
        self._file = folder / FILE if folder else None
        self._asked = tuple(source.identity for source in sources)
        self._good_answers: dict[Source, list[datetime]] = defaultdict(list)
        """The first ones of each source that is not used, since it last failed."""
        self._state = self._resumed(read_state(UsedSource, self._file))

    @property
    def used(self) -> Source:
        """The source that gave the last snapshot; at first the preferred one, or the one of the run before."""
        state = self._state
        same = (s for s in self._sources if state and (s.name, s.is_stand_in) == (state.source, state.is_keyless))
        return next(same, self._sources[0])

    @property
    def better(self) -> Sequence[Source]:
        """The sources that are preferred to the one in use."""
        return self._sources[: self._sources.index(self.used)]

    def candidates(self, failures: Failures) -> Iterator[tuple[Source, bool]]:
        """The sources to ask at a tick, in order, and whether each is the last; `failures` of those asked so far.

        A source without its key stands in only for a key that is spent or refused.
        """
        order = self._order()
        for source in order:
            if source.is_stand_in and source is not self.used and not self._needs_stand_in(source, failures):
                continue
            yield source, source is order[-1]

    def use(self, source: Source, failures: Failures) -> None:
        """Note that a source gave the snapshot. A change is logged with the failures of those asked before it."""
        before, state = self.used, self._state
        self._good_answers.pop(source, None)
        if state and source is before and state.asked == self._asked:
            return
        why = tuple(str(failure) for failure in failures.values())
        is_worse = self._sources.index(source) > self._sources.index(before)
        if source is not before:
            log.warning("source changed", series=source.series.name, before=before.label, now=source.label, why=why)
        self._state = UsedSource(
            source=source.name,
            is_keyless=source.is_stand_in,
            is_fallback=source is not self._sources[0],
            since=self._clock().replace(microsecond=0),
            failovers=(state.failovers if state else 0) + is_worse,
            why=why if is_worse else (),
            asked=self._asked,
        )
        save_state(self._file, self._state, "the source in use can't be written")

    def failed(self, source: Source) -> None:
        """Note that a source gave no list: it has to recover from the beginning."""
        self._good_answers.pop(source, None)

    def answered(self, source: Source) -> None:
        """Note a good answer of a source that is not used."""
        self._good_answers[source] = [*self._good_answers[source], self._clock()][:GOOD_READINGS]

    def _order(self) -> Sequence[Source]:
        better = self.better
        recovered = [each for each in better if self._has_recovered(each)]
        return list(dict.fromkeys([*recovered, self.used, *better, *self._sources]))

    def _has_recovered(self, source: Source) -> bool:
        good = self._good_answers[source]
        return len(good) >= GOOD_READINGS and self._clock() - good[0] >= STAY_GOOD

    def _needs_stand_in(self, source: Source, failures: Failures) -> bool:
        keyed = self._sources[self._sources.index(source) - 1]
        return isinstance(failures.get(keyed), SourceExhausted | SourceRejected)

    def _resumed(self, last: UsedSource | None) -> UsedSource | None:
        """The state of an earlier run; of another list of sources only the count."""
        if last is None or last.asked == self._asked:
            return last
        first = self._sources[0]
        return last.model_copy(update={"source": first.name, "is_keyless": first.is_stand_in, "is_fallback": False})


def read_used_source(folder: Path) -> UsedSource | None:
    """The source in use of a series; None without a file that can be read."""
    return read_state(UsedSource, folder / FILE)
