"""What the portal has, which of it is ours, and what others did to it."""
