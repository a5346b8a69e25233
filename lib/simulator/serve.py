"""The simulator as a server."""

from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from rich.console import Console

from lib.clock import utc_now
from lib.simulator.app import create_app
from lib.simulator.faults import load_faults
from lib.simulator.market import Market
from lib.simulator.replay import Replay
from lib.simulator.usage import Plan


def serve(
    console: Console,
    host: str,
    port: int,
    *,
    assets: int,
    seed: int,
    replay: Path | None,
    match: str,
    faults: Path | None,
    events_at: datetime | None,
    plan: Plan,
) -> None:
    """Serve the upstream APIs at this address until interrupted."""
    events = {"events_at": events_at.replace(tzinfo=events_at.tzinfo or UTC)} if events_at else {}
    upstream = Replay(replay, match) if replay else Market(seed, assets, **events)
    app = create_app(
        upstream,
        utc_now,
        plan=plan,
        faults=load_faults(faults) if faults else (),
    )
    what = "recorded answers" if replay else f"a simulated market of {assets} assets"
    console.print(f"Serving {what}; to use it, set:")
    for name in ("CMC_URL", "COINDESK_URL", "COINPAPRIKA_URL", "COINGECKO_URL"):
        console.print(f"  TOPCOINS_{name}=http://127.0.0.1:{port}")
    for name in ("CMC_API_KEY", "COINDESK_API_KEY", "COINGECKO_API_KEY"):
        console.print(f"  TOPCOINS_{name}=demo")
    console.print("A key that begins with bad is refused.")
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, lifespan="off")
