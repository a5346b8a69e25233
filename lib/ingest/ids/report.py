"""What came of a provider's last list: a file in `ids/`, for /v1/status, /metrics and `topcoins ids`."""

from pathlib import Path

from pydantic import AwareDatetime, BaseModel

from lib.ids.pins import Change
from lib.ingest.state_file import read_states, save_state
from lib.schema import VOLUME_RANK

FOLDER = "ids"
ENDING = ".report.json"


def stem(series: str, source: str) -> str:
    """What the files of a source begin with. Two services may have a source of one name, for different series."""
    return source if series == VOLUME_RANK.name else f"{series}.{source}"


class RefusedAsset(BaseModel):
    """An asset without an id, and why."""

    own: str
    symbol: str
    name: str
    why: str


class Comparison(BaseModel):
    """How far the list differs from what is stored.

    `price_median` is the median difference of the prices, 0.01 is 1 %. `price_off` is the part of the assets whose
    prices differ by more than 5 %. `unshared` is the part of the first places that the two rank lists do not share.
    """

    price_source: str
    rank_source: str | None
    assets: int
    price_median: float
    price_off: float
    unshared: dict[str, float]


class IdsReport(BaseModel):
    """One list of a provider: how many assets have an id, by which rule; the refused, the changes, the comparison.

    `refused` are assets with candidates; `without` counts those without any, `untested` those whose price can't be
    compared yet. `map_day` is the day of the map.
    """

    source: str
    series: str = VOLUME_RANK.name
    at: AwareDatetime
    map_day: str | None
    listed: int
    matched: int
    rules: dict[str, int]
    untested: int
    without: int
    refused: list[RefusedAsset]
    changed: list[Change]
    comparison: Comparison | None = None


def write_report(folder: Path, report: IdsReport) -> None:
    """Replace the file. A disk that refuses costs no list."""
    file = folder / f"{stem(report.series, report.source)}{ENDING}"
    save_state(file, report, "the report on ids can't be written")


def read_reports(spools: Path) -> list[IdsReport]:
    """The reports of all providers under the spools' folder, without those that can't be read."""
    return read_states(IdsReport, (spools / FOLDER).glob(f"*{ENDING}"))
