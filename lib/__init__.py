"""What the services share; knows none of them. The flow, one line per step:

lib/source/      upstream's answer -> rows          a TOML file says where to ask and what to take
lib/ingest/      rows -> snapshot -> delivery       rejects counted, doubtful lists refused; one tick, its clock
lib/store/       snapshot -> rows, then the marker  SQLite beside you, or InfluxDB
query_api/       asked instant -> the pair of snapshots -> join -> bytes
"""
