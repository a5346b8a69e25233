"""An API without a store of its own: a process on any machine that reaches the object store."""

from datetime import timedelta

import httpx
import pytest

from lib.clock import HOUR, isoformat
from query_api.app import create_app
from tests.fakes import FakeClock
from tests.unit.archive.world import DAY, NEXT_NOON, filled, sealer, ticks_of

pytestmark = [pytest.mark.stack, pytest.mark.s3]

SPAN = {"from": isoformat(ticks_of(DAY)[0]), "to": isoformat(ticks_of(DAY)[-1]), "every": "1h"}
QUESTIONS = {
    "/v1/top": {"datetime": isoformat(ticks_of(DAY)[14])},
    "/v1/assets/7/history": SPAN,
    "/v1/export": {**SPAN, "format": "csv"},
}


async def test_a_process_without_a_store_answers_from_the_object_store_as_the_hot_store_did(stage, s3, tmp_path):
    clock = FakeClock(NEXT_NOON)
    store = filled(clock, DAY)
    asgi = create_app(store, clock=clock, max_skew=timedelta(minutes=1), max_age=HOUR, spools=tmp_path / "spool")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://test") as client:
        hot = [(await client.get(path, params=asked)).content for path, asked in QUESTIONS.items()]
    await sealer(store, s3.objects(tmp_path / "making"), clock).seal(DAY)
    own = {name.removeprefix("TOPCOINS_"): value for name, value in s3.settings.items()}
    api = stage.api(STORE_URL="none", MAX_AGE="1h", **own)
    assert [api.answers(path, **asked).content for path, asked in QUESTIONS.items()] == hot
    assert api.answers("/readyz").json() == {"status": "ready"}
