"""What is left of a key's credits."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lib.errors import SourceMalformed
from lib.source.expression import get
from lib.source.model import Quota
from lib.source.values import read_datetime, read_number


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a key's credits, of how many, and until when.

    `counted`: no answer reports it; it is a budget without what topcoins spent. `per_minute`: the requests allowed.
    """

    left: float
    limit: float | None
    resets_at: datetime | None
    counted: bool = False
    per_minute: float | None = None


def read_allowance(quota: Quota, body: Any, request: str) -> Allowance:
    """The allowance in an answer of the quota path; SourceMalformed if it reports neither left, nor used and limit."""
    left, used, limit = (_credits(path, body) for path in (quota.left, quota.used, quota.limit))
    if left is None and used is not None and limit is not None:
        left = max(0.0, limit - used)
    if left is None:
        raise SourceMalformed(f"{request}: no credits at {quota.left}, nor at {quota.used} and {quota.limit}")
    if limit is None and used is not None:
        limit = left + used
    resets_at, per_minute = read_datetime(get(quota.resets_at, body)), _credits(quota.per_minute, body)
    return Allowance(left, limit, resets_at, per_minute=per_minute)


def _credits(path: str | None, body: Any) -> float | None:
    """A number from 0 on, also as text; None for anything else."""
    value = read_number(get(path, body))
    return value if value is not None and math.isfinite(value) and value >= 0 else None
