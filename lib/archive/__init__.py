"""The archive of sealed days, and what moves snapshots in bulk: backup, import of exports, backfill, export files."""
