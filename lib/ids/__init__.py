"""Finds CoinMarketCap ids for another provider's assets. No I/O: maps, lists and tables in, decisions out.

`rules` decides, `pins` keeps what was decided, `price_test` checks it; `coin_map` is CoinMarketCap's map.
"""
