"""Matches that were made stay: a later decision that differs is reported, not followed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from lib.ids.price_test import MOST_OFF, Quote, Quotes, is_close, is_far, proves
from lib.ids.rules import NO_CANDIDATE, USERS_TABLE, Decision, Decisions, Rule


@dataclass(frozen=True, slots=True)
class Pin:
    """A match that the price confirmed. `off` counts the lists in a row in which it did not since."""

    cmc_id: int
    rule: Rule
    symbol: str
    name: str
    since: datetime
    off: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A pinned match that the rules would now decide otherwise; `now` is None if they would refuse it."""

    own: str
    pinned: int
    now: int | None
    why: str


class Listed(NamedTuple):
    """An asset of the provider's list, as far as a match needs it."""

    symbol: str
    name: str
    usd: float | None


NOT_TESTED = "its price can't be compared yet"
NOT_CONFIRMED = "the price test did not confirm its id"
SET_ASIDE = "its price is not that of its id"
TAKEN = "its id is pinned to another asset"


class Pins:
    """The pinned matches of one provider, by its own ids."""

    def __init__(self, pins: Mapping[str, Pin] | None = None) -> None:
        self._pins = dict(pins or {})
        self._taken: set[int] = set()

    @property
    def all(self) -> Mapping[str, Pin]:
        """Every pin."""
        return self._pins

    def use(
        self, decisions: Decisions, listed: Mapping[str, Listed], quotes: Quotes, *, now: datetime, may_pin: bool
    ) -> dict[str, Decision]:
        """The decisions to use for a list: pinned, tested by price. New matches are pinned if `may_pin`.

        The user's table comes before pins, and is not tested.
        """
        by_table = {each.own: each for each in decisions.values() if each.rule == USERS_TABLE}
        taken = {each.cmc_id for each in by_table.values() if each.cmc_id}
        self._pins = {own: pin for own, pin in self._pins.items() if own not in by_table and pin.cmc_id not in taken}
        self._taken = taken | {pin.cmc_id for pin in self._pins.values()}
        return {
            own: self._decided(decisions.get(own) or Decision(own, why=NO_CANDIDATE), asset, quotes, now, may_pin)
            for own, asset in listed.items()
        }

    def changes(self, decisions: Decisions) -> list[Change]:
        """The pins that the decisions contradict."""
        return [
            Change(own, pin.cmc_id, decision.cmc_id, decision.why)
            for own, pin in self._pins.items()
            if (decision := decisions.get(own)) and decision.cmc_id != pin.cmc_id
        ]

    def _decided(self, decision: Decision, asset: Listed, quotes: Quotes, now: datetime, may_pin: bool) -> Decision:
        if pin := self._pins.get(decision.own):
            return self._tested(decision.own, pin, asset, quotes.get(pin.cmc_id))
        if decision.cmc_id is None or decision.rule is None or decision.rule == USERS_TABLE:
            return decision
        if decision.cmc_id in self._taken:
            return decision._replace(cmc_id=None, why=f"{TAKEN}: {decision.cmc_id}")
        quote = quotes.get(decision.cmc_id)
        if not may_pin or quote is None or not asset.usd:
            return decision._replace(cmc_id=None, why=NOT_TESTED)
        if not proves(decision.rule, asset.name, asset.usd, quote):
            return decision._replace(cmc_id=None, why=f"{NOT_CONFIRMED}: {decision.cmc_id}")
        self._pins[decision.own] = Pin(decision.cmc_id, decision.rule, asset.symbol, asset.name, now)
        self._taken.add(decision.cmc_id)
        return decision

    def _tested(self, own: str, pin: Pin, asset: Listed, quote: Quote | None) -> Decision:
        """A pinned match, tested again; without both prices the last test counts."""
        if quote and asset.usd:
            pin = replace(pin, off=0 if is_close(asset.usd, quote) else pin.off + 1)
            self._pins[own] = pin
        if pin.off >= MOST_OFF or is_far(asset.usd, quote):
            return Decision(own, None, pin.rule, f"{SET_ASIDE}: {pin.cmc_id}")
        return Decision(own, pin.cmc_id, pin.rule)
