"""The as-of rule: which snapshots answer for an instant, and their rows. No HTTP here."""
