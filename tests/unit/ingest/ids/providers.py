"""A provider without CoinMarketCap's ids, as docs/sources.md shows it, and the services that ask it."""

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from ingest_rank.source import checked, plan
from lib.ingest.delivery import WriteThrough
from lib.ingest.gate import admit
from lib.ingest.service import checks, ingests
from lib.ingest.sources import ServiceSources
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.settings import load
from lib.source import Reading
from tests.fakes import NOON, FakeClock, MemoryStore, Upstream

MINUTE = timedelta(minutes=1)
DOCS = Path(__file__).parents[4] / "docs" / "sources.md"
MAP = "/public-api/v1/cryptocurrency/map"
LIST = "/public/v2/coins"


def documented() -> str:
    """The provider's file in docs/sources.md."""
    block = re.search(r"```toml acme\.toml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert block
    return block[1]


def map_record(id_: int, symbol: str, name: str, slug: str = "", token: str = "") -> dict[str, Any]:
    platform = {"id": 1027, "name": "Ethereum", "slug": "ethereum", "token_address": token} if token else None
    return {"id": id_, "symbol": symbol, "name": name, "slug": slug or name.lower(), "platform": platform}


def coin(slug: str, ticker: str, title: str, usd: float | None, volume: float | None) -> dict[str, Any]:
    """A record of the provider. Its numbers are text."""
    return {
        "slug": slug,
        "ticker": ticker,
        "title": title,
        "last_usd": None if usd is None else f"{usd}",
        "turnover_usd": None if volume is None else f"{volume:.2f}",
    }


class Providers(Upstream):
    """The provider's list and CoinMarketCap's map; a path without an answer is a 503."""

    def __init__(self, coins: Sequence[Any], records: Sequence[Any]) -> None:
        super().__init__(self._of_path)
        self.bodies: dict[str, Any] = {LIST: {"coins": coins}, MAP: {"status": {"error_code": 0}, "data": records}}

    def _of_path(self, request: httpx.Request) -> httpx.Response:
        body = self.bodies.get(request.url.path)
        if request.url.path.endswith("/map") and request.url.params.get("start") != "1":
            body = {"status": {"error_code": 0}, "data": []}
        return httpx.Response(503) if body is None else httpx.Response(200, json=body)

    def calls(self, path: str) -> int:
        """How often a path was asked for its first page."""
        return sum(request.url.path == path and request.url.params.get("start", "1") == "1" for request in self.asked)


class World:
    """An ingest_rank over a provider and a store in memory, with CoinMarketCap's prices of the present minute."""

    def __init__(
        self, upstream: Providers, folder: Path, *, text: str = "", start: bool = True, **environ: str
    ) -> None:
        self.upstream = upstream
        self.folder = folder
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        file = folder / "acme.toml"
        file.write_text(text or documented(), "utf-8")
        environ = {"RANK_SOURCE": str(file), "CLOCK_CHECK": "off", **environ}
        self.chosen = load({f"TOPCOINS_{name}": value for name, value in environ.items()}, "ingest_rank")
        if start:
            self.start()

    def start(self) -> None:
        """Start the service, again too: it remembers only what is on disk."""
        client = self.upstream.client
        sources = ServiceSources(self.chosen, client=client, store=self.store, clock=self.clock, folder=self.folder)
        (self.folder / "volume_rank").mkdir(exist_ok=True)
        (self.ingest,) = ingests(plan, sources, lambda series: WriteThrough(self.store))
        self.checks = checks(checked(self.chosen), sources)

    async def quote(self, *prices: tuple[int, float], stablecoins: Sequence[int] = ()) -> None:
        """Store prices of CoinMarketCap for the present minute."""
        rows = [
            (id_, f"S{id_}", f"N{id_}", usd, None, None, float(id_ in stablecoins), 0.0, 1e6 / place)
            for place, (id_, usd) in enumerate(prices, 1)
        ]
        await self._write(PRICE, rows, symbol=pl.String, name=pl.String)

    async def rank(self, *volumes: tuple[int, float]) -> None:
        """Store a rank list of CoinMarketCap for the present minute."""
        await self._write(VOLUME_RANK, list(volumes))

    async def _write(self, series: Series, rows: Sequence[Any], **tags: Any) -> None:
        fields = PRICE.fields if series == PRICE else ()
        columns = {"cmc_id": pl.Int64, **tags, **dict.fromkeys([*fields, "volume_usd"], pl.Float64)}
        frame = pl.DataFrame(rows, schema=columns, orient="row")
        tick = self.clock()
        reading = Reading("coinmarketcap", series, frame, len(rows), {}, 0.0, tick, timedelta(seconds=1))
        await self.store.write(admit(reading, tick, MINUTE)[0])

    async def ids(self) -> dict[int, float] | None:
        """Run the tick of the present minute: the stored volumes by id; None without a snapshot."""
        snapshot = await self.ingest.tick(self.clock())
        return dict(snapshot.rows.select("cmc_id", "volume_usd").iter_rows()) if snapshot else None

    async def later(self, *prices: tuple[int, float], **span: float) -> dict[int, float] | None:
        """The same some time later, with these prices of CoinMarketCap."""
        self.clock.move(**span)
        await self.quote(*prices)
        return await self.ids()


__all__ = ["NOON"]
