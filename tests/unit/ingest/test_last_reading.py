"""What the last list of a series showed, where /v1/status, /metrics and doctor read it."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from lib.cli.doctor.stored import check_readings
from lib.ingest.doubtful import DoubtfulLists
from lib.ingest.last_reading import FILE, read_last_reading, write_last_reading
from lib.schema import PRICE
from lib.source.reading import Reading, UpstreamTime
from tests.fakes import NOON
from tests.sample import sample_snapshot


def written(folder: Path, *, age: float | None = 5, timed: bool = True, asked: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    times = [None if age is None else NOON.timestamp() - age, None]
    rows = pl.DataFrame({"cmc_id": [1, 2], "updated_at": pl.Series(times, dtype=pl.Float64)})
    theirs = UpstreamTime(NOON, NOON) if timed else None
    write_last_reading(folder, Reading("acme", PRICE, rows, 2, {}, 1.0, NOON, timedelta(seconds=1), theirs, asked))
    return folder


def test_a_reading_reads_back_and_a_broken_or_absent_one_is_none(tmp_path):
    last = read_last_reading(written(tmp_path, asked=5))
    assert last is not None
    assert (last.source, last.read_at, last.newest_update) == ("acme", NOON, NOON - timedelta(seconds=5))
    assert (last.has_upstream_time, last.missing) == (True, 3)
    (tmp_path / FILE).write_text("{")
    assert read_last_reading(tmp_path) is None
    assert read_last_reading(tmp_path / "nowhere") is None


def test_a_disk_that_refuses_costs_no_tick(tmp_path):
    (tmp_path / f"{FILE}.part").mkdir()
    written(tmp_path)
    assert read_last_reading(tmp_path) is None


@pytest.mark.parametrize(
    ("reading", "well", "seen"),
    [
        ({}, True, "values up to 5 s old, from acme"),
        ({"age": 101 * 60}, False, "values up to 6060 s old, from acme"),
        ({"age": None, "timed": False}, True, "acme shows no time: our clock is not checked"),
        ({"age": None, "asked": 9}, False, "7 rows asked for did not come from acme"),
    ],
)
def test_doctor_reports_frozen_values_missing_rows_and_a_source_without_a_time(tmp_path, reading, well, seen):
    written(tmp_path / "price", **reading)
    (finding,) = check_readings(NOON, tmp_path)
    assert (finding.what, finding.well, finding.seen) == ("list of price", well, seen)


def test_doctor_reports_lists_in_doubt(tmp_path):
    DoubtfulLists(tmp_path / "price").keep(sample_snapshot(PRICE, NOON, 3), ["no Bitcoin: the list before had it"])
    (finding,) = check_readings(NOON, tmp_path)
    assert (finding.what, finding.well) == ("doubtful lists of price", False)
    assert finding.seen == "1 are kept apart; topcoins doubtful shows them"
