"""The version of topcoins; `pyproject.toml` is the one place that sets it."""

from importlib.metadata import version

VERSION = version("topcoins")
