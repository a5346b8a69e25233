"""Checks of the archive."""

from asyncio import to_thread
from datetime import datetime
from pathlib import Path

from lib.archive.archiver import read_progress
from lib.archive.objects import probe
from lib.archive.objects.address import open_objects
from lib.cli.doctor.finding import Finding
from lib.cli.doctor.storage import why_not_writable
from lib.errors import TopcoinsError
from lib.schema import OWN
from lib.settings import Settings
from lib.store import Store

MOST_NAMED = 3


async def check_archive(chosen: Settings, store: Store, now: datetime) -> list[Finding]:
    """Whether the archive takes each file once, and whether every closed day is sealed."""
    objects = open_objects(chosen)
    if objects is None:
        return [Finding("archive", True, "none: minutes end with the store's retention")]
    is_made = "://" in chosen.archive_url or await to_thread(Path(chosen.archive_url).exists)
    if not is_made and (why := await to_thread(why_not_writable, Path(chosen.archive_url))):
        advice = "set TOPCOINS_ARCHIVE_URL to a folder that can be made"
        return [Finding("archive", False, f"{chosen.archive_url}: {why}: {advice}")]
    try:
        if is_made:  # a look makes no folder
            await probe(objects)
        progress = await read_progress(store, objects, list(OWN.values()), now)
    except TopcoinsError as exc:
        return [Finding("archive", False, str(exc))]
    seen = f"{progress.sealed} days sealed in {objects.shown}, which takes each file once"
    if not is_made:
        seen = f"{objects.shown} is made when the first day is sealed"
    if progress.unsealed:
        named = ", ".join(str(day) for day in progress.unsealed[:MOST_NAMED])
        seen += (
            f"; {len(progress.unsealed)} closed days are not sealed, from {named}: `topcoins archive seal` seals them"
        )
    return [Finding("archive", not progress.is_late(now), seen)]
