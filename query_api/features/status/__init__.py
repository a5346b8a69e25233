"""Probes, and how each series is doing."""
