"""The bytes that a row takes on InfluxDB's disk, by the server's own gauges of its shards."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from lib.errors import TopcoinsError
from lib.settings import Settings
from lib.store import Resolution
from lib.store.influx import answer, flux
from lib.store.influx.server import Server

SHARD_BYTES = "storage_shard_disk_size"
"""InfluxDB 2.9's gauge of the bytes of each shard, its log included, labelled with its bucket's id."""
ALIVE = ("storage_tsm_files_total", "storage_wal_size")
"""Gauges that fall to 0 when retention drops a shard; the gauge of its bytes does not change then."""
ENOUGH = 1_000_000
"""Fewer rows are mostly in the log, not yet compressed, and no measure of later ones."""
SIMULATED: Mapping[Resolution, float] = {"1m": 13.3, "1h": 17.1}
"""Bytes of a compressed row of a simulated market: a day of minutes, and two weeks of hours, on 2.9.1."""


@dataclass(frozen=True, slots=True)
class RowSize:
    """Bytes per row, and how many of the server's own rows that is measured on; 0 means a simulated market's."""

    bytes: float
    rows: int


async def row_size(
    chosen: Settings, client: httpx.AsyncClient, resolution: Resolution, *, enough: int = ENOUGH
) -> RowSize:
    """The size of a row of a resolution, measured on the server where it has enough rows."""
    bucket = flux.bucket_of(chosen.influx_bucket, resolution)
    try:
        rows = await _rows(chosen, bucket)
        size = await _shard_bytes(chosen, client, bucket) if rows >= enough else 0.0
    except (httpx.HTTPError, TopcoinsError, ValueError, LookupError):
        size = 0.0
    return RowSize(size / rows, rows) if size else RowSize(SIMULATED[resolution], 0)


async def _rows(chosen: Settings, bucket: str) -> int:
    """The rows of all snapshots of a bucket, by their markers."""
    server = Server(chosen.store_url, org=chosen.influx_org, token=chosen.influx_token)
    try:
        return int(sum(await server.query(flux.row_count(bucket), answer.numbers)))
    finally:
        await server.close()


async def _shard_bytes(chosen: Settings, client: httpx.AsyncClient, bucket: str) -> float:
    """The bytes of a bucket's shards."""
    token = chosen.influx_token.get_secret_value() if chosen.influx_token else ""
    parameters = {"org": chosen.influx_org, "name": bucket}
    headers = {"Authorization": f"Token {token}"}
    buckets = await client.get(f"{chosen.store_url}/api/v2/buckets", params=parameters, headers=headers)
    id_ = buckets.json()["buckets"][0]["id"]
    metrics = (await client.get(f"{chosen.store_url}/metrics")).text
    shards: dict[str, dict[str, float]] = {name: {} for name in (SHARD_BYTES, *ALIVE)}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples if family.name in shards else ():
            if sample.labels.get("bucket") == id_:
                shards[family.name][sample.labels["id"]] = sample.value
    alive = {shard for name in ALIVE for shard, value in shards[name].items() if value}
    return sum(value for shard, value in shards[SHARD_BYTES].items() if shard in alive)
