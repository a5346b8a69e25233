"""Polls USD prices once a minute: one source, `PRICE_SOURCE`, beside it any `EXTRA_SOURCES` of other series."""
