"""What a row takes on an InfluxDB's disk: by the server's own count of a bucket's shards."""

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
"""Gauges that fall to 0 when a shard is dropped, as its retention has it do; that of its bytes stays as it was."""
ENOUGH = 1_000_000
"""Fewer rows lie in the log for the most part, not packed yet: they tell nothing of later ones."""
SIMULATED: Mapping[Resolution, float] = {"1m": 13.3, "1h": 17.1}
"""Bytes a row of a simulated market took, packed: a day of minutes, and two weeks of hours, on 2.9.1."""


@dataclass(frozen=True, slots=True)
class RowSize:
    """Bytes a row takes, and from how many of the server's own rows that was counted; 0: from a simulated market's."""

    bytes: float
    rows: int


async def row_size(
    chosen: Settings, client: httpx.AsyncClient, resolution: Resolution, *, enough: int = ENOUGH
) -> RowSize:
    """What a row of a resolution takes: by the server's own count, where it tells and there are enough rows."""
    bucket = flux.bucket_of(chosen.influx_bucket, resolution)
    try:
        rows = await _rows(chosen, bucket)
        held = await _held(chosen, client, bucket) if rows >= enough else 0.0
    except (httpx.HTTPError, TopcoinsError, ValueError, LookupError):
        held = 0.0
    return RowSize(held / rows, rows) if held else RowSize(SIMULATED[resolution], 0)


async def _rows(chosen: Settings, bucket: str) -> int:
    """The rows of every snapshot of a bucket, as the markers tell them."""
    server = Server(chosen.store_url, org=chosen.influx_org, token=chosen.influx_token)
    try:
        return int(sum(answer.numbers(await server.query(flux.row_count(bucket)))))
    finally:
        await server.close()


async def _held(chosen: Settings, client: httpx.AsyncClient, bucket: str) -> float:
    """The bytes of a bucket's shards."""
    token = chosen.influx_token.get_secret_value() if chosen.influx_token else ""
    asked = {"org": chosen.influx_org, "name": bucket}
    headers = {"Authorization": f"Token {token}"}
    told = await client.get(f"{chosen.store_url}/api/v2/buckets", params=asked, headers=headers)
    id_ = told.json()["buckets"][0]["id"]
    metrics = (await client.get(f"{chosen.store_url}/metrics")).text
    shards: dict[str, dict[str, float]] = {name: {} for name in (SHARD_BYTES, *ALIVE)}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples if family.name in shards else ():
            if sample.labels.get("bucket") == id_:
                shards[family.name][sample.labels["id"]] = sample.value
    alive = {shard for name in ALIVE for shard, value in shards[name].items() if value}
    return sum(value for shard, value in shards[SHARD_BYTES].items() if shard in alive)
