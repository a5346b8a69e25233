"""How long the demo takes: to its first list, and to fill a day of history."""

import asyncio
import signal
import sys
import time
from pathlib import Path

from tests.ports import free_port


async def a_day_of_history(folder: Path) -> None:
    """`topcoins demo`: when it prints what."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "lib.cli", "demo", "--data", str(folder), "--port", str(free_port()), "--safe-port", str(free_port())),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    async for line in process.stderr:
        text = line.decode().strip()
        if "curl" in text and "limit=200'" in text:
            print(f"first list after {time.perf_counter() - began:.1f} s")
        if "snapshots of" in text:
            print(text)
            break
    process.send_signal(signal.SIGINT)
    await process.wait()
