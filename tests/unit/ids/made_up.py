"""A made-up map and a made-up provider's list, with the traps of real ones. `trap` says what each row shows."""

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lib.ids.asset import CoinMarketCapAsset, Contract, ProviderAsset
from lib.ids.rules import Decision, Rules, decide_all
from lib.ids.tables import read_table

HERE = Path(__file__).parent


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


@cache
def the_map() -> list[CoinMarketCapAsset]:
    return [
        CoinMarketCapAsset(
            int(row["cmc_id"]),
            row["symbol"],
            row["name"],
            row["slug"],
            Contract(row["chain"], row["address"]) if row["chain"] else None,
            ((symbol, name),)
            if (symbol := row["former"].partition("=")[0]) and (name := row["former"][len(symbol) + 1 :])
            else (),
        )
        for row in _rows("map.csv")
    ]


@cache
def the_list() -> list[dict[str, str]]:
    return list(_rows("provider.csv"))


@cache
def assets() -> list[ProviderAsset]:
    return [
        ProviderAsset(
            row["own"],
            row["symbol"],
            row["name"],
            tuple(Contract(*each.split(":", 1)) for each in row["contracts"].split()),
        )
        for row in the_list()
    ]


@cache
def tables() -> dict[str, Decision]:
    texts = {name: (HERE / f"{name}.csv").read_text("utf-8") for name in ("overrides", "users_table")}
    overrides = read_table(texts["overrides"], "override")["acme"]
    return {**overrides, **read_table(texts["users_table"], "user's table")["acme"]}


def decided(map_: list[CoinMarketCapAsset], listed: list[ProviderAsset]) -> dict[str, Decision]:
    rules = Rules(map_, listed, slug_form="{symbol}-{slug}")
    return decide_all(rules, listed, tables())


@cache
def decisions() -> dict[str, Decision]:
    return decided(the_map(), assets())
