"""The upstream APIs on loopback: a simulated market, or recorded answers replayed.

    assets → market        every value a pure function of (seed, asset, minute)
             replay        or recorded answers, in the order they were captured
    feed identities        either of them, as the vendors list it, under their own ids
    coinmarketcap coindesk the APIs: parameters, keys, limits, envelopes
    coinpaprika coingecko
    vendor vendors         what they have in common, and which of them answers which path
    faults                 what goes wrong, and at which request: a script, never chance
    app                    all of it as one Starlette application

Nothing of it is real: prices, volumes and ranks of a simulated market say nothing about any asset.
"""

from lib.simulator.app import create_app
from lib.simulator.faults import Fault, load_faults
from lib.simulator.market import Listing, Market
from lib.simulator.replay import Replay
from lib.simulator.vendor import Plan

__all__ = ["Fault", "Listing", "Market", "Plan", "Replay", "create_app", "load_faults"]
