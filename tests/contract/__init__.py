"""Contracts with the two systems: the imitations keep them, and so does our traffic."""
