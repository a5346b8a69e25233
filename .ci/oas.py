"""Writes docs/oas.yaml, the OpenAPI document of the query API: `uv run python .ci/oas.py`."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml

from lib.clock import utc_now
from lib.store.sqlite import SqliteStore
from query_api.app import create_app

DOCUMENT = Path(__file__).parents[1] / "docs" / "oas.yaml"


async def served() -> Any:
    """What /openapi.json answers. The store is never asked, so its file is never made."""
    store = SqliteStore(Path("none.db"), clock=utc_now)
    app = create_app(
        store, clock=utc_now, max_skew=timedelta(seconds=60), max_age=timedelta(minutes=10), spools=Path("none")
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://topcoins") as client:
        return (await client.get("/openapi.json")).json()


def written(document: Any) -> str:
    """As YAML, in the order of the document, so that a change shows as few lines."""
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


if __name__ == "__main__":
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(written(asyncio.run(served())), "utf-8")
    print(f"wrote {DOCUMENT}")
