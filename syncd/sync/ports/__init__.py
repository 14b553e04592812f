"""The two sides as the use cases see them."""
