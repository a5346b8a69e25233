"""The errors, by what the caller should do about them.

TopcoinsError
├── Unavailable           wait (`retry_after`, if it is known) and try again
│   ├── SourceUnavailable
│   ├── StoreUnavailable
│   └── Busy
├── Malformed             give up this reading; the next one may be good
│   ├── SourceMalformed
│   ├── SnapshotRefused
│   │   ├── ClockDisagrees
│   │   └── SnapshotDoubtful
│   └── StoreMalformed
└── Rejected              a person must change something: a setting, a key, a request
    ├── SettingsRejected
    ├── SourceRejected
    │   └── DayTooOld
    └── StoreRejected
"""

from datetime import datetime, timedelta


class TopcoinsError(Exception):
    """Every error that this project raises on purpose. Its text says what was asked and what came back."""


class Unavailable(TopcoinsError):
    """The other side is away or busy: wait, then try again."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceUnavailable(Unavailable):
    """The upstream cannot answer now. `again` is true if another try within this tick may help."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None, again: bool = False) -> None:
        super().__init__(message, retry_after=retry_after)
        self.again = again


class SourceExhausted(SourceUnavailable):
    """The quota is used up until its reset."""


class SpoolUnavailable(Unavailable):
    """The disk of the spool cannot take a snapshot now."""


class StoreUnavailable(Unavailable):
    """The store cannot answer or take a write now."""


class Busy(Unavailable):
    """Too many requests at once. Nothing is wrong with the store."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=timedelta(seconds=5))


class Malformed(TopcoinsError):
    """What came back cannot be used: give up this reading."""


class SourceMalformed(Malformed):
    """The upstream's answer does not have the shape that its source file describes."""


class SnapshotRefused(Malformed):
    """The gate refused the rows of this tick."""


class ClockDisagrees(SnapshotRefused):
    """Our clock and the upstream's, which is `theirs`, differ: one of them is wrong, and no tick can be trusted."""

    def __init__(self, message: str, *, theirs: datetime | None = None) -> None:
        super().__init__(message)
        self.theirs = theirs


class SnapshotDoubtful(SnapshotRefused):
    """The list is complete but not plausible. It is kept apart, not stored."""


class StoreMalformed(Malformed):
    """The store holds or returned something that topcoins did not write."""


class DamagedFile(Exception):
    """The file does not hold what was written."""


class Rejected(TopcoinsError):
    """Another try changes nothing: a person must change something."""


class SettingsRejected(Rejected):
    """A setting, a source file or a command line is wrong. The text names the field and a valid example."""


class SourceRejected(Rejected):
    """The upstream refuses our key, plan or request."""


class DayTooOld(SourceRejected):
    """The day asked for is beyond what the key's plan reaches back to, and so is every older day."""


class StoreRejected(Rejected):
    """The store refuses our token, bucket or query."""
