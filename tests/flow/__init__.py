"""What only real processes can show: they start, talk, get a signal to stop, and end."""
