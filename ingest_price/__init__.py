"""Polls USD prices once a minute: the sources of `PRICE_SOURCE`, tried in order, and any `EXTRA_SOURCES`."""
