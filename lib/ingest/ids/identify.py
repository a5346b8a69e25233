"""Gives the rows of a provider's list their CoinMarketCap ids, and compares the list with what is stored."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl
import structlog

from lib.clock import Clock
from lib.errors import TopcoinsError
from lib.ids.asset import ProviderAsset
from lib.ids.coin_map import CoinMap
from lib.ids.pins import NOT_TESTED, Listed, Pin, Pins
from lib.ids.price_test import Quote, Quotes, mixed_up
from lib.ids.rules import Decision, Decisions, Rules, decide_all
from lib.ingest.ids.compare import compared, disagrees, write_prices
from lib.ingest.ids.daily import DailyCopy, ProviderAssets
from lib.ingest.ids.report import IdsReport, RefusedAsset, stem, write_report
from lib.ingest.state_file import read_state, save_state
from lib.schema import ID, PRICE, VOLUME_RANK, Series
from lib.snapshot import Snapshot
from lib.source import Reading, SourceFile
from lib.source.id_tables import OWN, OWN_NAME, OWN_SYMBOL, OWN_USD
from lib.source.reading import Identify
from lib.store import Store

log = structlog.get_logger()

OLDEST_STORED = timedelta(minutes=15)
"""An older snapshot is not compared with."""
NO_OWN_ID = "its own id is missing"
MIXED_UP = "another coin has its symbol and price: the provider mixed them up"


class _Basis(NamedTuple):
    """What ids are found with: CoinMarketCap's map, the provider's contracts, and the newest stored snapshots."""

    coin_map: CoinMap | None
    contracts: ProviderAssets | None
    price: Snapshot | None
    rank: Snapshot | None


class Identifier:
    """Finds the ids of one provider's assets: see `lib/ids`. `tables` come before the rules.

    Its matches, and what came of the last list, are files in `folder`, if there is one.
    """

    def __init__(
        self,
        file: SourceFile,
        *,
        coin_map: DailyCopy[CoinMap],
        contracts: DailyCopy[ProviderAssets] | None = None,
        tables: Decisions,
        store: Store,
        clock: Clock,
        folder: Path | None = None,
    ) -> None:
        assert file.id, f"{file.name} finds no ids"
        self._name = file.name
        self._series = file.series
        self._slug_form = file.id.slug_form
        self._map = coin_map
        self._contracts = contracts
        self._tables = tables
        self._store = store
        self._clock = clock
        self._folder = folder
        self._pins_file = folder / f"{stem(file.series, file.name)}.pins.json" if folder else None
        self._pins = Pins(
            read_state(dict[str, Pin], self._pins_file, "the pinned ids can't be read: matches are made anew")
        )
        self._decided: tuple[object, Decisions] | None = None
        self._disagrees = False
        self._changed: set[str] = set()
        self._lock = asyncio.Lock()

    async def prepare(self) -> Identify:
        """Get the map, the contracts and the stored prices, and return what finds the ids of a list with them.

        It gives a reading at most `assets` rows, those that have an id; the others before the last one are rejects.
        """
        contracts = await self._contracts.current() if self._contracts else None
        basis = _Basis(await self._map.current(), contracts, await self._stored(PRICE), await self._stored(VOLUME_RANK))

        async def identify(reading: Reading, assets: int) -> Reading:
            async with self._lock:
                return await asyncio.to_thread(self._identified, reading, assets, basis)

        return identify

    async def _stored(self, series: Series) -> Snapshot | None:
        """The newest snapshot of another source; None if there is none, or it is too old, or can't be read."""
        now = self._clock()
        try:
            marker = await self._store.nearest(series.name, now)
            if marker is None or marker.source == self._name or now - marker.tick > OLDEST_STORED:
                return None
            return Snapshot(series, marker, await self._store.rows(series, marker.tick))
        except TopcoinsError as exc:
            log.warning("nothing to compare a provider with", series=series.name, why=str(exc))
            return None

    def _identified(self, reading: Reading, assets: int, basis: _Basis) -> Reading:
        listed = _listed(reading.rows)
        decisions = self._decisions(listed, basis)
        used = self._used(listed, decisions, basis)
        ids = pl.Series(ID, [_id(used.get(own)) for own in reading.rows[OWN]], pl.Int64)
        ids_before = ids.is_not_null().cum_sum().shift(1, fill_value=0)
        rows = reading.rows.with_columns(ids).filter(ids_before < assets)
        identified = rows.drop_nulls(ID)
        report = self._report(reading, listed, used, decisions, basis)
        report.comparison = compared(identified, basis.price, basis.rank)
        self._warn(report)
        if self._folder:
            write_report(self._folder, report)
            write_prices(self._folder, reading, identified)
        rejected = Counter(reading.rejected)
        rejected.update(_reason(used.get(own)) for own in rows.filter(pl.col(ID).is_null())[OWN])
        return replace(
            reading,
            rows=identified.drop(OWN, OWN_SYMBOL, OWN_NAME, OWN_USD),
            records=len(identified) + rejected.total(),
            rejected=rejected,
        )

    def _decisions(self, listed: Mapping[str, Listed], basis: _Basis) -> Decisions:
        """What tables and rules decide. They are applied again only if something they depend on changed."""
        coin_map, contracts = basis.coin_map, basis.contracts
        by_own = {asset.own: asset for asset in contracts.assets} if contracts else {}
        assets = [
            ProviderAsset(own, each.symbol, each.name, by_own[own].contracts if own in by_own else ())
            for own, each in listed.items()
        ]
        depends_on = (coin_map and coin_map.day, contracts and contracts.day, assets)
        if self._decided is None or self._decided[0] != depends_on:
            everything = [*assets, *(asset for own, asset in by_own.items() if own not in listed)]
            rules = Rules(coin_map.assets if coin_map else (), everything, slug_form=self._slug_form)
            self._decided = (depends_on, decide_all(rules, everything, self._tables))
        return self._decided[1]

    def _used(self, listed: Mapping[str, Listed], decisions: Decisions, basis: _Basis) -> Decisions:
        """The decisions that pass the price test. The pins are written."""
        now, coin_map = self._clock(), basis.coin_map
        may_pin = coin_map is not None and coin_map.is_fresh(now.astimezone(UTC).date())
        quotes = _quotes(basis.price)
        confused = mixed_up(
            (own, each.symbol, each.usd, quotes.get(_id(decisions.get(own)) or 0)) for own, each in listed.items()
        )
        sound = {own: each for own, each in listed.items() if own not in confused}
        used = self._pins.use(decisions, sound, quotes, now=now, may_pin=may_pin)
        save_state(self._pins_file, self._pins.all, "the pinned ids can't be written")
        return used | {own: Decision(own, why=MIXED_UP) for own in confused}

    def _report(
        self, reading: Reading, listed: Mapping[str, Listed], used: Decisions, decisions: Decisions, basis: _Basis
    ) -> IdsReport:
        matched = [each for each in used.values() if each.cmc_id]
        return IdsReport(
            source=self._name,
            series=self._series,
            at=reading.observed_at,
            map_day=basis.coin_map.day.isoformat() if basis.coin_map else None,
            listed=len(listed),
            matched=len(matched),
            rules=Counter(str(each.rule) for each in matched),
            untested=sum(each.why == NOT_TESTED for each in used.values()),
            without=sum(each.cmc_id is None and not each.is_refused for each in used.values()),
            refused=[
                RefusedAsset(own=own, symbol=listed[own].symbol, name=listed[own].name, why=each.why)
                for own, each in used.items()
                if each.is_refused and each.why != NOT_TESTED
            ],
            changed=self._pins.changes(decisions),
        )

    def _warn(self, report: IdsReport) -> None:
        """Log new changes, and when the provider begins and ends to disagree."""
        changed = {each.own for each in report.changed}
        if new := sorted(changed - self._changed):
            log.warning("pinned ids would now be others; they stay", source=self._name, own=new[:20], count=len(new))
        self._changed = changed
        if report.comparison is None:
            return
        before, self._disagrees = self._disagrees, disagrees(report.comparison)
        if before != self._disagrees:
            what = "a provider disagrees with what is stored" if self._disagrees else "a provider agrees again"
            log.warning(what, source=self._name, **report.comparison.model_dump())


def _listed(rows: pl.DataFrame) -> dict[str, Listed]:
    columns = rows.select(OWN, OWN_SYMBOL, OWN_NAME, OWN_USD).iter_rows()
    return {own: Listed(symbol or "", name or "", usd) for own, symbol, name, usd in columns if own}


def _quotes(price: Snapshot | None) -> Quotes:
    if price is None:
        return {}
    rows = price.rows.select(ID, "usd", "stablecoin", "wrapped").iter_rows()
    return {id_: Quote(usd, is_copy=bool(stablecoin or wrapped)) for id_, usd, stablecoin, wrapped in rows}


def _id(decision: Decision | None) -> int | None:
    return decision.cmc_id if decision else None


def _reason(decision: Decision | None) -> str:
    return f"no id: {decision.why.partition(':')[0]}" if decision else NO_OWN_ID
