"""Answers "the top N by 24h volume, with USD prices, at that instant" from the stored snapshots.

`features/` has a folder for each address, `asof/` the rule that chooses snapshots and joins their rows, `http/` what
the features share, `middleware/` what every request passes; `app.py` puts them together.
"""
