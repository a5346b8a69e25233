"""The `topcoins` command."""
