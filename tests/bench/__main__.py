"""Benchmarks: `uv run python -m tests.bench [NAME …]`. Each prints ratios and figures of one run; none is a test.

Only when they are named run `ids DIR`, which measures the real lists of a folder, and `year`, of a quarter of an hour.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.bench import answers, archive, crowd, demo, engines, gaps, ids, influx, month, page, sealed, ticks

BENCHMARKS: dict[str, Callable[[Path], Awaitable[None]]] = {
    "now": answers.now_against_a_bare_app,
    "asof": answers.cold_instants,
    "month": month.cold_lists_of_a_full_store,
    "tick": ticks.one_tick_of_5000,
    "influx": influx.cold_instants,
    "archive": archive.each_question,
    "engines": engines.the_same_list,
    "sealed": sealed.a_day_of_5000,
    "year": sealed.a_year_of_1000,
    "export": influx.a_month_of_hours,
    "crowd": crowd.beside_a_crowd,
    "csv": crowd.a_day_as_csv,
    "gaps": gaps.of_a_week,
    "page": page.of_5000_rows,
    "demo": demo.a_day_of_history,
}

LONG = "year"


def parse_names(arguments: Sequence[str]) -> list[str]:
    """The benchmarks to run, and the folder of `ids`. `--help` and unknown names run none."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"ids DIR, or some of: {', '.join(BENCHMARKS)}")
    names: list[str] = parser.parse_args(arguments).names or [name for name in BENCHMARKS if name != LONG]
    if names[0] == "ids" and len(names) != 2:
        parser.error("ids needs a folder: ids DIR")
    if names[0] != "ids" and (unknown := [name for name in names if name not in BENCHMARKS]):
        parser.error(f"{unknown[0]} is no benchmark; there are {', '.join(BENCHMARKS)}")
    return names


async def main() -> None:
    names = parse_names(sys.argv[1:])
    if names[0] == "ids":
        return await ids.real_lists(Path(names[1]))
    for name in names:
        with tempfile.TemporaryDirectory(prefix="topcoins-bench-") as folder:
            print(f"-- {name}")
            await BENCHMARKS[name](Path(folder))
    return None


if __name__ == "__main__":
    asyncio.run(main())
