"""Prices of assets, each as of an instant of its own."""
