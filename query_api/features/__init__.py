"""One folder per feature: `route` (the address), `work`, `response`."""
