"""What the services share; knows none of them. The flow, one line per step:

lib/source/      upstream's answer -> rows          a TOML file says where to ask and what to take
lib/gate.py      rows -> snapshot                   every reject counted, a doubtful list refused whole
lib/store/       snapshot -> rows, then the marker  SQLite beside you, or InfluxDB
lib/ingest.py    one tick of the above
lib/poll.py      ticks on the clock
query_api/       asked instant -> the pair of snapshots -> join -> bytes
"""
