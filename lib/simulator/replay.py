"""Recorded lists of CoinMarketCap, served again in the order they were captured; `recorded` serves all else."""

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from lib.errors import SettingsRejected
from lib.simulator.answer import stamp
from lib.simulator.feed import Page, Record
from lib.simulator.listings import Ask, BadParameter
from lib.simulator.market import Listing, Oddities
from lib.simulator.noise import Floats
from lib.simulator.recorded import Recordings, later
from lib.simulator.toplist import TopList

FILES: Final = re.compile(r"cmc-(?:sandbox-|v3-)?listings-latest-.*\.(?:json|csv)")
DAYS: Final = "cmc-listings-historical-*.json"
OTHERS: Final = ("cmc-", "coindesk-", "coingecko-", "coinpaprika-", "cryptocompare-", "idmap-")

_CAPTURED = re.compile(r"-(\d{8})(?:T(\d{4})Z)?\.(?:json|csv)$")
_OF_QUOTES: Final = ("volume_24h", "percent_change_24h", "market_cap")


@dataclass(frozen=True, slots=True)
class Capture:
    """One recorded list: its records, and its status where it was recorded."""

    at: datetime
    answered_at: datetime
    records: list[Record]
    status: Mapping[str, Any]
    top: TopList = field(repr=False)


class Replay:
    """Serves the recorded answers of a folder. CoinMarketCap's lists follow each other, the last one repeats.

    Each request for a first page advances to the next list. The CoinDesk list is synthetic: CoinMarketCap's assets and
    USD volumes in CoinDesk's shape. It advances separately, and is empty for a capture without USD quotes. Times are
    moved to the present: an ingestor refuses a list whose time is not that of its clock. `total_count` is the number of
    records in the capture, so that a client does not wait for pages that were not recorded.
    """

    def __init__(self, folder: Path, match: str = "*") -> None:
        files = [path for path in sorted(folder.glob("**/*.*")) if fnmatchcase(path.name, match)]
        lists = [path for path in files if FILES.fullmatch(path.name)]
        others = [path for path in files if path.name.startswith(OTHERS) and path.suffix in (".json", ".csv")]
        if not others:
            raise SettingsRejected(
                f"{folder} has no recorded answers that match {match!r}; a usable name begins with one of "
                f"{', '.join(OTHERS)}, for example cmc-listings-latest-20-20240917T1600Z.json"
            )
        self._captures = sorted((_capture(path) for path in lists), key=lambda capture: capture.at)
        self._days = sorted(folder.glob(DAYS))
        self._steps: Counter[str] = Counter()
        self.recordings = Recordings(others, with_lists=bool(lists))

    @property
    def has_lists(self) -> bool:
        """Whether there is a list of CoinMarketCap, of which CoinDesk's and others' lists are made."""
        return bool(self._captures)

    def listings(self, ask: Ask, at: datetime, *, advance: bool) -> Page:
        """The requested part of the current capture, with its times moved to `at`; sorted only for a sort by volume."""
        capture = self._current("listings " + ask.sort, advance=advance)
        records = capture.records
        if ask.sort == "volume_24h":
            records = sorted(records, key=_volume, reverse=True)
        if not ask.descending:
            records = records[::-1]
        chosen = records[ask.start - 1 : ask.start - 1 + ask.limit]
        status = {**capture.status, "timestamp": stamp(at), "total_count": len(records)}
        return Page(later(chosen, at - capture.answered_at), len(records), status)

    def listings_of(self, day: date, ask: Ask) -> Page:
        """The requested part of the list recorded for that day; BadParameter for any other day."""
        for path in self._days:
            capture = _capture(path)
            if capture.at.date() == day:
                chosen = sorted(capture.records, key=_volume, reverse=True)[ask.start - 1 : ask.start - 1 + ask.limit]
                return Page(chosen, len(capture.records), {**capture.status, "total_count": len(capture.records)})
        raise BadParameter(f'"date" {day} has no recorded list')

    def top_list(self, at: datetime, *, advance: bool) -> TopList:
        """The current capture as a CoinDesk list."""
        return self._current("top list", advance=advance).top

    def listing(self, at: datetime) -> Listing:
        """The current capture, of what has USD quotes."""
        return self._current("listing", advance=False).top.listing

    def _current(self, reader: str, *, advance: bool) -> Capture:
        self._steps[reader] += advance
        return self._captures[min(max(self._steps[reader], 1), len(self._captures)) - 1]


def _capture(path: Path) -> Capture:
    at = _captured_at(path)
    try:
        answer = _csv_records(path) if path.suffix == ".csv" else orjson.loads(path.read_bytes())
        records = answer if isinstance(answer, list) else answer["data"]
        status = {} if isinstance(answer, list) else answer["status"]
        for record in records:
            if isinstance(record["quote"], list):  # v3
                record["quote"] = {quote["symbol"]: quote for quote in record["quote"]}
        newest = max(record["last_updated"] for record in records)
        top = TopList(_listing(at, records), Oddities())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise SettingsRejected(
            f"{path} is no recorded CoinMarketCap list ({type(exc).__name__}: {exc}); remove it or narrow the match"
        ) from exc
    status = {"timestamp": newest, **status}
    return Capture(at, datetime.fromisoformat(str(status["timestamp"])), records, status, top)


def _csv_records(path: Path) -> list[Record]:
    """The records of a list that its author flattened."""
    with path.open(encoding="utf-8", newline="") as lines:
        return [_csv_record(row) for row in csv.DictReader(lines)]


def _csv_record(row: Mapping[str, str]) -> Record:
    quote = {name: float(row[name]) if row[name] else None for name in _OF_QUOTES}
    updated = row["last_updated"]
    return {
        "id": int(row["id"]),
        "name": row["name"],
        "symbol": row["symbol"],
        "slug": row["name"].lower().replace(" ", "-"),
        "cmc_rank": int(row["cmc_rank"]),
        "last_updated": updated,
        "quote": {"USD": {"price": float(row["price_usd"] or "nan"), **quote, "last_updated": updated}},
    }


def _captured_at(path: Path) -> datetime:
    stamp = _CAPTURED.search(path.name)
    try:
        if not stamp:
            raise ValueError("no date")
        return datetime.strptime(stamp[1] + (stamp[2] or "0000"), "%Y%m%d%H%M").replace(tzinfo=UTC)
    except ValueError as exc:
        raise SettingsRejected(
            f"{path} has no capture time in its name; the name must end in -20240917T1600Z.json or -20240917.json"
        ) from exc


def _volume(record: Record) -> float:
    return float(next(iter(record["quote"].values()))["volume_24h"] or 0)


def _listing(at: datetime, records: list[Record]) -> Listing:
    priced = [(record, record["quote"]["USD"]) for record in records if "USD" in record["quote"]]

    def column(name: str) -> Floats:  # null becomes NaN, and NaN is written as null again
        return np.array([quote.get(name) for _, quote in priced], dtype=np.float64)

    updated = [datetime.fromisoformat(quote["last_updated"]).timestamp() for _, quote in priced]
    return Listing(
        at=at,
        ids=np.array([record["id"] for record, _ in priced], dtype=np.int64),
        symbols=[record["symbol"] for record, _ in priced],
        names=[record["name"] for record, _ in priced],
        slugs=[record["slug"] for record, _ in priced],
        tags=[record.get("tags", ()) for record, _ in priced],
        price=column("price"),
        volume_24h=column("volume_24h"),
        venue_volume=column("volume_24h"),
        market_cap=column("market_cap"),
        percent_change_24h=column("percent_change_24h"),
        last_updated=np.array(updated, dtype=np.int64),
    )
