"""`topcoins export`: an export of the API as one file, fetched a day at a time; an interrupted one is continued.

Beside FILE is FILE.part, with the request and the complete pieces. FILE is complete once it exists.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx
import orjson

from lib.archive.panel import END, METADATA, Totals, totals_of
from lib.cli.client import refusal
from lib.clock import isoformat
from lib.errors import SettingsRejected, TopcoinsError
from lib.units import parse_duration

PIECE = timedelta(days=1)
PLAN = "plan.json"
TIMEOUT_S = 60

Progress = Callable[[int, int], None]
"""Called with the number of steps fetched, and of all steps."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some steps of the export."""

    number: int
    start: datetime
    steps: int


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """The parameters of the request, and the instants they meant when the download began.

    All pieces ignore what was stored after `known_at`; plans of 0.2.0 have none.
    """

    parameters: Mapping[str, str]
    start: datetime
    stop: datetime
    steps: int
    known_at: str = ""

    @property
    def every(self) -> timedelta:
        """The distance between steps."""
        return parse_duration(self.parameters["every"])

    def request(self, start: datetime, stop: datetime) -> dict[str, str]:
        """The parameters of a part of it."""
        known = {"known_at": self.known_at} if self.known_at else {}
        return {**self.parameters, "from": isoformat(start), "to": isoformat(stop), **known}

    def pieces(self) -> list[Piece]:
        """A day's steps each."""
        most = max(1, -(-PIECE // self.every))
        counts = [min(most, self.steps - first) for first in range(0, self.steps, most)] or [0]
        return [Piece(number, self.start + number * most * self.every, count) for number, count in enumerate(counts)]


class Download:
    """Fetches an export into a file. `parameters` are those of `/v1/export`."""

    def __init__(self, client: httpx.Client, url: str, parameters: Mapping[str, str], file: Path) -> None:
        self._client = client
        self._url = url
        self._parameters = dict(parameters)
        self._format = self._parameters["format"]
        self._file = file
        self._folder = file.with_name(file.name + ".part")

    def run(self, progress: Progress) -> Totals:
        """Fetch the pieces that are missing, then join them. The totals of the file."""
        if self._format == "parquet":
            import polars as pl  # noqa: F401  # before anything is fetched: it may be missing here
        if self._file.exists():
            raise SettingsRejected(f"{self._file} exists already: name another file, or remove it first")
        plan = self._plan()
        done = 0
        totals = Totals(asked_known_at=datetime.fromisoformat(plan.known_at) if plan.known_at else None)
        for piece in plan.pieces():
            if not self._path(piece).exists():
                self._fetch(plan, piece)
            totals.add(totals_of(self._path(piece), self._format) or Totals())
            done += piece.steps
            progress(done, plan.steps)
        self._join(plan, totals)
        shutil.rmtree(self._folder)
        return totals

    def _plan(self) -> DownloadPlan:
        path = self._folder / PLAN
        if path.exists():
            return self._read_plan(path)
        # Of Parquet, HEAD has a length: the API would make the whole file for it.
        parameters = self._parameters | {"format": "ndjson"}
        head = self._client.head(self._url, params=parameters)
        if not head.is_success:  # only a body has the reason
            raise refusal(self._client.get(self._url, params=parameters))
        start, stop = (datetime.fromisoformat(head.headers[name]) for name in ("x-from", "x-to"))
        known_at = head.headers.get("x-known-at", "")
        plan = DownloadPlan(self._parameters, start, stop, int(head.headers["x-steps"]), known_at)
        self._folder.mkdir(parents=True, exist_ok=True)
        _save(path, orjson.dumps(asdict(plan)))
        return plan

    def _read_plan(self, path: Path) -> DownloadPlan:
        saved = orjson.loads(path.read_bytes())
        parameters = saved.get("parameters", saved.get("asked"))  # "asked" is the name in 0.1.0
        if parameters != self._parameters:
            other = " ".join(f"{name}={value}" for name, value in parameters.items())
            raise SettingsRejected(f"{self._folder} belongs to another export: {other}; finish that, or remove it")
        start, stop = (datetime.fromisoformat(saved[name]) for name in ("start", "stop"))
        return DownloadPlan(parameters, start, stop, saved["steps"], saved.get("known_at", ""))

    def _fetch(self, plan: DownloadPlan, piece: Piece) -> None:
        """Fetch one piece. It gets its name only once it is known to be complete."""
        stop = min(plan.stop, piece.start + piece.steps * plan.every)
        parameters = plan.request(piece.start, stop)
        path = self._path(piece)
        part = path.with_suffix(".incomplete")
        with self._client.stream("GET", self._url, params=parameters) as response:
            if not response.is_success:
                response.read()
                raise refusal(response)
            with part.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
        totals = totals_of(part, self._format) or Totals()
        if totals.steps != piece.steps:
            came = f"{totals.steps} of {piece.steps} steps came from {isoformat(piece.start)} on"
            raise TopcoinsError(f"{self._url}: {came}")
        part.rename(path)

    def _path(self, piece: Piece) -> Path:
        return self._folder / f"{piece.number:05d}.{self._format}"

    def _join(self, plan: DownloadPlan, totals: Totals) -> None:
        pieces = [self._path(piece) for piece in plan.pieces()]
        whole = self._folder / "whole"
        if self._format == "parquet":
            _join_tables(pieces, whole, _about(plan, totals))
        else:
            _join_lines(pieces, whole, totals)
        whole.rename(self._file)


def _about(plan: DownloadPlan, totals: Totals) -> dict[str, object]:
    """The metadata of a whole Parquet file, beside what all of its pieces have."""
    parameters = plan.request(plan.start, plan.stop)
    if totals.gives_again:
        parameters["known_at"] = isoformat(totals.gives_again)
    ends = {name: parameters[name] for name in ("from", "to")}
    return {**ends, "question": f"/v1/export?{urlencode(parameters)}", **totals.fields}


def _join_tables(pieces: list[Path], whole: Path, about: Mapping[str, object]) -> None:
    import polars as pl

    of_piece = orjson.loads(pl.read_parquet_metadata(pieces[0]).get(METADATA, "{}"))
    metadata = {METADATA: orjson.dumps({**of_piece, **about}).decode()}
    pl.scan_parquet(pieces).sink_parquet(whole, metadata=metadata, maintain_order=True)


def _save(path: Path, body: bytes) -> None:
    """Write a file, all of it or nothing, on any system."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _join_lines(pieces: list[Path], whole: Path, totals: Totals) -> None:
    """The pieces without their ends, under one header, and an end with the totals of all."""
    end = b""
    with whole.open("wb") as file:
        for number, piece in enumerate(pieces):
            *lines, end = piece.read_bytes().splitlines(keepends=True)
            skip_header = piece.suffix == ".csv" and number > 0
            file.writelines(lines[skip_header:])
        if end.startswith(END.encode()):
            file.write(end.rpartition(b",")[0] + f",{totals.text}\r\n".encode())
        else:
            file.write(orjson.dumps({"end": True, **totals.fields}) + b"\n")
