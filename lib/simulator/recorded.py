"""Recorded answers of any vendor, served again at the vendor's own path, and each at `/recorded/` with its file's name.

Times move to the present. Lists keep their paging. CoinMarketCap's listings are in `replay`.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson

from lib.errors import SettingsRejected
from lib.simulator.answer import Answer, stamp
from lib.simulator.refusals import CMC

PLACES: Final[Sequence[tuple[str, str]]] = (
    ("cmc-map-", "/v1/cryptocurrency/map"),
    ("cmc-sandbox-map-", "/v1/cryptocurrency/map"),
    ("cmc-quotes-latest-v1-", "/v1/cryptocurrency/quotes/latest"),
    ("cmc-quotes-latest-v2-", "/v2/cryptocurrency/quotes/latest"),
    ("cmc-quotes-historical-v2-", "/v2/cryptocurrency/quotes/historical"),
    ("cmc-sandbox-quotes-historical-v3-", "/v3/cryptocurrency/quotes/historical"),
    ("coindesk-index-cc-v1-historical-days-", "/index/cc/v1/historical/days"),
    ("coingecko-markets-", "/api/v3/coins/markets"),
    ("coingecko-coins-list-", "/api/v3/coins/list"),
    ("coingecko-asset-platforms-", "/api/v3/asset_platforms"),
    ("coinpaprika-tickers-", "/v1/tickers"),
    ("coinpaprika-coins-", "/v1/coins"),
    ("coinpaprika-error-404", "/v1/tickers/{id}"),
    ("cryptocompare-minapi-error-paramrequired-", "/data/top/mktcapfull"),
    ("cryptocompare-minapi-error-ratelimit-", "/data/all/coinlist"),
    ("cryptocompare-minapi-error-unknownpath-", "/data/top/totalvolumefull"),
    ("cryptocompare-minapi-histoday-", "/data/histoday"),
    ("cryptocompare-minapi-top-full-", "/data/top/totaltoptiervolfull"),
    ("cryptocompare-minapi-top-light-", "/data/top/totalvol"),
    ("cryptocompare-minapi-top-mktcapfull-", "/data/top/mktcapfull"),
    ("cryptocompare-minapi-top-totaltoptiervol-", "/data/top/totaltoptiervol"),
)
"""Which path a file of this beginning was recorded from."""

INSTEAD: Final[Sequence[tuple[str, str]]] = (
    ("cmc-key-info-", "/v1/key/info"),
    ("coindesk-admin-v2-rate-limit-", "/admin/v2/rate/limit"),
    ("cmc-error-", "/{version}/cryptocurrency/listings/latest"),
    ("cmc-error-", "/public-api/{version}/cryptocurrency/listings/latest"),
    ("coindesk-asset-v1-top-list-", "/asset/v1/top/list"),
    ("coindesk-data-error-", "/asset/v1/top/list"),
    ("coingecko-error-", "/api/v3/coins/markets"),
)
"""Where further answers are served if no list of CoinMarketCap is: choose them by `--match`.

