"""An event for each new snapshot."""
