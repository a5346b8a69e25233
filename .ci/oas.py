"""Writes the API's OpenAPI document, docs/oas.yaml, with the example answers of docs/api.md.

`uv run python .ci/oas.py`
"""

import asyncio
import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml

from lib.clock import utc_now
from lib.store.sqlite import SqliteStore
from query_api.app import create_app

sys.path.append(str(Path(__file__).parents[1]))
from tests.docs.pages import examples

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "oas.yaml"
EXAMPLES = ROOT / "query_api" / "http" / "examples.json"


async def served() -> Any:
    """What /openapi.json answers. The store is never asked, so its file is never made."""
    store = SqliteStore(Path("none.db"), clock=utc_now)
    app = create_app(
        store, clock=utc_now, max_skew=timedelta(seconds=60), max_age=timedelta(minutes=10), spools=Path("none")
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://topcoins") as client:
        return (await client.get("/openapi.json")).json()


def documented() -> dict[str, dict[str, Any]]:
    """The first example of each path and language in docs/api.md that is no error."""
    found: dict[str, dict[str, Any]] = {}
    for block, example in examples(ROOT / "docs" / "api.md"):
        (path,) = re.findall(r"localhost:6667(/[^'?]*)", block.text)
        path = re.sub("^/v1/assets/[^/]+", "/v1/assets/{id}", path)
        if '"about:blank"' not in example.text:
            found.setdefault(path, {}).setdefault(example.language, _value(example.language, example.text))
    return found | {"/": {**found["/v1/top"], **found.get("/", {})}}


def _value(language: str, text: str) -> Any:
    if language == "json":
        return json.loads(text)
    return text.replace("\n", "\r\n") if language == "csv" else text


def as_json(examples: dict[str, dict[str, Any]]) -> str:
    """The examples as the service reads them."""
    return f"{json.dumps(examples, indent=1, ensure_ascii=False)}\n"


def written(document: Any) -> str:
    """As YAML, in the order of the document, so that a change shows as few lines."""
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


if __name__ == "__main__":
    EXAMPLES.write_text(as_json(documented()), "utf-8")
    DOCUMENT.write_text(written(asyncio.run(served())), "utf-8")
    print(f"wrote {DOCUMENT}")
