"""What a request for prices at many times may hold: the bounds of `/v1/prices`, which the command line keeps."""

TIME, ASSET = "time", "asset"
"""The two fields of a row."""
MOST_ROWS = 5_000
MOST_TIMES = 1_000
"""Different times in one request: each may need a snapshot of its own."""
MOST_BYTES = 2**20
