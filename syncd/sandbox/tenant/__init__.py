"""The imitation tenant."""
