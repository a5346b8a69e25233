"""What an object store is asked for, beyond the contract of all places."""

import polars as pl
from obstore.store import LocalStore

from lib.archive.objects.cloud import FOOTERS_FOR, Cloud

COLUMNS = {"tick": pl.Int64()}


async def test_a_parts_footer_is_read_once_a_minute(tmp_path):
    opened: list[str] = []
    now = 0.0

    def open_part(path: str, **options: object) -> pl.LazyFrame:
        opened.append(path)
        return pl.scan_parquet(path)

    objects = Cloud(
        LocalStore(tmp_path), shown="local", making=tmp_path, address=str(tmp_path), open_part=open_part,
        timer=lambda: now,
    )  # fmt: skip
    pl.DataFrame({"tick": [1, 2, 3]}).write_parquet(tmp_path / "a")
    pl.DataFrame({"tick": [4]}).write_parquet(tmp_path / "b")

    def read(name: str) -> list[int]:
        return objects.scan([name], COLUMNS).slice(0, 2).collect()["tick"].to_list()

    assert [read(name) for name in "abab"] == [[1, 2], [4], [1, 2], [4]]
    assert opened == [f"{tmp_path}/a", f"{tmp_path}/b"]
    now += FOOTERS_FOR.total_seconds()
    assert read("a") == [1, 2]
    assert opened[2:] == [f"{tmp_path}/a"]
