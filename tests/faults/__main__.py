"""The longer run: the real services as processes, and random faults one after the other.

`python -m tests.faults --minutes 10 --seed 7` starts the simulator, InfluxDB (or, with `--store sqlite`, the embedded
store), both ingestors and the API, ticking each second; each round something is broken, mended, and all that must be
true is checked: processes, connections, the upstream's lists, and each service's clock.
The seed is printed; the same seed breaks the same things in the same order.
"""

import argparse
import asyncio
import os
import random
import secrets
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.faults.siege import Siege, influx, sqlite
from tests.flow.processes import Stage


def main() -> None:
    """One run; an AssertionError names what was not true."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--store", choices=["influx", "sqlite"], default="influx")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TOPCOINS_")}
    with tempfile.TemporaryDirectory(prefix="topcoins-faults-") as folder, ExitStack() as ends:
        stage = ends.enter_context(Stage(Path(folder), environ | {"PYTHONUNBUFFERED": "1", "POLARS_MAX_THREADS": "1"}))
        store = ends.enter_context((influx if asked.store == "influx" else sqlite)(stage))
        until = time.monotonic() + asked.minutes * 60
        rounds = asyncio.run(Siege(stage, store, random.Random(asked.seed)).run(until))
    print(f"{rounds} rounds, and all was true (seed {asked.seed})")


if __name__ == "__main__":
    main()
