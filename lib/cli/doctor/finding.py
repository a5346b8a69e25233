"""One check and its result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: whether all is well, and what was seen."""

    what: str
    well: bool
    seen: str
