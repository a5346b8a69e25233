"""The response headers that carry information of their own: a page of a site named in CORS_ORIGINS may read them."""

_TIMES = ("requested-at", "price-time", "rank-time", "backfilled")

EXPOSED_HEADERS = (
    "etag", "link", "retry-after", "content-disposition",
    *(f"{prefix}-{name}" for prefix in ("x", "x-from", "x-to") for name in _TIMES),
    "x-price-source", "x-rank-source", "x-price-snapshot", "x-rank-snapshot", "x-known-at", "x-resolution",
    "x-filtered", "x-missing", "x-coverage", "x-from", "x-to", "x-steps",
)  # fmt: skip
