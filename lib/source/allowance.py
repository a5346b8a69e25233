"""What is left of a key's credits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lib.errors import SourceMalformed
from lib.source.expression import get
from lib.source.model import Quota
from lib.source.page import read_count
from lib.source.reading import UpstreamTime
from lib.source.values import read_datetime


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a key's credits, of how many, until when; and the upstream's clock as it answered."""

    left: float
    limit: float
    resets_at: datetime | None
    upstream_time: UpstreamTime | None


def read_allowance(quota: Quota, body: Any, request: str, time: UpstreamTime | None) -> Allowance:
    """The allowance in an answer of the quota path; SourceMalformed where it has no credits."""
    left, limit = read_count(quota.left, body), read_count(quota.limit, body)
    if left is None or limit is None:
        raise SourceMalformed(f"{request}: no credits at {quota.left} and {quota.limit}")
    return Allowance(left, limit, read_datetime(get(quota.resets_at, body)), time)
