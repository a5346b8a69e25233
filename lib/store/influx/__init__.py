"""The production store: an InfluxDB 2.9 server. Only this package knows its client, line protocol and Flux.

`store` what a `Store` promises · `server` asking it and what its failures mean · `claims` who writes a tick ·
`lines` rows to line protocol · `flux` the questions · `answer` CSV to rows and markers ·
`setup` and `hourly` what `topcoins init` makes · `disk` what a row takes
"""

from lib.store.influx.store import RETENTION, InfluxStore

__all__ = ["RETENTION", "InfluxStore"]
