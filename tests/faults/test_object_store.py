"""The archive in a real object store: one that is killed, two archivers, wrong keys, damaged parts."""

import asyncio
import traceback
from datetime import timedelta

import httpx
import pytest
import structlog
from typer.testing import CliRunner

from lib import settings
from lib.archive.archiver import Archiver
from lib.archive.manifest import part_name
from lib.archive.mend import Mender
from lib.archive.objects import Objects
from lib.archive.objects.address import open_objects
from lib.archive.objects.cloud import Cloud
from lib.archive.reader import ArchiveReader
from lib.archive.sealed_store import SealedStore
from lib.archive.tiers import Tiers
from lib.archive.verify import verify
from lib.cli.app import app
from lib.clock import DAY as A_DAY
from lib.clock import HOUR, isoformat, utc_now
from lib.errors import SettingsRejected, StoreRejected, StoreUnavailable
from lib.schema import PRICE
from lib.store.sqlite import SqliteStore
from query_api.app import create_app
from tests.fakes import FakeClock, MemoryStore
from tests.seaweedfs import Prefix, SeaweedFS
from tests.unit.archive.world import (
    BOTH,
    DAY,
    NEXT_NOON,
    Interrupting,
    archived,
    filled,
    manifest_of,
    names_of,
    reading,
    sealer,
    stored,
    ticks_of,
)

pytestmark = pytest.mark.s3

BEFORE = DAY - A_DAY


@pytest.fixture
def clock():
    return FakeClock(NEXT_NOON)


@pytest.fixture
def objects(s3, tmp_path):
    return s3.objects(tmp_path / "making")


async def statuses(tiers: Tiers, clock: FakeClock, tmp_path, *paths: str) -> list[int]:
    """What the API answers over these tiers."""
    asgi = create_app(tiers, clock=clock, max_skew=timedelta(minutes=1), max_age=HOUR, spools=tmp_path / "spool")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://test") as client:
        return [(await client.get(path)).status_code for path in paths]


async def test_a_store_killed_in_the_middle_of_a_seal_shows_nothing_of_the_day_and_refuses_only_sealed_instants(
    seaweedfs: SeaweedFS, objects: Objects, clock: FakeClock, tmp_path
):
    store = filled(clock, BEFORE, DAY, skip=1)
    await sealer(store, objects, clock).seal(BEFORE)
    hot = MemoryStore(clock, retention=timedelta(hours=1))
    hot.snapshots = {(series.name, clock()): reading(series, clock()) for series in BOTH}
    tiers = Tiers(hot, ArchiveReader(objects, clock=clock), clock=clock)
    instants = [f"/v1/top?datetime={isoformat(at)}" for at in (clock(), ticks_of(BEFORE)[14])]
    assert await statuses(tiers, clock, tmp_path, *instants) == [200, 200]

    def kill(step: int) -> None:
        if step == 2:
            seaweedfs.kill()

    with pytest.raises(StoreUnavailable):
        await sealer(store, Interrupting(objects, kill), clock).seal(DAY)
    clock.move(minutes=2)
    try:
        assert await statuses(tiers, clock, tmp_path, *instants, "/readyz") == [200, 503, 200]
    finally:
        seaweedfs.start()
    clock.move(minutes=2)
    assert await statuses(tiers, clock, tmp_path, *instants) == [200, 200]
    assert await objects.names(f"price/date={DAY}") == [part_name("price", DAY, 0)]
    assert await archived(objects) == []
    await store.write(reading(PRICE, ticks_of(DAY)[-1]))  # between the attempts
    await sealer(store, objects, clock).seal(DAY)
    assert await archived(objects) == await stored(store)
    assert await archived(objects, BEFORE) == await stored(store, BEFORE)


async def test_two_archivers_at_once_seal_each_day_once(s3: Prefix, clock: FakeClock, tmp_path):
    store = filled(clock, BEFORE, DAY)
    each = [s3.objects(tmp_path / name) for name in "ab"]
    archivers = [Archiver(store, objects, BOTH, clock=clock, spools=tmp_path) for objects in each]
    await asyncio.gather(*(archiver.catch_up() for archiver in archivers))
    assert len(await each[0].names("_manifest")) == 2
    for day in (BEFORE, DAY):
        assert await archived(each[0], day) == await stored(store, day)
    assert len(await each[0].names("price/_delta_log")) <= 4  # an action twice changes nothing


async def test_a_large_file_is_uploaded_in_parts_and_only_one_of_two(s3: Prefix, tmp_path):
    objects = Cloud(s3.store, shown="s3", making=tmp_path / "making", largest_put=2**20)
    with objects.workspace() as folder:
        made = folder / "made"
        made.write_bytes(bytes(range(256)) * 2**15)
        assert await objects.create("price/a", made)
        assert not await objects.create("price/a", made)
        assert await objects.read("price/a") == made.read_bytes()
    assert await objects.names("price") == ["price/a"]


