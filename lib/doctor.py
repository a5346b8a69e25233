"""`topcoins doctor`."""
