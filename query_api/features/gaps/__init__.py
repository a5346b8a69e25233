"""The holes of the archive, and their causes."""
