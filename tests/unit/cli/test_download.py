"""`topcoins export` against the real API in process: pieces, an interruption, and a file that is whole or not there."""

import asyncio
import io
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import httpx
import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lib.archive.panel import totals_of
from lib.cli.download import Download
from lib.clock import isoformat
from lib.errors import SettingsRejected, TopcoinsError
from tests.fakes import FakeClock
from tests.unit.query_api.market import FIRST, NOW, calling, stocked

URL = "http://topcoins/v1/export"
ASKED = {"from": "2026-11-15T14:00:00Z", "to": "now", "every": "10m", "top": "3"}
STEPS = 292
"""From two days before the first snapshot to 37 minutes after it."""


class Api:
    """The API behind a transport; keeps what it was asked, and cuts the answer of one request short."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.store = stocked(self.clock)
        self.asked: list[str] = []
        self.cut: int | None = None

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.params['from']}")
        answer = asyncio.run(self._passed_on(request))
        body = answer.content
        if len(self.asked) == self.cut:
            body = body[:-30]
        headers = answer.headers.copy()
        headers.pop("content-encoding", None)  # the body is decoded by now
        return httpx.Response(answer.status_code, headers=headers, content=body)

    async def _passed_on(self, request: httpx.Request) -> httpx.Response:
        async with calling(self.store, self.clock) as client:
            return await client.request(request.method, request.url)

    def whole(self, asked: dict[str, str]) -> bytes:
        """The same in one request."""
        return self._answer(httpx.Request("GET", URL, params=asked)).content


@pytest.fixture
def api():
    return Api()


def quiet(done, total):
    pass


@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_the_pieces_make_the_file_that_one_request_gives(api, tmp_path, format):
    asked = ASKED | {"format": format}
    progress = []
    totals = Download(api.client, URL, asked, tmp_path / "top").run(lambda done, total: progress.append((done, total)))
    assert (totals.steps, totals.answered, totals.gaps, totals.rows) == (STEPS, 4, STEPS - 4, 12)
    assert progress == [(144, STEPS), (288, STEPS), (STEPS, STEPS)]
    assert [one.partition(" ")[0] for one in api.asked] == ["HEAD", "GET", "GET", "GET"]
    assert (tmp_path / "top").read_bytes() == api.whole(asked | {"known_at": isoformat(NOW)})
    assert [path.name for path in tmp_path.iterdir()] == ["top"]


def test_the_pieces_of_a_table_make_one_table(api, tmp_path):
    Download(api.client, URL, ASKED | {"format": "parquet"}, tmp_path / "top").run(quiet)
    table = pl.read_parquet(tmp_path / "top")
    steps = table["step"].unique().sort().to_list()
    assert steps == [datetime.fromisoformat(ASKED["from"]) + n * timedelta(minutes=10) for n in range(STEPS)]
    assert table.filter(pl.col("gap").is_null())["step"].min() == FIRST
    totals = totals_of(tmp_path / "top", "parquet")
    assert totals
    assert (totals.steps, totals.answered, totals.gaps, totals.rows) == (STEPS, 4, STEPS - 4, 12)
    about = orjson.loads(pl.read_parquet_metadata(tmp_path / "top")["topcoins"])
    whole = api.whole(dict(parse_qsl(urlsplit(about["question"]).query)))
    assert_frame_equal(pl.read_parquet(whole), table)
    own = orjson.loads(pl.read_parquet_metadata(io.BytesIO(whole))["topcoins"])
    for name in ("question", "snapshots", "known_at", "version"):
        assert about[name] == own[name]


@pytest.mark.parametrize("format", ["csv", "ndjson", "parquet"])
def test_a_truncated_piece_is_discarded_and_the_next_run_continues_from_it(api, tmp_path, format):
    asked = ASKED | {"format": format}
    api.cut = 3
    with pytest.raises(TopcoinsError, match="of 144 steps came from 2026-11-16T14:00:00Z on"):
        Download(api.client, URL, asked, tmp_path / "top").run(quiet)
    assert not (tmp_path / "top").exists()
    api.asked.clear()
    api.clock.move(hours=5)
    assert Download(api.client, URL, asked, tmp_path / "top").run(quiet).steps == STEPS
    assert api.asked == ["GET 2026-11-16T14:00:00Z", "GET 2026-11-17T14:00:00Z"]


def test_another_question_does_not_go_on_from_these_pieces(api, tmp_path):
    api.cut = 2
    with pytest.raises(TopcoinsError):
        Download(api.client, URL, ASKED | {"format": "csv"}, tmp_path / "top").run(quiet)
    with pytest.raises(SettingsRejected, match=r"belongs to another export: from=.* top=3 format=csv"):
        Download(api.client, URL, ASKED | {"format": "csv", "top": "4"}, tmp_path / "top").run(quiet)


def test_a_file_that_is_there_is_left(api, tmp_path):
    (tmp_path / "top").write_bytes(b"dear to somebody")
    with pytest.raises(SettingsRejected, match="exists already"):
        Download(api.client, URL, ASKED | {"format": "csv"}, tmp_path / "top").run(quiet)
    assert not api.asked


def test_a_refusal_of_the_api_names_the_option(api, tmp_path):
    with pytest.raises(TopcoinsError, match="--every often: 'often' is not a duration"):
        Download(api.client, URL, ASKED | {"format": "csv", "every": "often"}, tmp_path / "top").run(quiet)


def test_the_lines_totals_are_the_sums_of_the_pieces(api, tmp_path):
    Download(api.client, URL, ASKED | {"format": "ndjson"}, tmp_path / "top").run(quiet)
    *lines, end = (tmp_path / "top").read_bytes().splitlines()
    counts = {"end": True, "steps": STEPS, "answered": 4, "gaps": STEPS - 4, "rows": 12}
    assert orjson.loads(end).items() >= counts.items()
    assert len(lines) == STEPS - 4 + 12
