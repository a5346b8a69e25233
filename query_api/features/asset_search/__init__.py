"""Every asset the archive ever had, by id, ticker or name."""
