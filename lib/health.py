"""The health checks of containers: `python -m lib.health tick SERIES` and `python -m lib.health answer URL`.

A check runs every few seconds for ever, so this module imports almost nothing: no polars, and no settings. It reads
the few variables that Compose sets. Exit code 1 comes with a sentence that `docker inspect` shows.
"""

import csv
import http.client
import io
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

TIMEOUT_S = 5
INTERVALS = 3
"""A series is healthy while its newest tick is at most this many intervals old."""
_NEWEST = """\
from(bucket: {bucket}) |> range(start: -3d)
  |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "interval_s" and r.series == {series})
  |> last() |> group() |> sort(columns: ["_time"], desc: true) |> limit(n: 1) |> keep(columns: ["_time", "_value"])
"""


def main(arguments: list[str], environ: Mapping[str, str], now: datetime) -> str | None:
    """Run a check; the sentence that says what is wrong, None when nothing is."""
    match arguments:
        case ["tick", series]:
            return check_tick(series, environ, now)
        case ["answer", url]:
            return check_answer(url)
    return "write: python -m lib.health tick SERIES, or: python -m lib.health answer http://127.0.0.1:6667/readyz"


def check_answer(url: str) -> str | None:
    """Whether this address answers 200."""
    try:
        status, body = _ask("GET", url)
    except (OSError, http.client.HTTPException) as exc:
        return f"{url} does not answer: {exc or type(exc).__name__}"
    return None if status == http.client.OK else f"{url}: HTTP {status}: {body[:300].strip()}"


def check_tick(series: str, environ: Mapping[str, str], now: datetime) -> str | None:
    """Whether the newest tick of a series in InfluxDB is recent, read with the service's own token."""
    url = environ["TOPCOINS_STORE_URL"]
    organisation, bucket = (environ.get(f"TOPCOINS_INFLUX_{name}") for name in ("ORG", "BUCKET"))
    flux = _NEWEST.format(bucket=json.dumps(bucket or "market"), series=json.dumps(series))
    try:
        token = Path(environ["TOPCOINS_INFLUX_TOKEN_FILE"]).read_text("utf-8").strip()
        path = f"{url}/api/v2/query?org={quote(organisation or 'topcoins', safe='')}"
        headers = {"authorization": f"Token {token}", "content-type": "application/vnd.flux", "accept": "text/csv"}
        status, body = _ask("POST", path, flux, headers)
    except (OSError, http.client.HTTPException) as exc:
        return f"InfluxDB at {url} can't be asked: {exc or type(exc).__name__}"
    if status != http.client.OK:
        return f"InfluxDB at {url}: HTTP {status}: {body[:300].strip()}"
    return _judge(series, list(csv.DictReader(io.StringIO(body))), now)


def _judge(series: str, rows: list[dict[str, str]], now: datetime) -> str | None:
    if not rows or not rows[0].get("_time"):
        return f"no tick of {series} is stored: {rows[0] if rows else 'the log of this service says why'}"
    tick, interval_s = datetime.fromisoformat(rows[0]["_time"]), float(rows[0]["_value"])
    age_s = (now - tick).total_seconds()
    if age_s <= INTERVALS * interval_s:
        return None
    return (
        f"the newest tick of {series} is of {rows[0]['_time']}, {age_s:.0f} s ago; one is expected every"
        f" {interval_s:.0f} s; the log of this service says why"
    )


def _ask(method: str, url: str, body: str | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    server = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        server.request(method, path, body, dict(headers or {}))
        answer = server.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, datetime.now(UTC)))
