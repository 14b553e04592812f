"""Read the portal into the inventory."""
