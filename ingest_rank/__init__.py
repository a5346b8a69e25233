"""Polls the 24h-volume ranking once a minute: the sources of `RANK_SOURCE`, tried in order."""
