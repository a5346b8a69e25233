"""Settings: one TOML file under `TOPCOINS_…` environment variables. Each `__main__` reads them once, with `load`.

A table named after a service (`[query_api]`) is for that service only. Every secret can also come from a file, named
by `TOPCOINS_…_FILE`.
"""

from lib.settings.layers import RUN_ID, SERVICES, load, log_of
from lib.settings.model import EXAMPLES, Settings
from lib.settings.refusal import PREFIX, naming
from lib.settings.values import NONE, SQLITE, Duration, SourceUrl

__all__ = [
    "EXAMPLES", "NONE", "PREFIX", "RUN_ID", "SERVICES", "SQLITE", "Duration", "Settings", "SourceUrl", "load", "log_of",
    "naming",
]  # fmt: skip
