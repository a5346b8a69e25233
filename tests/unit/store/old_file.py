"""Files of the embedded store as version 0.1.0 wrote them."""

import sqlite3
from contextlib import closing
from pathlib import Path

from lib.schema import ID, PRICE

TYPES = {"symbol": "TEXT", "name": "TEXT", "tier": "INTEGER"}


def make_old(path: Path) -> None:
    """Turn the file into one of version 0.1.0, where each row has its ticker and name."""
    columns = [*PRICE.columns]
    tags = [f'"{name}"' for name in columns]
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("ALTER TABLE price RENAME TO numbered")
        declared = ", ".join(f'"{name}" {TYPES.get(name, "REAL")}' for name in columns[1:])
        file.execute(
            f"CREATE TABLE price (tick INTEGER, {ID} INTEGER, {declared}, PRIMARY KEY (tick, tier, {ID})) WITHOUT ROWID"
        )
        file.execute(
            f"INSERT INTO price (tick, {', '.join(tags)}) SELECT tick, {', '.join(tags)}"
            ' FROM numbered LEFT JOIN "price tag sets" ON number = "tag set"'
        )
        file.execute("DROP TABLE numbered")
        file.execute('DROP TABLE "price tag sets"')
