"""`topcoins export`: an export of the API as one file, fetched a day at a time, so that an interrupted one goes on.

Beside FILE lies FILE.part: what was asked, and the pieces that have come whole. FILE appears whole or not at all.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import orjson
import polars as pl

from lib.archive.panel import END, _totals, steps_of
from lib.clock import isoformat
from lib.errors import SettingsRejected, TopcoinsError
from lib.snapshot_file import write_whole
from lib.units import parse_duration

PIECE = timedelta(days=1)
PLAN = "plan.json"
TIMEOUT_S = 60

Told = Callable[[int, int], None]
"""Is told how many steps are there, of how many."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for, and the instants that meant when it was first asked."""

    asked: Mapping[str, str]
    start: datetime
    stop: datetime
    steps: int

    @property
    def every(self) -> timedelta:
        """The distance between steps."""
        return parse_duration(self.asked["every"])

    def pieces(self) -> list["Piece"]:
        """A day's steps each."""
        most = max(1, -(-PIECE // self.every))
        counts = [min(most, self.steps - begun) for begun in range(0, self.steps, most)] or [0]
        return [Piece(number, self.start + number * most * self.every, count) for number, count in enumerate(counts)]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some steps of the whole."""

    number: int
    start: datetime
    steps: int


class Download:
    """Fetches an export into a file. `asked` are the parameters of `/v1/export`."""

    def __init__(self, client: httpx.Client, url: str, asked: Mapping[str, str], file: Path) -> None:
        self._client = client
        self._url = url
        self._asked = dict(asked)
        self._file = file
        self._folder = file.with_name(file.name + ".part")

    def run(self, tell: Told) -> int:
        """Fetch what is not there yet, and put the file together. The number of its steps."""
        if self._file.exists():
            raise SettingsRejected(f"{self._file} is there already: name another file, or take it away first")
        plan = self._planned()
        done = 0
        for piece in plan.pieces():
            if not self._path(piece).exists():
                self._fetch(plan, piece)
            done += piece.steps
            tell(done, plan.steps)
        self._join([self._path(piece) for piece in plan.pieces()])
        shutil.rmtree(self._folder)
        return plan.steps

    def _planned(self) -> Plan:
        path = self._folder / PLAN
        if path.exists():
            told = orjson.loads(path.read_bytes())
            start, stop = (datetime.fromisoformat(told[name]) for name in ("start", "stop"))
            plan = Plan(told["asked"], start, stop, told["steps"])
            if plan.asked != self._asked:
                asked = " ".join(f"{name}={value}" for name, value in plan.asked.items())
                raise SettingsRejected(f"{self._folder} is of another export: {asked}; finish that, or take it away")
            return plan
        answer = self._client.head(self._url, params=self._asked)
        if not answer.is_success:  # only a body tells what is wrong
            self._refused(self._client.get(self._url, params=self._asked))
        start, stop = (datetime.fromisoformat(answer.headers[name]) for name in ("x-from", "x-to"))
        plan = Plan(self._asked, start, stop, int(answer.headers["x-steps"]))
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, orjson.dumps(asdict(plan)))
        return plan

    def _fetch(self, plan: Plan, piece: Piece) -> None:
        """One piece, kept only once it is known to be whole."""
        stop = min(plan.stop, piece.start + piece.steps * plan.every)
        asked = self._asked | {"from": isoformat(piece.start), "to": isoformat(stop)}
        path = self._path(piece)
        part = path.with_suffix(".incomplete")
        with self._client.stream("GET", self._url, params=asked) as answer:
            if not answer.is_success:
                answer.read()
                self._refused(answer)
            with part.open("wb") as file:
                for chunk in answer.iter_bytes():
                    file.write(chunk)
        held = steps_of(part, self._asked["format"])
        if held != piece.steps:
            raise TopcoinsError(f"{self._url}: {held} of {piece.steps} steps came from {isoformat(piece.start)} on")
        part.rename(path)

    def _path(self, piece: Piece) -> Path:
        return self._folder / f"{piece.number:05d}.{self._asked['format']}"

    def _join(self, pieces: list[Path]) -> None:
        whole = self._folder / "whole"
        _JOINS[self._asked["format"]](pieces, whole)
        whole.rename(self._file)

    def _refused(self, answer: httpx.Response) -> None:
        problem = answer.json()
        raise TopcoinsError(f"{problem['title']}: {problem['detail']}")


def _join_lines(pieces: list[Path], whole: Path) -> None:
    """The pieces without their ends, under one header, and an end of the sums."""
    sums: dict[str, int] = {}
    ends = b""
    with whole.open("wb") as file:
        for number, piece in enumerate(pieces):
            *lines, ends = piece.read_bytes().splitlines(keepends=True)
            headed = piece.suffix == ".csv"
            file.writelines(lines[1 if headed and number else 0 :])
            for name, count in _totals(ends.rstrip()).items():
                sums[name] = sums.get(name, 0) + count
        if ends.startswith(END):
            told = " ".join(f"{name}={count}" for name, count in sums.items())
            file.write(ends.rpartition(b",")[0] + f",{told}\r\n".encode())
        else:
            file.write(orjson.dumps({"end": True, **sums}) + b"\n")


def _join_tables(pieces: list[Path], whole: Path) -> None:
    pl.scan_parquet(pieces).sink_parquet(whole, maintain_order=True)


_JOINS = {"csv": _join_lines, "ndjson": _join_lines, "parquet": _join_tables}
