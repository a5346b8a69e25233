"""The faults during the run: faults of the upstream by a script, ingestors killed, the store locked."""

import asyncio
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.flow.processes import Process, Stage
from tests.soak.figures import Memory, Seen

INGESTORS = ("ingest_price", "ingest_rank")
INTERVAL_S = 5
ASSETS = 300
PATHS = {"/v3/cryptocurrency/listings/latest": 1, "/asset/v1/top/list": 3}
"""What is asked, and how often at each tick."""
FAULTS = (
    'kind = "error"\nstatus = 500', 'kind = "error"\nstatus = 429\nretry_after = 7', 'kind = "error"\nstatus = 503',
    'kind = "delay"\nseconds = 3.0', 'kind = "cut"', 'kind = "half"', 'kind = "empty"', 'kind = "garbage"',
    'kind = "wrong_types"', 'kind = "redirect"', 'kind = "frozen"', 'kind = "error"\npreset = "cmc-1008"',
)  # fmt: skip
FAULTY = 25
"""One in so many requests meets a fault."""
KILL_EVERY_S = 50.0
KILLS_END = 0.4
"""After this part of the run no process is killed, so that memory can be measured."""
LOCK_EVERY_S = 180.0
LOCKED_S = 13.0
"""Longer than a writer waits for another's transaction."""
SAMPLE_S = 5.0


def script(seed: int, minutes: float) -> str:
    """The upstream's faults over a run, and some more."""
    chance = random.Random(seed)
    entries = []
    for path, requests in PATHS.items():
        number = 10
        while number < 2 * minutes * 60 / INTERVAL_S * requests:
            number += chance.randint(1, 2 * FAULTY)
            count = chance.choice([1, 1, 1, 2, 5])
            entries.append(f'[[fault]]\npath = "{path}"\nfirst = {number}\ncount = {count}\n{chance.choice(FAULTS)}\n')
    return "\n".join(entries)


class Trouble:
    """Starts the ingestors, kills them, locks the store; notes the memory of all processes."""

    def __init__(self, stage: Stage, settings: dict[str, object], seen: Seen, chance: random.Random) -> None:
        self._stage = stage
        self._settings = settings
        self._seen = seen
        self._chance = chance
        self._watched: dict[str, tuple[Process, float]] = {}

    def start(self, name: str) -> None:
        """Start an ingestor."""
        self.watch(name, self._stage.start("-m", name, **self._settings))

    def watch(self, name: str, process: Process) -> None:
        """A life begins: its memory is noted from now on."""
        self._watched[name] = (process, time.monotonic())
        self._seen.lives[name].append([])

    async def kill(self, begin: float, until: float) -> None:
        """Kill an ingestor now and then, and start it again."""
        last = begin + (until - begin) * KILLS_END
        while await self._pause(KILL_EVERY_S, last):
            name = self._chance.choice(INGESTORS)
            process, _ = self._watched[name]
            process.send(signal.SIGKILL)
            process.ends()
            await asyncio.sleep(self._chance.uniform(1, 9))
            self.start(name)

    async def lock(self, file: Path, until: float) -> None:
        """Hold the embedded store's write lock from time to time, longer than writers wait."""
        while await self._pause(LOCK_EVERY_S, until - 4 * LOCKED_S):
            with closing(sqlite3.connect(file, isolation_level=None, timeout=LOCKED_S)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                await asyncio.sleep(LOCKED_S)
                connection.execute("ROLLBACK")

    async def sample(self, until: float) -> None:
        """Note the memory of each process, and that it runs."""
        while time.monotonic() < until:
            for name, (process, since) in self._watched.items():
                if process.runs:
                    self._seen.lives[name][-1].append(Memory(time.monotonic() - since, process.memory))
                elif name not in INGESTORS:
                    self._seen.fault(name, "ended by itself")
            await asyncio.sleep(SAMPLE_S)

    async def _pause(self, every: float, last: float) -> bool:
        """Wait about so long; False, at once, where that would be too late."""
        seconds = self._chance.uniform(0.5, 1.5) * every
        if time.monotonic() + seconds > last:
            return False
        await asyncio.sleep(seconds)
        return True

    def stop(self) -> None:
        """End the ingestors; each finishes its tick."""
        for name in INGESTORS:
            self._watched[name][0].send(signal.SIGTERM)
        for name in INGESTORS:
            self._watched[name][0].ends(60)
