"""Is a list as long as it was asked for?"""

import structlog

from lib.source.reading import Reading

log = structlog.get_logger()


class ListLength:
    """Logs when the records of a source begin to be missing and when they are complete again, not with each tick."""

    def __init__(self) -> None:
        self._missing = 0

    def log(self, reading: Reading) -> None:
        """Compare a reading with the one before it."""
        missing, before = reading.missing, self._missing
        self._missing = missing
        counts = {
            "source": reading.source,
            "series": reading.series.name,
            "asked": reading.asked,
            "came": reading.records,
        }
        if missing and not before:
            log.warning("the list is shorter than asked for", **counts, announced=reading.announced)
        if before and not missing:
            log.warning("the list is complete again", **counts)
