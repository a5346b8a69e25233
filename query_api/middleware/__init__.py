"""What every request passes before a route: limits, access, the answer cache."""
