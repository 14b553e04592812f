"""Licences: who holds which, how many seats there are, and what a plan does about them."""
