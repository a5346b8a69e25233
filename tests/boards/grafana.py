"""What Grafana does to a question before it asks it, and to the answer before it draws it."""

import csv
import io
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx

from tests.influxd import VERIFIES, Bucket

CHOSEN = {"asset": "1", "compare": "1027|5426", "top": "20", "allowance": "15000"}
"""What the variables of the boards stand at; `compare` as `:pipe` writes it."""
LEAST = timedelta(minutes=1)
STEPS = (
    (1.5, 1), (3.5, 2), (7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60), (150, 120), (270, 180),
    (540, 360), (1440, 720), (10080, 1440), (30240, 10080),
)  # fmt: skip
"""Below so many minutes Grafana's window is so many."""
PLACEHOLDER = re.compile(r"\$\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True, slots=True)
class Span:
    """A time range, and how many points fit on a panel."""

    start: datetime
    stop: datetime
    points: int = 1000

    @property
    def window(self) -> timedelta:
        """The window Grafana picks: the range over the points, at least a minute, rounded to a readable step."""
        exact = max((self.stop - self.start) / self.points, LEAST) / LEAST
        return next(minutes for below, minutes in STEPS if exact < below) * LEAST


@dataclass(frozen=True, slots=True)
class Table:
    """One table of an answer: Grafana makes a series of it, or one frame."""

    columns: dict[str, str]
    rows: list[dict[str, str]]

    @property
    def numbers(self) -> list[str]:
        """The columns with numbers."""
        return [name for name, kind in self.columns.items() if kind in ("double", "long")]


def interpolated(flux: str, span: Span, bucket: str) -> str:
    """The question with the variables and macros filled in, as Grafana's InfluxDB source does it."""
    flux = PLACEHOLDER.sub(lambda found: CHOSEN[found[1]], flux)
    macros = {
        "v.timeRangeStart": span.start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "v.timeRangeStop": span.stop.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "v.windowPeriod": f"{span.window // LEAST}m0s",
        "v.defaultBucket": f'"{bucket}"',
    }
    for name, value in macros.items():
        flux = flux.replace(name, value)
    return flux


def ask(bucket: Bucket, flux: str, span: Span) -> list[Table]:
    """The tables of the answer; the server's refusal is the assertion's message."""
    server = bucket.server
    body = {
        "query": interpolated(flux, span, bucket.name),
        "dialect": {"annotations": ["datatype"], "header": True},
    }
    headers = {"authorization": f"Token {server.token}"}
    where = {"org": server.org}
    url = f"{server.url}/api/v2/query"
    answer = httpx.post(url, params=where, json=body, headers=headers, timeout=60, verify=VERIFIES)
    assert answer.status_code == httpx.codes.OK, answer.text
    return _tables(answer.text)


def _tables(text: str) -> list[Table]:
    found: list[Table] = []
    for part in filter(None, text.strip().split("\r\n\r\n")):
        kinds, names, *lines = csv.reader(io.StringIO(part))
        assert "error" not in names, lines
        by_number: dict[str, list[dict[str, str]]] = {}
        for line in lines:
            row = dict(zip(names, line, strict=True))
            by_number.setdefault(row["table"], []).append(row)
        columns = {name: kind for name, kind in zip(names, kinds, strict=True) if name not in ("", "result", "table")}
        found += [Table(columns, rows) for rows in by_number.values()]
    return found
