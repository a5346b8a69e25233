"""Two top lists side by side."""
