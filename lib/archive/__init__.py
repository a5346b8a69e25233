"""What moves snapshots in bulk: backup, import of exports, backfill, and the shape of export files."""
