"""Answers "the top N by 24h volume, with USD prices, at that instant" from the stored snapshots.

instant.py (what was asked) -> top.py (markers, pair, reads) -> asof.py (pure Polars) -> formats.py (bytes);
app.py holds the routes.
"""
