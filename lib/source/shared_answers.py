"""Answers that ingestors share. Whoever needs an answer first asks, under a file lock; the others read what came.

The only file that uses filelock. An ingestor that can't use the folder asks by itself.
"""

import asyncio
import os
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import orjson
import structlog
from filelock import FileLock, Timeout

from lib.clock import DAY, Clock, from_epoch
from lib.errors import TopcoinsError
from lib.source.transport import Answer, SharedRequest

log = structlog.get_logger()

FOLDER = "shared-answers"
"""Beside the series' spools. No series can have this name."""
SAME_SLOT = timedelta(seconds=5)
"""Ingestors that start within this time share their first answer, although their first ticks differ."""
APART = timedelta(seconds=2)
"""The time between the requests of two ingestors that ask one server without a key."""
MOST_WAIT = 5 * APART
"""A time that is further ahead was noted by another clock."""
POLL = timedelta(seconds=0.05)
_HEADERS = ("date", "age", "retry-after")

Sleep = Callable[[float], Awaitable[object]]


async def _at_once() -> None:
    pass


@dataclass(slots=True)
class Turn:
    """The right to make a request, after `before_asking`; `stored` is an answer that makes it needless.

    `received` is set to what came; it becomes the stored answer.
    """

    stored: Answer | None = None
    before_asking: Callable[[], Awaitable[None]] = _at_once
    received: Answer | None = None


class SharedAnswers:
    """The newest answer to each request, in a folder that several ingestors use.

    Without `shares_errors`, an answer that the caller can't use is not stored.
    """

    def __init__(self, folder: Path, *, clock: Clock, sleep: Sleep = asyncio.sleep, shares_errors: bool = True) -> None:
        self._folder = folder
        self._shares_errors = shares_errors
        self._clock = clock
        self._sleep = sleep
        self._own_requests: dict[str, float] = {}
        self._is_usable = True

    @asynccontextmanager
    async def turn(self, request: SharedRequest, tick: datetime, *, patience: timedelta) -> AsyncIterator[Turn]:
        """Wait until no other ingestor asks at this address; after `patience`, ask all the same.

        What the caller received is stored at the end, also when it is an error of the upstream.
        """
        lock = FileLock(self._folder / f"{request.address}.lock", thread_local=False)
        if not await self._acquired(lock, patience):
            yield Turn()
            return
        stored = self._read(request, tick, slack=min(SAME_SLOT, patience / 5))
        turn = Turn(stored, partial(self.before_asking, request))
        try:
            yield turn
        except TopcoinsError:
            turn.received = turn.received if self._shares_errors else None
            raise
        finally:
            if turn.received:
                self._write(request, tick, turn.received)
            with suppress(OSError):
                lock.release()

    async def _acquired(self, lock: FileLock, patience: timedelta) -> bool:
        """Whether we have the lock. The system releases it when its owner dies."""
        waited = timedelta()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            while True:
                with suppress(Timeout):
                    lock.acquire(blocking=False)
                    return True
                if waited >= patience:
                    return False
                await self._sleep(POLL.total_seconds())
                waited += POLL
        except (OSError, NotImplementedError) as exc:
            self._log_use(exc)
            return False

    async def before_asking(self, request: SharedRequest) -> None:
        """Keep requests to a server without a key apart from those of others: a file has the time of the last one."""
        lock = FileLock(self._folder / f"{request.host}.asking", thread_local=False)
        if not request.is_keyless or not await self._acquired(lock, APART):
            return
        wait = 0.0
        with suppress(OSError):
            wait = self._take_time(self._folder / f"{request.host}.asked", request.host)
        lock.release()
        if wait:
            await self._sleep(wait)

    def _take_time(self, file: Path, host: str) -> float:
        """Note the time of our request; how long to wait for it. Our own requests follow each other at once."""
        last, now = file.stat().st_mtime if file.exists() else 0.0, self._clock().timestamp()
        wait = last + APART.total_seconds() - now
        if last == self._own_requests.get(host) or not 0 < wait <= MOST_WAIT.total_seconds():
            wait = 0.0
        file.touch()
        os.utime(file, (now + wait, now + wait))
        self._own_requests[host] = file.stat().st_mtime
        return wait

    def _read(self, request: SharedRequest, tick: datetime, *, slack: timedelta) -> Answer | None:
        """The stored answer of this tick; None for another tick's, a damaged one, and where there is none."""
        try:
            head, _, body = (self._folder / f"{request.key}.answer").read_bytes().partition(b"\n")
            about = orjson.loads(head)
            if abs(from_epoch(about["tick"]) - tick) > slack or zlib.crc32(body) != about["crc32"]:
                return None
            headers, asked_at = httpx.Headers(about["headers"]), from_epoch(about["asked_at"])
            answered_at = asked_at + timedelta(seconds=about["duration_s"])
            return Answer(
                request.path, request.shown, about["status"], headers, bytearray(body), asked_at, answered_at, True
            )
        except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError):
            return None

    def _write(self, request: SharedRequest, tick: datetime, answer: Answer) -> None:
        """Store an answer. A disk that refuses costs the others a request of their own."""
        head = orjson.dumps(
            {
                "tick": tick.timestamp(),
                "asked_at": answer.asked_at.timestamp(),
                "duration_s": (answer.answered_at - answer.asked_at).total_seconds(),
                "status": answer.status,
                "headers": {name: answer.headers[name] for name in _HEADERS if name in answer.headers},
                "crc32": zlib.crc32(answer.body),
            }
        )
        part = self._folder / f"{request.key}.part"
        try:
            part.write_bytes(head + b"\n" + answer.body)
            part.replace(part.with_suffix(".answer"))
            self._remove_old()
            self._log_use(None)
        except OSError as exc:
            self._log_use(exc)
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _remove_old(self) -> None:
        """Remove answers to questions that nobody asks any more, such as those with an old key."""
        written = {file: file.stat().st_mtime for file in self._folder.glob("*.answer")}
        for file, at in written.items():
            if at < max(written.values()) - DAY.total_seconds():
                file.unlink(missing_ok=True)

    def _log_use(self, failure: Exception | None) -> None:
        """Log when the folder becomes unusable and when it can be used again."""
        if failure and self._is_usable:
            log.warning("answers can't be shared: each ingestor asks", folder=str(self._folder), why=str(failure))
        if failure is None and not self._is_usable:
            log.info("answers are shared again", folder=str(self._folder))
        self._is_usable = failure is None


def shared_answers(spools: Path | None, clock: Clock) -> SharedAnswers | None:
    """The answers that the ingestors of these spools share; None without a folder."""
    return SharedAnswers(spools / FOLDER, clock=clock) if spools else None
