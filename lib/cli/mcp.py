"""`topcoins mcp`: a running API as tools of an assistant, by the Model Context Protocol on stdin and stdout."""

import os

from lib.cli.app import Url, app
from lib.errors import SettingsRejected

INSTALL = "uv run --extra mcp topcoins mcp"


@app.command()
def mcp(url: Url = None) -> None:
    """Serve a running API to an assistant as tools (MCP).

    The assistant starts this command itself, and speaks the Model Context Protocol with it over stdin and stdout. It
    needs an optional package, the extra `mcp`. For example, in the assistant's configuration:

    "topcoins": {"command": "uv",
    "args": ["run", "--directory", "/path/to/topcoins", "--extra", "mcp", "topcoins", "mcp"]}

    docs/assistants.md has the whole file, and the tools.
    """
    try:
        from lib.cli.assistant import server
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise SettingsRejected(f"topcoins mcp needs an optional package; run it as {INSTALL}") from exc
    from lib.cli.client import address, key_header
    from lib.http_client import open_client

    client = open_client(os.environ, headers=key_header(), timeout_s=30)
    server(client, address(url), address(url, for_browser=True)).run("stdio")
