"""The same list of the same data: topcoins, DuckDB on the archive's files, and InfluxDB asked plainly."""

import csv
import time
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import httpx
import orjson
import structlog
from pydantic import SecretStr

from lib.archive.archiver import Archiver
from lib.archive.objects.folder import Folder
from lib.clock import DAY, isoformat, slot, utc_now
from lib.schema import OWN
from lib.store.influx import lines
from lib.store.influx.server import Server
from tests.bench.generated import PERIOD, GeneratedStore
from tests.bench.influx import PLAIN
from tests.bench.sealed import CLOSED
from tests.bench.servers import MINUTE, Connection, median_ms, query_api, report
from tests.fakes import FakeClock
from tests.influxd import Influxd, fresh_influxd, set_up

List = list[tuple[int, float]]
"""Ids with prices, in the order of the list."""
SAMPLES = 30
A_REQUEST = 10
"""Ticks written together."""
_SQL = """SELECT r.cmc_id, p.symbol, p.usd FROM read_parquet('{archive}/volume_rank/date={day}/*.parquet') r
JOIN read_parquet('{archive}/price/date={day}/*.parquet') p USING (tick, cmc_id)
WHERE tick = TIMESTAMPTZ '{at}' ORDER BY r.rank LIMIT 200"""


class Comparison:
    """Reports how long each engine took, and how many of its lists are those of the first engine."""

    def __init__(self) -> None:
        self._lists: list[List] = []

    def report(self, name: str, took: list[float], lists: list[List]) -> float:
        """Print an engine's times; returns the median."""
        self._lists = self._lists or lists
        alike = sum(own == first for own, first in zip(lists, self._lists, strict=True))
        report(f"{name} ({alike} of {len(lists)} lists alike)", took)
        return median_ms(took)

    def measure(self, name: str, ticks: list[datetime], ask: Callable[[datetime], List]) -> float:
        """Ask for each list, after one that does not count."""
        ask(ticks[0] + MINUTE)
        took, lists = [], []
        for tick in ticks:
            began = time.perf_counter()
            lists.append(ask(tick))
            took.append(time.perf_counter() - began)
        return self.report(name, took, lists)


async def the_same_list(folder: Path) -> None:
    """The first 200 of 5,000 assets, as of minutes not requested before, and how often all agree."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    day = slot(utc_now(), DAY) - 2 * DAY
    clock = FakeClock(day + DAY + CLOSED)
    store = GeneratedStore(clock, assets=5000, first=day, minutes=day, end=day + PERIOD - MINUTE)
    place = folder / "archive"
    await Archiver(store, Folder(place), list(OWN.values()), clock=clock, spools=folder / "absent").catch_up()
    # Backwards: what follows a request in time is read ahead.
    ticks = [day + n * (PERIOD / SAMPLES) for n in reversed(range(SAMPLES))]
    compared = Comparison()
    alone = {"TOPCOINS_ARCHIVE_URL": str(place)}
    archive = await _topcoins(compared, "topcoins over HTTP, from the archive", ticks, "none", alone)
    duckdb = _duckdb(compared, place, ticks)
    with fresh_influxd(folder) as url:
        server = set_up(url)
        await _fill(server, store, day)
        own = {"TOPCOINS_INFLUX_TOKEN": server.token, "TOPCOINS_INFLUX_BUCKET": "first", "TOPCOINS_ARCHIVE_URL": "none"}
        influx = await _topcoins(compared, "topcoins over HTTP, on InfluxDB", ticks, url, own)
        plain = _plain(compared, server, ticks)
    for name, one, other in (
        ("topcoins from the archive takes, of DuckDB in process", archive, duckdb),
        ("topcoins from the archive takes, of plain InfluxDB", archive, plain),
        ("topcoins on InfluxDB takes, of plain InfluxDB", influx, plain),
    ):
        print(f"{name}: {one / other:.2g} times its time", flush=True)


async def _topcoins(
    compared: Comparison, name: str, ticks: list[datetime], store: str, settings: dict[str, str]
) -> float:
    async with query_api(store, **settings) as api:
        connection = await Connection.to(api.port)
        await connection.get(f"/?limit=200&datetime={isoformat(ticks[0] + MINUTE)}")
        took, lists = [], []
        for tick in ticks:
            began = time.perf_counter()
            answer = orjson.loads(await connection.get(f"/?limit=200&datetime={isoformat(tick)}"))
            lists.append([(row["cmc_id"], row["price_usd"]) for row in answer["data"]])
            took.append(time.perf_counter() - began)
    return compared.report(name, took, lists)


def _duckdb(compared: Comparison, place: Path, ticks: list[datetime]) -> float:
    if not find_spec("duckdb"):
        print("DuckDB is not measured: run with `uv run --group readers`")
        return float("nan")
    db = import_module("duckdb").connect()

    def ask(tick: datetime) -> List:
        rows = db.execute(_SQL.format(archive=place, day=tick.date(), at=tick)).fetchall()
        return [(cmc_id, usd) for cmc_id, _, usd in rows]

    return compared.measure("DuckDB in process, on the archive's files", ticks, ask)


def _plain(compared: Comparison, server: Influxd, ticks: list[datetime]) -> float:
    with httpx.Client(headers={"Authorization": f"Token {server.token}"}, timeout=60) as client:

        def ask(tick: datetime) -> List:
            start, stop = isoformat(tick - 5 * MINUTE), isoformat(tick + MINUTE / 60)
            flux = PLAIN.format(bucket="first", start=start, stop=stop)
            answer = client.post(f"{server.url}/api/v2/query", params={"org": server.org}, json={"query": flux})
            rows = csv.DictReader(answer.raise_for_status().text.splitlines())
            return [(int(row["cmc_id"]), float(row["usd"])) for row in rows]

        return compared.measure("InfluxDB asked plainly: last() of both series, joined", ticks, ask)


async def _fill(server: Influxd, store: GeneratedStore, day: datetime) -> None:
    server.make_bucket("first_hourly")
    client = Server(server.url, org=server.org, token=SecretStr(server.token), timeout=MINUTE)
    ticks = [day + n * MINUTE for n in range(PERIOD // MINUTE)]
    for some in (ticks[at : at + A_REQUEST] for at in range(0, len(ticks), A_REQUEST)):
        snapshots = [store.snapshot(series, tick) for tick in some for series in OWN]
        await client.write("first", b"\n".join(lines.rows(each) for each in snapshots))
        await client.write("first", b"\n".join(lines.marker(each.marker) for each in snapshots))
    await client.close()
