"""How many assets of real lists get an id, and how many of these ids are wrong by tables that others keep.

`python -m tests.bench ids DIR`: DIR has the recorded lists, which are not in the repository.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

from ingest_rank.source import HERE
from lib.ids.asset import CHAINS, Contract, ProviderAsset
from lib.ids.coin_map import CoinMap, read_rows
from lib.ids.rules import PROPOSALS, Decision, Rules, decide_all
from lib.ids.tables import read_table
from lib.ingest.sources import find_source
from lib.source import read_source
from lib.source.extract import Extractor
from lib.source.source_file import VENDORS

Pairs: TypeAlias = Mapping[str, set[int]]
"""The CoinMarketCap ids that tables give a provider's id."""
PLACES = (200, 1000)
GECKO_LISTS = {
    "2024-11": "coingecko-markets-1000-202411*.json",
    "2026-02, stale map and contracts": "coingecko-markets-250-202602*.json",
    "2026-07, stale map and contracts": "coingecko-markets-250-202607*.json",
}
DISPUTED = {
    "bts-bitshares": "8205 is a duplicate listing, in no map",
    "soul-phantasma": "8684 is a duplicate listing, in no map",
    "best-bitpanda-ecosystem-token": "9738 is a duplicate listing, in no map",
    "nft-apenft": "Dune's contract of it on BNB chain is that of NEFTiPEDiA (10829)",
    "wrapped-centrifuge": "the wallet has the id of Centrifuge (6748); the map has one for the wrapped token",
}
"""Provider ids that are not judged, because the table is wrong."""
DUNE_CHAINS = {"avalanche_c": "avalanche"}
MAP3_CHAINS = {"smartchain": "bnb"}


async def real_lists(folder: Path) -> None:
    """Print a line for each list and map."""
    old, new = (_map(folder, name) for name in ("cmc-map-9016-*.json", "cmc-map-10000-*.json"))
    kept = old.refreshed(new.assets, date(2025, 1, 5))
    paprika = _coinpaprika(folder)
    gecko_2023, gecko_2024 = (_coingecko_list(folder, count) for count in (12309, 12470))
    pairs_paprika, pairs_gecko = _pairs_paprika(folder), _pairs_gecko(folder)
    for name, coin_map in (("2023-02", old), ("2025-01", new), ("2023-02 kept up to 2025-01", kept)):
        _report(f"CoinPaprika 2023-08 x {name}", "coinpaprika", coin_map, paprika, paprika, pairs_paprika)
    for name, pattern in GECKO_LISTS.items():
        listed = _coingecko_markets(folder, pattern, gecko_2024)
        everything = [*listed, *_others(gecko_2024, listed)]
        for of, coin_map in (("2025-01", new), ("2023-02 kept up to 2025-01", kept)):
            _report(f"CoinGecko {name} x {of}", "coingecko", coin_map, listed, everything, pairs_gecko)
    _report("CoinGecko 2023-02 x 2023-02", "coingecko", old, gecko_2023, gecko_2023, pairs_gecko, places=())


def _report(
    title: str, source: str, coin_map: CoinMap, listed: Sequence[ProviderAsset], everything: Sequence[ProviderAsset],
    pairs: Pairs, places: Sequence[int] = PLACES,
) -> None:  # fmt: skip
    ids = find_source(HERE, source, "check_source").id
    assert ids
    assert ids.overrides
    overrides = read_table(ids.overrides.read_text("utf-8"), "override")[source]
    decisions = decide_all(Rules(coin_map.assets, everything, slug_form=ids.slug_form), everything, overrides)
    for first in sorted({*(each for each in places if each <= len(listed)), len(listed)}):
        _print(f"{title}, first {first}", [decisions[asset.own] for asset in listed[:first] if asset.own], pairs)


def _print(title: str, decisions: Sequence[Decision], pairs: Pairs) -> None:
    matched = [each for each in decisions if each.cmc_id]
    refused = sum(each.is_refused for each in decisions)
    judged = [each for each in matched if each.own in pairs and each.own not in DISPUTED]
    wrong = [each for each in judged if each.cmc_id not in pairs[each.own]]
    rules = Counter(each.rule for each in matched)
    proposed = sum(rules[rule] for rule in PROPOSALS)
    print(
        f"{title}: {len(matched)} matched ({proposed} of them need the price test), {refused} refused,"
        f" {len(decisions) - len(matched) - refused} without a candidate; {len(judged)} judged, {len(wrong)} wrong"
    )
    print(f"    by rule: {', '.join(f'{rule} {count}' for rule, count in rules.most_common())}")
    for each in wrong:
        print(f"    wrong? {each.own}: {each.cmc_id} by {each.rule}, tables have {sorted(pairs[each.own])}")


def _load(folder: Path, pattern: str) -> Any:
    (path,) = folder.glob(pattern)
    return json.loads(path.read_text("utf-8"))


