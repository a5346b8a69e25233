"""Who was in the list at each step, as a file."""
