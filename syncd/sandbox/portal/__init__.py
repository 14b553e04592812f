"""The imitation portal."""
