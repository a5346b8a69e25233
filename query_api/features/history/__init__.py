"""One asset's history, step by step."""
