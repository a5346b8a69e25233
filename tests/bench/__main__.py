"""Benchmarks: `uv run python -m tests.bench [NAME …]`. Each prints ratios and figures of one run; none is a test.

`ids DIR` measures the real lists of a folder, and runs only when it is named.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.bench import answers, archive, crowd, demo, gaps, ids, influx, month, ticks

BENCHMARKS: dict[str, Callable[[Path], Awaitable[None]]] = {
    "now": answers.now_against_a_bare_app,
    "asof": answers.cold_instants,
    "month": month.cold_lists_of_a_full_store,
    "tick": ticks.one_tick_of_5000,
    "influx": influx.cold_instants,
    "archive": archive.each_question,
    "export": influx.a_month_of_hours,
    "crowd": crowd.beside_a_crowd,
    "csv": crowd.a_day_as_csv,
    "gaps": gaps.of_a_week,
    "demo": demo.a_day_of_history,
}


async def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    if names[0] == "ids":
        return await ids.real_lists(Path(names[1]))
    for name in names:
        with tempfile.TemporaryDirectory(prefix="topcoins-bench-") as folder:
            print(f"-- {name}")
            await BENCHMARKS[name](Path(folder))
    return None


if __name__ == "__main__":
    asyncio.run(main())
