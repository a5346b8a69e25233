"""How many false alarms a simulated month gives, and whether recorded lists get through.

`python -m tests.bench.plausible [--days 30] [--assets 1000] [--volatility 0.1] [--recorded FOLDER]`

A month of minutes: prices and volumes move with this daily volatility, half of it shared by the whole market;
every day one asset in a hundred jumps fivefold, up or down. With --recorded, a folder of recorded CoinMarketCap lists,
each list is tried as a first list, and each pair of one day as a step.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import polars as pl

import ingest_price
import ingest_rank
from lib.errors import SnapshotRefused
from lib.ingest.gate import admit
from lib.ingest.judge import Judge
from lib.ingest.plausible import differences, faults, jumps
from lib.schema import PRICE, VOLUME_RANK
from lib.simulator.replay import _captured_at
from lib.snapshot import Snapshot
from lib.source import Reading, read_source
from lib.source.extract import Extractor
from tests.fakes import NOON

MINUTE = timedelta(minutes=1)
PER_DAY = 1440
VALUES = {PRICE: "usd", VOLUME_RANK: "volume_usd"}


def month(days: float, assets: int, volatility: float) -> Counter[str]:
    """The alarms of a simulated month, by what raised them."""
    dice = np.random.default_rng(2026)
    places = np.arange(1, assets + 1)
    logs = {PRICE: np.log(60_000 / places), VOLUME_RANK: np.log(3e10 / places**1.2)}
    before = {series: _snapshot(series, np.exp(values)) for series, values in logs.items()}
    alarms: Counter[str] = Counter()
    sigma = volatility / np.sqrt(PER_DAY)
    for minute in range(1, int(days * PER_DAY) + 1):
        jumping = dice.random(assets) < 0.01 / PER_DAY
        alarms["ticks"] += 1
        alarms["fivefold jumps"] += int(jumping.sum())
        for series in logs:
            moves = (dice.normal(0, sigma) + dice.normal(0, sigma, assets)) / np.sqrt(2)
            moves[jumping] += np.log(5) * dice.choice([-1, 1])
            logs[series] += moves
            now = _moved(before[series], np.exp(logs[series]), NOON + minute * MINUTE)
            alarms["doubtful lists"] += bool(faults(now, before[series]) or differences(now, before[series]))
            alarms["rejected rows"] += len(jumps(now, before[series], {}, {}))
            before[series] = now
    return alarms


def _snapshot(series: object, values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Snapshot:
    assert series in (PRICE, VOLUME_RANK)
    own = PRICE if series == PRICE else VOLUME_RANK
    raw = pl.DataFrame({"cmc_id": np.arange(1, len(values) + 1), "volume_usd": values, "usd": values})
    raw = raw.with_columns(symbol=pl.lit("A"), name=pl.lit("A"), market_cap_usd=pl.col("usd") * 1e6)
    return admit(Reading("bench", own, raw, len(raw), {}, 0, NOON, MINUTE), NOON, MINUTE)[0]


def _moved(before: Snapshot, values: "np.ndarray[tuple[int], np.dtype[np.float64]]", tick: datetime) -> Snapshot:
    rows = before.rows.with_columns(pl.Series(VALUES[before.series], values))
    return Snapshot(before.series, replace(before.marker, tick=tick), rows)


def recorded(folder: Path) -> Iterator[str]:
    """What becomes of each recorded list, as a first list and as a step after the one before of the same day."""
    sources = [read_source(Path(p.__path__[0]) / "coinmarketcap.toml") for p in (ingest_price, ingest_rank)]
    files = sorted(folder.glob("cmc-listings-latest-*.json"), key=_captured_at)
    for source in sources:
        for name, judged in ((file.name, _judge(source, [file])) for file in files):
            yield f"{source.series:12} first {judged:9} {name}"
        for one, two in pairwise(files):
            if _captured_at(one).date() == _captured_at(two).date() and _captured_at(one) < _captured_at(two):
                yield f"{source.series:12} step  {_judge(source, [one, two]):9} {one.name} -> {two.name}"


def _judge(source: object, files: list[Path]) -> str:
    from lib.source import SourceFile

    assert isinstance(source, SourceFile)
    judge, before = Judge(assets=5000, clock_check=False), None
    for file in files:
        answer = orjson.loads(file.read_bytes())
        records = answer if isinstance(answer, list) else answer["data"]
        rows, lost = Extractor(source).rows(records)
        at = _captured_at(file)
        reading = Reading("cmc", source.values, rows, len(records), lost, 0, at, MINUTE)
        try:
            before, _ = judge.admit(reading, at, before=before, interval=MINUTE)
        except SnapshotRefused as exc:
            return f"{type(exc).__name__}: {exc}"
    return "accepted"


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--days", type=float, default=30)
    options.add_argument("--assets", type=int, default=1000)
    options.add_argument("--volatility", type=float, default=0.1)
    options.add_argument("--recorded", type=Path)
    asked = options.parse_args()
    if asked.recorded:
        sys.stdout.writelines(f"{line}\n" for line in recorded(asked.recorded))
    print(dict(month(asked.days, asked.assets, asked.volatility)))
