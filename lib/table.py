"""A top list as people read it in a terminal."""

import orjson
from rich.table import Table
from rich.text import Text


def top_table(body: bytes) -> Table:
    """The API's JSON answer as a table, its times in the title."""
    answer = orjson.loads(body)
    table = Table(
        title=f"Top {answer['count']} by 24h volume as of {answer['requested_at']}",
        caption=f"prices of {answer['price_time']} ({answer['sources']['price']}),"
        f" ranks of {answer['rank_time']} ({answer['sources']['rank']})",
    )
    for name in ("Rank", "CMC id", "Symbol", "Name", "Price USD", "24h volume USD"):
        table.add_column(name, justify="left" if name in ("Symbol", "Name") else "right")
    for row in answer["data"]:
        table.add_row(
            str(row["rank"]),
            str(row["cmc_id"]),
            # Text, not markup: a ticker may hold brackets.
            Text(row["symbol"] or ""),
            Text(row["name"] or ""),
            f"{row['price_usd']:,.8g}",
            f"{row['volume_24h_usd']:,.0f}",
        )
    return table
