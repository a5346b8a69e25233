"""A real kill -9 in the middle of sealing, and the next attempt in another process."""

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path

from lib.archive.objects import TEMPORARY
from lib.archive.objects.folder import Folder
from lib.schema import VOLUME_RANK
from tests.fakes import FakeClock
from tests.unit.archive.world import DAY, NEXT_NOON, Interrupting, archived, filled, reading, sealer, stored, ticks_of

SERVER = multiprocessing.get_context("forkserver")
AFTER_THE_FIRST_PART = 1


def seal_and_be_killed(root: Path) -> None:
    """Ends itself when the first part has its name, and its temporary file is still there."""

    def kill(step: int) -> None:
        if step == AFTER_THE_FIRST_PART:
            os.kill(os.getpid(), signal.SIGKILL)

    clock = FakeClock(NEXT_NOON)
    asyncio.run(sealer(filled(clock, DAY, skip=1), Interrupting(Folder(root), kill), clock).seal(DAY))


async def test_after_a_kill_nothing_is_visible_and_the_next_attempt_seals_once_and_sweeps(tmp_path):
    SERVER.set_forkserver_preload([__name__])
    victim = SERVER.Process(target=seal_and_be_killed, args=(tmp_path,))
    victim.start()
    await asyncio.to_thread(victim.join, 60)
    assert victim.exitcode == -signal.SIGKILL
    folder, clock = Folder(tmp_path), FakeClock(NEXT_NOON)
    assert await archived(folder) == []
    assert await folder.names(TEMPORARY) != []
    assert await folder.names("price") != []
    store = filled(clock, DAY, skip=1)
    await store.write(reading(VOLUME_RANK, ticks_of(DAY)[-1]))
    await sealer(store, folder, clock).seal(DAY)
    assert await archived(folder) == await stored(store)
    assert await folder.names(TEMPORARY) == []