With such a list CoinDesk's is made of it, and the credits are counted.
"""

_STATUS = re.compile(r"-error-(?:http)?(\d{3})(?!\d)|-http(\d{3})")
_CODE = re.compile(r"cmc-error-(\d{4})")
_SECONDS = re.compile(r"LASTUPDATE|.*_LAST_UPDATE_TS|TIMESTAMP|LASTVOLUMETO_TS")
_TIMES = re.compile(r"last_updated|timestamp|.*_reset_timestamp")
_PAGES = (("start", "limit"), ("page", "per_page"))


class Recordings:
    """The recorded answers of a folder and its subfolders, by the paths at which they are served."""

    def __init__(self, files: Sequence[Path], *, with_lists: bool) -> None:
        self._steps: Counter[str] = Counter()
        self.by_path: dict[str, list[Path]] = {}
        places = PLACES if with_lists else (*PLACES, *INSTEAD)
        for file in sorted(files, key=lambda file: _date(file.name)):
            self.by_path[f"/recorded/{file.name}"] = [file]
            for beginning, path in places:
                if file.name.startswith(beginning):
                    self.by_path.setdefault(path, []).append(file)

    def answer(self, path: str, query: Mapping[str, str], now: datetime) -> Answer:
        """The next answer of a path; the last one repeats. A later page is of the same answer as the first."""
        files = self.by_path[path]
        self._steps[path] += query.get("start", "1") == query.get("page", "1") == "1"
        return _answer(files[min(max(self._steps[path], 1), len(files)) - 1], query, now)


def _answer(file: Path, query: Mapping[str, str], now: datetime) -> Answer:
    """A recorded answer with its times moved to `now`; of a list the requested page."""
    body = _read(file)
    if answered_at := _answered_at(body):
        body = later(body, now - answered_at)
    return Answer(orjson.dumps(_page(body, query)), _status(file.name))


def _status(name: str) -> int:
    if code := _CODE.search(name):
        return CMC[f"cmc-{code[1]}"].status
    if status := _STATUS.search(name):
        return int(status[1] or status[2])
    return 200


def _date(name: str) -> str:
    dates = re.findall(r"-(\d{8}(?:T\d{4}Z)?)\.", name)
    return f"{dates[0] if dates else ''} {name}"


@lru_cache(maxsize=4)
def _read(file: Path) -> Any:
    try:
        if file.suffix == ".csv":
            with file.open(encoding="utf-8", newline="") as lines:
                return [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(lines)]
        return orjson.loads(file.read_bytes())
    except (OSError, ValueError) as exc:
        raise SettingsRejected(f"{file} is no recorded answer ({type(exc).__name__}: {exc})") from exc


def _value(name: str, text: str) -> Any:
    """A value of a CSV as the answer had it."""
    if name in ("rank", "chain_identifier"):
        return int(text) if text.isdigit() else None
    return {"True": True, "False": False}.get(text, text)


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every name and value of the objects in a body."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


def _answered_at(body: Any) -> datetime | None:
    """When the vendor answered: the status' timestamp, else the newest time of a value."""
    if isinstance(body, dict) and isinstance(body.get("status"), dict) and (at := body["status"].get("timestamp")):
        return datetime.fromisoformat(at)
    times = [_time(name, value) for name, value in _walk(body)]
    return max((time for time in times if time), default=None)


def _time(name: str, value: Any) -> datetime | None:
    if isinstance(value, str) and _TIMES.fullmatch(name):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except ValueError:
            return None
    if isinstance(value, int) and value > 10**9 and _SECONDS.fullmatch(name):
        return datetime.fromtimestamp(value, UTC)
    return None


def later(value: Any, by: timedelta, name: str = "") -> Any:
    """A copy of the value of this name, whose times are so much later."""
    if time := _time(name, value):
        return stamp(time + by) if isinstance(value, str) else int((time + by).timestamp())
    if isinstance(value, list):
        return [later(inner, by) for inner in value]
    if isinstance(value, dict):
        return {key: later(inner, by, key) for key, inner in value.items()}
    return value


def _page(body: Any, query: Mapping[str, str]) -> Any:
    """The requested page of a list, or of the list in `data`; CoinGecko's in the requested order."""
    if isinstance(body, dict) and isinstance(body.get("data"), list):
        return {**body, "data": _page(body["data"], query)}
    if not isinstance(body, list):
        return body
    if query.get("order") == "volume_desc":
        body = sorted(body, key=lambda row: row.get("total_volume") or 0, reverse=True)
    for place, size in _PAGES:
        if size in query and query[size].isdigit() and query.get(place, "1").isdigit():
            most, number = int(query[size]), int(query.get(place, 1)) - 1
            first = number if place == "start" else number * most
            return body[first : first + most]
    return body
