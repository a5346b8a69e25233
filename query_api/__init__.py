"""Answers "the top N by 24h volume, with USD prices, at that instant" from the stored snapshots.

instant.py (what was asked) -> top.py (markers, pair, reads) -> asof.py (pure Polars) -> formats.py (bytes);
routes/ has the addresses, app.py puts them together.
"""