async def test_a_damaged_and_a_lost_part_are_named_and_mended(objects: Objects, clock: FakeClock):
    store = filled(clock, BEFORE, DAY)
    for day in (BEFORE, DAY):
        await sealer(store, objects, clock).seal(day)
    damaged, lost = part_name("price", BEFORE, 0), part_name("volume_rank", DAY, 0)
    body = await objects.read(damaged)
    await objects.delete(damaged)
    await objects.create(damaged, body[:100] + b"rot" + body[103:])
    await objects.delete(lost)
    days = [day async for day in verify(objects, BOTH)]
    assert [fault.name for day in days for fault in day.faults] == [damaged, lost]
    mender = Mender(store, objects, BOTH, clock=clock)
    assert [failure for day in days for failure in await mender.mend(day)] == []
    assert [fault async for day in verify(objects, BOTH) for fault in day.faults] == []
    assert await archived(objects) == await stored(store)


WRONG = "canary7secret7canary"


@pytest.mark.parametrize("changed", ["archive_secret_key", "archive_access_key"])
async def test_a_wrong_key_is_refused_with_advice_and_is_shown_nowhere(s3: Prefix, clock: FakeClock, tmp_path, changed):
    await sealer(filled(clock, DAY), s3.objects(tmp_path), clock).seal(DAY)
    objects = s3.objects(tmp_path, **{changed: WRONG})
    archive = SealedStore(ArchiveReader(objects, clock=clock))
    attempts = (
        objects.read("price/a"),
        objects.names("price"),
        objects.create("price/a", b""),
        objects.local("price/a", tmp_path),
        archive.markers(ticks_of(DAY)[0], ticks_of(DAY)[1]),
    )
    for attempt in attempts:
        with pytest.raises(StoreRejected, match="look at TOPCOINS_ARCHIVE_ACCESS_KEY") as raised:
            await attempt
        shown = "".join(traceback.format_exception(raised.value))
        assert s3.secret_key not in shown
        assert changed == "archive_access_key" or WRONG not in shown


async def test_polars_shows_no_secret_when_its_read_is_refused(s3: Prefix, clock: FakeClock, tmp_path):
    manifest = await sealer(filled(clock, DAY), s3.objects(tmp_path), clock).seal(DAY)
    refused = s3.objects(tmp_path, archive_secret_key=WRONG)
    with pytest.raises(OSError, match="403") as raised:
        await asyncio.to_thread(lambda: refused.scan(names_of(manifest, "price"), {}).collect())
    assert WRONG not in "".join(traceback.format_exception(raised.value))


async def test_an_absent_bucket_is_refused_with_advice(s3: Prefix, tmp_path):
    with pytest.raises(StoreRejected, match="make the bucket"):
        await s3.objects(tmp_path, archive_url="s3://absent/x").names("price")


@pytest.mark.parametrize(("url", "words"), [("gs://b/p", "JSON"), ("az://b/p", "base64"), ("s3://b/p", "or none")])
def test_keys_that_cannot_be_right_are_one_sentence_without_them(url, words):
    chosen = settings.load({"TOPCOINS_ARCHIVE_URL": url, "TOPCOINS_ARCHIVE_SECRET_KEY": WRONG})
    with pytest.raises(SettingsRejected, match=f"TOPCOINS_ARCHIVE_SECRET_KEY: .*{words}") as raised:
        open_objects(chosen)
    assert WRONG not in "".join(traceback.format_exception(raised.value))


def test_the_commands_seal_and_verify_in_the_object_store(s3: Prefix, tmp_path):
    day = utc_now().date() - 2 * A_DAY
    own = {"TOPCOINS_STORE_URL": f"sqlite:///{tmp_path / 't.db'}", "TOPCOINS_SPOOL_DIR": str(tmp_path / "spool")}

    async def fill() -> None:
        store = SqliteStore(tmp_path / "t.db", clock=utc_now)
        for tick in ticks_of(day)[:2]:
            for series in BOTH:
                await store.write(reading(series, tick))
        await store.close()

    def run(command: str) -> tuple[int, str]:
        with structlog.testing.capture_logs():
            ended = CliRunner().invoke(app, ["archive", command], env=s3.settings | own)
        return ended.exit_code, ended.stdout.partition("\n")[0]

    asyncio.run(fill())
    assert run("seal") == (0, f"{day} sealed")
    assert run("verify") == (0, f"{day}: 4 snapshots, well")
    assert names_of(asyncio.run(manifest_of(s3.objects(tmp_path), day)), "price") == [part_name("price", day, 0)]