def _csv(folder: Path, pattern: str) -> list[dict[str, str]]:
    (path,) = folder.glob(pattern)
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def _map(folder: Path, pattern: str) -> CoinMap:
    extract = Extractor(read_source(VENDORS / "coinmarketcap_map.toml"))
    rows, _ = extract.rows(_load(folder, pattern)["data"])
    return CoinMap(date(2023, 2, 23), tuple(read_rows(rows)), {})


def _coinpaprika(folder: Path) -> list[ProviderAsset]:
    """By volume, with the contracts of Dune's table: no answer of CoinPaprika's own contract list was recorded."""
    contracts: dict[str, list[Contract]] = defaultdict(list)
    for row in _csv(folder, "idmap-dune-*.csv"):
        name = DUNE_CHAINS.get(row["blockchain"], row["blockchain"])
        if name in CHAINS:
            contracts[row["token_id"]].append(Contract(name, row["contract_address"]))
    records = _by_volume(_load(folder, "coinpaprika-tickers-*.json"), lambda r: r["quotes"]["USD"]["volume_24h"])
    return [ProviderAsset(r["id"], r["symbol"], r["name"], tuple(contracts[r["id"]])) for r in records]


def _coingecko_list(folder: Path, count: int) -> list[ProviderAsset]:
    chains = find_source(HERE, "coingecko", "check_source").id
    assert chains
    assert chains.contracts
    return [
        ProviderAsset(
            record["id"],
            record["symbol"],
            record["name"],
            tuple(
                Contract(chains.contracts.chains[name], address)
                for name, address in record["platforms"].items()
                if name in chains.contracts.chains and address
            ),
        )
        for record in _load(folder, f"coingecko-coins-list-platform-{count}-*.json")
    ]


def _coingecko_markets(folder: Path, pattern: str, known: Iterable[ProviderAsset]) -> list[ProviderAsset]:
    contracts = {asset.own: asset.contracts for asset in known}
    records = _by_volume(_load(folder, pattern), lambda r: r["total_volume"] or 0.0)
    return [ProviderAsset(r["id"], r["symbol"], r["name"], contracts.get(r["id"], ())) for r in records]


def _others(assets: Iterable[ProviderAsset], listed: Iterable[ProviderAsset]) -> Iterator[ProviderAsset]:
    own = {asset.own for asset in listed}
    return (asset for asset in assets if asset.own not in own)


def _by_volume(records: Iterable[dict[str, Any]], volume: Callable[[dict[str, Any]], float]) -> list[dict[str, Any]]:
    return sorted(records, key=volume, reverse=True)


def _pairs_gecko(folder: Path) -> Pairs:
    """CoinGecko's ids to those of CoinMarketCap, by the tables of a wallet and of DeFi projects."""
    pairs: dict[str, set[int]] = defaultdict(set)
    for coin in _load(folder, "idmap-coinspace-*.json"):
        if coin.get("coingecko") and coin.get("coinmarketcap"):
            pairs[coin["coingecko"]["id"]].add(int(coin["coinmarketcap"]["id"]))
    for row in _csv(folder, "idmap-edge-*.csv"):
        pairs[row["coingecko"]].add(int(row["coinMarketCap"]))
    for row in _csv(folder, "idmap-defillama-stablecoins-*.csv"):
        if row["gecko_id"] and row["cmcId"].isdigit():
            pairs[row["gecko_id"]].add(int(row["cmcId"]))
    symbols = {asset.cmc_id: asset.symbol for asset in _map(folder, "cmc-map-9016-*.json").assets}
    for row in _csv(folder, "idmap-defillama-protocols-*.csv"):  # many of its ids are mistyped: the symbol must fit
        if row["cmcId"].isdigit() and symbols.get(int(row["cmcId"]), "").lower() == row["symbol"].lower():
            pairs.setdefault(row["gecko_id"], {int(row["cmcId"])})
    return pairs


def _pairs_paprika(folder: Path) -> Pairs:
    """CoinPaprika's ids: through CoinGecko's by a wallet's codes, and through contracts that name both sides."""
    pairs: dict[str, set[int]] = defaultdict(set)
    gecko = _pairs_gecko(folder)
    paprika_codes, gecko_codes = (_load(folder, f"idmap-gleec-{name}-*.json") for name in ("coinpaprika", "coingecko"))
    for code in paprika_codes.keys() & gecko_codes.keys():
        pairs[paprika_codes[code]] |= gecko.get(gecko_codes[code], set())
    by_contract = {
        (MAP3_CHAINS.get(row["network"], row["network"]), row["address"].lower()): int(row["coinmarketcap"])
        for row in _csv(folder, "idmap-map3-*.csv")
        if row["coinmarketcap"].isdigit()
    }
    for row in _csv(folder, "idmap-dune-*.csv"):
        if id_ := by_contract.get((row["blockchain"], row["contract_address"].lower())):
            pairs[row["token_id"]].add(id_)
    return {own: ids for own, ids in pairs.items() if ids}
