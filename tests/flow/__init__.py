"""What only real processes can show: they start, talk, are told to stop, and end."""
