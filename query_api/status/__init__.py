"""How each series is doing: what both /v1/status and /metrics report."""
