"""Gives CoinMarketCap's ids to another provider's lists, and compares these lists with what is stored.

`identify` does both for each list; `daily` keeps the map and the contracts; `report` is what it leaves for others.
"""
