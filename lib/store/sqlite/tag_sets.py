"""The text tags of rows, such as a ticker and a name: each combination is stored once, and rows have its number."""

from collections.abc import Iterable, Sequence

from lib.errors import StoreMalformed
from lib.schema import Series
from lib.store.sqlite.database import Database

NUMBER = "tag set"
"""The column of a series' table. No field can have this name, for it has a space."""

Tags = tuple[str | None, ...]
_TICKER = "symbol"
_ANY = ""
"""The key of tickers that are not ASCII: their letters may have no case, or several."""


class TagSets:
    """Reads and writes the tag sets of one file. Those that were read stay in memory: a few for each asset."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, dict[int, Tags]] = {}
        self._by_ticker: dict[tuple[str, str], list[int]] = {}

    def tags(self, series: Series, numbers: Sequence[int]) -> list[Tags]:
        """The tags of each number."""
        known = self._known.setdefault(series.name, {})
        try:
            return [known[number] for number in numbers]
        except KeyError:  # another process has added it, or this is the first read
            self._read_new(series)
        try:
            return [known[number] for number in numbers]
        except KeyError as exc:
            raise StoreMalformed(f"a row of {series.name} has the tag set {exc}, which is not there") from exc

    def with_ticker(self, series: Series, tickers: Iterable[str]) -> list[int]:
        """The numbers of the tag sets with one of these tickers, in any case, and of all that are not ASCII."""
        self._read_new(series)
        keys = {_ANY, *(_key(ticker) for ticker in tickers)}
        return [number for key in keys for number in self._by_ticker.get((series.name, key), ())]

    def numbers(self, series: Series, rows: Iterable[Tags]) -> list[int]:
        """The number of each row's tags, in the caller's transaction, which adds those that are new."""
        # What this adds becomes known only by being read after the commit: the transaction may be rolled back.
        self._read_new(series)
        numbers = {tags: number for number, tags in self._known[series.name].items()}
        return [numbers.get(tags) or numbers.setdefault(tags, self._add(series, tags)) for tags in rows]

    def _add(self, series: Series, tags: Tags) -> int:
        places = ", ".join("?" * len(tags))
        names = ", ".join(f'"{name}"' for name in series.tags)
        added = self._database.execute(f'INSERT INTO "{table(series)}" ({names}) VALUES ({places})', tags).lastrowid
        assert added
        return added

    def make(self, series: Series) -> None:
        """Create the table."""
        names = ", ".join(f'"{name}" TEXT' for name in series.tags)
        self._database.execute(f'CREATE TABLE IF NOT EXISTS "{table(series)}" (number INTEGER PRIMARY KEY, {names})')

    def _read_new(self, series: Series) -> None:
        known = self._known.setdefault(series.name, {})
        names = ", ".join(f'"{name}"' for name in series.tags)
        select = f'SELECT number, {names} FROM "{table(series)}" WHERE number > ?'
        at = series.tags.index(_TICKER) if _TICKER in series.tags else None
        for number, *tags in self._database.execute(select, (max(known, default=0),)):
            known[number] = tuple(tags)
            if at is not None and tags[at] is not None:
                self._by_ticker.setdefault((series.name, _key(tags[at])), []).append(number)


def _key(ticker: str) -> str:
    return ticker.lower() if ticker.isascii() else _ANY


def table(series: Series) -> str:
    """The name of the table of a series' tag sets."""
    return f"{series.name} tag sets"
