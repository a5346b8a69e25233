"""One asset as of an instant."""
