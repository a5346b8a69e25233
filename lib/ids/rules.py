"""Which CoinMarketCap id a provider's asset has: by contract, by symbol and name, or as a proposal by the slug."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from lib.ids.asset import CoinMarketCapAsset, Contract, ProviderAsset
from lib.ids.keys import contract_key, name_keys, only_one_is_wrapped, text_key

Rule = Literal["user's table", "override", "contract", "name", "name of another contract", "slug", "former name"]
PROPOSALS: tuple[Rule, ...] = ("name of another contract", "slug", "former name")
"""The price test must confirm what these rules find."""
USERS_TABLE: Rule = "user's table"
TABLES: tuple[Rule, ...] = (USERS_TABLE, "override")
NO_CANDIDATE = "no candidate"


class Decision(NamedTuple):
    """The id of a provider's asset and the rule that found it; without an id, why there is none."""

    own: str
    cmc_id: int | None = None
    rule: Rule | None = None
    why: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether there are candidates, and none was taken."""
        return self.cmc_id is None and self.why != NO_CANDIDATE


Decisions = Mapping[str, Decision]
"""The decision on each asset of a provider, by the provider's own id."""


class Rules:
    """Decides over two whole lists, because an id must be the only one on either side.

    `slug_form` is how the provider makes its ids, `{slug}` or `{symbol}-{slug}`; without it no slug is compared.
    """

    def __init__(
        self, map_: Iterable[CoinMarketCapAsset], assets: Iterable[ProviderAsset], *, slug_form: str = ""
    ) -> None:
        self._map = {asset.cmc_id: asset for asset in map_}
        self._slug_form = slug_form
        self._by_contract: dict[Contract, set[int]] = defaultdict(set)
        self._by_name: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._by_former: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._by_slug: dict[tuple[str, str], set[int]] = defaultdict(set)
        for asset in self._map.values():
            self._index(asset)
        self._own_by_contract: dict[Contract, set[str]] = defaultdict(set)
        self._own_by_name: dict[tuple[str, str], set[str]] = defaultdict(set)
        for theirs in assets:
            for contract in map(contract_key, theirs.contracts):
                self._own_by_contract[contract].add(theirs.own)
            for key in name_keys(theirs.symbol, theirs.name):
                self._own_by_name[key].add(theirs.own)

    def _index(self, asset: CoinMarketCapAsset) -> None:
        if asset.contract:
            self._by_contract[contract_key(asset.contract)].add(asset.cmc_id)
        for key in name_keys(asset.symbol, asset.name):
            self._by_name[key].add(asset.cmc_id)
        for symbol, name in asset.former:
            for key in name_keys(symbol, name):
                self._by_former[key].add(asset.cmc_id)
        for symbol in asset.symbol.split(","):
            if asset.slug:
                self._by_slug[text_key(symbol), asset.slug].add(asset.cmc_id)

    def decide(self, asset: ProviderAsset) -> Decision:
        """The decision on one asset. Of different answers none is taken."""
        own = asset.own
        by_contract, shared_contract = self._contract_candidates(asset)
        by_name, shared_name = self._name_candidates(asset)
        if by_contract:
            both = by_contract & by_name
            fit = both or by_contract
            if by_name and not both:
                return _refused(own, "contract and name have different ids", by_contract | by_name)
            if len(fit) > 1:
                return _refused(own, "its contracts belong to several ids", fit)
            return Decision(own, min(fit), "contract")
        if len(by_name) > 1:
            return _refused(own, "several ids have its symbol and name", by_name)
        if by_name and shared_name:
            return _refused(own, "several of the provider's assets have its symbol and name", by_name)
        if by_name:
            migrated = self._has_another_contract(asset, *by_name)
            return Decision(own, min(by_name), "name of another contract" if migrated else "name")
        if shared_contract:
            return _refused(own, "several of the provider's assets have its contract", shared_contract)
        return self._proposal(asset)

    def _contract_candidates(self, asset: ProviderAsset) -> tuple[set[int], set[int]]:
        """The ids with its contracts, and those whose contract several of the provider's assets have."""
        unshared: set[int] = set()
        shared: set[int] = set()
        for contract in map(contract_key, asset.contracts):
            candidates = self._by_contract.get(contract, ())
            ids = {id_ for id_ in candidates if not only_one_is_wrapped(asset, self._map[id_])}
            (unshared if len(self._own_by_contract[contract] | {asset.own}) == 1 else shared).update(ids)
        return unshared, shared

    def _name_candidates(self, asset: ProviderAsset) -> tuple[set[int], bool]:
        keys = name_keys(asset.symbol, asset.name)
        ids = {id_ for key in keys for id_ in self._by_name.get(key, ())}
        return ids, any(len(self._own_by_name[key] | {asset.own}) > 1 for key in keys)

    def _has_another_contract(self, asset: ProviderAsset, cmc_id: int) -> bool:
        """Whether both sides name a contract on one chain, and not the same: a namesake, or a migrated token."""
        ours = self._map[cmc_id].contract
        if ours is None:
            return False
        on_chain = {contract_key(each) for each in asset.contracts if each.chain == ours.chain}
        return bool(on_chain) and contract_key(ours) not in on_chain

    def _proposal(self, asset: ProviderAsset) -> Decision:
        slugs = {self._by_slug_key(asset, part) for part in asset.symbol.split(",")} if self._slug_form else set()
        proposals: dict[Rule, set[int]] = {
            "slug": {id_ for key in slugs for id_ in self._by_slug.get(key, ())},
            "former name": {id_ for key in name_keys(asset.symbol, asset.name) for id_ in self._by_former.get(key, ())},
        }
        ids = set().union(*proposals.values())
        if len(ids) > 1:
            return _refused(asset.own, "several ids fit by slug or former name", ids)
        for rule, candidates in proposals.items():
            if candidates:
                return Decision(asset.own, min(candidates), rule)
        return Decision(asset.own, why=NO_CANDIDATE)

    def _by_slug_key(self, asset: ProviderAsset, symbol: str) -> tuple[str, str]:
        prefix = self._slug_form.partition("{slug}")[0].replace("{symbol}", text_key(symbol))
        return text_key(symbol), asset.own.removeprefix(prefix)


def decide_all(rules: Rules, assets: Iterable[ProviderAsset], tables: Decisions) -> dict[str, Decision]:
    """The decision on each asset, by its own id. A table comes before the rules. Two assets never get one id."""
    decisions = {asset.own: tables.get(asset.own) or rules.decide(asset) for asset in assets if asset.own}
    claims = Counter(decision.cmc_id for decision in decisions.values() if decision.cmc_id)
    by_table = {decision.cmc_id for decision in decisions.values() if decision.rule in TABLES}
    for own, decision in decisions.items():
        if decision.cmc_id and claims[decision.cmc_id] > 1 and decision.rule not in TABLES:
            why = "a table gives its id to another" if decision.cmc_id in by_table else "another asset has the same id"
            decisions[own] = _refused(own, why, {decision.cmc_id})
    return decisions


def _refused(own: str, why: str, ids: Iterable[int]) -> Decision:
    return Decision(own, why=f"{why}: {', '.join(map(str, sorted(ids)))}")
