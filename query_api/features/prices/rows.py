"""The rows of a request: pairs of a time and an asset, as JSON or CSV."""

import csv
import io
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import orjson

from lib.errors import TopcoinsError
from lib.instants import parse_instant
from lib.price_rows import ASSET, MOST_ROWS, MOST_TIMES, TIME
from lib.schema import LONGEST_TEXT
from query_api.features.prices.work import Asset
from query_api.http.problems import BadRequest

COLUMNS = (TIME, ASSET)
EXAMPLE = '[{"time": "2026-11-17T14:37:00Z", "asset": "BTC"}]'
Sent = str | int | float | None


class BadTime(TopcoinsError):
    """A row's time is missing, is no instant, or lies in the future."""


class BadAsset(TopcoinsError):
    """A row's asset is missing, or can be neither an id nor a ticker."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was sent, and what it asks for; or the error that says why that is unclear."""

    time: Sent
    asset: Sent
    wanted: tuple[datetime, Asset] | TopcoinsError


def read_rows(body: bytes, now: datetime) -> list[Row]:
    """The rows of a body. What is wrong with one row is in that row; BadRequest is for the whole body."""
    body = body.removeprefix(BOM_UTF8)
    sent = _json_rows(body) if body.lstrip()[:1] in (b"[", b"{") else _csv_rows(body)
    rows: list[Row] = []
    for each in sent:
        if len(rows) == MOST_ROWS:
            _refuse(f"has more than {MOST_ROWS} rows, the most a request may have: send them in parts")
        rows.append(_row(each[TIME], each[ASSET], now))
    instants = {row.wanted[0] for row in rows if not isinstance(row.wanted, TopcoinsError)}
    if len(instants) > MOST_TIMES:
        _refuse(f"has {len(instants)} different times; a request may have {MOST_TIMES}: send them in parts")
    return rows


def _row(time: Sent, asset: Sent, now: datetime) -> Row:
    try:
        return Row(time, asset, (_instant(time, now), _asset(asset)))
    except (BadTime, BadAsset) as exc:
        return Row(time, asset, exc)


def _instant(time: Sent, now: datetime) -> datetime:
    if time is None or time == "":
        raise BadTime("the row has no time; write for example 2026-11-17T14:37:00Z")
    try:
        return parse_instant(str(time).strip(), now.replace(microsecond=0))
    except ValueError as exc:
        raise BadTime(str(exc)) from exc


def _asset(asset: Sent) -> Asset:
    """A whole number is an id; a text is a name, as in `/v1/assets/{id}`."""
    if isinstance(asset, int):
        return asset
    if isinstance(asset, str) and 0 < len(asset.strip()) <= LONGEST_TEXT:
        return asset.strip()
    shown = "no asset" if asset is None or asset == "" else f"the asset {str(asset)[:40]}"
    raise BadAsset(f"the row has {shown}; write a CoinMarketCap id or a ticker, for example 1 or BTC")


def _json_rows(body: bytes) -> Iterator[Mapping[str, Sent]]:
    try:
        rows = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        _refuse(f"is no JSON: {exc}")
    if not isinstance(rows, list):
        _refuse("is no list of rows")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != {*COLUMNS}:
            _refuse(f"has something else than an object of {' and '.join(COLUMNS)} as row {number}")
        if any(isinstance(value, bool | list | dict) for value in row.values()) or isinstance(row[ASSET], float):
            _refuse(
                f"has in row {number} a time that is no text or number, or an asset that is no text or whole number"
            )
        yield row


def _csv_rows(body: bytes) -> Iterator[Mapping[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(body.decode(), newline=""), strict=True)
        _check_header(reader.fieldnames or [])
        for row in reader:
            if None in row or None in row.values():
                _refuse(f"has another number of cells than its header in line {reader.line_num}")
            yield row
    except (UnicodeDecodeError, csv.Error) as exc:
        _refuse(f"is neither JSON nor CSV in UTF-8: {exc}")


def _check_header(names: Iterable[Any]) -> None:
    if sorted(names) != sorted(COLUMNS):
        shown = ",".join(names)[:100]
        _refuse(f"is no JSON, and as CSV it must have the header {','.join(COLUMNS)}, not {shown!r}")


def _refuse(why: str) -> NoReturn:
    raise BadRequest("body", "…", why, EXAMPLE)
