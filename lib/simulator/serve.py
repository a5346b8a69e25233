"""The simulator as a server."""

import uvicorn
from rich.console import Console
from starlette.applications import Starlette


def serve(app: Starlette, what: str, console: Console, host: str, port: int) -> None:
    """Serve the upstream APIs at this address until interrupted. `what` says what they answer."""
    console.print(f"Serving {what}; to use it, set:")
    for name in ("CMC_URL", "COINDESK_URL", "COINPAPRIKA_URL", "COINGECKO_URL"):
        console.print(f"  TOPCOINS_{name}=http://127.0.0.1:{port}")
    for name in ("CMC_API_KEY", "COINDESK_API_KEY", "COINGECKO_API_KEY"):
        console.print(f"  TOPCOINS_{name}=demo")
    console.print("A key that begins with bad is refused.")
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, lifespan="off")
