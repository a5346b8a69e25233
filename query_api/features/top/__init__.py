"""The top list."""
