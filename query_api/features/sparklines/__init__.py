"""Prices of many assets at a few instants."""
