"""The sign-in service of the imitation tenant."""
